package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
)

const heartbeat = 15 * time.Second

// stream serves the live feed as server-sent events. Filters: kinds=event,decision
// and person=ID. `event: gap` says that moments were lost.
func (a *API) stream(w http.ResponseWriter, r *http.Request) {
	p, ok := principal(r.Context())
	if !ok || !p.Role.Includes(access.Viewer) {
		writeProblem(w, r, rapport.Errorf(rapport.Unauthenticated, "the live feed needs a token with the role viewer"))
		return
	}
	kinds := map[string]bool{}
	for k := range strings.SplitSeq(r.URL.Query().Get("kinds"), ",") {
		if k != "" {
			kinds[k] = true
		}
	}
	person := r.URL.Query().Get("person")
	// Most moments name their person by id or a masked identifier: what to call
	// them is asked only when somebody watches.
	names := map[string]string{}
	named := func(m Moment) Moment {
		id, err := rapport.ParseID(m.PersonID)
		if err != nil || m.Person != "" && !strings.HasPrefix(m.PersonID, m.Person) && !strings.Contains(m.Person, "•••") {
			return m
		}
		if len(names) > 1000 {
			clear(names)
		}
		name, known := names[m.PersonID]
		if !known || m.Name == "identify" || m.Kind == "decision" {
			name = a.label(r.Context(), id)
			names[m.PersonID] = name
		}
		m.Person = name
		return m
	}
	wanted := func(m Moment) bool {
		return (len(kinds) == 0 || kinds[m.Kind]) && (person == "" || person == m.PersonID)
	}
	last, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	watch, backlog, whole := a.deps.Live.Watch(last)
	defer watch.Close()
	out := startEvents(w)
	if !whole {
		out.event("gap", 0, nil)
	}
	for _, m := range backlog {
		if wanted(m) {
			out.event("", m.ID, named(m))
		}
	}
	if out.flush() != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-a.deps.Draining:
			return
		case <-beat.C:
			out.comment("beat")
		case m := <-watch.C:
			if wanted(m) {
				out.event("", m.ID, named(m))
			}
			for more := true; more; { // one flush for a burst
				select {
				case m = <-watch.C:
					if wanted(m) {
						out.event("", m.ID, named(m))
					}
				default:
					more = false
				}
			}
			if watch.Lost() {
				out.event("gap", 0, nil)
			}
		}
		if out.flush() != nil {
			return
		}
	}
}

// events writes server-sent events.
type events struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error
}

func startEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	e := &events{w: w, rc: http.NewResponseController(w)}
	_ = e.rc.SetWriteDeadline(time.Time{}) // a stream lives longer than a request
	w.WriteHeader(http.StatusOK)
	return e
}

func (e *events) event(name string, id int64, data any) {
	b := []byte("{}")
	if data != nil {
		b, _ = json.Marshal(data)
	}
	if name != "" {
		_, e.err = fmt.Fprintf(e.w, "event: %s\n", name)
	}
	if id != 0 {
		_, e.err = fmt.Fprintf(e.w, "id: %d\n", id)
	}
	_, e.err = fmt.Fprintf(e.w, "data: %s\n\n", b)
}

func (e *events) comment(text string) { _, e.err = fmt.Fprintf(e.w, ": %s\n\n", text) }

func (e *events) flush() error {
	if e.err != nil {
		return e.err
	}
	return e.rc.Flush()
}
