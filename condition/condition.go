// Package condition is the one small typed language in which eligibility,
// segments, triggers and journeys say when something holds.
//
// Its canonical form is a typed tree; the text form is what people write. A
// compiled condition is a pure function of its [Env]: it reads no clock and
// allocates nothing. A missing value makes a comparison false, never an error.
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
	Scores
	Context
	Properties // of the event at hand, inside where(...) and triggers
)

// Env is the world a condition is evaluated in. Implementations answer from
// memory: evaluation happens on the hot path.
type Env interface {
	// Value returns the value at a path of a root, or null.
	Value(root Root, path []string) rapport.Value
	// Performed answers an aggregate over the person's events; null if nothing matched and the aggregate has no zero.
	Performed(a *Aggregate) rapport.Value
	// Degree returns membership in a segment in [0,1]: 0 or 1 for live segments.
	Degree(segment string) float64
	// Consent reports whether the purpose (and channel, if not empty) is allowed.
	Consent(purpose, channel string) bool
	// Now returns the time of evaluation in the person's zone.
	Now() time.Time
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
)

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
}

// Expr is a compiled condition.
type Expr interface {
	// Holds evaluates the condition.
	Holds(env Env) bool
	// String returns the canonical text.
	String() string
}
