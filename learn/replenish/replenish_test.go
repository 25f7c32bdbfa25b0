package replenish_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/replenish"
	"github.com/rapport-engine/rapport/learn/survival"
)

// household uses a product at a pace of its own, somewhat unevenly, and buys
// one to three packs at a time.
func household(rng *rand.Rand) []replenish.Gap {
	pace := math.Exp(math.Log(1.0/21) + .5*rng.NormFloat64()) // packs a day
	var out []replenish.Gap
	for range 2 + rng.IntN(5) {
		q := float64(1 + rng.IntN(3))
		out = append(out, replenish.Gap{Time: max(q/pace*math.Exp(.3*rng.NormFloat64()), 1), Quantity: q})
	}
	return out
}

// The last gap of each household is foretold from the ones before it.
func TestTheNextPurchaseIsForetoldBetterThanByTheMeanGap(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	var known [][]replenish.Gap
	var next []replenish.Gap
	for range 1500 {
		of := household(rng)
		known, next = append(known, of[:len(of)-1]), append(next, of[len(of)-1])
	}
	m, err := replenish.Fit(known)
	if err != nil {
		t.Fatal(err)
	}
	var ours, mean, inside, late, waited float64
	for i, of := range known {
		var u replenish.Use
		for _, g := range of {
			u.Add(g)
		}
		f := m.Forecast(u, next[i].Quantity, 0)
		ours += math.Abs(f.Time - next[i].Time)
		mean += math.Abs(u.Time/float64(len(of)) - next[i].Time)
		if f.Low <= next[i].Time && next[i].Time <= f.High {
			inside++
		}
		// Asked again when a part of the time has passed.
		if elapsed := 15.0; next[i].Time > elapsed {
			waited++
			f := m.Forecast(u, next[i].Quantity, elapsed)
			if left := next[i].Time - elapsed; f.Low <= left && left <= f.High {
				late++
			}
		}
	}
	n := float64(len(known))
	t.Logf("MAE %.2f days, mean gap %.2f; 80 %% intervals hold %.3f, %.3f after waiting", ours/n, mean/n, inside/n, late/waited)
	if ours > .9*mean {
		t.Errorf("MAE %.2f, mean gap %.2f", ours/n, mean/n)
	}
	for _, c := range []float64{inside / n, late / waited} {
		if c < .75 || c > .85 {
			t.Errorf("80 %% intervals hold %.3f", c)
		}
	}
}

// Of what is left in a pack two things tell: the pace of the household so far,
// by its purchases, and a sensor with its noise, which has seen this pack alone.
func TestPurchasesAndASensorTogetherAreBetterThanEither(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	pack := func(pace float64) replenish.Gap { // one at a time, each used at a pace of its own
		return replenish.Gap{Time: max(math.Exp(.3*rng.NormFloat64())/pace, 1), Quantity: 1}
	}
	anybody := func() float64 { return math.Exp(math.Log(1.0/21) + .5*rng.NormFloat64()) }
	var known [][]replenish.Gap
	for range 600 {
		pace := anybody()
		var of []replenish.Gap
		for range 1 + rng.IntN(5) {
			of = append(of, pack(pace))
		}
		known = append(known, of)
	}
	m, err := replenish.Fit(known)
	if err != nil {
		t.Fatal(err)
	}
	var purchases, sensor, both, n float64
	var inside [3]float64
	for range 4000 {
		pace := anybody()
		var u replenish.Use
		for range 1 + rng.IntN(5) {
			u.Add(pack(pace))
		}
		// This pack: at a pace of its own too, and unevenly from day to day.
		daily := pace * math.Exp(.3*rng.NormFloat64())
		left, gone := 1.0, 0.0
		var levels []float64
		for left > 0 && len(levels) < 400 {
			levels = append(levels, left)
			left -= daily * rng.ExpFloat64()
		}
		asked := 4 + rng.IntN(max(len(levels)*3/5, 1))
		if asked >= len(levels)-1 {
			continue
		}
		var r survival.Rate
		for day, level := range levels[:asked+1] {
			r.Add(float64(day), level+.03*rng.NormFloat64(), 21)
		}
		gone = float64(len(levels) - asked)
		p, ok := r.To(0)
		if !ok {
			continue
		}
		a := m.Forecast(u, 1, float64(asked))
		b := replenish.Forecast{Time: p.Quantile(.5), Low: p.Quantile(.1), High: p.Quantile(.9)}
		c, ok := replenish.Combine(a, b)
		if !ok {
			t.Fatalf("%+v and %+v do not combine", a, b)
		}
		for i, f := range [...]replenish.Forecast{a, b, c} {
			if f.Low <= gone && gone <= f.High {
				inside[i]++
			}
		}
		n++
		purchases += math.Abs(a.Time - gone)
		sensor += math.Abs(b.Time - gone)
		both += math.Abs(c.Time - gone)
	}
	t.Logf("of %v: error %.2f days by purchases, %.2f by the sensor, %.2f by both; 80 %% intervals hold %.3f, %.3f, %.3f",
		n, purchases/n, sensor/n, both/n, inside[0]/n, inside[1]/n, inside[2]/n)
	if both > .95*min(purchases, sensor) {
		t.Errorf("error %.2f days by purchases, %.2f by the sensor, %.2f by both", purchases/n, sensor/n, both/n)
	}
	if c := inside[2] / n; c < .75 || c > .85 {
		t.Errorf("80 %% intervals of both hold %.3f", c)
	}
}

func TestCombiningLeavesOutWhatSaysNothing(t *testing.T) {
	t.Parallel()
	good := replenish.Forecast{Time: 5, Low: 3, High: 8}
	for _, bad := range []replenish.Forecast{{}, {Time: 5, Low: 0, High: 9}, {Time: 5, Low: 4, High: math.Inf(1)}, {Time: math.NaN(), Low: 1, High: 2}} {
		if f, ok := replenish.Combine(good, bad); !ok || f != good {
			t.Errorf("with %+v: %+v %t", bad, f, ok)
		}
		if f, ok := replenish.Combine(bad, bad); ok {
			t.Errorf("two of %+v are %+v", bad, f)
		}
	}
	same, _ := replenish.Combine(good, good)
	if math.Abs(same.Time-5) > 1e-9 || same.High-same.Low >= good.High-good.Low {
		t.Errorf("twice %+v is %+v", good, same)
	}
}

func TestForecastsAreFiniteHoweverLongSomebodyWaits(t *testing.T) {
	t.Parallel()
	m := &replenish.Model{K: 3, A: 4, B: 60}
	for _, u := range []replenish.Use{{}, {Time: 1, Quantity: 1}, {Time: 1e6, Quantity: 1e5}} {
		for _, elapsed := range []float64{0, 10, 1e4, 1e7} {
			f := m.Forecast(u, 1, elapsed)
			if !(f.Low > 0 && f.Low <= f.Time && f.Time <= f.High) || math.IsInf(f.High, 0) {
				t.Errorf("%+v after %v: %+v", u, elapsed, f)
			}
		}
	}
	if _, err := replenish.Fit(nil); err == nil {
		t.Error("a model of nothing")
	}
	if _, err := replenish.Fit([][]replenish.Gap{{{Time: -1, Quantity: 1}}}); err == nil {
		t.Error("a gap into the past")
	}
}
