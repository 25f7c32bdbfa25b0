package linkage

import (
	"math"
	"slices"
)

// Options bound the work of an [Index].
type Options struct {
	// Threshold is the score in bits, prior included, at which two records are
	// taken for one person; 0 is even odds.
	Threshold float64
	// Block is the most records under one blocking key that are compared with a
	// new one. Default 64.
	Block int
	// Candidates is the most records a new one is compared with. Default 128.
	Candidates int
	// Component is the most records that are grouped anew when one arrives. Default 32.
	Component int
}

func (o *Options) defaults() {
	for p, d := range map[*int]int{&o.Block: 64, &o.Candidates: 128, &o.Component: 32} {
		if *p <= 0 {
			*p = d
		}
	}
}

// Index holds records as they arrive and groups them into people. It is not
// safe for concurrent use. An added record costs time bounded by the options,
// and about 300 bytes, which one that is removed leaves behind.
type Index struct {
	o      Options
	scorer scorer
	keyer  keyer
	fields int

	records arena
	blocks  blocks
	posts   []post // by record and key, filled ones alone
	same    table  // fingerprint of a record to the first record that says the same

	edges   []edge   // from 1
	edge    []uint32 // head of each record's edges, 0 is none
	cluster []uint32 // cluster of each record: its least record
	next    []uint32 // ring of the records of a cluster

	posted []uint32 // 1 + the first of each record's posts, 0 is none
	gone   int      // records removed

	stamp []uint32 // last round each record was a candidate
	round uint32
	hits  []hit
	work  grouping

	touched []uint32 // records grouped since Touched was asked
	empty   place    // of records that were removed
}

type edge struct {
	to   uint32
	bits float32
	next uint32
}

type hit struct {
	key  uint64
	head uint32
	size uint32
}

// Candidate is a record that resembles another.
type Candidate struct {
	Record int
	Bits   float64 // score, prior included
}

// NewIndex returns an empty index under a model.
func NewIndex(m *Model, o Options) *Index {
	o.defaults()
	return &Index{o: o, scorer: newScorer(m), keyer: newKeyer(m.Schema), fields: len(m.Schema), edges: make([]edge, 1)}
}

// Len returns the number of records.
func (x *Index) Len() int { return len(x.cluster) }

// Record returns a record added.
func (x *Index) Record(i int) Record { return Record(x.records.at(uint32(i))) }

// Cluster returns the cluster of a record, named by its least record.
func (x *Index) Cluster(i int) int { return int(x.cluster[i]) }

// Members returns the records of a cluster, ascending.
func (x *Index) Members(i int) (out []int) {
	for at := uint32(i); ; {
		out = append(out, int(at))
		if at = x.next[at]; at == uint32(i) {
			break
		}
	}
	slices.Sort(out)
	return out
}

// Score returns the score of two records and its parts, field by field.
func (x *Index) Score(i, j int) (float64, []Step) {
	return Score(x.scorer.Model, x.Record(i), x.Record(j))
}

// Score returns the score of two records under a model, prior included, and its
// parts field by field.
func Score(m *Model, a, b Record) (float64, []Step) {
	s := newScorer(m)
	var v, w view
	v.open(a, len(m.Schema))
	w.open(b, len(m.Schema))
	var steps []Step
	total := s.score(&v, &w, &steps)
	return total, steps
}

// Add adds a record, groups it and whatever it brings together, and returns its number.
func (x *Index) Add(r Record) int {
	id, twin := x.put(r)
	if twin {
		return int(id)
	}
	if r.Empty(x.fields) {
		return int(id)
	}
	linked := false
	x.candidates(r, id, x.o.Threshold, func(c Candidate) {
		x.connect(id, uint32(c.Record), float32(c.Bits))
		linked = true
	})
	x.post(id, r)
	if linked {
		x.regroup(id)
	}
	return int(id)
}

// put stores a record. A record that says the same as an earlier one joins it at once.
func (x *Index) put(r Record) (id uint32, twin bool) {
	id = uint32(len(x.cluster))
	x.edge = append(x.edge, 0)
	x.stamp = append(x.stamp, 0)
	x.posted = append(x.posted, 0)
	x.touched = append(x.touched, id)
	if !r.Empty(x.fields) {
		h := fingerprint(string(r))
		if first, ok := x.same.get(h); ok && x.Record(int(first)) == r {
			x.records.share(first)
			x.cluster = append(x.cluster, x.cluster[first])
			x.next = append(x.next, x.next[first])
			x.next[first] = id
			return id, true
		}
		x.same.put(h, id)
	}
	x.records.put(string(r))
	x.cluster = append(x.cluster, id)
	x.next = append(x.next, id)
	return id, false
}

// Candidates calls yield for the records that share a blocking key with a new
// one and score at least least bits with it.
func (x *Index) Candidates(r Record, least float64, yield func(Candidate)) {
	x.candidates(r, math.MaxUint32, least, yield)
}

func (x *Index) candidates(r Record, self uint32, least float64, yield func(Candidate)) {
	var v, w view
	v.open(r, x.fields)
	var ks keys
	x.keyer.keys(&v, &ks)
	x.hits = x.hits[:0]
	for _, k := range ks {
		if k == 0 {
			continue
		}
		if head, size := x.blocks.find(k); size > 0 && int(size) <= x.o.Block {
			x.hits = append(x.hits, hit{k, head, size})
		}
	}
	// The rarest keys tell most, so they are looked at first.
	slices.SortFunc(x.hits, func(a, b hit) int {
		if a.size != b.size {
			return int(a.size) - int(b.size)
		}
		if a.key < b.key {
			return -1
		}
		return 1
	})
	x.round++
	left := x.o.Candidates
	for _, h := range x.hits {
		for at := h.head; at != 0 && left > 0; {
			p := &x.posts[at-1]
			other := p.record
			at = p.next
			if other == nobody || other == self || x.stamp[other] == x.round {
				continue
			}
			x.stamp[other] = x.round
			left--
			w.open(Record(x.records.at(other)), x.fields)
			if bits, ok := x.scorer.atLeast(&v, &w, least); ok {
				yield(Candidate{int(other), bits})
			}
		}
	}
}

// post enters a record under its keys.
func (x *Index) post(id uint32, r Record) {
	var v view
	v.open(r, x.fields)
	var ks keys
	x.keyer.keys(&v, &ks)
	x.posted[id] = uint32(len(x.posts)) + 1
	for _, k := range ks {
		if k != 0 {
			x.posts = append(x.posts, post{record: id})
			x.posts[len(x.posts)-1].next = x.blocks.add(k, uint32(len(x.posts)))
		}
	}
}

func (x *Index) connect(a, b uint32, bits float32) {
	x.edges = append(x.edges, edge{b, bits, x.edge[a]}, edge{a, bits, x.edge[b]})
	x.edge[a], x.edge[b] = uint32(len(x.edges)-2), uint32(len(x.edges)-1)
}

// post is a record under a key.
type post struct{ record, next uint32 }

// arena keeps texts without a pointer each.
type arena struct {
	chunks [][]byte
	where  []place
}

type place struct {
	chunk uint32
	from  uint32
	size  uint32
}

const chunkSize = 1 << 20

func (a *arena) put(s string) {
	if len(a.chunks) == 0 || len(a.chunks[len(a.chunks)-1])+len(s) > chunkSize {
		a.chunks = append(a.chunks, make([]byte, 0, max(chunkSize, len(s))))
	}
	c := &a.chunks[len(a.chunks)-1]
	a.where = append(a.where, place{uint32(len(a.chunks) - 1), uint32(len(*c)), uint32(len(s))})
	*c = append(*c, s...)
}

func (a *arena) share(i uint32) { a.where = append(a.where, a.where[i]) }
