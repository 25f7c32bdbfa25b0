// Package replenish foretells when somebody will need more of what they buy
// again and again, from when and how much they bought and from what a sensor
// in the product says.
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

// Level follows the fill level of a product by its sensor: a Kalman filter of
// the level and of the pace at which it falls. The zero value knows nothing.
type Level struct {
	At          float64 // of the last reading
	Level, Pace float64 // Pace > 0 falls
	// Covariance of level and pace.
	LL, LP, PP float64
	Readings   int
}

// Noise says how much a sensor and a household vary.
type Noise struct {
	Sensor float64 // standard deviation of a reading; default 0.02
	Drift  float64 // standard deviation of the pace's change per unit of time, as a share of the mean pace; default 0.1
	Pace   float64 // a pace to begin with, per unit of time; > 0
}

// refill is how far above what is expected a reading means a new pack.
const refill = 0.25

// Read follows one reading at a time not before the last.
func (l *Level) Read(at, reading float64, n Noise) {
	sensor := n.Sensor
	if sensor == 0 {
		sensor = 0.02
	}
	drift := n.Drift
	if drift == 0 {
		drift = 0.1
	}
	if l.Readings == 0 {
		*l = Level{At: at, Level: reading, Pace: n.Pace, LL: sensor * sensor, PP: n.Pace * n.Pace, Readings: 1}
		return
	}
	dt := max(at-l.At, 0)
	level := l.Level - l.Pace*dt
	ll := l.LL - 2*dt*l.LP + dt*dt*l.PP + sensor*sensor*dt*1e-2
	lp := l.LP - dt*l.PP
	pp := l.PP + drift*drift*n.Pace*n.Pace*dt
	l.At = at
	l.Readings++
	if reading > level+refill+3*math.Sqrt(ll) { // a new pack: the level is what is read, the pace is kept
		l.Level, l.LL, l.LP, l.PP = reading, sensor*sensor, 0, pp
		return
	}
	s := ll + sensor*sensor
	gainL, gainP := ll/s, lp/s
	off := reading - level
	l.Level, l.Pace = level+gainL*off, l.Pace+gainP*off
	l.LL, l.LP, l.PP = (1-gainL)*ll, (1-gainL)*lp, pp-gainP*lp
	l.Pace = max(l.Pace, n.Pace*0.01)
}

// Empty returns when the level first passes the given one, as mean and
// variance of the time from the last reading.
func (l *Level) Empty(level float64) (mean, variance float64) {
	left := max(l.Level-level, 0)
	mean = left / l.Pace
	// First-order error of left / pace.
	variance = (l.LL+mean*mean*l.PP+2*mean*l.LP)/(l.Pace*l.Pace) + 1e-12
	return mean, max(variance, 1e-12)
}

// Combine weighs two estimates of the same time by how sure each is.
func Combine(meanA, varianceA, meanB, varianceB float64) (mean, variance float64) {
	wa, wb := 1/varianceA, 1/varianceB
	return (wa*meanA + wb*meanB) / (wa + wb), 1 / (wa + wb)
}

// Normal turns a mean and a variance into a forecast that does not lie in the past.
func Normal(mean, variance float64) Forecast {
	sd := math.Sqrt(variance)
	return Forecast{max(mean, 0), max(mean-1.2816*sd, 0), max(mean+1.2816*sd, 0)}
}
