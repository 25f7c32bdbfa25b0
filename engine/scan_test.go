package engine_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// TestAScanReadsWhatViewsRead walks everybody, and a sample, with states kept
// apart and not, of people merged and taken apart, some of them looked at and
// some passed over: what it reads of each is what a view of them shows.
func TestAScanReadsWhatViewsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, counts{}, coldCounts{counts{cold: true}}).start()
	r := rng(5)
	const people = 150
	for range 900 {
		n := r.IntN(people)
		w.track(id(n), id(n), []string{"a", "ab", "b"}[r.IntN(3)])
	}
	for range 20 {
		w.merge(id(r.IntN(people)), id(r.IntN(people)))
	}
	w.split(id(3), id(3), id(3))
	type read struct{ Warm, Cold int64 }
	of := func(v *engine.View) read {
		return read{v.State("counts").(*countState).total(), v.State("cold").(*countState).total()}
	}
	want := map[rapport.ID]read{}
	for n := range people {
		w.view(id(n), func(v *engine.View) {
			if v.Exists() {
				want[v.ID()] = of(v)
			}
		})
	}
	scan := func(o engine.ScanOptions, each int) map[rapport.ID]read {
		got := map[rapport.ID]read{}
		var mu sync.Mutex
		n := 0
		w.must(w.eng.Scan(t.Context(), o, func(_ int, v *engine.View) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%each == 0 {
				if b, ok := v.Encoded("cold"); ok { // as stored, before and after it is decoded
					var s countState
					w.must(s.DecodeBinary(b))
					got[v.ID()] = read{v.State("counts").(*countState).total(), s.total()}
				} else {
					got[v.ID()] = of(v)
				}
			}
			return nil
		}))
		return got
	}
	for range 2 { // from memory and from the store
		if diff := cmp.Diff(want, scan(engine.ScanOptions{}, 1)); diff != "" {
			t.Errorf("everybody (-views +scan):\n%s", diff)
		}
		for _, x := range []struct {
			o    engine.ScanOptions
			each int
		}{ // ids of this test begin with their number
			{engine.ScanOptions{}, 3}, {engine.ScanOptions{Share: 60.0 / (1 << 32), Seed: 50 << 32}, 1}, {engine.ScanOptions{Share: 90.0 / (1 << 32), Seed: 30 << 32}, 2},
		} {
			got := scan(x.o, x.each)
			if len(got) == 0 || len(got) == len(want) {
				t.Errorf("%d of %d people are no part of them", len(got), len(want))
			}
			for id, have := range got {
				if have != want[id] {
					t.Errorf("%s: scanned %v, viewed %v", id, have, want[id])
				}
			}
		}
		w.restart()
	}
}
