package decide

import (
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// common is what the candidates of one decision share of one outcome, computed once.
type common struct {
	known bool
	guess bandit.Guess
	own   own // weights of what is of each action
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

// view is one moment before a board: its inputs, and what the candidates share there.
type view struct {
	*board
	inputs
	likes   likes
	names   map[string]string // of features
	commons []common          // by pair
	bases   []float64         // by event: the chance that it is reached without anything, below 0 while not computed
}

// at sets the moment.
func (v *view) at(b *board, f rapport.Fields, axes *bandit.Basis) {
	v.board = b
	v.of(f, axes)
	v.likes = likesOf(f)
	v.commons = slices.Grow(v.commons[:0], len(b.pairs))[:len(b.pairs)]
	clear(v.commons)
	v.bases = slices.Grow(v.bases[:0], len(b.base))[:len(b.base)]
	for i := range v.bases {
		v.bases[i] = -1
	}
}

// maxNames bounds how many names of features are kept.
const maxNames = 1000

// name returns the name of a feature as a text, made once.
func (v *view) name(key []byte) string {
	if s, ok := v.names[string(key)]; ok {
		return s
	}
	if v.names == nil || len(v.names) >= maxNames {
		v.names = map[string]string{}
	}
	s := string(key)
	v.names[s] = s
	return s
}

// common returns the shared part of the log-odds of an outcome.
func (v *view) common(at int) *common {
	c := &v.commons[at]
	if c.known {
		return c
	}
	p := &v.pairs[at]
	*c = common{known: true, guess: p.guess}
	if p.all != nil {
		v.see(own{})
		// Only its mean: what all share tells no action from another.
		c.guess.Mean = p.all.Score(&v.z).Mean
		c.own.rise(p.all)
		if p.kind != nil {
			c.guess = c.guess.Plus(p.kind.Score(&v.z))
			c.own.rise(p.kind)
		}
	}
	return c
}

// standing is what a knowledge holds of one action: in the placement and everywhere.
type standing struct{ here, own *arm }

func (k *Knowledge) standing(placement, action string) standing {
	return standing{k.arms[armKey{placement, action}], k.arms[armKey{everywhere, action}]}
}

// logodds returns what is believed of an outcome of an action.
func (v *view) logodds(at int, s *stake, o own) bandit.Guess {
	c := v.common(at)
	x := v.see(o)
	g := c.guess
	g.Mean += c.own.times(o)
	return g.Plus(s.own.Score(x)).Plus(s.here.Score(x))
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

	// roster is that of the placement and at where the actions of a question stand
	// on it; nil for what is asked of actions alone.
	roster *roster
	at     []int
	work   *working
}

// working is the memory of the scoring of one moment, which questions about the
// same share.
type working struct{ seen, plain view }

// chain is what one action does: clicks, and one goal after or without them.
type chain struct {
	click, clickSD float64
}

func (v *view) click(i int, o own) chain {
	var c chain
	c.click, c.clickSD = rate(v.logodds(v.entries[i].click, &v.seats[i].click, o), drawnClick)
	return c
}

// gain returns the belief about one goal of a candidate: its expected worth and
// the variance of that.
func (v *view) gain(i, goal int, clv float64, c chain, o own) (mean, variance float64) {
	g, at, p := &v.entries[i].action.Goals[goal], &v.entries[i].goals[goal], &v.seats[i].goals[goal]
	amount := p.amount*g.Margin + g.CLV*clv
	spread := p.spread * (g.Margin * g.Margin)
	if at.direct < 0 {
		return c.click * amount, c.clickSD * c.clickSD * amount * amount
	}
	direct, directSD := 0.0, 0.0
	if p.unclicked {
		direct, directSD = rate(v.logodds(at.direct, &p.direct, o), drawnGoal)
	}
	chance, variance := (1-c.click)*direct, (1-c.click)*(1-c.click)*directSD*directSD
	if at.after >= 0 {
		if c.click > 0 && v.clicks {
			after, afterSD := rate(v.logodds(at.after, &p.after, o), drawnGoal)
			chance += c.click * after
			variance += c.click*c.click*afterSD*afterSD + c.clickSD*c.clickSD*(after-direct)*(after-direct)
		}
		chance -= v.unled(at.event)
	}
	return chance * amount, variance*(amount*amount+spread) + spread*chance*chance*drawnAmount
}

// anyClicks reports whether clients of a placement tell of clicks.
func (k *Knowledge) anyClicks(placement string) bool {
	p := k.pools[poolKey{placement, clicked}]
	return p != nil && p.hits > 0
}

// unled returns how likely a goal is where nothing is given, learned from the holdout.
func (v *view) unled(event int) float64 {
	p := &v.bases[event]
	if *p < 0 {
		*p = 0
		if w := v.base[event]; w != nil {
			*p = bandit.Sigmoid(w.Score(v.see(own{})).Mean)
		}
	}
	return *p
}

// amount returns what is believed of what one success of a goal brings, and
// the variance of that.
func (k *Knowledge) amount(a standing, action *Action, placement string, g *Goal) (amount, spread float64) {
	if len(g.Value.Path) == 0 {
		return g.Value.Fixed, 0
	}
	value := k.expect(action.about, placement, string(action.Type), g.Event, action.Cost)
	scale := math.Abs(value.Mean)
	if a.own != nil {
		if i := a.own.goal(g.Event); i >= 0 {
			value = weigh(value, scale, a.own.goals[i].amounts)
		}
	}
	if a.here != nil && scale > 0 {
		if i := a.here.goal(g.Event); i >= 0 {
			// Here it may bring less or more than everywhere.
			value = weigh(around(value.Mean, value.Scale/(value.Shape-1)/(scale*scale), scale), scale, a.here.goals[i].amounts)
		}
	}
	return value.Mean, value.Variance()
}

// Score writes for every action what giving it once is believed to earn, its
// cost not deducted, to out. seen says what the person made of each before.
func (k *Knowledge) Score(q *Query, actions []*Action, seen []Sight, out []learn.Estimate) {
	v := q.viewed(k, actions)
	for n, action := range actions {
		i := n
		if q.at != nil {
			i = q.at[n]
		}
		o := owns(seen[n], matching(v.likes, action.about), v.seats[i].dear)
		c := v.click(i, o)
		e := learn.Estimate{Floor: v.seats[i].floor}
		variance := 0.0
		for j := range action.Goals {
			mean, more := v.gain(i, j, q.CLV, c, o)
			e.Mean += mean
			variance += more
		}
		e.SD = math.Sqrt(variance)
		out[n] = e
	}
}

// viewed returns the moment of a query before the board of its candidates, or of
// the actions alone where it names none.
func (q *Query) viewed(k *Knowledge, actions []*Action) *view {
	w := q.work
	if w == nil {
		w = new(working)
	}
	if q.roster != nil {
		w.seen.at(k.board(q.roster), q.Features, k.basis)
	} else {
		w.seen.at(k.newBoard(newRoster(q.Placement, actions)), q.Features, k.basis)
	}
	return &w.seen
}

// harms reports whether reaching the goal may cost.
func (g *Goal) harms() bool {
	return len(g.Value.Path) == 0 && g.Value.Fixed < 0 || g.CLV < 0 || g.Margin < 0
}

// Terms appends the signed contributions to the expected worth of an action,
// which add up to it: what each goal brings on average, and how each feature of
// the moment moves that.
func (k *Knowledge) Terms(q *Query, action *Action, seen Sight, terms []rapport.Term) []rapport.Term {
	v, plain, i := q.compared(k, action)
	o := owns(seen, matching(v.likes, action.about), v.seats[i].dear)
	usual := own{ownDear: o[ownDear]}
	c, typical := v.click(i, o), plain.click(i, usual)
	moved := 0.0
	for j := range action.Goals {
		mean, _ := v.gain(i, j, q.CLV, c, o)
		average, _ := plain.gain(i, j, q.CLV, typical, usual)
		terms = append(terms, rapport.Term{Name: action.Goals[j].Event, Value: average})
		moved += mean - average
	}
	if moved == 0 {
		return terms
	}
	return k.spread(v, i, o, moved, terms)
}

// compared returns the moment of a query and one without any features, and where
// an action stands on their board.
func (q *Query) compared(k *Knowledge, action *Action) (v, plain *view, at int) {
	if q.roster != nil && q.work != nil && q.work.seen.board != nil && q.work.seen.roster == q.roster {
		at = slices.IndexFunc(q.roster.entries, func(e entry) bool { return e.action == action })
		v, plain = &q.work.seen, &q.work.plain
	} else {
		alone := Query{Placement: q.Placement, Features: q.Features, CLV: q.CLV}
		v, plain = alone.viewed(k, []*Action{action}), new(view)
	}
	if plain.board != v.board {
		plain.at(v.board, nil, k.basis)
	}
	return v, plain, at
}

// spread shares out by how much the features of the moment move the expected
// worth, in proportion to what each adds to the log-odds of a click (of the
// first goal where nobody clicks).
func (k *Knowledge) spread(v *view, i int, o own, moved float64, terms []rapport.Term) []rapport.Term {
	pair, stake := v.entries[i].click, &v.seats[i].click
	if aims := v.entries[i].goals; !v.clicks && len(aims) > 0 && aims[0].direct >= 0 {
		pair, stake = aims[0].direct, &v.seats[i].goals[0].direct
	}
	from := len(terms)
	sum, whole := 0.0, 0.0
	var rise bandit.Slope
	var weights own
	for _, w := range [...]*bandit.Weights{v.pairs[pair].all, v.pairs[pair].kind, &stake.own, &stake.here} {
		if w != nil {
			rise.Rise(w)
			weights.rise(w)
		}
	}
	add := func(name string, v float64) {
		if v != 0 {
			terms = append(terms, rapport.Term{Name: name, Value: v})
			sum += v
			whole += math.Abs(v)
		}
	}
	at := 0
	for _, f := range v.fields {
		if rise := k.basis.Along(v.x[at:f.to], &rise); rise != 0 {
			add(v.name(f.key), rise)
		}
		at = f.to
	}
	for i, name := range [...]string{ownSeen: "seen before", ownGroups: "interest in what it is about", ownProducts: "interest in its products", ownGiven: "given before", ownAnswered: "answered before"} {
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
