package decide_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
)

// settledDecisions are n decisions of an action expected to be worth half, of
// which every so-manieth is clicked.
func settledDecisions(n, clickedEvery int) (*decide.Config, []*rapport.Decision, decide.Outcomes) {
	c, err := decide.Compile(decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}},
		Actions: []decide.ActionDoc{{
			ID: "a", Type: rapport.ActionOffer, Placements: []string{"home"}, Cost: 0.1,
			Goals: []decide.GoalDoc{goal(rapport.EventDecisionClicked, time.Hour, 1)},
		}},
	})
	if err != nil {
		panic(err)
	}
	came := decide.Outcomes{}
	var out []*rapport.Decision
	for i := range n {
		d := &rapport.Decision{
			ID: fmt.Sprint("d_", i), Placement: "home", Time: int64(n - i), Items: []rapport.Choice{{Action: "a", Explored: i%10 == 0}},
			Candidates: []rapport.Candidate{{Action: "a", Mean: 0.4}, {Action: "b", Mean: 0.6}, {Action: "c", Excluded: "cap", Mean: 9}},
		}
		switch i % 20 {
		case 1:
			d.Holdout, d.Items = true, nil
		case 2:
			d.Items = nil
		}
		if i%clickedEvery == 0 {
			came[d.ID] = 1
		}
		out = append(out, d)
	}
	return c, out, came
}

func TestLearningIsHealthyWhereWhatWasExpectedComes(t *testing.T) {
	t.Parallel()
	c, decisions, came := settledDecisions(2000, 2)
	h := c.Learning(decisions, came, 10*time.Hour.Milliseconds())
	near := func(got, want float64) bool { return math.Abs(got-want) < 0.01 }
	if h.Status != decide.LearningGood || h.Decisions != 2000 || h.Settled != 1800 || h.Open != 0 || h.From != 1 || h.To != 2000 {
		t.Errorf("%+v", h)
	}
	if !near(h.Holdout, 0.05) || !near(h.Nothing, 100./1900) || !near(h.Explored, 200./1800) || !near(h.Best, 0.6) || !near(h.Regret, 0.2) {
		t.Errorf("shares: %+v", h)
	}
	if !near(*h.Expected, 0.4) || h.Came.Low > 0.4 || h.Came.High < 0.4 || len(h.Calibration) != 5 || h.Calibration[0].Count != 360 {
		t.Errorf("calibration: %+v of %v, expected %v", h.Calibration, h.Came, *h.Expected)
	}
}

func TestLearningIsPoorWhereSurelyLessComes(t *testing.T) {
	t.Parallel()
	c, decisions, came := settledDecisions(2000, 5)
	if h := c.Learning(decisions, came, 10*time.Hour.Milliseconds()); h.Status != decide.LearningPoor || !strings.Contains(h.Reason, "less") {
		t.Errorf("%+v", h)
	}
}

func TestLearningIsNotJudgedWhileGoalsAreOpen(t *testing.T) {
	t.Parallel()
	c, decisions, came := settledDecisions(2000, 2)
	if h := c.Learning(decisions, came, 3000); h.Status != decide.LearningUnsure || h.Settled != 0 || h.Open != 1800 || h.Came != nil {
		t.Errorf("%+v", h)
	}
	if h := c.Learning(nil, nil, 0); h.Status != decide.LearningUnsure || h.Decisions != 0 {
		t.Errorf("%+v", h)
	}
}
