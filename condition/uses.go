package condition

import (
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
)

// Uses returns the names the condition refers to.
func (c *Condition) Uses() Uses {
	var u Uses
	if c.IsZero() {
		return u
	}
	c.tree.walk(func(n *node) bool {
		switch n.kind {
		case kindPath:
			list := map[Root]*[]string{Traits: &u.Traits, Computed: &u.Computed, Scores: &u.Scores, Context: &u.Context, Properties: &u.Properties}[n.root]
			*list = append(*list, joinPath(n.path))
		case kindPerformed:
			u.Events = append(u.Events, n.event)
			for _, s := range n.steps {
				u.Events = append(u.Events, s.event)
			}
			u.Time = u.Time || n.duration > 0
			return false
		case kindSegment, kindDegree:
			u.Segments = append(u.Segments, n.name)
		case kindConsent:
			u.Purposes = append(u.Purposes, n.name)
		case kindAnyItem, kindCountItem:
			u.Items = true
		case kindNow:
			u.Time, u.Zone = true, u.Zone || n.name != "unix"
		}
		return true
	})
	for _, list := range []*[]string{&u.Traits, &u.Computed, &u.Scores, &u.Context, &u.Properties, &u.Events, &u.Segments, &u.Purposes} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return u
}

// Named is a name a condition refers to that only the deployment knows.
type Named struct {
	Kind string // "segment", "degree" (of a segment) or "computed"
	Name string
	// Offset is where it stands in the text, in bytes.
	Offset int
}

// Named returns the segments and computed traits the condition refers to, in
// order of place, so that unknown ones can be pointed at.
func (c *Condition) Named() []Named {
	var list []Named
	if c.IsZero() {
		return nil
	}
	c.tree.walk(func(n *node) bool {
		switch {
		case n.kind == kindSegment:
			list = append(list, Named{"segment", n.name, n.at})
		case n.kind == kindDegree:
			list = append(list, Named{"degree", n.name, n.at})
		case n.kind == kindPath && n.root == Computed:
			list = append(list, Named{"computed", n.path[0], n.at})
		}
		return n.kind != kindPerformed
	})
	return list
}

// EventEnv is the [Env] of one event alone, for the Where of an [Aggregate].
// One may be reused for many events by setting Properties.
type EventEnv struct {
	NoEnv
	Properties rapport.Fields
}

// Value returns a property of the event; other roots are empty.
func (e *EventEnv) Value(root Root, path []string) rapport.Value {
	if root != Properties {
		return rapport.Value{}
	}
	v, _ := e.Properties.Path(path...)
	return v
}

// NoEnv is the [Env] that knows nothing: every value is missing. It is embedded
// by environments that know some things.
type NoEnv struct{}

// Value returns null.
func (NoEnv) Value(Root, []string) rapport.Value { return rapport.Value{} }

// Performed returns null, as if it were not known whether anything happened.
func (NoEnv) Performed(*Aggregate) rapport.Value { return rapport.Value{} }

// Degree returns 0.
func (NoEnv) Degree(string) float64 { return 0 }

// Consent returns false.
func (NoEnv) Consent(string, string) bool { return false }

// Now returns the Unix epoch.
func (NoEnv) Now() time.Time { return time.Unix(0, 0).UTC() }
