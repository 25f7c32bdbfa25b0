package linkage

import (
	"math"
	"slices"
)

// nobody marks the posts of records that were removed.
const nobody = math.MaxUint32

// Gone returns the number of records removed; they count in [Index.Len].
func (x *Index) Gone() int { return x.gone }

// Touched returns the records added or grouped anew since it was asked last,
// ascending: only their pairs may have changed.
func (x *Index) Touched() []int {
	slices.Sort(x.touched)
	x.touched = slices.Compact(x.touched)
	out := make([]int, len(x.touched))
	for i, t := range x.touched {
		out[i] = int(t)
	}
	x.touched = x.touched[:0]
	return out
}

// Pairs calls yield for the records that resemble a record: their score, and
// whether both are in one cluster. Of records that say the same, each is paired
// with the first alone, which is paired with everybody else.
func (x *Index) Pairs(i int, yield func(j int, bits float64, together bool)) {
	id := uint32(i)
	r := x.Record(i)
	if r.Empty(x.fields) {
		return
	}
	twins := x.twins(id)
	if len(twins) > 0 {
		bits, _ := Score(x.scorer.Model, r, r)
		if x.posted[id] == 0 {
			for _, t := range twins {
				if x.posted[t] != 0 {
					yield(int(t), bits, true)
				}
			}
			return
		}
		for _, t := range twins {
			yield(int(t), bits, true)
		}
	}
	for e := x.edge[id]; e != 0; e = x.edges[e].next {
		if to := x.edges[e]; !math.IsInf(float64(to.bits), -1) {
			yield(int(to.to), float64(to.bits), x.cluster[to.to] == x.cluster[id])
		}
	}
}

// Strangers reports whether two records are certainly of two people, whatever
// they share: given name and birth date both differ, and no e-mail says otherwise.
func (x *Index) Strangers(i, j int) bool {
	var a, b view
	a.open(x.Record(i), x.fields)
	b.open(x.Record(j), x.fields)
	var c comparison
	x.scorer.Schema.compare(&a, &b, &c)
	return !math.IsInf(x.scorer.ceiling(&c), 1)
}

// twins returns the other records of the cluster that say the same.
func (x *Index) twins(id uint32) (out []uint32) {
	for at := x.next[id]; at != id; at = x.next[at] {
		if x.records.where[at] == x.records.where[id] {
			out = append(out, at)
		}
	}
	return out
}

// Remove takes a record out, and groups anew those that hung together with it,
// as if it had never been added. Its number is not given out again.
func (x *Index) Remove(i int) {
	id := uint32(i)
	r := x.Record(i)
	x.gone++
	if r.Empty(x.fields) {
		return
	}
	twins, rest := x.twins(id), x.others(id)
	switch {
	case x.posted[id] == 0: // another stands for what it says
	case len(twins) > 0:
		x.replace(id, slices.Min(twins))
	default:
		x.unlink(id, r)
		for _, m := range rest {
			if x.first(m) {
				x.leave(m)
			}
		}
	}
	neighbours := x.neighbours(id, len(twins) == 0)
	x.records.where[id] = x.nothing()
	x.ring([]uint32{id})
	if len(twins) > 0 {
		x.ring(rest)
		x.touched = append(x.touched, rest...)
		return
	}
	for _, n := range neighbours {
		x.regroup(n)
	}
}

// others returns the other records of a record's cluster.
func (x *Index) others(id uint32) (out []uint32) {
	for at := x.next[id]; at != id; at = x.next[at] {
		out = append(out, at)
	}
	return out
}

// nothing returns the place of a record that says nothing.
func (x *Index) nothing() place {
	if x.empty == (place{}) {
		x.records.put(string(x.silence()))
		x.empty = x.records.where[len(x.records.where)-1]
		x.records.where = x.records.where[:len(x.records.where)-1]
	}
	return x.empty
}

func (x *Index) silence() Record { return Record(make([]byte, x.fields*header)) }

// replace makes a record stand for what another says as well.
func (x *Index) replace(id, by uint32) {
	x.posted[by], x.posted[id] = x.posted[id], 0
	for p := x.posted[by] - 1; int(p) < len(x.posts) && x.posts[p].record == id; p++ {
		x.posts[p].record = by
	}
	for e := x.edge[id]; e != 0; e = x.edges[e].next {
		x.edges[other(e)].to = by
	}
	x.edge[by], x.edge[id] = x.edge[id], 0
	x.same.put(fingerprint(x.records.at(by)), by)
	x.touched = append(x.touched, by)
}

// unlink takes a record's posts and edges away; the edges are emptied by neighbours.
func (x *Index) unlink(id uint32, r Record) {
	var v view
	v.open(r, x.fields)
	var ks keys
	x.keyer.keys(&v, &ks)
	p := x.posted[id] - 1
	for _, k := range ks {
		if k != 0 {
			x.posts[p].record = nobody
			p++
			x.blocks.drop(k)
		}
	}
	x.posted[id] = 0
	if h := fingerprint(string(r)); x.same.m[h] == id {
		delete(x.same.m, h)
	}
}

// neighbours returns who a record has edges to, and cuts them if asked to.
func (x *Index) neighbours(id uint32, cut bool) (out []uint32) {
	for e := x.edge[id]; e != 0; e = x.edges[e].next {
		if math.IsInf(float64(x.edges[e].bits), -1) {
			continue
		}
		out = append(out, x.edges[e].to)
		if cut {
			x.edges[e].bits, x.edges[other(e)].bits = float32(math.Inf(-1)), float32(math.Inf(-1))
		}
	}
	if cut {
		x.edge[id] = 0
	}
	return out
}

// other returns the same edge as seen from its other end: edges come in pairs, from 1.
func other(e uint32) uint32 { return (e - 1) ^ 1 + 1 }

// drop makes a block one record smaller. Its posts stay, marked.
func (b *blocks) drop(key uint64) {
	if len(b.entries) == 0 {
		return
	}
	mask := uint32(len(b.entries) - 1)
	tag, home := uint32(key>>32), uint32(key)
	for i := home & mask; b.entries[i].head != 0; i = (i + 1) & mask {
		if e := &b.entries[i]; e.tag == tag && e.home == home {
			e.size--
			return
		}
	}
}
