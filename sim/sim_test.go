package sim_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/sim"
)

// keeper holds the state of a world between two of its lives.
type keeper struct{ state []byte }

func (k *keeper) save(b []byte) error { k.state = b; return nil }

func open(t *testing.T, w *sim.World, s *server, k *keeper, o sim.Options) *sim.Sim {
	t.Helper()
	o.World, o.URL, o.State, o.Save = w, "http://rapport.example", k.state, k.save
	o.HTTPClient = &http.Client{Transport: s}
	world, err := sim.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return world
}

func TestBackfillSendsEveryEventOnceWhateverTheServerDoes(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	w.Shoppers = 800
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(t), &keeper{}
		s.fail = 5
		s.stop = 80 // then it refuses for good, as if its disk were full
		world := open(t, w, s, k, sim.Options{})
		if err := world.Backfill(t.Context(), nil); rapport.KindOf(err) != rapport.Invalid {
			t.Fatalf("the refusal was not told: %v", err)
		}
		ended := world.End()
		if err := world.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		state, err := sim.ReadState(k.state)
		if err != nil || state.Imported < 0 || state.Imported >= w.Shoppers {
			t.Fatalf("stopped at %d of %d: %v", state.Imported, w.Shoppers, err)
		}

		time.Sleep(time.Hour) // virtual: the operator made room
		s.stop = 0
		world = open(t, w, s, k, sim.Options{})
		if !world.End().Equal(ended) {
			t.Errorf("history ends at %s, then at %s", ended, world.End())
		}
		var last sim.Progress
		if err := world.Backfill(t.Context(), func(p sim.Progress) { last = p }); err != nil {
			t.Fatal(err)
		}
		if err := world.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if last.Shoppers != w.Shoppers || last.Total != w.Shoppers || last.Events == 0 {
			t.Errorf("progress at the end: %+v", last)
		}

		want := map[string]string{}
		w.History(ended, 0, w.Shoppers, func(channel string, event []byte) bool {
			want[read(t, event).MessageID] = w.Sources[channel].Key
			return true
		})
		for id, key := range want {
			if s.sources[id] != key || !s.imported[id] {
				t.Fatalf("event %s came by %q, not %q", id, s.sources[id], key)
			}
		}
		if len(s.events) != len(want) {
			t.Errorf("%d events, want %d", len(s.events), len(want))
		}
		latest := map[string]time.Time{}
		for _, id := range s.order {
			h := s.events[id]
			who := strings.Split(id, "-")[1] + s.sources[id]
			if h.Timestamp.Before(latest[who]) {
				t.Fatalf("out of order for one person and source: %v", h)
			}
			latest[who] = h.Timestamp
		}
	})
}

// inhabit lets a world live for some virtual time.
func inhabit(t *testing.T, world *sim.Sim, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := world.Live(ctx); err != nil {
		t.Fatal(err)
	}
	if err := world.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func uniformly(w *sim.World, holdout float64) func(int, string) ([]string, bool) {
	r := rand.New(rand.NewPCG(1, 2))
	return func(_ int, placement string) ([]string, bool) {
		if r.Float64() < holdout {
			return nil, true
		}
		var on []string
		for _, a := range w.Actions {
			for _, p := range a.Placements {
				if p == placement {
					on = append(on, a.ID)
				}
			}
		}
		return []string{on[r.IntN(len(on))]}, false
	}
}

func TestTheWorldLivesOnAcrossRestartsWithoutASecondIdentity(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	w.Shoppers = 400
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(t), &keeper{}
		s.decide = uniformly(w, 0)
		inhabit(t, open(t, w, s, k, sim.Options{Visits: 60}), time.Hour)
		first, decisions := len(s.events), len(s.decisions)
		if first < 500 || decisions < 200 {
			t.Fatalf("%d events and %d decisions in an hour", first, decisions)
		}
		stopped, err := sim.ReadState(k.state)
		if err != nil || stopped.Visits < 2500 || len(stopped.Met) == 0 || stopped.Born == 0 {
			t.Fatalf("state after an hour: %d visits, %d met, %d born, %v", stopped.Visits, len(stopped.Met), stopped.Born, err)
		}
		time.Sleep(30 * time.Minute)
		inhabit(t, open(t, w, s, k, sim.Options{Visits: 60}), 30*time.Minute)
		if len(s.events) < first+first/4 {
			t.Errorf("%d events, then %d", first, len(s.events))
		}

		owner := map[string]string{} // of a device
		shown := map[string]bool{}
		kinds := map[string]int{}
		for _, id := range s.order {
			h := s.events[id]
			shopper := strings.Split(id, "-")[1]
			if h.AnonymousID != "" {
				if o, ok := owner[h.AnonymousID]; ok && o != shopper {
					t.Fatalf("a device of %s is used by %s", o, shopper)
				}
				owner[h.AnonymousID] = shopper
			}
			if h.UserID != "" {
				if o, ok := owner[h.UserID]; ok && o != shopper {
					t.Fatalf("the account of %s is used by %s", o, shopper)
				}
				owner[h.UserID] = shopper
			}
			kinds[h.Event]++
			d, _ := h.Properties["decisionId"].(string)
			switch h.Event {
			case "Decision Shown":
				if s.decisions[d] == "" {
					t.Fatalf("shown, but never decided: %v", h)
				}
				shown[d] = true
			case "Decision Clicked", "Decision Dismissed":
				if !shown[d] {
					t.Fatalf("%s, but never shown: %v", h.Event, h)
				}
			}
			if s.imported[id] {
				t.Fatalf("the present was sent as history: %v", h)
			}
		}
		for _, name := range []string{"Decision Shown", "Decision Clicked", "Decision Dismissed", "Order Completed", "Product Viewed", "Checkout Started"} {
			if kinds[name] == 0 {
				t.Errorf("no %s in all", name)
			}
		}
	})
}

func TestAServerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	w.Shoppers = 300
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(t), &keeper{}
		s.decide = uniformly(w, 0)
		s.fail = 2
		inhabit(t, open(t, w, s, k, sim.Options{Visits: 30}), 30*time.Minute)
		pages := 0
		for _, h := range s.events {
			if h.Type == "page" || h.Type == "screen" {
				pages++
			}
		}
		if pages < 300 {
			t.Errorf("%d pages arrived", pages)
		}
	})
}

func TestTheLedgerFindsRandomChoiceAsBadAsItIsAndTheHoldoutUntouched(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	w.Shoppers = 2000
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(t), &keeper{}
		s.decide = uniformly(w, 0.1)
		world := open(t, w, s, k, sim.Options{Visits: 120})
		inhabit(t, world, time.Hour)
		a := world.Ledger().Account()
		if a.Decisions < 4_000 || a.Regret < 0.9 || a.Regret > 1.1 {
			t.Errorf("%d random decisions have a regret of %.3f", a.Decisions, a.Regret)
		}
		if a.Best <= a.Random || a.Holdout == 0 || len(a.Curve) < 3 || len(a.Actions) != len(w.Actions) {
			t.Errorf("account %+v", a)
		}
		clicks, expected := 0.0, 0.0
		for _, x := range a.Actions {
			clicks += float64(x.Clicked)
			expected += x.TrueClick * float64(x.Shown)
		}
		if clicks < 0.88*expected || clicks > 1.12*expected {
			t.Errorf("%.0f clicks, the truth expects %.0f", clicks, expected)
		}
	})
}

func TestRemovingTheWorldErasesEveryNameOfEverybody(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	w.Shoppers = 120
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(t), &keeper{}
		s.decide = uniformly(w, 0)
		world := open(t, w, s, k, sim.Options{Visits: 60})
		if err := world.Backfill(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		inhabit(t, world, time.Hour)
		world = open(t, w, s, k, sim.Options{Token: "admin"})
		var done atomic.Int64
		if err := world.Remove(t.Context(), func(n, _ int) { done.Store(max(done.Load(), int64(n))) }); err != nil {
			t.Fatal(err)
		}
		if err := world.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if int(done.Load()) < w.Shoppers {
			t.Errorf("%d of %d removed", done.Load(), w.Shoppers)
		}
		for _, h := range s.events {
			if h.UserID != "" && !s.erased["userId:"+h.UserID] || h.AnonymousID != "" && !s.erased["anonymousId:"+h.AnonymousID] {
				t.Fatalf("%s / %s is left", h.UserID, h.AnonymousID)
			}
		}
	})
}

func TestAStateOfAnotherWorldIsRefused(t *testing.T) {
	t.Parallel()
	for _, state := range []string{`{"world":"other","seed":7}`, `{"world":"northbean","seed":8}`, `{`} {
		_, err := sim.Open(sim.Options{World: northbean(t), URL: "http://rapport.example", State: []byte(state)})
		if rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%s: %v", state, err)
		}
	}
}
