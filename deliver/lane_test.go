package deliver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/delivertest"
	"github.com/rapport-engine/rapport/engine"
)

// house is a stand-in for engine and log: effects wait until a result is
// appended, as the fold would have it.
type house struct {
	mu      sync.Mutex
	waiting map[string][]engine.Effect // by kind, in order
	taken   map[string]engine.Effect   // by key
	wake    chan struct{}              // closed and replaced when something waits
	results []*rapport.Event
	refuse  int // appends to refuse
	denied  map[rapport.ID]bool
}

func newHouse() *house {
	return &house{waiting: map[string][]engine.Effect{}, taken: map[string]engine.Effect{}, wake: make(chan struct{}), denied: map[rapport.ID]bool{}}
}

func (h *house) put(kind string, m *deliver.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting[kind] = append(h.waiting[kind], engine.Effect{Kind: kind, Key: m.Key, Entity: m.Person, Payload: deliver.AppendPayload(nil, m)})
	close(h.wake)
	h.wake = make(chan struct{})
}

type box struct {
	h    *house
	kind string
}

func (b box) Next(ctx context.Context) (engine.Effect, error) {
	for {
		b.h.mu.Lock()
		if w := b.h.waiting[b.kind]; len(w) > 0 {
			b.h.waiting[b.kind] = w[1:]
			b.h.taken[w[0].Key] = w[0]
			b.h.mu.Unlock()
			return w[0], nil
		}
		wake := b.h.wake
		b.h.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return engine.Effect{}, ctx.Err()
		}
	}
}

func (b box) Release(key string) {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	if e, ok := b.h.taken[key]; ok {
		delete(b.h.taken, key)
		b.h.waiting[b.kind] = append(b.h.waiting[b.kind], e)
		close(b.h.wake)
		b.h.wake = make(chan struct{})
	}
}

func (h *house) append(_ context.Context, e *rapport.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse > 0 {
		h.refuse--
		return rapport.Errorf(rapport.Unavailable, "the disk is full")
	}
	h.results = append(h.results, e)
	key, _ := e.Properties.Get("key")
	delete(h.taken, key.Str())
	return nil
}

// Allows implements deliver.Consenter.
func (h *house) Allows(_ context.Context, person rapport.ID, _, _ string) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.denied[person], nil
}

// told returns the results by key: status and attempts.
func (h *house) told() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	for _, e := range h.results {
		key, _ := e.Properties.Get("key")
		status, _ := e.Properties.Get("status")
		attempts, _ := e.Properties.Get("attempts")
		n, _ := attempts.Number()
		out[key.Str()] += fmt.Sprintf("%s after %v", status.Str(), n)
	}
	return out
}

func (h *house) dispatcher() *deliver.Dispatcher {
	return deliver.New(deliver.Deps{
		Outbox: func(kind string) deliver.Outbox { return box{h, kind} }, Append: h.append, Consent: h,
		Clock: rapport.SystemClock{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// trial runs a dispatcher with destinations in a bubble of virtual time.
func trial(t *testing.T, destinations []deliver.Destination, fn func(h *house, d *deliver.Dispatcher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		d := h.dispatcher()
		d.Set(destinations)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = d.Run(ctx)
		}()
		fn(h, d)
		cancel()
		<-done
	})
}

func fresh(n int) *deliver.Message {
	m := delivertest.Message(n)
	m.Created = time.Now().UnixMilli()
	return m
}

func crm(s deliver.Sender) deliver.Destination {
	return deliver.Destination{Kind: "webhook/crm", Channel: "webhook", Sender: s, Parallel: 4, GiveUp: 24 * time.Hour}
}

func TestEveryMessageArrivesThroughAChannelThatFailsAtRandom(t *testing.T) {
	t.Parallel()
	c := delivertest.New(7, delivertest.Faults{Fail: 0.4, Lose: 0.1, Slow: 50 * time.Millisecond})
	trial(t, []deliver.Destination{crm(c)}, func(h *house, d *deliver.Dispatcher) {
		h.refuse = 5 // the log too is full for a moment
		for n := range 300 {
			h.put("webhook/crm", fresh(n))
		}
		time.Sleep(20 * time.Hour)
		synctest.Wait()
		if got := len(c.Arrived()); got != 300 {
			t.Errorf("%d of 300 arrived", got)
		}
		if len(h.results) != 300 || len(h.taken) != 0 {
			t.Errorf("%d results, %d without", len(h.results), len(h.taken))
		}
		if _, most := c.Attempts(); most > 4 {
			t.Errorf("%d attempts at once, 4 are allowed", most)
		}
		if s := d.Health()["webhook/crm"]; s.Delivered != 300 || s.Failed != 0 || s.UnderWay != 0 || s.Retrying != 0 {
			t.Errorf("health %+v", s)
		}
	})
}

func TestADeadDestinationDelaysNoOtherAndItsMessagesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	dead := delivertest.New(1, delivertest.Faults{Fail: 1, Slow: 10 * time.Second})
	alive := delivertest.New(2, delivertest.Faults{})
	other := crm(alive)
	other.Kind = "webhook/mail"
	trial(t, []deliver.Destination{crm(dead), other}, func(h *house, d *deliver.Dispatcher) {
		for n := range 500 {
			h.put("webhook/crm", fresh(n))
			h.put("webhook/mail", fresh(1000+n))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(alive.Arrived()); got != 500 {
			t.Errorf("beside a dead destination %d of 500 arrived within a second", got)
		}
		h.mu.Lock()
		taken := len(h.taken)
		h.mu.Unlock()
		if taken > 80 {
			t.Errorf("%d messages of a dead destination are in memory", taken)
		}
		time.Sleep(time.Hour)
		attempts, _ := dead.Attempts()
		if attempts > 60 {
			t.Errorf("a dead destination was tried %d times in an hour", attempts)
		}
		if s := d.Health()["webhook/crm"]; s.State != "paused" || s.PausedUntil == nil || s.LastError == "" {
			t.Errorf("health %+v", s)
		}
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		if s := d.Health()["webhook/crm"]; s.Failed == 0 {
			t.Errorf("after three days nothing was given up: %+v", s)
		}
		// It comes back: what is left arrives.
		dead.Set(delivertest.Faults{})
		before := len(dead.Arrived())
		h.put("webhook/crm", fresh(9999))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := dead.Arrived(); len(got) == before || got["webhook/crm/9999"] != 1 {
			t.Errorf("back again, it got %d", len(got))
		}
	})
}

func TestARefusedMessageIsADeadLetterThatCanBeSentAgain(t *testing.T) {
	t.Parallel()
	c := delivertest.New(1, delivertest.Faults{Refuse: 1})
	trial(t, []deliver.Destination{crm(c)}, func(h *house, d *deliver.Dispatcher) {
		m := fresh(1)
		h.put("webhook/crm", m)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(map[string]string{m.Key: "failed after 1"}, h.told()); diff != "" {
			t.Fatal(diff)
		}
		letter, err := deliver.ParseDeadLetter("webhook/crm", engine.Effect{Key: m.Key, Entity: m.Person, Payload: h.results[0].Body})
		if err != nil || letter.Event != "Order Completed" {
			t.Fatal(letter, err)
		}
		c.Set(delivertest.Faults{})
		if err := d.Replay(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
		again, err := deliver.ParseDeadLetter("webhook/crm", engine.Effect{Key: m.Key, Entity: m.Person, Payload: h.results[1].Body})
		if err != nil || again.Round != 1 {
			t.Fatal(again, err)
		}
		h.put("webhook/crm", again.Message) // as the fold does
		time.Sleep(time.Minute)
		synctest.Wait()
		if c.Arrived()[m.Key] != 1 || h.results[0].MessageID == h.results[2].MessageID {
			t.Errorf("arrived %v, results %v", c.Arrived(), h.told())
		}
	})
}

func TestConsentIsAskedBeforeEveryAttempt(t *testing.T) {
	t.Parallel()
	c := delivertest.New(1, delivertest.Faults{Fail: 1})
	trial(t, []deliver.Destination{crm(c)}, func(h *house, _ *deliver.Dispatcher) {
		m := fresh(1)
		h.put("webhook/crm", m)
		time.Sleep(time.Minute)
		h.mu.Lock()
		h.denied[m.Person] = true
		h.mu.Unlock()
		c.Set(delivertest.Faults{})
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(c.Arrived()) != 0 || len(h.results) != 1 {
			t.Errorf("arrived %v, results %v", c.Arrived(), h.told())
		}
	})
}

// asking is a sender that wants a pause first.
type asking struct {
	mu    sync.Mutex
	times []time.Time
	wait  time.Duration
}

func (a *asking) Send(context.Context, *deliver.Message) deliver.Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, time.Now())
	if len(a.times) == 1 {
		return deliver.Result{Status: deliver.Retry, Code: 429, After: a.wait, Busy: true}
	}
	return deliver.Result{Status: deliver.Delivered}
}

func TestADestinationThatAsksForAPauseGetsIt(t *testing.T) {
	t.Parallel()
	a := &asking{wait: 90 * time.Second}
	d := crm(a)
	d.Parallel = 1
	trial(t, []deliver.Destination{d}, func(h *house, _ *deliver.Dispatcher) {
		h.put("webhook/crm", fresh(1))
		h.put("webhook/crm", fresh(2))
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(a.times) != 3 || a.times[1].Sub(a.times[0]) < 90*time.Second {
			t.Errorf("sent at %v", a.times)
		}
	})
}

func TestAChangedDestinationTakesOverWhatWaits(t *testing.T) {
	t.Parallel()
	dead, alive := delivertest.New(1, delivertest.Faults{Fail: 1}), delivertest.New(2, delivertest.Faults{})
	trial(t, []deliver.Destination{crm(dead)}, func(h *house, d *deliver.Dispatcher) {
		for n := range 100 {
			h.put("webhook/crm", fresh(n))
		}
		time.Sleep(time.Minute)
		d.Set([]deliver.Destination{crm(alive)})
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(alive.Arrived()); got != 100 {
			t.Errorf("%d of 100 arrived at the new address", got)
		}
		d.Set(nil)
		h.put("webhook/crm", fresh(101))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := maps.Clone(alive.Arrived()); len(got) != 100 {
			t.Errorf("a destination taken out got %d", len(got))
		}
		if got := h.told()[fresh(101).Key]; got != "failed after 1" {
			t.Errorf("what came for a destination taken out: %q", got)
		}
	})
}

func TestTheFaultyChannelIsASender(t *testing.T) {
	t.Parallel()
	delivertest.Conform(t, func(*testing.T) delivertest.Fixture {
		c := delivertest.New(1, delivertest.Faults{Slow: time.Millisecond})
		return delivertest.Fixture{
			Sender: c, Message: delivertest.Message, Received: c.Arrived,
			Break:  func() { c.Set(delivertest.Faults{Fail: 1}) },
			Repair: func() { c.Set(delivertest.Faults{Slow: time.Millisecond}) },
		}
	})
}
