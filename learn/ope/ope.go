// Package ope estimates what a policy would have earned from the log of
// another: off-policy evaluation.
//
// Every estimate comes with an interval from its influence function and a bound
// that holds at any sample size. What the log cannot tell (no overlap, a few
// observations that carry all the weight) is reported instead of hidden. It is
// pure and deterministic.
//
// Sources: inverse propensity scoring, Horvitz and Thompson 1952; its
// self-normalised form, Swaminathan and Joachims 2015; doubly robust, Dudik,
// Langford and Li 2011; SWITCH, Wang, Agarwal and Dudik 2017; doubly robust with
// optimistic shrinkage, Su, Dimakopoulou, Krishnamurthy and Dudik 2020; the bound,
// Maurer and Pontil 2009; the interval for skewed samples, Hall 1992; for rare
// rewards, Fay and Feuer 1997.
package ope

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Log is what was logged, one entry per decision, together with what a reward
// model says. All slices have the same length.
type Log struct {
	// Rewards are what followed, in any unit.
	Rewards []float64
	// Weights are the importance weights: the candidate's probability of the
	// logged action over the propensity with which it was logged.
	Weights []float64
	// Predicted is the model's reward of the logged action, fitted on other
	// entries than the one it predicts.
	Predicted []float64
	// Direct is the model's reward of the candidate policy: the mean of the
	// model's rewards of all actions under the candidate's probabilities.
	Direct []float64
}

// Estimate is a value per decision, its interval at the level asked for, and a
// bound that holds at that level for any sample size (infinite if rewards or
// weights are unbounded).
type Estimate struct {
	Value, Low, High      float64
	BoundLow, BoundHigh   float64
	Tuning                float64 // the threshold or shrinkage chosen, where the method has one
	Method                string
	EffectiveObservations float64
}

// Methods are the names of the estimators, in the order of [Evaluate].
var methods = [...]string{"ips", "snips", "dm", "dr", "switch", "dros"}

// Options shape an evaluation.
type Options struct {
	Level float64 // of the intervals; 0 means 0.95
	// Least and Most bound a single reward, where known; the values are then
	// kept between them. Both 0 means unknown.
	Least, Most float64
}

// EffectiveSampleSize is (sum w)^2 / sum w^2: how many decisions of the
// candidate itself the weighted log is worth. Source: Kish 1965.
func EffectiveSampleSize(weights []float64) float64 {
	var sum, squares float64
	for _, w := range weights {
		sum += w
		squares += w * w
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / squares
}

// Evaluate returns the estimates of ips, snips, dm, dr, switch and dros, in
// that order. A log without entries gives NaN.
func Evaluate(l Log, o Options) []Estimate {
	if o.Level == 0 {
		o.Level = 0.95
	}
	n := len(l.Rewards)
	e := &evaluation{Log: l, o: o, ess: EffectiveSampleSize(l.Weights), psi: make([]float64, n)}
	for _, w := range l.Weights {
		e.heaviest = max(e.heaviest, w)
	}
	ips := e.of(func(i int) float64 { return l.Weights[i] * l.Rewards[i] })
	snips := e.snips()
	dr := e.of(func(i int) float64 { return l.Direct[i] + l.Weights[i]*(l.Rewards[i]-l.Predicted[i]) })
	estimates := []Estimate{ips, snips, e.direct(dr), dr, e.tuned(dr, e.switched), e.tuned(dr, e.shrunk)}
	slack := e.slack()
	for i := range estimates {
		x := &estimates[i]
		x.Method, x.EffectiveObservations = methods[i], e.ess
		x.High = max(x.High, x.Value+slack)
		if o.Least < o.Most {
			for _, p := range []*float64{&x.Value, &x.Low, &x.High, &x.BoundLow, &x.BoundHigh} {
				if !math.IsNaN(*p) {
					*p = min(max(*p, o.Least), o.Most)
				}
			}
		}
	}
	return estimates
}

type evaluation struct {
	Log
	o        Options
	ess      float64
	heaviest float64
	psi      []float64
}

// of returns the estimate whose terms are given.
func (e *evaluation) of(term func(i int) float64) Estimate {
	for i := range e.psi {
		e.psi[i] = term(i)
	}
	return e.estimate()
}

func (e *evaluation) estimate() Estimate {
	low, high, mean := Interval(e.psi, e.o.Level)
	x := Estimate{Value: mean, Low: low, High: high}
	if len(e.psi) == 0 {
		x.BoundLow, x.BoundHigh = math.NaN(), math.NaN()
		return x
	}
	x.BoundLow, x.BoundHigh = math.Inf(-1), math.Inf(1)
	if e.o.Least < e.o.Most {
		reach := e.heaviest * (e.o.Most - e.o.Least)
		n, k := float64(len(e.psi)), math.Log(3/(1-e.o.Level))
		half := math.Sqrt(2*variance(e.psi, mean)*k/n) + 3*reach*k/n
		x.BoundLow, x.BoundHigh = mean-half, mean+half
	}
	return x
}

// slack is what one more event could add to a sum of rare, weighted rewards:
// the difference between the gamma limits for weighted Poisson counts (Fay and
// Feuer 1997) with and without a next event of typical weight. It is little
// beside an interval that rests on events, and all there is where the heavy
// decisions happened to earn nothing. It needs rewards of 0 or 1, else it is 0.
func (e *evaluation) slack() float64 {
	if e.o.Least != 0 || e.o.Most != 1 || e.ess == 0 {
		return 0
	}
	n := float64(len(e.Rewards))
	var sum, squares, weights float64
	for i, w := range e.Weights {
		sum += w * e.Rewards[i] / n
		squares += w * w * e.Rewards[i] / (n * n)
		weights += w
	}
	next := weights / e.ess / n // the mean weight as the weights themselves see it
	upper := func(mean, spread float64) float64 {
		if mean == 0 {
			return 0
		}
		return spread / mean * mathext.GammaIncRegInv(mean*mean/spread, (1+e.o.Level)/2)
	}
	return upper(sum+next, squares+next*next) - upper(sum, squares)
}

// snips divides by the mean weight. Its terms are those of the ratio's
// linearisation.
func (e *evaluation) snips() Estimate {
	var top, bottom float64
	for i, w := range e.Weights {
		top += w * e.Rewards[i]
		bottom += w
	}
	if bottom == 0 {
		return Estimate{Value: math.NaN(), Low: math.NaN(), High: math.NaN(), BoundLow: math.NaN(), BoundHigh: math.NaN()}
	}
	value := top / bottom
	scale := float64(len(e.Weights)) / bottom
	return e.of(func(i int) float64 { return value + scale*e.Weights[i]*(e.Rewards[i]-value) })
}

// direct trusts the model alone. What the model does not know of itself is
// judged by the log: its spread is that of the doubly robust terms, and its
// distance from their mean counts as its own error.
func (e *evaluation) direct(dr Estimate) Estimate {
	var sum float64
	for _, d := range e.Direct {
		sum += d
	}
	return displaced(dr, sum/float64(len(e.Direct)))
}

// displaced moves an unbiased estimate to a biased value, whose interval then
// covers the distance as well.
func displaced(unbiased Estimate, value float64) Estimate {
	x := unbiased
	bias := value - unbiased.Value
	x.Low = value - math.Hypot(unbiased.Value-unbiased.Low, bias)
	x.High = value + math.Hypot(unbiased.High-unbiased.Value, bias)
	x.BoundLow, x.BoundHigh = min(unbiased.BoundLow, value), max(unbiased.BoundHigh, value)
	x.Value = value
	return x
}

// switched trusts the model where the weight is above t.
func (e *evaluation) switched(t float64, i int) float64 {
	if e.Weights[i] > t {
		return e.Direct[i]
	}
	return e.Direct[i] + e.Weights[i]*(e.Rewards[i]-e.Predicted[i])
}

// shrunk shrinks large weights towards the model.
func (e *evaluation) shrunk(t float64, i int) float64 {
	w := e.Weights[i]
	if !math.IsInf(t, 1) {
		w *= t / (w*w + t)
	}
	return e.Direct[i] + w*(e.Rewards[i]-e.Predicted[i])
}

// tuned chooses the tuning whose variance and squared distance from the doubly
// robust value are least together. The interval keeps the doubly robust spread:
// the model's own error, which large tunings lean on, does not show in theirs.
func (e *evaluation) tuned(dr Estimate, term func(t float64, i int) float64) Estimate {
	n := float64(len(e.psi))
	chosen, least := math.Inf(1), math.Inf(1)
	value := dr.Value
	for _, t := range append([]float64{math.Inf(1)}, e.grid()...) {
		for i := range e.psi {
			e.psi[i] = term(t, i)
		}
		var mean float64
		for _, x := range e.psi {
			mean += x
		}
		mean /= n
		bias := mean - dr.Value
		if loss := variance(e.psi, mean)/n + bias*bias; loss < least {
			chosen, least, value = t, loss, mean
		}
	}
	x := displaced(dr, value)
	x.Tuning = chosen
	return x
}

// grid returns candidates for a tuning, from the mildest on.
func (e *evaluation) grid() []float64 {
	sorted := slices.Clone(e.Weights)
	slices.Sort(sorted)
	var grid []float64
	for _, q := range []float64{0.999, 0.99, 0.97, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5} {
		if len(sorted) == 0 {
			break
		}
		t := sorted[int(q*float64(len(sorted)-1))]
		if t > 0 && (len(grid) == 0 || t < grid[len(grid)-1]) {
			grid = append(grid, t)
		}
	}
	return grid
}
