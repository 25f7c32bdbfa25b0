package decide

import (
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// How the models learn. A goal is reached after a click or without one, so
// there are three kinds of outcome: that somebody clicks, that a goal is
// reached by somebody who clicked, and by somebody who did not. The log-odds of
// each are a sum of what all actions of the placement share, what the actions
// of one kind share there (so a new action begins as its kind does), the
// action's own weights, which are the same everywhere, and by how much it does
// better or worse in the placement.
const (
	// remembered is how many examples a weight rests on at most.
	remembered = 12_000
	// reshape narrows the posterior that is drawn from (Chapelle and Li, 2011,
	// section 4: it loses less while exploring enough).
	reshape = 0.15
	// growAt is from how many successes an action has weights of its own beside
	// the constant.
	growAt = 8
)

var (
	sharedPrior = bandit.Prior{Constant: 1, Slot: 0.1}
	kindPrior   = bandit.Prior{Constant: 0.25, Slot: 0.05}
	ownPrior    = bandit.Prior{Constant: 0.5, Slot: 0.5}
	placePrior  = bandit.Prior{Constant: 0.1}
)

// everywhere is the placement under which stands what is known of an action in
// all of them.
const everywhere = "\x00"

// prior is that of the weights of an arm.
func (k armKey) prior() bandit.Prior {
	if k.placement == everywhere || k.action == "" {
		return ownPrior
	}
	return placePrior
}

// Rates expected before anything was seen: of a click, of a goal reached
// without one, and of a goal reached after one.
const (
	priorClick  = 0.05
	priorDirect = 0.02
	priorVia    = 0.1
	priorBase   = 0.005 // of a goal where nothing was given
	priorAgain  = -0.3  // log-odds for having seen the action twice of late
)

// Clicked is the goal of the [Example] that tells of the first click on an
// action, whether that is a goal or not.
const Clicked = "\x00click"

const clicked = Clicked

// via names the outcome that a goal is reached after a click.
func via(event string) string { return event + "\x00via" }

// outcomeOf is the outcome by which a goal is reached without a click: clicking itself for that goal.
func outcomeOf(event string) string {
	if event == rapport.EventDecisionClicked {
		return clicked
	}
	return event
}

func priorRate(outcome string) float64 {
	switch {
	case outcome == clicked:
		return priorClick
	case strings.HasSuffix(outcome, "\x00via"):
		return priorVia
	}
	return priorDirect
}

// belief is what is believed of one outcome of one action.
type belief struct {
	outcome string
	hits    float64
	weights bandit.Weights
	drift   bandit.Drift
}

// beliefKey names what actions share: of a placement (kind empty) or of a kind in it.
type beliefKey struct{ placement, kind, outcome string }

// find returns the belief about an outcome, or nil.
func find(list []belief, outcome string) *belief {
	for i := range list {
		if list[i].outcome == outcome {
			return &list[i]
		}
	}
	return nil
}

// inputs are the features of one example or candidate in the form of a model.
type inputs struct {
	buffer [96]bandit.Feature
	x      []bandit.Feature
}

// of encodes features. What a person saw before stands last, at see.
func (in *inputs) of(f rapport.Fields) {
	in.x = encode(f, in.buffer[:0])
	if len(in.x) > len(in.buffer)-1 {
		in.x = in.x[:len(in.buffer)-1]
	}
}

// see returns the inputs with how often the action was seen.
func (in *inputs) see(seen float64) []bandit.Feature {
	return append(in.x, bandit.Feature{Slot: seenSlot, Value: float32(min(seen, 20)) / 2})
}

// learn folds an example into the beliefs about clicks and goals.
func (d *draft) learn(a, own *arm, x *Example, at int64) {
	var in inputs
	in.of(x.Features)
	features := in.see(x.Seen)
	switch {
	case x.Goal == "":
		if x.Action != "" {
			d.observe(a, own, x, clicked, features, at)
		}
		for _, event := range x.Goals {
			if event != rapport.EventDecisionClicked {
				d.observe(a, own, x, event, features, at)
			}
		}
	case x.Goal == clicked:
		d.correct(a, own, x, clicked, features, at)
		for _, event := range x.Goals {
			if !isFeedback(event) {
				d.observe(a, own, x, via(event), features, at)
			}
		}
	case x.Goal == rapport.EventDecisionClicked || !x.First:
		// The click itself was told before; more of the same goal is a matter of amounts.
	case x.Via:
		d.correct(a, own, x, via(x.Goal), features, at)
	default:
		d.correct(a, own, x, x.Goal, features, at)
	}
}

// believe returns what is believed of an outcome, to write to.
func (a *arm) believe(outcome string, mean float64, p bandit.Prior) *belief {
	if b := find(a.beliefs, outcome); b != nil {
		return b
	}
	a.beliefs = append(a.beliefs, belief{outcome: outcome, weights: bandit.NewWeights(mean, p)})
	return &a.beliefs[len(a.beliefs)-1]
}

// sum is the weights behind an outcome, ready to be changed.
type sum struct {
	parts [4]bandit.Part
	n     int
	here  *belief
	own   *belief // the same everywhere; here for what comes of nothing
}

func (d *draft) sum(a, own *arm, x *Example, outcome string, at int64) sum {
	if x.Action == "" { // what comes of nothing shares nothing with what comes of actions
		b := a.believe(outcome, bandit.Logit(priorBase), ownPrior)
		return sum{parts: [4]bandit.Part{{Weights: &b.weights, Prior: ownPrior}}, n: 1, here: b, own: b}
	}
	s := sum{n: 4, here: a.believe(outcome, 0, placePrior), own: own.believe(outcome, 0, ownPrior)}
	s.parts = [4]bandit.Part{
		{Weights: &s.own.weights, Prior: ownPrior},
		{Weights: &s.here.weights, Prior: placePrior},
		{Weights: &d.editShared(beliefKey{x.Placement, "", outcome}, at).weights, Prior: sharedPrior},
		{Weights: &d.editShared(beliefKey{x.Placement, x.Kind, outcome}, at).weights, Prior: kindPrior},
	}
	return s
}

func (d *draft) observe(a, own *arm, x *Example, outcome string, features []bandit.Feature, at int64) {
	s := d.sum(a, own, x, outcome, at)
	if expected := bandit.Observe(s.parts[:s.n], features, 0, remembered); s.here.drift.Note(expected) && x.Action != "" {
		d.forget(x.Placement, outcome)
	}
}

func (d *draft) correct(a, own *arm, x *Example, outcome string, features []bandit.Feature, at int64) {
	s := d.sum(a, own, x, outcome, at)
	s.here.hits++
	if s.own != s.here {
		s.own.hits++
	}
	if s.own.hits >= growAt {
		s.own.weights.Grow(ownPrior)
	}
	bandit.Correct(s.parts[:s.n], features)
	s.here.drift.Correct()
}

// forget answers an alarm: an action does not do any more what it did, so what
// is believed of all that compete with it is in doubt.
func (d *draft) forget(placement, outcome string) {
	for _, key := range slices.SortedFunc(maps.Keys(d.arms), compareArms) {
		if key.placement != placement || key.action == "" || find(d.arms[key].beliefs, outcome) == nil {
			continue
		}
		find(d.editArm(key, d.arms[key].at).beliefs, outcome).weights.Forget(placePrior)
		if key.placement = everywhere; d.arms[key] != nil {
			if b := find(d.editArm(key, d.arms[key].at).beliefs, outcome); b != nil {
				b.weights.Forget(ownPrior)
			}
		}
	}
}

// shared is a belief that several actions share.
type shared struct {
	at      int64
	weights bandit.Weights
}

// editShared returns the shared belief to write to.
func (d *draft) editShared(key beliefKey, at int64) *shared {
	s := d.shared[key]
	switch {
	case s == nil && key.kind == "":
		s = &shared{at: at, weights: bandit.NewWeights(bandit.Logit(priorRate(key.outcome)), sharedPrior)}
		s.weights.Grow(sharedPrior)
		s.weights.Slots[seenSlot].Mean = priorAgain
	case s == nil:
		s = &shared{at: at, weights: bandit.NewWeights(0, kindPrior)}
		s.weights.Grow(kindPrior)
	case !d.editing[s]:
		s = &shared{at: s.at, weights: s.weights.Clone()}
	default:
		return s
	}
	d.editing[s] = true
	d.shared[key] = s
	if at-s.at > widenEvery {
		prior := sharedPrior
		if key.kind != "" {
			prior = kindPrior
		}
		s.weights.Widen(1/decay(&s.at, at), prior)
	}
	return s
}

// widenEvery is how often time makes beliefs less sure.
const widenEvery = int64(halfLife/60) / 1e6 // ms

// common is what the candidates of one decision share, computed once.
type common struct {
	kind, outcome  string
	mean, variance float64
	again          float64 // weight of having seen the action before
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
	c := common{kind: kind, outcome: outcome, mean: bandit.Logit(priorRate(outcome)), variance: float64(sharedPrior.Constant + kindPrior.Constant)}
	if w := k.shared[beliefKey{placement, "", outcome}]; w != nil {
		c.mean, c.variance = w.weights.Score(s.x)
		c.again = float64(w.weights.Slots[seenSlot].Mean)
		if w := k.shared[beliefKey{placement, kind, outcome}]; w != nil {
			m, v := w.weights.Score(s.x)
			c.mean, c.variance = c.mean+m, v // what all share tells no action from another
		} else {
			c.variance = float64(kindPrior.Constant)
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

// logodds returns what is believed of an outcome of an action: the mean and
// variance of its log-odds.
func (k *Knowledge) logodds(s *scratch, a standing, placement, kind, outcome string, seen float64) (mean, variance float64) {
	c := k.common(s, placement, kind, outcome)
	mean, variance = c.mean, c.variance
	x := s.x
	if seen > 0 {
		x = s.see(seen)
		mean += c.again * min(seen, 20) / 2
	}
	for _, arm := range [...]struct {
		*arm
		prior float32
	}{{a.own, ownPrior.Constant}, {a.here, placePrior.Constant}} {
		var b *belief
		if arm.arm != nil {
			b = find(arm.beliefs, outcome)
		}
		if b == nil {
			variance += float64(arm.prior)
			continue
		}
		m, v := b.weights.Score(x)
		mean, variance = mean+m, variance+v
	}
	return mean, variance
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

func (k *Knowledge) clicks(s *scratch, a standing, placement, kind string, seen float64) chain {
	m, v := k.logodds(s, a, placement, kind, clicked, seen)
	var c chain
	c.click, c.clickSD = bandit.Rate(m, reshape*v)
	return c
}

// gain returns the belief about one goal: its expected worth and the variance of that.
func (k *Knowledge) gain(s *scratch, a standing, q *Query, action *Action, g *Goal, c chain, seen float64) (mean, variance float64) {
	amount, spread := k.amount(a.own, q.Placement, g, action.Cost)
	amount = amount*g.Margin + g.CLV*q.CLV
	spread *= g.Margin * g.Margin
	if g.Event == rapport.EventDecisionClicked {
		return c.click * amount, c.clickSD * c.clickSD * amount * amount
	}
	kind := string(action.Type)
	m, v := k.logodds(s, a, q.Placement, kind, g.Event, seen)
	direct, directSD := bandit.Rate(m, reshape*v)
	p, variance := (1-c.click)*direct, (1-c.click)*(1-c.click)*directSD*directSD
	if !g.Feedback && c.click > 0 && k.anyClicks(q.Placement) {
		m, v = k.logodds(s, a, q.Placement, kind, via(g.Event), seen)
		after, afterSD := bandit.Rate(m, reshape*v)
		p += c.click * after
		variance += c.click*c.click*afterSD*afterSD + c.clickSD*c.clickSD*(after-direct)*(after-direct)
	}
	if !g.Feedback {
		p -= k.base(s, q.Placement, g.Event)
	}
	return p * amount, variance*(amount*amount+spread) + spread*p*p*reshape
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
	m, _ := b.weights.Score(s.x)
	return bandit.Sigmoid(m)
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
	value := learn.Normal{Mean: mean, Weight: 8, Shape: 4, Scale: 2 * mean * mean}.Observe(own.amounts)
	return value.Mean, value.Variance()
}

// Score writes for every action what giving it once is believed to earn, its
// cost not deducted, to out. seen says how often the person got each of late.
func (k *Knowledge) Score(q *Query, actions []*Action, seen []float64, out []learn.Estimate) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.of(q.Features)
	s.commons = s.commons[:0]
	for i, action := range actions {
		a := k.standing(q.Placement, action.ID)
		c := k.clicks(s, a, q.Placement, string(action.Type), seen[i])
		var e learn.Estimate
		variance := 0.0
		for j := range action.Goals {
			g := &action.Goals[j]
			m, v := k.gain(s, a, q, action, g, c, seen[i])
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
	s.of(q.Features)
	a := k.standing(q.Placement, action.ID)
	kind := string(action.Type)
	c := k.clicks(&s, a, q.Placement, kind, seen)
	typical := k.clicks(&plain, a, q.Placement, kind, 0)
	moved := 0.0
	for i := range action.Goals {
		g := &action.Goals[i]
		m, _ := k.gain(&s, a, q, action, g, c, seen)
		average, _ := k.gain(&plain, a, q, action, g, typical, 0)
		terms = append(terms, rapport.Term{Name: g.Event, Value: average})
		moved += m - average
	}
	if moved == 0 {
		return terms
	}
	return k.spread(&s, a, q, action, seen, moved, terms)
}

// spread shares out by how much the features of the moment move the expected
// worth, in proportion to what each adds to the log-odds of a click (of the
// first goal where nobody clicks).
func (k *Knowledge) spread(s *scratch, a standing, q *Query, action *Action, seen, moved float64, terms []rapport.Term) []rapport.Term {
	outcome := clicked
	if !k.anyClicks(q.Placement) && len(action.Goals) > 0 {
		outcome = outcomeOf(action.Goals[0].Event)
	}
	from := len(terms)
	sum, whole := 0.0, 0.0
	add := func(name string, x []bandit.Feature) {
		v := 0.0
		for _, w := range k.behind(a, q.Placement, string(action.Type), outcome) {
			if w.Slots != nil {
				for _, f := range x {
					v += float64(w.Slots[f.Slot].Mean * f.Value)
				}
			}
		}
		if v != 0 {
			terms = append(terms, rapport.Term{Name: name, Value: v})
			sum += v
			whole += math.Abs(v)
		}
	}
	for key, v := range q.Features.All() {
		add(string(key), encode(rapport.AppendField(nil, string(key), v), nil))
	}
	if seen > 0 {
		add("seen before", s.see(seen)[len(s.x):])
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
