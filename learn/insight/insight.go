// Package insight finds groups of people for whom an outcome is higher or
// lower, and tells chance from discovery.
//
// It is pure and deterministic. Groups are searched on one half of the rows and
// tested on the other, so that no test has seen what it judges; false
// discoveries are held at the level asked for, within a run (Benjamini and
// Hochberg, JRSS B 57 (1995)) and over a stream of runs (LORD++: Ramdas, Yang,
// Wainwright, Jordan, NeurIPS 2017). A finding is an association, not a cause.
package insight

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Column is one thing known of every row: numbers (NaN is missing) or texts
// ("" is missing), of which one is nil.
type Column struct {
	Name    string
	Numbers []float64
	Texts   []string
}

// Condition is one clause of a group's description.
type Condition struct {
	Column string  `json:"column"`
	Op     string  `json:"op"`             // "==", ">=", "<"
	Text   string  `json:"text,omitempty"` // for texts
	Number float64 `json:"number,omitempty"`
}

// String returns the condition as people write it.
func (c Condition) String() string {
	if c.Op == "==" {
		return fmt.Sprintf("%s == %q", c.Column, c.Text)
	}
	return c.Column + " " + c.Op + " " + strconv.FormatFloat(c.Number, 'g', 6, 64)
}

// Options bound the search; zero fields take the default.
type Options struct {
	Depth   int     // most conditions of a group; default 3
	Beam    int     // groups kept per depth; default 30
	MinRows int     // fewest rows of a group in each half; default 40
	Keep    int     // most groups tested; default 8
	Level   float64 // false discovery rate; default 0.05
	Seed    uint64  // of the halves
	// Explore says which rows the search may see, the others test; nil draws a
	// half by Seed. Rows that come back should stay where they are: what has
	// tested once must not be searched in later.
	Explore []bool
	// Known are groups that need not be found again: nearly the same rows are left out.
	Known [][]Condition
	// Promising leaves out groups that stand out no more, where the search may
	// see, than the best of so many would by luck.
	Promising bool
}

// Finding is one group that was tested.
type Finding struct {
	Conditions []Condition
	Rows       int     // of the group, in both halves
	Mean, Rest float64 // of the outcome inside and outside, in the half that tests
	Low, High  float64 // 95 % interval of Mean - Rest
	Lift       float64 // Mean / Rest
	P          float64 // of the test: Fisher's exact one for yes and no, Wilcoxon's for amounts
	Q          float64 // smallest false discovery rate at which it is a discovery
	Discovery  bool
}

// selector is a condition with the rows it holds for.
type selector struct {
	Condition
	column int
	rows   []uint64
}

// group is a conjunction of selectors, by their numbers, rising.
type group struct {
	by    []int
	rows  []uint64
	score float64
}

type search struct {
	o         Options
	y         []float64
	rank      []float64 // of y, ties sharing theirs: money has tails that would drown a mean
	selectors []selector
	explore   []uint64
	test      []uint64
	binary    bool
}

// Search looks for groups and returns those tested, strongest first. y is the
// outcome of each row: 0 and 1, or any finite numbers.
func Search(columns []Column, y []float64, o Options) ([]Finding, error) {
	out, err := Candidates(columns, y, o)
	if err != nil {
		return nil, err
	}
	if o.Level == 0 {
		o.Level = 0.05
	}
	correct(out, o.Level)
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.P, b.P) })
	return out, nil
}

// Candidates is Search for a [Stream], which decides what is a discovery: the
// groups stand in the order in which they stood out where the search may see,
// which their tests have no say in.
func Candidates(columns []Column, y []float64, o Options) ([]Finding, error) {
	o.Depth, o.Beam, o.MinRows, o.Keep = or(o.Depth, 3), or(o.Beam, 30), or(o.MinRows, 40), or(o.Keep, 8)
	s := &search{o: o, y: y, binary: binary(y)}
	for i, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("insight: row %d has the outcome %v", i, v)
		}
	}
	for _, c := range columns {
		if c.Numbers != nil && len(c.Numbers) != len(y) || c.Numbers == nil && len(c.Texts) != len(y) {
			return nil, fmt.Errorf("insight: the column %s has another length than the outcome", c.Name)
		}
	}
	if o.Explore != nil && len(o.Explore) != len(y) {
		return nil, fmt.Errorf("insight: there are %d rows, and halves for %d", len(y), len(o.Explore))
	}
	s.rank = ranks(y)
	s.halve(o.Explore)
	for i, c := range columns {
		s.describe(i, c)
	}
	var out []Finding
	for _, g := range s.prune(s.beam(), s.known(columns)) {
		if f, ok := s.judge(g); ok {
			out = append(out, f)
		}
	}
	return out, nil
}

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func words(n int) []uint64 { return make([]uint64, (n+63)/64) }

func set(rows []uint64, i int) { rows[i/64] |= 1 << (i % 64) }

func and(a, b []uint64) []uint64 {
	out := make([]uint64, len(a))
	for i := range a {
		out[i] = a[i] & b[i]
	}
	return out
}

func count(rows []uint64) (n int) {
	for _, w := range rows {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s *search) halve(explore []bool) {
	s.explore, s.test = words(len(s.y)), words(len(s.y))
	for i, sees := range explore {
		if sees {
			set(s.explore, i)
		} else {
			set(s.test, i)
		}
	}
	if explore != nil {
		return
	}
	rng := rand.New(rand.NewPCG(s.o.Seed, 0x696e_7369))
	for k, i := range rng.Perm(len(s.y)) {
		if k%2 == 0 {
			set(s.explore, i)
		} else {
			set(s.test, i)
		}
	}
}

// describe makes the conditions of one column: each frequent text, and cuts
// of the numbers at quantiles of the exploring half.
func (s *search) describe(at int, c Column) {
	add := func(cond Condition) {
		rows := holds(c, cond, len(s.y))
		n := count(and(rows, s.explore))
		if n >= s.o.MinRows && count(s.explore)-n >= s.o.MinRows {
			s.selectors = append(s.selectors, selector{cond, at, rows})
		}
	}
	if c.Numbers == nil {
		kinds := slices.Clone(c.Texts)
		slices.Sort(kinds)
		for _, text := range slices.Compact(kinds) {
			if text != "" {
				add(Condition{Column: c.Name, Op: "==", Text: text})
			}
		}
		return
	}
	var known []float64
	for i, x := range c.Numbers {
		if !math.IsNaN(x) && s.explore[i/64]>>(i%64)&1 == 1 {
			known = append(known, x)
		}
	}
	slices.Sort(known)
	var cuts []float64
	for k := 1; k < 6 && len(known) > 0; k++ {
		cuts = append(cuts, known[k*len(known)/6])
	}
	for _, cut := range slices.Compact(cuts) {
		add(Condition{Column: c.Name, Op: ">=", Number: cut})
		add(Condition{Column: c.Name, Op: "<", Number: cut})
	}
}

// ranks returns the mid-ranks of y, which for 0 and 1 tell what y tells.
func ranks(y []float64) []float64 {
	order := make([]int, len(y))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(y[a], y[b]) })
	out := make([]float64, len(y))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && y[order[j]] == y[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			out[k] = float64(i+j-1) / 2
		}
		i = j
	}
	return out
}

// moments are the number, mean and variance of the outcome over rows.
type moments struct{ n, mean, variance float64 }

func momentsOf(y []float64, rows []uint64) moments {
	var n, sum, squares float64
	for w, word := range rows {
		for ; word != 0; word &= word - 1 {
			v := y[w*64+bits.TrailingZeros64(word)]
			n++
			sum += v
			squares += v * v
		}
	}
	m := moments{n: n}
	if n > 0 {
		m.mean = sum / n
		m.variance = max(squares/n-m.mean*m.mean, 0)
	}
	return m
}

func without(all, rows []uint64) []uint64 {
	out := make([]uint64, len(all))
	for i := range all {
		out[i] = all[i] &^ rows[i]
	}
	return out
}

// z is how many standard errors the mean rank of a group lies from that of its
// half, if the outcome were dealt at random: the test of Wilcoxon with ties.
func (s *search) z(half moments, in []uint64) (z, n float64) {
	m := momentsOf(s.rank, in)
	if m.n == half.n || half.n < 2 {
		return 0, m.n
	}
	se := math.Sqrt(half.variance * (half.n - m.n) / (m.n * (half.n - 1)))
	if !(se > 0) {
		return 0, m.n
	}
	return (m.mean - half.mean) / se, m.n
}

// beam grows groups by one condition at a time, keeping the best of each depth.
func (s *search) beam() []group {
	var found []group
	half := momentsOf(s.rank, s.explore)
	// A condition more is worth its while only beyond what the best of so many would bring by luck.
	price := 2 * math.Log(float64(max(len(s.selectors), 2)))
	level := []group{{rows: s.explore}}
	for range s.o.Depth {
		var next []group
		for _, g := range level {
			from := 0
			if len(g.by) > 0 {
				from = g.by[len(g.by)-1] + 1
			}
			for k := from; k < len(s.selectors); k++ {
				if slices.ContainsFunc(g.by, func(b int) bool { return s.selectors[b].column == s.selectors[k].column && s.selectors[k].Op == "==" }) {
					continue
				}
				rows := and(g.rows, s.selectors[k].rows)
				z, n := s.z(half, rows)
				score := z*z - price*float64(len(g.by))
				if n < float64(s.o.MinRows) || half.n-n < float64(s.o.MinRows) || score <= g.score && len(g.by) > 0 {
					continue
				}
				next = append(next, group{append(slices.Clone(g.by), k), rows, score})
			}
		}
		slices.SortStableFunc(next, func(a, b group) int { return cmp.Compare(b.score, a.score) })
		level = next[:min(len(next), s.o.Beam)]
		found = append(found, level...)
	}
	if s.o.Promising {
		found = slices.DeleteFunc(found, func(g group) bool { return g.score < price })
	}
	slices.SortStableFunc(found, func(a, b group) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(len(a.by), len(b.by)))
	})
	return found
}

// known returns the groups that need not be found again.
func (s *search) known(columns []Column) []group {
	var out []group
	for _, conditions := range s.o.Known {
		if rows, ok := s.holding(columns, conditions); ok {
			out = append(out, group{rows: and(rows, s.explore)})
		}
	}
	return out
}

// prune leaves out groups that are nearly the same people as a better one or a
// known one, or all but them.
func (s *search) prune(found, known []group) []group {
	kept := known
	all := float64(count(s.explore))
	for _, g := range found {
		if len(kept) == len(known)+s.o.Keep {
			break
		}
		n := float64(count(g.rows))
		if !slices.ContainsFunc(kept, func(k group) bool {
			m, both := float64(count(k.rows)), float64(count(and(g.rows, k.rows)))
			neither := all - n - m + both
			same, opposite := both/(n+m-both), (all-both-neither)/(all-min(both, neither))
			return same > 0.5 || opposite > 0.9 || both > 0.8*min(n, m)
		}) {
			kept = append(kept, g)
		}
	}
	return kept[len(known):]
}

// judge tests a group on the other half.
func (s *search) judge(g group) (Finding, bool) {
	rows := s.selectors[g.by[0]].rows
	for _, k := range g.by[1:] {
		rows = and(rows, s.selectors[k].rows)
	}
	f, ok := s.compare(rows)
	for _, k := range g.by {
		f.Conditions = append(f.Conditions, s.selectors[k].Condition)
	}
	return f, ok
}

// compare holds the outcome of the rows against that of the others, in the half that tests.
func (s *search) compare(rows []uint64) (Finding, bool) {
	in := and(rows, s.test)
	inside, outside := momentsOf(s.y, in), momentsOf(s.y, without(s.test, in))
	if inside.n < 10 || outside.n < 10 {
		return Finding{}, false
	}
	f := Finding{Rows: count(rows), Mean: inside.mean, Rest: outside.mean, P: 1}
	se := math.Sqrt(inside.variance/inside.n + outside.variance/outside.n)
	f.Low, f.High = inside.mean-outside.mean-1.96*se, inside.mean-outside.mean+1.96*se
	f.Lift = inside.mean / outside.mean
	if s.binary {
		f.P = fisher(int(inside.mean*inside.n+.5), int(inside.n), int(outside.mean*outside.n+.5), int(outside.n))
	} else {
		z, _ := s.z(momentsOf(s.rank, s.test), in)
		f.P = math.Erfc(math.Abs(z) / math.Sqrt2)
	}
	return f, true
}

// fisher is the two-sided mid-p value of Fisher's exact test: a of n against c of m.
func fisher(a, n, c, m int) float64 {
	hits := a + c
	log := func(k int) float64 { // log chance of k hits inside
		return choose(n, k) + choose(m, hits-k) - choose(n+m, hits)
	}
	at := log(a)
	var p float64
	for k := max(0, hits-m); k <= min(n, hits); k++ {
		switch l := log(k); {
		case k == a || math.Abs(l-at) < 1e-9:
			p += math.Exp(l) / 2
		case l < at:
			p += math.Exp(l)
		}
	}
	return min(p, 1)
}

func choose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// correct sets Q and Discovery by the step-up rule of Benjamini and Hochberg.
func correct(found []Finding, level float64) {
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(found[a].P, found[b].P) })
	q := 1.0
	for k := len(order) - 1; k >= 0; k-- {
		f := &found[order[k]]
		q = min(q, f.P*float64(len(order))/float64(k+1))
		f.Q = q
		f.Discovery = q <= level
	}
}
