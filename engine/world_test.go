package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/state"
)

// clock is a clock a test moves.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	waiting map[chan time.Time]time.Time
}

func newClock() *clock {
	return &clock{now: time.UnixMilli(1_700_000_000_000), waiting: map[chan time.Time]time.Time{}}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1) // the clock never waits
	if d <= 0 {
		ch <- c.now
		return ch
	}
	c.waiting[ch] = c.now.Add(d)
	return ch
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for ch, at := range c.waiting {
		if !at.After(c.now) {
			ch <- c.now
			delete(c.waiting, ch)
		}
	}
}

// world is an engine over a log in memory, and what a test does to them.
type world struct {
	t      testing.TB
	clock  *clock
	log    eventlog.Log
	memory *eventlogtest.Memory
	dir    string
	opts   engine.Options
	store  *state.Store
	eng    *engine.Engine
	stop   func()
	n      int
}

func newWorld(t testing.TB, partitions int, folds ...engine.Fold) *world {
	t.Helper()
	w := &world{t: t, clock: newClock(), memory: eventlogtest.NewMemory(partitions), dir: t.TempDir()}
	w.memory.Clock = w.clock
	w.log = w.memory
	w.opts = engine.Options{
		Clock: w.clock, Folds: folds, Logger: slog.New(slog.DiscardHandler), EraseKey: []byte("key of a test"),
		Limits: engine.Limits{CacheEntities: 64, CommitEntities: 16, CommitAge: 5 * time.Millisecond},
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start opens the store and the engine and waits until it is ready.
func (w *world) start() *world {
	w.t.Helper()
	var err error
	w.store, err = state.Open(state.Options{Dir: w.dir + "/state", Logger: w.opts.Logger, MemTableBytes: 4 << 20})
	w.must(err)
	w.opts.Log, w.opts.Store, w.opts.DedupDir = w.log, w.store, w.dir+"/dedup"
	w.eng, err = engine.Open(w.opts)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	eng, store := w.eng, w.store
	go func() { done <- eng.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		if err := store.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(w.stop)
	w.must(w.eng.Ready(w.t.Context()))
	return w
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// id returns an entity id whose home is fixed by the number alone.
func id(n int) rapport.ID {
	var id rapport.ID
	id[0] = byte(rapport.RankUserID)
	binary.BigEndian.PutUint32(id[1:], uint32(n))
	binary.LittleEndian.PutUint64(id[8:], uint64(n)*0x9e3779b97f4a7c15)
	return id
}

// event returns the n-th event, of an entity and fragment, at the clock's time.
func (w *world) event(entity, fragment rapport.ID, name string) rapport.Event {
	w.n++
	at := rapport.Millis(w.clock.Now())
	return rapport.Event{
		Type: rapport.TypeTrack, Name: name, MessageID: fmt.Sprintf("m%d", w.n), Source: "web",
		Timestamp: at, ReceivedAt: at, OriginalTimestamp: at, Entity: entity, Fragment: fragment,
	}
}

func (w *world) partitions() int { return w.log.Partitions(eventlog.Events) }

// record routes an event by its fragment, as a door does by its strongest identifier.
func (w *world) record(e rapport.Event) eventlog.Record {
	return engine.EventRecord(&e, engine.Fingerprint(e.Source, e.MessageID), int32(e.Fragment.Partition(w.partitions())))
}

func (w *world) submit(records ...eventlog.Record) {
	w.t.Helper()
	w.must(eventlog.Append(w.t.Context(), w.log, records...))
}

func (w *world) track(entity, fragment rapport.ID, name string) {
	w.t.Helper()
	w.submit(w.record(w.event(entity, fragment, name)))
}

func (w *world) merge(from, to rapport.ID) {
	w.t.Helper()
	w.submit(engine.MergeRecord(w.partitions(), from, to, "link"))
}

func (w *world) split(entity, fragment, target rapport.ID) {
	w.t.Helper()
	w.submit(engine.SplitRecords(w.partitions(), entity, fragment, target, "unlink")...)
}

func (w *world) view(id rapport.ID, fn func(v *engine.View)) {
	w.t.Helper()
	w.must(w.eng.View(w.t.Context(), id, nil, func(v *engine.View) error { fn(v); return nil }))
}

// await asks until something holds, where there is no other sign of it than the
// figures the engine tells.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s: %+v", what, w.eng.Stats())
		}
	}
}

// hold keeps the home of an entity busy until it is released.
func (w *world) hold(who rapport.ID) (release func()) {
	w.t.Helper()
	held, quit := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1) // the view outlives a test that failed
	go func() {
		done <- w.eng.View(w.t.Context(), who, []engine.Token{}, func(*engine.View) error {
			close(held)
			<-quit
			return nil
		})
	}()
	select {
	case <-held:
	case err := <-done:
		w.t.Fatalf("the view ended: %v", err)
	}
	release = sync.OnceFunc(func() { close(quit) })
	w.t.Cleanup(release)
	return release
}

// lag is how many records are in the log and not folded.
func (w *world) lag() (n int64) {
	for _, p := range w.eng.Stats().Partitions {
		n += p.Lag
	}
	return n
}

// total returns how many events an entity has counted, by state and by rows.
func (w *world) total(id rapport.ID) int {
	w.t.Helper()
	total, rows := 0, 0
	w.view(id, func(v *engine.View) {
		total = int(v.State("counts").(*countState).total())
		r := v.Rows("counts")
		w.must(r.Walk(nil, nil, true, func(_, _ []byte) bool { rows++; return true }))
		w.must(r.Close())
	})
	if total != rows {
		w.t.Errorf("entity %s counts %d events and has %d rows", id, total, rows)
	}
	return total
}

func (w *world) hash() engine.Hash {
	w.t.Helper()
	h, err := w.eng.Hash(w.t.Context())
	w.must(err)
	return h
}

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 42)) }
