package decide

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Explanation tells why a decision came out as it did. What is said of a
// stored decision is read from it, not computed again.
type Explanation struct {
	Decision *rapport.Decision `json:"decision"`
	// Sentence is the answer in one sentence.
	Sentence string `json:"sentence"`
	// Funnel counts the candidates that were left after each rule.
	Funnel []Stage `json:"funnel"`
	// Scores are the candidates no rule took out, best first.
	Scores []Score `json:"scores"`
	// Action is the action asked about, when one was.
	Action *ActionExplanation `json:"action,omitempty"`
}

// Stage is one rule of the funnel.
type Stage struct {
	Rule string `json:"rule"`
	// Left is how many candidates passed this rule and those before it.
	Left     int       `json:"left"`
	Excluded []Failure `json:"excluded"`
}

// Failure is one action a rule took out, and the rule's id and the value that failed.
type Failure struct {
	Action string `json:"action"`
	Detail string `json:"detail"`
}

// Score is one line of the table of scores.
type Score struct {
	Action string `json:"action"`
	// Slot is the slot it was given, -1 if none.
	Slot       int            `json:"slot"`
	Mean       float64        `json:"mean"`
	Drawn      float64        `json:"drawn"`
	Propensity float64        `json:"propensity"`
	Terms      []rapport.Term `json:"terms"`
}

// ActionExplanation answers why an action was given, or why not.
type ActionExplanation struct {
	Action string `json:"action"`
	Chosen bool   `json:"chosen"`
	// Rule is what kept it from being given; empty if it was.
	Rule   string `json:"rule,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Clauses are the parts of its condition and what was found for each.
	Clauses []condition.Clause `json:"clauses,omitempty"`
	// Changes are what would have led to another answer.
	Changes []string `json:"changes"`
}

// ruleOrder is the order of the funnel.
var ruleOrder = [...]string{RuleRight, RuleValidity, RuleCondition, RulePaused, RuleConsent, RuleReach, RuleQuota, RuleCap, RuleGate, RuleQuietHours}

// Explain tells of a decision from what it holds.
func Explain(d *rapport.Decision) *Explanation {
	x := &Explanation{Decision: d, Sentence: sentence(d), Funnel: []Stage{{Rule: "candidates", Left: len(d.Candidates), Excluded: []Failure{}}}, Scores: []Score{}}
	left := len(d.Candidates)
	for _, rule := range ruleOrder {
		s := Stage{Rule: rule, Excluded: []Failure{}}
		for i := range d.Candidates {
			if c := &d.Candidates[i]; c.Excluded == rule {
				s.Excluded = append(s.Excluded, Failure{c.Action, c.Detail})
			}
		}
		left -= len(s.Excluded)
		s.Left = left
		x.Funnel = append(x.Funnel, s)
	}
	held := Stage{Rule: RuleHoldout, Left: left, Excluded: []Failure{}}
	if d.Holdout {
		held.Left = 0
	}
	for i := range d.Candidates {
		c := &d.Candidates[i]
		if c.Excluded != "" {
			continue
		}
		if d.Holdout {
			held.Excluded = append(held.Excluded, Failure{c.Action, "the person is in the permanent holdout"})
		}
		x.Scores = append(x.Scores, Score{
			Action: c.Action, Slot: slotOf(d, c.Action), Mean: c.Mean, Drawn: c.Score, Propensity: c.Propensity, Terms: c.Terms,
		})
	}
	x.Funnel = append(x.Funnel, held)
	slices.SortStableFunc(x.Scores, func(a, b Score) int { return cmp.Compare(b.Drawn, a.Drawn) })
	return x
}

// chosen returns what was given, or in the holdout would have been.
func chosen(d *rapport.Decision) []rapport.Choice {
	if d.Holdout {
		return d.Withheld
	}
	return d.Items
}

func slotOf(d *rapport.Decision, action string) int {
	for _, c := range chosen(d) {
		if c.Action == action {
			return c.Slot
		}
	}
	return -1
}

func sentence(d *rapport.Decision) string {
	if len(d.Items) == 0 {
		return "Nothing was given in " + d.Placement + ": " + d.Nothing + "."
	}
	c := &d.Items[0]
	s := "Gave " + c.Action + " in " + d.Placement + ": " + c.Reason
	if n := len(d.Items) - 1; n > 0 {
		s += ", and " + plural(n, "more action")
	}
	if c.Sending != nil {
		s += "; sent " + c.Sending.Reason
	}
	return s + "."
}

// about answers for one action of a moment just arbitrated.
func (m *moment) about(d *rapport.Decision, id string) *ActionExplanation {
	x := &ActionExplanation{Action: id, Changes: []string{}}
	i := slices.IndexFunc(d.Candidates, func(c rapport.Candidate) bool { return c.Action == id })
	if i < 0 {
		x.Rule, x.Detail = RulePlacement, "the action is not among those of placement "+m.placement.ID
		x.Changes = append(x.Changes, "naming "+m.placement.ID+" among the action's placements")
		return x
	}
	a, c := m.placement.Candidates[i], &d.Candidates[i]
	if written, ok := a.When.(*condition.Condition); ok {
		x.Clauses = written.Explain(m.env).Clauses
	}
	x.Rule, x.Detail = c.Excluded, c.Detail
	switch {
	case c.Excluded != "":
		x.Changes = m.changes(a, c.Excluded, x.Clauses)
	case d.Holdout && a.Right == "":
		x.Rule, x.Detail = RuleHoldout, "the person is in the permanent holdout of "+percent(m.config.policy.holdout)
		x.Changes = append(x.Changes, "nothing: the holdout is permanent, so that the effect of everything else can be measured")
	case slices.ContainsFunc(d.Withheld, func(c rapport.Choice) bool { return c.Action == id }):
		x.Rule, x.Detail = RuleControl, "the person is among the "+percent(a.Control)+" who never get "+id+", so that its effect can be measured"
		x.Changes = append(x.Changes, "nothing: the control group is permanent")
	case slotOf(d, id) >= 0:
		x.Chosen = true
		x.Detail = d.Items[slices.IndexFunc(d.Items, func(c rapport.Choice) bool { return c.Action == id })].Reason
		if over := m.runnerUp(d, id); over != "" {
			x.Changes = append(x.Changes, over)
		}
	default:
		x.Rule = RuleWorth
		bar, over := 0.0, "nothing"
		if len(d.Items) > 0 {
			last := d.Items[len(d.Items)-1]
			over = last.Action
			for j := range d.Candidates {
				if d.Candidates[j].Action == last.Action {
					bar = d.Candidates[j].Score
				}
			}
		}
		x.Detail = "its draw of " + money(c.Score) + " (expected " + money(c.Mean) + ") stood behind " + over + " with " + money(bar)
		x.Changes = append(x.Changes, "another draw: it is given in "+percent(c.Propensity)+" of such moments",
			"an expected value above "+money(math.Max(bar, 0)))
	}
	return x
}

// runnerUp says what would have been given in place of the action that was.
func (m *moment) runnerUp(d *rapport.Decision, id string) string {
	best, score := "", 0.0
	for i := range d.Candidates {
		if c := &d.Candidates[i]; c.Excluded == "" && c.Action != id && slotOf(d, c.Action) < 0 && c.Score > score {
			best, score = c.Action, c.Score
		}
	}
	if best == "" {
		return "a draw below 0: then nothing would have been given"
	}
	return "a draw below " + money(score) + ": then " + best + " would have been given"
}

// changes says what would let an excluded action through its rule.
func (m *moment) changes(a *Action, rule string, clauses []condition.Clause) []string {
	switch rule {
	case RuleValidity:
		if a.from != 0 && m.now < a.from {
			return []string{"waiting until " + stamp(rapport.Time(a.from))}
		}
		return []string{"a later end of validity than " + stamp(rapport.Time(a.until))}
	case RuleCondition:
		out := []string{}
		for _, c := range clauses {
			if c.Decisive && !c.Held {
				out = append(out, "if this held: "+c.String())
			}
		}
		return out
	case RuleConsent:
		s := "consent to " + a.Purpose
		if ways := m.placement.Ways(a); len(ways) > 0 {
			s += " through " + strings.Join(ways, " or ")
		}
		return []string{s}
	case RuleReach:
		return []string{"an address that takes messages, for the channel " + strings.Join(m.placement.Ways(a), " or ")}
	case RuleCap:
		free := int64(math.MaxInt64) // the first of its channels to be free
		for _, ch := range m.placement.waysOrNone(a) {
			frees := int64(0)
			for _, l := range a.caps {
				if l.covers(a, ch) {
					frees = max(frees, l.frees(m.uses, a, ch, m.now))
				}
			}
			free = min(free, frees)
		}
		return []string{"waiting until " + stamp(rapport.Time(free)) + ", when the caps free"}
	case RulePaused:
		return []string{"changing what it says or to whom, as another action: its effect so far is measured", "policy.pause.off"}
	case RuleQuota:
		return []string{"more stock or budget", "waiting: a budget is spent evenly over its period"}
	case RuleGate:
		if g := m.config.policy.gate; g.busy > 0 && m.past.last > 0 && m.now-m.past.last < g.busy {
			return []string{"an answer to what was given last, or waiting until " + stamp(rapport.Time(m.past.last+g.busy))}
		}
		return []string{"if this held: " + m.config.policy.gate.text}
	case RuleQuietHours:
		_, end := m.config.policy.quiet.quietUntil(m.env.Now())
		return []string{"waiting until " + stamp(end) + ", when quiet hours end"}
	}
	return []string{}
}

func percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) + " %" }

// About answers for one action of a recorded decision, why it was given or why
// not, from what the record holds.
func About(d *rapport.Decision, action string) *ActionExplanation {
	x := &ActionExplanation{Action: action, Changes: []string{}}
	i := slices.IndexFunc(d.Candidates, func(c rapport.Candidate) bool { return c.Action == action })
	if i < 0 {
		x.Rule, x.Detail = RulePlacement, "the action was not among those of placement "+d.Placement
		x.Changes = append(x.Changes, "naming "+d.Placement+" among the action's placements")
		return x
	}
	c := &d.Candidates[i]
	withheld := slices.ContainsFunc(d.Withheld, func(w rapport.Choice) bool { return w.Action == action })
	at := slices.IndexFunc(d.Items, func(g rapport.Choice) bool { return g.Action == action })
	switch {
	case c.Excluded != "":
		x.Rule, x.Detail = c.Excluded, c.Detail
		x.Changes = append(x.Changes, "another answer to this rule: "+c.Detail)
	case at >= 0:
		x.Chosen, x.Detail = true, d.Items[at].Reason
		best := 0.0
		over := "nothing"
		for j := range d.Candidates {
			if o := &d.Candidates[j]; j != i && o.Excluded == "" && o.Score > best {
				best, over = o.Score, o.Action
			}
		}
		x.Changes = append(x.Changes, "a draw below "+money(best)+": then "+over+" would have come first")
	case withheld && !d.Holdout:
		x.Rule, x.Detail = RuleControl, "the person is in the control group of the action"
		x.Changes = append(x.Changes, "nothing: the control group is permanent")
	case d.Holdout:
		x.Rule, x.Detail = RuleHoldout, "the person is in the permanent holdout"
		x.Changes = append(x.Changes, "nothing: the holdout is permanent, so that the effect of everything else can be measured")
	default:
		bar, over := 0.0, "nothing"
		if len(d.Items) > 0 {
			over = d.Items[len(d.Items)-1].Action
			for j := range d.Candidates {
				if d.Candidates[j].Action == over {
					bar = d.Candidates[j].Score
				}
			}
		}
		x.Rule = RuleWorth
		x.Detail = "its draw of " + money(c.Score) + " (expected " + money(c.Mean) + ") stood behind " + over + " with " + money(bar)
		x.Changes = append(x.Changes, "another draw: it is given in "+percent(c.Propensity)+" of such moments", "an expected value above "+money(math.Max(bar, 0)))
	}
	return x
}
