package engine_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// alarms is a PerEntity fold that sets the timers an event asks for and notes
// which fired when.
type alarms struct{}

func (alarms) Name() string        { return "alarms" }
func (alarms) Version() uint32     { return 1 }
func (alarms) Scope() engine.Scope { return engine.PerEntity }
func (alarms) New() engine.State   { return &alarmState{} }

type alarmState struct{ fired []byte }

func (s *alarmState) Apply(c *engine.Context, e *rapport.Event) {
	for name, at := range e.Properties.All() {
		n, _ := at.Number()
		c.SetTimer(int64(n), string(name))
	}
}

func (s *alarmState) Fire(c *engine.Context, name string) {
	s.fired = fmt.Appendf(s.fired, "%s@%d ", name, c.Time)
	if name == "again" && len(s.fired) < 200 {
		c.SetTimer(c.Time+1000, name)
	}
}

func (s *alarmState) Merge(other engine.State) {
	s.fired = append(s.fired, other.(*alarmState).fired...)
}
func (s *alarmState) AppendBinary(b []byte) []byte { return append(b, s.fired...) }
func (s *alarmState) DecodeBinary(b []byte) error  { s.fired = append(s.fired[:0], b...); return nil }

func (w *world) ask(who rapport.ID, times map[string]any) {
	w.t.Helper()
	e := w.event(who, who, "ask")
	e.Properties = rapport.FieldsOf(times)
	w.submit(w.record(e))
}

func (w *world) fired(who rapport.ID) (s string) {
	w.t.Helper()
	w.view(who, func(v *engine.View) { s = string(v.State("alarms").(*alarmState).fired) })
	return s
}

// tick lets time pass in every partition.
func (w *world) tick(d time.Duration) {
	w.t.Helper()
	w.clock.advance(d)
	for p := range int32(w.partitions()) {
		w.submit(eventlog.Record{Topic: eventlog.Events, Partition: p, Kind: engine.KindTick})
	}
}

const t0 = 1_700_000_000_000

func TestTimersFireInOrderAtTheirOwnTime(t *testing.T) {
	w := newWorld(t, 1, alarms{}).start()
	w.ask(id(1), map[string]any{"b": t0 + 2000, "a": t0 + 2000, "late": t0 + 9000, "gone": t0 + 1000})
	w.ask(id(1), map[string]any{"gone": 0, "late": t0 + 3000})
	w.tick(1999 * time.Millisecond)
	if got := w.fired(id(1)); got != "" {
		t.Errorf("fired too early: %q", got)
	}
	w.tick(8 * time.Second)
	want := fmt.Sprintf("a@%d b@%d late@%d ", t0+2000, t0+2000, t0+3000)
	if diff := cmp.Diff(want, w.fired(id(1))); diff != "" {
		t.Error(diff)
	}
}

func TestATimerPushedBackByEveryEventFiresOnceAtItsLastTime(t *testing.T) {
	w := newWorld(t, 1, alarms{}).start()
	for i := range 50 {
		w.ask(id(1), map[string]any{"idle": t0 + 100*i + 1000})
		w.clock.advance(100 * time.Millisecond)
		if i%10 == 0 {
			w.restart()
		}
	}
	w.tick(time.Minute)
	if diff := cmp.Diff(fmt.Sprintf("idle@%d ", t0+4900+1000), w.fired(id(1))); diff != "" {
		t.Error(diff)
	}
}

func TestNoTimerIsMissedAcrossRestartsAndAnIdlePartitionGetsItsTicks(t *testing.T) {
	w := newWorld(t, 3, alarms{})
	w.start()
	const people = 300
	for i := range people {
		w.ask(id(i), map[string]any{"one": t0 + 10*i + 5000, "again": t0 + i + 7000})
	}
	for i := range 12 {
		w.clock.advance(1100 * time.Millisecond)
		if i%3 == 0 {
			w.restart()
		}
	}
	// Nobody sends anything: the engine's own ticks must bring time forward.
	for i := range people {
		w.await(fmt.Sprintf("the timers of person %d", i), func() bool {
			w.clock.advance(time.Second)
			return len(w.fired(id(i))) >= 200
		})
	}
	for i := range people {
		var want string
		for at := t0 + i + 7000; len(want) < 200 || at < t0+10*i+5000; at += 1000 {
			if one := fmt.Sprintf("one@%d ", t0+10*i+5000); at >= t0+10*i+5000 && !contains(want, "one") {
				want += one
			}
			want += fmt.Sprintf("again@%d ", at)
		}
		if got := w.fired(id(i)); !contains(got, fmt.Sprintf("one@%d ", t0+10*i+5000)) || got != want {
			t.Fatalf("person %d:\n got %s\nwant %s", i, got, want)
		}
	}
}

func contains(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i:i+len(sub)] == sub {
			return true
		}
	}
	return false
}

func TestManyTimersDueAtOnceAllFire(t *testing.T) {
	w := newWorld(t, 1, alarms{})
	w.opts.Limits.CommitEntities = 50
	w.start()
	const people = 20_000 // more than are kept in memory, and many commits
	var batch []eventlog.Record
	for i := range people {
		e := w.event(id(i), id(i), "ask")
		e.Properties = rapport.FieldsOf(map[string]any{"x": t0 + 1000 + i%7})
		batch = append(batch, w.record(e))
		if len(batch) == 1000 {
			w.submit(batch...)
			batch = nil
		}
	}
	w.tick(time.Hour)
	for _, i := range []int{0, 1, 2, 7777, people - 1} {
		if diff := cmp.Diff(fmt.Sprintf("x@%d ", t0+1000+i%7), w.fired(id(i))); diff != "" {
			t.Errorf("person %d: %s", i, diff)
		}
	}
	h := w.hash()
	v := newWorld(t, 1, alarms{})
	v.clock, v.opts.Clock, v.log = w.clock, w.clock, replayed(t, w.log)
	v.start()
	if diff := cmp.Diff(h, v.hash()); diff != "" {
		t.Error(diff)
	}
}

func TestTimersMoveWithTheEntityTheyBelongTo(t *testing.T) {
	for _, partitions := range []int{1, 4} {
		w := newWorld(t, partitions, alarms{}).start()
		w.ask(id(1), map[string]any{"mine": t0 + 2000, "both": t0 + 4000})
		w.ask(id(2), map[string]any{"both": t0 + 3000})
		w.merge(id(1), id(2))
		w.fired(id(1))
		w.restart()
		w.tick(time.Minute)
		w.view(id(1), func(*engine.View) {})
		if diff := cmp.Diff(fmt.Sprintf("mine@%d both@%d ", t0+2000, t0+3000), w.fired(id(1))); diff != "" {
			t.Errorf("%d partitions: %s", partitions, diff)
		}
		w.stop()
	}
}

// chain is a PerEntity fold that answers every event with one to the next entity.
type chain struct{}

func (chain) Name() string        { return "alarms" }
func (chain) Version() uint32     { return 1 }
func (chain) Scope() engine.Scope { return engine.PerEntity }
func (chain) New() engine.State   { return &chainState{} }

type chainState struct{ n uint64 }

func (s *chainState) Apply(c *engine.Context, e *rapport.Event) {
	s.n++
	next := c.Entity
	binary.BigEndian.PutUint32(next[1:], binary.BigEndian.Uint32(next[1:])+1)
	c.Emit(next, &rapport.Event{Type: rapport.TypeSystem, Name: "next", Timestamp: e.Timestamp, ReceivedAt: e.ReceivedAt})
}
func (s *chainState) Merge(other engine.State) { s.n += other.(*chainState).n }
func (s *chainState) AppendBinary(b []byte) []byte {
	if s.n == 0 {
		return b
	}
	return binary.AppendUvarint(b, s.n)
}

func (s *chainState) DecodeBinary(b []byte) error {
	s.n, _ = binary.Uvarint(b)
	return nil
}

func TestAChainOfDerivedEventsEndsAfterEightHops(t *testing.T) {
	w := newWorld(t, 4, chain{}).start()
	w.track(id(1), id(1), "start")
	w.hash()
	if s := w.eng.Stats(); s.CutChains != 1 || s.Entities != 9 {
		t.Errorf("%d chains cut, %d entities", s.CutChains, s.Entities)
	}
}
