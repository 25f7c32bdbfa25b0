package identity

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rapport-engine/rapport"
)

// standing says how firmly a value is in quarantine.
type standing uint8

const (
	free standing = iota
	// provisional: the rules found it. What is seen with it goes on being
	// recorded, as links that are held, and lifts the quarantine if the rules say so.
	provisional
	// final: somebody put it there, or it was seen with so many that no more is
	// recorded. It names nobody, until somebody releases it or the rules change.
	final
)

// enough is how many people (or values) may be recorded of a value of which at
// most limit are allowed: with more it is junk for good.
func enough(limit int) int { return max(16, 4*limit) }

// value is an identifier or a device, as far as it may be junk.
type value struct {
	given   bool         // it is junk whatever the evidence says
	suspect bool         // it is seen with more identifiers than people may share it
	owners  []rapport.ID // whom it was seen with, sorted
	judged  bool
	found   *Quarantine // by the rules; nil: it is no junk, or not judged yet
}

// value reads what is seen with a value.
func (e *reading) value(v end) (*value, error) {
	if known := e.values[v.id]; known != nil {
		return known, nil
	}
	out := &value{given: e.given(v.id)}
	e.values[v.id] = out
	if out.given {
		return out, nil
	}
	rule := e.rules.of(v.name.Kind)
	if rule.blocks(v.name.Value) {
		out.find(v, 0, "the rules of "+v.name.Kind+" block it", true)
		return out, nil
	}
	if isDevice(v.name.Kind) && (rule.people == 0 || int(e.epochs(v.id)) <= rule.people) {
		return out, nil // each interval has one owner
	}
	links, err := e.about(v)
	if err != nil {
		return nil, err
	}
	brought := make(map[string]int)
	for i := range links {
		l := &links[i]
		if l.Kind != Verified && l.Kind != Device {
			continue
		}
		live, err := e.live(l)
		if err != nil {
			return nil, err
		}
		switch {
		case !live:
		case e.ends(l)[0].id == v.id:
			out.owners = append(out.owners, l.B)
		case l.Kind == Verified:
			brought[l.Identifiers[0].Kind]++
		}
	}
	slices.SortFunc(out.owners, rapport.ID.Compare)
	out.owners = slices.Compact(out.owners)
	out.suspect = rule.people > 0 && len(out.owners) > rule.people
	most := ""
	for kind, n := range brought {
		if limit := e.rules.of(kind).values; limit > 0 && n > limit && (most == "" || cmp.Or(cmp.Compare(n, brought[most]), cmp.Compare(most, kind)) > 0) {
			most = kind
		}
	}
	if most != "" {
		n, limit := brought[most], e.rules.of(most).values
		out.find(v, n, fmt.Sprintf("brings together %d values of kind %s, at most %d are one person's", n, most, limit), n > enough(limit))
	}
	return out, nil
}

func (v *value) find(at end, people int, reason string, good bool) {
	v.found = &Quarantine{Node: at.id, Identifier: *at.name, Reason: reason, People: people, By: byRules, final: good}
}

// apart reports whether a value is left out when people are counted.
func (v *value) apart() bool { return v.given || v.suspect || v.found != nil }

// junk reports whether a value is junk. That is a function of the evidence and
// the rules alone, but for what somebody put into quarantine and what is junk for good.
//
// A value is junk if it is seen with more people than its kind allows, as they
// are without all values that might be junk; an identifier that brings together too
// many values; and what the rules block.
func (e *reading) junk(at end) (bool, error) {
	v, err := e.value(at)
	if err != nil || v.given || v.found != nil || !v.suspect || v.judged {
		return err == nil && (v.given || v.found != nil), err
	}
	v.judged = true
	limit := e.rules.of(at.name.Kind).people
	people, err := e.people(v, enough(limit)+1)
	if err == nil && people > limit {
		v.find(at, people, fmt.Sprintf("seen with %d people, at most %d may share it", people, limit), len(v.owners) > enough(limit))
	}
	return v.found != nil, err
}

// people counts how many people a value is seen with, as they are by the
// evidence that does not go through any value that might be junk. If it is most
// or more, it returns most.
func (e *reading) people(v *value, most int) (int, error) {
	g := &graph{live: make(map[LinkID]bool), first: make(map[LinkID]rapport.ID)}
	seen, apart := make(map[rapport.ID]bool), 0
	for _, owner := range v.owners {
		if seen[owner] {
			continue
		}
		if apart++; apart == most {
			return most, nil
		}
		if err := e.flood(g, owner, seen); err != nil {
			return 0, err
		}
	}
	slices.SortFunc(g.nodes, rapport.ID.Compare)
	n := 0
	for _, part := range e.rules.weigh(g).parts {
		if slices.ContainsFunc(part, func(id rapport.ID) bool {
			_, owns := slices.BinarySearchFunc(v.owners, id, rapport.ID.Compare)
			return owns
		}) {
			n++
		}
	}
	return min(n, most), nil
}

// flood adds to a graph whatever evidence leads to from a node.
func (e *reading) flood(g *graph, from rapport.ID, seen map[rapport.ID]bool) error {
	add := func(id rapport.ID) {
		if !seen[id] {
			seen[id] = true
			g.nodes = append(g.nodes, id)
		}
	}
	k := len(g.nodes)
	for add(from); k < len(g.nodes); k++ {
		links, err := e.of(g.nodes[k])
		if err != nil {
			return err
		}
		for i := range links {
			l := &links[i]
			if g.live[l.ID] {
				continue
			}
			joins, err := e.joins(l)
			if err != nil {
				return err
			}
			if !joins || len(seen) >= e.most() && !(seen[l.A] && seen[l.B]) {
				continue
			}
			g.live[l.ID] = true
			g.links = append(g.links, *l)
			add(l.A)
			add(l.B)
		}
	}
	return nil
}

// joins reports whether a link is evidence that does not go through what might be junk.
func (e *reading) joins(l *Link) (bool, error) {
	live, err := e.live(l)
	if err != nil || !live {
		return false, err
	}
	for _, end := range e.ends(l) {
		v, err := e.value(end)
		if err != nil || v.apart() {
			return false, err
		}
	}
	return true, nil
}
