// Package condition is the one small typed language in which eligibility,
// segments, triggers and journeys say when something holds.
//
// Its canonical form is a typed tree; the text form is what people write. A
// compiled condition is a pure function of its [Env]: it reads no clock,
// allocates nothing and may be used by any number of goroutines. A missing
// value makes a comparison false, never an error. Size, depth and cost of a
// condition are bounded when it is parsed, so evaluation is bounded too.
package condition

import (
	"time"

	"github.com/rapport-engine/rapport"
)

// Root is a family of values a condition can name.
type Root uint8

// The roots.
const (
	Traits Root = iota + 1
	Computed
	Scores // numbers only
	Context
	Properties // of the event at hand, inside where(...) and triggers
)

var rootNames = [...]string{"", "traits", "computed", "scores", "context", "properties"}

// String returns the root as conditions write it.
func (r Root) String() string {
	if int(r) < len(rootNames) {
		return rootNames[r]
	}
	return ""
}

// Env is the world a condition is evaluated in. Implementations answer from
// memory: evaluation happens on the hot path. An Env may also be an [Owner].
type Env interface {
	// Value returns the value at a path of a root, or null.
	Value(root Root, path []string) rapport.Value
	// Performed answers an aggregate over the person's events: a number, or
	// any value for First and Last of a property; null if nothing matched and
	// the aggregate has no zero.
	Performed(a *Aggregate) rapport.Value
	// Degree returns membership in a segment in [0,1]: 0 or 1 for live segments.
	Degree(segment string) float64
	// Consent reports whether the purpose (and channel, if not empty) is allowed.
	Consent(purpose, channel string) bool
	// Now returns the time of evaluation in the person's zone.
	Now() time.Time
}

// Owner is an optional ability of an [Env]: it knows the product items of the
// person. Without it items.any(...) is false and items.count(...) is 0.
type Owner interface {
	// NumItems returns how many items the person owns.
	NumItems() int
	// ItemValue returns the value at a path of the i-th item (from 0), or null.
	ItemValue(i int, path []string) rapport.Value
}

// Moment is an optional ability of an [Env]: it tells the time of evaluation
// without having to know the person's zone.
type Moment interface {
	// UnixMilli returns Now in Unix milliseconds.
	UnixMilli() int64
}

// Op is an aggregate function over matching events.
type Op string

// The aggregate functions.
const (
	Count    Op = "count"
	Sum      Op = "sum"
	Avg      Op = "avg"
	Min      Op = "min"
	Max      Op = "max"
	First    Op = "first"
	Last     Op = "last"
	Distinct Op = "distinct"
	// Happened is a truth value: whether it happened at all, in its sequence.
	Happened Op = "happened"
)

// Functions that only computed traits ask for; conditions read their answers as computed.x.
const (
	// Top is a list of the values seen most often, most frequent first.
	Top Op = "top"
	// Streak is how many stretches (of Unit) in a row up to now had an event.
	Streak Op = "streak"
	// Decayed is the sum of Property (1 each without), halved every HalfLife.
	Decayed Op = "decayed"
)

// Step is one event of a sequence.
type Step struct {
	Event string
	Where Expr // over Properties; nil takes all
}

// MaxSteps bounds the events of a sequence, the first included.
const MaxSteps = 4

// Aggregate is one question about the past: of the events called Event that
// match Where, over the last Within (0 is for ever), the Op of Property. Equal
// aggregates have equal IDs, so their state is kept once.
type Aggregate struct {
	ID       string // canonical text
	Event    string
	Where    Expr // over Properties; nil takes all
	Within   rapport.Duration
	Op       Op
	Property []string // path; empty for Count; for First and Last empty means the time (Unix seconds)
	// Then are the events that must follow, one after the other, all in the
	// window; Op is Happened. With Absent, the last of them must not have
	// followed the latest of what is before it.
	Then   []Step
	Absent bool
	// Key is a hash of ID, so that whoever maintains aggregates finds its state
	// without hashing.
	Key uint64
	// Slot is free for whoever evaluates conditions.
	Slot int

	// Of computed traits alone.

	// Calendar is the window of calendar time instead of Within: day, week,
	// month, quarter or year; Ago counts whole ones back; in Zone (nil is UTC).
	Calendar string
	Ago      int
	Zone     *time.Location
	K        int              // of Top
	HalfLife rapport.Duration // of Decayed
	Unit     rapport.Duration // of Streak
}

// HashID returns the Key of an aggregate's ID (FNV-1a, 64 bits).
func HashID(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return h
}

// Expr is a compiled condition.
type Expr interface {
	// Holds evaluates the condition.
	Holds(env Env) bool
	// String returns the canonical text.
	String() string
}

var _ Expr = (*Condition)(nil)

// Limits of a condition.
const (
	MaxText    = 16 << 10 // bytes of text
	MaxNodes   = 1000     // nodes of the tree
	MaxDepth   = 64       // nesting of the tree
	MaxCost    = 20_000   // upper bound of one evaluation; a comparison costs about 3
	MaxPattern = 256      // bytes of a regular expression
	MaxSubject = 1024     // bytes of a text matched against one; a longer text does not match
)

// Condition is a parsed, checked and compiled condition. It is immutable. The
// zero Condition always holds and has the text "true".
type Condition struct {
	tree       *node
	text       string // as written
	holds      boolFunc
	aggregates []*Aggregate
	clock      *clock // nil: time alone does not change it
	parts      []part // of a Shared that joins by &&
}

// Parse reads the text form. An error has kind Invalid and wraps a
// [*SyntaxError] that points at the token.
func Parse(text string) (*Condition, error) {
	n, err := parseText(text)
	if err != nil {
		return nil, err
	}
	return build(n, text)
}

// build checks and compiles a tree. text is where positions refer to.
func build(n *node, text string) (*Condition, error) {
	if err := checkTree(n, text); err != nil {
		return nil, err
	}
	c := &Condition{tree: n, text: text}
	c.aggregates = gatherAggregates(n)
	c.holds, c.clock = compileBool(n), clockOf(n)
	return c, nil
}

// Holds evaluates the condition.
func (c *Condition) Holds(env Env) bool {
	if c == nil || c.holds == nil {
		return true
	}
	if len(c.parts) > 0 {
		if m, ok := env.(*Memo); ok {
			return m.hold(c.parts)
		}
	}
	return c.holds(env, noItem)
}

// String returns the canonical text: it parses to the same tree.
func (c *Condition) String() string {
	if c == nil || c.tree == nil {
		return "true"
	}
	return c.tree.String()
}

// Text returns the text the condition was parsed from, or the canonical one if it came as a tree.
func (c *Condition) Text() string {
	if c == nil || c.text == "" {
		return c.String()
	}
	return c.text
}

// IsZero reports whether nothing was written, so that the condition always holds.
func (c *Condition) IsZero() bool { return c == nil || c.tree == nil }

// Equal reports whether two conditions have the same tree.
func (c *Condition) Equal(o *Condition) bool { return c.String() == o.String() }

// Aggregates returns the questions about the past that the condition asks,
// each once, in order of appearance. They must not be changed.
func (c *Condition) Aggregates() []*Aggregate {
	if c == nil {
		return nil
	}
	return c.aggregates
}

// MarshalText returns the text as written.
func (c *Condition) MarshalText() ([]byte, error) { return []byte(c.Text()), nil }

// UnmarshalText parses the text form.
func (c *Condition) UnmarshalText(b []byte) error {
	parsed, err := Parse(string(b))
	if err != nil {
		return err
	}
	*c = *parsed
	return nil
}

// Uses lists the names a condition refers to, each once, sorted. Paths are
// written as in the text ("traits.address.city" is listed as "address.city").
type Uses struct {
	Traits, Computed, Scores, Context []string
	// Properties are those of the event at hand; those inside where(...) are not among them.
	Properties []string
	Events     []string // names in performed(...)
	Segments   []string
	Purposes   []string // of consent
	Items      bool     // the person's items
	Zone       bool     // the person's time zone: now.* but for now.unix
	Time       bool     // the result can change as time passes: now.*, within(...)
}

// EventFree returns an Invalid error that points at the first use of
// properties outside where(...), for conditions that are asked without an
// event at hand.
func (c *Condition) EventFree() error {
	if c.IsZero() {
		return nil
	}
	var at *node
	c.tree.walk(func(n *node) bool {
		if n.kind == kindPath && n.root == Properties && at == nil {
			at = n
		}
		return n.kind != kindPerformed
	})
	if at == nil {
		return nil
	}
	return syntaxError(c.text, at.at, `here is no event whose properties could be read; use them inside performed("...").where(...)`)
}
