package segment

import (
	"cmp"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/profile"
)

// mostTurns bounds how often time alone is followed in one life.
const mostTurns = 20_000

// Past tells who was in some segments before they were defined.
type Past struct {
	c       *Config
	wanted  map[int]bool
	asked   []int // wanted and all they name, those named first
	unknown map[string]string
}

// NewPast returns the past of the segments with these ids.
func (c *Config) NewPast(ids []string) *Past {
	p := &Past{c: c, wanted: map[int]bool{}, unknown: map[string]string{}}
	named := map[int]bool{}
	why := make([]string, len(c.defs)) // the past cannot be told
	for i, d := range c.defs {
		u := d.When.Uses()
		switch {
		case len(u.Scores) > 0:
			why[i] = "it asks for scores, whose past is not kept"
		case u.Items:
			why[i] = "it asks for items, whose past owners are not kept"
		}
		for _, name := range u.Segments {
			if at := slices.IndexFunc(c.defs, func(o *Definition) bool { return o.ID == name }); at < 0 {
				why[i] = "it asks for " + name + ", whose past degrees are not kept"
			} else if why[at] != "" {
				why[i] = "it asks for " + name + ": " + why[at]
			}
		}
	}
	for i := len(c.defs) - 1; i >= 0; i-- { // what a segment names comes before it
		d := c.defs[i]
		if slices.Contains(ids, d.ID) {
			if why[i] != "" {
				p.unknown[d.ID] = why[i]
				continue
			}
			p.wanted[i], named[i] = true, true
		}
		if named[i] {
			p.asked = append(p.asked, i)
			for _, name := range d.When.Uses().Segments {
				if at, ok := c.place(Key(name)); ok {
					named[at] = true
				}
			}
		}
	}
	slices.Reverse(p.asked)
	return p
}

// Unknown returns why the past of a segment cannot be told, or nothing.
func (p *Past) Unknown(id string) string { return p.unknown[id] }

// Known returns the segments whose past can be told.
func (p *Past) Known() (ids []string) {
	for _, i := range p.asked {
		if p.wanted[i] {
			ids = append(ids, p.c.defs[i].ID)
		}
	}
	return ids
}

// BecameKnown returns when an event counted, Unix ms: when it was received, or
// when it happened if it was imported as history.
func BecameKnown(e *rapport.Event) int64 {
	if e.History {
		return e.Timestamp
	}
	return e.ReceivedAt
}

// Changes goes through the life of one person, whose events these are, up to
// now (Unix ms) and tells when they entered and left the segments, oldest first.
func (p *Past) Changes(events []rapport.Event, questions *profile.Config, zones *profile.Zones, now int64) (changes []Change) {
	slices.SortStableFunc(events, func(a, b rapport.Event) int { return cmp.Compare(BecameKnown(&a), BecameKnown(&b)) })
	person := profile.NewLived(questions, zones)
	in := map[int]bool{}
	person.Segments = func(_ *profile.Env, id string) (bool, bool) {
		at, ok := p.c.place(Key(id))
		return ok && in[at], true
	}
	look := func() (next int64) {
		for _, i := range p.asked {
			d := p.c.defs[i]
			holds, due := d.When.Look(person)
			if due != 0 {
				next = earlier(next, max(due, person.At()+1))
			}
			if holds != in[i] {
				if in[i] = holds; p.wanted[i] {
					changes = append(changes, Change{d.Key, person.At(), holds})
				}
			}
		}
		return next
	}
	due, turns := int64(0), 0
	wait := func(until int64) {
		for ; due != 0 && due <= until && turns < mostTurns; turns++ {
			person.Pass(due)
			due = look()
		}
		person.Pass(until)
	}
	for i := range events {
		wait(BecameKnown(&events[i]))
		person.Apply(&events[i])
		due = look()
	}
	wait(now)
	return changes
}
