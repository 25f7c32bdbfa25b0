package decide

import (
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// FoldName is the name of this room's fold.
const FoldName = "decide"

// EffectKind is the kind of effects by which a trigger asks for a decision.
const EffectKind = "decide"

// Fold remembers per person what was decided and what came of it, and teaches
// it to the model. Env gives triggers the person and the event at hand; it must
// be pure.
type Fold struct {
	Env func(c *engine.Context, e *rapport.Event) condition.Env
	// Calls, if set, are facts of other rooms that ask for a decision by right.
	Calls Caller
}

var (
	_ engine.Fold  = Fold{}
	_ engine.Cold  = Fold{}
	_ engine.State = (*record)(nil)
	_ engine.Timed = (*record)(nil)
)

// Name implements [engine.Fold].
func (Fold) Name() string { return FoldName }

// Version implements [engine.Fold].
func (Fold) Version() uint32 { return 5 }

// Rowless implements [engine.Rowless].
func (Fold) Rowless() {}

// Scope implements [engine.Fold].
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// New implements [engine.Fold].
func (f Fold) New() engine.State { return &record{env: f.Env, calls: f.Calls} }

// Wants implements [engine.Cold]: decisions, what clients say of them, events
// that are a goal, and events a trigger waits for.
func (f Fold) Wants(c *engine.Context, e *rapport.Event) bool {
	cfg, _ := c.Config.Part(Part).(*Config)
	if f.Calls != nil && f.Calls.Wants(e) {
		return true
	}
	if e.Type == rapport.TypeSystem {
		return e.Name == rapport.SystemDecision || e.Name == rapport.SystemScheduled || e.Name == rapport.SystemDelivery || isMembership(e.Name) && !c.History && cfg != nil && len(cfg.triggers[e.Name]) > 0
	}
	if e.Type != rapport.TypeTrack {
		return false
	}
	if cfg == nil {
		return false
	}
	_, goal := cfg.goals[e.Name]
	return goal || isFeedback(e.Name) || !c.History && len(cfg.triggers[e.Name]) > 0
}

// Apply implements [engine.State].
func (s *record) Apply(c *engine.Context, e *rapport.Event) {
	cfg, _ := c.Config.Part(Part).(*Config)
	if cfg == nil {
		return
	}
	switch {
	case e.Type == rapport.TypeSystem && isMembership(e.Name):
		s.ask(c, cfg.triggers[e.Name], e)
	case e.Type == rapport.TypeSystem && e.Name == rapport.SystemScheduled:
		s.scheduled(c, e)
	case e.Type == rapport.TypeSystem && e.Name == rapport.SystemDelivery:
		s.delivered(c, e)
	case e.Type == rapport.TypeSystem && e.Name == rapport.SystemDecision:
		d, err := decodeDecision(e.Body, false)
		if err != nil {
			return // the log is checked for damage; a body of a later version is not ours to read
		}
		id, ok := parseID(d.ID)
		if !ok {
			return
		}
		if isTriggered(e.MessageID) {
			c.CancelEffect(e.MessageID)
		}
		s.made(c, cfg, d, id)
	case e.Type == rapport.TypeSystem:
	case isFeedback(e.Name):
		s.feedback(c, cfg, e)
	default:
		s.outcome(c, cfg, e)
		s.ask(c, cfg.triggers[e.Name], e)
	}
	s.call(c, e)
	s.settle(c)
}

// Fire implements [engine.Timed].
func (s *record) Fire(c *engine.Context, _ string) { s.settle(c) }

// Merge implements [engine.State]. The rule for two people becoming one: what
// both were given counts towards caps, all open decisions stay open, and the
// one that stays keeps its side of the comparison and its own results. What
// the other brought remains counted where it was. If they were on different
// sides, nothing they bring from now on is counted.
func (s *record) Merge(other engine.State) {
	o := other.(*record)
	switch {
	case s.group == groupNone:
		s.group, s.first, s.total, s.prior = o.group, o.first, o.total, s.prior+o.prior
		s.results = slices.Clone(o.results)
	case o.group != groupNone && o.group != s.group:
		s.group = groupMixed
	case o.group == s.group:
		for _, r := range o.results {
			if at, found := s.result(r.action); !found && len(s.results) < maxResults {
				s.results = slices.Insert(s.results, at, r)
			}
		}
	}
	if o.tiredAt > s.tiredAt {
		s.tiredAt = o.tiredAt
	}
	s.fatigue, s.last = round32(s.fatigue+o.fatigue), max(s.last, o.last)
	s.habit.merge(&o.habit)
	s.habit.round()
	for _, u := range o.uses {
		if at, found := slices.BinarySearchFunc(s.uses, u, compareUses); !found {
			s.uses = slices.Insert(s.uses, at, u)
		}
	}
	for _, x := range o.open {
		x.features = slices.Clone(x.features)
		x.given = slices.Clone(x.given)
		for i := range x.given {
			x.given[i].hits = slices.Clone(x.given[i].hits)
			if k := x.given[i].contact; k != nil {
				own := *k
				x.given[i].contact = &own
			}
		}
		s.await(x)
	}
}

// AppendBinary implements [engine.State].
func (s *record) AppendBinary(b []byte) []byte {
	if s.group == groupNone && len(s.uses) == 0 && len(s.open) == 0 && s.prior == 0 && s.habit.at == 0 {
		return b
	}
	w := writer{b: append(b, byte(s.group))}
	w.int(s.first)
	w.float(s.total)
	w.float(s.prior)
	w.small(s.fatigue)
	w.int(s.tiredAt)
	w.int(s.last)
	w.uint(uint64(len(s.uses)))
	last := s.first
	for i := range s.uses {
		u := &s.uses[i]
		w.b = append(w.b, u.decision[:]...)
		w.int(u.at - last)
		last = u.at
		w.repeat(u.action)
		w.repeat(u.channel)
		w.repeat(u.topic)
	}
	w.uint(uint64(len(s.open)))
	for i := range s.open {
		o := &s.open[i]
		w.b = append(w.b, o.id[:]...)
		w.int(o.at - s.first)
		w.int(o.closes - o.at)
		w.bool(o.withheld)
		w.bool(o.unseen)
		w.bool(o.clicked)
		w.repeat(o.placement)
		w.bytes(o.features)
		w.uint(uint64(len(o.given)))
		for j := range o.given {
			g := &o.given[j]
			w.repeat(g.action)
			w.uint(uint64(g.slot))
			w.float(g.propensity)
			w.sight(g.seen)
			w.bool(g.clicked)
			w.bool(g.answered)
			w.uint(uint64(len(g.hits)))
			for _, h := range g.hits {
				w.repeat(h.event)
				w.float(h.total)
			}
			w.contact(g.contact)
		}
	}
	w.habit(&s.habit)
	w.uint(uint64(len(s.results)))
	for _, r := range s.results {
		w.repeat(r.action)
		w.int(r.at - s.first)
		w.float(r.total)
		w.bool(r.held)
		w.sight(r.Sight)
		w.int(r.seenAt - r.at)
	}
	return w.b
}

// DecodeBinary implements [engine.State].
func (s *record) DecodeBinary(b []byte) error {
	*s = record{env: s.env, calls: s.calls}
	if len(b) == 0 {
		return nil
	}
	r := newReader(b)
	s.group, s.first, s.total, s.prior = group(r.Byte()), r.Varint(), r.Float(), r.Float()
	s.fatigue, s.tiredAt, s.last = r.small(), r.Varint(), r.Varint()
	last := s.first
	s.uses = make([]use, r.Count(20))
	for i := range s.uses {
		u := &s.uses[i]
		copy(u.decision[:], r.Take(16))
		u.at = last + r.Varint()
		last = u.at
		u.action, u.channel, u.topic = r.repeat(), r.repeat(), r.repeat()
	}
	s.open = make([]open, r.Count(24))
	for i := range s.open {
		o := &s.open[i]
		copy(o.id[:], r.Take(16))
		o.at = s.first + r.Varint()
		o.closes = o.at + r.Varint()
		o.withheld, o.unseen, o.clicked = r.Bool(), r.Bool(), r.Bool()
		o.placement, o.features = r.repeat(), r.fields()
		o.given = make([]item, r.Count(17))
		for j := range o.given {
			g := &o.given[j]
			g.action, g.slot, g.propensity, g.seen = r.repeat(), int(r.Uvarint()), r.Float(), r.sight()
			g.clicked, g.answered = r.Bool(), r.Bool()
			if n := r.Count(9); n > 0 {
				g.hits = make([]hit, n)
			}
			for k := range g.hits {
				g.hits[k] = hit{event: r.repeat(), total: r.Float()}
			}
			g.contact = r.contact()
		}
	}
	s.habit = r.habit()
	s.results = make([]result, r.Count(10))
	for i := range s.results {
		x := result{action: r.repeat(), at: s.first + r.Varint(), total: r.Float(), held: r.Bool(), Sight: r.sight()}
		x.seenAt = x.at + r.Varint()
		s.results[i] = x
	}
	return r.done("decision state")
}

func (w *writer) sight(s Sight) {
	w.small(s.Seen)
	w.small(s.Given)
	w.small(s.Answered)
}

func (r *reader) sight() Sight { return Sight{r.small(), r.small(), r.small()} }
