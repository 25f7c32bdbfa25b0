package engine_test

import (
	"encoding/binary"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/state"
)

func TestPeopleAndItemsAreCountedApart(t *testing.T) {
	w := newWorld(t, 3, counts{})
	w.start()
	item := func(n int) rapport.ID {
		i := id(n)
		i[0] = byte(rapport.RankItem)
		return i
	}
	for i := range 10 {
		w.track(id(i), id(i), "a")
	}
	for i := range 6 {
		w.track(item(i), item(i), "a")
	}
	w.merge(id(1), id(2))
	w.submit(engine.EraseRecords(3, item(1), nil, "job")...)
	w.submit(engine.EraseRecords(3, id(3), nil, "job")...)
	look := func() {
		t.Helper()
		w.hash()
		if s := w.eng.Stats(); s.People() != 8 || s.Items != 5 {
			t.Errorf("%d people and %d items, want 8 and 5", s.People(), s.Items)
		}
		listed := 0
		for after, more := "", true; more; more = after != "" {
			var err error
			after, err = w.eng.ListPeople(t.Context(), after, 3, func(v *engine.View) error {
				if v.ID().Rank() == rapport.RankItem {
					t.Error("an item is listed among people")
				}
				listed++
				return nil
			})
			w.must(err)
		}
		if listed != 8 {
			t.Errorf("%d people are listed", listed)
		}
	}
	look()
	w.restart()
	look()
	w.stop()
	w.uncounted()
	w.start() // items are counted once, from the state
	look()
}

// uncounted makes the state look like that of a build that did not count items.
func (w *world) uncounted() {
	w.t.Helper()
	s, err := state.Open(state.Options{Dir: w.dir + "/state", Logger: w.opts.Logger, MemTableBytes: 4 << 20})
	w.must(err)
	b := s.Batch()
	for p := range byte(3) {
		key := []byte{'E', 'm', 0, p}
		meta, found, err := s.Get(key, nil)
		if w.must(err); !found || meta[0] != 4 {
			w.t.Fatal("no meta record of this build")
		}
		at := 1
		skip := func() {
			_, n := binary.Varint(meta[at:])
			at += n
		}
		for range 11 {
			skip()
		}
		before := append([]byte{3}, meta[1:at]...)
		skip()
		w.must(b.Set(key, append(before, meta[at:]...)))
	}
	w.must(b.Commit())
	w.must(s.Flush())
	w.must(s.Close())
}
