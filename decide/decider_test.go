package decide_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
)

func oneAction(caps ...decide.CapDoc) decide.Documents {
	return decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}},
		Policies:   []decide.PolicyDoc{{ID: "default", Caps: caps, Exploration: share(0)}},
		Actions: []decide.ActionDoc{{
			ID: "mug", Type: "offer", Placements: []string{"home"}, Content: rapport.FieldsOf(map[string]any{"title": "Mug"}),
			Goals: []decide.GoalDoc{goal("Order Completed", 7*24*time.Hour, 10)},
		}},
	}
}

func TestADecisionIsInTheLogBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	w := open(t, oneAction())
	d := w.decide(who(1), "home")
	if len(d.Items) != 1 || d.Items[0].Action != "mug" || d.Config != 1 || d.Person != who(1) {
		t.Fatalf("decided %+v", d)
	}
	fresh := decide.NewRecent(w.log, 10)
	back, err := fresh.Find(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("the log holds another decision: %s", diff)
	}
	if err := fresh.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := fresh.List(decide.Filter{Action: "mug"}); len(list) != 1 || list[0].ID != d.ID {
		t.Errorf("recent decisions %v", list)
	}
	fresh.Forget(d.Person)
	if list := fresh.List(decide.Filter{}); len(list) != 0 {
		t.Errorf("an erased person is remembered: %v", list)
	}
	for _, id := range []string{"", "d_", "d_00000000000000000000000000", d.ID[:27] + "!", "p" + d.ID[1:]} {
		if _, err := fresh.Find(t.Context(), id); rapport.KindOf(err) != rapport.NotFound {
			t.Errorf("finding %q: %v", id, err)
		}
	}
}

func TestAnUnknownPlacementIsNotFound(t *testing.T) {
	t.Parallel()
	w := open(t, oneAction())
	_, err := w.decider.Decide(t.Context(), decide.Request{Person: who(1), Placement: "hme"})
	if rapport.KindOf(err) != rapport.NotFound {
		t.Error(err)
	}
}

func TestADryDecisionLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := open(t, oneAction(decide.CapDoc{Scope: "person", Max: 1, Per: rapport.Duration(time.Hour)}))
	_, before := w.log.Bounds(eventlog.Events, int32(who(1).Partition(partitions)))
	for range 3 {
		d, err := w.decider.Decide(t.Context(), decide.Request{Person: who(1), Placement: "home", Dry: true})
		if err != nil || len(d.Items) != 1 {
			t.Fatal(d, err)
		}
	}
	x, err := w.decider.Explain(t.Context(), decide.Request{Person: who(1), Placement: "home"}, "mug")
	if err != nil || !x.Action.Chosen {
		t.Fatal(x, err)
	}
	if _, after := w.log.Bounds(eventlog.Events, int32(who(1).Partition(partitions))); after != before {
		t.Errorf("the log grew by %d records", after-before)
	}
}

func TestCapsHoldUnderSixtyFourConcurrentRequestsForOnePersonAndAfterARestart(t *testing.T) {
	t.Parallel()
	w := open(t, oneAction(decide.CapDoc{Scope: "person", Max: 3, Per: rapport.Duration(24 * time.Hour)}))
	for person := range uint64(8) {
		var wait sync.WaitGroup
		given := make(chan int, 64)
		for range 64 {
			wait.Go(func() {
				d, err := w.decider.Decide(t.Context(), decide.Request{Person: who(person), Placement: "home"})
				if err != nil {
					t.Error(err)
					return
				}
				given <- len(d.Items)
			})
		}
		wait.Wait()
		close(given)
		sum := 0
		for n := range given {
			sum += n
		}
		if sum != 3 {
			t.Errorf("person %d got %d actions, the cap is 3", person, sum)
		}
	}
	w.restart()
	if d := w.decide(who(3), "home"); len(d.Items) != 0 || d.Candidates[0].Excluded != decide.RuleCap {
		t.Errorf("after a restart the cap is forgotten: %+v", d)
	}
	w.clock.advance(25 * time.Hour)
	if d := w.decide(who(3), "home"); len(d.Items) != 1 {
		t.Errorf("a day later: %s", d.Nothing)
	}
}

// refusing is a log that takes no records while told so.
type refusing struct {
	eventlog.Log
	mu  sync.Mutex
	off bool
}

type refusal struct{}

func (refusal) Wait(context.Context) error {
	return rapport.Errorf(rapport.Unavailable, "the disk is full")
}

func (l *refusing) Submit(r []eventlog.Record) eventlog.Pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off {
		return refusal{}
	}
	return l.Log.Submit(r)
}

func TestWhatCouldNotBeRecordedIsNotGivenAndDoesNotCount(t *testing.T) {
	t.Parallel()
	w := open(t, oneAction(decide.CapDoc{Scope: "person", Max: 1, Per: rapport.Duration(time.Hour)}))
	w.stop()
	l := &refusing{Log: w.log, off: true}
	w.via = l
	w.run(nil)
	for range 3 {
		if d, err := w.decider.Decide(t.Context(), decide.Request{Person: who(1), Placement: "home"}); rapport.KindOf(err) != rapport.Unavailable {
			t.Fatal(d, err)
		}
	}
	l.mu.Lock()
	l.off = false
	l.mu.Unlock()
	if d := w.decide(who(1), "home"); len(d.Items) != 1 {
		t.Error(d.Nothing)
	}
}

func TestADecisionSeesTheEventAcknowledgedBeforeIt(t *testing.T) {
	t.Parallel()
	docs := oneAction()
	docs.Actions[0].When = parse(t, `traits.country == "NO"`)
	docs.Actions[0].Purpose = "marketing"
	w := open(t, docs)
	if d := w.decide(who(1), "home"); d.Candidates[0].Excluded != decide.RuleCondition {
		t.Errorf("%+v", d.Candidates)
	}
	w.event(who(1), rapport.TypeIdentify, "", map[string]any{"country": "NO"})
	if d := w.decide(who(1), "home"); d.Candidates[0].Excluded != decide.RuleConsent {
		t.Errorf("%+v", d.Candidates)
	}
	for _, allowed := range []bool{true, false, true} {
		w.track(who(1), rapport.EventConsentUpdated, map[string]any{"purpose": "marketing", "allowed": allowed})
		if d := w.decide(who(1), "home"); (len(d.Items) == 1) != allowed {
			t.Errorf("consent %v bound nothing: %+v", allowed, d)
		}
	}
}

func TestATriggerAsksOnceForADecision(t *testing.T) {
	t.Parallel()
	docs := oneAction()
	docs.Actions[0].When = parse(t, `context.properties.value > 50`)
	docs.Triggers = []decide.TriggerDoc{{ID: "basket", On: "Basket Left", When: parse(t, `properties.value > 20`), Placement: "home"}}
	w := open(t, docs)
	box := w.engine.Effects(decide.EffectKind)
	w.track(who(1), "Basket Left", map[string]any{"value": 10})
	w.track(who(1), "Basket Left", map[string]any{"value": 90})
	e, err := box.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var first *rapport.Decision
	for range 2 { // as after a crash between append and commit
		d, err := w.decider.Trigger(t.Context(), e)
		if err != nil || len(d.Items) != 1 || d.Cause != "trigger basket" {
			t.Fatalf("%+v, %v", d, err)
		}
		if first == nil {
			first = d
		}
	}
	err = w.engine.View(t.Context(), who(1), nil, func(v *engine.View) error {
		if left := v.Effects(); len(left) != 0 {
			return errors.New("effects are left: " + left[0].Key)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if k := w.learned(); len(k.Learned()) != 1 || k.Learned()[0].Exposures != 1 {
		t.Errorf("learned %+v", k.Learned())
	}
	w.track(who(2), "Basket Left", map[string]any{"value": 90})
	if e, err = box.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	if d, err := w.decider.Trigger(t.Context(), e); err != nil || len(d.Items) != 0 {
		t.Errorf("an hour late: %+v, %v", d, err)
	}
}

func TestFeaturesNameNobody(t *testing.T) {
	t.Parallel()
	context := rapport.FieldsOf(map[string]any{
		"email": "kari@example.com", "phone": 4791234567, "page": "cart", "value": 19.9, "member": true, "list": []any{1}, "none": nil,
	})
	f := decide.Features(env{&remembered{}, nil, start}, context)
	if text := string(f.AppendJSON(nil)); strings.Contains(text, "kari") || strings.Contains(text, "479123") || strings.Contains(text, "cart") ||
		!strings.Contains(text, `"context.value":19.9`) || !strings.Contains(text, `"hour":12`) || f.Len() != 6 {
		t.Error(text)
	}
}

func TestTheModelFollowsTheRewardsTopic(t *testing.T) {
	t.Parallel()
	w := open(t, oneAction())
	w.decide(who(1), "home")
	w.track(who(1), "Order Completed", nil)
	records := w.rewards()
	synctest.Test(t, func(t *testing.T) {
		log := eventlogtest.NewMemory(1)
		if err := eventlog.Append(t.Context(), log, records[:1]...); err != nil {
			t.Fatal(err)
		}
		m := decide.NewModel()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx, log) }()
		synctest.Wait()
		if v := m.Knowledge().Version(); v != 0 {
			t.Errorf("after one record the version is %d", v)
		}
		if err := eventlog.Append(t.Context(), log, records[1:]...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // lessons are gathered for a moment
		synctest.Wait()
		if k := m.Knowledge(); k.Version() != int64(len(records)-1) || len(k.Learned()) != 1 {
			t.Errorf("version %d of %d records, learned %v", k.Version(), len(records), k.Learned())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
