package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// result appends the event that tells how a send went.
func (w *world) result(e engine.Effect) {
	w.t.Helper()
	now := rapport.Millis(w.clock.Now())
	r := rapport.Event{Type: rapport.TypeSystem, Name: "result", MessageID: e.Key, Source: "deliver", Timestamp: now, ReceivedAt: now, Entity: e.Entity}
	w.submit(engine.EventRecord(&r, engine.Fingerprint("deliver", e.Key), int32(e.Entity.Partition(w.partitions()))))
}

// next waits for the next effect of a kind.
func (w *world) next(kind string) engine.Effect {
	w.t.Helper()
	e, err := w.eng.Effects(kind).Next(w.t.Context())
	w.must(err)
	return e
}

// quiet fails the test if an effect of a kind is offered although nothing is to be.
func (w *world) quiet(kind, why string) {
	w.t.Helper()
	w.view(id(0), func(*engine.View) {}) // everything told so far is folded
	ctx, cancel := context.WithTimeout(w.t.Context(), 50*time.Millisecond)
	defer cancel()
	if e, err := w.eng.Effects(kind).Next(ctx); err == nil {
		w.t.Errorf("%s: offered %+v", why, e)
	} else if !errors.Is(err, context.DeadlineExceeded) {
		w.t.Fatal(err)
	}
}

func (w *world) waiting(kind string) (keys []string) {
	w.t.Helper()
	all, err := w.eng.Waiting(w.t.Context(), kind, 1000)
	w.must(err)
	for _, e := range all {
		keys = append(keys, e.Key)
	}
	return keys
}

func TestAnEffectIsOfferedUntilItsResultIsKnownAndNeverAgain(t *testing.T) {
	w := newWorld(t, 3, counts{}, diary{}).start()
	w.track(id(1), id(1), "a")
	w.track(id(1), id(1), "a") // every second event causes a mail
	first := w.next("mail")
	if string(first.Payload) != "m2" || first.Entity != id(1) {
		t.Fatalf("first effect is %+v", first)
	}
	w.quiet("mail", "a sender has it")
	w.eng.Effects("mail").Release(first.Key)
	if again := w.next("mail"); again.Key != first.Key {
		t.Errorf("a released effect is not offered again, but %+v", again)
	}
	w.restart() // the sender died before it knew the result
	if again := w.next("mail"); again.Key != first.Key {
		t.Errorf("after a restart: %+v", again)
	}
	w.result(first)
	w.restart()
	w.quiet("mail", "its result is known")
	if got := w.waiting("mail"); got != nil {
		t.Errorf("still waiting: %v", got)
	}
}

func TestAReplayOfTheWholeLogSendsNothingAgain(t *testing.T) {
	w := newWorld(t, 2, counts{}, diary{}).start()
	for i := range 40 {
		w.track(id(i%3), id(i%3), "a")
	}
	w.view(id(0), func(*engine.View) {})
	for range w.waiting("mail") {
		w.result(w.next("mail"))
	}
	w.quiet("mail", "every result is known")
	v := newWorld(t, 2, counts{}, diary{})
	v.clock, v.opts.Clock, v.log = w.clock, w.clock, replayed(t, w.log)
	v.start()
	v.quiet("mail", "a replay")
}

func TestHistoryCausesNoEffects(t *testing.T) {
	w := newWorld(t, 2, counts{}, diary{}).start()
	for range 4 {
		e := w.event(id(1), id(1), "a")
		e.History = true
		w.submit(w.record(e))
	}
	w.quiet("mail", "history")
	if got := w.total(id(1)); got != 4 {
		t.Errorf("history counted %d", got)
	}
}

func TestAnEffectWaitsForItsTime(t *testing.T) {
	w := newWorld(t, 1, counts{}, diary{}).start()
	w.track(id(1), id(1), "a")
	w.tick(2 * idle * time.Millisecond) // the idle timer fired at t0+idle and nudges 100 ms later
	if e := w.next("nudge"); e.NotBefore != t0+idle+100 {
		t.Fatalf("a nudge that is due is %+v", e)
	}
	w.track(id(2), id(2), "a")
	w.tick(idle * time.Millisecond)
	w.quiet("nudge", "it is not its time yet")
	got := make(chan engine.Effect, 1)
	go func() {
		e, err := w.eng.Effects("nudge").Next(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- e
	}()
	for {
		select {
		case e := <-got:
			if now := rapport.Millis(w.clock.Now()); now < e.NotBefore {
				t.Errorf("offered at %d, not before %d", now, e.NotBefore)
			}
			return
		default:
			w.clock.advance(10 * time.Millisecond)
		}
	}
}

func TestMoreEffectsThanFitInMemoryAllComeOnce(t *testing.T) {
	w := newWorld(t, 2, counts{}, diary{})
	w.opts.Limits.CommitEntities = 1 << 10
	w.start()
	const n = 10_000
	var batch []eventlog.Record
	w.quiet("mail", "nothing happened yet") // a sender listens from the start
	for i := range 2 * n {
		e := w.event(id(i/2), id(i/2), "a")
		if batch = append(batch, w.record(e)); len(batch) == 1000 {
			w.submit(batch...)
			batch = nil
		}
	}
	seen := map[string]bool{}
	for range n {
		e := w.next("mail")
		if seen[e.Key] {
			t.Fatalf("%s came twice", e.Key)
		}
		seen[e.Key] = true
	}
	w.quiet("mail", "all have come")
}

func TestEffectsMoveWithTheEntityAndGoWithIt(t *testing.T) {
	for _, partitions := range []int{1, 5} {
		w := newWorld(t, partitions, counts{}, diary{}).start()
		w.track(id(1), id(1), "a")
		w.track(id(1), id(1), "a")
		want := []string{fmt.Sprintf("%s/m2", id(1))}
		w.merge(id(1), id(2))
		w.total(id(2))
		if diff := cmp.Diff(want, w.waiting("mail")); diff != "" {
			t.Error(diff)
		}
		w.result(w.next("mail"))
		w.total(id(2))
		if got := w.waiting("mail"); got != nil {
			t.Errorf("still waiting: %v", got)
		}
		w.track(id(2), id(2), "a")
		w.track(id(2), id(2), "a")
		w.total(id(2))
		if got := w.waiting("mail"); len(got) != 1 {
			t.Errorf("waiting: %v", got)
		}
		w.clock.advance(time.Second)
		w.submit(engine.EraseRecords(partitions, id(2), []rapport.ID{id(1)}, "job")...)
		w.total(id(2))
		if got := w.waiting("mail"); got != nil {
			t.Errorf("%d partitions: waiting after the erasure: %v", partitions, got)
		}
		w.stop()
	}
}

func TestAnEntityCanBeErasedAndMayComeAgain(t *testing.T) {
	for _, partitions := range []int{1, 4} {
		w := newWorld(t, partitions, testFolds()...).start()
		for range 5 {
			w.track(id(1), id(1), "a")
			w.track(id(2), id(2), "b")
		}
		w.merge(id(1), id(2))
		late := w.event(id(2), id(1), "a")
		w.clock.advance(time.Second)
		w.submit(engine.EraseRecords(partitions, id(2), []rapport.ID{id(1)}, "job")...)
		w.submit(w.record(late))
		for _, who := range []rapport.ID{id(1), id(2)} {
			w.view(who, func(v *engine.View) {
				if v.Exists() {
					t.Errorf("%d partitions: %v exists after its erasure", partitions, who)
				}
			})
		}
		w.restart()
		w.clock.advance(time.Second)
		w.track(id(1), id(1), "a")
		if got := w.total(id(1)); got != 1 {
			t.Errorf("came again with %d events", got)
		}
		if s := w.eng.Stats(); s.Erased != 1 || s.Entities != 1 {
			t.Errorf("%d late events dropped, %d entities", s.Erased, s.Entities)
		}
		w.stop()
	}
}
