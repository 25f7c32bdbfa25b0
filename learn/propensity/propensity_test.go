package propensity_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/gbdt"
	"github.com/rapport-engine/rapport/learn/propensity"
)

// table draws rows whose true chance is known.
func table(n int, seed uint64) (columns []gbdt.Column, set *gbdt.Set, truth []float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	columns = []gbdt.Column{{Name: "pages"}, {Name: "device", Levels: 3}, {Name: "noise"}, {Name: "maybe"}}
	set = &gbdt.Set{}
	for range n {
		row := []float64{float64(rng.IntN(20)), float64(rng.IntN(3)), rng.NormFloat64(), math.NaN()}
		if rng.IntN(2) == 0 {
			row[3] = rng.Float64()
		}
		x := -3 + .2*row[0] + row[1]*.5
		p := 1 / (1 + math.Exp(-x))
		y := 0.0
		if rng.Float64() < p {
			y = 1
		}
		set.Rows, set.Y, truth = append(set.Rows, row), append(set.Y, y), append(truth, p)
	}
	return columns, set, truth
}

func TestChancesMeanWhatTheySay(t *testing.T) {
	t.Parallel()
	columns, set, _ := table(3000, 1)
	m, err := propensity.Fit(columns, set, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, fresh, truth := table(4000, 2)
	off, mean, rate := 0.0, 0.0, 0.0
	for i, row := range fresh.Rows {
		p := m.Chance(row)
		if !(p > 0 && p < 1) {
			t.Fatalf("chance %v", p)
		}
		off += math.Abs(p-truth[i]) / 4000
		mean += p / 4000
		rate += fresh.Y[i] / 4000
	}
	t.Logf("mean distance from the true chance %.4f; foretold %.4f, happened %.4f", off, mean, rate)
	if off > .05 || math.Abs(mean-rate) > .03 {
		t.Errorf("mean distance from the true chance %.4f; foretold %.4f, happened %.4f", off, mean, rate)
	}
}

func TestAModelThatMustBeSmallHasFewerTrees(t *testing.T) {
	t.Parallel()
	columns, set, _ := table(3000, 1)
	whole, err := propensity.Fit(columns, set, 1)
	if err != nil {
		t.Fatal(err)
	}
	full, _ := json.Marshal(whole)
	small, err := propensity.FitWithin(columns, set, 1, len(full)/2)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(small)
	if len(got) > len(full)/2 || len(got) < len(full)/20 {
		t.Errorf("%d bytes of %d", len(got), len(full))
	}
	if same, err := propensity.FitWithin(columns, set, 1, len(full)); err != nil || small.Chance(set.Rows[0]) == same.Chance(set.Rows[0]) {
		t.Error("what need not be small is not whole", err)
	}
	if _, err := propensity.FitWithin(columns, set, 1, 10); err == nil {
		t.Error("ten bytes hold a model")
	}
}

func TestAModelDoesNotDependOnTheOrderOfRowsAndSurvivesItsEncoding(t *testing.T) {
	t.Parallel()
	columns, set, _ := table(800, 3)
	m, err := propensity.Fit(columns, set, 1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	mixed := &gbdt.Set{}
	for _, i := range rng.Perm(len(set.Rows)) {
		mixed.Rows, mixed.Y = append(mixed.Rows, set.Rows[i]), append(mixed.Y, set.Y[i])
	}
	other, err := propensity.Fit(columns, mixed, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(other)
	if !bytes.Equal(got, want) {
		t.Error("the order of rows changes the model")
	}
	var back propensity.Model
	if err := json.Unmarshal(want, &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(&back)
	if !bytes.Equal(again, want) {
		t.Error("a model is not what it was")
	}
	for _, row := range set.Rows {
		sum := 0.0
		for _, p := range back.Explain(row) {
			sum += p.Effect
		}
		if p := m.Chance(row); p != back.Chance(row) || math.Abs(sum-p) > 1e-12 {
			t.Fatalf("chance %v, decoded %v, explained %v", p, back.Chance(row), sum)
		}
	}
	for _, bad := range []string{`{}`, `{"forests":["AAAA"],"score":[1],"chance":[0.5]}`, `{"forests":[],"score":[1],"chance":[0.5]}`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s is taken for a model", bad)
		}
	}
}

func TestTheJudgementIsOfRowsNoModelHadSeen(t *testing.T) {
	t.Parallel()
	columns, set, _ := table(600, 5)
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range set.Y { // nothing can be told
		set.Y[i] = float64(rng.IntN(2))
	}
	j, err := propensity.Judge(t.Context(), columns, set, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	if j.AUC < .42 || j.AUC > .58 || j.CalibrationError > .12 {
		t.Errorf("of noise: %+v", j)
	}
	n := 0
	for _, b := range j.Bins {
		n += b.Count
	}
	if n != 600 {
		t.Errorf("%d rows judged", n)
	}
}

func BenchmarkChance(b *testing.B) {
	columns, set, _ := table(3000, 1)
	m, err := propensity.Fit(columns, set, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Chance(set.Rows[i%3000])
	}
}
