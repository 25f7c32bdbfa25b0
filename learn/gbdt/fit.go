package gbdt

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Fit grows a model on train. With valid the growth stops when the loss there
// has not improved for Options.Patience rounds, and only the trees up to its
// best are kept; valid may be nil.
func Fit(columns []Column, train, valid *Set, options Options) (*Model, error) {
	o, err := options.filled()
	if err != nil {
		return nil, err
	}
	for _, c := range columns {
		if c.Levels < 0 || c.Levels > MaxLevels {
			return nil, fmt.Errorf("gbdt: the column %s has %d levels; a column may have %d", c.Name, c.Levels, MaxLevels)
		}
	}
	if err := train.check(columns, o.Objective); err != nil {
		return nil, err
	}
	if valid != nil {
		if err := valid.check(columns, o.Objective); err != nil {
			return nil, fmt.Errorf("validation set: %w", err)
		}
	}
	m := &Model{Columns: slices.Clone(columns), Objective: o.Objective, base: base(train, o)}
	n := len(train.Rows)
	g := &grower{
		o: o, columns: columns, b: bin(columns, train.Rows, o.Bins),
		g: make([]float64, n), h: make([]float64, n),
		rows: make([]int32, 0, n), spare: make([]int32, 0, n),
		pg: make([]float64, n), ph: make([]float64, n),
		use: make([]bool, len(columns)),
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x6762_6474))
	raw := make([]float64, n)
	for i := range raw {
		raw[i] = m.base
	}
	var judged []float64
	best, bestAt := math.Inf(1), 0
	if valid != nil {
		judged = make([]float64, len(valid.Rows))
		for i := range judged {
			judged[i] = m.base
		}
		best = loss(valid, judged, o)
	}
	for range o.Rounds {
		gradients(train, raw, g.g, g.h, o)
		g.draw(rng)
		t := g.grow()
		if len(t) == 1 && o.RowShare == 1 && o.ColumnShare == 1 {
			break // nothing is left to split on
		}
		g.value(t, train, raw)
		whole := len(g.rows) == n
		for _, p := range g.parts {
			for _, r := range g.rows[p.begin:p.end] {
				raw[r] += t[p.node].value
			}
		}
		if !whole {
			g.rest(t, train, raw)
		}
		m.trees = append(m.trees, t)
		if valid == nil {
			continue
		}
		for i, row := range valid.Rows {
			judged[i] += t.leaf(columns, row).value
		}
		if l := loss(valid, judged, o); l < best-1e-12*math.Abs(best) {
			best, bestAt = l, len(m.trees)
		} else if len(m.trees)-bestAt >= o.Patience {
			break
		}
	}
	if valid != nil {
		m.trees = slices.Clip(m.trees[:bestAt])
	}
	return m, nil
}

// draw chooses the rows and columns of the next tree.
func (g *grower) draw(rng *rand.Rand) {
	g.rows = g.rows[:0]
	n := len(g.g)
	if g.o.RowShare == 1 {
		for i := range n {
			g.rows = append(g.rows, int32(i))
		}
	} else {
		// Selection sampling (Knuth, TAOCP 2, algorithm 3.4.2 S): exactly the share, in order.
		want := max(int(g.o.RowShare*float64(n)), 1)
		for i := range n {
			if float64(n-i)*rng.Float64() < float64(want-len(g.rows)) {
				g.rows = append(g.rows, int32(i))
			}
		}
	}
	want := max(int(math.Ceil(g.o.ColumnShare*float64(len(g.use)))), 1)
	taken := 0
	for c := range g.use {
		g.use[c] = g.o.ColumnShare == 1 || float64(len(g.use)-c)*rng.Float64() < float64(want-taken)
		if g.use[c] {
			taken++
		}
	}
}

// rest adds the tree to the rows it was not grown on.
func (g *grower) rest(t tree, train *Set, raw []float64) {
	next := 0
	slices.Sort(g.rows)
	for i, row := range train.Rows {
		if next < len(g.rows) && int(g.rows[next]) == i {
			next++
			continue
		}
		raw[i] += t.leaf(g.columns, row).value
	}
}

// value sets the leaves' values, and every split's to the mean below it.
func (g *grower) value(t tree, train *Set, raw []float64) {
	for _, p := range g.parts {
		n := &t[p.node]
		for _, r := range g.rows[p.begin:p.end] {
			n.cover += train.weight(int(r))
		}
		if g.o.Objective == Quantile {
			n.value = g.o.LearningRate * g.residual(p, train, raw)
		} else {
			n.value = -g.o.LearningRate * p.sum.g / (p.sum.h + g.o.L2)
		}
	}
	for i := len(t) - 1; i >= 0; i-- { // children stand after their parent
		if n := &t[i]; n.left > 0 {
			l, r := &t[n.left], &t[n.right]
			n.cover = l.cover + r.cover
			n.value = (l.value*l.cover + r.value*r.cover) / n.cover
		}
	}
}

// residual returns the quantile of what the leaf's rows still miss, drawn
// toward zero in small leaves as the other objectives are.
func (g *grower) residual(p *part, train *Set, raw []float64) float64 {
	missed := make([]weighted, 0, p.end-p.begin)
	for _, r := range g.rows[p.begin:p.end] {
		missed = append(missed, weighted{train.Y[r] - raw[r], train.weight(int(r))})
	}
	var total float64
	for _, m := range missed {
		total += m.w
	}
	return quantile(missed, g.o.Quantile) * total / (total + g.o.L2)
}

type weighted struct{ x, w float64 }

// quantile returns the weighted quantile, between two values where it falls between them.
func quantile(values []weighted, q float64) float64 {
	slices.SortFunc(values, func(a, b weighted) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.w, b.w)) })
	var total float64
	for _, v := range values {
		total += v.w
	}
	var below float64
	for i, v := range values {
		// the middle of v's weight is where v itself stands
		at := (below + v.w/2) / total
		if at >= q {
			if i == 0 {
				return v.x
			}
			prev := values[i-1]
			before := (below - prev.w/2) / total
			return prev.x + (v.x-prev.x)*(q-before)/(at-before)
		}
		below += v.w
	}
	return values[len(values)-1].x
}

func base(s *Set, o Options) float64 {
	if o.Objective == Quantile {
		values := make([]weighted, len(s.Y))
		for i, y := range s.Y {
			values[i] = weighted{y, s.weight(i)}
		}
		return quantile(values, o.Quantile)
	}
	var sum, total float64
	for i, y := range s.Y {
		sum += s.weight(i) * y
		total += s.weight(i)
	}
	if o.Objective == Logistic {
		p := (sum + 0.5) / (total + 1)
		return math.Log(p / (1 - p))
	}
	return sum / total
}

func gradients(s *Set, raw, g, h []float64, o Options) {
	for i, y := range s.Y {
		w := s.weight(i)
		switch o.Objective {
		case Squared:
			g[i], h[i] = w*(raw[i]-y), w
		case Logistic:
			p := logistic(raw[i])
			g[i], h[i] = w*(p-y), w*max(p*(1-p), 1e-12)
		case Quantile:
			g[i], h[i] = w*(1-o.Quantile), w
			if y > raw[i] {
				g[i] = -w * o.Quantile
			}
		}
	}
}

// loss is the mean loss of raw predictions.
func loss(s *Set, raw []float64, o Options) float64 {
	var sum, total float64
	for i, y := range s.Y {
		w := s.weight(i)
		total += w
		switch d := y - raw[i]; o.Objective {
		case Squared:
			sum += w * d * d / 2
		case Logistic:
			// log(1 + e^raw) - y raw, without overflow
			sum += w * (max(raw[i], 0) + math.Log1p(math.Exp(-math.Abs(raw[i]))) - y*raw[i])
		case Quantile:
			sum += w * max(o.Quantile*d, (o.Quantile-1)*d)
		}
	}
	return sum / total
}
