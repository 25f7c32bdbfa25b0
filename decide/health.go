package decide

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/ope"
)

// Verdicts of a [LearningHealth].
const (
	LearningGood   = "good"
	LearningPoor   = "poor"
	LearningUnsure = "not enough data"
)

// What it takes to judge.
const (
	leastSettled = 200  // decisions whose goals can be reached no more
	tolerated    = 0.25 // by which share what came may surely differ from what was expected
	learningBins = 5
)

// LearningHealth says of recent decisions how much was tried out, what that was
// expected to cost, and whether what was expected came.
type LearningHealth struct {
	Status string `json:"status" enum:"good,poor,not enough data"`
	Reason string `json:"reason"`
	// Decisions are those looked at, the newest; From and To are when they were made, Unix ms.
	Decisions int   `json:"decisions"`
	From      int64 `json:"from"`
	To        int64 `json:"to"`
	// Holdout, Nothing and Explored are shares: of all decisions; of those outside
	// the holdout; of those that gave something.
	Holdout  float64 `json:"holdout"`
	Nothing  float64 `json:"nothing"`
	Explored float64 `json:"explored"`
	// Best is what the best known action of each decision was expected to be
	// worth, Regret by how much less what was given instead: the price of trying.
	Best   float64 `json:"best"`
	Regret float64 `json:"regret"`
	// Settled decisions gave something whose goals can be reached no more; Open ones' still can.
	Settled int `json:"settled"`
	Open    int `json:"open"`
	// Expected is the mean value expected of the settled ones, Came what they brought, both after cost.
	Expected    *float64      `json:"expected,omitempty"`
	Came        *Effect       `json:"came,omitempty"`
	Calibration []LearningBin `json:"calibration"`
}

// LearningBin compares, for settled decisions of like expectation, what was
// expected with what came, with its 95 % interval.
type LearningBin struct {
	Expected float64 `json:"expected"`
	Came     float64 `json:"came"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Count    int     `json:"count"`
}

// Learning judges recent decisions, newest first, by what came of them so far.
// What was expected is as recorded when deciding: the model had not seen the outcome.
func (c *Config) Learning(decisions []*rapport.Decision, came Outcomes, now int64) *LearningHealth {
	h := &LearningHealth{Decisions: len(decisions), Calibration: []LearningBin{}}
	if len(decisions) > 0 {
		h.From, h.To = decisions[len(decisions)-1].Time, decisions[0].Time
	}
	type settled struct{ expected, came float64 }
	var closed []settled
	decided, given, compared := 0, 0, 0
	for _, d := range decisions {
		if d.Holdout {
			h.Holdout++
			continue
		}
		decided++
		if len(d.Items) == 0 {
			h.Nothing++
			continue
		}
		given++
		first := &d.Items[0]
		if first.Explored {
			h.Explored++
		}
		if best, mean, ok := weighed(d, first.Action); ok {
			compared++
			h.Best += best
			h.Regret += best - mean
		}
		a := c.actions[first.Action]
		switch {
		case a == nil || a.Priority > 0 || a.Right != "":
		case now < d.Time+a.longest+grace:
			h.Open++
		default:
			if _, mean, ok := weighed(d, first.Action); ok && a.Weight == 1 {
				closed = append(closed, settled{mean, came[d.ID] - a.Cost})
			}
		}
	}
	h.Holdout = shareOf(h.Holdout, len(decisions))
	h.Nothing = shareOf(h.Nothing, decided)
	h.Explored = shareOf(h.Explored, given)
	h.Best, h.Regret = shareOf(h.Best, compared), shareOf(h.Regret, compared)
	h.Settled = len(closed)
	if h.Settled < leastSettled {
		h.Status, h.Reason = LearningUnsure, fmt.Sprintf("%d of the %d decisions it takes are settled: the goals of the others can still be reached", h.Settled, leastSettled)
		return h
	}
	slices.SortStableFunc(closed, func(a, b settled) int { return cmp.Compare(a.expected, b.expected) })
	var errors []float64
	sum := func(part []settled) (expected float64, sample []float64) {
		for _, x := range part {
			expected += x.expected
			sample = append(sample, x.came)
		}
		return expected / float64(len(part)), sample
	}
	for _, x := range closed {
		errors = append(errors, x.came-x.expected)
	}
	for i := range learningBins {
		part := closed[len(closed)*i/learningBins : len(closed)*(i+1)/learningBins]
		expected, sample := sum(part)
		low, high, mean := ope.Interval(sample, liftLevel)
		h.Calibration = append(h.Calibration, LearningBin{expected, mean, low, high, len(part)})
	}
	expected, sample := sum(closed)
	h.Expected, h.Came = &expected, effectOf(sample)
	low, high, _ := ope.Interval(errors, liftLevel)
	band := tolerated * max(math.Abs(expected), math.Abs(h.Came.Value))
	switch {
	case low > band:
		h.Status, h.Reason = LearningPoor, "decisions bring surely more than was expected of them"
	case high < -band:
		h.Status, h.Reason = LearningPoor, "decisions bring surely less than was expected of them"
	default:
		h.Status, h.Reason = LearningGood, "what was expected came, as far as can be told"
	}
	return h
}

// weighed returns what the best candidate of a decision and the one given were
// expected to be worth.
func weighed(d *rapport.Decision, given string) (best, mean float64, ok bool) {
	for i := range d.Candidates {
		x := &d.Candidates[i]
		if x.Excluded != "" {
			continue
		}
		if x.Action == given {
			mean, ok = x.Mean, true
		}
		best = max(best, x.Mean)
	}
	return max(best, mean), mean, ok
}

func shareOf(part float64, n int) float64 {
	if n == 0 {
		return 0
	}
	return part / float64(n)
}
