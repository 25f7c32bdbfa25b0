package segment

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/profile"
)

// asked are the segments that ask for the events of a name for which where
// holds and that have the property.
type asked struct {
	where    condition.Expr // nil: all of them
	property []string       // nil: with or without
	text     string         // of both
	segments []trends       // by word
}

// trends are up to 64 segments, a bit each, by what such an event can do: move
// people in (rises), out (falls), or either (varies). It is said of events that
// are not dated ahead and whose property is not negative; others may do either.
type trends struct {
	word                 int
	rises, falls, varies uint64
}

// all returns the segments, whatever the event can do.
func (t *trends) all() uint64 { return t.rises | t.falls | t.varies }

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
func (c *Config) ask(i int, event string, where condition.Expr, property []string, p *profile.Config) {
	text := question(event, where, property)
	list := c.byEvent[event]
	at := slices.IndexFunc(list, func(a asked) bool { return a.text == text })
	if at < 0 {
		at, list = len(list), append(list, asked{where: where, property: property, text: text})
		c.byEvent[event] = list
	}
	moves := func(q *condition.Aggregate) condition.Trend {
		steps := slices.ContainsFunc(q.Then, func(s condition.Step) bool { return question(s.Event, s.Where, nil) == text })
		if !steps && question(q.Event, q.Where, q.Property) != text {
			return condition.Stays
		}
		return q.Trend()
	}
	computed := func(name string) condition.Trend {
		if t := p.ComputedTrait(name); t != nil {
			return t.Trend(moves)
		}
		return condition.Stays
	}
	a := &list[at]
	t, bit := a.word(i/64), uint64(1)<<(i%64)
	switch c.defs[i].When.Trend(moves, computed) {
	case condition.Rises:
		t.rises |= bit
	case condition.Falls:
		t.falls |= bit
	default:
		t.varies |= bit
	}
}

// word returns the trends of a word, made if need be.
func (a *asked) word(w int) *trends {
	at, ok := slices.BinarySearchFunc(a.segments, w, func(t trends, w int) int { return t.word - w })
	if !ok {
		a.segments = slices.Insert(a.segments, at, trends{word: w})
	}
	return &a.segments[at]
}

// mark marks those of the segments that an event for which where holds can
// change. in are those the person is in: a segment that only lets people in
// need not be asked about who is in it, and the time at which they may be out
// again can only move away.
func (a *asked) mark(e *rapport.Event, now int64, in, marks []uint64) {
	certain := e.Timestamp <= now
	if len(a.property) > 0 {
		v, _ := e.Properties.Path(a.property...)
		if v.IsNull() {
			return
		}
		x, isNumber := v.Number()
		certain = certain && isNumber && x >= 0
	}
	for i := range a.segments {
		t := &a.segments[i]
		if !certain {
			marks[t.word] |= t.all()
			continue
		}
		marks[t.word] |= t.varies | t.rises&^in[t.word] | t.falls&in[t.word]
	}
}

// markAll marks every segment that asks for events of a name.
func (c *Config) markAll(event string, marks []uint64) {
	for i := range c.byEvent[event] {
		for j := range c.byEvent[event][i].segments {
			t := &c.byEvent[event][i].segments[j]
			marks[t.word] |= t.all()
		}
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
