package condition

import (
	"slices"

	"github.com/rapport-engine/rapport"
)

// Sieve is a list of conditions on events, sorted by the text they require of a
// property: of those that tell events apart by such a text an event is held
// against the ones it can satisfy alone, however many there are. It is immutable.
type Sieve struct {
	free []Passed // nothing is required for these
	by   []required
}

// required are conditions by the text they require at one path.
type required struct {
	path []string
	text map[string][]Passed
}

// Passed is a condition of a Sieve that may hold for an event.
type Passed struct {
	I    int32 // its place in the list
	Sure bool  // it holds
}

// NewSieve sorts conditions; a nil one always holds.
func NewSieve(list []Expr) *Sieve {
	s := &Sieve{}
	for i, e := range list {
		c, _ := e.(*Condition)
		path, texts, sure, ok := requiredText(c)
		if !ok {
			s.free = append(s.free, Passed{int32(i), e == nil || c != nil && c.IsZero()})
			continue
		}
		at := slices.IndexFunc(s.by, func(r required) bool { return slices.Equal(r.path, path) })
		if at < 0 {
			at, s.by = len(s.by), append(s.by, required{path, map[string][]Passed{}})
		}
		for _, text := range texts {
			s.by[at].text[text] = append(s.by[at].text[text], Passed{int32(i), sure})
		}
	}
	return s
}

// requiredText returns the texts one of which the property at path must be, and
// whether the condition says nothing else.
func requiredText(c *Condition) (path, texts []string, sure, ok bool) {
	if c.IsZero() {
		return nil, nil, false, false
	}
	c.tree.walk(func(n *node) bool {
		if n.kind != kindPath || n.root != Properties || ok {
			return !ok && n.kind != kindPerformed
		}
		path = n.path
		if texts, ok = requires(c.tree, Properties, joinPath(path)); ok {
			slices.Sort(texts)
			texts = slices.Compact(texts)
		}
		return !ok
	})
	return path, texts, ok && (c.tree.kind == kindEqual || c.tree.kind == kindIn), ok
}

// Pass appends those of the conditions that may hold for an event with these
// properties, those that do not look at a text first.
func (s *Sieve) Pass(p rapport.Fields, to []Passed) []Passed {
	to = append(to, s.free...)
	for i := range s.by {
		r := &s.by[i]
		v, _ := p.Path(r.path...)
		if text, ok := v.Text(); ok {
			to = append(to, r.text[string(text)]...)
		}
	}
	return to
}
