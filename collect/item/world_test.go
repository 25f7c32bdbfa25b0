package item_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/state"
	"github.com/rapport-engine/rapport/twin"
)

var start = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// clock stands still until a test moves it; its timers fire at once, so that
// partition time follows.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	tick chan time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(time.Duration) <-chan time.Time { return c.tick }

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

type world struct {
	testing.TB
	clock *clock
	door  *item.Door
	who   *identity.Resolver
	eng   *engine.Engine
}

func number(f float64) *float64 { return &f }

// canister is the product of most tests.
var canister = catalog.ProductDoc{
	ID: "canister", GTIN: "09506000134352", Name: "Smart canister", Category: "canister", Share: []string{"level"},
	Signals: []catalog.SignalDoc{{Reading: "level", Below: number(0.2), Rearm: number(0.5), Event: twin.ProductRunningLow, Stage: "low"}},
}

const can = "01_09506000134352_21_ABC123"

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: &clock{now: start, tick: make(chan time.Time)}}
	log := eventlogtest.NewMemory(4)
	log.Clock = w.clock
	logger := slog.New(slog.DiscardHandler)
	store, err := state.Open(state.Options{Dir: t.TempDir(), Logger: logger, CacheBytes: 8 << 20, MemTableBytes: 4 << 20})
	w.must(err)
	w.who, err = identity.Open(t.Context(), identity.Options{Key: []byte("a key for tests only"), Log: log, State: store, Clock: w.clock, Logger: logger})
	w.must(err)
	products, err := catalog.Compile([]catalog.ProductDoc{canister})
	w.must(err)
	mint := func(kind, value string) rapport.ID { return w.who.Mint(kind, value, 0) }
	w.eng, err = engine.Open(engine.Options{
		Log: log, Store: store, Clock: w.clock, Logger: logger, EraseKey: []byte("another key for tests"), DedupDir: t.TempDir(), DedupMax: 1 << 16,
		Folds: []engine.Fold{profile.ActivityFold{}, twin.Fold{Mint: mint}, twin.NameFold{Mint: mint}, twin.ThingsFold{}},
		Configs: func(v int64) (*engine.Config, error) {
			return engine.NewConfig(v, map[string]any{catalog.Part: products}), nil
		},
	})
	w.must(err)
	w.door = item.New(item.Deps{Log: log, Resolver: w.who, Engine: w.eng, Clock: w.clock, Key: []byte("signing key for tests")})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{w.eng.Run, w.who.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		w.must(store.Close())
	})
	w.must(w.eng.Ready(t.Context()))
	w.must(log.Submit(engine.BarrierRecords(4, 1)).Wait(t.Context()))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// register makes the canister known.
func (w *world) register() {
	w.Helper()
	w.must(w.door.Register(w.Context(), []item.Registration{{Item: can, Facts: map[string]string{"lot": "L7"}, ClaimCode: "WELCOME-1", Stage: twin.Sold}}))
}

func (w *world) send(ch item.Channel, payload string) {
	w.Helper()
	w.must(w.door.Send(w.Context(), can, ch, []byte(payload)))
}

func (w *world) item() *twin.Item {
	w.Helper()
	s, err := w.door.Item(w.Context(), can)
	w.must(err)
	return s
}

func user(id string) rapport.Identifier {
	return rapport.Identifier{Kind: rapport.KindUserID, Value: id}
}

// person reads what a person did, by event name.
func (w *world) person(who rapport.Identifier) (counts map[string]int64, things []twin.Thing) {
	w.Helper()
	counts = map[string]int64{}
	w.must(w.eng.View(w.Context(), w.who.Identified(who), nil, func(v *engine.View) error {
		if a, _ := v.State(profile.FoldActivity).(*profile.Activity); a != nil {
			a.Counts(func(name string, n, _ int64) { counts[name] = n })
		}
		things = twin.ReadThings(v)
		return nil
	}))
	return counts, things
}

func fields(m map[string]any) rapport.Fields { return rapport.FieldsOf(m) }
