package engine_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Facts that are moved to another number of partitions say the same of everybody.
func TestFactsGivenToOtherPartitionsSayTheSame(t *testing.T) {
	route := func(e *rapport.Event, n int) int32 { return int32(e.Fragment.Partition(n)) }
	for seed := range uint64(4) {
		l := live(900+seed, 200, 12)
		w := newWorld(t, 3, counts{}, diary{}).start()
		l.tell(w, 0, len(l.submissions))
		v := newWorld(t, 5, counts{}, diary{}).start()
		for _, s := range l.submissions {
			if d := time.UnixMilli(s.at).Sub(v.clock.Now()); d > 0 {
				v.clock.advance(d)
			}
			if s.settle {
				w.must(v.eng.Settle(t.Context()))
			}
			for _, r := range s.records(3) {
				out, err := engine.Reroute(&r, 3, 5, route)
				w.must(err)
				v.submit(out.Records...)
			}
		}
		l.check(v)
		if diff := cmp.Diff(w.hash().People, v.hash().People); diff != "" {
			t.Errorf("seed %d: %s", seed, diff)
		}
	}
}

func TestASplitMovedApartRevivesItsTarget(t *testing.T) {
	from, to := 1, 16
	r := engine.SplitRecords(from, id(1), id(2), id(3), "link")
	if len(r) != 1 {
		t.Fatal(r)
	}
	moved, err := engine.Reroute(&r[0], from, to, nil)
	out := moved.Records
	if err != nil || len(out) != 2 || out[0].Kind != engine.KindSplit || out[1].Kind != engine.KindRevive ||
		int(out[0].Partition) != id(1).Partition(to) || int(out[1].Partition) != id(3).Partition(to) {
		t.Errorf("%+v %v", out, err)
	}
	for p, b := range engine.BarrierRecords(2, 5) {
		out, err := engine.Reroute(&b, 2, 3, nil)
		if want := 3 * (1 - p); err != nil || len(out.Records) != want {
			t.Errorf("a barrier in partition %d became %d: %v", p, len(out.Records), err)
		}
	}
	if out, err := engine.Reroute(&eventlog.Record{Topic: eventlog.Events, Kind: engine.KindTick}, 1, 2, nil); err != nil || len(out.Records) > 0 {
		t.Errorf("a tick became %v, %v", out, err)
	}
}

func TestAnOutboxIsSetByAFact(t *testing.T) {
	w := newWorld(t, 2, counts{})
	w.start()
	w.track(id(1), id(1), "Order Completed")
	w.hash()
	w.submit(engine.OutboxRecord(2, id(1), []engine.Effect{{Kind: "mail", Key: "a", Payload: []byte("x")}, {Kind: "mail", Key: "b", NotBefore: 5}}, nil))
	w.hash()
	if diff := cmp.Diff([]string{"a", "b"}, w.waiting("mail")); diff != "" {
		t.Error(diff)
	}
	w.submit(engine.OutboxRecord(2, id(1), nil, []string{"a", "none"}))
	w.restart()
	if diff := cmp.Diff([]string{"b"}, w.waiting("mail")); diff != "" {
		t.Error(diff)
	}
}
