package decide

import (
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/learn"
)

// Scorer values actions. An implementation is one immutable state of a model,
// used by any number of goroutines.
type Scorer interface {
	// Version names the state, for the record of a decision.
	Version() int64
	// Gain returns what giving the action once is believed to earn, its cost
	// not deducted, and appends the signed contributions, which add up to the
	// mean, to terms.
	Gain(q Query, terms []rapport.Term) (learn.Estimate, []rapport.Term)
}

// Query is one action at one moment.
type Query struct {
	Placement string
	Action    *Action
	Features  rapport.Fields
}

// moment is everything one decision is made from. Arbitration is a pure
// function of it.
type moment struct {
	config    *Config
	placement *Placement
	person    rapport.ID
	env       condition.Env // with the request's context on top
	now       int64         // Unix ms
	uses      []use         // what the person got, reservations included
	scorer    Scorer
	features  rapport.Fields
	context   rapport.Fields
	limit     int // 0 is the placement's slots
	seed      uint64
	cause     string
}

// channel returns how an action would be pushed here, "" if it would not.
func (m *moment) channel(a *Action) string {
	if a.Channel != "" {
		return a.Channel
	}
	return m.placement.Channel
}

// arbitrate decides: candidates, rules, scores, draws, slots. "Nothing" is a
// candidate worth 0: a slot stays empty when no draw is positive.
func (m *moment) arbitrate() *rapport.Decision {
	candidates := m.placement.Candidates
	d := &rapport.Decision{
		Person: m.person, Placement: m.placement.ID, Time: m.now, Seed: m.seed, Cause: m.cause,
		Model: m.scorer.Version(), Holdout: m.config.policy.held(m.person),
		Candidates: make([]rapport.Candidate, len(candidates)),
		Features:   m.features, Context: m.context,
	}
	rules := newRestraint(m)
	field := contest{m: m, d: d, runners: make([]runner, 0, len(candidates)), terms: make([]rapport.Term, 0, 3*len(candidates))}
	for i, a := range candidates {
		c := &d.Candidates[i]
		c.Action = a.ID
		c.Excluded, c.Detail = rules.exclude(a)
		if c.Excluded == "" {
			field.enter(i, a)
		}
	}
	allowed := len(field.runners)
	chosen := field.fill(rules)
	field.trim(chosen)
	if d.Holdout {
		d.Withheld = chosen
	} else {
		d.Items = chosen
	}
	if len(d.Items) == 0 {
		d.Nothing = m.nothing(d, allowed)
	}
	return d
}

// runner is a candidate no rule took out.
type runner struct {
	index    int // among the candidates
	action   *Action
	estimate learn.Estimate
}

// contest is the draw for the slots.
type contest struct {
	m       *moment
	d       *rapport.Decision
	runners []runner
	terms   []rapport.Term // one backing array for all
}

// enter scores a candidate.
func (f *contest) enter(index int, a *Action) {
	from := len(f.terms)
	e, terms := f.m.scorer.Gain(Query{Placement: f.m.placement.ID, Action: a, Features: f.m.features}, f.terms)
	for i := range terms[from:] {
		terms[from+i].Value = round32(terms[from+i].Value * a.Weight)
	}
	if a.Cost != 0 {
		terms = append(terms, rapport.Term{Name: "cost", Value: round32(-a.Cost)})
	}
	f.terms = terms
	e = learn.Estimate{Mean: e.Mean*a.Weight - a.Cost, SD: e.SD * a.Weight, Floor: e.Floor*a.Weight - a.Cost}
	f.runners = append(f.runners, runner{index: index, action: a, estimate: e})
	c := &f.d.Candidates[index]
	c.Mean = round32(e.Mean)
	c.Terms = terms[from:len(terms):len(terms)]
}

// fill runs one draw per slot over those not chosen yet, until the slots are
// full or a slot stays empty.
func (f *contest) fill(rules *restraint) (chosen []rapport.Choice) {
	m := f.m
	slots := m.placement.Slots
	if m.limit > 0 {
		slots = min(slots, m.limit)
	}
	var source rand.PCG
	source.Seed(m.seed, 0)
	random := rand.New(&source)
	estimates := make([]learn.Estimate, len(f.runners))
	chances := make([]float64, len(f.runners))
	f.d.Idle = 1
	for slot := 0; slot < slots && len(f.runners) > 0; slot++ {
		tier, bar := f.tier()
		estimates, chances = estimates[:len(tier)], chances[:len(tier)]
		for i := range tier {
			estimates[i] = tier[i].estimate
		}
		idle := learn.Chances(chances, estimates, bar)
		floor := m.config.policy.exploration
		explored := random.Float64() < floor
		lucky := random.IntN(len(tier))
		best, winner := bar, -1
		for i := range tier {
			draw := estimates[i].Draw(random)
			if draw > best {
				best, winner = draw, i
			}
			chances[i] = floor/float64(len(tier)) + (1-floor)*chances[i]
			if slot == 0 {
				c := &f.d.Candidates[tier[i].index]
				c.Score, c.Propensity = round32(draw), round32(chances[i])
			}
		}
		if explored {
			winner = lucky
		}
		if slot == 0 {
			f.d.Idle = (1 - floor) * idle
		}
		if winner < 0 {
			break
		}
		w := tier[winner]
		// Behind the leading candidates a chance is too small to be computed, not nought.
		chosen = append(chosen, f.choice(w, slot, max(chances[winner], 1e-6), explored))
		f.leave(w, rules)
	}
	return chosen
}

// tier moves those who may compete for the next slot to the front: the highest
// priority goes first. Above 0 it is given whatever it is worth.
func (f *contest) tier() (tier []runner, bar float64) {
	top := 0
	for i := range f.runners {
		top = max(top, f.runners[i].action.Priority)
	}
	if top == 0 {
		return f.runners, 0
	}
	n := 0
	for i := range f.runners {
		if f.runners[i].action.Priority == top {
			f.runners[n], f.runners[i] = f.runners[i], f.runners[n]
			n++
		}
	}
	return f.runners[:n], math.Inf(-1)
}

// leave takes the winner out of the contest, and with it those whose caps it used up.
func (f *contest) leave(w runner, rules *restraint) {
	m := f.m
	if len(f.runners) > 1 && !m.placement.Uncapped {
		m.uses = append(m.uses, use{at: m.now, action: w.action.ID, channel: m.channel(w.action), topic: w.action.Topic})
	}
	left := f.runners[:0]
	for _, r := range f.runners {
		if r.index != w.index && rules.spent(r.action, m.channel(r.action)) == nil {
			left = append(left, r)
		}
	}
	f.runners = left
}

// choice writes down a winner.
func (f *contest) choice(w runner, slot int, propensity float64, explored bool) rapport.Choice {
	m, a := f.m, w.action
	reason := "expected to be worth " + money(w.estimate.Mean) + ", the best draw of " + plural(len(f.runners), "action") + " allowed"
	switch {
	case explored:
		reason = "given by chance to keep learning what it is worth"
	case a.Priority > 0:
		reason = "goes first with priority " + strconv.Itoa(a.Priority)
	case len(f.runners) == 1:
		reason = "expected to be worth " + money(w.estimate.Mean) + ", the only action allowed"
	}
	return rapport.Choice{
		Action: a.ID, Type: a.Type, Slot: slot, Content: a.contentFor(m.locale()), Value: w.estimate.Mean,
		Propensity: propensity, Reason: reason, Explored: explored, Channel: m.channel(a), Purpose: a.Purpose,
	}
}

// trim drops the contributions of candidates that had no chance, which nobody
// will ask about, so that a decision among hundreds stays small.
func (f *contest) trim(chosen []rapport.Choice) {
	floor := round32(f.m.config.policy.exploration / float64(max(1, len(f.d.Candidates))))
	if len(f.d.Candidates) <= learn.Leading {
		return
	}
	for i := range f.d.Candidates {
		c := &f.d.Candidates[i]
		won := false
		for j := range chosen {
			won = won || chosen[j].Action == c.Action
		}
		if !won && c.Propensity <= 2*floor {
			c.Terms = nil
		}
	}
}

// nothing says in plain words why nothing was given.
func (m *moment) nothing(d *rapport.Decision, allowed int) string {
	switch {
	case len(d.Withheld) > 0:
		return "this person is in the permanent holdout; " + d.Withheld[0].Action + " was withheld"
	case d.Holdout:
		return "this person is in the permanent holdout"
	case len(d.Candidates) == 0:
		return "the placement has no actions"
	case allowed == 0:
		return "no action was allowed: " + tally(d.Candidates)
	}
	best := math.Inf(-1)
	for i := range d.Candidates {
		if c := &d.Candidates[i]; c.Excluded == "" {
			best = max(best, c.Score)
		}
	}
	return "no action was worth more than nothing; the best of " + plural(allowed, "action") + " drew " + money(best)
}

// tally counts the exclusions by rule, in the order the rules are asked.
func tally(candidates []rapport.Candidate) string {
	s := ""
	for _, rule := range []string{RuleValidity, RuleCondition, RuleConsent, RuleCap, RuleQuietHours} {
		n := 0
		for i := range candidates {
			if candidates[i].Excluded == rule {
				n++
			}
		}
		if n > 0 {
			if s != "" {
				s += ", "
			}
			s += strconv.Itoa(n) + " by " + rule
		}
	}
	return s
}

func (m *moment) locale() string {
	if v := m.env.Value(condition.Context, localePath[:]); !v.IsNull() {
		return v.Str()
	}
	return m.env.Value(condition.Traits, localePath[:]).Str()
}

var localePath = [...]string{"locale"}

func money(x float64) string { return strconv.FormatFloat(x, 'f', 2+extraDigits(x), 64) }

// extraDigits keeps two significant digits of small amounts.
func extraDigits(x float64) int {
	x = math.Abs(x)
	n := 0
	for ; x > 0 && x < 0.1 && n < 4; n++ {
		x *= 10
	}
	return n
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// overlay puts a request's context over a person.
type overlay struct {
	condition.Env
	context rapport.Fields
}

func (o *overlay) Value(root condition.Root, path []string) rapport.Value {
	if root != condition.Context {
		return o.Env.Value(root, path)
	}
	v, _ := o.context.Path(path...)
	return v
}

// NumItems implements [condition.Owner] for people whose Env does.
func (o *overlay) NumItems() int {
	if w, ok := o.Env.(condition.Owner); ok {
		return w.NumItems()
	}
	return 0
}

// ItemValue implements [condition.Owner].
func (o *overlay) ItemValue(i int, path []string) rapport.Value {
	if w, ok := o.Env.(condition.Owner); ok {
		return w.ItemValue(i, path)
	}
	return rapport.Value{}
}

// failing returns why an action's condition does not hold, with the values found, on one line.
func failing(a *Action, env condition.Env) string {
	c, ok := a.When.(*condition.Condition)
	if !ok {
		return ""
	}
	s := ""
	for _, x := range c.Explain(env).Clauses {
		if x.Decisive {
			if s != "" {
				s += "; "
			}
			s += x.String()
		}
	}
	return s
}
