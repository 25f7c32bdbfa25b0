package inapp_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/delivertest"
	"github.com/rapport-engine/rapport/deliver/inapp"
)

func who(n int) rapport.ID { return delivertest.Message(n).Person }

// message is the n-th decision, for person n%100.
func message(n int) *deliver.Message {
	return &deliver.Message{
		Key: fmt.Sprintf("inapp/d_%026d", n), Person: who(n % 100),
		Event: &rapport.Event{Type: rapport.TypeSystem, Name: rapport.SystemDecision, Body: []byte(fmt.Sprint(n))},
	}
}

// read is a decoder for bodies as message writes them.
func read(body []byte) (*rapport.Decision, error) {
	var n int
	if _, err := fmt.Sscan(string(body), &n); err != nil {
		return nil, err
	}
	return &rapport.Decision{
		ID: fmt.Sprintf("d_%026d", n), Placement: "push",
		Items: []rapport.Choice{{Action: fmt.Sprint("a", n), Type: "message", Purpose: "marketing", Channel: "inapp", Value: 3, Reason: "secret"}},
	}, nil
}

type consent struct {
	mu sync.Mutex
	no bool
}

func (c *consent) Allows(context.Context, rapport.ID, string, string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.no, nil
}

func hub() (*inapp.Hub, *consent) {
	c := &consent{}
	return inapp.New(inapp.Options{Clock: rapport.SystemClock{}, Decision: read, Consent: c}), c
}

// serve returns a server whose /N streams to person N.
func serve(t *testing.T, h *inapp.Hub) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		if err := h.Serve(w, r, who(n)); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// stream is an open client.
type stream struct {
	t      *testing.T
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func connect(t *testing.T, s *httptest.Server, person int, last string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprint(s.URL, "/", person), nil)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	c := &stream{t, bufio.NewScanner(resp.Body), cancel}
	c.line() // retry
	c.line()
	return c
}

func (c *stream) line() string {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatal("the stream ended:", c.lines.Err())
	}
	return c.lines.Text()
}

// next returns the id and data of the next event.
func (c *stream) next() (id, data string) {
	c.t.Helper()
	id = strings.TrimPrefix(c.line(), "id: ")
	if l := c.line(); l != "event: decision" {
		c.t.Fatal(l)
	}
	data = strings.TrimPrefix(c.line(), "data: ")
	c.line()
	return id, data
}

func TestADecisionIsPushedToItsPersonAlone(t *testing.T) {
	t.Parallel()
	h, _ := hub()
	s := serve(t, h)
	mine, other := connect(t, s, 1, ""), connect(t, s, 2, "")
	for _, n := range []int{1, 2, 101} {
		if r := h.Send(t.Context(), message(n)); r.Status != deliver.Delivered {
			t.Fatalf("%d: %+v", n, r)
		}
	}
	id, data := mine.next()
	if id != fmt.Sprintf("d_%026d", 1) || data != `{"decisionId":"`+id+`","placement":"push","items":[{"action":"a1","kind":"message","content":{}}]}` {
		t.Errorf("%s: %s", id, data)
	}
	if id, _ := mine.next(); id != fmt.Sprintf("d_%026d", 101) {
		t.Error(id)
	}
	if id, _ := other.next(); id != fmt.Sprintf("d_%026d", 2) {
		t.Error(id)
	}
}

func TestAMessageWaitsForItsPersonBetweenTwoPages(t *testing.T) {
	t.Parallel()
	h, _ := hub()
	s := serve(t, h)
	done := make(chan deliver.Result)
	go func() { done <- h.Send(t.Context(), message(1)) }()
	c := connect(t, s, 1, "")
	if id, _ := c.next(); id != fmt.Sprintf("d_%026d", 1) {
		t.Error(id)
	}
	if r := <-done; r.Status != deliver.Delivered {
		t.Error(r)
	}
}

func TestWhoComesBackGetsWhatWasMissed(t *testing.T) {
	t.Parallel()
	h, _ := hub()
	s := serve(t, h)
	watching := connect(t, s, 1, "")
	for n := range 4 {
		h.Send(t.Context(), message(1+100*n))
		watching.next()
	}
	back := connect(t, s, 1, fmt.Sprintf("d_%026d", 101))
	for _, want := range []int{201, 301} {
		if id, _ := back.next(); id != fmt.Sprintf("d_%026d", want) {
			t.Error(id)
		}
	}
	// Without a last id, nothing already seen is repeated.
	anew := connect(t, s, 1, "")
	h.Send(t.Context(), message(401))
	if id, _ := anew.next(); id != fmt.Sprintf("d_%026d", 401) {
		t.Error(id)
	}
}

func TestOnePersonHasOnlySoManyStreams(t *testing.T) {
	t.Parallel()
	h, _ := hub()
	s := serve(t, h)
	var open []*stream
	for range 8 {
		open = append(open, connect(t, s, 1, ""))
	}
	resp, err := s.Client().Get(s.URL + "/1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || h.Connections() != 8 {
		t.Errorf("%d, %d streams", resp.StatusCode, h.Connections())
	}
	open[0].cancel()
}

func TestAMessageNobodyTakesExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, c := hub()
		start := time.Now()
		if r := h.Send(t.Context(), message(1)); r.Status != deliver.Expired || time.Since(start) != inapp.Linger {
			t.Errorf("%+v after %s", r, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := h.Send(ctx, message(1)); r.Status != deliver.Retry {
			t.Errorf("stopped: %+v", r)
		}
		c.no = true
		if r := h.Send(t.Context(), message(1)); r.Status != deliver.Withheld {
			t.Errorf("without consent: %+v", r)
		}
		bad := message(1)
		bad.Event.Body = []byte("?")
		if r := h.Send(t.Context(), bad); r.Status != deliver.Failed {
			t.Errorf("unreadable: %+v", r)
		}
	})
}

func TestPeopleWhoAreGoneTakeNoMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, _ := hub()
		var wait sync.WaitGroup
		for n := range 300 {
			wait.Go(func() { h.Send(t.Context(), message(n)) })
		}
		wait.Wait()
		time.Sleep(time.Hour)
		h.Send(t.Context(), message(1))
		if n := h.People(); n != 1 {
			t.Errorf("%d people are remembered", n)
		}
	})
}
