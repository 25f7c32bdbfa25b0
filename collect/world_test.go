package collect_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/identity"
)

// noon is when every test begins.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// manual is a clock that stands until it is moved.
type manual struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manual) After(time.Duration) <-chan time.Time { return nil }

func (c *manual) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// strangers takes every strongest identifier for a person of its own.
type strangers struct{ err error }

func (s strangers) Stamp(events []rapport.Event) (identity.Stamped, error) {
	for i := range events {
		e := &events[i]
		h := fnv.New128a()
		_, _ = h.Write([]byte(e.Identifiers[0].Kind + "\x00" + e.Identifiers[0].Value))
		h.Sum(e.Entity[:0])
		e.Fragment = e.Entity
	}
	return identity.Stamped{}, s.err
}

func (strangers) Partition(e *rapport.Event, n int) int32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.Identifiers[0].Value))
	return int32(h.Sum64() % uint64(n))
}

// faulty is a log that fails on demand.
type faulty struct {
	eventlog.Log
	err error
}

func (f *faulty) Submit(records []eventlog.Record) eventlog.Pending {
	if f.err != nil {
		return failed{f.err}
	}
	return f.Log.Submit(records)
}

type failed struct{ err error }

func (f failed) Wait(context.Context) error { return f.err }

type house struct {
	t     testing.TB
	door  *collect.Door
	log   *faulty
	clock *manual
	mux   *http.ServeMux
}

var someSources = []collect.SourceDoc{
	{ID: "web", Key: "wk_web_1234", OldKeys: []string{"wk_web_0000"}, Name: "Web shop"},
	{ID: "till", Key: "wk_till_1234", Identifiers: []string{"loyaltyCard"}},
	{ID: "off", Key: "wk_off_1234", Disabled: true},
}

func open(t testing.TB, change func(*collect.Deps)) *house {
	t.Helper()
	h := &house{t: t, log: &faulty{Log: eventlogtest.NewMemory(4)}, clock: &manual{now: noon}}
	h.start(change)
	h.apply(collect.Documents{Sources: someSources})
	return h
}

// start opens a door on the house's log, as after a restart. It is stopped at
// the end of the test, or before by what is returned.
func (h *house) start(change func(*collect.Deps)) (stop func()) {
	h.t.Helper()
	deps := collect.Deps{Log: h.log, Resolver: strangers{}, Clock: h.clock}
	if change != nil {
		change(&deps)
	}
	h.door = collect.New(deps)
	h.mux = http.NewServeMux()
	h.door.Register(h.mux)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	door := h.door
	go func() { done <- door.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("the door ended with %v", err)
		}
	})
	h.t.Cleanup(stop)
	return stop
}

func (h *house) apply(docs collect.Documents) {
	h.t.Helper()
	c, err := collect.Compile(docs)
	if err != nil {
		h.t.Fatal(err)
	}
	h.door.Apply(c)
}

func basic(key string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))
}

// send posts a body as the web source and returns the answer.
func (h *house) send(path, body string, headers ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	method := http.MethodPost
	if m, p, ok := strings.Cut(path, " "); ok {
		method, path = m, p
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", basic("wk_web_1234"))
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.mux.ServeHTTP(w, r)
	return w
}

func (h *house) accepted(path, body string, headers ...string) {
	h.t.Helper()
	if w := h.send(path, body, headers...); w.Code != http.StatusOK {
		h.t.Fatalf("%s %.200s: %d %s", path, body, w.Code, w.Body)
	}
}

// events returns what stands in the log, partition by partition.
func (h *house) events() []rapport.Event {
	h.t.Helper()
	var out []rapport.Event
	for p := range h.log.Partitions(eventlog.Events) {
		for _, r := range h.records(eventlog.Events, int32(p)) {
			var e rapport.Event
			if _, err := engine.DecodeEventRecord(r.Data, &e); err != nil || r.Kind != engine.KindEvent {
				h.t.Fatalf("record %d: %v", r.Kind, err)
			}
			out = append(out, e)
		}
	}
	return out
}

func (h *house) records(topic eventlog.Topic, p int32) []eventlog.Record {
	h.t.Helper()
	first, next := h.log.Bounds(topic, p)
	r, err := h.log.Reader(topic, p, first)
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	var out []eventlog.Record
	for int64(len(out)) < next-first {
		records, err := r.Next(context.Background())
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, slices.Clone(records)...)
	}
	return out
}

func (h *house) list(f collect.HeldFilter) collect.HeldPage {
	h.t.Helper()
	page, err := h.door.Quarantine().List(context.Background(), f)
	if err != nil {
		h.t.Fatal(err)
	}
	return page
}

func jsonOf(t testing.TB, r io.Reader) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// pending becomes durable when the gate says so.
type pending struct {
	eventlog.Pending
	gate chan error
}

func (p pending) Wait(ctx context.Context) error {
	if err := <-p.gate; err != nil {
		return err
	}
	return p.Pending.Wait(ctx)
}
