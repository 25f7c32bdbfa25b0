package decide

import (
	"cmp"
	"maps"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn"
)

// Opportunity is one micro-opportunity: an action in a placement, for one part
// of people where the traffic was told apart.
type Opportunity struct {
	Placement string `json:"placement"`
	Action    string `json:"action"`
	// Segment is the part of people; empty for everybody.
	Segment string `json:"segment,omitempty"`
	// State says how far it is: "untried", "learning", "working", "losing" or "paused".
	State string `json:"state"`
	// Exposures is how often it was given, Share its part of what the placement gave.
	Exposures int64   `json:"exposures"`
	Share     float64 `json:"share"`
	// Clicks and Reward are per exposure, faded; Reward in the deployment's currency, before cost.
	Clicks float64 `json:"clicks"`
	Reward float64 `json:"reward"`
	// Effect is what the action adds per person, nil while it is not known.
	Effect *Effect `json:"effect,omitempty"`
	// Next is what is to be done about it, in plain words; nothing needs somebody.
	Next string `json:"next"`
}

// Effect is what an action adds per person, with its always-valid interval.
type Effect struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// The states of an opportunity.
const (
	StateUntried  = "untried"
	StateLearning = "learning"
	StateWorking  = "working"
	StateLosing   = "losing"
	StatePaused   = "paused"
)

// learningUntil is how many exposures an opportunity is judged from.
const learningUntil = 200

// Portfolio lists every opportunity of the configuration, by placement and
// action: what was tried and what came of it. given tells apart the recent
// decisions by part of people and may be empty.
func (c *Config) Portfolio(k *Knowledge, given []Traffic) []Opportunity {
	var out []Opportunity
	for _, name := range slices.Sorted(maps.Keys(c.placements)) {
		p := c.placements[name]
		var all int64
		for _, a := range p.Candidates {
			if arm := k.arms[armKey{name, a.ID}]; arm != nil {
				all += arm.seen
			}
		}
		for _, a := range p.Candidates {
			o := c.opportunity(k, p, a, all)
			out = append(out, o)
			for _, t := range given {
				if t.Placement != name || t.Action != a.ID || t.Segment == "" {
					continue
				}
				part := o
				part.Segment, part.Exposures, part.Share = t.Segment, t.Given, float64(t.Given)/float64(max(t.Asked, 1))
				if part.State != StatePaused && t.Given == 0 {
					part.State, part.Next = StateUntried, "is tried by the floor of exploration when one of them comes"
				}
				out = append(out, part)
			}
		}
	}
	return out
}

// Traffic is what recent decisions gave to one part of people.
type Traffic struct {
	Placement, Action, Segment string
	Given, Asked               int64
}

func (c *Config) opportunity(k *Knowledge, p *Placement, a *Action, all int64) Opportunity {
	o := Opportunity{Placement: p.ID, Action: a.ID, State: StateUntried, Next: "is tried by the floor of exploration when somebody eligible comes"}
	arm := k.arms[armKey{p.ID, a.ID}]
	if arm != nil && arm.seen > 0 {
		o.Exposures, o.Share = arm.seen, float64(arm.seen)/float64(max(all, 1))
		for i := range arm.goals {
			g := &arm.goals[i]
			if g.exposed > 0 {
				o.Reward += g.amounts.Sum / g.exposed
			}
		}
		if b := find(arm.beliefs, clicked); b != nil && o.Exposures > 0 {
			o.Clicks = b.hits / float64(o.Exposures)
		}
	}
	if l := k.Lift(a.ID); l.Anytime != nil {
		o.Effect = &Effect{l.Anytime.Value, l.Anytime.Low, l.Anytime.High}
	}
	switch harm := k.Harm(a.ID, &c.policy.pause); {
	case harm != "":
		o.State, o.Next = StatePaused, harm+"; change what it says or to whom, as another action"
	case o.Exposures == 0:
	case o.Exposures < learningUntil:
		o.State, o.Next = StateLearning, "learns on: "+plural(int(learningUntil-o.Exposures), "more exposure")+" until it is judged"
	case o.Reward > a.Cost:
		o.State, o.Next = StateWorking, "goes on; its share follows what it is worth to whom"
	default:
		o.State, o.Next = StateLosing, "is given less and less; it brings less than it costs"
	}
	return o
}

// Ranking is a recorded moment ranked anew under another configuration.
type Ranking struct {
	Decision string `json:"decisionId"`
	Was      string `json:"was"` // the action first given; empty for nothing
	Is       string `json:"is"`
	// Expected is what the first action was expected to be worth, then and now.
	ExpectedWas float64 `json:"expectedWas"`
	ExpectedIs  float64 `json:"expectedIs"`
}

// Board is the arbitration board: recorded moments ranked anew.
type Board struct {
	Moments int `json:"moments"`
	Changed int `json:"changed"`
	// Expected value of the first choice per moment, as recorded and anew, by
	// the model as it is now.
	Was float64 `json:"expectedWas"`
	Is  float64 `json:"expectedIs"`
	// Shares of the moments each action is first in, "" being nothing.
	SharesWas map[string]float64 `json:"sharesWas"`
	SharesIs  map[string]float64 `json:"sharesIs"`
	Rankings  []Ranking          `json:"rankings"`
}

// Rerank ranks recorded decisions anew under a configuration, by the features
// each holds and the model as it is now. Rules that ask the person (conditions,
// consent, caps, quiet hours) stand as they were recorded for actions that were
// candidates then; an action that was none then is left out, as nobody knows
// what the rules would have said. What differs is worth: weights, costs, goals,
// priorities, placements. Recorded and new choice are both valued by today's
// model without its exploration, so that only the configuration tells them apart.
func Rerank(now, next *Config, k *Knowledge, recorded []*rapport.Decision) *Board {
	b := &Board{SharesWas: map[string]float64{}, SharesIs: map[string]float64{}, Rankings: []Ranking{}}
	for _, d := range recorded {
		was, worthWas := now.first(k, d)
		is, worthIs := next.first(k, d)
		b.Moments++
		b.SharesWas[was]++
		b.SharesIs[is]++
		b.Was += worthWas
		b.Is += worthIs
		if was != is {
			b.Changed++
		}
		b.Rankings = append(b.Rankings, Ranking{Decision: d.ID, Was: was, Is: is, ExpectedWas: worthWas, ExpectedIs: worthIs})
	}
	if n := float64(b.Moments); n > 0 {
		b.Was, b.Is = b.Was/n, b.Is/n
		for _, shares := range []map[string]float64{b.SharesWas, b.SharesIs} {
			for action := range shares {
				shares[action] /= n
			}
		}
	}
	return b
}

// first returns the action a configuration puts first in a recorded moment, and
// what it is expected to be worth; "" and 0 where nothing is worth more.
func (c *Config) first(k *Knowledge, d *rapport.Decision) (action string, worth float64) {
	p := c.placements[d.Placement]
	if p == nil {
		return "", 0
	}
	var actions []*Action
	for _, a := range p.Candidates {
		for i := range d.Candidates {
			if d.Candidates[i].Action == a.ID && d.Candidates[i].Excluded == "" {
				actions = append(actions, a)
			}
		}
	}
	estimates := make([]learn.Estimate, len(actions))
	k.Score(&Query{Placement: d.Placement, Features: d.Features}, actions, make([]Sight, len(actions)), estimates)
	best, top, score := -1, 0, 0.0
	for i, a := range actions {
		v := estimates[i].Mean*a.Weight - a.Cost
		if a.Priority > top || a.Priority == top && v > score {
			best, top, score = i, a.Priority, v
		}
	}
	if best < 0 {
		return "", 0
	}
	return actions[best].ID, estimates[best].Mean - actions[best].Cost
}

// SortTraffic puts traffic in order of placement, action and part of people.
func SortTraffic(t []Traffic) []Traffic {
	slices.SortFunc(t, func(a, b Traffic) int {
		return cmp.Or(cmp.Compare(a.Placement, b.Placement), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Segment, b.Segment))
	})
	return t
}
