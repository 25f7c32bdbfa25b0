package engine_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// interleaved is a log that puts facts of others between two records that
// belong together: before the derived record number at.
type interleaved struct {
	eventlog.Log
	mu    sync.Mutex
	seen  int
	at    int
	facts []eventlog.Record
	clock *clock
}

type allPending []eventlog.Pending

func (a allPending) Wait(ctx context.Context) (err error) {
	for _, p := range a {
		err = errors.Join(err, p.Wait(ctx))
	}
	return err
}

func (l *interleaved) Submit(records []eventlog.Record) eventlog.Pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out allPending
	for i := range records {
		if records[i].Kind == engine.KindDerived {
			if l.seen == l.at {
				l.clock.advance(time.Second)
				out = append(out, l.Log.Submit(l.facts))
			}
			l.seen++
		}
		out = append(out, l.Log.Submit(records[i:i+1]))
	}
	return out
}

func TestWhatComesBetweenTheRecordsOfAMoveTearsNothingApart(t *testing.T) {
	const partitions = 5
	a, b, c := id(1), id(2), id(3)
	for _, between := range []struct {
		name  string
		facts func() []eventlog.Record
		want  [3]int // events of a, b and c in the end
	}{
		{"a split", func() []eventlog.Record { return engine.SplitRecords(partitions, b, a, a, "unlink") }, [3]int{3, 5, 7}},
		{"a merge", func() []eventlog.Record {
			return []eventlog.Record{engine.MergeRecord(partitions, b, c, "link b")}
		}, [3]int{15, 15, 15}},
	} {
		met := 0
		for at := 0; ; at++ {
			w := newWorld(t, partitions, counts{}, coldCounts{counts{cold: true}})
			l := &interleaved{Log: w.memory, at: at, facts: between.facts(), clock: w.clock}
			w.log = l
			w.start()
			for i, who := range []int{1, 2, 3} {
				for range 3 + 2*i {
					w.track(id(who), id(who), "a")
				}
			}
			w.merge(a, b)
			if w.hash(); l.seen <= at { // everything has arrived: this is after the last
				w.stop()
				break
			}
			met++
			if got := [3]int{w.total(a), w.total(b), w.total(c)}; got != between.want {
				t.Errorf("%s before record %d of the move: %d, want %d", between.name, at, got, between.want)
			}
			w.stop()
		}
		if met < 3 {
			t.Errorf("%s: the move had %d records", between.name, met)
		}
	}
}
