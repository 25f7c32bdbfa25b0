package gbdt_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/gbdt"
)

func numbers(n int) []gbdt.Column {
	return make([]gbdt.Column, n)
}

// friedman1 is the benchmark of Friedman, "Multivariate adaptive regression
// splines" (1991), section 4.3: five columns matter, five do not, noise N(0,1).
func friedman1(rng *rand.Rand, n int) *gbdt.Set {
	s := &gbdt.Set{}
	for range n {
		x := make([]float64, 10)
		for i := range x {
			x[i] = rng.Float64()
		}
		s.Rows = append(s.Rows, x)
		s.Y = append(s.Y, 10*math.Sin(math.Pi*x[0]*x[1])+20*(x[2]-.5)*(x[2]-.5)+10*x[3]+5*x[4]+rng.NormFloat64())
	}
	return s
}

func mse(m *gbdt.Model, s *gbdt.Set) float64 {
	var sum float64
	for i, row := range s.Rows {
		d := m.Predict(row) - s.Y[i]
		sum += d * d
	}
	return sum / float64(len(s.Y))
}

func fit(t *testing.T, columns []gbdt.Column, train, valid *gbdt.Set, o gbdt.Options) *gbdt.Model {
	t.Helper()
	m, err := gbdt.Fit(columns, train, valid, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Breiman, "Bagging predictors" (1996), table 3: with 200 training cases the
// squared error of a tree is 11.4 and of bagged trees 6.2.
func TestFriedmansFunctionIsLearntBetterThanByBaggedTrees(t *testing.T) {
	t.Parallel()
	var sum float64
	const trials = 10
	for seed := range uint64(trials) {
		rng := rand.New(rand.NewPCG(seed, 1))
		train, test := friedman1(rng, 200), friedman1(rng, 1000)
		m := fit(t, numbers(10), train, nil, gbdt.Options{Leaves: 6, MinRows: 5, RowShare: .7, Rounds: 300})
		sum += mse(m, test)
		if gains := m.Gains(); gains[3] < .1 || gains[7] > gains[3] {
			t.Errorf("gains %v", gains)
		}
	}
	if got := sum / trials; got > 5.0 {
		t.Errorf("mean squared error %.2f, want well under 6.2", got)
	}
}

func TestContributionsAddUpToThePrediction(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	train := friedman1(rng, 500)
	for i := range train.Rows {
		train.Rows[i][9] = float64(rng.IntN(30))
		if i%3 == 0 {
			train.Rows[i][0] = math.NaN()
		}
	}
	columns := numbers(10)
	columns[9].Levels = 30
	m := fit(t, columns, train, nil, gbdt.Options{RowShare: .5, ColumnShare: .5, Rounds: 50})
	out := make([]float64, 10)
	for _, row := range train.Rows {
		sum := m.Contributions(row, out)
		for _, x := range out {
			sum += x
		}
		if math.Abs(sum-m.Raw(row)) > 1e-9 {
			t.Fatalf("%v and %v", sum, m.Raw(row))
		}
	}
}

func TestTheSameRowsGiveTheSameBytesAndTheBytesGiveTheSameModel(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3))
	train := friedman1(rng, 300)
	columns := numbers(10)
	columns[4] = gbdt.Column{Name: "kind", Levels: 2}
	o := gbdt.Options{RowShare: .6, ColumnShare: .6, Rounds: 20, Seed: 9}
	a, b := fit(t, columns, train, nil, o), fit(t, columns, train, nil, o)
	text := a.AppendBinary(nil)
	if !bytes.Equal(text, b.AppendBinary(nil)) {
		t.Fatal("two fits differ")
	}
	back, err := gbdt.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, back.AppendBinary(nil)) || back.Predict(train.Rows[0]) != a.Predict(train.Rows[0]) {
		t.Error("a decoded model differs")
	}
}

func TestChancesAreLearntFromCategoriesAndWhatIsMissing(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 4))
	columns := []gbdt.Column{{Name: "kind", Levels: 40}, {Name: "x"}}
	truth := func(row []float64) float64 {
		p := 0.1
		if int(row[0])%3 == 0 {
			p = 0.6
		}
		if math.IsNaN(row[1]) {
			p += 0.3
		}
		return p
	}
	s := &gbdt.Set{}
	for range 20000 {
		row := []float64{float64(rng.IntN(40)), rng.Float64()}
		if rng.Float64() < .4 {
			row[1] = math.NaN()
		}
		y := 0.0
		if rng.Float64() < truth(row) {
			y = 1
		}
		s.Rows, s.Y = append(s.Rows, row), append(s.Y, y)
	}
	valid := &gbdt.Set{Rows: s.Rows[15000:], Y: s.Y[15000:]}
	train := &gbdt.Set{Rows: s.Rows[:15000], Y: s.Y[:15000]}
	m := fit(t, columns, train, valid, gbdt.Options{Objective: gbdt.Logistic, Rounds: 500, Leaves: 8, MinRows: 100})
	if m.Trees() == 500 || m.Trees() == 0 {
		t.Errorf("%d trees: the growth did not stop at the best", m.Trees())
	}
	var worst float64
	for k := range 40 {
		for _, x := range []float64{math.NaN(), .5} {
			row := []float64{float64(k), x}
			worst = max(worst, math.Abs(m.Predict(row)-truth(row)))
		}
	}
	if worst > .13 {
		t.Errorf("a chance is wrong by %.3f", worst)
	}
	if p := m.Predict([]float64{99, .5}); !(p > 0 && p < 1) {
		t.Errorf("an unseen category gives %v", p)
	}
}

func TestAQuantileCoversItsShare(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 5))
	draw := func(n int) *gbdt.Set {
		s := &gbdt.Set{}
		for range n {
			x := rng.Float64() * 10
			s.Rows, s.Y = append(s.Rows, []float64{x}), append(s.Y, x+(1+x)*rng.ExpFloat64())
		}
		return s
	}
	train, valid, test := draw(6000), draw(2000), draw(5000)
	for _, q := range []float64{.1, .5, .9} {
		m := fit(t, numbers(1), train, valid, gbdt.Options{Objective: gbdt.Quantile, Quantile: q, Leaves: 8, LearningRate: .1})
		under := 0
		for i, row := range test.Rows {
			if test.Y[i] <= m.Predict(row) {
				under++
			}
		}
		if share := float64(under) / 5000; math.Abs(share-q) > .03 {
			t.Errorf("quantile %v covers %v", q, share)
		}
	}
}

func TestWeightsCountAsCopies(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(6, 6))
	single := friedman1(rng, 200)
	twice := &gbdt.Set{}
	for i, row := range single.Rows {
		single.Weight = append(single.Weight, float64(1+i%2))
		for range 1 + i%2 {
			twice.Rows, twice.Y = append(twice.Rows, row), append(twice.Y, single.Y[i])
		}
	}
	// A row of weight two is still one row, so the fewest rows of a leaf must not bind.
	o := gbdt.Options{Rounds: 40, Leaves: 3, MinRows: 1}
	a, b := fit(t, numbers(10), single, nil, o), fit(t, numbers(10), twice, nil, o)
	for _, row := range single.Rows {
		if math.Abs(a.Predict(row)-b.Predict(row)) > 1e-6 {
			t.Fatalf("%v and %v", a.Predict(row), b.Predict(row))
		}
	}
}

func TestUnusableRowsAreRefused(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*gbdt.Set{
		"no rows":    {},
		"ragged":     {Rows: [][]float64{{1}}, Y: []float64{1}},
		"no target":  {Rows: [][]float64{{1, 2}}},
		"not finite": {Rows: [][]float64{{1, math.Inf(1)}}, Y: []float64{1}},
		"not 0 or 1": {Rows: [][]float64{{1, 2}}, Y: []float64{.5}},
		"weight":     {Rows: [][]float64{{1, 2}}, Y: []float64{1}, Weight: []float64{0}},
	} {
		if _, err := gbdt.Fit(numbers(2), s, nil, gbdt.Options{Objective: gbdt.Logistic}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	one := &gbdt.Set{Rows: [][]float64{{1, 2}}, Y: []float64{1}}
	if m := fit(t, numbers(2), one, nil, gbdt.Options{Objective: gbdt.Logistic}); !(m.Predict(one.Rows[0]) > .5) {
		t.Error("one row gives no model")
	}
}

func FuzzDecode(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 7))
	columns := numbers(10)
	columns[3].Levels = 2
	m, _ := gbdt.Fit(columns, friedman1(rng, 60), nil, gbdt.Options{Rounds: 2, Leaves: 4, MinRows: 5})
	f.Add(m.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := gbdt.Decode(b)
		if err != nil {
			return
		}
		row := make([]float64, len(m.Columns))
		m.Contributions(row, make([]float64, len(row)))
		if _, err := gbdt.Decode(m.AppendBinary(nil)); err != nil {
			t.Error("does not read its own bytes")
		}
	})
}

func BenchmarkPredict(b *testing.B) {
	rng := rand.New(rand.NewPCG(8, 8))
	s := friedman1(rng, 2000)
	m, err := gbdt.Fit(numbers(10), s, nil, gbdt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Predict(s.Rows[0])
	}
}
