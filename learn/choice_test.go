package learn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn"
)

func TestChancesOfTwoNormalsMatchTheClosedForm(t *testing.T) {
	t.Parallel()
	for _, gap := range []float64{0, 0.1, 0.5, 1, 2, 4} {
		es := []learn.Estimate{
			{Mean: 10 + gap, SD: 1, Floor: math.Inf(-1)},
			{Mean: 10, SD: 2, Floor: math.Inf(-1)},
		}
		p := make([]float64, 2)
		none := learn.Chances(p, learn.Shapes(es), math.Inf(-1))
		want := 0.5 * math.Erfc(-gap/math.Sqrt(5)/math.Sqrt2)
		if math.Abs(p[0]-want) > 0.008 || none > 1e-9 {
			t.Errorf("gap %v: chance %v, none %v, want %v, 0", gap, p[0], none, want)
		}
	}
}

func TestChancesAgreeWithMonteCarlo(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 11))
	for round := range 25 {
		n := 1 + r.IntN(12)
		es := make([]learn.Estimate, n)
		for i := range es {
			mean := r.Float64()
			es[i] = learn.Estimate{Mean: mean - 0.05, SD: mean * math.Exp(r.NormFloat64()-1), Floor: -0.05}
			if r.IntN(4) == 0 {
				es[i].Floor = math.Inf(-1)
			}
		}
		const draws = 100_000
		counts := make([]float64, n)
		idle := 0.0
		for range draws {
			best, at := 0.0, -1
			for i, e := range es {
				if x := e.Draw(r); x > best {
					best, at = x, i
				}
			}
			if at < 0 {
				idle++
			} else {
				counts[at]++
			}
		}
		p := make([]float64, n)
		none := learn.Chances(p, learn.Shapes(es), 0)
		if math.Abs(none-idle/draws) > 0.01 {
			t.Errorf("round %d: nothing has chance %v, drawn %v", round, none, idle/draws)
		}
		for i := range p {
			if math.Abs(p[i]-counts[i]/draws) > 0.012 {
				t.Errorf("round %d: candidate %d %+v has chance %v, drawn %v", round, i, es[i], p[i], counts[i]/draws)
			}
		}
	}
}

func TestChancesSumToOneWhateverTheCandidates(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		es := make([]learn.Estimate, r.IntN(60))
		for i := range es {
			es[i] = learn.Estimate{Mean: r.NormFloat64() * math.Exp(3*r.NormFloat64()), SD: max(0, r.NormFloat64()) * math.Exp(3*r.NormFloat64()), Floor: math.Inf(-1)}
			if r.IntN(2) == 0 {
				es[i].Floor = es[i].Mean - r.Float64()
			}
		}
		p := make([]float64, len(es))
		sum := learn.Chances(p, learn.Shapes(es), 0)
		for i, x := range p {
			if !(x >= 0 && x <= 1) {
				t.Fatalf("chance %v of %+v among %d", x, es[i], len(es))
			}
			sum += x
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Fatalf("chances of %d candidates sum to %v", len(es), sum)
		}
	}
}

func TestEqualCertainCandidatesShareTheirChances(t *testing.T) {
	t.Parallel()
	p := make([]float64, 4)
	none := learn.Chances(p, learn.Shapes([]learn.Estimate{{Mean: 1}, {Mean: 1}, {Mean: 0.5}, {Mean: 1}}), 0)
	for i, want := range []float64{1. / 3, 1. / 3, 0, 1. / 3} {
		if math.Abs(p[i]-want) > 1e-3 || none != 0 {
			t.Errorf("chances %v, none %v", p, none)
		}
	}
}

func TestADrawHasTheMeanAndSpreadOfItsEstimate(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for _, e := range []learn.Estimate{{Mean: 2, SD: 1, Floor: 0}, {Mean: 2, SD: 1, Floor: math.Inf(-1)}, {Mean: -0.01, SD: 0.002, Floor: -0.02}} {
		var m learn.Moments
		for range 400_000 {
			x := e.Draw(r)
			if x < e.Floor {
				t.Fatalf("draw %v is below the floor of %+v", x, e)
			}
			m.Add(x)
		}
		if math.Abs(m.Mean()-e.Mean) > 0.01*e.SD || math.Abs(math.Sqrt(m.Variance())-e.SD) > 0.02*e.SD {
			t.Errorf("%+v drew mean %v, sd %v", e, m.Mean(), math.Sqrt(m.Variance()))
		}
	}
}

func BenchmarkChances(b *testing.B) {
	for name, n := range map[string]int{"3": 3, "16": 16, "500": 500} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 1))
			es, p := make([]learn.Estimate, n), make([]float64, n)
			for i := range es {
				es[i] = learn.Estimate{Mean: 0.05 + 0.01*r.Float64(), SD: 0.02, Floor: -0.01}
			}
			for b.Loop() {
				learn.Chances(p, learn.Shapes(es), 0)
			}
		})
	}
}
