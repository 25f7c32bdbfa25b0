package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

func TestAReadReflectsEveryEventAcknowledgedBefore(t *testing.T) {
	w := newWorld(t, 4, counts{}, diary{}).start()
	for i := range 200 {
		w.track(id(i%7), id(i%7), "a")     // at home
		w.track(id(i%7), id(100+i%7), "b") // arrives elsewhere
		if got, want := w.total(id(i%7)), 2*(i/7+1); got != want {
			t.Fatalf("after %d events: %d, want %d", i, got, want)
		}
	}
}

func TestAnUnknownEntityDoesNotExist(t *testing.T) {
	w := newWorld(t, 2, counts{}).start()
	w.view(id(1), func(v *engine.View) {
		if v.Exists() || v.State("counts").(*countState).total() != 0 || v.State("other") != nil {
			t.Errorf("something is known of an unknown entity")
		}
	})
}

func TestARetryCountsOnce(t *testing.T) {
	w := newWorld(t, 2, counts{}).start()
	e := w.event(id(1), id(1), "a")
	w.submit(w.record(e), w.record(e))
	w.submit(w.record(e))
	w.restart()
	w.submit(w.record(e))
	if got := w.total(id(1)); got != 1 {
		t.Errorf("counted %d times", got)
	}
	w.hash()
	if s := w.eng.Stats(); s.Folded != 1 || s.Duplicates != 3 {
		t.Errorf("folded %d, duplicates %d", s.Folded, s.Duplicates)
	}
}

func TestALoginBatchRetriedAfterTheMergeItCausedCountsOnce(t *testing.T) {
	w := newWorld(t, 4, counts{}, diary{}).start()
	user, device := id(1), id(2)
	w.track(device, device, "a")
	login := w.event(device, device, "login")
	after := w.event(device, device, "b")
	w.submit(w.record(login), w.record(after), engine.MergeRecord(4, device, user, "link"))
	// The answer was lost; the client sends again and is stamped as the user by now.
	login.Entity, after.Entity = user, user
	w.submit(w.record(login), w.record(after))
	if got := w.total(user); got != 3 {
		t.Errorf("counted %d events, want 3", got)
	}
	if got := w.total(device); got != 3 {
		t.Errorf("by the device: counted %d events, want 3", got)
	}
}

func TestMergingAndSplittingMovesFragmentsWithStateAndRows(t *testing.T) {
	for _, partitions := range []int{1, 2, 5} {
		w := newWorld(t, partitions, counts{}, coldCounts{counts{cold: true}}, diary{}).start()
		a, b, c := id(1), id(2), id(3)
		for range 10 {
			w.track(a, a, "a")
			w.track(b, b, "ab")
			w.track(c, c, "c")
		}
		w.merge(a, b)
		w.track(a, a, "a") // stamped before the merge was known
		w.merge(b, c)
		w.track(c, a, "a")
		if got := w.total(a); got != 32 {
			t.Errorf("merged: %d, want 32", got)
		}
		w.view(a, func(v *engine.View) {
			if v.ID() != c || v.PublicID() != a {
				t.Errorf("merged is %v, shown as %v", v.ID(), v.PublicID())
			}
			if diff := cmp.Diff([]rapport.ID{a, b, c}, v.Fragments()); diff != "" {
				t.Error(diff)
			}
			if got := v.State("cold").(*countState).total(); got != 22 {
				t.Errorf("cold state: %d, want 22", got)
			}
		})
		w.split(c, a, a)
		w.track(c, a, "a") // stamped before the split was known
		w.restart()
		w.track(a, a, "a")
		if got := w.total(a); got != 14 {
			t.Errorf("%d partitions: split off: %d, want 14", partitions, got)
		}
		if got := w.total(b); got != 20 {
			t.Errorf("%d partitions: left: %d, want 20", partitions, got)
		}
		w.merge(a, c)
		if got := w.total(b); got != 34 {
			t.Errorf("%d partitions: merged again: %d, want 34", partitions, got)
		}
		w.hash()
		if s := w.eng.Stats(); s.Entities != 1 || s.Folded != 34 {
			t.Errorf("%d entities, %d folded", s.Entities, s.Folded)
		}
		w.stop()
	}
}
