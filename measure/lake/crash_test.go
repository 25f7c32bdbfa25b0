package lake_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/measure/lake"
)

// TestAStopAnywhereLosesAndRepeatsNothing ends the lake before each change on
// disk in turn, as kill -9 would, and goes on from the files alone.
func TestAStopAnywhereLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	r := rand.New(rand.NewPCG(1, 2))
	var past []rapport.Event
	var mu sync.Mutex
	erased := map[rapport.ID]int64{}
	w.opts.BatchRows = 16
	w.opts.Gone = func() func(lake.Trace) bool {
		return func(x lake.Trace) bool {
			mu.Lock()
			defer mu.Unlock()
			return x.At <= erased[x.Entity]
		}
	}
	stops := 0
	for round := range 30 {
		for range r.IntN(30) {
			if len(past) > 0 && r.IntN(4) == 0 {
				e := past[r.IntN(len(past))]
				if !w.want[e.MessageID] {
					continue // of somebody erased
				}
				w.append(e)
				continue
			}
			e := w.event(r.IntN(9), r.IntN(3))
			past = append(past, e)
			w.append(e)
		}
		if round%10 == 9 {
			who := id(r.IntN(9))
			mu.Lock()
			erased[who] = past[len(past)-1].Timestamp + 3*24*3600_000
			mu.Unlock()
			for _, e := range past {
				if e.Entity == who {
					delete(w.want, e.MessageID)
				}
			}
		}
		left := r.IntN(14)
		plain := w.opts
		w.opts = w.opts.WithStep(func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				return lake.ErrStopped
			}
			return nil
		})
		if err := w.try(); err != nil { // Open itself may be where it stops
			stops++
		} else {
			for who := range erased {
				w.must(w.lake.Erase(who.String(), []rapport.ID{who}))
			}
			if err := w.lake.Sync(t.Context()); err != nil {
				stops++
			}
			w.stop()
		}
		w.opts = plain
		w.open()
		for who := range erased {
			w.must(w.lake.Erase(who.String(), []rapport.ID{who}))
		}
		w.must(w.lake.Sync(t.Context()))
		w.stop()
		for _, e := range past { // what came of somebody erased later is not wanted either
			if e.Timestamp <= erased[e.Entity] {
				delete(w.want, e.MessageID)
			}
		}
		w.check()
	}
	if stops < 8 {
		t.Errorf("only %d of 30 rounds were stopped in the middle", stops)
	}
}
