package segment

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// asked are the segments that ask for the events of a name for which where
// holds and that have the property. An event of them is looked at once, however
// many segments there are; evaluated are those that it may have turned.
type asked struct {
	where    condition.Expr // nil: all of them
	property []string       // nil: with or without
	text     string         // of all that
	all      words
	turns    words // by what such an event can do, whatever the answers are
	probes   []probe
}

// event are the segments that ask for events of one name.
type event struct {
	asked []asked
	sieve *condition.Sieve // of asked
}

// sort makes ready for events.
func (e *event) sort() {
	wheres := make([]condition.Expr, len(e.asked))
	for i := range e.asked {
		wheres[i] = e.asked[i].where
	}
	e.sieve = condition.NewSieve(wheres)
}

// words are segments, 64 to a word.
type words []word

// word is up to 64 segments, a bit each, by what an event can do: move people
// in (rises), out (falls), or either (varies). It is said of events that are not
// dated ahead and whose property is not negative.
type word struct {
	at                   int
	rises, falls, varies uint64
}

// probe is a question whose answer tells which segments an event can have turned.
type probe struct {
	*condition.Aggregate
	// limits are what counts and sums are compared with: passing one can turn
	// its segments, and nothing else does.
	limits []limit
	// known are segments that look at the latest, earliest, highest or lowest,
	// by what a further event can do; the first one can do anything.
	known words
	all   words // of both
}

type limit struct {
	condition.Limit
	segments words
}

// add adds a segment by its trend.
func (ws *words) add(i int, t condition.Trend) {
	at, found := slices.BinarySearchFunc(*ws, i/64, func(w word, at int) int { return cmp.Compare(w.at, at) })
	if !found {
		*ws = slices.Insert(*ws, at, word{at: i / 64})
	}
	w, bit := &(*ws)[at], uint64(1)<<(i%64)
	switch t {
	case condition.Rises:
		w.rises |= bit
	case condition.Falls:
		w.falls |= bit
	default:
		w.varies |= bit
	}
}

// mark marks all.
func (ws words) mark(marks []uint64) {
	for i := range ws {
		marks[ws[i].at] |= ws[i].rises | ws[i].falls | ws[i].varies
	}
}

// turn marks those that can turn, in being the segments the person is in: one
// that only lets people in need not be asked about who is in it, and the time
// at which they may be out again can only move away.
func (ws words) turn(in, marks []uint64) {
	for i := range ws {
		w := &ws[i]
		marks[w.at] |= w.varies | w.rises&^in[w.at] | w.falls&in[w.at]
	}
}

// question is what an aggregate asks of one event: which group it belongs to.
func question(event string, where condition.Expr, property []string) string {
	text := event + "\x00"
	if where != nil {
		text += where.String()
	}
	return text + "\x00" + strings.Join(property, "\x00")
}

// ask notes that events of a name for which where holds, and that have the
// property, can change a segment.
func (c *Config) ask(i int, name string, where condition.Expr, property []string, p *profile.Config) {
	text := question(name, where, property)
	of := c.byEvent[name]
	if of == nil {
		of = &event{}
		c.byEvent[name] = of
	}
	at := slices.IndexFunc(of.asked, func(a asked) bool { return a.text == text })
	if at < 0 {
		at, of.asked = len(of.asked), append(of.asked, asked{where: where, property: property, text: text})
	}
	a := &of.asked[at]
	if slices.ContainsFunc(a.all, func(w word) bool { return w.at == i/64 && w.varies&(1<<(i%64)) != 0 }) {
		return // for another of its questions
	}
	a.all.add(i, condition.Varies)
	when := c.defs[i].When
	belongs := func(q *condition.Aggregate) bool {
		return question(q.Event, q.Where, q.Property) == text || slices.ContainsFunc(q.Then, func(s condition.Step) bool { return question(s.Event, s.Where, nil) == text })
	}
	// Counts and sums that are only compared with numbers turn where those are passed.
	limited := map[uint64]bool{}
	for _, q := range questionsOf(when, p) {
		if limited[q.Key] || !belongs(q) || q.Op != condition.Count && q.Op != condition.Sum {
			continue
		}
		same := func(o *condition.Aggregate) bool { return o != nil && o.Key == q.Key }
		limits, ok := when.Limits(same, func(name string) bool {
			t := p.ComputedTrait(name)
			return t != nil && slices.ContainsFunc(t.Asks(), same) && same(t.Answer())
		})
		derived := slices.ContainsFunc(when.Uses().Computed, func(name string) bool {
			t := p.ComputedTrait(name)
			return t != nil && slices.ContainsFunc(t.Asks(), same) && !same(t.Answer())
		})
		if !ok || derived {
			continue
		}
		limited[q.Key] = true
		r := a.probe(q)
		r.all.add(i, condition.Varies)
		for _, l := range limits {
			r.limit(l).segments.add(i, condition.Varies)
		}
	}
	// What else such an event does to the answers. That of one question may have
	// been null before; of all time, it is null no more.
	var appears *condition.Aggregate
	several := false
	trend := func(known bool) condition.Trend {
		moves := func(q *condition.Aggregate) condition.Trend {
			if limited[q.Key] || !belongs(q) {
				return condition.Stays
			}
			t := q.Trend()
			if t == condition.RisesOrAppears || t == condition.FallsOrAppears {
				several = several || appears != nil && appears.Key != q.Key || q.Within != 0 || q.Calendar != ""
				appears = q
			}
			switch {
			case known && t == condition.RisesOrAppears:
				return condition.Rises
			case known && t == condition.FallsOrAppears:
				return condition.Falls
			}
			return t
		}
		return when.Trend(moves, func(name string) condition.Trend {
			t := p.ComputedTrait(name)
			if t == nil {
				return condition.Stays
			}
			return t.Trend(moves)
		})
	}
	always := trend(false)
	if known := trend(true); always == condition.Varies && known != condition.Varies && appears != nil && !several {
		r := a.probe(appears)
		r.all.add(i, condition.Varies)
		r.known.add(i, known)
		return
	}
	if always != condition.Stays {
		a.turns.add(i, always)
	}
}

// questionsOf returns what a condition asks of the past, itself or through
// computed traits.
func questionsOf(when *condition.Condition, p *profile.Config) []*condition.Aggregate {
	list := slices.Clone(when.Aggregates())
	for _, name := range when.Uses().Computed {
		if t := p.ComputedTrait(name); t != nil {
			list = append(list, t.Asks()...)
		}
	}
	return list
}

// probe returns the probe of a question, made if need be.
func (a *asked) probe(q *condition.Aggregate) *probe {
	i := slices.IndexFunc(a.probes, func(p probe) bool { return p.Key == q.Key })
	if i < 0 {
		i, a.probes = len(a.probes), append(a.probes, probe{Aggregate: q})
	}
	return &a.probes[i]
}

// limit returns the limit with a value, made if need be.
func (p *probe) limit(l condition.Limit) *limit {
	i, found := slices.BinarySearchFunc(p.limits, l, func(have limit, l condition.Limit) int {
		beyond := map[bool]int{true: 1}
		return cmp.Or(cmp.Compare(have.Than, l.Than), cmp.Compare(beyond[have.Beyond], beyond[l.Beyond]))
	})
	if !found {
		p.limits = slices.Insert(p.limits, i, limit{Limit: l})
	}
	return &p.limits[i]
}

// mark marks those of the segments that an event for which where holds can have
// turned.
func (a *asked) mark(c *engine.Context, e *rapport.Event, in, marks []uint64) {
	x, certain := 0.0, e.Timestamp <= c.Time
	if len(a.property) > 0 {
		v, _ := e.Properties.Path(a.property...)
		if v.IsNull() {
			return
		}
		isNumber := false
		x, isNumber = v.Number()
		certain = certain && isNumber && x >= 0
	}
	if !certain {
		a.all.mark(marks)
		return
	}
	a.turns.turn(in, marks)
	if len(a.probes) == 0 {
		return
	}
	answers, _ := c.State(profile.FoldAggregate).(*profile.Aggregates)
	questions, _ := c.Config.Part(profile.Part).(*profile.Config)
	for i := range a.probes {
		p := &a.probes[i]
		if answers == nil {
			p.all.mark(marks)
			continue
		}
		m, ok := answers.Moved(questions, p.Aggregate, e.Timestamp, x, c.Time)
		if !ok {
			p.all.mark(marks)
			continue
		}
		if m.First {
			p.known.mark(marks)
		} else {
			p.known.turn(in, marks)
		}
		if len(p.limits) == 0 {
			continue
		}
		first, _ := slices.BinarySearchFunc(p.limits, m.From, func(l limit, from float64) int { return cmp.Compare(l.Than, from) })
		for j := first; j < len(p.limits) && p.limits[j].Than <= m.To; j++ {
			if p.limits[j].Passed(m.From, m.To) {
				p.limits[j].segments.mark(marks)
			}
		}
	}
}

// markAll marks every segment that asks for events of a name.
func (c *Config) markAll(name string, marks []uint64) {
	of := c.byEvent[name]
	if of == nil {
		return
	}
	for i := range of.asked {
		of.asked[i].all.mark(marks)
	}
}

func mark(marks []uint64, list []int) {
	for _, i := range list {
		marks[i/64] |= 1 << (i % 64)
	}
}

// next takes the first mark of a word.
func next(word *uint64) int {
	i := bits.TrailingZeros64(*word)
	*word &= *word - 1
	return i
}
