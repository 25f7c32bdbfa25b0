package engine_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// settled waits until no rebuild is under way.
func (w *world) settled() {
	w.t.Helper()
	w.await("the end of the rebuild", func() bool { return w.eng.Stats().Rebuild == nil })
}

// crash leaves of the state what a process that is killed now would leave on disk.
func (w *world) crash() {
	w.t.Helper()
	image := filepath.Join(w.t.TempDir(), "image")
	manifests := func() (all string) {
		names, err := filepath.Glob(filepath.Join(w.dir, "state", "MANIFEST-*"))
		w.must(err)
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil && !os.IsNotExist(err) { // another took its place meanwhile
				w.t.Fatal(err)
			}
			all += name + string(b)
		}
		return all
	}
	for { // a file may come or go while it is copied
		before := manifests()
		if os.CopyFS(image, os.DirFS(w.dir)) == nil && manifests() == before {
			break
		}
		w.must(os.RemoveAll(image))
	}
	w.stop()
	w.must(os.RemoveAll(w.dir))
	w.must(os.CopyFS(w.dir, os.DirFS(image)))
}

// someFolds returns folds in some of their versions; all but the first may be absent.
func someFolds(r *rand.Rand, absent bool) []engine.Fold {
	version := func() uint32 { return uint32(1 + r.IntN(3)) }
	out := []engine.Fold{counts{version: version()}}
	if !absent || r.IntN(3) > 0 {
		out = append(out, coldCounts{counts{cold: true, version: version()}})
	}
	if !absent || r.IntN(3) > 0 {
		out = append(out, diary{version: version()})
	}
	return out
}

func TestFoldsThatComeChangeAndGoAmongCrashesEndAsIfTheyHadAlwaysBeen(t *testing.T) {
	seeds := uint64(14)
	if testing.Short() {
		seeds = 4
	}
	crashes, replaced, given := 0, 0, 0
	for seed := range seeds {
		absent := seed%2 == 1
		l := live(800+seed, 250, 12)
		r := rng(seed)
		w := newWorld(t, 3, someFolds(r, absent)...).start()
		var wait sync.WaitGroup
		cancel := func() {}
		finish := func() { cancel(); wait.Wait() }
		defer finish()
		for at := 0; at < len(l.submissions); {
			to := min(at+1+r.IntN(40), len(l.submissions))
			l.tell(w, at, to)
			at = to
			switch r.IntN(5) {
			case 0:
				w.must(w.eng.Flush(t.Context()))
			case 1, 2:
				crashes++
				if r.IntN(2) == 0 {
					finish()
				}
				w.crash()
				finish()
				if r.IntN(2) == 0 {
					w.opts.Folds = someFolds(r, absent)
				}
				w.start()
			case 3:
				finish()
				w.stop()
				if r.IntN(2) == 0 {
					w.opts.Folds = someFolds(r, absent)
				}
				w.start()
			case 4:
				finish()
				folds := someFolds(r, absent)
				ctx, stop := context.WithCancel(t.Context())
				if cancel = stop; r.IntN(3) == 0 {
					time.AfterFunc(time.Duration(r.IntN(5_000))*time.Microsecond, stop)
				}
				eng := w.eng
				wait.Go(func() {
					if eng.Replace(ctx, folds...) == nil {
						replaced++
					} else {
						given++
					}
				})
			}
		}
		finish()
		if r.IntN(2) == 0 {
			w.opts.Folds = someFolds(r, absent)
		}
		w.restart()
		w.settled()
		want := map[int]int{}
		for m, p := range l.person {
			want[p] += l.counted[m]
		}
		for p, n := range want {
			w.view(id(p), func(v *engine.View) {
				for _, f := range w.opts.Folds {
					s, ok := v.State(f.Name()).(*countState)
					if !ok {
						continue // what a split leaves with whom is the diary's own affair
					}
					rows := 0
					r := v.Rows(f.Name())
					w.must(r.Walk(nil, nil, false, func(_, _ []byte) bool { rows++; return true }))
					w.must(r.Close())
					if s.total() != int64(rows)*int64(f.Version()) || f.Name() == "counts" && rows != n || rows > n {
						t.Errorf("seed %d: %s@%d of %d: %v %v and %d rows, want %d events", seed, f.Name(), f.Version(), p, s.names, s.n, rows, n)
					}
				}
			})
		}
		before := w.hash()
		w.restart()
		if diff := cmp.Diff(before.People, w.hash().People); diff != "" {
			t.Errorf("seed %d: after a restart: %s", seed, diff)
		}
		w.stop()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d crashes, %d replacements, %d given up", crashes, replaced, given)
}

// keys counts what the store holds of each span of the partitions.
func (w *world) keys() map[byte]int {
	w.t.Helper()
	out := map[byte]int{}
	it, err := w.store.Scan([]byte{0}, []byte{0xff})
	w.must(err)
	for ok := it.First(); ok; ok = it.Next() {
		if key := it.Key(); len(key) > 1 {
			out[key[1]]++
		}
	}
	w.must(it.Close())
	return out
}

func TestAFoldIsReplacedAlthoughTheLogNeverStandsStill(t *testing.T) {
	w := newWorld(t, 2, counts{}).start()
	batch := func() []eventlog.Record {
		records := make([]eventlog.Record, 0, 500)
		for range cap(records) {
			who := id(w.n % 50)
			records = append(records, w.record(w.event(who, who, "ax")))
		}
		return records
	}
	for range 8 {
		w.submit(batch()...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.eng.Replace(ctx, counts{version: 2}) }()
	for told := false; !told; {
		select {
		case err := <-done:
			told = true
			w.must(err)
		case <-ctx.Done():
			t.Fatalf("the fold was not replaced: %+v", w.eng.Stats().Rebuild)
		default:
			// As much as the engine admits: it may be some way behind, as on a busy day.
			if lag := w.lag(); lag < 3_000 {
				w.submit(batch()...)
			}
		}
	}
	var total int64
	for p := range 50 {
		w.view(id(p), func(v *engine.View) { total += v.State("counts").(*countState).total() })
	}
	if total != 2*int64(w.n) {
		t.Errorf("%d, want %d", total, 2*w.n)
	}
}

func TestAFoldThatWasTakenAwayAndComesBackKnowsWhatHappenedMeanwhile(t *testing.T) {
	all := []engine.Fold{counts{}, coldCounts{counts{cold: true}}}
	w := newWorld(t, 2, all...).start()
	for range 10 {
		w.track(id(1), id(1), "a")
	}
	w.opts.Folds = all[:1]
	w.restart()
	for range 10 {
		w.track(id(1), id(1), "a")
	}
	w.opts.Folds = all
	w.restart()
	w.settled()
	w.view(id(1), func(v *engine.View) {
		rows := 0
		r := v.Rows("cold")
		w.must(r.Walk(nil, nil, false, func(_, _ []byte) bool { rows++; return true }))
		w.must(r.Close())
		if n := v.State("cold").(*countState).total(); n != 20 || rows != 20 {
			t.Errorf("it counts %d and has %d rows, want 20", n, rows)
		}
	})
}

func TestNothingOfAFoldThatIsGoneStays(t *testing.T) {
	all := []engine.Fold{counts{}, coldCounts{counts{cold: true}}, diary{}}
	w := newWorld(t, 2, all...).start()
	for p := range 5 {
		for range 4 {
			w.track(id(p), id(p), "a-secret")
		}
	}
	w.hash() // commits
	before := w.keys()
	w.opts.Folds = all[:1]
	w.restart()
	w.track(id(1), id(1), "b")
	w.hash()
	if after := w.keys(); after['r'] >= before['r'] || after['r'] == 0 || after['c'] > 0 {
		t.Errorf("keys by span: %v before, %v after", before, after)
	}
}

func TestAVersionIsRebuiltAfterItsRebuildWasGivenUpAtTheLastMoment(t *testing.T) {
	// The barriers of a rebuild stand in the log, but the state knows nothing of
	// it: it went back to the version before, or was folded anew.
	for _, lost := range []string{"the rebuild", "all state"} {
		t.Run(lost, func(t *testing.T) {
			w := newWorld(t, 2, counts{}, diary{}).start()
			for p := range 20 {
				w.track(id(p), id(p), "a")
			}
			w.must(w.eng.Replace(t.Context(), counts{version: 2}))
			w.clock.advance(time.Minute)
			w.stop()
			if lost == "all state" {
				w.must(os.RemoveAll(w.dir))
			}
			w.start()
			for p := range 20 {
				w.track(id(p), id(p), "b")
			}
			w.clock.advance(time.Minute)
			w.must(w.eng.Replace(t.Context(), counts{version: 2}))
			for p := range 20 {
				if w.view(id(p), func(v *engine.View) {
					if n := v.State("counts").(*countState).total(); n != 4 {
						t.Errorf("person %d: %d, want 4", p, n)
					}
				}); t.Failed() {
					break
				}
			}
		})
	}
}
