package affinity_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/affinity"
)

func TestAffinitiesAreBoundedMonotoneAndExplained(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	p := affinity.Prior{Rate: .2}
	for range 2000 {
		var e affinity.Evidence
		for s := range affinity.Signs {
			e.Add(s, float64(rng.IntN(50)), 100*rng.Float64(), 30)
		}
		others := 200 * rng.Float64()
		at := func(e affinity.Evidence) affinity.Affinity { return affinity.Of(e, e.Weight()+others, p) }
		a := at(e)
		if !(a.Value > 0 && a.Value < 1 && a.Low >= 0 && a.Low <= a.Value && a.High >= a.Value && a.High <= 1) {
			t.Fatalf("%+v", a)
		}
		sum := a.Prior
		for _, part := range a.Parts {
			sum += part
		}
		if math.Abs(sum-a.Value) > 1e-12 {
			t.Fatalf("the parts add up to %v of %v", sum, a.Value)
		}
		for s := range affinity.Signs {
			more := e
			more.Add(s, 1, 0, 30)
			up := at(more).Value > a.Value
			if against := s == affinity.Returned || s == affinity.Disliked; up == against {
				t.Fatalf("sign %d moves %v to %v", s, a.Value, at(more).Value)
			}
		}
	}
}

func TestAnAnswerOutweighsClicksAndAllFadesToTheRateOfEverybody(t *testing.T) {
	t.Parallel()
	p := affinity.Prior{Rate: .1}
	var clicks, answer affinity.Evidence
	clicks.Add(affinity.Clicked, 10, 0, 60)
	answer.Add(affinity.Liked, 1, 0, 60)
	if c, a := affinity.Of(clicks, 40, p).Value, affinity.Of(answer, 40, p).Value; a <= c {
		t.Errorf("an answer makes %v, ten clicks %v", a, c)
	}
	var old affinity.Evidence
	old.Add(affinity.Bought, 100, 6000, 60)
	if got := affinity.Of(old, old.Weight(), p).Value; math.Abs(got-.1) > 1e-6 {
		t.Errorf("what was long ago makes %v", got)
	}
	var never affinity.Evidence
	if got := affinity.Of(never, 0, p).Value; math.Abs(got-.1) > 1e-12 {
		t.Errorf("nobody knows: %v", got)
	}
}
