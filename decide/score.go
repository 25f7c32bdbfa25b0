package decide

import (
	"math"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// common is what the candidates of one decision share, computed once.
type common struct {
	kind, outcome string
	guess         bandit.Guess
	own           own // weights of what is of each action
}

// rise adds the weights of what is of each action.
func (o *own) rise(w *bandit.Weights) {
	if w.Slopes == nil {
		return
	}
	for i := range o {
		o[i] += w.Slopes.Mean[1+i]
	}
}

// times returns what inputs add to log-odds by these weights.
func (o *own) times(x own) (sum float64) {
	for i, w := range o {
		sum += float64(w * x[i])
	}
	return sum
}

// scratches keep that memory between decisions; what it holds is overwritten.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// scratch is the working memory of one scoring.
type scratch struct {
	inputs
	commons []common
}

// common returns the shared part of the log-odds of an outcome.
func (k *Knowledge) common(s *scratch, placement, kind, outcome string) *common {
	for i := range s.commons {
		if c := &s.commons[i]; c.outcome == outcome && c.kind == kind {
			return c
		}
	}
	s.see(own{})
	p := priorsOf(outcome)
	c := common{kind: kind, outcome: outcome, guess: bandit.Guess{Mean: bandit.Logit(priorRate(outcome)), Constant: float64(p.all.Constant + p.kind.Constant)}}
	if w := k.shared[beliefKey{placement, "", outcome}]; w != nil {
		// Only its mean: what all share tells no action from another.
		c.guess = bandit.Guess{Mean: w.weights.Score(&s.z).Mean}
		c.own.rise(&w.weights)
		if w := k.shared[beliefKey{placement, kind, outcome}]; w != nil {
			c.guess = c.guess.Plus(w.weights.Score(&s.z))
			c.own.rise(&w.weights)
		} else {
			c.guess.Constant = float64(p.kind.Constant)
		}
	}
	s.commons = append(s.commons, c)
	return &s.commons[len(s.commons)-1]
}

// standing is what a knowledge holds of one action: in the placement and everywhere.
type standing struct{ here, own *arm }

func (k *Knowledge) standing(placement, action string) standing {
	return standing{k.arms[armKey{placement, action}], k.arms[armKey{everywhere, action}]}
}

// logodds returns what is believed of an outcome of an action.
func (k *Knowledge) logodds(s *scratch, a standing, placement, kind, outcome string, o own) bandit.Guess {
	c := k.common(s, placement, kind, outcome)
	x := s.see(o)
	g := c.guess
	g.Mean += c.own.times(o)
	p := priorsOf(outcome)
	for _, arm := range [...]struct {
		*arm
		prior float32
	}{{a.own, p.own.Constant}, {a.here, p.here.Constant}} {
		var b *belief
		if arm.arm != nil {
			b = find(arm.beliefs, outcome)
		}
		if b == nil {
			g.Constant += float64(arm.prior)
			continue
		}
		g = g.Plus(b.weights.Score(x))
	}
	return g
}

// rate returns the chance that is drawn from: its mean and spread.
func rate(g bandit.Guess, drawn float64) (p, sd float64) {
	return bandit.Rate(g.Mean, drawnConstant*g.Constant+drawn*g.Slopes)
}

// Query asks what actions are worth at one moment.
type Query struct {
	Placement string
	Features  rapport.Fields
	// CLV is what the person is worth in all, for goals that change it.
	CLV float64
}

// chain is what one action does: clicks, and one goal after or without them.
type chain struct {
	click, clickSD float64
}

func (k *Knowledge) clicks(s *scratch, a standing, placement, kind string, o own) chain {
	var c chain
	c.click, c.clickSD = rate(k.logodds(s, a, placement, kind, clicked, o), drawnClick)
	return c
}

// gain returns the belief about one goal: its expected worth and the variance of that.
func (k *Knowledge) gain(s *scratch, a standing, q *Query, action *Action, g *Goal, c chain, o own) (mean, variance float64) {
	amount, spread := k.amount(a.own, q.Placement, g, action.Cost)
	amount = amount*g.Margin + g.CLV*q.CLV
	spread *= g.Margin * g.Margin
	if g.Event == rapport.EventDecisionClicked {
		return c.click * amount, c.clickSD * c.clickSD * amount * amount
	}
	kind := string(action.Type)
	direct, directSD := rate(k.logodds(s, a, q.Placement, kind, g.Event, o), drawnGoal)
	p, variance := (1-c.click)*direct, (1-c.click)*(1-c.click)*directSD*directSD
	if !g.Feedback && c.click > 0 && k.anyClicks(q.Placement) {
		after, afterSD := rate(k.logodds(s, a, q.Placement, kind, g.after, o), drawnGoal)
		p += c.click * after
		variance += c.click*c.click*afterSD*afterSD + c.clickSD*c.clickSD*(after-direct)*(after-direct)
	}
	if !g.Feedback {
		p -= k.base(s, q.Placement, g.Event)
	}
	return p * amount, variance*(amount*amount+spread) + spread*p*p*drawnAmount
}

// anyClicks reports whether clients of a placement tell of clicks.
func (k *Knowledge) anyClicks(placement string) bool {
	p := k.pools[poolKey{placement, clicked}]
	return p != nil && p.hits > 0
}

// base returns how likely a goal is where nothing is given, learned from the holdout.
func (k *Knowledge) base(s *scratch, placement, event string) float64 {
	a := k.arms[armKey{placement, ""}]
	if a == nil {
		return 0
	}
	b := find(a.beliefs, event)
	if b == nil || b.hits < growAt {
		return 0
	}
	return bandit.Sigmoid(b.weights.Score(s.see(own{})).Mean)
}

// amount returns what is believed of what one success of a goal brings, and
// the variance of that.
func (k *Knowledge) amount(a *arm, placement string, g *Goal, cost float64) (amount, spread float64) {
	if len(g.Value.Path) == 0 {
		return g.Value.Fixed, 0
	}
	var all, own tried
	if p := k.pools[poolKey{placement, g.Event}]; p != nil {
		all = p.tried
	}
	if a != nil {
		if i := a.goal(g.Event); i >= 0 {
			own = a.goals[i].tried
		}
	}
	mean := (max(priorAmount, priorMultiple*cost) + all.amounts.Sum) / (1 + all.amounts.N)
	value := learn.Normal{Mean: mean, Weight: 1, Shape: 4, Scale: 2 * mean * mean}.Observe(own.amounts)
	return value.Mean, value.Variance()
}

// Score writes for every action what giving it once is believed to earn, its
// cost not deducted, to out. seen says how often the person got each of late.
func (k *Knowledge) Score(q *Query, actions []*Action, seen []float64, out []learn.Estimate) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.of(q.Features, k.basis)
	s.commons = s.commons[:0]
	likes := likesOf(q.Features)
	for i, action := range actions {
		a := k.standing(q.Placement, action.ID)
		o := owns(seen[i], matching(likes, action.about))
		c := k.clicks(s, a, q.Placement, string(action.Type), o)
		var e learn.Estimate
		variance := 0.0
		for j := range action.Goals {
			g := &action.Goals[j]
			m, v := k.gain(s, a, q, action, g, c, o)
			e.Mean += m
			variance += v
			if g.harms() || !g.Feedback && k.arms[armKey{q.Placement, ""}] != nil {
				e.Floor = math.Inf(-1)
			}
		}
		e.SD = math.Sqrt(variance)
		out[i] = e
	}
}

// harms reports whether reaching the goal may cost.
func (g *Goal) harms() bool {
	return len(g.Value.Path) == 0 && g.Value.Fixed < 0 || g.CLV < 0 || g.Margin < 0
}

// Terms appends the signed contributions to the expected worth of an action,
// which add up to it: what each goal brings on average, and how each feature of
// the moment moves that.
func (k *Knowledge) Terms(q *Query, action *Action, seen float64, terms []rapport.Term) []rapport.Term {
	var s, plain scratch
	s.of(q.Features, k.basis)
	plain.of(nil, k.basis)
	a := k.standing(q.Placement, action.ID)
	kind := string(action.Type)
	o := owns(seen, matching(likesOf(q.Features), action.about))
	c := k.clicks(&s, a, q.Placement, kind, o)
	typical := k.clicks(&plain, a, q.Placement, kind, own{})
	moved := 0.0
	for i := range action.Goals {
		g := &action.Goals[i]
		m, _ := k.gain(&s, a, q, action, g, c, o)
		average, _ := k.gain(&plain, a, q, action, g, typical, own{})
		terms = append(terms, rapport.Term{Name: g.Event, Value: average})
		moved += m - average
	}
	if moved == 0 {
		return terms
	}
	return k.spread(&s, a, q, action, o, moved, terms)
}

// spread shares out by how much the features of the moment move the expected
// worth, in proportion to what each adds to the log-odds of a click (of the
// first goal where nobody clicks).
func (k *Knowledge) spread(s *scratch, a standing, q *Query, action *Action, o own, moved float64, terms []rapport.Term) []rapport.Term {
	outcome := clicked
	if !k.anyClicks(q.Placement) && len(action.Goals) > 0 {
		outcome = outcomeOf(action.Goals[0].Event)
	}
	from := len(terms)
	sum, whole := 0.0, 0.0
	var rise bandit.Slope
	var weights own
	for _, w := range k.behind(a, q.Placement, string(action.Type), outcome) {
		rise.Rise(w)
		weights.rise(w)
	}
	add := func(name string, v float64) {
		if v != 0 {
			terms = append(terms, rapport.Term{Name: name, Value: v})
			sum += v
			whole += math.Abs(v)
		}
	}
	var buffer [32]bandit.Feature
	for key, v := range q.Features.All() {
		add(string(key), k.basis.Along(encodeField(key, v, buffer[:0]), &rise))
	}
	for i, name := range [...]string{ownSeen: "seen before", ownGroups: "interest in what it is about", ownProducts: "interest in its products"} {
		add(name, float64(weights[i]*o[i]))
	}
	if math.Abs(sum) <= whole/20 { // they cancel, and their shares would be without measure
		return append(terms[:from], rapport.Term{Name: "the moment", Value: moved})
	}
	for i := from; i < len(terms); i++ {
		terms[i].Value *= moved / sum
	}
	slices.SortStableFunc(terms[from:], func(a, b rapport.Term) int {
		switch x, y := math.Abs(a.Value), math.Abs(b.Value); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	if len(terms)-from > maxTerms {
		rest := 0.0
		for _, t := range terms[from+maxTerms-1:] {
			rest += t.Value
		}
		terms = append(terms[:from+maxTerms-1], rapport.Term{Name: "other features", Value: rest})
	}
	return terms
}

// maxTerms is how many contributions of features are told apart.
const maxTerms = 8

// behind returns the weights that make up the log-odds of an outcome.
func (k *Knowledge) behind(a standing, placement, kind, outcome string) []*bandit.Weights {
	var out []*bandit.Weights
	if s := k.shared[beliefKey{placement, "", outcome}]; s != nil {
		out = append(out, &s.weights)
	}
	if s := k.shared[beliefKey{placement, kind, outcome}]; s != nil {
		out = append(out, &s.weights)
	}
	for _, arm := range [...]*arm{a.own, a.here} {
		if arm != nil {
			if b := find(arm.beliefs, outcome); b != nil {
				out = append(out, &b.weights)
			}
		}
	}
	return out
}
