package glm_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/glm"
)

// The Challenger O-ring data (Dalal, Fowlkes and Hoadley 1989, table 1): any
// damage by joint temperature. The maximum likelihood estimate is
// 15.043 - 0.2322 t.
func TestLogisticRegressionReproducesTheORingFit(t *testing.T) {
	t.Parallel()
	temperature := []float64{66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58}
	damaged := []float64{0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1}
	var x glm.Matrix
	for _, v := range temperature {
		x.Append(glm.Feature{Value: (v - 70) / 10})
	}
	m := glm.Fit(&x, damaged, nil, glm.Options{Family: glm.Binomial, Penalty: 1e-9, Iterations: 500})
	slope := m.Weights[0] / 10
	if intercept := m.Intercept - 70*slope; math.Abs(slope+0.2322) > 5e-4 || math.Abs(intercept-15.043) > 0.03 {
		t.Errorf("got %.4f %+.4f t, want 15.043 -0.2322 t", intercept, slope)
	}
}

func TestLeastSquaresFindsTheLine(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var x glm.Matrix
	var y []float64
	for range 2000 {
		a, b := r.NormFloat64(), float64(r.IntN(2))
		x.Append(glm.Feature{Index: 0, Value: a}, glm.Feature{Index: 3, Value: b})
		y = append(y, 5+2*a-7*b+0.1*r.NormFloat64())
	}
	m := glm.Fit(&x, y, nil, glm.Options{Penalty: 1e-6})
	for i, want := range []float64{2, 0, 0, -7} {
		if math.Abs(m.Weights[i]-want) > 0.02 {
			t.Errorf("weight %d: got %v, want %v", i, m.Weights[i], want)
		}
	}
	if got := m.Predict([]glm.Feature{{Index: 0, Value: 1}, {Index: 9, Value: 1}}); math.Abs(got-7) > 0.02 {
		t.Errorf("prediction %v, want 7", got)
	}
}

func TestAFitStaysFiniteWhenAFeatureSeparatesTheOutcomes(t *testing.T) {
	t.Parallel()
	var x glm.Matrix
	var y []float64
	for i := range 100 {
		x.Append(glm.Feature{Index: int32(i % 2), Value: 1})
		y = append(y, float64(i%2))
	}
	m := glm.Fit(&x, y, nil, glm.Options{Family: glm.Binomial})
	if p := m.Predict([]glm.Feature{{Index: 1, Value: 1}}); !(p > 0.8 && p < 1) {
		t.Errorf("got %v, want a chance near but below 1", p)
	}
	one := glm.Fit(&x, make([]float64, 100), nil, glm.Options{Family: glm.Binomial})
	if p := one.Predict(x.Row(0)); !(p > 0 && p < 0.02) {
		t.Errorf("without any success: got %v, want near 0", p)
	}
}

func BenchmarkFit(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	var x glm.Matrix
	var y []float64
	for range 50_000 {
		var row []glm.Feature
		var eta float64
		for k := range 10 {
			j := k*8 + r.IntN(8)
			row = append(row, glm.Feature{Index: int32(j), Value: 1})
			eta += float64(j%5-2) / 5
		}
		x.Append(row...)
		outcome := 0.0
		if r.Float64() < 1/(1+math.Exp(-eta)) {
			outcome = 1
		}
		y = append(y, outcome)
	}
	b.ReportAllocs()
	for b.Loop() {
		glm.Fit(&x, y, nil, glm.Options{Family: glm.Binomial})
	}
}
