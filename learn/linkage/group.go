package linkage

import (
	"cmp"
	"slices"
)

// How a component is grouped. Scores are bounded before they are averaged, so
// that one overwhelming pair cannot drag strangers in behind it.
const (
	boundScore = 15
	stricter   = 3  // bits by which the threshold rises while a component is too large
	strictest  = 45 // bits above the threshold at which it is taken as it is
)

// grouping is the working memory of regroup.
type grouping struct {
	nodes  []uint32
	score  []float32 // of pairs of groups: the sum over their pairs
	size   []int32
	home   []int32 // group of each node
	groups []int32 // that are left
}

// regroup groups the component of a record anew: the records that hang together
// with it by scores at the threshold. Groups are joined while the mean score of
// their pairs is at the threshold, the surest first (average linkage), so that a
// chain of near misses does not make one person of many. The outcome depends on
// the records of the component alone, not on the order in which they came.
func (x *Index) regroup(id uint32) {
	w := &x.work
	for extra := float32(0); ; extra += stricter {
		if x.component(id, float32(x.o.Threshold)+extra) {
			break
		}
		if extra >= strictest {
			w.nodes = w.nodes[:1] // nothing tells them apart
			x.touched = append(x.touched, id)
			x.follow(id)
			return
		}
	}
	x.touched = append(x.touched, w.nodes...)
	if len(w.nodes) < 2 {
		return
	}
	slices.SortFunc(w.nodes, func(a, b uint32) int { // an order that arrival does not change
		return cmp.Compare(x.records.at(a), x.records.at(b))
	})
	x.average()
	x.assign()
}

// component collects the records that hang together with id. It reports false if they are too many.
func (x *Index) component(id uint32, threshold float32) bool {
	w := &x.work
	x.round++
	w.nodes = append(w.nodes[:0], id)
	x.stamp[id] = x.round
	for k := 0; k < len(w.nodes); k++ {
		for e := x.edge[w.nodes[k]]; e != 0; e = x.edges[e].next {
			to := x.edges[e].to
			if x.edges[e].bits < threshold || x.stamp[to] == x.round {
				continue
			}
			if len(w.nodes) == x.o.Component {
				return false
			}
			x.stamp[to] = x.round
			w.nodes = append(w.nodes, to)
		}
	}
	return true
}

// follow puts a record to its nearest.
func (x *Index) follow(id uint32) {
	best, bits := uint32(0), float32(0)
	for e := x.edge[id]; e != 0; e = x.edges[e].next {
		if best == 0 || x.edges[e].bits > bits {
			best, bits = e, x.edges[e].bits
		}
	}
	to := x.edges[best].to
	if x.cluster[to] != x.cluster[id] {
		x.join([]uint32{id, to})
	}
}

// average groups w.nodes.
func (x *Index) average() {
	w := &x.work
	n := len(w.nodes)
	w.score = slices.Grow(w.score[:0], n*n)[:n*n]
	w.size = slices.Grow(w.size[:0], n)[:n]
	w.home = slices.Grow(w.home[:0], n)[:n]
	w.groups = w.groups[:0]
	var a, b view
	for i := range n {
		w.size[i], w.home[i] = 1, int32(i)
		w.groups = append(w.groups, int32(i))
		a.open(Record(x.records.at(w.nodes[i])), x.fields)
		for j := range i {
			b.open(Record(x.records.at(w.nodes[j])), x.fields)
			s := float32(max(min(x.scorer.score(&a, &b, nil), boundScore), -boundScore))
			w.score[i*n+j], w.score[j*n+i] = s, s
		}
	}
	for len(w.groups) > 1 {
		p, q, best := -1, -1, float32(x.o.Threshold)
		for i, g := range w.groups {
			for k, h := range w.groups[:i] {
				if mean := w.score[int(g)*n+int(h)] / float32(w.size[g]*w.size[h]); p < 0 && mean >= best || mean > best {
					p, q, best = k, i, mean
				}
			}
		}
		if p < 0 {
			return
		}
		g, h := w.groups[p], w.groups[q]
		for _, o := range w.groups {
			if o != g && o != h {
				w.score[int(g)*n+int(o)] += w.score[int(h)*n+int(o)]
				w.score[int(o)*n+int(g)] = w.score[int(g)*n+int(o)]
			}
		}
		w.size[g] += w.size[h]
		for i := range w.home {
			if w.home[i] == h {
				w.home[i] = g
			}
		}
		w.groups = slices.Delete(w.groups, q, q+1)
	}
}

// assign makes clusters of the groups. Records that say the same go with the
// first of them; whoever was in a cluster with a record that leaves stays behind.
func (x *Index) assign() {
	w := &x.work
	n := len(w.nodes)
	for g := range int32(n) {
		var members []uint32
		for i, h := range w.home {
			if h == g {
				members = append(members, w.nodes[i])
			}
		}
		if len(members) > 0 && !x.already(members) {
			for _, m := range members {
				x.leave(m)
			}
			x.join(members)
		}
	}
}

// already reports whether members, with their twins, are one cluster now.
func (x *Index) already(members []uint32) bool {
	n := 0
	for at := members[0]; ; {
		if x.first(at) {
			n++
		}
		if at = x.next[at]; at == members[0] {
			break
		}
	}
	if n != len(members) {
		return false
	}
	for _, m := range members {
		if x.cluster[m] != x.cluster[members[0]] {
			return false
		}
	}
	return true
}

// first reports whether a record is the first that says what it says.
func (x *Index) first(at uint32) bool {
	f, ok := x.same.get(fingerprint(x.records.at(at)))
	return !ok || f == at || x.records.where[f] != x.records.where[at]
}

// leave makes a record, with its twins, a cluster of its own.
func (x *Index) leave(m uint32) {
	var out, stay []uint32
	for at := m; ; {
		if x.records.where[at] == x.records.where[m] {
			out = append(out, at)
		} else {
			stay = append(stay, at)
		}
		if at = x.next[at]; at == m {
			break
		}
	}
	x.ring(out)
	x.ring(stay)
}

// join makes one cluster of those of the members.
func (x *Index) join(members []uint32) {
	var all []uint32
	x.round++
	for _, m := range members {
		if x.stamp[m] == x.round {
			continue
		}
		for at := m; ; {
			all = append(all, at)
			x.stamp[at] = x.round
			if at = x.next[at]; at == m {
				break
			}
		}
	}
	x.ring(all)
}

// ring makes exactly these records a cluster.
func (x *Index) ring(all []uint32) {
	if len(all) == 0 {
		return
	}
	name := slices.Min(all)
	for i, m := range all {
		x.cluster[m] = name
		x.next[m] = all[(i+1)%len(all)]
	}
}
