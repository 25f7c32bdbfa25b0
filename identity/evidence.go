package identity

import (
	"slices"

	"github.com/rapport-engine/rapport"
)

// graph is the evidence about some people: whole persons, every link of theirs
// that was not withdrawn, and what the rules find to be junk among them.
type graph struct {
	nodes []rapport.ID // sorted
	links []Link       // sorted by id
	live  map[LinkID]bool
	first map[LinkID]rapport.ID // of Device links: the device's first interval
	// junk are the values through which no link counts; found are those of them
	// that the rules name, clear those the rules named before and do not any more.
	junk  map[rapport.ID]bool
	found []Quarantine // sorted by node
	clear []rapport.ID // sorted
	// left are ends of links of found or clear for which there was no room.
	left []rapport.ID
}

// through reports whether a link goes through junk.
func (g *graph) through(l *Link) bool { return g.junk[l.A] || g.junk[l.B] || g.junk[g.first[l.ID]] }

// evidence collects everything that decides who some nodes are: the persons their
// links lead to, whole, as they are and as they would be by the rules, without any
// quarantine of the values in freed. Junk leads nowhere, and a likeness only if
// it counts. It is called with linking held.
func (r *Resolver) evidence(seeds, freed []rapport.ID, rules *Rules) (*graph, error) {
	e := newReading(r, rules, freed)
	g := &graph{junk: make(map[rapport.ID]bool), first: make(map[LinkID]rapport.ID), live: make(map[LinkID]bool)}
	in, seen, looked := make(map[rapport.ID]bool), make(map[LinkID]bool), make(map[rapport.ID]bool)
	var todo []rapport.ID
	add := func(id rapport.ID) {
		if !in[id] {
			in[id] = true
			todo = append(todo, id)
		}
	}
	room := func() bool { return len(todo) < e.most() }
	look := func(v end) (junk bool, err error) {
		junk, err = e.junk(v)
		if err != nil || looked[v.id] {
			return junk, err
		}
		looked[v.id] = true
		was := e.standing(v.id)
		if junk {
			g.junk[v.id] = true
			if q := e.values[v.id].found; q != nil {
				g.found = append(g.found, *q)
			}
		} else if was == provisional {
			g.clear = append(g.clear, v.id)
		}
		if junk == (was != free) {
			return junk, nil
		}
		links, err := e.about(v) // all of them count, or cease to
		for i := range links {
			for _, id := range [...]rapport.ID{links[i].A, links[i].B} {
				if room() {
					add(id)
				} else if !in[id] {
					g.left = append(g.left, id)
				}
			}
		}
		return junk, err
	}
	for _, id := range seeds {
		add(id)
	}
	for k := 0; k < len(todo); k++ {
		id := todo[k]
		r.mu.RLock()
		members := r.table.memberIDs(id)
		r.mu.RUnlock()
		for _, m := range members {
			add(m)
		}
		links, err := e.of(id)
		if err != nil {
			return nil, err
		}
		if e.standing(id) == provisional { // though no link may name it any more
			if err := e.remembered(id, look); err != nil {
				return nil, err
			}
		}
		for i := range links {
			l := links[i]
			if seen[l.ID] {
				continue
			}
			seen[l.ID] = true
			g.links = append(g.links, l)
			if l.Kind == Device {
				g.first[l.ID] = r.mint1(&l.Identifiers[0])
			}
			if l.Kind == Probable && !rules.resembling().counts(&l) {
				continue
			}
			if g.live[l.ID], err = e.live(&l); err != nil {
				return nil, err
			}
			through := false
			for n, v := range e.ends(&l) {
				junk, err := look(v)
				if err != nil {
					return nil, err
				}
				through = through || junk
				if junk && !e.given(v.id) { // it is weighed along, but leads nowhere
					add([...]rapport.ID{l.A, l.B}[n])
				}
			}
			if !through && room() {
				add(l.A)
				add(l.B)
			}
		}
	}
	g.nodes = todo
	slices.SortFunc(g.nodes, rapport.ID.Compare)
	// A link to somebody who is not here belongs to another weighing.
	g.links = slices.DeleteFunc(g.links, func(l Link) bool { return !in[l.A] || !in[l.B] })
	slices.SortFunc(g.links, func(a, b Link) int { return slices.Compare(a.ID[:], b.ID[:]) })
	slices.SortFunc(g.found, func(a, b Quarantine) int { return a.Node.Compare(b.Node) })
	slices.SortFunc(g.clear, rapport.ID.Compare)
	return g, nil
}

// around returns a value and the ends of all its links.
func (r *Resolver) around(v end) ([]rapport.ID, error) {
	links, err := newReading(r, nil, nil).about(v)
	ids := []rapport.ID{v.id}
	for i := range links {
		ids = append(ids, links[i].A, links[i].B)
	}
	return ids, err
}

// reading is what was read of the journal for one weighing, each node once.
type reading struct {
	r      *Resolver
	rules  *Rules
	freed  []rapport.ID
	links  map[rapport.ID][]Link // of nodes, those that were not withdrawn
	values map[rapport.ID]*value
}

func newReading(r *Resolver, rules *Rules, freed []rapport.ID) *reading {
	return &reading{r: r, rules: rules, freed: freed, links: make(map[rapport.ID][]Link), values: make(map[rapport.ID]*value)}
}

// most is how many nodes are collected, or gone through to count the people of
// a value; the links that lead on from there are another weighing's.
func (e *reading) most() int { return 4 * e.r.o.MaxIdentifiers }

// of returns the links of a node that were not withdrawn.
func (e *reading) of(id rapport.ID) ([]Link, error) {
	if links, ok := e.links[id]; ok {
		return links, nil
	}
	links, err := e.r.journal.of(id)
	if err != nil {
		return nil, err
	}
	links = slices.DeleteFunc(links, func(l Link) bool { return l.Withdrawn != nil })
	e.links[id] = links
	return links, nil
}

// about returns the links of an identifier, or of all intervals of a device.
func (e *reading) about(v end) ([]Link, error) {
	if !isDevice(v.name.Kind) {
		return e.of(v.id)
	}
	var all []Link
	for epoch := range e.epochs(v.id) {
		links, err := e.of(e.r.Mint(v.name.Kind, v.name.Value, epoch))
		if err != nil {
			return nil, err
		}
		all = append(all, links...)
	}
	return all, nil
}

func (e *reading) epochs(device rapport.ID) uint32 {
	e.r.mu.RLock()
	defer e.r.mu.RUnlock()
	if n, ok := e.r.table.find(device); ok {
		return e.r.table.epochs(n)
	}
	return 1
}

// ends returns the two a link is between: of Device links the device and its owner.
func (e *reading) ends(l *Link) [2]end {
	ends := [2]end{{&l.Identifiers[0], l.A}, {&l.Identifiers[1], l.B}}
	if l.Kind == Device {
		ends[0].id = e.r.mint1(&l.Identifiers[0])
	}
	return ends
}

// standing returns how a value is in quarantine now.
func (e *reading) standing(id rapport.ID) standing { return e.r.standing(id) }

func (r *Resolver) standing(id rapport.ID) standing {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.standing(id)
}

// given reports whether a value is junk whatever the evidence says.
func (e *reading) given(id rapport.ID) bool {
	return e.standing(id) == final && !slices.Contains(e.freed, id)
}

// remembered looks at a value that is in quarantine provisionally, by the name
// under which it was put there.
func (e *reading) remembered(id rapport.ID, look func(end) (bool, error)) error {
	entry, found, err := e.r.o.State.Get(key('q', id[:]), nil)
	if err != nil || !found {
		return err
	}
	q, err := decodeQuarantine(id, entry)
	if err != nil {
		return err
	}
	_, err = look(end{&q.Identifier, id})
	return err
}

// usable reports whether a link is evidence by the rules, as far as the
// link itself says.
func (e *reading) usable(l *Link) bool {
	for _, v := range e.ends(l) {
		if e.given(v.id) {
			return false
		}
	}
	switch l.Kind {
	case Verified:
		return !e.rules.of(l.Identifiers[0].Kind).weak
	case Probable:
		return e.rules.resembling().counts(l)
	}
	return true
}

// live reports whether a link is evidence by the rules: usable, and not of a
// value that came with somebody else so much later that it was given out again.
func (e *reading) live(l *Link) (bool, error) {
	if !e.usable(l) {
		return false, nil
	}
	window := e.rules.of(l.Identifiers[0].Kind).window
	if l.Kind != Verified || window <= 0 {
		return true, nil
	}
	links, err := e.of(l.A)
	return err == nil && !slices.ContainsFunc(links, func(o Link) bool {
		return o.Kind == Verified && o.A == l.A && o.B != l.B && o.At-l.At > window && e.usable(&o)
	}), err
}
