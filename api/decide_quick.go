package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

// quickBytes is how long a request for a decision may be that is read here.
const quickBytes = 16 << 10

// bodies keep the memory that requests are read into and answers written in.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// quickDecide reads a plain request for a decision in one go and answers it.
// What is unusual in any way goes on to the general reader, which knows how to
// refuse it: reading a body three times by its schema takes as long as half of
// what the decision does.
func (a *API) quickDecide(hc huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(hc)
	if r.ContentLength <= 0 || r.ContentLength > quickBytes || !plainJSON(r.Header) {
		next(hc)
		return
	}
	buffer := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(buffer)
	buffer.Reset()
	_ = hc.SetReadDeadline(time.Now().Add(bodyTime)) // as the general reader does
	_, err := buffer.ReadFrom(io.LimitReader(r.Body, quickBytes+1))
	var in decideIn
	var context rapport.Fields
	if err != nil || !in.read(buffer.Bytes(), &context) {
		// The deadline holds for the general reader, too; what was read is read again.
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(bytes.Clone(buffer.Bytes())), r.Body), r.Body}
		next(hc)
		return
	}
	_ = hc.SetReadDeadline(time.Time{})
	in.Authorization = r.Header.Get("Authorization")
	out, err := a.decideIn(r.Context(), &in, context)
	if err != nil {
		answerError(w, r, err)
		return
	}
	buffer.Reset()
	enc := json.NewEncoder(buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out.Body); err != nil {
		answerError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(buffer.Bytes()) // who asked has gone
}

// answerError answers what the general writer would.
func answerError(w http.ResponseWriter, r *http.Request, err error) {
	if rapport.KindOf(err) == rapport.Internal {
		_ = problemOf(r.Context(), err) // which logs it
	}
	writeProblem(w, r, err)
}

// plainJSON reports whether a request sends JSON and takes it, with nothing to negotiate.
func plainJSON(h http.Header) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch kind {
	case "", "application/json", "text/plain":
	default:
		return false
	}
	accept := h.Get("Accept")
	return (accept == "" || accept == "*/*" || accept == "application/json") && h.Get("Content-Encoding") == ""
}

// read reads a body that has nothing but what is usual; else it is not ok.
func (in *decideIn) read(b []byte, context *rapport.Fields) (ok bool) {
	f, err := segmentwire.Object(b)
	if err != nil {
		return false
	}
	seen := 0
	once := func(bit int) bool {
		first := seen&(1<<bit) == 0
		seen |= 1 << bit
		return first
	}
	person := false
	for k, v := range f.All() {
		switch string(k) {
		case "person":
			ok = once(0) && in.Body.Person.read(v)
			person = ok
		case "placement":
			in.Body.Placement, ok = v.Str(), once(1) && shortText(v, 200)
		case "context":
			var isObject bool
			*context, isObject = v.Object()
			ok = once(2) && isObject
		case "limit":
			x, number := v.Number()
			in.Body.Limit = int(x)
			ok = once(3) && number && x >= 0 && x <= 16 && float64(in.Body.Limit) == x
		case "writeKey":
			in.Body.WriteKey, ok = v.Str(), once(4) && shortText(v, 512)
		default:
			return false
		}
		if !ok {
			return false
		}
	}
	return person && in.Body.Placement != ""
}

// read reads whom a decision is for.
func (p *decidePerson) read(v rapport.Value) (ok bool) {
	f, ok := v.Object()
	if !ok {
		return false
	}
	for k, v := range f.All() {
		var at *string
		switch string(k) {
		case "userId":
			at = &p.UserID
		case "anonymousId":
			at = &p.AnonymousID
		case "id":
			if at = &p.ID; !shortText(v, 64) {
				return false
			}
		case "userHash":
			at = &p.UserHash
		default:
			return false
		}
		if *at != "" || !shortText(v, 512) {
			return false
		}
		*at = v.Str()
	}
	return true
}

// shortText reports whether a value is a text of 1 to most bytes.
func shortText(v rapport.Value, most int) bool {
	text, ok := v.Text()
	return ok && len(text) > 0 && len(text) <= most
}
