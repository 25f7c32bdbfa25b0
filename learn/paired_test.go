package learn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn"
)

// The variance falls by the square of the correlation (Deng et al., 2013, equation 3).
func TestWhatWasKnownBeforeTakesVarianceOutOfAComparison(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	const correlation = 0.8
	var treated, held learn.Paired
	for i := range 40_000 {
		side, effect := &treated, 0.1
		if i%2 == 0 {
			side, effect = &held, 0
		}
		x := r.NormFloat64()
		y := correlation*x + math.Sqrt(1-correlation*correlation)*r.NormFloat64() + effect
		side.Enter(x)
		side.Change(x, 0, y/2) // in two steps, as outcomes come
		side.Change(x, y/2, y)
	}
	d, se, saved, ok := learn.CUPED(treated, held)
	if !ok || math.Abs(saved-correlation*correlation) > 0.02 || math.Abs(d-0.1) > 4*se {
		t.Errorf("difference %v +- %v, variance saved %v, want 0.1 and %v", d, se, saved, correlation*correlation)
	}
}

func TestAlwaysValidIntervalsHoldUnderDailyPeeking(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	wrong := 0
	const runs = 200
	for range runs {
		var a, b learn.Paired
		for day := range 60 {
			for range 40 {
				for _, side := range []*learn.Paired{&a, &b} {
					side.Enter(0)
					side.Change(0, 0, r.NormFloat64())
				}
			}
			d, se, _, ok := learn.CUPED(a, b)
			if day > 3 && ok && math.Abs(d) > learn.AlwaysValid(se, a.N, 0.95, 1000) {
				wrong++
				break
			}
		}
	}
	t.Logf("%d of %d runs without an effect claimed one on some day", wrong, runs)
	if wrong > runs/20 {
		t.Errorf("%d of %d runs without an effect claimed one", wrong, runs)
	}
}
