package decide

import (
	"maps"
	"slices"

	"github.com/rapport-engine/rapport/learn"
)

// Lift is the effect of treating people, measured against the holdout. Both
// sides count all that a person brings from the first decision on (for one
// action, from the first time it was given, or withheld), whatever became of it
// and whichever decision earns the credit.
type Lift struct {
	// Action is what the effect is of; empty for everything together.
	Action  string `json:"action,omitempty"`
	Treated Side   `json:"treated"`
	Holdout Side   `json:"holdout"`
	// Difference is the value per person that would not have come without,
	// with its 95 % interval (Welch); nil while a side has fewer than two people.
	Difference *learn.Interval `json:"difference,omitempty"`
	// Adjusted is the difference with what people brought before taken out
	// (CUPED), Saved the share by which its variance is smaller for that.
	Adjusted *learn.Interval `json:"adjusted,omitempty"`
	Saved    float64         `json:"varianceSaved,omitempty"`
	// Anytime is the adjusted difference with an interval that may be looked at
	// every day: it holds at all times at once.
	Anytime *learn.Interval `json:"anytime,omitempty"`
	// Total is the difference times the people treated.
	Total *learn.Interval `json:"total,omitempty"`
}

// Side is one side of the comparison.
type Side struct {
	People int     `json:"people"`
	Mean   float64 `json:"mean"` // value per person
}

// liftLevel is the level of the intervals.
const liftLevel = 0.95

// Lift returns the effect of one action, or of everything for "".
func (k *Knowledge) Lift(action string) Lift {
	l := Lift{Action: action}
	e := k.effects[action]
	if e == nil {
		return l
	}
	l.Treated, l.Holdout = sideOf(e.treated.Moments), sideOf(e.held.Moments)
	if d, ok := learn.Difference(e.treated.Moments, e.held.Moments, liftLevel); ok {
		n := e.treated.N
		l.Difference = &d
		l.Total = &learn.Interval{Value: n * d.Value, Low: n * d.Low, High: n * d.High}
	}
	if d, se, saved, ok := learn.CUPED(e.treated, e.held); ok {
		half := learn.NormalQuantile((1+liftLevel)/2) * se
		l.Adjusted, l.Saved = &learn.Interval{Value: d, Low: d - half, High: d + half}, saved
		half = e.halfWidth(se, liftLevel)
		l.Anytime = &learn.Interval{Value: d, Low: d - half, High: d + half}
	}
	return l
}

// tightest is around how many people the always-valid intervals are tightest.
const tightest = 1000

// halfWidth is that of an always-valid interval: the smaller side says how much is known.
func (e *effect) halfWidth(se, level float64) float64 {
	return learn.AlwaysValid(se, min(e.treated.N, e.held.N), level, tightest)
}

// harmed reports whether an effect looks like harm, so that Harm looks closer.
func (e *effect) harmed() bool {
	return e.treated.N >= 20 && e.held.N >= 20 && e.treated.Mean() < e.held.Mean()
}

// Harm says why an action is paused by the rule: people who got it bring less
// than those who would have, surely enough at any time of looking. It is ""
// where that is not so.
func (k *Knowledge) Harm(action string, rule *PauseDoc) string {
	if len(k.suspects) == 0 || rule.Off || action == "" {
		return ""
	}
	if _, ok := k.suspects[action]; !ok {
		return ""
	}
	e := k.effects[action]
	least, level := rule.People, rule.Level
	if least == 0 {
		least = 200
	}
	if level == 0 {
		level = liftLevel
	}
	if e.treated.N < float64(least) || e.held.N < float64(least) {
		return ""
	}
	d, se, _, ok := learn.CUPED(e.treated, e.held)
	high := d + e.halfWidth(se, level)
	if !ok || high >= 0 {
		return ""
	}
	return "it does harm: " + money(d) + " per person, at most " + money(high) + ", measured on " + plural(int(e.treated.N), "person") + " against " + plural(int(e.held.N), "held out")
}

// Lifts returns the effect of every action that was ever given or withheld, by name.
func (k *Knowledge) Lifts() []Lift {
	out := make([]Lift, 0, len(k.effects))
	for _, action := range slices.Sorted(maps.Keys(k.effects)) {
		if action != "" {
			out = append(out, k.Lift(action))
		}
	}
	return out
}

func sideOf(m learn.Moments) Side { return Side{People: int(m.N + 0.5), Mean: m.Mean()} }

// Learned is what is known of one action in one placement.
type Learned struct {
	Placement string        `json:"placement"`
	Action    string        `json:"action"`
	Exposures int64         `json:"exposures"`
	Goals     []LearnedGoal `json:"goals"`
}

// LearnedGoal is what is known of one goal: figures fade as the model forgets.
type LearnedGoal struct {
	Event string `json:"event"`
	// Weight is how many exposures the rate rests on after forgetting.
	Weight float64 `json:"weight"`
	Rate   float64 `json:"rate"`
	// Amount is the mean worth of a success.
	Amount float64 `json:"amount"`
}

// Learned returns what is known of every action tried, by placement and action.
func (k *Knowledge) Learned() []Learned {
	out := make([]Learned, 0, len(k.arms))
	for _, key := range slices.SortedFunc(maps.Keys(k.arms), compareArms) {
		a := k.arms[key]
		if key.action == "" || key.placement == everywhere {
			continue // what comes of nothing, and sums
		}
		l := Learned{Placement: key.placement, Action: key.action, Exposures: a.seen, Goals: make([]LearnedGoal, 0, len(a.goals))}
		for i := range a.goals {
			g := &a.goals[i]
			rate := 0.0
			if g.exposed > 0 {
				rate = min(1, g.hits/g.exposed)
			}
			l.Goals = append(l.Goals, LearnedGoal{Event: g.event, Weight: g.exposed, Rate: rate, Amount: g.amounts.Mean()})
		}
		out = append(out, l)
	}
	return out
}
