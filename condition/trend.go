package condition

import "github.com/rapport-engine/rapport"

// Trend says which way an answer, or a condition's result, can go at the
// moment something happens. Of a result, Rises is from false to true at most.
type Trend uint8

// The trends.
const (
	// Stays is not at all.
	Stays Trend = iota
	Rises
	Falls
	// RisesOrAppears is Rises, or from null to any value; FallsOrAppears likewise.
	RisesOrAppears
	FallsOrAppears
	// Varies is any way.
	Varies
)

// Trend returns which way the answer goes when a matching event is folded in
// that is not dated ahead of the moment it is asked for, and whose property, if
// the answer adds up one, is not negative.
func (a *Aggregate) Trend() Trend {
	switch a.Op {
	case Count, Sum, Streak, Decayed:
		return Rises
	case Max:
		return RisesOrAppears
	case Min:
		return FallsOrAppears
	case Last:
		if len(a.Property) == 0 {
			return RisesOrAppears
		}
	case First:
		if len(a.Property) == 0 {
			return FallsOrAppears
		}
	}
	return Varies // averages and values; sequences; sketches, which estimate
}

// Trend returns which way the result can go when the answers go as told and
// nothing else changes. It may be Varies where less is true.
func (c *Condition) Trend(performed func(*Aggregate) Trend, computed func(name string) Trend) Trend {
	if c.IsZero() {
		return Stays
	}
	t := trends{performed, computed}
	return t.of(c.tree)
}

type trends struct {
	performed func(*Aggregate) Trend
	computed  func(name string) Trend
}

// of returns the trend of a truth value.
func (t trends) of(n *node) Trend {
	switch n.kind {
	case kindNot:
		return opposite(t.of(n.args[0]))
	case kindAnd, kindOr:
		all := Stays
		for _, a := range n.args {
			switch of := t.of(a); {
			case of == Stays || of == all:
			case all == Stays:
				all = of
			default:
				return Varies
			}
		}
		return all
	case kindLess, kindAtMost:
		return t.compare(n.args[1], n.args[0])
	case kindMore, kindAtLeast:
		return t.compare(n.args[0], n.args[1])
	}
	return t.anywhere(n)
}

// compare returns the trend of more being above less.
func (t trends) compare(more, less *node) Trend {
	up, down := t.leaf(more), t.leaf(less)
	switch {
	case up == Stays && down == Stays:
		return Stays
	case down == Stays && (up == Rises || up == RisesOrAppears):
		return Rises
	case down == Stays && up == Falls:
		return Falls
	case up == Stays && (down == Falls || down == FallsOrAppears):
		return Rises
	case up == Stays && down == Rises:
		return Falls
	}
	return Varies
}

// leaf returns the trend of a side of a comparison.
func (t trends) leaf(n *node) Trend {
	switch {
	case n.kind == kindPerformed:
		return t.performed(n.agg)
	case n.kind == kindPath && n.root == Computed:
		return t.computed(n.path[0])
	}
	return t.anywhere(n)
}

// anywhere is Varies if anything in n can move.
func (t trends) anywhere(n *node) Trend {
	moves := false
	n.walk(func(m *node) bool {
		moves = moves || (m.kind == kindPerformed || m.kind == kindPath && m.root == Computed) && t.leaf(m) != Stays
		return m.kind != kindPerformed && !moves
	})
	if moves {
		return Varies
	}
	return Stays
}

func opposite(t Trend) Trend {
	switch t {
	case Rises:
		return Falls
	case Falls:
		return Rises
	}
	return t
}

// Limit is a number that an answer is compared with.
type Limit struct {
	Than float64
	// Beyond says that the comparison turns between Than and what is above it;
	// else it turns between Than and what is below.
	Beyond bool
}

// Passed reports whether the comparison turns when the answer rises.
func (l Limit) Passed(from, to float64) bool {
	if l.Beyond {
		return from <= l.Than && to > l.Than
	}
	return from < l.Than && to >= l.Than
}

// Limits returns the numbers above or below which the condition wants an
// answer. It is not ok if the condition asks anything else of that answer.
func (c *Condition) Limits(performed func(*Aggregate) bool, computed func(name string) bool) (limits []Limit, ok bool) {
	if c.IsZero() {
		return nil, true
	}
	is := func(n *node) bool {
		return n.kind == kindPerformed && performed(n.agg) || n.kind == kindPath && n.root == Computed && len(n.path) == 1 && computed(n.path[0])
	}
	ok = true
	c.tree.walk(func(n *node) bool {
		switch n.kind {
		case kindLess, kindAtMost, kindMore, kindAtLeast:
			kind, leaf, than := n.kind, n.args[0], n.args[1]
			if leaf.kind == kindLiteral {
				kind, leaf, than = mirrored(kind), than, leaf
			}
			if is(leaf) && than.kind == kindLiteral && than.value.Kind() == rapport.KindNumber {
				x, _ := than.value.Number()
				limits = append(limits, Limit{x, kind == kindMore || kind == kindAtMost})
				return false
			}
		case kindPerformed, kindPath:
			ok = ok && !is(n)
			return false
		}
		return true
	})
	return limits, ok
}
