package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
)

// tried is a world in which one of two actions was clicked often and the other
// never, in n decisions.
func tried(t *testing.T, n uint64) (*world, decide.Documents) {
	t.Helper()
	click := []decide.GoalDoc{goal(rapport.EventDecisionClicked, time.Hour, 1)}
	docs := decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}},
		Actions: []decide.ActionDoc{
			{ID: "liked", Type: rapport.ActionOffer, Placements: []string{"home"}, Goals: click},
			{ID: "ignored", Type: rapport.ActionOffer, Placements: []string{"home"}, Goals: click},
		},
		Policies: []decide.PolicyDoc{{ID: "p", Exploration: share(0.5)}},
	}
	w := open(t, docs)
	for i := range n {
		d := w.decide(who(i), "home")
		if len(d.Items) > 0 && d.Items[0].Action == "liked" && i%2 == 0 {
			w.track(who(i), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
		}
		if i%50 == 0 {
			w.learned()
		}
	}
	w.learned()
	return w, docs
}

// judge asks what a change would have earned.
func (w *world) judge(docs decide.Documents, change func(*decide.Documents)) *decide.Promotion {
	w.t.Helper()
	now, err := decide.Compile(docs)
	if err != nil {
		w.t.Fatal(err)
	}
	docs.Actions = append([]decide.ActionDoc(nil), docs.Actions...)
	docs.Policies = append([]decide.PolicyDoc(nil), docs.Policies...)
	change(&docs)
	next, err := decide.Compile(docs)
	if err != nil {
		w.t.Fatal(err)
	}
	decisions := w.recent.List(decide.Filter{Limit: 1000})
	came, err := decide.ReadOutcomes(w.t.Context(), w.log, decisions)
	if err != nil {
		w.t.Fatal(err)
	}
	return decide.Promote(now, next, w.learned(), decisions, came)
}

func TestAChangeIsPublishedOnlyIfItsLowerBoundIsNotWorse(t *testing.T) {
	t.Parallel()
	w, docs := tried(t, 300) // as many as are kept
	few := func(d *decide.Documents) { d.Policies[0].Promotion = nil }
	docs.Policies[0].Promotion = &decide.PromotionDoc{Decisions: 80}
	for name, c := range map[string]struct {
		change  func(*decide.Documents)
		verdict string
		refused bool
		says    string
	}{
		"what is ignored is pushed": {func(d *decide.Documents) { d.Actions[1].Weight = 1000 }, decide.VerdictWorse, true, "it may be worse by more than"},
		"what is liked is pushed":   {func(d *decide.Documents) { d.Actions[0].Priority = 1 }, decide.VerdictBetter, false, "not worse, surely enough: over "},
		"less is tried":             {func(d *decide.Documents) { d.Policies[0].Exploration = share(0.05) }, decide.VerdictBetter, false, "worth "},
		"what is liked goes":        {func(d *decide.Documents) { d.Actions = d.Actions[1:] }, decide.VerdictWorse, true, "in force, a difference between -"},
		"nothing changes":           {few, decide.VerdictUnchanged, false, "in none of the 300 decisions"},
		"only a condition changes":  {func(d *decide.Documents) { d.Actions[0].When = parse(t, `traits.x == 1`) }, decide.VerdictUnknown, false, "the log cannot tell of the condition of liked"},
		"something new": {func(d *decide.Documents) {
			d.Actions = append(d.Actions, decide.ActionDoc{ID: "new", Type: rapport.ActionOffer, Placements: []string{"home"}})
		}, decide.VerdictUnknown, false, "not enough logged decisions: 0 of the 80 it takes; the log cannot tell of the new action new"},
		"its own bar is not lowered": {func(d *decide.Documents) {
			d.Actions[1].Weight, d.Policies[0].Promotion = 1000, &decide.PromotionDoc{Off: true}
		}, decide.VerdictWorse, true, ""},
	} {
		p := w.judge(docs, c.change)
		if p.Verdict != c.verdict || p.Refused != c.refused || !strings.Contains(p.Sentence, c.says) {
			t.Errorf("%s: %+v", name, p)
		}
		if p.Difference != nil && !(p.Difference.Low <= p.Difference.Value && p.Difference.Value <= p.Difference.High && p.EffectiveSampleSize > 50) {
			t.Errorf("%s: %+v of %v", name, p.Difference, p.EffectiveSampleSize)
		}
	}
}

func TestTooFewDecisionsAreSaidToBeTooFew(t *testing.T) {
	t.Parallel()
	w, docs := tried(t, 60)
	worse := func(d *decide.Documents) { d.Actions[1].Weight = 1000 }
	if p := w.judge(docs, worse); p.Verdict != decide.VerdictUnknown || p.Refused || !strings.HasPrefix(p.Sentence, "not enough logged decisions: 60 of the 200") {
		t.Errorf("%+v", p)
	}
	docs.Policies[0].Promotion = &decide.PromotionDoc{Unknown: "refuse"}
	if p := w.judge(docs, worse); !p.Refused {
		t.Errorf("%+v", p)
	}
	docs.Policies[0].Promotion = &decide.PromotionDoc{Off: true}
	if p := w.judge(docs, worse); p.Refused || p.Verdict != decide.VerdictOff {
		t.Errorf("%+v", p)
	}
}
