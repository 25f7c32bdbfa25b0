package decide

import (
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// feedback folds in what the client says of a decision: shown, clicked, dismissed.
func (s *record) feedback(c *engine.Context, cfg *Config, e *rapport.Event) {
	i := s.named(e)
	if i < 0 {
		return
	}
	o := s.see(c, cfg, i, e)
	item, named := o.about(e)
	if e.Name == rapport.EventDecisionClicked {
		if named {
			o.given[item].clicked = true
		} else {
			o.clicked = true
		}
		s.answer()
		s.replied(c, o)
		if !o.given[item].answered && !o.withheld {
			s.answers(o.given[item].action, e.Timestamp)
		}
		o.click(c, cfg, item)
	}
	a := cfg.Action(o.given[item].action)
	if a == nil {
		return
	}
	if goal := a.goal(e.Name); goal != nil && e.Timestamp <= o.at+goal.Within && o.given[item].hit(e.Name) < 0 {
		if value, ok := goal.Value.Of(e); ok {
			o.credit(c, cfg, item, goal, value)
		}
	}
}

// outcome folds in an event that is a goal of some action or measures the effect.
func (s *record) outcome(c *engine.Context, cfg *Config, e *rapport.Event) {
	s.measure(c, cfg, e)
	if _, paid := cfg.paid[e.Name]; paid {
		if o := orderOf(e); len(o.Lines) > 0 {
			c.Reward(appendOrder(nil, &o))
		}
	}
	o, item := s.attribute(c, cfg, e)
	if o == nil {
		return
	}
	if !o.withheld {
		s.answer()
	}
	goal := cfg.Action(o.given[item].action).goal(e.Name)
	if value, ok := goal.Value.Of(e); ok {
		if value > 0 {
			s.replied(c, o)
		}
		o.credit(c, cfg, item, goal, value)
	}
}

// measure counts what the person has brought in all, since the first decision
// and since each action was first given or withheld. Which decision earns the
// credit makes no difference here: nobody in the holdout can click, so a
// comparison of credits would compare habits of clicking.
func (s *record) measure(c *engine.Context, cfg *Config, e *rapport.Event) {
	if s.group == groupMixed || s.group != groupNone && e.Timestamp < s.first {
		return
	}
	for i := range cfg.outcomes {
		o := &cfg.outcomes[i]
		if o.event != e.Name {
			continue
		}
		v, ok := o.value.Of(e)
		if !ok || v == 0 {
			continue
		}
		if s.group == groupNone { // before anything was decided: what the comparison is adjusted by
			s.prior += v
			continue
		}
		m := Measure{Holdout: s.group == groupHoldout, Before: s.total, After: s.total + v, Covariate: s.prior}
		s.total = m.After
		for k := range s.results {
			if r := &s.results[k]; e.Timestamp >= r.at {
				m.Actions = append(m.Actions, Change{Action: r.action, Held: m.Holdout || r.held, Before: r.total, After: r.total + v})
				r.total += v
			}
		}
		c.Reward(appendMeasure(nil, &m))
	}
}

// attribute returns the decision that earns the credit for an event, and which
// of its actions; nil if none does. That is the decision the event names; else
// the newest the person clicked; else the newest.
func (s *record) attribute(c *engine.Context, cfg *Config, e *rapport.Event) (o *open, item int) {
	if i := s.named(e); i >= 0 && s.open[i].earner(cfg, e, true) >= 0 {
		o = s.see(c, cfg, i, e)
		if item = o.earner(cfg, e, true); item >= 0 {
			return o, item
		}
	}
	o = nil
	for i := len(s.open) - 1; i >= 0; i-- {
		x := &s.open[i]
		if x.unseen {
			continue
		}
		k := x.earner(cfg, e, false)
		switch {
		case k < 0:
		case x.clicked || x.given[k].clicked:
			return x, k
		case o == nil:
			o, item = x, k
		}
	}
	return o, item
}

// named returns the index of the open decision an event names, -1 if it names
// none, one closed long ago, not this person's, or one they were never given.
func (s *record) named(e *rapport.Event) int {
	v, _ := e.Properties.Get("decisionId")
	text, _ := v.Text()
	id, ok := parseID(string(text))
	if !ok {
		return -1
	}
	return slices.IndexFunc(s.open, func(o open) bool { return o.id == id && !o.withheld })
}

// see begins the exposure of a decision that awaits being shown: whatever is
// said of it, the person has seen it.
func (s *record) see(c *engine.Context, cfg *Config, i int, e *rapport.Event) *open {
	if s.open[i].unseen {
		o := s.open[i]
		o.unseen = false
		o.closes += max(0, c.Time-o.at)
		o.at = max(o.at, min(e.Timestamp, c.Time))
		s.open = slices.Delete(s.open, i, i+1)
		i, _ = slices.BinarySearchFunc(s.open, o, compareOpen)
		s.open = slices.Insert(s.open, i, o)
		o.expose(c, cfg)
	}
	return &s.open[i]
}

// earner returns which of the actions given an event is an outcome of, -1 if
// of none: of those with such a goal still in time the one that the event
// names, if it may; else the first that was clicked; else the first.
func (o *open) earner(cfg *Config, e *rapport.Event, mayName bool) int {
	about, named := -1, false
	if mayName {
		about, named = o.about(e)
	}
	best := -1
	for i := range o.given {
		a := cfg.Action(o.given[i].action)
		if a == nil || e.Timestamp < o.at {
			continue
		}
		goal := a.goal(e.Name)
		if goal == nil || goal.Feedback || !o.unseen && e.Timestamp > o.at+goal.Within {
			continue
		}
		if named && i == about {
			return i
		}
		if best < 0 || o.given[i].clicked && !o.given[best].clicked {
			best = i
		}
	}
	return best
}

// about returns which of several given actions an event names by action, or by
// slot; the first if it names none of them.
func (o *open) about(e *rapport.Event) (item int, named bool) {
	action, _ := e.Properties.Get("action")
	slot, _ := e.Properties.Get("slot")
	name, byName := action.Text()
	at, bySlot := slot.Number()
	for i := range o.given {
		if byName && o.given[i].action == string(name) || !byName && bySlot && float64(o.given[i].slot) == at {
			return i, true
		}
	}
	return 0, false
}

func (a *Action) goal(event string) *Goal {
	for i := range a.Goals {
		if a.Goals[i].Event == event {
			return &a.Goals[i]
		}
	}
	return nil
}

func (g *item) hit(event string) int {
	return slices.IndexFunc(g.hits, func(h hit) bool { return h.event == event })
}

// click teaches the first click on an action, which is what other goals come by.
func (o *open) click(c *engine.Context, cfg *Config, item int) {
	g := &o.given[item]
	if g.answered || o.unseen {
		return
	}
	g.answered = true
	x := o.example(cfg, item)
	if a := cfg.Action(g.action); a != nil {
		x.Goals = a.events
	}
	x.Goal, x.First = clicked, true
	c.Reward(appendExample(nil, &x))
}

// credit counts an outcome of one action given, and teaches it.
func (o *open) credit(c *engine.Context, cfg *Config, item int, goal *Goal, value float64) {
	g := &o.given[item]
	h := g.hit(goal.Event)
	first := h < 0
	if first {
		g.hits = append(g.hits, hit{event: goal.Event})
		h = len(g.hits) - 1
	}
	before := g.hits[h].total
	g.hits[h].total += value
	x := o.example(cfg, item)
	x.Via = g.answered
	x.Goal, x.First, x.Before, x.After = goal.Event, first, before, g.hits[h].total
	c.Reward(appendExample(nil, &x))
}

// answers counts a click on an action.
func (s *record) answers(action string, at int64) {
	if i, found := s.result(action); found {
		r := &s.results[i]
		r.Sight = r.sight(at)
		r.seenAt = max(r.seenAt, at)
		r.Answered = round32(r.Answered + 1)
	}
}
