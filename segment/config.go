// Package segment keeps who is in which segment: membership changes the moment
// an event arrives or time passes.
//
// Guarantees: a person is in a segment exactly while its condition holds for
// them, as of every event acknowledged and every moment passed, but for the
// seconds in which a new definition is filled; what is entered or left because
// of a definition, a merge or imported history is entered silently (the event
// is marked history, or there is none); an event evaluates only the segments it
// can change; time is waited for with one timer per person, never by looking at
// everybody. Entering and leaving are written to the log as events where
// somebody listens; else the person remembers the newest of them.
package segment

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/profile"
)

// Part is the name under which the compiled Config stands in engine.Config.
const Part = "segment"

// Doc is the config document of kind "segment": the people for whom a
// condition holds.
type Doc struct {
	ID   string               `yaml:"id" doc:"Name of the segment: segments.has(\"ID\") in conditions."`
	Name string               `yaml:"name,omitempty" doc:"What people call it."`
	When *condition.Condition `yaml:"when" required:"true" doc:"Who is in it."`
	// Record has entering and leaving written to the log though nothing in the
	// configuration listens.
	Record bool `yaml:"record,omitempty" doc:"Write entering and leaving to the event log, as when a trigger or webhook listens: for what reads the log itself."`
}

// maxSegments bounds how many segments a deployment has.
const maxSegments = 5000

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *Doc) Validate() error {
	var f rapport.Faults
	if len(d.Name) > 200 {
		f.Add("name", "is longer than 200 bytes")
	}
	if d.When.IsZero() {
		f.Add("when", "is missing: who is in the segment?")
	} else if err := d.When.EventFree(); err != nil {
		f.Add("when", "%v", err)
	} else if u := d.When.Uses(); len(u.Context) > 0 {
		f.Add("when", "context.%s is known only while a decision is asked for; a segment holds at any time", u.Context[0])
	}
	return f.Err()
}

// Definition is one compiled segment.
type Definition struct {
	ID   string
	Name string
	// Key is the segment's place in the engine's index.
	Key  uint64
	When *condition.Condition
	// Quiet is set while the definition is being filled: who is found in it or
	// out of it then did nothing for it.
	Quiet bool
	// Told says whether entering and leaving are written to the log as events.
	Told Told

	timeless   bool
	dependents []int // segments whose conditions name this one; they come later
}

// Told says which changes of a segment become events.
type Told struct{ Entered, Left bool }

// Config is the segments in force. It is immutable.
type Config struct {
	defs    []*Definition     // what a segment names comes before it
	shared  *condition.Shared // the conditions of defs
	byID    map[string]*Definition
	places  places
	byEvent map[string]*event
	byTrait map[string][]int
	consent []int
	zone    []int // those that look at the clock on the wall
	every   []int // those that anything may change
	newborn []int // those that a person of whom nothing is known may be in
}

// Documents are what a Config is compiled from.
type Documents struct {
	Segments []Doc
	Profile  *profile.Config // the computed traits in force
	Quiet    func(id string) bool
	// Told says who is listened to; nil: nobody is.
	Told func(id string) Told
}

// Key returns the key of a segment in the engine's index.
func Key(id string) uint64 { return condition.HashID("segment " + id) }

// Compile checks the documents against each other. Kinds: Invalid.
func Compile(docs Documents) (*Config, error) {
	if len(docs.Segments) > maxSegments {
		return nil, rapport.Errorf(rapport.Invalid, "there are %d segments; at most %d are kept", len(docs.Segments), maxSegments)
	}
	ordered, err := order(docs.Segments)
	if err != nil {
		return nil, err
	}
	c := &Config{byID: map[string]*Definition{}, byEvent: map[string]*event{}, byTrait: map[string][]int{}}
	whens := make([]*condition.Condition, len(ordered))
	for i, doc := range ordered {
		whens[i] = doc.When
	}
	c.shared = condition.Share(whens)
	byKey := map[uint64]int{}
	for i, doc := range ordered {
		d := &Definition{ID: doc.ID, Name: doc.Name, Key: Key(doc.ID), When: c.shared.Condition(i), Quiet: docs.Quiet != nil && docs.Quiet(doc.ID)}
		if doc.Record {
			d.Told = Told{true, true}
		} else if docs.Told != nil {
			d.Told = docs.Told(doc.ID)
		}
		d.timeless = d.When.Timeless()
		c.defs = append(c.defs, d)
		c.byID[d.ID], byKey[d.Key] = d, i
		c.index(i, docs.Profile)
	}
	for _, e := range c.byEvent {
		e.sort()
	}
	c.places = newPlaces(byKey)
	return c, nil
}

// places finds segments by their keys, open addressing.
type places struct {
	shift uint
	of    []placed // two for each segment at least
}

type placed struct {
	key uint64
	at  int32 // in defs, + 1; 0 is empty
}

func newPlaces(byKey map[uint64]int) (p places) {
	size := bits.Len(uint(2 * len(byKey)))
	p.shift, p.of = uint(64-size), make([]placed, 1<<size)
	for key, i := range byKey {
		at := p.begin(key)
		for p.of[at].at != 0 {
			at = (at + 1) % uint64(len(p.of))
		}
		p.of[at] = placed{key, int32(i) + 1}
	}
	return p
}

func (p *places) begin(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> p.shift }

// place returns the place in defs of the segment with a key.
func (c *Config) place(key uint64) (int, bool) {
	p := &c.places
	for at := p.begin(key); ; at = (at + 1) % uint64(len(p.of)) {
		switch x := &p.of[at]; {
		case x.at == 0:
			return 0, false
		case x.key == key:
			return int(x.at) - 1, true
		}
	}
}

// index notes what can change a segment.
func (c *Config) index(i int, p *profile.Config) {
	d := c.defs[i]
	u := d.When.Uses()
	add := func(to map[string][]int, key string) {
		if list := to[key]; len(list) == 0 || list[len(list)-1] != i {
			to[key] = append(list, i)
		}
	}
	for _, t := range u.Traits {
		name, _, _ := strings.Cut(t, ".")
		add(c.byTrait, strings.Trim(strings.SplitN(name, "]", 2)[0], `["`))
	}
	for _, q := range questionsOf(d.When, p) {
		c.ask(i, q.Event, q.Where, q.Property, p)
		for _, step := range q.Then {
			c.ask(i, step.Event, step.Where, nil, p)
		}
	}
	for _, s := range u.Segments {
		if d := c.byID[s]; d != nil {
			d.dependents = append(d.dependents, i)
		} else {
			c.every = append(c.every, i) // a soft segment: any event may change it
		}
	}
	if len(u.Purposes) > 0 {
		c.consent = append(c.consent, i)
	}
	if u.Zone {
		c.zone = append(c.zone, i)
	}
	if u.Items || len(u.Scores) > 0 {
		c.every = append(c.every, i)
	}
	stranger := profile.StrangerEnv(p, 0)
	if holds, certain := d.When.Always(stranger); holds || !certain || len(u.Segments) > 0 {
		c.newborn = append(c.newborn, i)
	}
}

// order puts the segments a segment names before it.
func order(docs []Doc) ([]*Doc, error) {
	byID := map[string]*Doc{}
	sorted := make([]*Doc, len(docs))
	for i := range docs {
		sorted[i] = &docs[i]
		byID[docs[i].ID] = &docs[i]
	}
	slices.SortFunc(sorted, func(a, b *Doc) int { return cmp.Compare(a.ID, b.ID) })
	var out []*Doc
	state := map[string]int{} // 1 being visited, 2 done
	var visit func(d *Doc, path []string) error
	visit = func(d *Doc, path []string) error {
		path = append(path, d.ID)
		switch state[d.ID] {
		case 1:
			return rapport.Errorf(rapport.Invalid, "segments name each other in a circle: %s", strings.Join(path[slices.Index(path, d.ID):], " -> "))
		case 2:
			return nil
		}
		state[d.ID] = 1
		for _, s := range d.When.Uses().Segments {
			if n := byID[s]; n != nil {
				if err := visit(n, path); err != nil {
					return err
				}
			}
		}
		state[d.ID] = 2
		out = append(out, d)
		return nil
	}
	for _, d := range sorted {
		if err := visit(d, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Definitions returns the segments in force; what one names comes before it.
func (c *Config) Definitions() []*Definition {
	if c == nil {
		return nil
	}
	return c.defs
}

// Definition returns a segment, or nil.
func (c *Config) Definition(id string) *Definition {
	if c == nil {
		return nil
	}
	return c.byID[id]
}

// Conditions yields the conditions of all segments.
func (c *Config) Conditions() iter.Seq[condition.Expr] {
	return func(yield func(condition.Expr) bool) {
		for _, d := range c.Definitions() {
			if !yield(d.When) {
				return
			}
		}
	}
}
