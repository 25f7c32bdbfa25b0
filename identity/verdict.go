package identity

import (
	"fmt"
	"slices"

	"github.com/rapport-engine/rapport"
)

// graph is the evidence about some people: whole persons, and every link of
// theirs that was not withdrawn.
type graph struct {
	nodes []rapport.ID // sorted
	links []Link       // sorted by id
	junk  map[rapport.ID]bool
	first map[LinkID]rapport.ID // of Device links: the device's first interval
}

// verdict is what the evidence says.
type verdict struct {
	junk   []Quarantine    // found to be junk now
	counts map[LinkID]bool // the links that count
	parts  [][]rapport.ID  // the persons
}

// weigh says which links count. It is a function of the evidence and the rules
// alone, never of the order in which evidence came or of what counted before:
//
//   - A value seen with more people than its kind allows is junk, and so is an
//     identifier that brings together too many values. No link through junk counts.
//   - Alias and manual links always count: somebody said so. Probable links count
//     if they are as sure as the rules ask, and may be let unite user ids as well.
//   - Two user ids are two people unless somebody said otherwise. What lies between
//     them goes with the nearer; what is as near to both belongs to neither.
func (r *Rules) weigh(g *graph) verdict {
	w := weighing{rules: r, graph: g, at: make(map[rapport.ID]int, len(g.nodes))}
	for i, n := range g.nodes {
		w.at[n] = i
	}
	for i := range g.links {
		if l := &g.links[i]; w.usable(l) {
			w.links = append(w.links, l)
		}
	}
	w.supersede()
	w.findJunk()
	w.links = slices.DeleteFunc(w.links, func(l *Link) bool { return w.through(l) })
	w.label()
	return w.verdict()
}

type weighing struct {
	rules *Rules
	graph *graph
	at    map[rapport.ID]int
	links []*Link
	found []Quarantine
	junk  map[rapport.ID]bool // found
	whose []int               // label of each node: 0 nobody's, -1 contested, else 1 + a group
	group []int               // explicit groups
}

// explicit reports whether somebody said that the ends of a link are one.
func explicit(k Kind) bool { return k == Alias || k == Manual }

// unites reports whether a link makes one person even of two user ids: somebody
// said so, or they resemble each other so much that the rules say so.
func (r *Rules) unites(l *Link) bool { return explicit(l.Kind) || r.resembling().says(l) }

func (w *weighing) usable(l *Link) bool {
	if w.graph.junk[l.A] || w.graph.junk[l.B] || w.graph.junk[w.graph.first[l.ID]] {
		return false
	}
	switch l.Kind {
	case Verified:
		return !w.rules.of(l.Identifiers[0].Kind).weak
	case Probable:
		return w.rules.resembling().counts(l)
	}
	return true
}

// supersede leaves out links of values that came with somebody else so much
// later that they were given out again.
func (w *weighing) supersede() {
	newest := make(map[rapport.ID]*Link)
	for _, l := range w.links {
		if n := newest[l.A]; l.Kind == Verified && (n == nil || l.At > n.At) {
			newest[l.A] = l
		}
	}
	w.links = slices.DeleteFunc(w.links, func(l *Link) bool {
		window := w.rules.of(l.Identifiers[0].Kind).window
		return l.Kind == Verified && window > 0 && newest[l.A].B != l.B && newest[l.A].At-l.At > window
	})
}

// findJunk finds what is seen with too many people, and what brings too many values together.
func (w *weighing) findJunk() {
	w.junk = make(map[rapport.ID]bool)
	owners := make(map[rapport.ID][]rapport.ID) // value or device: who it was seen with
	name := make(map[rapport.ID]rapport.Identifier)
	type kindOf struct {
		node rapport.ID
		kind string
	}
	values := make(map[kindOf]int)
	for _, l := range w.links {
		switch l.Kind {
		case Verified:
			owners[l.A] = append(owners[l.A], l.B)
			name[l.A], name[l.B] = l.Identifiers[0], l.Identifiers[1]
			values[kindOf{l.B, l.Identifiers[0].Kind}]++
		case Device:
			first := w.graph.first[l.ID]
			owners[first] = append(owners[first], l.B)
			name[first] = l.Identifiers[0]
		}
	}
	suspects := make(map[rapport.ID]bool)
	for v, list := range owners {
		slices.SortFunc(list, rapport.ID.Compare)
		owners[v] = slices.Compact(list)
		if limit := w.rules.of(name[v].Kind).people; limit > 0 && len(owners[v]) > limit {
			suspects[v] = true
		}
	}
	if len(suspects) > 0 { // how many people they are without the suspects
		up := newForest(len(w.graph.nodes))
		for _, l := range w.links {
			if !suspects[l.A] && !suspects[l.B] && !(l.Kind == Device && suspects[w.graph.first[l.ID]]) {
				up.join(w.at[l.A], w.at[l.B])
			}
		}
		for v := range suspects {
			people := make(map[int]bool)
			for _, o := range owners[v] {
				people[up.root(w.at[o])] = true
			}
			if limit := w.rules.of(name[v].Kind).people; len(people) > limit {
				w.found = append(w.found, Quarantine{Node: v, Identifier: name[v], People: len(people), Reason: fmt.Sprintf("seen with %d people, at most %d may share it", len(people), limit)})
			}
		}
	}
	for k, n := range values {
		if limit := w.rules.of(k.kind).values; limit > 0 && n > limit {
			w.found = append(w.found, Quarantine{Node: k.node, Identifier: name[k.node], People: n, Reason: fmt.Sprintf("brings together %d values of kind %s, at most %d are one person's", n, k.kind, limit)})
		}
	}
	for node, n := range name {
		if w.rules.of(n.Kind).blocks(n.Value) {
			w.found = append(w.found, Quarantine{Node: node, Identifier: n, People: len(owners[node]), Reason: "the rules of " + n.Kind + " block it"})
		}
	}
	slices.SortFunc(w.found, func(a, b Quarantine) int { return a.Node.Compare(b.Node) })
	w.found = slices.CompactFunc(w.found, func(a, b Quarantine) bool { return a.Node == b.Node })
	for _, q := range w.found {
		w.junk[q.Node] = true
	}
}

// through reports whether a link goes through junk found now.
func (w *weighing) through(l *Link) bool {
	return w.junk[l.A] || w.junk[l.B] || l.Kind == Device && w.junk[w.graph.first[l.ID]]
}

// label says of each node which user, or users united by somebody, it is nearest to.
func (w *weighing) label() {
	n := len(w.graph.nodes)
	groups := newForest(n)
	for _, l := range w.links {
		if w.rules.unites(l) {
			groups.join(w.at[l.A], w.at[l.B])
		}
	}
	w.group, w.whose = make([]int, n), make([]int, n)
	near := make([][]int, n) // by group
	for i := range n {
		w.group[i] = groups.root(i)
	}
	for _, l := range w.links {
		if a, b := w.group[w.at[l.A]], w.group[w.at[l.B]]; a != b {
			near[a], near[b] = append(near[a], b), append(near[b], a)
		}
	}
	label := make([]int, n) // by group
	var front []int
	for i, id := range w.graph.nodes {
		if g := w.group[i]; id.Rank() == rapport.RankUserID && !w.junk[id] && !w.graph.junk[id] && label[g] == 0 {
			label[g] = g + 1
			front = append(front, g)
		}
	}
	for len(front) > 0 {
		reached := make(map[int]int)
		var next []int
		for _, g := range front {
			for _, o := range near[g] {
				if label[o] != 0 {
					continue
				}
				if l, ok := reached[o]; !ok {
					reached[o] = label[g]
					next = append(next, o)
				} else if l != label[g] {
					reached[o] = -1
				}
			}
		}
		for g, l := range reached {
			label[g] = l
		}
		front = next
	}
	for i := range n {
		w.whose[i] = label[w.group[i]]
	}
}

func (w *weighing) verdict() verdict {
	v := verdict{junk: w.found, counts: make(map[LinkID]bool)}
	people := newForest(len(w.graph.nodes))
	for _, l := range w.links {
		a, b := w.at[l.A], w.at[l.B]
		if w.rules.unites(l) || w.whose[a] == w.whose[b] {
			v.counts[l.ID] = true
			people.join(a, b)
		}
	}
	place := make(map[int]int)
	for i, id := range w.graph.nodes {
		root := people.root(i)
		p, ok := place[root]
		if !ok {
			p = len(v.parts)
			place[root] = p
			v.parts = append(v.parts, nil)
		}
		v.parts[p] = append(v.parts[p], id)
	}
	return v
}

// forest is a union-find over numbers.
type forest []int

func newForest(n int) forest {
	f := make(forest, n)
	for i := range f {
		f[i] = i
	}
	return f
}

func (f forest) root(i int) int {
	for f[i] != i {
		f[i] = f[f[i]]
		i = f[i]
	}
	return i
}

func (f forest) join(a, b int) {
	if a, b = f.root(a), f.root(b); a != b {
		f[max(a, b)] = min(a, b)
	}
}
