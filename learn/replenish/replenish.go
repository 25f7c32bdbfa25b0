// Package replenish foretells when somebody will need more of what they buy
// again and again, from when and how much they bought, together with what a
// sensor in the product foretells.
//
// It is pure and deterministic. A person of whom little is known is drawn
// toward all others; every interval is finite and holds what it says. The model
// is the conjugate gamma-gamma one (as in Fader and Hardie's of spend), with the
// quantity bought as exposure: using up q takes a Gamma(K q) time at a rate of
// the person's own.
package replenish

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/optimize"
)

// Gap is the time from one purchase to the next, with the quantity bought at its beginning.
type Gap struct{ Time, Quantity float64 } // both > 0

// Use is what is known of one person and product: sums over their gaps.
type Use struct{ Time, Quantity float64 }

// Add counts one more gap.
func (u *Use) Add(g Gap) {
	u.Time += g.Time
	u.Quantity += g.Quantity
}

// Model holds for one family of products.
type Model struct {
	K float64 `json:"k"` // regularity: how evenly a unit is used up
	A float64 `json:"a"` // shape and rate of the gamma distribution of
	B float64 `json:"b"` // people's paces, in units of K per time
}

// ErrTooFew is returned when there are too few gaps to learn from.
var ErrTooFew = errors.New("replenish: too few repeat purchases")

// Fit finds the parameters of greatest likelihood from each person's gaps.
func Fit(people [][]Gap) (*Model, error) {
	type person struct {
		use  Use
		logs float64 // sum of q log(gap), which K multiplies
		ones float64 // sum of log(gap)
		of   []Gap
	}
	var list []person
	gaps := 0
	var time, quantity float64
	for _, of := range people {
		p := person{of: of}
		for _, g := range of {
			if !(g.Time > 0) || !(g.Quantity > 0) || math.IsInf(g.Time, 0) || math.IsInf(g.Quantity, 0) {
				return nil, errors.New("replenish: a gap or a quantity is not positive")
			}
			p.use.Add(g)
			p.logs += g.Quantity * math.Log(g.Time)
			p.ones += math.Log(g.Time)
			gaps++
		}
		if len(of) > 0 {
			list = append(list, p)
			time += p.use.Time
			quantity += p.use.Quantity
		}
	}
	if gaps < 20 || len(list) < 5 {
		return nil, ErrTooFew
	}
	unit := time / quantity
	cost := func(x []float64) float64 {
		for _, v := range x {
			if math.Abs(v) > 12 {
				return math.Inf(1)
			}
		}
		k, a, b := math.Exp(x[0]), math.Exp(x[1]), math.Exp(x[2])*unit
		front := a*math.Log(b) - lgamma(a)
		var sum float64
		for _, p := range list {
			l := front + lgamma(a+k*p.use.Quantity) - (a+k*p.use.Quantity)*math.Log(b+p.use.Time) + k*p.logs - p.ones
			for _, g := range p.of {
				l -= lgamma(k * g.Quantity)
			}
			sum -= l
		}
		return sum
	}
	result, err := optimize.Minimize(optimize.Problem{Func: cost}, []float64{1, 1, 2}, &optimize.Settings{
		MajorIterations: 2000, Converger: &optimize.FunctionConverge{Absolute: 1e-6, Iterations: 40},
	}, &optimize.NelderMead{})
	if err != nil {
		return nil, err
	}
	return &Model{math.Exp(result.X[0]), math.Exp(result.X[1]), math.Exp(result.X[2]) * unit}, nil
}

func lgamma(x float64) float64 {
	y, _ := math.Lgamma(x)
	return y
}

// Quantile returns the time from now by which the supply is used up with the
// chance q in (0, 1), for one who bought quantity elapsed ago and not since. At
// any length of waiting it is finite.
func (m *Model) Quantile(u Use, quantity, elapsed, q float64) float64 {
	shape, scale := m.K*quantity, m.B+u.Time
	exponent := m.A + m.K*u.Quantity
	within := func(t float64) float64 { return mathext.RegIncBeta(shape, exponent, t/(t+scale)) }
	// What has not happened yet takes its chance away from what may.
	past := 0.0
	if elapsed > 0 {
		past = within(elapsed)
	}
	want := past + q*(1-past)
	high := scale * shape / exponent
	for range 200 {
		if within(elapsed+high) >= want {
			break
		}
		high *= 2
	}
	low := 0.0
	for range 60 {
		if mid := low + (high-low)/2; within(elapsed+mid) < want {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// Forecast is when more is needed, as a time from now, with its 80 % interval.
type Forecast struct{ Time, Low, High float64 }

// Forecast returns the middle of what is likely and its interval.
func (m *Model) Forecast(u Use, quantity, elapsed float64) Forecast {
	return Forecast{m.Quantile(u, quantity, elapsed, .5), m.Quantile(u, quantity, elapsed, .1), m.Quantile(u, quantity, elapsed, .9)}
}

// zTenth is the normal quantile of 0.9: 80 % lie within so many deviations.
const zTenth = 1.2815515655446004

// Combine weighs two forecasts of the same time, made of different things, by
// how sure each is: their logarithms by precision, since a time lies ahead and
// may be long. Both need 0 < Low <= Time <= High < infinity; one that is not so is left out, and the
// answer is not ok if none is left.
func Combine(a, b Forecast) (f Forecast, ok bool) {
	switch {
	case !a.usable() && !b.usable():
		return Forecast{}, false
	case !a.usable():
		return b, true
	case !b.usable():
		return a, true
	}
	mean, weight := 0.0, 0.0
	for _, x := range [...]Forecast{a, b} {
		deviation := max(math.Log(x.High/x.Low)/(2*zTenth), 1e-6)
		w := 1 / (deviation * deviation)
		mean, weight = mean+w*math.Log(x.Time), weight+w
	}
	mean /= weight
	half := zTenth / math.Sqrt(weight)
	return Forecast{Time: math.Exp(mean), Low: math.Exp(mean - half), High: math.Exp(mean + half)}, true
}

func (f Forecast) usable() bool {
	return f.Low > 0 && f.Low <= f.Time && f.Time <= f.High && !math.IsInf(f.High, 0)
}
