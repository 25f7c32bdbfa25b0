package decide

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/learn"
)

// Scorer values actions. An implementation is one immutable state of a model,
// used by any number of goroutines.
type Scorer interface {
	// Version names the state, for the record of a decision.
	Version() int64
	// Score writes to out what giving each action once is believed to earn, its
	// cost not deducted. seen says what the person made of each before.
	Score(q *Query, actions []*Action, seen []Sight, out []learn.Estimate)
	// Terms appends the signed contributions to the mean of one action, which
	// add up to it.
	Terms(q *Query, action *Action, seen Sight, terms []rapport.Term) []rapport.Term
	// Harm says why an action is paused by rule, "" if it is not.
	Harm(action string, rule *PauseDoc) string
}

// moment is everything one decision is made from. Arbitration is a pure
// function of it. What is asked of the person (env) is asked in screen, on the
// goroutine that owns them; the rest needs nothing but the moment.
type moment struct {
	config    *Config
	placement *Placement
	person    rapport.ID
	env       condition.Env // with the request's context on top; valid in screen only
	now       int64         // Unix ms
	uses      []use         // what the person got, reservations included
	past      past
	scorer    Scorer
	features  rapport.Fields
	context   rapport.Fields
	limit     int // 0 is the placement's slots
	seed      uint64
	cause     string
	version   int64                       // of the config
	spent     func(a *Action) *quota      // which quota of an action is used up; nil asks none
	reach     func(channel string) string // why the person cannot be reached through it; valid in screen only, nil reaches everybody
	habits    habits
	planned   *plan                     // when it was to be sent, nil for what nobody planned
	ahead     bool                      // it is asked what would be sent, to find when
	right     string                    // what an action must have to be given; "" is nothing
	strict    func(channel string) bool // whether consent holds there beside every right; valid in screen only, nil is nowhere

	locale     string
	clv        float64
	candidates []rapport.Candidate // as screen left them
	rules      *restraint
	local      time.Time       // where the person is
	ways       map[string]way  // by action, where a channel was chosen
	drawn      map[string]way  // by the channels chosen from
	asked      *condition.Memo // what was answered to the conditions of actions; valid in screen only
}

// past is what of a person's record a decision looks at.
type past struct {
	fatigue float64 // unanswered contacts, fading
	last    int64   // when something was given that stays unanswered
	seen    []sight // by action
}

// sight is what a person made of an action.
type sight struct {
	action string
	Sight
}

// Sight is what a person made of an action so far: how often they were given it
// of late, and how often they were given it and how often they answered with a
// click within months. All fade.
type Sight struct{ Seen, Given, Answered float64 }

// of returns what the person made of an action.
func (p *past) of(action string) Sight {
	at, found := slices.BinarySearchFunc(p.seen, action, func(s sight, a string) int { return strings.Compare(s.action, a) })
	if !found {
		return Sight{}
	}
	return p.seen[at].Sight
}

// past returns what a decision looks at.
func (s *record) past(now int64, cfg *Config) past {
	p := past{fatigue: s.tiredness(now, cfg.policy.fatigueHalf), last: s.last}
	for i := range s.results {
		if r := &s.results[i]; r.Given > 0 {
			if sought := r.sight(now); sought.Given > 0.05 {
				p.seen = append(p.seen, sight{r.action, sought})
			}
		}
	}
	return p
}

// gather completes the features of the moment by those of the person.
func (m *moment) gather(f rapport.Fields, liked *interest) rapport.Fields {
	f = m.config.personal(f, m.env)
	if m.past.fatigue >= 0.5 {
		f = rapport.AppendField(f, "unanswered", rapport.NumberValue(math.Round(m.past.fatigue)))
	}
	return liked.feature(f)
}

// channel returns how an action would be pushed here, "" if it would not.
func (m *moment) channel(a *Action) string {
	switch ways := m.placement.Ways(a); len(ways) {
	case 0:
		return ""
	case 1:
		return ways[0]
	}
	return m.ways[a.ID].channel
}

// arbitrate decides: candidates, rules, scores, draws, slots. "Nothing" is a
// candidate worth 0: a slot stays empty when no draw is positive.
func (m *moment) arbitrate() *rapport.Decision {
	m.screen()
	return m.contend()
}

// screen asks every rule of every candidate.
func (m *moment) screen() {
	m.asked = memos.Get().(*condition.Memo)
	m.asked.Begin(m.config.asked, m.env)
	defer func() {
		m.asked.End()
		memos.Put(m.asked)
		m.asked = nil
	}()
	m.rules = newRestraint(m)
	m.locale, m.local = m.localeOf(), m.env.Now()
	if v, ok := m.env.Value(condition.Scores, clvPath[:]).Number(); ok {
		m.clv = v
	} else if f, ok := m.env.Value(condition.Scores, clvPath[:]).Object(); ok {
		x, _ := f.Get("value")
		m.clv, _ = x.Number()
	}
	m.candidates = make([]rapport.Candidate, len(m.placement.Candidates))
	for i, a := range m.placement.Candidates {
		c := &m.candidates[i]
		c.Action = a.ID
		if m.right != "" && a.Right != m.right {
			c.Excluded, c.Detail = RuleRight, "only what has the right of a "+m.right+" is given for it"
			continue
		}
		c.Excluded, c.Detail = m.rules.exclude(a)
	}
}

var clvPath = [...]string{"clv"}

// memos keep the memory of what conditions asked between decisions.
var memos = sync.Pool{New: func() any { return new(condition.Memo) }}

// contend scores the candidates that screen left and draws for the slots. It
// may be called again after one was taken out: the decision before shares its
// candidates with the new one and is void.
func (m *moment) contend() *rapport.Decision {
	for i := range m.candidates {
		c := &m.candidates[i]
		c.Mean, c.Score, c.Propensity, c.Terms = 0, 0, 0, nil
	}
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	d := &rapport.Decision{
		Person: m.person, Placement: m.placement.ID, Time: m.now, Seed: m.seed, Cause: m.cause,
		Model: m.scorer.Version(), Holdout: m.config.policy.held(m.person),
		Candidates: m.candidates,
		Features:   m.features, Context: m.context,
	}
	field := contest{m: m, d: d, w: w, runners: slices.Grow(w.runners[:0], len(d.Candidates)), uses: m.uses[:len(m.uses):len(m.uses)]}
	w.runners = field.runners
	for i, a := range m.placement.Candidates {
		if d.Candidates[i].Excluded == "" {
			field.runners = append(field.runners, runner{index: i, action: a})
		}
	}
	field.remember()
	field.score()
	allowed := len(field.runners)
	given := field.fill()
	field.explain(given)
	for _, c := range given {
		a := m.config.Action(c.Action)
		if d.Holdout && a.Right == "" || a.controls(m.person) {
			d.Withheld = append(d.Withheld, c)
		} else {
			d.Items = append(d.Items, c)
		}
	}
	if len(d.Items) == 0 {
		d.Nothing = m.nothing(d, allowed)
	}
	return d
}

// runner is a candidate no rule took out.
type runner struct {
	index  int // among the candidates
	action *Action
	seen   Sight
	plain  float64     // expected value before any lever
	mean   float64     // with levers, cost and fatigue
	shape  learn.Shape // what is drawn from
}

// contest is the draw for the slots.
type contest struct {
	m       *moment
	d       *rapport.Decision
	w       *workspace
	runners []runner
	uses    []use
	tired   float64 // what fatigue adds to the cost of each
	query   Query
}

// remember tells the runners what the person saw of them.
func (f *contest) remember() {
	for i := range f.m.past.seen {
		s := &f.m.past.seen[i]
		place, ok := f.m.placement.roster.places[s.action]
		if !ok {
			continue
		}
		if at, ok := slices.BinarySearchFunc(f.runners, place, func(r runner, place int) int { return r.index - place }); ok {
			f.runners[at].seen = s.Sight
		}
	}
}

// score values the runners, all at once.
func (f *contest) score() {
	m := f.m
	n := len(f.runners)
	if n == 0 {
		return
	}
	f.tired = m.config.policy.fatigue * m.past.fatigue
	w := f.w
	w.fit(n)
	for i := range f.runners {
		w.actions[i], w.seen[i], w.at[i] = f.runners[i].action, f.runners[i].seen, f.runners[i].index
	}
	f.query = Query{Placement: m.placement.ID, Features: m.features, CLV: m.clv, roster: m.placement.roster, at: w.at, work: &w.working}
	m.scorer.Score(&f.query, w.actions, w.seen, w.estimates)
	for i := range f.runners {
		r, e := &f.runners[i], w.estimates[i]
		cost := r.action.Cost + f.tired
		r.plain = e.Mean - cost
		r.mean = e.Mean*r.action.Weight - cost
		r.shape = learn.Estimate{Mean: r.mean, SD: e.SD * r.action.Weight, Floor: e.Floor*r.action.Weight - cost}.Shape()
		f.d.Candidates[r.index].Mean = round32(r.mean)
	}
}

// workspace is the memory of one scoring.
type workspace struct {
	actions   []*Action
	seen      []Sight
	estimates []learn.Estimate
	shapes    []learn.Shape
	chances   []float64
	runners   []runner
	at        []int
	working   working
}

func (w *workspace) fit(n int) {
	w.actions, w.seen, w.at = slices.Grow(w.actions[:0], n)[:n], slices.Grow(w.seen[:0], n)[:n], slices.Grow(w.at[:0], n)[:n]
	w.estimates, w.chances = slices.Grow(w.estimates[:0], n)[:n], slices.Grow(w.chances[:0], n)[:n]
	w.shapes = slices.Grow(w.shapes[:0], n)[:n]
}

// workspaces keep that memory between decisions; what it holds is overwritten.
var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// fill runs one draw per slot over those not chosen yet, until the slots are
// full or a slot stays empty. Somebody in an action's control group passes the
// draw like everybody; what they would have got is withheld, and the slot goes
// to the next.
func (f *contest) fill() (given []rapport.Choice) {
	m := f.m
	slots := m.placement.Slots
	if m.limit > 0 {
		slots = min(slots, m.limit)
	}
	var source rand.PCG
	source.Seed(m.seed, 0)
	random := rand.New(&source)
	w := f.w
	w.fit(len(f.runners))
	f.d.Idle = 1
	first := true
	for slot := 0; slot < slots && len(f.runners) > 0; {
		tier, bar := f.tier()
		shapes, chances := w.shapes[:len(tier)], w.chances[:len(tier)]
		for i := range tier {
			shapes[i] = tier[i].shape
		}
		idle := m.config.settle(tier, shapes, chances, bar)
		explored := random.Float64() < m.config.policy.exploration
		lucky := random.IntN(len(tier))
		lever := f.reserved(tier, random)
		best, winner := bar, -1
		for i := range tier {
			draw := shapes[i].Draw(random)
			if draw > best {
				best, winner = draw, i
			}
			if first {
				c := &f.d.Candidates[tier[i].index]
				c.Score, c.Propensity = round32(draw), round32(chances[i])
			}
		}
		if explored {
			winner = lucky
		}
		if lever >= 0 {
			winner, explored = lever, false
		}
		explored = explored && (len(tier) > 1 || !math.IsInf(bar, -1)) // where one must be given there is no chance in it
		if first {
			f.d.Idle = idle
			first = false
		}
		if winner < 0 {
			break
		}
		won := tier[winner]
		// Behind the leading candidates a chance is too small to be computed, not nought.
		given = append(given, f.choice(won, slot, max(chances[winner], 1e-6), explored, lever >= 0))
		if !won.action.controls(m.person) {
			slot++
		}
		if slot < slots {
			f.leave(won)
		}
	}
	return given
}

// guaranteed is the share of decisions in which an action is given whatever it
// is worth; those of higher priority need none.
func (a *Action) guaranteed(bar float64) float64 {
	if math.IsInf(bar, -1) {
		return 0
	}
	return a.Share
}

// settle writes with which chance each of a tier gets the slot, and returns the
// chance that it stays empty. The shares guaranteed to some come first, then the
// floor of exploration, then the draw.
func (c *Config) settle(tier []runner, shapes []learn.Shape, chances []float64, bar float64) (idle float64) {
	idle = learn.Chances(chances, shapes, bar)
	sum := 0.0
	for i := range tier {
		sum += tier[i].action.guaranteed(bar)
	}
	reserved, scale, floor := min(sum, 1), max(1, sum), c.policy.exploration
	for i := range tier {
		chances[i] = (1-reserved)*(floor/float64(len(tier))+(1-floor)*chances[i]) + tier[i].action.guaranteed(bar)/scale
	}
	return (1 - reserved) * (1 - floor) * idle
}

// reserved draws for the guaranteed shares: who gets this slot by one, -1 for
// nobody. Where they come to more than there is, each is cut alike.
func (f *contest) reserved(tier []runner, random *rand.Rand) (winner int) {
	if tier[0].action.rank() > 0 {
		return -1
	}
	sum := 0.0
	for i := range tier {
		sum += tier[i].action.Share
	}
	if sum == 0 {
		return -1
	}
	u := random.Float64() * max(1, sum)
	for i := range tier {
		if u -= tier[i].action.Share; u < 0 {
			return i
		}
	}
	return -1
}

// rank is an action's priority. What has a right is given whatever it is worth.
func (a *Action) rank() int {
	if a.Right != "" {
		return max(a.Priority, 1)
	}
	return a.Priority
}

// tier moves those who may compete for the next slot to the front: the highest
// priority goes first. Above 0 it is given whatever it is worth.
func (f *contest) tier() (tier []runner, bar float64) {
	top := 0
	for i := range f.runners {
		top = max(top, f.runners[i].action.rank())
	}
	if top == 0 {
		return f.runners, 0
	}
	n := 0
	for i := range f.runners {
		if f.runners[i].action.rank() == top {
			f.runners[n], f.runners[i] = f.runners[i], f.runners[n]
			n++
		}
	}
	return f.runners[:n], math.Inf(-1)
}

// leave takes the winner out of the contest, and with it those whose caps it
// used up and those of its group.
func (f *contest) leave(w runner) {
	m := f.m
	if len(f.runners) > 1 && !m.placement.Uncapped {
		f.uses = append(f.uses, use{at: m.now, action: w.action.ID, channel: m.channel(w.action), topic: w.action.Topic})
	}
	left := f.runners[:0]
	for _, r := range f.runners {
		if r.index == w.index || w.action.Group != "" && r.action.Group == w.action.Group || m.full(f.uses, r.action) != nil {
			continue
		}
		left = append(left, r)
	}
	f.runners = left
}

// choice writes down a winner.
func (f *contest) choice(w runner, slot int, propensity float64, explored, share bool) rapport.Choice {
	m, a := f.m, w.action
	reason := "expected to be worth " + money(w.mean) + ", the best draw of " + plural(len(f.runners), "action") + " allowed"
	lever := ""
	switch {
	case a.Right != "":
		reason = "given by the right of a " + a.Right + " message"
	case share:
		reason, lever = "given to keep its guaranteed share of "+percent(a.Share), "share"
	case a.Priority > 0:
		reason, lever = "goes first with priority "+strconv.Itoa(a.Priority), "priority"
	case explored:
		reason = "given by chance to keep learning what it is worth"
	case len(f.runners) == 1:
		reason = "expected to be worth " + money(w.mean) + ", the only action allowed"
	}
	if lever == "" && a.Weight != 1 && !explored {
		lever = "weight"
	}
	c := rapport.Choice{
		Action: a.ID, Type: a.Type, Slot: slot, Content: a.ContentFor(m.placement.ID, m.locale), Value: w.mean,
		Propensity: propensity, Reason: reason, Explored: explored, Channel: m.channel(a), Purpose: a.Purpose,
	}
	c.Sending = m.sending(a, c.Channel)
	if a.Right != "" && !m.rules.strictly(c.Channel) {
		c.Purpose = "" // the right is what it is given by, there is no consent to ask for again
	}
	if lever != "" {
		// What the lever cost: what the best would have been worth without any.
		best := 0.0
		for i := range f.runners {
			best = max(best, f.runners[i].plain)
		}
		c.Lever, c.LeverCost = lever, round32(max(0, best-w.plain))
		if c.LeverCost == 0 && lever == "weight" {
			c.Lever = ""
		}
	}
	return c
}

// explained is of how many candidates the contributions are kept where there
// are more than [learn.Leading].
const explained = 6

// explain keeps the contributions of all candidates of a few, else of those
// given and those likeliest to be, which somebody may ask about: so a decision
// among hundreds stays small and soon made.
func (f *contest) explain(given []rapport.Choice) {
	var top [explained]int
	n := 0
	for i := range f.d.Candidates {
		c := &f.d.Candidates[i]
		switch {
		case c.Excluded != "":
		case len(f.d.Candidates) <= learn.Leading || slices.ContainsFunc(given, func(g rapport.Choice) bool { return g.Action == c.Action }):
			f.explainOne(i)
		default:
			at := n
			for at > 0 && f.d.Candidates[top[at-1]].Propensity < c.Propensity {
				at--
			}
			if at < explained {
				n = min(n+1, explained)
				copy(top[at+1:n], top[at:n-1])
				top[at] = i
			}
		}
	}
	for _, i := range top[:n] {
		f.explainOne(i)
	}
}

func (f *contest) explainOne(i int) {
	f.d.Candidates[i].Terms = f.m.terms(&f.query, f.m.placement.Candidates[i], f.tired)
}

// terms returns the contributions that add up to an action's expected value.
func (m *moment) terms(q *Query, a *Action, tired float64) []rapport.Term {
	terms := m.scorer.Terms(q, a, m.past.of(a.ID), make([]rapport.Term, 0, len(a.Goals)+6))
	plain := 0.0
	for i := range terms {
		plain += terms[i].Value
		terms[i].Value = round32(terms[i].Value)
	}
	if a.Weight != 1 {
		terms = append(terms, rapport.Term{Name: "weight", Value: round32(plain * (a.Weight - 1))})
	}
	if a.Cost != 0 {
		terms = append(terms, rapport.Term{Name: "cost", Value: round32(-a.Cost)})
	}
	if tired != 0 {
		terms = append(terms, rapport.Term{Name: "fatigue", Value: round32(-tired)})
	}
	return terms
}

// nothing says in plain words why nothing was given.
func (m *moment) nothing(d *rapport.Decision, allowed int) string {
	switch {
	case m.right != "":
		return m.unrightful(d)
	case d.Holdout && len(d.Withheld) > 0:
		return "this person is in the permanent holdout; " + d.Withheld[0].Action + " was withheld"
	case len(d.Withheld) > 0:
		return "this person is in the control group of " + d.Withheld[0].Action + ", and nothing else was worth giving"
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

// unrightful says why nothing was given although it is owed: what kept each
// action with the right.
func (m *moment) unrightful(d *rapport.Decision) string {
	s := ""
	for i := range d.Candidates {
		if c := &d.Candidates[i]; c.Excluded != RuleRight {
			if s != "" {
				s += "; "
			}
			s += c.Action + ": " + c.Detail
		}
	}
	if s == "" {
		return "no action in " + m.placement.ID + " has the right of a " + m.right
	}
	return s
}

// tally counts the exclusions by rule, in the order the rules are asked.
func tally(candidates []rapport.Candidate) string {
	s := ""
	for _, rule := range ruleOrder {
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

func (m *moment) localeOf() string {
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
	if root == condition.Context {
		v, _ := o.context.Path(path...)
		return v
	}
	return o.Env.Value(root, path)
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

// decisive returns the parts of a condition that make it fail, with the values found.
func decisive(c *condition.Condition, env condition.Env) string {
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
