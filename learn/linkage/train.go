package linkage

import (
	"errors"
	"math"
	"slices"
	"strings"
)

// Limits of the pairs a model is learned from.
const (
	pairsPerKey  = 100_000
	randomPairs  = 500_000
	agreeingMost = 100_000
	trainBlock   = 200 // larger blocks are of people who share something common
	iterations   = 60
)

// ErrTooFew is the error of [Train] when there is nothing to learn from.
var ErrTooFew = errors.New("there are fewer than two records that tell anything")

// Train learns a model from records of which nobody says who they belong to. The
// chance that strangers agree comes from pairs drawn at random, less those that
// turn out to be one person; the chance that one person's records agree comes
// from the pairs that share a blocking key, each weighted by how likely it is
// of one person (expectation maximisation). The order of the records does not
// matter. progress, if not nil, is told the share of the work done.
//
// I. P. Fellegi, A. B. Sunter, A Theory for Record Linkage, JASA 64, 1969;
// W. E. Winkler, Using the EM Algorithm for Weight Computation in the
// Fellegi-Sunter Model of Record Linkage, 1988.
func Train(s Schema, records []Record, progress func(float64)) (*Model, error) {
	if len(s) == 0 || len(s) > MaxFields {
		return nil, errors.New("a schema has 1 to 12 fields")
	}
	t := trainer{schema: s, n: len(s), progress: progress}
	for _, r := range records {
		if !r.Empty(len(s)) {
			t.records = append(t.records, r)
		}
	}
	if len(t.records) < 2 {
		return nil, ErrTooFew
	}
	slices.SortFunc(t.records, func(a, b Record) int { return strings.Compare(string(a), string(b)) })
	t.blocked()
	t.random()
	t.agreeing()
	return t.estimate(), nil
}

// weighted is how often a comparison occurred.
type weighted struct {
	p pattern
	w float64
}

type trainer struct {
	schema   Schema
	n        int
	records  []Record
	progress func(float64)

	pairs     []weighted         // that share a key
	strangers []weighted         // drawn at random
	given     map[int][]weighted // by field: whose given field agrees
}

func (t *trainer) told(share float64) {
	if t.progress != nil {
		t.progress(share)
	}
}

func sorted(m map[pattern]float64) []weighted {
	out := make([]weighted, 0, len(m))
	for p, w := range m {
		out = append(out, weighted{p, w})
	}
	slices.SortFunc(out, func(a, b weighted) int {
		if a.p < b.p {
			return -1
		}
		return 1
	})
	return out
}

// keyed is a record under a key.
type keyed struct {
	key    uint64
	record uint32
}

// blocked collects the comparisons of pairs that share a key. Each pair counts
// once, under its first key.
func (t *trainer) blocked() {
	k := newKeyer(t.schema)
	all := make([]keys, len(t.records))
	var v, w view
	for i, r := range t.records {
		v.open(r, t.n)
		k.keys(&v, &all[i])
	}
	// A block too large to be compared yields no pairs, so it must not keep a
	// pair from counting under a later key either.
	found := make(map[pattern]float64)
	var large [maxKeys]map[uint64]bool
	entries := make([]keyed, 0, len(t.records))
	for key := range maxKeys {
		entries = entries[:0]
		for i := range all {
			if h := all[i][key]; h != 0 {
				entries = append(entries, keyed{h, uint32(i)})
			}
		}
		slices.SortFunc(entries, func(a, b keyed) int {
			switch {
			case a.key < b.key:
				return -1
			case a.key > b.key:
				return 1
			}
			return int(a.record) - int(b.record)
		})
		large[key] = make(map[uint64]bool)
		total := 0
		eachBlock(entries, func(b []keyed) {
			if len(b) > trainBlock {
				large[key][b[0].key] = true
				return
			}
			total += len(b) * (len(b) - 1) / 2
		})
		share := min(1, pairsPerKey/float64(max(total, 1)))
		limit := uint64(share * math.MaxUint64 / 2)
		eachBlock(entries, func(b []keyed) {
			if len(b) > trainBlock || share < 1 && mix(b[0].key)>>1 > limit {
				return
			}
			for i, x := range b {
				v.open(t.records[x.record], t.n)
			next:
				for _, y := range b[:i] {
					for e := range key {
						if h := all[x.record][e]; h != 0 && h == all[y.record][e] && !large[e][h] {
							continue next
						}
					}
					w.open(t.records[y.record], t.n)
					var c comparison
					t.schema.compare(&v, &w, &c)
					found[c.pattern(t.n)] += 1 / share
				}
			}
		})
		t.told(0.7 * float64(key+1) / maxKeys)
	}
	t.pairs = sorted(found)
}

func eachBlock(entries []keyed, yield func([]keyed)) {
	for i := 0; i < len(entries); {
		j := i + 1
		for j < len(entries) && entries[j].key == entries[i].key {
			j++
		}
		if j-i > 1 {
			yield(entries[i:j])
		}
		i = j
	}
}

func mix(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// random collects the comparisons of pairs drawn at random, all pairs if they are few.
func (t *trainer) random() {
	n := len(t.records)
	found := make(map[pattern]float64)
	var v, w view
	count := func(i, j int) {
		v.open(t.records[i], t.n)
		w.open(t.records[j], t.n)
		var c comparison
		t.schema.compare(&v, &w, &c)
		found[c.pattern(t.n)]++
	}
	if n*(n-1)/2 <= randomPairs {
		for i := range n {
			for j := range i {
				count(i, j)
			}
		}
	} else {
		for k := range uint64(randomPairs) {
			h := mix(k*0x9e3779b97f4a7c15 + 1)
			i, j := int(h>>32)%n, int(h&0xffffffff)%n
			if i != j {
				count(i, j)
			}
		}
	}
	t.strangers = sorted(found)
	t.told(0.85)
}

// agreeing collects, for each field that follows from another, the comparisons
// of pairs that agree on the other.
func (t *trainer) agreeing() {
	t.given = make(map[int][]weighted)
	var v, w view
	for f := range t.schema {
		g := t.schema[f].Given - 1
		if g < 0 {
			continue
		}
		var entries []keyed
		for i, r := range t.records {
			if v.open(r, t.n); v.at(g) != "" && v.at(f) != "" {
				entries = append(entries, keyed{fingerprint(v.at(g)), uint32(i)})
			}
		}
		slices.SortFunc(entries, func(a, b keyed) int {
			switch {
			case a.key < b.key:
				return -1
			case a.key > b.key:
				return 1
			}
			return int(a.record) - int(b.record)
		})
		found := make(map[pattern]float64)
		n := 0
		eachBlock(entries, func(b []keyed) {
			for i := range b { // every record with the one that lies half a block on, and with its neighbour
				for _, j := range [...]int{(i + 1) % len(b), (i + len(b)/2) % len(b)} {
					if n >= agreeingMost || i == j {
						continue
					}
					n++
					v.open(t.records[b[i].record], t.n)
					w.open(t.records[b[j].record], t.n)
					var c comparison
					t.schema.compare(&v, &w, &c)
					found[c.pattern(t.n)]++
				}
			}
		})
		t.given[f] = sorted(found)
	}
	t.told(0.95)
}

// shape is what is believed of one person's records before any was seen, worth
// believed pairs.
var shape = [levels]float64{Equal: 0.84, Close: 0.06, Near: 0.03, Alike: 0.025, Different: 0.04, Exchanged: 0.005}

const believed = 20

func (t *trainer) estimate() *Model {
	n := float64(len(t.records))
	total := n * (n - 1) / 2
	m := &Model{Schema: t.schema, Records: len(t.records), Fields: make([]FieldWeights, t.n)}
	for i := range m.Fields {
		m.Fields[i].Match = shape
	}
	none := func(pattern) float64 { return 0 }
	t.strange(m, none)
	m.Prior = math.Log2(1 / n)
	m.weigh()
	chance := func(p pattern) float64 {
		bits := m.Prior
		for i := range t.n {
			bits += m.levelBits(i, p)
		}
		return 1 / (1 + math.Exp2(-bits))
	}
	for range iterations {
		before := m.Matches
		sums := make([][levels]float64, t.n)
		m.Matches = 0
		for _, x := range t.pairs {
			q := x.w * chance(x.p)
			m.Matches += q
			for i := range t.n {
				if l := x.p.at(i); l != Missing {
					sums[i][l] += q
				}
			}
		}
		t.strange(m, chance)
		for i := range t.n {
			all := float64(believed)
			for l := range sums[i] {
				all += sums[i][l]
			}
			for l := range sums[i] {
				m.Fields[i].Match[l] = (sums[i][l] + believed*shape[l]) / all
			}
		}
		m.Prior = math.Log2(max(m.Matches, 0.5) / total)
		m.weigh()
		if math.Abs(m.Matches-before) < 1e-6*(m.Matches+1) {
			break
		}
	}
	t.frequencies(m)
	t.told(1)
	return m
}

// levelBits returns a field's weight at a pattern.
func (m *Model) levelBits(i int, p pattern) float64 {
	l := p.at(i)
	if l == Missing {
		return 0
	}
	if g := m.Schema[i].Given; g > 0 && p.at(g-1) == Equal {
		return m.Fields[i].AgreeBits[l]
	}
	return m.Fields[i].Bits[l]
}

// strange estimates what strangers show, leaving out each pair by its chance of being one person.
func (t *trainer) strange(m *Model, chance func(pattern) float64) {
	sums, given := make([][levels]float64, t.n), make([][levels]float64, t.n)
	for _, x := range t.strangers {
		q := x.w * (1 - chance(x.p))
		for i := range t.n {
			if l := x.p.at(i); l != Missing {
				sums[i][l] += q
			}
		}
	}
	for f, list := range t.given {
		for _, x := range list {
			given[f][x.p.at(f)] += x.w * (1 - chance(x.p))
		}
	}
	for i := range t.n {
		w := &m.Fields[i]
		w.Stranger = shares(sums[i], [levels]float64{}, 0)
		w.Agreeing = w.Stranger
		if t.schema[i].Given > 0 {
			w.Agreeing = shares(given[i], w.Stranger, believed)
		}
	}
}

// shares turns counts into shares, with weight counts of what is believed, and
// half a count a level so that none is impossible.
func shares(counts, belief [levels]float64, weight float64) (out [levels]float64) {
	all := 0.0
	for l := range Missing {
		counts[l] += belief[l]*weight + 0.5
		all += counts[l]
	}
	for l := range Missing {
		out[l] = counts[l] / all
	}
	return out
}

// weigh sets the bits from the shares. From Equal to Different they fall: where
// the data say otherwise, neighbouring levels are pooled.
func (m *Model) weigh() {
	for i := range m.Fields {
		w := &m.Fields[i]
		w.Bits = falling(w.Match, w.Stranger)
		w.AgreeBits = falling(w.Match, w.Agreeing)
	}
}

func falling(match, stranger [levels]float64) (bits [levels]float64) {
	bits[Exchanged] = math.Log2(match[Exchanged] / stranger[Exchanged])
	type pool struct {
		m, u float64
		n    int
	}
	var pools []pool
	for l := range Exchanged {
		pools = append(pools, pool{match[l], stranger[l], 1})
		for k := len(pools) - 1; k > 0 && pools[k].m*pools[k-1].u > pools[k-1].m*pools[k].u; k-- {
			pools[k-1] = pool{pools[k-1].m + pools[k].m, pools[k-1].u + pools[k].u, pools[k-1].n + pools[k].n}
			pools = pools[:k]
		}
	}
	l := 0
	for _, p := range pools {
		for range p.n {
			bits[l] = math.Log2(p.m / p.u)
			l++
		}
	}
	return bits
}

// mostCommon is the most values of a field whose share a model keeps.
const mostCommon = 1024

// frequencies notes which values are more common than others: to share a
// rare name says more than to share a common one.
func (t *trainer) frequencies(m *Model) {
	n := len(t.records)
	var v view
	for f := range t.schema {
		counts, told := make(map[uint64]int), 0
		for _, r := range t.records {
			v.open(r, t.n)
			if x := v.at(f); x != "" {
				counts[fingerprint(x)]++
				told++
			}
		}
		if told == 0 {
			continue
		}
		w := &m.Fields[f]
		type value struct {
			h uint64
			n int
		}
		var common []value
		least := max(10, int(2*w.Stranger[Equal]*float64(told)))
		for h, c := range counts {
			if c >= least {
				common = append(common, value{h, c})
			}
		}
		slices.SortFunc(common, func(a, b value) int {
			if a.n != b.n {
				return b.n - a.n
			}
			if a.h < b.h {
				return -1
			}
			return 1
		})
		common = common[:min(len(common), mostCommon)]
		w.Common = make(map[uint64]float64, len(common))
		left, mass := 1.0, w.Stranger[Equal]
		for _, c := range common {
			share := float64(c.n) / float64(told)
			w.Common[c.h] = share
			left -= share
			mass -= share * share
		}
		w.Usual = w.Stranger[Equal]
		if left > 0 {
			w.Usual = min(w.Usual, max(mass/left, w.Stranger[Equal]/8, 0.5/float64(n)))
		}
	}
}
