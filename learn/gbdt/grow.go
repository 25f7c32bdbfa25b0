package gbdt

import (
	"cmp"
	"math"
	"slices"
)

// Categories are ordered by their gradient over their hessian plus levelPrior,
// and their splits bear the extra penalty levelL2, so that rare levels do not
// split by luck.
const (
	levelPrior = 10
	levelL2    = 10
)

// cell is one bin of a histogram: gradients, hessians and rows.
type cell struct {
	g, h float64
	n    int
}

func (c *cell) add(o cell) { c.g += o.g; c.h += o.h; c.n += o.n }
func (c cell) sub(o cell) cell {
	return cell{c.g - o.g, c.h - o.h, c.n - o.n}
}
func (c cell) score(l2 float64) float64 { return c.g * c.g / (c.h + l2) }

// split is the best way found to part a leaf.
type split struct {
	gain        float64
	column      int
	bin         int // numbers: the last bin that goes left
	levels      [4]uint64
	missingLeft bool
}

// part is a leaf that may be split: rows[begin:end] of the grower.
type part struct {
	node       int32
	begin, end int
	depth      int
	sum        cell
	hist       []cell
	best       split
}

// grower grows one tree after another over the same binned table.
type grower struct {
	o       Options
	columns []Column
	b       *binned
	g, h    []float64 // of each row
	rows    []int32   // partitioned by leaf
	spare   []int32
	use     []bool // columns of this tree
	pg, ph  []float64
	free    [][]cell // histograms to use again
	order   []int
	tree    tree
	parts   []*part
}

// grow returns a tree over g.rows whose leaves are in g.parts.
func (g *grower) grow() tree {
	g.tree = tree{{}}
	for _, p := range g.parts {
		if p.hist != nil {
			g.free = append(g.free, p.hist)
		}
	}
	g.parts = g.parts[:0]
	root := &part{end: len(g.rows)}
	for _, r := range g.rows {
		root.sum.add(cell{g.g[r], g.h[r], 1})
	}
	g.fill(root)
	g.find(root)
	g.parts = append(g.parts, root)
	for len(g.parts) < g.o.Leaves {
		at := -1
		for i, p := range g.parts {
			if p.best.gain > 0 && (at < 0 || p.best.gain > g.parts[at].best.gain) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		left, right := g.split(g.parts[at])
		g.parts[at] = left
		g.parts = append(g.parts, right)
	}
	return g.tree
}

// fill counts the histogram of a leaf.
func (g *grower) fill(p *part) {
	if n := len(g.free); n > 0 {
		p.hist, g.free = g.free[n-1], g.free[:n-1]
		clear(p.hist)
	} else {
		p.hist = make([]cell, g.b.total)
	}
	rows := g.rows[p.begin:p.end]
	pg, ph := g.pg[:len(rows)], g.ph[:len(rows)]
	for i, r := range rows {
		pg[i], ph[i] = g.g[r], g.h[r]
	}
	for c := range g.columns {
		if !g.use[c] {
			continue
		}
		hist := p.hist[g.b.first[c] : g.b.first[c]+g.b.count[c]]
		bins := g.b.bins[c]
		for i, r := range rows {
			cell := &hist[bins[r]]
			cell.g += pg[i]
			cell.h += ph[i]
			cell.n++
		}
	}
}

// find looks for the best split of a leaf.
func (g *grower) find(p *part) {
	p.best = split{}
	if p.end-p.begin < 2*g.o.MinRows || g.o.Depth > 0 && p.depth >= g.o.Depth {
		return
	}
	for c := range g.columns {
		if !g.use[c] {
			continue
		}
		hist := p.hist[g.b.first[c] : g.b.first[c]+g.b.count[c]]
		if g.columns[c].Levels > 0 {
			g.findLevels(p, c, hist)
		} else {
			g.findNumber(p, c, hist)
		}
	}
}

// try weighs sending left one way and the rest the other.
func (g *grower) try(p *part, left cell, extra float64) float64 {
	right := p.sum.sub(left)
	if left.n < g.o.MinRows || right.n < g.o.MinRows || left.h < 1e-6 || right.h < 1e-6 {
		return 0
	}
	l2 := g.o.L2 + extra
	gain := left.score(l2) + right.score(l2) - p.sum.score(g.o.L2)
	if !(gain > 1e-9*(1+math.Abs(p.sum.score(g.o.L2)))) {
		return 0
	}
	return gain
}

func (g *grower) findNumber(p *part, c int, hist []cell) {
	missing := hist[0]
	var left cell
	for b := 1; b+1 < len(hist); b++ {
		left.add(hist[b])
		if hist[b].n == 0 {
			continue
		}
		if gain := g.try(p, left, 0); gain > p.best.gain {
			p.best = split{gain: gain, column: c, bin: b, missingLeft: missing.n == 0 && 2*left.n > p.sum.n}
		}
		if missing.n > 0 {
			with := left
			with.add(missing)
			if gain := g.try(p, with, 0); gain > p.best.gain {
				p.best = split{gain: gain, column: c, bin: b, missingLeft: true}
			}
		}
	}
}

func (g *grower) findLevels(p *part, c int, hist []cell) {
	order := g.order[:0]
	for b := range hist {
		if hist[b].n > 0 {
			order = append(order, b)
		}
	}
	g.order = order
	key := func(b int) float64 { return hist[b].g / (hist[b].h + levelPrior) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key(a), key(b)) })
	var left cell
	var levels [4]uint64
	missingLeft := false
	for _, b := range order[:max(len(order)-1, 0)] {
		left.add(hist[b])
		if b == 0 {
			missingLeft = true
		} else {
			levels[(b-1)/64] |= 1 << ((b - 1) % 64)
		}
		if gain := g.try(p, left, levelL2); gain > p.best.gain {
			p.best = split{gain: gain, column: c, levels: levels, missingLeft: missingLeft}
			if hist[0].n == 0 {
				p.best.missingLeft = 2*left.n > p.sum.n
			}
		}
	}
}

// goesLeft tells where a binned row goes.
func (g *grower) goesLeft(s *split, row int32) bool {
	b := g.b.bins[s.column][row]
	if b == 0 {
		return s.missingLeft
	}
	if g.columns[s.column].Levels > 0 {
		return s.levels[(b-1)/64]>>((b-1)%64)&1 == 1
	}
	return int(b) <= s.bin
}

// split parts a leaf in two and finds their best splits.
func (g *grower) split(p *part) (left, right *part) {
	rows := g.rows[p.begin:p.end]
	spare := g.spare[:0]
	var sum cell
	at := 0
	for _, r := range rows {
		if g.goesLeft(&p.best, r) {
			rows[at] = r
			at++
			sum.add(cell{g.g[r], g.h[r], 1})
		} else {
			spare = append(spare, r)
		}
	}
	copy(rows[at:], spare)
	mid := p.begin + at
	ids := int32(len(g.tree))
	n := &g.tree[p.node]
	n.column, n.left, n.right = int32(p.best.column), ids, ids+1
	n.missingLeft, n.levels, n.gain = p.best.missingLeft, p.best.levels, p.best.gain
	if g.columns[p.best.column].Levels == 0 {
		n.threshold = g.b.cuts[p.best.column][p.best.bin-1]
	}
	g.tree = append(g.tree, node{}, node{})
	left = &part{node: ids, begin: p.begin, end: mid, depth: p.depth + 1, sum: sum}
	right = &part{node: ids + 1, begin: mid, end: p.end, depth: p.depth + 1, sum: p.sum.sub(sum)}
	// Count the smaller side; the other is what is left of the parent.
	small, big := left, right
	if left.sum.n > right.sum.n {
		small, big = right, left
	}
	g.fill(small)
	big.hist = p.hist
	for i := range big.hist {
		big.hist[i] = big.hist[i].sub(small.hist[i])
	}
	g.find(left)
	g.find(right)
	return left, right
}
