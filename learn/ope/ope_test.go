package ope_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/ope"
)

const (
	contexts = 4
	actions  = 6
)

// world is a bandit whose truth is known.
type world struct {
	chance          [contexts][actions]float64 // of a reward
	logging, target [contexts][actions]float64
	truth           float64
}

func newWorld(r *rand.Rand, base, sharpness float64) *world {
	var w world
	for c := range contexts {
		for a := range actions {
			w.chance[c][a] = base * (0.3 + 1.4*r.Float64())
		}
		softmax(r, &w.logging[c], sharpness)
		softmax(r, &w.target[c], sharpness)
		for a := range actions {
			w.truth += w.target[c][a] * w.chance[c][a] / contexts
		}
	}
	return &w
}

func softmax(r *rand.Rand, p *[actions]float64, sharpness float64) {
	var sum float64
	for a := range p {
		p[a] = math.Exp(sharpness * r.NormFloat64())
		sum += p[a]
	}
	for a := range p {
		p[a] /= sum
	}
}

func draw(r *rand.Rand, p []float64) int {
	u := r.Float64()
	for a, x := range p {
		if u -= x; u < 0 {
			return a
		}
	}
	return len(p) - 1
}

// run logs n decisions and fits a table of means on the other half of them.
func (w *world) run(r *rand.Rand, n int) ope.Log {
	var l ope.Log
	cs, as := make([]int, n), make([]int, n)
	var sums, counts [2][contexts][actions]float64
	for i := range n {
		c := r.IntN(contexts)
		a := draw(r, w.logging[c][:])
		y := 0.0
		if r.Float64() < w.chance[c][a] {
			y = 1
		}
		cs[i], as[i] = c, a
		l.Rewards = append(l.Rewards, y)
		l.Weights = append(l.Weights, w.target[c][a]/w.logging[c][a])
		sums[i%2][c][a] += y
		counts[i%2][c][a]++
	}
	for i := range n {
		other := 1 - i%2
		q := func(a int) float64 { return (sums[other][cs[i]][a] + 0.1) / (counts[other][cs[i]][a] + 1) }
		direct := 0.0
		for a := range actions {
			direct += w.target[cs[i]][a] * q(a)
		}
		l.Predicted = append(l.Predicted, q(as[i]))
		l.Direct = append(l.Direct, direct)
	}
	return l
}

func TestIntervalsCoverTheTruthAsOftenAsTheySay(t *testing.T) {
	t.Parallel()
	const runs = 1500
	for name, c := range map[string]struct {
		base, sharpness float64
		n               int
	}{
		"common rewards":               {0.3, 0.7, 2000},
		"rare rewards, strong weights": {0.03, 1, 4000},
	} {
		r := rand.New(rand.NewPCG(7, uint64(c.n)))
		covered, bound := map[string]int{}, 0
		for range runs {
			w := newWorld(r, c.base, c.sharpness)
			for _, e := range ope.Evaluate(w.run(r, c.n), ope.Options{Most: 1}) {
				if e.Low <= w.truth && w.truth <= e.High {
					covered[e.Method]++
				}
				if e.BoundLow <= w.truth && w.truth <= e.BoundHigh && e.Method == "dr" {
					bound++
				}
			}
		}
		for method, k := range covered {
			share := float64(k) / runs
			t.Logf("%s: %s covers %.3f", name, method, share)
			if share < 0.93 || share > 0.97 {
				t.Errorf("%s: the 95 %% interval of %s covers %.3f", name, method, share)
			}
		}
		if share := float64(bound) / runs; share < 0.95 {
			t.Errorf("%s: the bound covers only %.3f", name, share)
		}
	}
}

func TestOnPolicyEveryEstimatorIsTheMean(t *testing.T) {
	t.Parallel()
	l := ope.Log{
		Rewards: []float64{0, 1, 0, 1, 1, 0, 0, 0}, Weights: []float64{1, 1, 1, 1, 1, 1, 1, 1},
		Predicted: make([]float64, 8), Direct: make([]float64, 8),
	}
	for i := range l.Predicted {
		l.Predicted[i], l.Direct[i] = 0.375, 0.375
	}
	for _, e := range ope.Evaluate(l, ope.Options{Most: 1}) {
		if math.Abs(e.Value-0.375) > 1e-9 || e.Low < 0 || e.High > 1 || e.Low > e.Value || e.High < e.Value {
			t.Errorf("%s: %+v", e.Method, e)
		}
	}
	if ess := ope.EffectiveSampleSize(l.Weights); ess != 8 {
		t.Errorf("effective sample size %v, want 8", ess)
	}
}

func TestDegenerateLogsGiveHonestIntervals(t *testing.T) {
	t.Parallel()
	n := 50
	none := ope.Log{Rewards: make([]float64, n), Weights: make([]float64, n), Predicted: make([]float64, n), Direct: make([]float64, n)}
	for i := range n {
		none.Weights[i] = 1
	}
	for _, e := range ope.Evaluate(none, ope.Options{Most: 1}) {
		if e.Value != 0 || e.Low != 0 || e.High < 0.05 || e.High > 0.1 { // -ln(0.025)/50 = 0.074
			t.Errorf("no reward ever: %s says %v [%v, %v]", e.Method, e.Value, e.Low, e.High)
		}
	}
	for _, e := range ope.Evaluate(ope.Log{}, ope.Options{Most: 1}) {
		if !math.IsNaN(e.Value) {
			t.Errorf("nothing logged: %s says %v", e.Method, e.Value)
		}
	}
	clear(none.Weights)
	for _, e := range ope.Evaluate(none, ope.Options{Most: 1}) {
		if math.IsInf(e.Value, 0) || e.Method == "snips" && !math.IsNaN(e.Value) {
			t.Errorf("no overlap: %s says %v", e.Method, e.Value)
		}
	}
}

func TestTheSkewCorrectionIsTheIdentityForSymmetricSamples(t *testing.T) {
	t.Parallel()
	low, high, mean := ope.Interval([]float64{-2, -1, 0, 1, 2}, 0.95)
	// t(0.975, 4) = 2.7764, s = 1.5811
	if mean != 0 || math.Abs(high-2.7764*1.5811/math.Sqrt(5)) > 2e-3 || math.Abs(low+high) > 1e-12 {
		t.Errorf("got %v [%v, %v]", mean, low, high)
	}
}
