package engine_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/state"
)

// open opens the store and an engine that never runs, and returns what Open said.
func (w *world) open(change func(o *engine.Options)) error {
	w.t.Helper()
	store, err := state.Open(state.Options{Dir: w.dir + "/state", Logger: w.opts.Logger, MemTableBytes: 4 << 20})
	w.must(err)
	defer func() { w.must(store.Close()) }()
	o := w.opts
	o.Log, o.Store, o.DedupDir = w.log, store, w.dir+"/dedup"
	change(&o)
	_, err = engine.Open(o)
	return err
}

func TestATrimmedLogIsNotTakenForTheWhole(t *testing.T) {
	const people = 20
	w := newWorld(t, 3, counts{}, diary{})
	w.opts.TrimFloor = func(int32) int64 { return math.MaxInt64 }
	w.start()
	tell := func() {
		for i := range people {
			w.track(id(i), id(i), "Order Completed")
		}
	}
	tell()
	w.hash() // all is folded
	w.must(w.eng.Flush(t.Context()))
	for p := range int32(3) {
		if first, next := w.log.Bounds(eventlog.Events, p); first == 0 || first != next {
			t.Fatalf("partition %d holds %d to %d", p, first, next)
		}
	}
	tell()
	w.restart() // what is left suffices for a restart
	for i := range people {
		if n := w.total(id(i)); n != 2 {
			t.Fatalf("person %d has %d events", i, n)
		}
	}
	if err := w.eng.Replace(t.Context(), counts{version: 2}); rapport.KindOf(err) != rapport.Conflict || rapport.HintOf(err) == "" {
		t.Errorf("a fold changed while it runs: %v", err)
	}
	w.stop()

	changed := func(o *engine.Options) { o.Folds = []engine.Fold{counts{version: 2}, diary{}} }
	for name, change := range map[string]func(o *engine.Options){
		"a changed fold": changed,
		"a refold":       func(o *engine.Options) { o.Refold = true },
	} {
		if err := w.open(change); rapport.KindOf(err) != rapport.Conflict || rapport.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.must(w.open(func(*engine.Options) {})) // nothing was touched
	w.start()
	if n := w.total(id(1)); n != 2 {
		t.Errorf("%d events after refusals", n)
	}
	w.stop()
	w.must(os.RemoveAll(w.dir + "/state"))
	if err := w.open(func(*engine.Options) {}); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("without its state: %v", err)
	}
	w.opts.Partial = true
	w.start() // somebody chose to
	tell()
	if n := w.total(id(1)); n != 2 {
		t.Errorf("%d events of what is left and one more", n)
	}
}

func TestTheLogIsWholeWhileAFoldIsMadeFromIt(t *testing.T) {
	w := newWorld(t, 2, counts{})
	w.start()
	for i := range 200 {
		w.track(id(i%10), id(i%10), "Order Completed")
	}
	w.stop()
	w.opts.TrimFloor = func(int32) int64 { return math.MaxInt64 }
	w.opts.Folds = []engine.Fold{counts{version: 2}}
	w.start()
	w.view(id(1), func(v *engine.View) { // version 2 counts each twice
		if n := v.State("counts").(*countState).total(); n != 40 {
			t.Errorf("%d events", n)
		}
	})
}

func TestAfterKillsWhileTheLogIsTrimmedEveryAcknowledgedEventIsFoldedOnce(t *testing.T) {
	l := live(crashSeed, 2000, 40)
	dir := t.TempDir()
	t.Setenv(crashTrim, "1")
	r := rng(10)
	trims := 0
	for next := 0; next < len(l.submissions); {
		next += runUntilKilled(t, dir, next, 1+r.IntN(len(l.submissions)/4))
		trims += trimmedOf(t, dir)
	}
	w := crashWorld(t, dir)
	w.start()
	l.check(w)
	if trims == 0 {
		t.Error("no log was trimmed when it was killed")
	}
}

// trimmedOf returns how many partitions of a log lack their beginning.
func trimmedOf(t *testing.T, dir string) (n int) {
	log, err := local.Open(local.Options{Dir: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for p := range int32(4) {
		if first, _ := log.Bounds(eventlog.Events, p); first > 0 {
			n++
		}
	}
	return n
}
