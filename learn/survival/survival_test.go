package survival_test

import (
	"encoding/csv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/rapport-engine/rapport/learn/survival"
)

func TestThePassageHasTheInverseGaussiansMomentsAndQuantiles(t *testing.T) {
	t.Parallel()
	p := survival.Passage{Distance: 10, Drift: 2, Spread: 1.5}
	// Numerically: mean = integral of the survival function.
	mean, second := 0.0, 0.0
	const dt = 0.001
	for x := 0.0; x < 60; x += dt {
		s := 1 - p.CDF(x+dt/2)
		mean, second = mean+s*dt, second+2*(x+dt/2)*s*dt
	}
	if math.Abs(mean-p.Mean()) > 1e-3 || math.Abs(second-mean*mean-p.Variance()) > 1e-2 {
		t.Errorf("mean %v, %v; variance %v, %v", mean, p.Mean(), second-mean*mean, p.Variance())
	}
	// Folks and Chhikara 1978: IG(mean 1, shape 1) has F(1) = 0.6681.
	if got := (survival.Passage{Distance: 1, Drift: 1, Spread: 1}).CDF(1); math.Abs(got-0.66810) > 1e-4 {
		t.Errorf("F(1) = %v", got)
	}
	for _, q := range []float64{0.01, 0.1, 0.5, 0.9, 0.999} {
		if got := p.CDF(p.Quantile(q)); math.Abs(got-q) > 1e-9 {
			t.Errorf("quantile %v: %v", q, got)
		}
	}
	steady := survival.Passage{Distance: 1e6, Drift: 1, Spread: 1e-3}
	if low, high := steady.Quantile(0.05), steady.Quantile(0.95); math.IsNaN(low) || high-low > 10 || math.Abs(low-1e6) > 10 {
		t.Errorf("a steady level: %v to %v", low, high)
	}
}

func TestRunOutIntervalsHoldAsOftenAsTheySay(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	within, n := 0, 0
	for range 1500 {
		drift, spread := 1+r.Float64(), 0.3+2*r.Float64()
		level, now := 100.0, 0.0
		var rate survival.Rate
		asked := 30 + r.IntN(30)
		var low, high float64
		found := false
		for i := 0; level > 0 && i < 1000; i++ {
			rate.Add(now, level, 0)
			if i == asked {
				if p, ok := rate.To(0); ok {
					low, high, found = now+p.Quantile(0.1), now+p.Quantile(0.9), true
				}
			}
			level -= drift + spread*r.NormFloat64()
			now++
		}
		if found {
			n++
			if now >= low-0.5 && now <= high+0.5 {
				within++
			}
		}
	}
	if c := float64(within) / float64(n); n < 700 || c < 0.75 || c > 0.88 {
		t.Errorf("80 %% intervals held in %.3f of %d", c, n)
	}
}

func TestALevelThatStandsStillOrMovesAwayHasNoPassage(t *testing.T) {
	t.Parallel()
	var still, away survival.Rate
	for i := range 10 {
		still.Add(float64(i), 5, 0)
		away.Add(float64(i), 5+float64(i), 0)
	}
	if p, ok := still.To(0); ok {
		t.Errorf("still: %+v", p)
	}
	if p, ok := away.To(0); ok {
		t.Errorf("away: %+v", p)
	}
	if p, ok := away.To(20); !ok || math.Abs(p.Mean()-6) > 1e-9 {
		t.Errorf("rising to 20: %+v %t", p, ok)
	}
}

func TestCombiningWeighsByPrecision(t *testing.T) {
	t.Parallel()
	got, ok := survival.Combine(survival.Estimate{Mean: 10, Deviation: 1}, survival.Estimate{Mean: 20, Deviation: 3}, survival.Estimate{Mean: 5, Deviation: math.Inf(1)})
	if !ok || math.Abs(got.Mean-11) > 1e-12 || got.Deviation >= 1 {
		t.Errorf("%+v", got)
	}
	if _, ok := survival.Combine(); ok {
		t.Error("nothing combines to something")
	}
}

func TestConformalIntervalsCoverWhereErrorsGrowWithThePrediction(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) (p, y []float64) {
		for range n {
			x := 100 * r.Float64()
			p, y = append(p, x), append(y, x+(1+x/10)*r.NormFloat64())
		}
		return p, y
	}
	p, y := draw(2000)
	v := survival.NewInterval(p, y, nil, 0.9)
	q, z := draw(5000)
	within := 0
	for i := range q {
		if low, high := v.Around(q[i]); z[i] >= low && z[i] <= high {
			within++
		}
	}
	if c := float64(within) / float64(len(q)); c < 0.88 || c > 0.92 {
		t.Errorf("covers %.3f", c)
	}
	_, narrow := v.Around(5)
	if _, wide := v.Around(95); narrow-5 > (wide-95)/3 {
		t.Errorf("half widths %v at 5 and %v at 95", narrow-5, wide-95)
	}
}

func TestFailuresOfMachinesAreToldWithoutTheirKinds(t *testing.T) {
	if testing.Short() {
		t.Skip("learns five forests")
	}
	t.Parallel()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "ai4i2020", "ai4i2020.csv"))
	if err != nil {
		t.Skip("AI4I 2020 is not beside the repository (../shared/data/ai4i2020)")
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	var failed []float64
	for _, x := range records[1:] {
		row := []float64{float64(slices.Index([]string{"L", "M", "H"}, x[2]))}
		for _, s := range x[3:8] { // readings; the kinds of failure stand behind
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		y, _ := strconv.ParseFloat(x[8], 64)
		rows, failed = append(rows, row), append(failed, y)
	}
	order := rand.New(rand.NewPCG(5, 6)).Perm(len(rows))
	var right, called, real float64
	for fold := range 5 {
		var train [][]float64
		var y []float64
		for i, k := range order {
			if i%5 != fold {
				train, y = append(train, rows[k]), append(y, failed[k])
			}
		}
		m, err := survival.FitFailure(train, y, []int{3, 0, 0, 0, 0, 0}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range order {
			if i%5 != fold {
				continue
			}
			real += failed[k]
			if m.Fails(rows[k]) {
				called++
				right += failed[k]
			}
		}
	}
	f1 := 2 * right / (called + real)
	t.Logf("F1 %.3f: %v of %v failures in %v calls", f1, right, real, called)
	if f1 < 0.85 {
		t.Errorf("F1 %.3f, want 0.85", f1)
	}
}
