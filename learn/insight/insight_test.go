package insight_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/insight"
)

// crowd draws people with six things known of each.
func crowd(rng *rand.Rand, n int) []insight.Column {
	columns := []insight.Column{{Name: "country"}, {Name: "channel"}, {Name: "plan"}, {Name: "age"}, {Name: "orders"}, {Name: "visits"}}
	for range n {
		columns[0].Texts = append(columns[0].Texts, fmt.Sprint("c", rng.IntN(5)))
		columns[1].Texts = append(columns[1].Texts, fmt.Sprint("h", rng.IntN(4)))
		columns[2].Texts = append(columns[2].Texts, []string{"", "a", "b"}[rng.IntN(3)])
		age := 20 + 50*rng.Float64()
		if rng.IntN(10) == 0 {
			age = math.NaN()
		}
		columns[3].Numbers = append(columns[3].Numbers, age)
		columns[4].Numbers = append(columns[4].Numbers, float64(rng.IntN(6)))
		columns[5].Numbers = append(columns[5].Numbers, 5*rng.ExpFloat64()+age/20)
	}
	return columns
}

func flip(rng *rand.Rand, p float64) float64 {
	if rng.Float64() < p {
		return 1
	}
	return 0
}

func TestPermutedOutcomesGiveHardlyAnyDiscovery(t *testing.T) {
	t.Parallel()
	const runs = 400
	for name, draw := range map[string]func(rng *rand.Rand) float64{
		"yes or no": func(rng *rand.Rand) float64 { return flip(rng, .2) },
		"money":     func(rng *rand.Rand) float64 { return flip(rng, .3) * math.Exp(rng.NormFloat64()) },
	} {
		any := 0
		for seed := range uint64(runs) {
			rng := rand.New(rand.NewPCG(seed, 1))
			y := make([]float64, 2000)
			for i := range y {
				y[i] = draw(rng)
			}
			found, err := insight.Search(crowd(rng, len(y)), y, insight.Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Discovery {
					any++
					break
				}
			}
		}
		t.Logf("%s: a discovery in %.1f %% of runs", name, 100*float64(any)/runs)
		if share := float64(any) / runs; share > .07 {
			t.Errorf("%s: a discovery in %.3f of runs", name, share)
		}
	}
}

// A group has 1.3 times the rate of the others: 2,000 of 8,000 people with 20 %
// elsewhere, and a half of 2,000 people with 45 % elsewhere.
func TestAPlantedLiftIsFound(t *testing.T) {
	t.Parallel()
	const runs = 100
	for _, world := range []struct {
		name   string
		people int
		rate   float64
		member func(c []insight.Column, i int) bool
		column string
	}{
		{"2,000 of 8,000", 8000, .2, func(c []insight.Column, i int) bool { return c[1].Texts[i] == "h2" }, "channel"},
		{"half of 2,000", 2000, .45, func(c []insight.Column, i int) bool { return c[4].Numbers[i] >= 3 }, "orders"},
	} {
		hit := 0
		var wrong float64 // share of false ones among the discoveries, mean over runs
		for seed := range uint64(runs) {
			rng := rand.New(rand.NewPCG(seed, 2))
			columns := crowd(rng, world.people)
			y := make([]float64, world.people)
			for i := range y {
				p := world.rate
				if world.member(columns, i) {
					p *= 1.3
				}
				y[i] = flip(rng, p)
			}
			found, err := insight.Search(columns, y, insight.Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			right, all, missed := false, 0.0, 0.0
			for _, f := range found {
				if !f.Discovery {
					continue
				}
				about := false
				for _, c := range f.Conditions {
					about = about || c.Column == world.column
				}
				right = right || about
				all++
				if !about {
					missed++
				}
			}
			wrong += missed / max(all, 1) / runs
			if right {
				hit++
			}
		}
		t.Logf("%s: found in %d of %d runs; %.3f of the discoveries are of another column", world.name, hit, runs, wrong)
		if hit < 80 {
			t.Errorf("%s: power %d %%", world.name, hit)
		}
		if wrong > .07 {
			t.Errorf("%s: %.3f of the discoveries are false", world.name, wrong)
		}
	}
}

func TestTwoConditionsTogetherAreFound(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3))
	columns := crowd(rng, 6000)
	y := make([]float64, 6000)
	for i := range y {
		p := .1
		if columns[0].Texts[i] == "c1" && columns[2].Texts[i] == "b" {
			p = .5
		}
		y[i] = flip(rng, p)
	}
	found, err := insight.Search(columns, y, insight.Options{})
	if err != nil {
		t.Fatal(err)
	}
	best := found[0]
	if !best.Discovery || fmt.Sprint(best.Conditions) != `[country == "c1" plan == "b"]` || !(best.Low > .2 && best.Low < .4 && best.High > .4) {
		t.Errorf("%+v", best)
	}
}

func TestAStreamOfTestsHoldsItsLevel(t *testing.T) {
	t.Parallel()
	var share float64
	power, planted := 0, 0
	const streams = 200
	for seed := range uint64(streams) {
		rng := rand.New(rand.NewPCG(seed, 4))
		s := insight.Stream{Level: .05}
		var right, wrong float64
		for range 500 {
			real := rng.IntN(5) == 0
			z := rng.NormFloat64()
			if real {
				z += 4
				planted++
			}
			if s.Next(math.Erfc(math.Abs(z) / math.Sqrt2)) {
				if real {
					right++
					power++
				} else {
					wrong++
				}
			}
		}
		share += wrong / max(right+wrong, 1) / streams
	}
	if share > .05 || float64(power) < .5*float64(planted) {
		t.Errorf("false discoveries %.3f, power %d of %d", share, power, planted)
	}
	s := insight.Stream{Level: .05}
	for range 5000 {
		s.Next(0)
	}
	if len(s.Found) > 1000 {
		t.Errorf("%d discoveries are remembered", len(s.Found))
	}
}

func TestAnUnusableTableIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := insight.Search([]insight.Column{{Name: "x", Numbers: []float64{1}}}, []float64{1, 0}, insight.Options{}); err == nil {
		t.Error("columns of different length")
	}
	if _, err := insight.Search(nil, []float64{math.NaN()}, insight.Options{}); err == nil {
		t.Error("an outcome that is not a number")
	}
	if found, err := insight.Search(nil, nil, insight.Options{}); err != nil || len(found) != 0 {
		t.Errorf("nothing: %v %v", found, err)
	}
}
