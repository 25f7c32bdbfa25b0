package bandit

import "math"

// Linear is Bayesian linear regression of a reward on a few features with the
// full covariance: linear Thompson sampling (Agrawal and Goyal, Thompson
// Sampling for Contextual Bandits with Linear Payoffs, 2013) for sets of
// actions small enough that every action has one. Mean and Cov are the
// posterior of the weights (Bishop, Pattern Recognition and Machine Learning,
// equations 3.50 and 3.51), kept by rank-one updates.
type Linear struct {
	Mean  []float64
	Cov   []float64 // row by row
	Noise float64   // variance of a reward around its expectation, > 0
	// Prior is the variance of a weight before anything was seen: what
	// forgetting returns to.
	Prior float64
}

// NewLinear returns a regression over d features.
func NewLinear(d int, prior, noise float64) *Linear {
	l := &Linear{Mean: make([]float64, d), Cov: make([]float64, d*d), Noise: noise, Prior: prior}
	for i := range d {
		l.Cov[i*d+i] = prior
	}
	return l
}

// Predict returns the mean and the variance of the expected reward at x, which
// has as many values as there are features.
func (l *Linear) Predict(x []float64) (mean, variance float64) {
	d := len(l.Mean)
	for i, v := range x {
		if v == 0 {
			continue
		}
		mean += l.Mean[i] * v
		row := l.Cov[i*d : i*d+d]
		s := 0.0
		for j, u := range x {
			s += row[j] * u
		}
		variance += v * s
	}
	return mean, max(variance, 0)
}

// Observe folds in a reward at x.
func (l *Linear) Observe(x []float64, reward float64) {
	d := len(l.Mean)
	gain := make([]float64, d)
	mean, variance := 0.0, 0.0
	for i := range d {
		for j, u := range x {
			gain[i] += l.Cov[i*d+j] * u
		}
		mean += l.Mean[i] * x[i]
		variance += gain[i] * x[i]
	}
	k := 1 / (l.Noise + max(variance, 0))
	for i := range d {
		l.Mean[i] += gain[i] * (reward - mean) * k
		for j := range d {
			l.Cov[i*d+j] -= gain[i] * gain[j] * k
		}
	}
}

// Discount makes all that was seen weigh 1/f as much, f >= 1. No weight
// becomes less certain than at first.
func (l *Linear) Discount(f float64) {
	d := len(l.Mean)
	most := 0.0
	for i := range d {
		most = max(most, l.Cov[i*d+i])
	}
	if f = min(f, l.Prior/max(most, math.SmallestNonzeroFloat64)); !(f > 1) {
		return
	}
	for i := range l.Cov {
		l.Cov[i] *= f
	}
}
