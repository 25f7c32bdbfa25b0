package engine_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/engine"
)

// drainMail takes effects of the kind mail and tells their results, until stopped.
func (w *world) drainMail(seen *sync.Map) (stop func()) {
	done := make(chan struct{})
	ctx, eng := w.t.Context(), w.eng
	quit := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := eng.Effects("mail").Next(ctx)
			if err != nil {
				return
			}
			if _, again := seen.LoadOrStore(e.Key, true); again {
				w.t.Errorf("effect %s was offered twice", e.Key)
			}
			select {
			case <-quit:
				return
			default:
			}
		}
	}()
	return func() { close(quit) }
}

func TestAFoldChangesItsVersionOnARunningEngineWithoutLossOrRepetition(t *testing.T) {
	for seed := range uint64(6) {
		l := live(400+seed, 300, 12)
		w := newWorld(t, 3, counts{}, coldCounts{counts{cold: true}}, diary{}).start()
		var sent sync.Map
		w.drainMail(&sent)
		half := len(l.submissions) / 2
		l.tell(w, 0, half)
		replaced := make(chan error, 1)
		go func() {
			replaced <- w.eng.Replace(t.Context(), counts{version: 3}, coldCounts{counts{cold: true, version: 2}})
		}()
		l.tell(w, half, len(l.submissions))
		w.must(<-replaced)
		want := map[int]int{}
		for m, p := range l.person {
			want[p] += l.counted[m]
		}
		for p, n := range want {
			var hot, cold int64
			rows := 0
			w.view(id(p), func(v *engine.View) {
				hot = v.State("counts").(*countState).total()
				cold = v.State("cold").(*countState).total()
				r := v.Rows("counts")
				w.must(r.Walk(nil, nil, false, func(_, _ []byte) bool { rows++; return true }))
				w.must(r.Close())
			})
			if hot != 3*int64(n) || rows != n || cold%2 != 0 || cold > 2*int64(n) {
				t.Errorf("seed %d: person %d: counts %d (want %d), %d rows, cold %d", seed, p, hot, 3*n, rows, cold)
			}
		}
		got := w.hash()
		w.opts.Folds = []engine.Fold{counts{version: 3}, coldCounts{counts{cold: true, version: 2}}, diary{}}
		w.restart()
		if diff := cmp.Diff(got, w.hash()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
		w.stop()
		if t.Failed() {
			t.FailNow()
		}
	}
}

func TestAStartWithAnotherVersionBuildsItFromTheLog(t *testing.T) {
	w := newWorld(t, 3, counts{}, diary{}).start()
	l := live(500, 150, 8)
	l.tell(w, 0, len(l.submissions))
	w.hash()
	w.stop()
	w.opts.Folds = []engine.Fold{counts{version: 7}, diary{}, coldCounts{counts{cold: true}}}
	w.start()
	w.settled()
	e := w.event(id(0), id(0), "ax")
	w.submit(w.record(e))
	for p := range l.person {
		n := 0
		for m, q := range l.person {
			if q == p {
				n += l.counted[m]
			}
		}
		if p == 0 {
			n++
		}
		if l.person[p] != p {
			continue
		}
		w.view(id(p), func(v *engine.View) {
			if got := v.State("counts").(*countState).total(); got != 7*int64(n) {
				t.Errorf("person %d: %d, want %d", p, got, 7*n)
			}
		})
	}
}

func TestARebuildGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t, 3, testFolds()...).start()
	l := live(600, 400, 12)
	l.tell(w, 0, len(l.submissions))
	w.hash()
	w.stop()
	w.opts.Folds = []engine.Fold{counts{version: 2}, coldCounts{counts{cold: true}}, diary{version: 2}}
	for range 5 { // each time a little further
		w.start()
		w.stop()
	}
	w.start()
	w.settled()
	got := w.hash()
	v := newWorld(t, 3, w.opts.Folds...)
	v.clock, v.opts.Clock = w.clock, w.clock
	v.log = replayed(t, w.log)
	v.start()
	if diff := cmp.Diff(got.People, v.hash().People); diff != "" {
		t.Errorf("a clean replay differs: %s", diff)
	}
}
