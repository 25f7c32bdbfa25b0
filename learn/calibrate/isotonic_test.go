package calibrate_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/calibrate"
	"github.com/rapport-engine/rapport/learn/metric"
)

// The violators 1 before 0 pool as in Ayer et al. (1955), each block with one
// pseudo-row at the rate 1/2.
func TestNeighboursOutOfOrderArePooled(t *testing.T) {
	t.Parallel()
	c, err := calibrate.FitIsotonic([]float64{4, 1, 2, 3}, []float64{1, 0, 1, 0}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[float64]float64{0: .25, 1: .25, 2.5: .5, 4: .75, 9: .75, 1.75: .375} {
		if got := c.At(x); math.Abs(got-want) > 1e-12 {
			t.Errorf("at %v: %v, want %v", x, got, want)
		}
	}
}

func TestDistortedChancesAreSetRight(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(n int) (score, y []float64) {
		for range n {
			p := rng.Float64()
			score = append(score, p*p*p)
			v := 0.0
			if rng.Float64() < p {
				v = 1
			}
			y = append(y, v)
		}
		return score, y
	}
	score, y := draw(20000)
	c, err := calibrate.FitIsotonic(score, y, nil)
	if err != nil {
		t.Fatal(err)
	}
	score, y = draw(20000)
	raw := metric.CalibrationError(metric.Calibration(score, y, 10))
	last := 0.0
	for i := range score {
		score[i] = c.At(score[i])
	}
	for x := 0.0; x <= 1; x += .001 {
		p := c.At(x)
		if p < last || p <= 0 || p >= 1 {
			t.Fatalf("at %v: %v after %v", x, p, last)
		}
		last = p
	}
	if got := metric.CalibrationError(metric.Calibration(score, y, 10)); got > .015 || raw < .1 {
		t.Errorf("calibration error %v, before %v", got, raw)
	}
}

func TestNothingToLearnFromIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := calibrate.FitIsotonic(nil, nil, nil); err == nil {
		t.Error("no error")
	}
	if p := new(calibrate.Isotonic).At(.3); p != .3 {
		t.Errorf("the zero value changes %v", p)
	}
}
