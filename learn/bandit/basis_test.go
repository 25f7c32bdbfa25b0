package bandit_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/bandit"
)

// crowd draws features that a few hidden inclinations bring about.
func crowd(r *rand.Rand, slots int) []bandit.Feature {
	hidden := [3]float64{r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
	var x []bandit.Feature
	for i := range slots {
		v := hidden[i%3] * (1 + float64(i%5)/5)
		x = append(x, bandit.Feature{Slot: uint16(7 * i % bandit.Slots), Value: float32(1 + v + 0.1*r.NormFloat64())})
	}
	return x
}

// The axes are orthonormal, and along them the features are neither correlated
// nor away from nought (Pearson 1901).
func TestAlongTheAxesFeaturesAreUncorrelated(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 6))
	var s bandit.Scatter
	var all [][]bandit.Feature
	for range 2000 {
		x := crowd(r, 20)
		all = append(all, x)
		s.Add(x)
	}
	b := s.Basis()
	for i := range 20 {
		for j := range i + 1 {
			dot := 0.0
			for slot := range bandit.Slots {
				dot += float64(b.Rows[slot][i] * b.Rows[slot][j])
			}
			want := 0.0
			if i == j {
				want = 1
			}
			if math.Abs(dot-want) > 1e-4 {
				t.Fatalf("axes %d and %d have the product %v", i, j, dot)
			}
		}
	}
	var sum [4]float64
	var cross [4][4]float64
	for _, x := range all {
		var z bandit.Vector
		b.Project(x, &z)
		for i := range sum {
			sum[i] += float64(z[1+bandit.Own+i])
			for j := range sum {
				cross[i][j] += float64(z[1+bandit.Own+i] * z[1+bandit.Own+j])
			}
		}
	}
	n := float64(len(all))
	for i := range sum {
		for j := range i {
			if c := cross[i][j] / math.Sqrt(cross[i][i]*cross[j][j]); math.Abs(c) > 1e-2 {
				t.Errorf("along axes %d and %d the correlation is %v", i, j, c)
			}
		}
		if math.Abs(sum[i]/n) > 1e-2 {
			t.Errorf("along axis %d the mean is %v", i, sum[i]/n)
		}
	}
	if cross[2][2] < 20*cross[3][3] {
		t.Errorf("three hidden inclinations, but the fourth axis holds %v of the third's %v", cross[3][3], cross[2][2])
	}
}

// What was learned survives a change of axes: the log-odds of an example and
// how unsure they are stay what they were.
func TestWeightsSayTheSameInAnotherBasis(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 6))
	var s bandit.Scatter
	for range 300 {
		s.Add(crowd(r, 30))
	}
	first := s.Basis()
	prior := bandit.Prior{Constant: 1, Slope: 0.5}
	w := bandit.NewWeights(-2, prior)
	w.Grow(prior)
	for range 3000 {
		x := crowd(r, 30)
		s.Add(x)
		var z bandit.Vector
		first.Project(x, &z)
		y := 0.0
		if r.Float64() < bandit.Sigmoid(-2+float64(x[3].Value)) {
			y = 1
		}
		bandit.Observe([]bandit.Part{{Weights: &w, Prior: prior}}, &z, y)
	}
	second := s.Basis()
	turned := w.Clone()
	turned.Turn(first.To(second), prior, prior)
	for range 50 {
		x := crowd(r, 30)
		var z bandit.Vector
		first.Project(x, &z)
		was := w.Score(&z).Mean
		second.Project(x, &z)
		if g := turned.Score(&z); math.Abs(g.Mean-was) > 0.02 || !(g.Constant >= 0 && g.Slopes >= 0) {
			t.Errorf("log-odds of %.3f became %+v", was, g)
		}
	}
}

func TestNoFeaturesGiveNoAxesAndDoNoHarm(t *testing.T) {
	t.Parallel()
	var s bandit.Scatter
	for range 10 {
		s.Add(nil)
	}
	b := s.Basis()
	var z bandit.Vector
	b.Project([]bandit.Feature{{Slot: 3, Value: 1}}, &z)
	if z != (bandit.Vector{1}) {
		t.Errorf("inputs are %v", z)
	}
	var none *bandit.Basis
	none.Project([]bandit.Feature{{Slot: 3, Value: 1}}, &z)
	if z != (bandit.Vector{1}) || none.Along([]bandit.Feature{{Slot: 3, Value: 1}}, &bandit.Slope{1}) != 0 {
		t.Errorf("without axes inputs are %v", z)
	}
}
