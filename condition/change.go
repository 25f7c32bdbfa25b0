package condition

import (
	"math"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
)

// Timed is an optional ability of an [Env]: it knows how its answers change
// while time passes and nothing else happens. Without it only what a condition
// asks of now is taken to change.
type Timed interface {
	// NextPerformed returns the first time after Now (Unix milliseconds) at
	// which the answer becomes one for which matters returns true; 0 if that
	// never comes. A nil matters takes any change.
	NextPerformed(a *Aggregate, matters func(rapport.Value) bool) int64
	// NextComputed is NextPerformed for the value at a path of Computed.
	NextComputed(path []string, matters func(rapport.Value) bool) int64
}

// scoresAge is after what time a score is looked at again: models let it drift
// slowly, and nobody can tell when it passes a value.
const scoresAge = 24 * time.Hour

// never is later than every time.
const never = math.MaxInt64

// Next returns the earliest time after env.Now() (Unix milliseconds) at which
// the condition can come out differently although nothing more happens; 0 if
// it never can. It may be too early, never too late: whoever waits for it
// evaluates then, and asks again.
func (c *Condition) Next(env Env) int64 {
	if c == nil || c.clock == nil {
		return 0
	}
	if _, at := c.clock.next(env); at < never {
		return at
	}
	return 0
}

// Timeless reports whether the passing of time alone never changes the result,
// computed traits aside.
func (c *Condition) Timeless() bool { return c == nil || c.clock == nil }

// clock is the part of a condition that time can change, compiled: a group,
// or an atom with the leaves in it that change.
type clock struct {
	holds  boolFunc
	all    bool // a group that wants all of its parts
	negate bool
	parts  []*clock
	leaves []*node
	// affine: an ordering that now.unix enters only by + - and constant factors,
	// so that it turns at most once.
	affine      bool
	left, right numberFunc // its sides
}

// clockOf returns nil for what time does not change.
func clockOf(n *node) *clock {
	switch n.kind {
	case kindNot:
		if inner := clockOf(n.args[0]); inner != nil {
			return &clock{negate: true, parts: []*clock{inner}}
		}
		return nil
	case kindAnd, kindOr:
		c := &clock{all: n.kind == kindAnd}
		changes := false
		for _, a := range n.args {
			part := clockOf(a)
			if changes = changes || part != nil; part == nil {
				part = &clock{holds: compileBool(a)}
			}
			c.parts = append(c.parts, part)
		}
		if !changes {
			return nil
		}
		return c
	}
	c := &clock{holds: compileBool(n), affine: isAffine(n)}
	n.walk(func(m *node) bool {
		changing := m.kind == kindPerformed || m.kind == kindNow || m.kind == kindPath && (m.root == Computed || m.root == Scores)
		if changing && !slices.ContainsFunc(c.leaves, func(o *node) bool { return o.String() == m.String() }) {
			c.leaves = append(c.leaves, m)
		}
		return m.kind != kindPerformed
	})
	if len(c.leaves) == 0 {
		return nil
	}
	if c.affine {
		c.left, c.right = compileNumber(n.args[0]), compileNumber(n.args[1])
	}
	return c
}

// isAffine reports whether n orders two things that are linear in now.unix.
func isAffine(n *node) bool {
	switch n.kind {
	case kindLess, kindAtMost, kindMore, kindAtLeast:
		return linear(n.args[0]) && linear(n.args[1])
	}
	return false
}

func linear(n *node) bool {
	hasNow := func(n *node) bool {
		found := false
		n.walk(func(m *node) bool { found = found || m.kind == kindNow; return true })
		return found
	}
	switch n.kind {
	case kindAdd, kindSubtract:
		return linear(n.args[0]) && linear(n.args[1])
	case kindNegate:
		return linear(n.args[0])
	case kindMultiply:
		return linear(n.args[0]) && linear(n.args[1]) && !(hasNow(n.args[0]) && hasNow(n.args[1]))
	case kindDivide:
		return linear(n.args[0]) && !hasNow(n.args[1])
	case kindNow:
		return n.name == "unix"
	}
	return !hasNow(n)
}

// next returns whether c holds now and from when on that may be different.
func (c *clock) next(env Env) (holds bool, at int64) {
	switch {
	case c.negate:
		holds, at = c.parts[0].next(env)
		return !holds, at
	case len(c.parts) == 0:
		if holds = c.holds(env, noItem); len(c.leaves) == 0 {
			return holds, never
		}
		return holds, c.flips(env, holds)
	}
	// What stands against the group's result must change first, all of it; when
	// all agree with it, the first that changes may change it.
	holds = c.all
	at = never
	last := int64(0)
	for _, p := range c.parts {
		h, t := p.next(env)
		if h == c.all {
			at = min(at, t)
			continue
		}
		holds, last = !c.all, max(last, t)
	}
	if holds != c.all {
		return holds, last
	}
	return holds, at
}

// flips returns when an atom may first come out other than holds.
func (c *clock) flips(env Env, holds bool) int64 {
	at := int64(never)
	alone := len(c.leaves) == 1
	later := func(t int64) {
		if t > 0 {
			at = min(at, t)
		}
	}
	timed, _ := env.(Timed)
	for _, leaf := range c.leaves {
		switch leaf.kind {
		case kindPerformed, kindPath:
			if leaf.root == Scores && leaf.kind == kindPath {
				if !env.Value(Scores, leaf.path).IsNull() {
					later(env.Now().Add(scoresAge).UnixMilli())
				}
				continue
			}
			if timed == nil {
				continue
			}
			var matters func(rapport.Value) bool
			if alone {
				s := &shifted{Env: env, leaf: leaf}
				matters = func(v rapport.Value) bool { s.value = v; return c.holds(s, noItem) != holds }
			}
			if leaf.kind == kindPerformed {
				later(timed.NextPerformed(leaf.agg, matters))
			} else {
				later(timed.NextComputed(leaf.path, matters))
			}
		case kindNow:
			later(c.nowFlips(env, leaf.name, holds, alone))
		}
	}
	return at
}

// nowFlips returns when the passing of now alone may turn an atom, 0 if never.
func (c *clock) nowFlips(env Env, part string, holds, alone bool) int64 {
	now := env.Now()
	s := &shifted{Env: env}
	differs := func(t time.Time) bool { s.now = t; return c.holds(s, noItem) != holds }
	if part != "unix" {
		steps := nowSteps[part]
		for t, i := now, 0; i < steps; i++ {
			if t = nextPart(t, part); !alone || differs(t) {
				return t.UnixMilli()
			}
		}
		if part == "year" {
			return nextPart(now, part).UnixMilli()
		}
		return 0
	}
	if !c.affine {
		return now.Truncate(time.Minute).Add(time.Minute).UnixMilli()
	}
	at := func(ms int64) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	if !differs(at(maxDuration.Millis())) {
		return 0 // it turns once at most
	}
	// The sides cross where a straight line says; rounding is a millisecond or two.
	distance := func(ms int64) float64 {
		s.now = at(ms)
		x, _ := c.left(s, noItem)
		y, _ := c.right(s, noItem)
		return x - y
	}
	const day = 24 * 3600 * 1000
	if d := distance(0); d-distance(day) != 0 {
		guess := int64(math.Ceil(min(max(d/(d-distance(day))*day, 0), float64(maxDuration.Millis()))))
		for _, ms := range [...]int64{guess, guess + 1, guess - 1} {
			if ms > 0 && differs(at(ms)) && !differs(at(ms-1)) {
				return now.UnixMilli() + ms
			}
		}
	}
	// Else double the step until it turned, then halve.
	low, high := int64(0), int64(1)
	for !differs(now.Add(time.Duration(high) * time.Millisecond)) {
		if low, high = high, high*2; high > maxDuration.Millis() {
			return 0
		}
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; differs(now.Add(time.Duration(mid) * time.Millisecond)) {
			high = mid
		} else {
			low = mid
		}
	}
	return now.UnixMilli() + high
}

// nowSteps is after how many changes a part of the time has been everything it can be.
var nowSteps = map[string]int{"minute": 60, "hour": 26, "weekday": 8, "day": 63, "month": 12, "year": 1}

// nextPart returns the next time at which a part of the time changes.
func nextPart(t time.Time, part string) time.Time {
	y, m, d := t.Date()
	zone := t.Location()
	switch part {
	case "minute":
		return t.Truncate(time.Minute).Add(time.Minute)
	case "hour":
		// Zones differ from UTC by whole minutes; the change is at the next full hour of the zone.
		_, offset := t.Zone()
		shift := time.Duration(offset%3600) * time.Second
		return t.Add(shift).Truncate(time.Hour).Add(time.Hour - shift)
	case "weekday", "day":
		return after(t, time.Date(y, m, d+1, 0, 0, 0, 0, zone))
	case "month":
		return after(t, time.Date(y, m+1, 1, 0, 0, 0, 0, zone))
	}
	return after(t, time.Date(y+1, 1, 1, 0, 0, 0, 0, zone))
}

// after keeps time going forward where a zone's clock jumps at midnight.
func after(t, next time.Time) time.Time {
	if !next.After(t) {
		return t.Add(time.Minute)
	}
	return next
}

// shifted is an Env in which one thing is different.
type shifted struct {
	Env
	leaf  *node // performed or computed, that is value
	value rapport.Value
	now   time.Time // unless zero
}

func (s *shifted) Value(root Root, path []string) rapport.Value {
	if s.leaf != nil && root == Computed && s.leaf.kind == kindPath && slices.Equal(path, s.leaf.path) {
		return s.value
	}
	return s.Env.Value(root, path)
}

func (s *shifted) Performed(a *Aggregate) rapport.Value {
	if s.leaf != nil && s.leaf.agg == a {
		return s.value
	}
	return s.Env.Performed(a)
}

func (s *shifted) Now() time.Time {
	if !s.now.IsZero() {
		return s.now
	}
	return s.Env.Now()
}

// NumItems implements [Owner].
func (s *shifted) NumItems() int {
	_, n := itemsOf(s.Env)
	return n
}

// ItemValue implements [Owner].
func (s *shifted) ItemValue(i int, path []string) rapport.Value { return itemValue(s.Env, i, path) }
