package identity

import "github.com/rapport-engine/rapport"

// verdict is what the evidence says.
type verdict struct {
	counts map[LinkID]bool // the links that count
	parts  [][]rapport.ID  // the persons
}

// weigh says which links count. It is a function of the evidence and the rules
// alone, never of the order in which evidence came or of what counted before:
//
//   - No link through junk counts; see [reading.junk].
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
		if l := &g.links[i]; g.live[l.ID] && !g.through(l) {
			w.links = append(w.links, l)
		}
	}
	w.label()
	return w.verdict()
}

type weighing struct {
	rules *Rules
	graph *graph
	at    map[rapport.ID]int
	links []*Link // those that may count
	whose []int   // label of each node: 0 nobody's, -1 contested, else 1 + a group
	group []int   // explicit groups
}

// explicit reports whether somebody said that the ends of a link are one.
func explicit(k Kind) bool { return k == Alias || k == Manual }

// unites reports whether a link makes one person even of two user ids: somebody
// said so, or they resemble each other so much that the rules say so.
func (r *Rules) unites(l *Link) bool { return explicit(l.Kind) || r.resembling().says(l) }

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
		if g := w.group[i]; id.Rank() == rapport.RankUserID && !w.graph.junk[id] && label[g] == 0 {
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
	v := verdict{counts: make(map[LinkID]bool)}
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
