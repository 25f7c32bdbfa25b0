// Package propensity learns the chance of something from a table of what came
// before: boosted trees whose scores are turned into chances that mean what
// they say.
//
// It is pure and deterministic. A model, and what is found of how good it is,
// depends on the set of rows alone and not on their order, so that two programs
// that saw the same rows agree to the last bit. Chances lie strictly inside
// (0, 1); what a row's columns add to one adds up to it exactly.
//
// Sources: Friedman, "Greedy function approximation: a gradient boosting
// machine" (2001); Zadrozny and Elkan, "Transforming classifier scores into
// accurate multiclass probability estimates" (2002); the cross-fitted ensemble
// follows Niculescu-Mizil and Caruana, "Predicting good probabilities with
// supervised learning" (2005).
package propensity

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/rapport-engine/rapport/learn/calibrate"
	"github.com/rapport-engine/rapport/learn/gbdt"
	"github.com/rapport-engine/rapport/learn/metric"
)

// Model is a calibrated forest: the mean score of several models, each of
// which stopped growing on a part it was not grown on, and the curve from score
// to chance learnt from the scores of those parts. It is immutable and safe for
// concurrent use.
type Model struct {
	forests []*gbdt.Model
	curve   *calibrate.Isotonic
}

// parts is how many models are averaged, rounds how many trees each has at most.
const (
	parts  = 3
	rounds = 1000
)

// Fit learns from rows with Y in {0, 1}; both must occur, and weights are not
// used. seed chooses how rows are dealt into parts.
func Fit(columns []gbdt.Column, set *gbdt.Set, seed uint64) (*Model, error) {
	return fit(columns, set, seed, rounds)
}

// FitWithin is Fit for a model of at most so many bytes of JSON: with half the
// trees, and half again, until it is small enough.
func FitWithin(columns []gbdt.Column, set *gbdt.Set, seed uint64, bytes int) (*Model, error) {
	for n := rounds; ; {
		m, err := fit(columns, set, seed, n)
		if err != nil {
			return nil, err
		}
		text, err := m.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if len(text) <= bytes {
			return m, nil
		}
		grown := 0
		for _, f := range m.forests {
			grown = max(grown, f.Trees())
		}
		if n = min(n, grown) / 2; n == 0 {
			return nil, fmt.Errorf("propensity: a model of one tree takes %d bytes, more than %d", len(text), bytes)
		}
	}
}

func fit(columns []gbdt.Column, set *gbdt.Set, seed uint64, rounds int) (*Model, error) {
	set = sorted(set)
	part := stratify(set.Y, parts, seed+100)
	out := &Model{}
	score := make([]float64, len(set.Y))
	for p := range parts {
		m, err := gbdt.Fit(columns, take(set, func(i int) bool { return part[i] != p }), take(set, func(i int) bool { return part[i] == p }), gbdt.Options{
			Objective: gbdt.Logistic, Rounds: rounds, LearningRate: 0.05, Leaves: 15, MinRows: 20, RowShare: 0.8, ColumnShare: 0.7, L2: 3, Seed: seed,
		})
		if err != nil {
			return nil, err
		}
		for i, row := range set.Rows {
			if part[i] == p {
				score[i] = m.Raw(row)
			}
		}
		out.forests = append(out.forests, m)
	}
	var err error
	out.curve, err = calibrate.FitIsotonic(score, set.Y, nil)
	return out, err
}

// Columns returns what rows are made of.
func (m *Model) Columns() []gbdt.Column { return m.forests[0].Columns }

// Raw returns the mean score, in log odds before calibration.
func (m *Model) Raw(row []float64) float64 {
	var sum float64
	for _, f := range m.forests {
		sum += f.Raw(row)
	}
	return sum / float64(len(m.forests))
}

// Chance returns the chance in (0, 1).
func (m *Model) Chance(row []float64) float64 { return m.curve.At(m.Raw(row)) }

// Part is what one column adds to a chance.
type Part struct {
	Column int // -1 is what every row has, before any column is known
	Effect float64
}

// Explain takes a chance apart: first what every row has, then each column that
// matters, those with the most weight first. The effects add up to the chance.
func (m *Model) Explain(row []float64) []Part {
	sum, one := make([]float64, len(m.Columns())), make([]float64, len(m.Columns()))
	raw := 0.0
	for _, f := range m.forests {
		raw += f.Contributions(row, one) / float64(len(m.forests))
		for c, x := range one {
			sum[c] += x / float64(len(m.forests))
		}
	}
	order := make([]int, 0, len(sum))
	for c, x := range sum {
		if x != 0 {
			order = append(order, c)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(abs(sum[b]), abs(sum[a])) })
	at := m.curve.At(raw)
	out := []Part{{-1, at}}
	for k, c := range order {
		raw += sum[c]
		next := m.curve.At(raw)
		if k == len(order)-1 {
			next = m.Chance(row) // the same sum in the other order
		}
		out = append(out, Part{c, next - at})
		at = next
	}
	return out
}

func abs(x float64) float64 { return max(x, -x) }

// Gains returns each column's share in what was learnt.
func (m *Model) Gains() []float64 {
	out := make([]float64, len(m.Columns()))
	for _, f := range m.forests {
		for c, g := range f.Gains() {
			out[c] += g / float64(len(m.forests))
		}
	}
	return out
}

// Folds is how often [Judge] holds out a part of the rows.
const Folds = 5

// Judgement tells how good models are, over rows they had not seen.
type Judgement struct {
	AUC, AveragePrecision, Brier, LogLoss, CalibrationError float64
	Bins                                                    []metric.Bin
	Gains                                                   []float64 // by column
}

// Judge fits to four fifths of the rows at a time and compares what is foretold
// of the rest with what happened. done is told after each.
func Judge(ctx context.Context, columns []gbdt.Column, set *gbdt.Set, done func(fold int)) (*Judgement, error) {
	set = sorted(set)
	score, chance := make([]float64, len(set.Y)), make([]float64, len(set.Y))
	out := &Judgement{Gains: make([]float64, len(columns))}
	fold := stratify(set.Y, Folds, 1)
	for f := range Folds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := Fit(columns, take(set, func(i int) bool { return fold[i] != f }), uint64(f))
		if err != nil {
			return nil, err
		}
		for i, row := range set.Rows {
			if fold[i] == f {
				score[i] = m.Raw(row)
				chance[i] = m.curve.At(score[i])
			}
		}
		for c, g := range m.Gains() {
			out.Gains[c] += g / Folds
		}
		done(f + 1)
	}
	out.AUC, out.AveragePrecision = metric.AUC(score, set.Y), metric.AveragePrecision(score, set.Y)
	out.Brier, out.LogLoss = metric.Brier(chance, set.Y), metric.LogLoss(chance, set.Y)
	out.Bins = metric.Calibration(chance, set.Y, 10)
	out.CalibrationError = metric.CalibrationError(out.Bins)
	return out, nil
}

// sorted brings rows into the order of what stands in them.
func sorted(set *gbdt.Set) *gbdt.Set {
	order := make([]int, len(set.Rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(slices.Compare(set.Rows[a], set.Rows[b]), cmp.Compare(set.Y[a], set.Y[b]))
	})
	out := &gbdt.Set{Rows: make([][]float64, len(order)), Y: make([]float64, len(order))}
	for i, k := range order {
		out.Rows[i], out.Y[i] = set.Rows[k], set.Y[k]
	}
	return out
}

// stratify deals rows into parts at random, those with the outcome and those
// without alike.
func stratify(y []float64, parts int, seed uint64) []int {
	rng := rand.New(rand.NewPCG(seed, 0x696e_7465_6e74))
	out := make([]int, len(y))
	next := [2]int{}
	for _, i := range rng.Perm(len(y)) {
		kind := int(y[i])
		out[i] = next[kind] % parts
		next[kind]++
	}
	return out
}

func take(set *gbdt.Set, want func(i int) bool) *gbdt.Set {
	out := &gbdt.Set{}
	for i, row := range set.Rows {
		if want(i) {
			out.Rows, out.Y = append(out.Rows, row), append(out.Y, set.Y[i])
		}
	}
	return out
}
