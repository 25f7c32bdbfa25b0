package decide

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// record is what this room remembers of one person: what was given (for caps),
// decisions that await outcomes, and what the person has brought (for lift).
type record struct {
	group group
	first int64   // time of the first decision
	total float64 // outcomes since then
	prior float64 // outcomes before, as far as they were seen
	// fatigue counts contacts nobody answered, fading since tiredAt; last is
	// when the newest was given, 0 once answered.
	fatigue float64
	tiredAt int64
	last    int64
	uses    []use  // in order of time
	open    []open // in order of time
	results []result
	habit   habit

	env   func(*engine.Context, *rapport.Event) condition.Env // of the fold; no state
	calls Caller                                              // of the fold; no state
}

// group is the side of the comparison a person is on, settled by the first decision.
type group uint8

const (
	groupNone group = iota
	groupTreated
	groupHoldout
	// groupMixed people were on both sides, by a merge or a change of the
	// holdout: what they bring from then on is not counted.
	groupMixed
)

// open is a decision that awaits outcomes.
type open struct {
	id        [16]byte
	at        int64 // exposure: when made, or when shown
	closes    int64
	withheld  bool
	unseen    bool // awaits Decision Shown
	clicked   bool // by a click that named none of the actions
	placement string
	features  rapport.Fields
	given     []item
}

// item is one action of an open decision.
type item struct {
	action     string
	slot       int
	propensity float64
	seen       Sight // what the person had made of it before
	clicked    bool  // by a click that named it
	answered   bool  // a click was taught
	hits       []hit
	contact    *contact // of what was pushed
}

// hit is a goal reached, with what it has brought in all.
type hit struct {
	event string
	total float64
}

// result is what a person has brought in all since first getting an action,
// whatever it came of.
type result struct {
	action string
	at     int64
	total  float64
	held   bool // in the action's control group
	Sight       // fading since seenAt
	seenAt int64
}

// How soon half of what was seen, and of what was given and answered, is forgotten, ms.
const (
	seenHalf  = 3.5 * 24 * 3600e3
	givenHalf = 60 * 24 * 3600e3
)

// sight returns what the person made of the action, faded to a time and rounded as it is kept.
func (r *result) sight(now int64) Sight {
	age := float64(max(0, now-r.seenAt))
	late, long := math.Exp2(-age/seenHalf), math.Exp2(-age/givenHalf)
	return Sight{round32(r.Seen * late), round32(r.Given * long), round32(r.Answered * long)}
}

// tiredness returns the unanswered contacts, faded to a time.
func (s *record) tiredness(now int64, half float64) float64 {
	if s.fatigue == 0 || half <= 0 {
		return s.fatigue
	}
	return s.fatigue * math.Exp2(-float64(max(0, now-s.tiredAt))/half)
}

// answer ends fatigue: somebody said something to what they got.
func (s *record) answer() { s.fatigue, s.last = 0, 0 }

const (
	maxOpen    = 24
	maxResults = 256
	// grace is how long after a window's end events that happened inside it are awaited.
	grace = 60 * 60 * 1000
)

const timerClose = "close"

// made folds a decision in.
func (s *record) made(c *engine.Context, cfg *Config, d *rapport.Decision, id [16]byte) {
	given, side := d.Items, groupTreated
	if d.Holdout {
		given, side = d.Withheld, groupHoldout
	}
	switch {
	case s.group == groupNone:
		s.group, s.first = side, d.Time
		c.Reward(appendMeasure(nil, &Measure{Holdout: d.Holdout, Entered: true, Covariate: s.prior}))
	case s.group != side:
		s.group = groupMixed
	}
	if !d.Holdout {
		for i := range d.Withheld {
			s.enter(c, d.Withheld[i].Action, d.Time, true)
		}
	}
	p := cfg.Placement(d.Placement)
	o := open{
		id: id, at: d.Time, withheld: d.Holdout, unseen: p != nil && p.OnShown && !d.Holdout,
		placement: d.Placement, features: d.Features,
	}
	longest := int64(0)
	for i := range given {
		x := &given[i]
		a := cfg.Action(x.Action)
		if a == nil {
			continue // taken out of config since
		}
		if p == nil || !p.Uncapped {
			s.use(use{decision: id, at: d.Time, action: a.ID, channel: x.Channel, topic: a.Topic}, a)
		}
		g := item{action: a.ID, slot: x.Slot, propensity: x.Propensity}
		longest = max(longest, a.longest)
		if r := s.enter(c, a.ID, d.Time, false); r != nil {
			g.seen = r.sight(d.Time)
			r.Sight, r.seenAt = g.seen, d.Time
			r.Seen, r.Given = round32(r.Seen+1), round32(r.Given+1)
		}
		if i == 0 && !d.Holdout { // of one decision one message is sent
			s.contacted(c, &g, x)
		}
		o.given = append(o.given, g)
	}
	if len(o.given) > 0 && !d.Holdout {
		s.fatigue, s.tiredAt, s.last = round32(s.tiredness(d.Time, cfg.policy.fatigueHalf)+1), d.Time, d.Time
	}
	s.forget(d.Time - cfg.horizon)
	if len(o.given) == 0 {
		return
	}
	o.closes = d.Time + longest + grace
	s.await(o)
	if !o.unseen {
		o.expose(c, cfg)
	}
}

// use remembers a use if some cap counts it.
func (s *record) use(u use, a *Action) {
	for _, l := range a.caps {
		if l.covers(a, u.channel) {
			at, found := slices.BinarySearchFunc(s.uses, u, compareUses)
			if !found {
				s.uses = slices.Insert(s.uses, at, u)
			}
			return
		}
	}
}

func compareUses(a, b use) int {
	return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.decision[:], b.decision[:]), strings.Compare(a.action, b.action))
}

// forget drops uses no cap counts any more.
func (s *record) forget(before int64) {
	n := 0
	for n < len(s.uses) && s.uses[n].at <= before {
		n++
	}
	s.uses = slices.Delete(s.uses, 0, n)
}

// await adds an open decision and keeps their number bounded.
func (s *record) await(o open) {
	at, found := slices.BinarySearchFunc(s.open, o, compareOpen)
	if found {
		return
	}
	s.open = slices.Insert(s.open, at, o)
	if len(s.open) > maxOpen {
		drop := s.spare()
		s.open = slices.Delete(s.open, drop, drop+1)
	}
}

// spare returns which of too many open decisions is missed least: the oldest
// that a newer one covers; else, of the older half, the oldest that nobody
// clicked; else the oldest. The newest are left to be clicked yet.
func (s *record) spare() int {
	for i := range s.open {
		for j := len(s.open) - 1; j > i; j-- {
			if s.open[j].covers(&s.open[i]) {
				return i
			}
		}
	}
	return max(0, slices.IndexFunc(s.open[:len(s.open)/2], func(o open) bool {
		return !o.clicked && !slices.ContainsFunc(o.given, func(g item) bool { return g.clicked })
	}))
}

func compareOpen(a, b open) int {
	return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.id[:], b.id[:]))
}

// covers reports whether o, being newer, wins every outcome that p could, for
// the same actions, except of events that name p.
func (o *open) covers(p *open) bool {
	return o.placement == p.placement && o.withheld == p.withheld && (p.unseen || !o.unseen) && (o.clicked || !p.clicked) &&
		slices.EqualFunc(o.given, p.given, func(a, b item) bool { return a.action == b.action && (a.clicked || !b.clicked) })
}

// expose teaches a provisional failure for everything given.
func (o *open) expose(c *engine.Context, cfg *Config) {
	for i := range o.given {
		x := o.example(cfg, i)
		if a := cfg.Action(o.given[i].action); a != nil {
			x.Goals = a.events
		}
		c.Reward(appendExample(nil, &x))
	}
}

func (o *open) example(cfg *Config, i int) Example {
	g := &o.given[i]
	x := Example{
		ID: formatID(o.id), Slot: g.slot, Placement: o.placement, Action: g.action, At: o.at,
		Propensity: g.propensity, Features: o.features, Sight: g.seen,
	}
	if o.withheld {
		x.Action, x.Sight = "", Sight{} // nothing was given
	} else if a := cfg.Action(g.action); a != nil {
		x.Kind, x.Match, x.About = string(a.Type), matching(likesOf(o.features), a.about), a.about
	}
	for _, h := range g.hits {
		x.Reward += h.total
	}
	return x
}

// enter begins to count what the person brings from when an action was first
// given, or to somebody in its control group withheld. It returns the account,
// nil if there is none.
func (s *record) enter(c *engine.Context, action string, from int64, held bool) *result {
	at, found := s.result(action)
	if found {
		return &s.results[at]
	}
	if s.group == groupMixed || len(s.results) >= maxResults {
		return nil
	}
	s.results = slices.Insert(s.results, at, result{action: action, at: from, held: held, seenAt: from})
	c.Reward(appendMeasure(nil, &Measure{Action: action, Holdout: held || s.group == groupHoldout, Entered: true, Covariate: s.prior}))
	return &s.results[at]
}

func (s *record) result(action string) (at int, found bool) {
	return slices.BinarySearchFunc(s.results, action, func(r result, a string) int { return strings.Compare(r.action, a) })
}

// settle drops decisions whose windows have ended and sets the timer for the next.
func (s *record) settle(c *engine.Context) {
	s.open = slices.DeleteFunc(s.open, func(o open) bool { return o.closes <= c.Time })
	next := int64(0)
	for i := range s.open {
		if next == 0 || s.open[i].closes < next {
			next = s.open[i].closes
		}
	}
	c.SetTimer(next, timerClose)
}
