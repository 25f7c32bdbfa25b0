// Package survival says how long something still lasts: from few failures by
// the first passage of a drifting level through its limit, from many by what
// is learned of whole lives, and always with an honest interval.
//
// It is pure and deterministic: no I/O, no clock, no randomness. Estimates that
// do not exist (a level that does not move) are told as such, never made up.
package survival

import "math"

// Passage is a Wiener process with drift on its way to a limit (Whitmore,
// "Estimating degradation by a Wiener diffusion process", 1995). The time of
// its first passage has the inverse Gaussian distribution (Folks and Chhikara,
// 1978).
type Passage struct {
	Distance float64 // still to go, > 0
	Drift    float64 // per unit of time towards the limit, > 0
	Spread   float64 // standard deviation of a unit of time, > 0
}

// Mean returns the expected time to the limit.
func (p Passage) Mean() float64 { return p.Distance / p.Drift }

// Variance returns the variance of the time to the limit.
func (p Passage) Variance() float64 {
	return p.Distance * p.Spread * p.Spread / (p.Drift * p.Drift * p.Drift)
}

// CDF returns the chance that the limit is reached within t.
func (p Passage) CDF(t float64) float64 {
	if !(t > 0) {
		return 0
	}
	if math.IsInf(t, 1) {
		return 1
	}
	s := p.Spread * math.Sqrt(t)
	first := normal((p.Drift*t - p.Distance) / s)
	// The second term is exp of something large times something tiny: in logs.
	second := math.Exp(2*p.Drift*p.Distance/(p.Spread*p.Spread) + logNormal(-(p.Drift*t+p.Distance)/s))
	return min(1, first+second)
}

// Quantile returns the time by which the limit is reached with chance q in (0, 1).
func (p Passage) Quantile(q float64) float64 {
	low, high := 0.0, p.Mean()
	for p.CDF(high) < q && high < math.MaxFloat64/4 {
		low, high = high, high*2
	}
	for range 200 {
		mid := low + (high-low)/2
		if mid == low || mid == high {
			break
		}
		if p.CDF(mid) < q {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

func normal(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// logNormal is log of the normal distribution, also far in the left tail.
func logNormal(x float64) float64 {
	if x > -30 {
		return math.Log(normal(x))
	}
	// Asymptotic series (Abramowitz and Stegun 26.2.12).
	x2 := x * x
	return -x2/2 - math.Log(-x) - 0.5*math.Log(2*math.Pi) + math.Log1p(-1/x2+3/(x2*x2))
}

// Rate filters drift and spread of a level out of its readings, one by one, in
// constant memory: increments over their times, old ones fading. The zero
// value has seen none.
type Rate struct {
	At, Level float64 // of the last reading
	Time      float64 // weight: time covered
	Way       float64 // weighted way covered
	Square    float64 // weighted sum of increment²/time
	Count     float64 // weighted number of increments
	Seen      bool
}

// Add takes a reading of the level at a time. memory is the time over which an
// increment fades to 1/e; 0 forgets nothing. A jump against the usual direction
// (a refill) is the caller's to see: it begins anew with [Rate.Jump]. Readings
// at or before the last are ignored.
func (r *Rate) Add(at, level, memory float64) {
	if !r.Seen {
		r.At, r.Level, r.Seen = at, level, true
		return
	}
	dt := at - r.At
	if !(dt > 0) {
		return
	}
	keep := 1.0
	if memory > 0 {
		keep = math.Exp(-dt / memory)
	}
	d := level - r.Level
	r.Time = r.Time*keep + dt
	r.Way = r.Way*keep + d
	r.Square = r.Square*keep + d*d/dt
	r.Count = r.Count*keep + 1
	r.At, r.Level = at, level
}

// Jump moves the level without learning from the way there.
func (r *Rate) Jump(at, level float64) {
	if r.Seen && at < r.At {
		return
	}
	r.At, r.Level, r.Seen = at, level, true
}

// Drift returns the level's change per unit of time; ok is false before two increments.
func (r *Rate) Drift() (drift float64, ok bool) {
	if r.Count < 1.5 || r.Time <= 0 {
		return 0, false
	}
	return r.Way / r.Time, true
}

// Spread returns the standard deviation of the change in a unit of time, beside the drift.
func (r *Rate) Spread() float64 {
	if r.Count <= 1 {
		return 0
	}
	drift := r.Way / r.Time
	return math.Sqrt(max(0, r.Square-drift*drift*r.Time) / (r.Count - 1))
}

// To returns the passage from the last reading to a limit. ok is false when the
// level stands still or moves away. The uncertainty of the drift itself is
// added to the spread, so that a few readings give a wide interval.
func (r *Rate) To(limit float64) (p Passage, ok bool) {
	drift, ok := r.Drift()
	distance := limit - r.Level
	if distance < 0 {
		drift, distance = -drift, -distance
	}
	if !ok || drift <= 0 || distance == 0 {
		return Passage{}, false
	}
	spread := r.Spread()
	if spread <= 0 {
		spread = drift * 1e-3 // a perfectly steady level
	}
	// Var(D/drift) from drift alone is mean²·spread²/(drift²·Time); the same
	// shape as the process's own variance with spread² raised by mean/Time.
	mean := distance / drift
	return Passage{Distance: distance, Drift: drift, Spread: spread * math.Sqrt(1+mean/r.Time)}, true
}

// Estimate is a guess with its standard deviation.
type Estimate struct{ Mean, Deviation float64 }

// Combine weighs independent estimates of one quantity by their precision.
// Those without a positive, finite deviation are left out; ok is false if none is left.
func Combine(estimates ...Estimate) (Estimate, bool) {
	weight, sum := 0.0, 0.0
	for _, e := range estimates {
		if !(e.Deviation > 0) || math.IsInf(e.Deviation, 0) || math.IsNaN(e.Mean) || math.IsInf(e.Mean, 0) {
			continue
		}
		w := 1 / (e.Deviation * e.Deviation)
		weight, sum = weight+w, sum+w*e.Mean
	}
	if weight == 0 {
		return Estimate{}, false
	}
	return Estimate{sum / weight, math.Sqrt(1 / weight)}, true
}
