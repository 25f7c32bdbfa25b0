package learn

import "math"

// Beta is the belief about a rate in [0,1] after A successes and B failures,
// both counted with what was believed before (Gelman et al., Bayesian Data
// Analysis, 3rd ed., section 2.4). A and B are > 0.
type Beta struct{ A, B float64 }

// Mean returns the expected rate.
func (b Beta) Mean() float64 { return b.A / (b.A + b.B) }

// Variance returns the variance of the rate.
func (b Beta) Variance() float64 {
	n := b.A + b.B
	return b.A * b.B / (n * n * (n + 1))
}

// Normal is the belief about the mean of a quantity whose variance is unknown
// too: the normal-inverse-gamma posterior (Murphy, Conjugate Bayesian analysis
// of the Gaussian distribution, 2007, section 6).
type Normal struct {
	Mean   float64 // expected mean
	Weight float64 // observations the mean is worth, > 0
	Shape  float64 // of the inverse gamma over the variance, > 1
	Scale  float64 // of the inverse gamma over the variance, >= 0
}

// Observe returns the belief after the observations that s sums up.
func (p Normal) Observe(s Moments) Normal {
	if s.N <= 0 {
		return p
	}
	mean := s.Sum / s.N
	weight := p.Weight + s.N
	return Normal{
		Mean:   (p.Weight*p.Mean + s.Sum) / weight,
		Weight: weight,
		Shape:  p.Shape + s.N/2,
		Scale: p.Scale + max(0, s.Squares-s.N*mean*mean)/2 +
			p.Weight*s.N*(mean-p.Mean)*(mean-p.Mean)/(2*weight),
	}
}

// Variance returns the variance of the mean, that is, how unsure it is.
func (p Normal) Variance() float64 { return p.Scale / ((p.Shape - 1) * p.Weight) }

// Moments sums up observations, each possibly with a weight below 1, so that
// they can be added, corrected and discounted in any order.
type Moments struct {
	N       float64 // weight of the observations
	Sum     float64
	Squares float64 // sum of squares
}

// Add counts one observation.
func (m *Moments) Add(x float64) { m.N++; m.Sum += x; m.Squares += x * x }

// Replace turns an observation counted as before into after.
func (m *Moments) Replace(before, after float64) {
	m.Sum += after - before
	m.Squares += after*after - before*before
}

// Scale multiplies the weight of all observations by f.
func (m *Moments) Scale(f float64) { m.N *= f; m.Sum *= f; m.Squares *= f }

// Merge adds the observations of o.
func (m *Moments) Merge(o Moments) { m.N += o.N; m.Sum += o.Sum; m.Squares += o.Squares }

// Mean returns the mean, and 0 without observations.
func (m Moments) Mean() float64 {
	if m.N <= 0 {
		return 0
	}
	return m.Sum / m.N
}

// Variance returns the sample variance, and 0 below two observations.
func (m Moments) Variance() float64 {
	if m.N <= 1 {
		return 0
	}
	return max(0, (m.Squares-m.Sum*m.Sum/m.N)/(m.N-1))
}

// Interval is a figure and the range it lies in at the level asked for.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Difference returns mean(a) - mean(b) with the interval of Welch's unequal
// variances test (Welch 1947) at the given level, such as 0.95. ok is false
// when either side has fewer than two observations: then nothing can be said.
func Difference(a, b Moments, level float64) (d Interval, ok bool) {
	d.Value = a.Mean() - b.Mean()
	if a.N < 2 || b.N < 2 {
		return Interval{Value: d.Value, Low: math.Inf(-1), High: math.Inf(1)}, false
	}
	va, vb := a.Variance()/a.N, b.Variance()/b.N
	if va+vb == 0 {
		d.Low, d.High = d.Value, d.Value
		return d, true
	}
	freedom := (va + vb) * (va + vb) / (va*va/(a.N-1) + vb*vb/(b.N-1))
	half := StudentQuantile((1+level)/2, freedom) * math.Sqrt(va+vb)
	d.Low, d.High = d.Value-half, d.Value+half
	return d, true
}

// NormalQuantile returns the z below which a standard normal falls with
// probability p, for p in (0,1).
func NormalQuantile(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }

// StudentQuantile returns the quantile p of Student's t with the given degrees
// of freedom (> 0, need not be whole), by Hill's method (CACM algorithm 396,
// 1970), exact at 1 and 2 degrees and within 1e-3 elsewhere for p in [0.6, 0.9999].
func StudentQuantile(p, freedom float64) float64 {
	if p < 0.5 {
		return -StudentQuantile(1-p, freedom)
	}
	two := 2 * (1 - p) // both tails
	switch {
	case two <= 0:
		return math.Inf(1)
	case freedom <= 1:
		return 1 / math.Tan(two*math.Pi/2)
	case freedom == 2:
		return math.Sqrt(2/(two*(2-two)) - 2)
	}
	a := 1 / (freedom - 0.5)
	b := 48 / (a * a)
	c := ((20700*a/b-98)*a-16)*a + 96.36
	d := ((94.5/(b+c)-3)/b + 1) * math.Sqrt(a*math.Pi/2) * freedom
	y := math.Pow(d*two, 2/freedom)
	if y > 0.05+a {
		x := NormalQuantile(two / 2)
		y = x * x
		if freedom < 5 {
			c += 0.3 * (freedom - 4.5) * (x + 0.6)
		}
		c += (((0.05*d*x-5)*x-7)*x-2)*x + b
		y = (((((0.4*y+6.3)*y+36)*y+94.5)/c-y-3)/b + 1) * x
		y = math.Expm1(a * y * y)
	} else {
		y = ((1/(((freedom+6)/(freedom*y)-0.089*d-0.822)*(freedom+2)*3)+0.5/(freedom+4))*y-1)*(freedom+1)/(freedom+2) + 1/y
	}
	return math.Sqrt(freedom * y)
}
