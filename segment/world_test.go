package segment_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
	"github.com/rapport-engine/rapport/state"
)

const partitions = 3

// clock stands still until a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(time.Duration) <-chan time.Time { return nil }

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a server without doors: identity, log, engine, profile and segments.
type world struct {
	t      testing.TB
	clock  *clock
	log    *eventlogtest.Memory
	dir    string
	config *engine.Config
	who    *identity.Resolver
	eng    *engine.Engine
	stop   func()
	zones  profile.Zones
	n      int
}

func parse(t testing.TB, text string) *condition.Condition {
	t.Helper()
	c, err := condition.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// compile makes a configuration of segments, by id, and computed traits.
func compile(t testing.TB, segments map[string]string, computed ...profile.ComputedDoc) *engine.Config {
	t.Helper()
	var docs []segment.Doc
	for id, when := range segments {
		docs = append(docs, segment.Doc{ID: id, When: parse(t, when)})
	}
	questions, err := profile.CompileAll(profile.Documents{Computed: computed, Conditions: []iter.Seq[condition.Expr]{func(yield func(condition.Expr) bool) {
		for _, d := range docs {
			if !yield(d.When) {
				return
			}
		}
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := segment.Compile(segment.Documents{Segments: docs, Profile: questions})
	if err != nil {
		t.Fatal(err)
	}
	return engine.NewConfig(1, map[string]any{profile.Part: questions, segment.Part: c})
}

func newWorld(t testing.TB, config *engine.Config) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)}, log: eventlogtest.NewMemory(partitions), dir: t.TempDir(), config: config}
	w.log.Clock = w.clock
	w.must(eventlog.Append(t.Context(), w.log, engine.BarrierRecords(partitions, 1)...))
	w.start()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) folds() []engine.Fold {
	env := func(c *engine.Context, into *profile.Env) { into.Event(c, &w.zones, nil) }
	return []engine.Fold{profile.ActivityFold{}, profile.ConsentFold{}, profile.AboutFold{}, profile.AggregateFold{}, profile.TimelineFold{}, segment.NewFold(env)}
}

func (w *world) start() {
	w.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	store, err := state.Open(state.Options{Dir: w.dir + "/state", Logger: logger, CacheBytes: 8 << 20, MemTableBytes: 4 << 20})
	w.must(err)
	w.who, err = identity.Open(context.Background(), identity.Options{
		Key: []byte("a key for tests only"), Log: w.log, State: store, Clock: w.clock, Logger: logger,
		Settled: func(ctx context.Context) error {
			return w.eng.View(ctx, rapport.ID{}, nil, func(*engine.View) error { return nil })
		},
	})
	w.must(err)
	w.eng, err = engine.Open(engine.Options{
		Log: w.log, Store: store, Clock: w.clock, Logger: logger, EraseKey: []byte("another key"), Folds: w.folds(),
		Configs: func(int64) (*engine.Config, error) { return w.config, nil },
		Limits:  engine.Limits{CacheEntities: 48, CommitEntities: 8, CommitAge: 5 * time.Millisecond},
	})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{w.eng.Run, w.who.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	stopped := false
	w.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			wg.Wait()
			w.must(store.Close())
		}
	}
	w.t.Cleanup(w.stop)
	w.must(w.eng.Ready(w.t.Context()))
}

// event returns an event of a user that a client dates some time before the
// clock's time, or after it: then it is taken as the door takes it.
func (w *world) event(user string, kind rapport.EventType, name string, ago time.Duration, fields map[string]any) rapport.Event {
	w.n++
	now := w.clock.Now()
	e := rapport.Event{
		Type: kind, Name: name, Source: "web", MessageID: fmt.Sprintf("m%d", w.n), Timestamp: rapport.Millis(now.Add(-ago)), ReceivedAt: rapport.Millis(now),
		Identifiers: []rapport.Identifier{{Kind: rapport.KindUserID, Value: user}},
	}
	if ago < 0 {
		var b segmentwire.Batch
		body := fmt.Sprintf(`{"type":"track","event":"any","userId":"any","timestamp":%q}`, now.Add(-ago).Format(time.RFC3339Nano))
		w.must(segmentwire.Parse([]byte(body), &segmentwire.Options{ReceivedAt: e.ReceivedAt}, &b))
		e.Timestamp = b.Events[0].Timestamp
	}
	if kind == rapport.TypeIdentify {
		e.Traits = rapport.FieldsOf(fields)
	} else {
		e.Properties = rapport.FieldsOf(fields)
	}
	return e
}

// submit stamps and appends an event as a door does, and returns it stamped.
func (w *world) submit(e rapport.Event) rapport.Event {
	w.t.Helper()
	events := []rapport.Event{e}
	s, err := w.who.Stamp(events)
	w.must(err)
	records := []eventlog.Record{engine.EventRecord(&events[0], engine.Fingerprint(e.Source, e.MessageID), w.who.Partition(&events[0], partitions))}
	p := w.log.Submit(append(records, s.Records...))
	s.Submitted(p)
	w.must(p.Wait(w.t.Context()))
	return events[0]
}

// tick lets time pass in every partition.
func (w *world) tick() {
	w.t.Helper()
	var records []eventlog.Record
	for p := range int32(partitions) {
		records = append(records, eventlog.Record{Topic: eventlog.Events, Partition: p, Kind: engine.KindTick, Time: rapport.Millis(w.clock.Now())})
	}
	w.must(eventlog.Append(w.t.Context(), w.log, records...))
}

func (w *world) view(user string, fn func(v *engine.View)) {
	w.t.Helper()
	id, err := w.who.Ref("userId:" + user)
	w.must(err)
	w.must(w.eng.View(w.t.Context(), id, nil, func(v *engine.View) error { fn(v); return nil }))
}
