package sim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

func worldFile(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("trial.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// server is a recording server without sockets, so that it works under a
// virtual clock. It deduplicates as a real one does.
type server struct {
	t  testing.TB
	mu sync.Mutex
	// calls counts requests; every fail-th is answered 503 after its work was
	// done, which is the worst a server may do to a client.
	calls, fail int
	stop        int // answer 400 to everything from this call on, if not 0
	events      map[string]happened
	sources     map[string]string // by message id, the key
	imported    map[string]bool
	order       []string
	decisions   map[string]string // id to person
	erased      map[string]bool
	decide      func(n int, placement string) (actions []string, holdout bool)
}

func newServer(t testing.TB) *server {
	return &server{t: t, events: map[string]happened{}, sources: map[string]string{}, imported: map[string]bool{}, decisions: map[string]string{}, erased: map[string]bool{}}
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.stop != 0 && s.calls >= s.stop {
		return s.reply(r, 400, `{"title":"stopped"}`)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	key, _, _ := r.BasicAuth()
	switch {
	case r.URL.Path == "/v1/batch" || r.URL.Path == "/v1/import":
		var b struct{ Batch []json.RawMessage }
		if err := json.Unmarshal(body, &b); err != nil || len(b.Batch) == 0 {
			s.t.Errorf("a body of %d bytes with %d events: %v", len(body), len(b.Batch), err)
		}
		for _, e := range b.Batch {
			s.collect(key, e, r.URL.Path == "/v1/import")
		}
		if s.fail > 0 && s.calls%s.fail == 0 {
			return s.reply(r, 503, "")
		}
		return s.reply(r, 200, `{"success":true}`)
	case r.URL.Path == "/v1/decide":
		var q struct {
			Person    struct{ UserID, AnonymousID string }
			Placement string
			Event     json.RawMessage
		}
		if err := json.Unmarshal(body, &q); err != nil || q.Person.UserID+q.Person.AnonymousID == "" {
			s.t.Errorf("question %s: %v", body, err)
		}
		if q.Event != nil {
			s.collect(key, q.Event, false)
		}
		id := fmt.Sprintf("d_%d", len(s.decisions))
		s.decisions[id] = q.Person.UserID + q.Person.AnonymousID
		actions, holdout := s.decide(len(s.decisions), q.Placement)
		items := []string{}
		for _, a := range actions {
			items = append(items, fmt.Sprintf(`{"action":%q,"kind":"offer","content":{},"propensity":0.5}`, a))
		}
		return s.reply(r, 200, fmt.Sprintf(`{"decisionId":%q,"holdout":%v,"items":[%s]}`, id, holdout, strings.Join(items, ",")))
	case r.Method == http.MethodDelete:
		s.erased[strings.TrimPrefix(r.URL.Path, "/v1/people/")] = true
		return s.reply(r, 202, `{}`)
	}
	return s.reply(r, 404, `{}`)
}

func (s *server) collect(key string, event []byte, imported bool) {
	h := read(s.t, event)
	if _, twice := s.events[h.MessageID]; twice {
		return
	}
	s.events[h.MessageID] = h
	s.sources[h.MessageID] = key
	s.imported[h.MessageID] = imported
	s.order = append(s.order, h.MessageID)
}

func (s *server) reply(r *http.Request, status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}
