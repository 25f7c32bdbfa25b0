package survival

import (
	"slices"

	"github.com/rapport-engine/rapport/learn/gbdt"
)

// Failure tells from one moment's readings whether a machine fails: a forest
// over the readings and what physics makes of pairs of them (a product, such as
// power from torque and speed; a difference, such as heat that does not leave),
// with the threshold that suits rare failures best. Interactions given as
// columns let shallow trees find what they would need many splits for (Friedman
// and Popescu, "Predictive learning via rule ensembles", 2008).
type Failure struct {
	forests   []*gbdt.Model // their chances are averaged
	levels    []int
	tails     []tail
	Threshold float64 // of the chance, where F1 was best out of fold
}

// maxPaired is how many columns of numbers are paired, by order.
const maxPaired = 12

// FitFailure learns from rows with failed in {0, 1}. levels[i] is the number of
// categories of column i, or 0 for numbers.
func FitFailure(rows [][]float64, failed []float64, levels []int, seed uint64) (*Failure, error) {
	f := &Failure{levels: slices.Clone(levels)}
	var columns []gbdt.Column
	for _, n := range levels {
		columns = append(columns, gbdt.Column{Levels: n})
	}
	wide := make([][]float64, len(rows))
	for i, row := range rows {
		wide[i] = f.pair(row)
	}
	f.learnTails(wide)
	for i, row := range rows {
		wide[i] = f.widen(row)
	}
	for len(wide) > 0 && len(columns) < len(wide[0]) {
		columns = append(columns, gbdt.Column{})
	}
	options := gbdt.Options{
		Objective: gbdt.Logistic, Rounds: 100, LearningRate: 0.1, Leaves: 8, MinRows: 15, L2: 10, RowShare: 0.9, ColumnShare: 0.5, Bins: 254, Seed: seed,
	}
	// The threshold is chosen where the forest had not learned.
	const parts = 3
	chance := make([]float64, len(rows))
	for part := range parts {
		set := &gbdt.Set{}
		for i := range wide {
			if i%parts != part {
				set.Rows, set.Y = append(set.Rows, wide[i]), append(set.Y, failed[i])
			}
		}
		options.Seed++
		m, err := gbdt.Fit(columns, set, nil, options)
		if err != nil {
			return nil, err
		}
		for i := part; i < len(wide); i += parts {
			chance[i] = m.Predict(wide[i])
		}
	}
	f.Threshold = bestThreshold(chance, failed)
	for range forests {
		options.Seed++
		m, err := gbdt.Fit(columns, &gbdt.Set{Rows: wide, Y: failed}, nil, options)
		if err != nil {
			return nil, err
		}
		f.forests = append(f.forests, m)
	}
	return f, nil
}

// forests is how many are averaged: failures are few, and one forest follows
// the chance of its draw.
const forests = 3

// Chance returns the chance of failure.
func (f *Failure) Chance(row []float64) float64 {
	wide, sum := f.widen(row), 0.0
	for _, m := range f.forests {
		sum += m.Predict(wide)
	}
	return sum / float64(len(f.forests))
}

// Fails reports whether the chance is above the threshold.
func (f *Failure) Fails(row []float64) bool { return f.Chance(row) >= f.Threshold }

// pair adds what pairs of numbers make.
func (f *Failure) pair(row []float64) []float64 {
	out := slices.Clone(row)
	var numbers []float64
	for i, x := range row {
		if f.levels[i] == 0 && len(numbers) < maxPaired {
			numbers = append(numbers, x)
		}
	}
	for i, x := range numbers {
		for _, y := range numbers[i+1:] {
			out = append(out, x*y, x-y)
		}
	}
	return out
}

// learnTails notes where the outer tenths of each number begin.
func (f *Failure) learnTails(wide [][]float64) {
	if len(wide) == 0 {
		return
	}
	column := make([]float64, len(wide))
	f.tails = make([]tail, len(wide[0]))
	for j := range f.tails {
		if j < len(f.levels) && f.levels[j] > 0 {
			continue
		}
		for i := range wide {
			column[i] = wide[i][j]
		}
		slices.Sort(column)
		f.tails[j] = tail{column[len(column)/10], column[len(column)*9/10], true}
	}
}

// widen adds each number once more with all but its tails made one value:
// rare failures live in tails, and a histogram of the whole would put a tail
// into two or three of its bins.
func (f *Failure) widen(row []float64) []float64 {
	out := f.pair(row)
	n := len(out)
	for j := range n {
		if t := f.tails[j]; t.number {
			x := out[j]
			if x > t.low && x < t.high {
				x = (t.low + t.high) / 2
			}
			out = append(out, x)
		}
	}
	return out
}

type tail struct {
	low, high float64
	number    bool
}

// bestThreshold returns the chance from which calling it a failure has the best F1.
func bestThreshold(chance, failed []float64) float64 {
	order := make([]int, len(chance))
	positives := 0.0
	for i := range order {
		order[i] = i
		positives += failed[i]
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case chance[a] > chance[b]:
			return -1
		case chance[a] < chance[b]:
			return 1
		}
		return a - b
	})
	best, at, right := 0.0, 0.5, 0.0
	for i, k := range order {
		right += failed[k]
		if i+1 < len(order) && chance[order[i+1]] == chance[k] {
			continue
		}
		if f1 := 2 * right / (float64(i+1) + positives); f1 > best {
			best, at = f1, chance[k]
			if i+1 < len(order) {
				at = (at + chance[order[i+1]]) / 2
			}
		}
	}
	return at
}
