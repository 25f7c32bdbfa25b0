package bandit_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/bandit"
)

// Weights learned from one prior and rewritten for another are those learned
// from the other at once: the likelihood is the same (Bishop, Pattern
// Recognition and Machine Learning, 2006, section 3.3).
func TestWeightsAreRewrittenAsIfLearnedFromAnotherPrior(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	flat := bandit.Prior{Constant: 1, Slope: 0.5}
	steep := flat
	steep.Relief = new(bandit.Relief)
	for i := range steep.Relief {
		steep.Relief[i] = float32(0.3 + 1.4*r.Float64())
	}
	a, b := bandit.NewWeights(-2, flat), bandit.NewWeights(-2, steep)
	a.Grow(flat)
	b.Grow(steep)
	for range 3000 {
		x := bandit.Vector{1}
		for i := 1 + bandit.Own; i < bandit.Width; i++ {
			x[i] = float32(r.NormFloat64() / 4)
		}
		y := 0.0
		if r.Float64() < bandit.Sigmoid(-1.5+2*float64(x[10])-float64(x[20])) {
			y = 1
		}
		bandit.Observe([]bandit.Part{{Weights: &a, Prior: flat}}, &x, y)
		bandit.Observe([]bandit.Part{{Weights: &b, Prior: steep}}, &x, y)
	}
	a.Relearn(flat, steep)
	for i := range a.Slopes.Mean {
		if d := math.Abs(float64(a.Slopes.Mean[i] - b.Slopes.Mean[i])); d > 0.06 {
			t.Errorf("weight %d is %.3f, learned at once %.3f", i, a.Slopes.Mean[i], b.Slopes.Mean[i])
		}
		if q := float64(a.Slopes.Variance[i] / b.Slopes.Variance[i]); q < 0.9 || q > 1.1 {
			t.Errorf("variance of weight %d is %.2f times the one learned at once", i, q)
		}
	}
}

// Where many actions differ along two axes alone, that is found, and an action
// that begins with it is learned in fewer examples.
func TestAxesThatMatterToManyActionsAreBelievedToMatterToTheNext(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 4))
	prior := bandit.Prior{Constant: 1, Slope: 1}
	moment := func() (x bandit.Vector) {
		x[0] = 1
		for i := 1 + bandit.Own; i < bandit.Width; i++ {
			x[i] = float32(r.NormFloat64() / 3)
		}
		return x
	}
	truth := func(action int, x *bandit.Vector) float64 {
		s := 1 - 2*float64(action%2)
		return bandit.Sigmoid(-2 + s*2.5*float64(x[1+bandit.Own]) + 2.5*float64(x[2+bandit.Own]))
	}
	teach := func(w *bandit.Weights, p bandit.Prior, action, n int) {
		for range n {
			x, y := moment(), 0.0
			if r.Float64() < truth(action, &x) {
				y = 1
			}
			bandit.Observe([]bandit.Part{{Weights: w, Prior: p}}, &x, y)
		}
	}
	var actions []*bandit.Weights
	for i := range 12 {
		w := bandit.NewWeights(-2, prior)
		w.Grow(prior)
		teach(&w, prior, i, 3000)
		actions = append(actions, &w)
	}
	relief := bandit.Relieve(actions, prior)
	for i, v := range relief {
		if (i < 2) != (v > 1) {
			t.Errorf("relief of axis %d is %.2f", i, v)
		}
	}
	missed := func(p bandit.Prior) (sum float64) {
		for i := range 6 {
			w := bandit.NewWeights(-2, p)
			w.Grow(p)
			teach(&w, p, i, 300)
			for range 500 {
				x := moment()
				d := bandit.Sigmoid(w.Score(&x).Mean) - truth(i, &x)
				sum += d * d / 3000
			}
		}
		return math.Sqrt(sum)
	}
	flat := missed(prior)
	prior.Relief = relief
	if steep := missed(prior); steep > 0.7*flat {
		t.Errorf("after 300 examples chances are missed by %.3f, without what others taught by %.3f", steep, flat)
	} else {
		t.Logf("after 300 examples chances are missed by %.3f, without what others taught by %.3f", steep, flat)
	}
}

// What rounding has left of a covariance may be no covariance any more: weights
// and variances stay finite and within their bounds all the same.
func TestADamagedCovarianceLeavesWeightsFinite(t *testing.T) {
	t.Parallel()
	p := bandit.Prior{Constant: 1, Slope: 0.5, Relief: bandit.Flat()}
	steep := p
	steep.Relief = bandit.Flat()
	steep.Relief[3], steep.Relief[7] = 8, 0.05
	for name, damage := range map[string]float32{"too large": 3, "beyond": float32(math.Inf(1)), "none": float32(math.NaN())} {
		w := bandit.NewWeights(-2, p)
		w.Grow(p)
		w.Slopes.Mean[12] = 1
		for _, at := range []int{5, 40, 700, 1500} {
			w.Slopes.Covariance[at] = damage
		}
		for range 20 {
			w.Relearn(p, steep)
			w.Fade(0.5, steep)
			w.Relearn(steep, p)
		}
		for i := range bandit.Width {
			m, v := w.Slopes.Mean[i], w.Slopes.Variance[i]
			if !(m > -30 && m < 30) || !(v >= 0 && v <= 1) {
				t.Fatalf("%s: weight %d is %v with a variance of %v", name, i, m, v)
			}
		}
	}
}
