package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// TestWhatDroppedLeavesIsWhatWasFolded reads the log beside the engine and adds
// up what counts, with retries, merges and events made by folds among it, and
// after restarts that fold the end of the log again.
func TestWhatDroppedLeavesIsWhatWasFolded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, counts{}, diary{}).start()
	r := rand.New(rand.NewPCG(5, 6))
	var past []eventlog.Record
	fresh := 0
	var root [20]int // whom each belongs to
	for i := range root {
		root[i] = i
	}
	for range 6 {
		for range 60 {
			switch n := r.IntN(10); {
			case n < 3 && len(past) > 0:
				w.submit(past[r.IntN(len(past))])
			case n == 3:
				if a, b := root[r.IntN(20)], root[r.IntN(20)]; a != b {
					w.merge(id(a), id(b))
					for i := range root {
						if root[i] == a {
							root[i] = b
						}
					}
				}
			default:
				who := id(r.IntN(20))
				rec := w.record(w.event(who, who, "seen"))
				past = append(past, rec)
				fresh++
				w.submit(rec)
			}
		}
		w.restart()
	}
	w.hash() // all is folded
	counted := 0
	for p := range int32(3) {
		_, next := w.log.Bounds(eventlog.Events, p)
		dropped, err := w.eng.Dropped(t.Context(), p, 0, next)
		w.must(err)
		gone := map[int64]bool{}
		for _, o := range dropped {
			gone[o] = true
		}
		reader, err := w.log.Reader(eventlog.Events, p, 0)
		w.must(err)
		var e rapport.Event
		for at := int64(0); at < next; {
			records, err := reader.Next(t.Context())
			w.must(err)
			for i := range records {
				at = records[i].Offset + 1
				ok, err := engine.EventOf(&records[i], &e)
				w.must(err)
				if ok && !gone[records[i].Offset] {
					counted++
				}
			}
		}
		w.must(reader.Close())
	}
	if counted != fresh || int64(fresh) != w.eng.Stats().Folded {
		t.Errorf("%d events count in the log, %d were sent, %d folded", counted, fresh, w.eng.Stats().Folded)
	}
}
