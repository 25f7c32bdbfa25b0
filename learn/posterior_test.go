package learn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn"
)

func TestStudentQuantilesMatchTheTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ p, freedom, want float64 }{
		{0.975, 1, 12.7062},
		{0.975, 2, 4.3027},
		{0.975, 3, 3.1824},
		{0.975, 5, 2.5706},
		{0.975, 10, 2.2281},
		{0.975, 30, 2.0423},
		{0.975, 1e6, 1.96},
		{0.95, 4, 2.1318},
		{0.9, 8, 1.3968},
		{0.995, 12, 3.0545},
		{0.025, 10, -2.2281},
	} {
		if got := learn.StudentQuantile(c.p, c.freedom); math.Abs(got-c.want) > 2e-3 {
			t.Errorf("t(%v, %v) = %v, want %v", c.p, c.freedom, got, c.want)
		}
	}
}

// The data are the sleep data of Student (1908), as R's t.test prints them.
func TestDifferenceReproducesWelchOnTheSleepData(t *testing.T) {
	t.Parallel()
	var a, b learn.Moments
	for _, x := range []float64{0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0} {
		a.Add(x)
	}
	for _, x := range []float64{1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4} {
		b.Add(x)
	}
	d, ok := learn.Difference(a, b, 0.95)
	if !ok || math.Abs(d.Low+3.3654832) > 2e-3 || math.Abs(d.High-0.2054832) > 2e-3 || math.Abs(d.Value+1.58) > 1e-9 {
		t.Errorf("difference %+v, want -1.58 [-3.3654832, 0.2054832]", d)
	}
}

func TestADifferenceNeedsTwoObservationsOnEachSide(t *testing.T) {
	t.Parallel()
	var a, b learn.Moments
	a.Add(1)
	a.Add(2)
	b.Add(1)
	if d, ok := learn.Difference(a, b, 0.95); ok {
		t.Errorf("one observation gave the interval %+v", d)
	}
}

func TestTheIntervalCoversTheTruthAsOftenAsItSays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	covered := 0
	const runs = 2000
	for range runs {
		var a, b learn.Moments
		for range 300 {
			x := 0.0
			if r.Float64() < 0.3 {
				x = 10 * r.ExpFloat64()
			}
			a.Add(x)
		}
		for range 60 {
			b.Add(3 * r.ExpFloat64())
		}
		if d, _ := learn.Difference(a, b, 0.9); d.Low <= 0 && d.High >= 0 {
			covered++
		}
	}
	if share := float64(covered) / runs; share < 0.87 || share > 0.93 {
		t.Errorf("a 90 %% interval covered %.3f", share)
	}
}

func TestANormalBeliefMovesToTheDataAndGrowsSurer(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 9))
	prior := learn.Normal{Mean: 1, Weight: 1, Shape: 2, Scale: 1}
	var m learn.Moments
	last := prior.Variance()
	for n := 1; n <= 1000; n++ {
		m.Add(20 + 3*r.NormFloat64())
		if n == 10 || n == 100 || n == 1000 {
			v := prior.Observe(m).Variance()
			if n > 10 && v >= last {
				t.Errorf("after %d observations the variance of the mean is %v, was %v", n, v, last)
			}
			last = v
		}
	}
	if got := prior.Observe(m); math.Abs(got.Mean-20) > 0.3 || math.Abs(math.Sqrt(got.Variance())-3/math.Sqrt(1000)) > 0.03 {
		t.Errorf("belief %+v, sd of mean %v", got, math.Sqrt(got.Variance()))
	}
}

func TestReplacedAndMergedObservationsEqualThoseCountedAtOnce(t *testing.T) {
	t.Parallel()
	var a, b, c learn.Moments
	a.Add(0)
	a.Replace(0, 7)
	b.Add(3)
	a.Merge(b)
	c.Add(7)
	c.Add(3)
	if a != c {
		t.Errorf("%+v is not %+v", a, c)
	}
	b1 := learn.Beta{A: 3, B: 7}
	if b1.Mean() != 0.3 || math.Abs(b1.Variance()-0.3*0.7/11) > 1e-12 {
		t.Errorf("beta mean %v variance %v", b1.Mean(), b1.Variance())
	}
}
