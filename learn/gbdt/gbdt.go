// Package gbdt grows gradient boosted decision trees over histograms: for a
// number, a chance or a quantile of either kind of table, with missing values
// and categories.
//
// It is pure and deterministic: the same rows, options and seed give the same
// trees, byte for byte on one architecture. Every prediction can be taken apart
// into one contribution per column which add up to it exactly. Predicting
// allocates nothing and costs one walk per tree.
//
// Sources: Friedman, "Greedy function approximation: a gradient boosting
// machine", Annals of Statistics 29 (2001); Ke et al., "LightGBM", NeurIPS 2017
// (histograms, growth by leaf); Fisher, "On grouping for maximum homogeneity",
// JASA 53 (1958) (splits of categories).
package gbdt

import (
	"errors"
	"fmt"
	"math"
)

// Objective is what the trees minimise.
type Objective uint8

const (
	// Squared predicts the mean: half the squared error.
	Squared Objective = iota
	// Logistic predicts the chance that y is 1, for y in {0, 1}.
	Logistic
	// Quantile predicts the Options.Quantile of y: the pinball loss.
	Quantile
)

// MaxLevels is the most levels a column of categories may have.
const MaxLevels = 254

// Column says what stands in one column of the rows.
type Column struct {
	Name string
	// Levels is the number of categories of a column that holds category codes
	// 0..Levels-1 (at most MaxLevels), or 0 for a column of numbers. NaN is a
	// missing value in both; a code outside the range counts as missing.
	Levels int
}

// Set is a table to learn from or to judge on.
type Set struct {
	Rows [][]float64 // one value per column
	Y    []float64   // targets, finite
	// Weight is the weight of each row, > 0; nil weighs all the same.
	Weight []float64
}

// Options say how to grow. The zero value of each field takes the default.
type Options struct {
	Objective    Objective
	Quantile     float64 // in (0, 1); default 0.5
	Rounds       int     // most trees; default 300
	LearningRate float64 // in (0, 1]; default 0.05
	Leaves       int     // most leaves of a tree; default 31
	Depth        int     // most splits from root to leaf; 0 is no limit
	MinRows      int     // fewest rows of a leaf; default 20
	L2           float64 // penalty on leaf values; default 1
	Bins         int     // most bins of a column of numbers, 2..254; default 254
	// RowShare and ColumnShare are drawn anew for each tree, in (0, 1]; default 1.
	RowShare, ColumnShare float64
	// Patience is how many rounds without an improvement on the validation set
	// end the growth; default 30. Without a validation set all Rounds are grown.
	Patience int
	Seed     uint64
}

// node is a split, or a leaf if left is 0 (the root is never a child).
type node struct {
	column      int32
	left, right int32
	missingLeft bool
	threshold   float64   // numbers: <= goes left
	levels      [4]uint64 // categories: a set bit goes left
	value       float64   // mean of the leaves below, weighted by their cover
	cover       float64   // weight of the training rows that came here
	gain        float64
}

type tree []node

// Model is a grown forest. It is immutable and safe for concurrent use.
type Model struct {
	Columns   []Column
	Objective Objective
	base      float64 // raw prediction before any tree
	trees     []tree
}

// Trees returns the number of trees.
func (m *Model) Trees() int { return len(m.trees) }

// Slim returns the model for predictions alone: with numbers of 32 bits and
// without what [Model.Contributions] and [Model.Gains] need, so that its
// encoding compresses to a fourth.
func (m *Model) Slim() *Model {
	short := func(x float64) float64 { return float64(float32(x)) }
	out := &Model{Columns: m.Columns, Objective: m.Objective, base: m.base, trees: make([]tree, len(m.trees))}
	for i, t := range m.trees {
		out.trees[i] = make(tree, len(t))
		for j, n := range t {
			n.threshold, n.cover, n.gain = short(n.threshold), 0, 0
			if n.value = short(n.value); n.left > 0 {
				n.value = 0
			}
			out.trees[i][j] = n
		}
	}
	return out
}

// next returns the child a row goes to.
func (n *node) next(columns []Column, row []float64) int32 {
	x := row[n.column]
	left := n.missingLeft
	if levels := columns[n.column].Levels; levels > 0 {
		if x >= 0 && x < float64(levels) {
			code := uint(x)
			left = n.levels[code/64]>>(code%64)&1 == 1
		}
	} else if !math.IsNaN(x) {
		left = x <= n.threshold
	}
	if left {
		return n.left
	}
	return n.right
}

func (t tree) leaf(columns []Column, row []float64) *node {
	n := &t[0]
	for n.left > 0 {
		n = &t[n.next(columns, row)]
	}
	return n
}

// Raw returns the sum of the leaves the row falls in: the prediction itself, or
// its log odds for Logistic. row has one value per column.
func (m *Model) Raw(row []float64) float64 {
	sum := m.base
	for _, t := range m.trees {
		sum += t.leaf(m.Columns, row).value
	}
	return sum
}

// Predict returns the mean, the quantile or the chance in (0, 1).
func (m *Model) Predict(row []float64) float64 {
	return m.response(m.Raw(row))
}

func (m *Model) response(raw float64) float64 {
	if m.Objective == Logistic {
		return logistic(raw)
	}
	return raw
}

func logistic(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// Contributions takes Raw apart: it sets out[i] to what column i adds for this
// row and returns the bias, the same for every row; both add up to Raw. A
// column's part is the sum of the steps its splits make on the row's path
// (Saabas, "Interpreting random forests", 2014).
func (m *Model) Contributions(row, out []float64) (bias float64) {
	clear(out)
	bias = m.base
	for _, t := range m.trees {
		n := &t[0]
		bias += n.value
		for n.left > 0 {
			child := &t[n.next(m.Columns, row)]
			out[n.column] += child.value - n.value
			n = child
		}
	}
	return bias
}

// Gains returns how much of the loss each column's splits took away, as shares
// that add up to 1 (all zero without a split).
func (m *Model) Gains() []float64 {
	out := make([]float64, len(m.Columns))
	var sum float64
	for _, t := range m.trees {
		for i := range t {
			if t[i].left > 0 {
				out[t[i].column] += t[i].gain
				sum += t[i].gain
			}
		}
	}
	if sum > 0 {
		for i := range out {
			out[i] /= sum
		}
	}
	return out
}

func (o Options) filled() (Options, error) {
	if o.Quantile == 0 {
		o.Quantile = 0.5
	}
	if o.Rounds == 0 {
		o.Rounds = 300
	}
	if o.LearningRate == 0 {
		o.LearningRate = 0.05
	}
	if o.Leaves == 0 {
		o.Leaves = 31
	}
	if o.MinRows == 0 {
		o.MinRows = 20
	}
	if o.L2 == 0 {
		o.L2 = 1
	}
	if o.Bins == 0 {
		o.Bins = MaxLevels
	}
	if o.RowShare == 0 {
		o.RowShare = 1
	}
	if o.ColumnShare == 0 {
		o.ColumnShare = 1
	}
	if o.Patience == 0 {
		o.Patience = 30
	}
	share := func(x float64) bool { return x > 0 && x <= 1 }
	if !(o.Quantile > 0 && o.Quantile < 1) || o.Rounds < 1 || !share(o.LearningRate) || o.Leaves < 2 || o.Depth < 0 || o.MinRows < 1 ||
		!(o.L2 >= 0) || o.Bins < 2 || o.Bins > MaxLevels || !share(o.RowShare) || !share(o.ColumnShare) || o.Patience < 1 || o.Objective > Quantile {
		return o, fmt.Errorf("gbdt: an option is out of range: %+v", o)
	}
	return o, nil
}

func (s *Set) check(columns []Column, objective Objective) error {
	if len(s.Rows) == 0 {
		return errors.New("gbdt: there are no rows")
	}
	if len(s.Y) != len(s.Rows) || s.Weight != nil && len(s.Weight) != len(s.Rows) {
		return fmt.Errorf("gbdt: %d rows, %d targets, %d weights", len(s.Rows), len(s.Y), len(s.Weight))
	}
	for i, row := range s.Rows {
		if len(row) != len(columns) {
			return fmt.Errorf("gbdt: row %d has %d values for %d columns", i, len(row), len(columns))
		}
		for c, x := range row {
			if math.IsInf(x, 0) {
				return fmt.Errorf("gbdt: row %d, column %s is infinite", i, columns[c].Name)
			}
		}
		if y := s.Y[i]; math.IsNaN(y) || math.IsInf(y, 0) || objective == Logistic && y != 0 && y != 1 {
			return fmt.Errorf("gbdt: row %d has the target %v", i, y)
		}
		if s.Weight != nil && !(s.Weight[i] > 0 && s.Weight[i] < math.Inf(1)) {
			return fmt.Errorf("gbdt: row %d has the weight %v", i, s.Weight[i])
		}
	}
	return nil
}

func (s *Set) weight(i int) float64 {
	if s.Weight == nil {
		return 1
	}
	return s.Weight[i]
}
