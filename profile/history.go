package profile

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Computation takes a computed trait apart, for who asks it of history.
func (c *Config) Computation(name string) (condition.Computation, bool) {
	t := c.ComputedTrait(name)
	if t == nil {
		return condition.Computation{}, false
	}
	return condition.Computation{Op: t.op, Main: t.main, Aux: t.aux, Unit: t.unit}, true
}

// Value returns the trait at a moment (Unix ms) from the answers kept live.
func (t *Computed) Value(answers *Aggregates, at int64) rapport.Value { return t.value(answers, at) }

// Window returns the times from <= t < to (Unix ms) that an answer at a moment is
// made of; bounded is false if that is all time.
func Window(a *condition.Aggregate, at int64) (from, to int64, bounded bool) {
	d := define(a)
	if d.keep == 0 {
		return 0, 0, false
	}
	oldest, newest := d.window(at)
	return d.start(oldest), d.start(newest + 1), true
}

// ConsentOf returns the standing answers of what was said, in any order.
func ConsentOf(said []Said) *Consent {
	c := &Consent{}
	for _, s := range said {
		c.say(s)
	}
	return c
}
