package decide_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/state"
)

// handClock is set by hand; whoever waits is let go when it passes their time.
type handClock struct {
	mu      sync.Mutex
	now     time.Time
	waiters []handWaiter
}

type handWaiter struct {
	at time.Time
	c  chan time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := handWaiter{c.now.Add(d), make(chan time.Time, 1)}
	if d <= 0 {
		w.c <- c.now
		return w.c
	}
	c.waiters = append(c.waiters, w)
	return w.c
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	kept := c.waiters[:0]
	for _, w := range c.waiters {
		if w.at.After(c.now) {
			kept = append(kept, w)
		} else {
			w.c <- c.now
		}
	}
	c.waiters = kept
}

// memory is a fold for tests: the last traits and the consent of a person.
type memory struct{}

func (memory) Name() string        { return "memory" }
func (memory) Version() uint32     { return 1 }
func (memory) Scope() engine.Scope { return engine.PerEntity }
func (memory) New() engine.State   { return &remembered{} }

type remembered struct{ traits, consent rapport.Fields }

func (s *remembered) Apply(_ *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeIdentify {
		s.traits = append(rapport.Fields(nil), e.Traits...)
	}
	if e.Name == rapport.EventConsentUpdated {
		purpose, _ := e.Properties.Get("purpose")
		allowed, _ := e.Properties.Get("allowed")
		s.consent = rapport.AppendField(s.consent, purpose.Str(), allowed)
	}
}

func (s *remembered) Merge(other engine.State) {
	s.consent = append(s.consent, other.(*remembered).consent...)
}

func (s *remembered) AppendBinary(b []byte) []byte {
	if len(s.traits)+len(s.consent) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(s.traits)))
	return append(append(b, s.traits...), s.consent...)
}

func (s *remembered) DecodeBinary(b []byte) error {
	*s = remembered{}
	if len(b) == 0 {
		return nil
	}
	n, k := binary.Uvarint(b)
	s.traits = append(rapport.Fields(nil), b[k:k+int(n)]...)
	s.consent = append(rapport.Fields(nil), b[k+int(n):]...)
	return nil
}

// env reads a remembered person.
type env struct {
	*remembered
	event *rapport.Event
	now   time.Time
}

func (e env) Value(root condition.Root, path []string) rapport.Value {
	var v rapport.Value
	switch {
	case root == condition.Traits:
		v, _ = e.traits.Path(path...)
	case root == condition.Properties && e.event != nil:
		v, _ = e.event.Properties.Path(path...)
	}
	return v
}
func (e env) Performed(*condition.Aggregate) rapport.Value { return rapport.NumberValue(0) }
func (e env) Degree(string) float64                        { return 0 }
func (e env) Consent(purpose, channel string) bool {
	v, said := e.consent.Get(purpose + "/" + channel)
	if !said {
		v, _ = e.consent.Get(purpose)
	}
	ok, _ := v.Bool()
	return ok
}
func (e env) Now() time.Time { return e.now }

// world is a deployment in memory: log, engine, model and decider.
type world struct {
	t       testing.TB
	log     *eventlogtest.Memory
	via     eventlog.Log // what the decider writes to; log unless a test puts something between
	clock   *handClock
	engine  *engine.Engine
	model   *decide.Model
	recent  *decide.Recent
	decider *decide.Decider
	version atomic.Int64
	configs sync.Map // version -> *engine.Config
	events  atomic.Int64
	stop    func()
}

const partitions = 4

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// open starts a world with a config.
func open(t testing.TB, docs decide.Documents) *world {
	t.Helper()
	w := &world{t: t, log: eventlogtest.NewMemory(partitions), clock: &handClock{now: start}}
	w.log.Clock = w.clock
	w.via = w.log
	w.apply(docs)
	w.run(nil)
	t.Cleanup(func() { w.stop() })
	return w
}

// apply publishes another config.
func (w *world) apply(docs decide.Documents) {
	w.t.Helper()
	c, err := decide.Compile(docs)
	if err != nil {
		w.t.Fatal(err)
	}
	v := w.version.Add(1)
	w.configs.Store(v, engine.NewConfig(v, map[string]any{decide.Part: c}))
	w.append(engine.BarrierRecords(partitions, v)...)
}

func (w *world) append(records ...eventlog.Record) {
	w.t.Helper()
	if err := eventlog.Append(w.t.Context(), w.log, records...); err != nil {
		w.t.Fatal(err)
	}
}

// run starts engine, model and decider over the log.
func (w *world) run(seed func() uint64) {
	w.t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := state.Open(state.Options{Dir: w.t.TempDir(), Logger: quiet})
	if err != nil {
		w.t.Fatal(err)
	}
	w.engine, err = engine.Open(engine.Options{
		Log: w.log, Store: store, Clock: w.clock, Logger: quiet, DedupDir: w.t.TempDir(),
		Folds: []engine.Fold{memory{}, decide.InterestFold{}, decide.Fold{Env: func(c *engine.Context, e *rapport.Event) condition.Env {
			return env{c.State("memory").(*remembered), e, rapport.Time(c.Time)}
		}}},
		Configs: func(v int64) (*engine.Config, error) {
			c, _ := w.configs.Load(v)
			return c.(*engine.Config), nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.model = decide.NewModel()
	w.recent = decide.NewRecent(w.log, 300)
	if seed == nil {
		seed = decide.SeededRandom(1)
	}
	w.decider = decide.New(decide.Deps{
		Home: w.engine, Log: w.via, Model: w.model, Recent: w.recent, Clock: w.clock, Random: seed,
		Env: func(v *engine.View, now time.Time) condition.Env {
			return env{v.State("memory").(*remembered), nil, now}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := w.engine.Run(ctx); err != nil {
			w.t.Error("engine:", err)
		}
	})
	once := sync.Once{}
	w.stop = func() {
		once.Do(func() {
			cancel()
			wait.Wait()
			_ = store.Close()
		})
	}
	if err := w.engine.Ready(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// restart drops all state and folds the log again.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.run(decide.SeededRandom(2))
}

// event appends an event of a person, as accepted now.
func (w *world) event(person rapport.ID, typ rapport.EventType, name string, fields map[string]any) {
	w.t.Helper()
	n := w.events.Add(1)
	now := rapport.Millis(w.clock.Now())
	e := &rapport.Event{
		Type: typ, Name: name, MessageID: fmt.Sprint("m", n), Source: "test", Entity: person, Fragment: person,
		Timestamp: now, OriginalTimestamp: now, ReceivedAt: now, Properties: rapport.FieldsOf(fields),
	}
	if typ == rapport.TypeIdentify {
		e.Traits, e.Properties = e.Properties, nil
	}
	w.append(engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), int32(person.Partition(partitions))))
}

func (w *world) track(person rapport.ID, name string, properties map[string]any) {
	w.t.Helper()
	w.event(person, rapport.TypeTrack, name, properties)
}

// decide asks for a decision, which must succeed.
func (w *world) decide(person rapport.ID, placement string) *rapport.Decision {
	w.t.Helper()
	d, err := w.decider.Decide(w.t.Context(), decide.Request{Person: person, Placement: placement})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// learned lets the model fold every lesson caused so far.
func (w *world) learned() *decide.Knowledge {
	w.t.Helper()
	// A flush commits everything acknowledged, and that waits until what was derived is durable.
	if err := w.engine.View(w.t.Context(), who(0), nil, func(*engine.View) error { return nil }); err != nil {
		w.t.Fatal(err)
	}
	if err := w.engine.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	_, next := w.log.Bounds(eventlog.Rewards, 0)
	from := w.model.Knowledge().Version() + 1
	if from >= next {
		return w.model.Knowledge()
	}
	r, err := w.log.Reader(eventlog.Rewards, 0, from)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	for w.model.Knowledge().Version() < next-1 {
		records, err := r.Next(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.model.Fold(records); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.model.Knowledge()
}

// who returns the n-th person.
func who(n uint64) (id rapport.ID) {
	r := rand.New(rand.NewPCG(n, 77))
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	id[0] = byte(rapport.RankUserID)
	return id
}

func goal(event string, within time.Duration, value float64) decide.GoalDoc {
	return decide.GoalDoc{Event: event, Within: rapport.Duration(within), Value: decide.FixedAmount(value)}
}

func share(x float64) *float64 { return &x }

func parse(t testing.TB, text string) *condition.Condition {
	t.Helper()
	c, err := condition.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
