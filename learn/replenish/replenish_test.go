package replenish_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/replenish"
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

func TestASensorMakesTheForecastBetter(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	var known [][]replenish.Gap
	for range 300 {
		known = append(known, household(rng))
	}
	m, err := replenish.Fit(known)
	if err != nil {
		t.Fatal(err)
	}
	var without, with, inside, n float64
	for range 600 {
		lasts := 21 * math.Exp(.5*rng.NormFloat64())
		pace, at := 1/lasts, math.Floor(lasts*.6)
		if at < 4 {
			continue
		}
		var l replenish.Level
		noise := replenish.Noise{Sensor: .02, Pace: 1.0 / 21}
		for day := 0.0; day <= at; day++ {
			l.Read(day, 1-pace*day+.02*rng.NormFloat64(), noise)
		}
		left := lasts - at
		f := m.Forecast(replenish.Use{}, 1, at)
		sd := (f.High - f.Low) / (2 * 1.2816)
		mean, variance := l.Empty(0)
		both := replenish.Normal(replenish.Combine(mean, variance, f.Time, sd*sd))
		without += math.Abs(f.Time - left)
		with += math.Abs(both.Time - left)
		if both.Low <= left && left <= both.High {
			inside++
		}
		n++
	}
	t.Logf("error %.2f days with a sensor, %.2f without; 80 %% intervals hold %.3f", with/n, without/n, inside/n)
	if with > .5*without {
		t.Errorf("error %.2f days with a sensor, %.2f without", with/n, without/n)
	}
	if c := inside / n; c < .7 || c > .95 {
		t.Errorf("80 %% intervals hold %.3f", c)
	}
}

func TestANewPackIsSeenAndThePaceKept(t *testing.T) {
	t.Parallel()
	var l replenish.Level
	noise := replenish.Noise{Pace: .05}
	for day := range 30 {
		l.Read(float64(day), 1-.1*float64(day%9), noise)
	}
	if mean, _ := l.Empty(0); math.Abs(l.Pace-.1) > .02 || math.Abs(mean-l.Level/l.Pace) > 1e-9 {
		t.Errorf("%+v", l)
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
