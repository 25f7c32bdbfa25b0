package decide_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// rewards returns the records of the rewards topic so far.
func (w *world) rewards() (out []eventlog.Record) {
	w.t.Helper()
	w.learned()
	_, next := w.log.Bounds(eventlog.Rewards, 0)
	if next == 0 {
		return nil
	}
	r, err := w.log.Reader(eventlog.Rewards, 0, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	for int64(len(out)) < next {
		records, err := r.Next(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, records...)
	}
	return out
}

// taught tells the examples in one line each.
func (w *world) taught() (out []string) {
	for _, r := range w.rewards() {
		l, err := decide.ReadLesson(&r)
		if err != nil {
			w.t.Fatal(err)
		}
		if x := l.Example; x != nil && x.Goal != decide.Clicked && x.Action != "" {
			what := "shown"
			if x.Goal != "" {
				what = fmt.Sprintf("%s %v->%v", x.Goal, x.Before, x.After)
			}
			out = append(out, fmt.Sprintf("%s: %s = %v", x.Action, what, x.Reward))
		}
	}
	return out
}

func (w *world) taughtIs(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.taught()); diff != "" {
		w.t.Error(diff)
	}
}

func TestAnOutcomeCorrectsTheProvisionalFailure(t *testing.T) {
	t.Parallel()
	docs := oneAction()
	docs.Actions[0].Goals = append(docs.Actions[0].Goals, goal(rapport.EventDecisionClicked, time.Hour, 0.5))
	w := open(t, docs)
	d := w.decide(who(1), "home")
	w.taughtIs("mug: shown = 0")
	w.clock.advance(time.Minute)
	w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
	w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID}) // clicks once
	w.track(who(2), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID}) // not theirs
	w.clock.advance(time.Hour)
	w.track(who(1), "Order Completed", nil)
	w.track(who(1), "Order Completed", nil) // each order counts
	w.clock.advance(8 * 24 * time.Hour)
	w.track(who(1), "Order Completed", nil) // too late
	w.taughtIs("mug: shown = 0", "mug: Decision Clicked 0->0.5 = 0.5", "mug: Order Completed 0->10 = 10.5", "mug: Order Completed 10->20 = 20.5")
	if l := w.learned().Learned()[0]; l.Exposures != 1 || l.Goals[0].Rate != 1 || l.Goals[0].Amount < 19.9 {
		t.Errorf("learned %+v", l)
	}
}

func TestAPlacementThatCountsWhenShownTeachesNothingBefore(t *testing.T) {
	t.Parallel()
	docs := oneAction()
	docs.Placements[0].Exposure = "shown"
	w := open(t, docs)
	d := w.decide(who(1), "home")
	w.track(who(1), "Order Completed", nil) // cannot have come of it
	w.taughtIs()
	w.clock.advance(time.Hour)
	w.track(who(1), rapport.EventDecisionShown, map[string]any{"decisionId": d.ID})
	w.track(who(1), rapport.EventDecisionShown, map[string]any{"decisionId": d.ID})
	w.track(who(1), "Order Completed", nil)
	w.taughtIs("mug: shown = 0", "mug: Order Completed 0->10 = 10")
}

func TestAnAmountComesFromTheEvent(t *testing.T) {
	t.Parallel()
	docs := oneAction()
	var amount decide.Amount
	if err := amount.UnmarshalText([]byte("properties.order.total")); err != nil {
		t.Fatal(err)
	}
	docs.Actions[0].Goals[0].Value = amount
	w := open(t, docs)
	w.decide(who(1), "home")
	w.track(who(1), "Order Completed", map[string]any{"order": map[string]any{"total": "19.90"}})
	w.track(who(1), "Order Completed", map[string]any{"order": "?"})
	w.taughtIs("mug: shown = 0", "mug: Order Completed 0->19.9 = 19.9")
}

func TestTheHoldoutIsSparedCountedAndNeverTaught(t *testing.T) {
	t.Parallel()
	docs := oneAction()
	docs.Policies[0].Holdout = 0.3
	w := open(t, docs)
	held, treated := 0.0, 0.0
	for n := range uint64(60) {
		d := w.decide(who(n), "home")
		if d.Holdout {
			held++
			if len(d.Items) != 0 || len(d.Withheld) != 1 {
				t.Fatalf("held out, yet %+v", d)
			}
		} else {
			treated++
		}
		if n%2 == 0 {
			w.track(who(n), "Order Completed", nil)
		}
	}
	k := w.learned()
	if got := float64(k.Learned()[0].Exposures); got != treated || held == 0 {
		t.Errorf("%v were treated, %v held, the model learned of %v", treated, held, got)
	}
	for _, action := range []string{"", "mug"} {
		l := k.Lift(action)
		if float64(l.Treated.People) != treated || float64(l.Holdout.People) != held || l.Holdout.Mean == 0 || l.Difference == nil ||
			l.Difference.Low > 0 || l.Difference.High < 0 {
			t.Errorf("lift of %q: %+v", action, l)
		}
	}
}

func TestAReplayOfALogWithDecisionsGivesEqualState(t *testing.T) {
	t.Parallel()
	docs := oneAction(decide.CapDoc{Scope: "person", Max: 5, Per: rapport.Duration(24 * time.Hour)})
	docs.Policies[0].Holdout = 0.2
	docs.Placements[0].Slots = 2
	docs.Placements = append(docs.Placements, decide.PlacementDoc{ID: "cart", Exposure: "shown"})
	docs.Actions[0].Placements = append(docs.Actions[0].Placements, "cart")
	docs.Actions = append(docs.Actions, decide.ActionDoc{
		ID: "cup", Type: "offer", Placements: []string{"home"}, Cap: &decide.RateDoc{Max: 2, Per: rapport.Duration(time.Hour)},
	})
	w := open(t, docs)
	r := rand.New(rand.NewPCG(3, 3))
	ids := map[rapport.ID][]string{}
	for i := range 600 {
		p := who(uint64(r.IntN(20)))
		some := func() map[string]any { // of their decisions, perhaps one that is closed
			about := map[string]any{}
			if n := len(ids[p]); n > 0 {
				about["decisionId"] = ids[p][r.IntN(n)]
			}
			if r.IntN(2) == 0 {
				about["slot"] = r.IntN(2)
			}
			return about
		}
		switch r.IntN(7) {
		case 0, 1, 2:
			ids[p] = append(ids[p], w.decide(p, [...]string{"home", "cart"}[r.IntN(2)]).ID)
		case 3:
			w.track(p, "Order Completed", nil)
		case 4:
			w.track(p, rapport.EventDecisionClicked, some())
		case 5:
			w.track(p, "Order Completed", some())
		case 6:
			w.clock.advance(time.Duration(r.IntN(10)) * time.Hour)
		}
		if i == 200 {
			docs.Actions[0].Goals = []decide.GoalDoc{goal("Order Completed", 24*time.Hour, 7)}
			w.apply(docs)
		}
		if i == 300 || i == 400 {
			w.append(engine.MergeRecord(partitions, who(uint64(i/100)), who(uint64(i/100+10)), "l"))
		}
	}
	// Time passes in every partition before anybody looks: what is due falls due
	// here, and not with a tick that comes between the look and the replay.
	for n, passed := uint64(20), map[int]bool{}; len(passed) < partitions; n++ {
		if p := who(n).Partition(partitions); !passed[p] {
			passed[p] = true
			w.track(who(n), "Page Viewed", nil)
		}
	}
	before, k := w.states(), w.learned()
	model := string(k.Snapshot())
	w.restart() // from nothing: every lesson is taught a second time, from the same origin
	after := w.states()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("replayed state differs: %s", diff)
	}
	again := w.learned()
	if again.Version() == k.Version() {
		t.Error("nothing was taught twice, so the trial shows nothing")
	}
	if diff := cmp.Diff(k.Learned(), again.Learned()) + cmp.Diff(k.Lifts(), again.Lifts()); diff != "" {
		t.Errorf("the model learned otherwise from the same log: %s", diff)
	}
	m := decide.NewModel()
	if err := m.Restore([]byte(model)); err != nil {
		t.Fatal(err)
	}
	if string(m.Snapshot()) != model {
		t.Error("a restored model is another")
	}
}

// states returns the encoded state of every person.
func (w *world) states() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for n := range uint64(20) {
		err := w.engine.View(w.t.Context(), who(n), nil, func(v *engine.View) error {
			out[v.ID().String()] = string(v.State(decide.FoldName).AppendBinary(nil))
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}
