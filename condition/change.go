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
	// which the answer becomes one that matters; 0 if that never comes.
	NextPerformed(a *Aggregate, matters Turn) int64
	// NextComputed is NextPerformed for the value at a path of Computed.
	NextComputed(path []string, matters Turn) int64
}

// Turn says which values turn a condition's result. The zero Turn takes any.
type Turn struct {
	// A comparison of the value with a number, and how it comes out now.
	kind  nodeKind
	than  float64
	holds bool
	fn    func(rapport.Value) bool // of anything else
}

// TurnFunc returns the Turn of the values for which fn returns true.
func TurnFunc(fn func(rapport.Value) bool) Turn { return Turn{fn: fn} }

// Any reports whether any change matters.
func (t Turn) Any() bool { return t.kind == 0 && t.fn == nil }

// Matters reports whether a value turns the result.
func (t Turn) Matters(v rapport.Value) bool {
	switch {
	case t.fn != nil:
		return t.fn(v)
	case t.kind == 0:
		return true
	}
	x, ok := v.Number()
	return (ok && compareNumbers(t.kind, x, t.than)) != t.holds
}

// MattersNumber is Matters for a number.
func (t Turn) MattersNumber(x float64) bool {
	if t.fn == nil && t.kind != 0 {
		return compareNumbers(t.kind, x, t.than) != t.holds
	}
	return t.Matters(rapport.NumberValue(x))
}

// Limit returns the number that values are compared with, and whether only
// lower (-1) or only higher (1) ones than now can matter; 0 is either.
func (t Turn) Limit() (than float64, side int, ok bool) {
	if t.fn != nil || t.kind == 0 {
		return 0, 0, false
	}
	switch t.kind {
	case kindMore, kindAtLeast:
		side = 1
	case kindLess, kindAtMost:
		side = -1
	}
	if t.holds {
		side = -side
	}
	return t.than, side, true
}

// Scored is an optional ability of an [Env] that knows when a score changes by
// itself: at Unix milliseconds, 0 for never. It is not ok where nobody can tell.
type Scored interface {
	NextScore(path []string) (at int64, ok bool)
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
	_, at := c.Look(env)
	return at
}

// Look is Holds and [Condition.Next] in one.
func (c *Condition) Look(env Env) (holds bool, next int64) {
	if c == nil || c.clock == nil {
		return c.Holds(env), 0
	}
	holds, at := c.clock.next(env)
	if at == never {
		at = 0
	}
	return holds, at
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
	slope       float64    // of left - right in now.unix
	straight    bool       // slope is known beforehand
	kind        nodeKind
	// apart: one side is a function of now.unix alone (moving), the other knows
	// nothing of it.
	apart  bool
	moving func(unix float64) float64
	isLeft bool // moving is the left side
	// turn compares the only leaf with a number, if that is all the atom does.
	turn Turn
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
		var timed []*clock
		for _, a := range cheapFirst(n.args) {
			if part := clockOf(a); part != nil {
				changes, timed = true, append(timed, part)
			} else { // first: one of these that is against the group settles it
				c.parts = append(c.parts, &clock{holds: compileBool(a)})
			}
		}
		c.parts = append(c.parts, timed...)
		if !changes {
			return nil
		}
		return c
	}
	c := &clock{holds: compileBool(n), affine: isAffine(n)}
	n.walk(func(m *node) bool {
		changing := m.kind == kindPerformed && m.duration > 0 || m.kind == kindNow || m.kind == kindPath && (m.root == Computed || m.root == Scores)
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
		l, ok1 := slopeOf(n.args[0])
		r, ok2 := slopeOf(n.args[1])
		c.slope, c.straight, c.kind = l-r, ok1 && ok2, n.kind
		if c.moving = pureNow(n.args[0]); c.moving != nil && !hasNow(n.args[1]) {
			c.apart, c.isLeft = true, true
		} else if c.moving = pureNow(n.args[1]); c.moving != nil && !hasNow(n.args[0]) {
			c.apart = true
		}
	}
	c.turn = turnOf(n)
	return c
}

// turnOf returns the Turn of an atom that compares a leaf with a number, but
// for how it comes out.
func turnOf(n *node) Turn {
	switch n.kind {
	case kindLess, kindAtMost, kindMore, kindAtLeast, kindEqual:
	default:
		return Turn{}
	}
	kind, leaf, limit := n.kind, n.args[0], n.args[1]
	if leaf.kind == kindLiteral {
		kind, leaf, limit = mirrored(kind), limit, leaf
	}
	number := limit.kind == kindLiteral && limit.value.Kind() == rapport.KindNumber
	if !number || leaf.kind != kindPerformed && leaf.kind != kindPath {
		return Turn{}
	}
	than, _ := limit.value.Number()
	return Turn{kind: kind, than: than}
}

// slopeOf returns how fast a node that is linear in now.unix rises with it, if
// that can be told beforehand.
func slopeOf(n *node) (slope float64, ok bool) {
	constant := func(n *node) (float64, bool) {
		switch n.kind {
		case kindLiteral:
			return n.value.Number()
		case kindDuration:
			return n.duration.Std().Seconds(), true
		}
		return 0, false
	}
	switch n.kind {
	case kindNow:
		return 1, n.name == "unix"
	case kindAdd, kindSubtract:
		x, ok1 := slopeOf(n.args[0])
		y, ok2 := slopeOf(n.args[1])
		if n.kind == kindSubtract {
			y = -y
		}
		return x + y, ok1 && ok2
	case kindNegate:
		x, ok := slopeOf(n.args[0])
		return -x, ok
	case kindMultiply, kindDivide:
		x, ok1 := slopeOf(n.args[0])
		y, ok2 := slopeOf(n.args[1])
		if !ok1 || !ok2 || x == 0 && y == 0 {
			return 0, ok1 && ok2
		}
		of, by := x, n.args[1]
		if x == 0 {
			of, by = y, n.args[0]
		}
		c, ok := constant(by)
		if n.kind == kindDivide {
			c = 1 / c
		}
		return of * c, ok
	}
	return 0, true // without now: isAffine made sure
}

// isAffine reports whether n orders two things that are linear in now.unix.
func isAffine(n *node) bool {
	switch n.kind {
	case kindLess, kindAtMost, kindMore, kindAtLeast:
		return linear(n.args[0]) && linear(n.args[1])
	}
	return false
}

func hasNow(n *node) bool {
	found := false
	n.walk(func(m *node) bool { found = found || m.kind == kindNow; return true })
	return found
}

// pureNow compiles a side that is made of now.unix and constants alone, as
// compileNumber would; nil if it is not.
func pureNow(n *node) func(unix float64) float64 {
	constant := func(x float64) func(float64) float64 { return func(float64) float64 { return x } }
	switch n.kind {
	case kindNow:
		if n.name == "unix" {
			return func(unix float64) float64 { return unix }
		}
	case kindDuration:
		return constant(n.duration.Std().Seconds())
	case kindLiteral:
		if x, ok := n.value.Number(); ok {
			return constant(x)
		}
	case kindAdd, kindSubtract:
		f, g := pureNow(n.args[0]), pureNow(n.args[1])
		if f == nil || g == nil {
			return nil
		}
		if n.kind == kindAdd {
			return func(unix float64) float64 { return f(unix) + g(unix) }
		}
		return func(unix float64) float64 { return f(unix) - g(unix) }
	}
	return nil
}

func linear(n *node) bool {
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
		if holds, last = !c.all, max(last, t); last == never {
			return holds, never
		}
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
				if s, ok := env.(Scored); ok {
					if t, known := s.NextScore(leaf.path); known {
						later(t)
						continue
					}
				}
				if !env.Value(Scores, leaf.path).IsNull() {
					later(env.Now().Add(scoresAge).UnixMilli())
				}
				continue
			}
			if timed == nil {
				continue
			}
			var matters Turn
			switch {
			case alone && c.turn.kind != 0:
				matters = c.turn
				matters.holds = holds
			case alone:
				s := &shifted{Env: env, leaf: leaf}
				matters.fn = func(v rapport.Value) bool { s.value = v; return c.holds(s, noItem) != holds }
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
	if part == "unix" && c.straight {
		if at, ok := c.crossing(env, holds); ok {
			return at
		}
	}
	var now time.Time
	if part == "unix" { // the zone does not matter
		now = time.UnixMilli(unixMilli(env)).UTC()
	} else {
		now = env.Now()
	}
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

// crossing is nowFlips for a straight atom, where that can be told from the
// lines alone.
func (c *clock) crossing(env Env, holds bool) (at int64, ok bool) {
	x, ok1 := c.left(env, noItem)
	y, ok2 := c.right(env, noItem)
	if !ok1 || !ok2 || c.slope == 0 {
		return 0, true // what is missing is missing at any time
	}
	if max(math.Abs(x), math.Abs(y)) > 1e13 {
		return 0, false // rounding moves the crossing
	}
	seconds := (y - x) / c.slope
	if seconds < -0.01 || seconds > maxDuration.Std().Seconds()+1 {
		return 0, true
	}
	if !c.apart {
		return 0, false
	}
	now := unixMilli(env)
	differs := func(ms int64) bool {
		m := c.moving(float64(now+ms) / 1000)
		if c.isLeft {
			return compareNumbers(c.kind, m, y) != holds
		}
		return compareNumbers(c.kind, x, m) != holds
	}
	guess := int64(math.Ceil(seconds * 1000))
	for ms := max(guess-1, 1); ms <= guess+1; ms++ {
		if differs(ms) {
			if ms > 1 && differs(ms-1) {
				return 0, false
			}
			return now + ms, true
		}
	}
	return 0, false
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

// UnixMilli implements [Moment].
func (s *shifted) UnixMilli() int64 {
	if !s.now.IsZero() {
		return s.now.UnixMilli()
	}
	return unixMilli(s.Env)
}

// NumItems implements [Owner].
func (s *shifted) NumItems() int {
	_, n := itemsOf(s.Env)
	return n
}

// ItemValue implements [Owner].
func (s *shifted) ItemValue(i int, path []string) rapport.Value { return itemValue(s.Env, i, path) }
