package decide

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// record is what this room remembers of one person: what was given (for caps),
// decisions that await outcomes, and what the person has brought (for lift).
type record struct {
	group   group
	first   int64   // time of the first decision
	total   float64 // outcomes since then
	uses    []use   // in order of time
	open    []open  // in order of time
	results []result

	env func(*engine.Context, *rapport.Event) condition.Env // of the fold; no state
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
	placement string
	features  rapport.Fields
	given     []given
}

// given is one action of an open decision.
type given struct {
	action     string
	slot       int
	propensity float64
	clicked    bool
	hits       []hit
}

// hit is a goal reached, with what it has brought in all.
type hit struct {
	event string
	total float64
}

// result is what a person has brought through one action since first getting it.
type result struct {
	action string
	total  float64
}

const (
	maxOpen    = 24
	maxResults = 256
	// grace is how long after a window's end events that happened inside it are awaited.
	grace = 60 * 60 * 1000
)

const timerClose = "close"

// made folds a decision in.
func (s *record) made(c *engine.Context, cfg *Config, d *rapport.Decision, id [16]byte) {
	chosen := d.Items
	side := groupTreated
	if d.Holdout {
		chosen, side = d.Withheld, groupHoldout
	}
	switch {
	case s.group == groupNone:
		s.group, s.first = side, d.Time
		c.Reward(appendMeasure(nil, &Measure{Holdout: d.Holdout, Entered: true}))
	case s.group != side:
		s.group = groupMixed
	}
	p := cfg.Placement(d.Placement)
	o := open{
		id: id, at: d.Time, withheld: d.Holdout, unseen: p != nil && p.OnShown && !d.Holdout,
		placement: d.Placement, features: d.Features,
	}
	longest := int64(0)
	for i := range chosen {
		x := &chosen[i]
		a := cfg.Action(x.Action)
		if a == nil {
			continue // taken out of config since
		}
		if p == nil || !p.Uncapped {
			s.use(use{decision: id, at: d.Time, action: a.ID, channel: x.Channel, topic: a.Topic}, a)
		}
		o.given = append(o.given, given{action: a.ID, slot: x.Slot, propensity: x.Propensity})
		longest = max(longest, a.longest)
		s.enter(c, a.ID)
	}
	s.forget(d.Time - cfg.horizon)
	if len(o.given) == 0 {
		return
	}
	o.closes = d.Time + longest + grace
	s.await(o)
	if !o.unseen && !o.withheld {
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

// await adds an open decision and keeps their number bounded. An older decision
// with the same content goes first, as the newer would win its outcomes.
func (s *record) await(o open) {
	at, found := slices.BinarySearchFunc(s.open, o, compareOpen)
	if found {
		return
	}
	s.open = slices.Insert(s.open, at, o)
	if len(s.open) <= maxOpen {
		return
	}
	drop := 0
	for i := range s.open {
		if i != at && s.open[i].sameContent(&o) {
			drop = i
			break
		}
	}
	s.open = slices.Delete(s.open, drop, drop+1)
}

func compareOpen(a, b open) int {
	return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.id[:], b.id[:]))
}

func (o *open) sameContent(p *open) bool {
	return o.placement == p.placement && slices.EqualFunc(o.given, p.given, func(a, b given) bool { return a.action == b.action })
}

// expose teaches a provisional failure for everything given.
func (o *open) expose(c *engine.Context, cfg *Config) {
	for i := range o.given {
		x := o.example(i)
		if a := cfg.Action(x.Action); a != nil {
			x.Goals = a.events
		}
		c.Reward(appendExample(nil, &x))
	}
}

func (o *open) example(i int) Example {
	g := &o.given[i]
	x := Example{
		ID: formatID(o.id), Slot: g.slot, Placement: o.placement, Action: g.action, At: o.at,
		Propensity: g.propensity, Features: o.features,
	}
	for _, h := range g.hits {
		x.Reward += h.total
	}
	return x
}

// enter begins to count what the person brings through an action.
func (s *record) enter(c *engine.Context, action string) {
	if s.group == groupMixed || len(s.results) >= maxResults {
		return
	}
	at, found := s.result(action)
	if found {
		return
	}
	s.results = slices.Insert(s.results, at, result{action: action})
	c.Reward(appendMeasure(nil, &Measure{Action: action, Holdout: s.group == groupHoldout, Entered: true}))
}

func (s *record) result(action string) (at int, found bool) {
	return slices.BinarySearchFunc(s.results, action, func(r result, a string) int { return strings.Compare(r.action, a) })
}

// feedback folds in what the client says of a decision: shown, clicked, dismissed.
func (s *record) feedback(c *engine.Context, cfg *Config, e *rapport.Event) {
	v, _ := e.Properties.Get("decisionId")
	text, _ := v.Text()
	id, ok := parseID(string(text))
	if !ok {
		return
	}
	i := slices.IndexFunc(s.open, func(o open) bool { return o.id == id })
	if i < 0 || s.open[i].withheld {
		return // closed long ago, or not this person's
	}
	o := &s.open[i]
	if o.unseen {
		// Whatever the client says of it, the person has seen it.
		seen := *o
		seen.unseen = false
		seen.closes += max(0, c.Time-o.at)
		seen.at = max(o.at, min(e.Timestamp, c.Time))
		s.open = slices.Delete(s.open, i, i+1)
		s.await(seen)
		seen.expose(c, cfg)
		if i = slices.IndexFunc(s.open, func(o open) bool { return o.id == id }); i < 0 {
			return
		}
		o = &s.open[i]
	}
	g := o.about(e)
	if e.Name == rapport.EventDecisionClicked {
		o.given[g].clicked = true
	}
	a := cfg.Action(o.given[g].action)
	if a == nil {
		return
	}
	if goal := a.goal(e.Name); goal != nil && e.Timestamp <= o.at+goal.Within && o.given[g].hit(e.Name) < 0 {
		if value, ok := goal.Value.Of(e); ok {
			s.credit(c, o, g, goal, value)
		}
	}
}

// about returns which of several given actions an event is about: the one it
// names by action or slot, else the first.
func (o *open) about(e *rapport.Event) int {
	action, _ := e.Properties.Get("action")
	slot, _ := e.Properties.Get("slot")
	name, named := action.Text()
	at, placed := slot.Number()
	for i := range o.given {
		if named && o.given[i].action == string(name) || !named && placed && float64(o.given[i].slot) == at {
			return i
		}
	}
	return 0
}

func (a *Action) goal(event string) *Goal {
	for i := range a.Goals {
		if a.Goals[i].Event == event {
			return &a.Goals[i]
		}
	}
	return nil
}

func (g *given) hit(event string) int {
	return slices.IndexFunc(g.hits, func(h hit) bool { return h.event == event })
}

// outcome folds in an event that is a goal of some action: the newest decision
// whose window it falls in gets the credit, in it the action that was clicked,
// else the first.
func (s *record) outcome(c *engine.Context, cfg *Config, e *rapport.Event) {
	for i := range cfg.outcomes {
		if o := &cfg.outcomes[i]; o.event == e.Name && s.first != 0 && e.Timestamp >= s.first && s.group != groupMixed {
			if v, ok := o.value.Of(e); ok && v != 0 {
				c.Reward(appendMeasure(nil, &Measure{Holdout: s.group == groupHoldout, Before: s.total, After: s.total + v}))
				s.total += v
			}
		}
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		o := &s.open[i]
		if o.unseen || e.Timestamp < o.at {
			continue
		}
		winner := -1
		for g := range o.given {
			a := cfg.Action(o.given[g].action)
			if a == nil {
				continue
			}
			if goal := a.goal(e.Name); goal != nil && !goal.Feedback && e.Timestamp <= o.at+goal.Within &&
				(winner < 0 || o.given[g].clicked && !o.given[winner].clicked) {
				winner = g
			}
		}
		if winner < 0 {
			continue
		}
		goal := cfg.Action(o.given[winner].action).goal(e.Name)
		if value, ok := goal.Value.Of(e); ok {
			s.credit(c, o, winner, goal, value)
		}
		return
	}
}

// credit counts an outcome of one action given, teaches it, and measures it.
func (s *record) credit(c *engine.Context, o *open, index int, goal *Goal, value float64) {
	g := &o.given[index]
	h := g.hit(goal.Event)
	first := h < 0
	if first {
		g.hits = append(g.hits, hit{event: goal.Event})
		h = len(g.hits) - 1
	}
	before := g.hits[h].total
	g.hits[h].total += value
	if !o.withheld {
		x := o.example(index)
		x.Goal, x.First, x.Before, x.After = goal.Event, first, before, g.hits[h].total
		c.Reward(appendExample(nil, &x))
	}
	if at, found := s.result(g.action); found && !goal.Feedback && s.group != groupMixed && value != 0 {
		r := &s.results[at]
		c.Reward(appendMeasure(nil, &Measure{Action: g.action, Holdout: s.group == groupHoldout, Before: r.total, After: r.total + value}))
		r.total += value
	}
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
