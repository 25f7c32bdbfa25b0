// Package bandit learns from outcomes which action does best for whom: online
// logistic regression over hashed features with a Gaussian belief per weight,
// and linear regression with the full covariance for small sets of actions,
// both for Thompson sampling.
//
// Guarantees: pure and deterministic, no allocation while scoring; every weight
// stays finite and its variance between nought and its prior, whatever the
// examples; learning the same examples in the same order gives the same bytes.
package bandit

import "math"

// Slots is how many weights a [Weights] holds beside its constant. Features
// are hashed into them.
const Slots = 256

// Feature is one input: a slot below [Slots] and its value, usually 1.
type Feature struct {
	Slot  uint16
	Value float32
}

// Cell is the Gaussian belief about one weight, in log-odds.
type Cell struct{ Mean, Variance float32 }

// Prior is the variance of weights before anything was seen: of the constant,
// and of each slot.
type Prior struct{ Constant, Slot float32 }

// Weights are one group of weights of a sum: what all actions share, what one
// kind shares, what is one action's own. Slots is nil while only the constant
// is learned, so that thousands of rarely tried actions cost little.
type Weights struct {
	Constant Cell
	Slots    *[Slots]Cell
}

// NewWeights returns weights at their prior with the constant's mean, without slots.
func NewWeights(mean float64, p Prior) Weights {
	return Weights{Constant: Cell{float32(mean), p.Constant}}
}

// Grow gives the weights slots at their prior, if they have none.
func (w *Weights) Grow(p Prior) {
	if w.Slots != nil {
		return
	}
	w.Slots = new([Slots]Cell)
	for i := range w.Slots {
		w.Slots[i].Variance = p.Slot
	}
}

// Clone returns a copy that shares nothing.
func (w *Weights) Clone() Weights {
	c := *w
	if w.Slots != nil {
		slots := *w.Slots
		c.Slots = &slots
	}
	return c
}

// Score returns the mean and the variance of the log-odds.
func (w *Weights) Score(x []Feature) (mean, variance float64) {
	m, v := w.Constant.Mean, w.Constant.Variance
	if s := w.Slots; s != nil {
		for i := range x {
			c, f := &s[x[i].Slot%Slots], x[i].Value
			m += c.Mean * f
			v += c.Variance * f * f
		}
	}
	return float64(m), float64(v)
}

// Widen multiplies every variance by f >= 1, up to its prior: older examples
// count less.
func (w *Weights) Widen(f float64, p Prior) {
	if !(f > 1) {
		return
	}
	widen(&w.Constant, float32(f), p.Constant)
	if w.Slots != nil {
		for i := range w.Slots {
			widen(&w.Slots[i], float32(f), p.Slot)
		}
	}
}

func widen(c *Cell, f, prior float32) {
	// A product beyond float32 is infinite, and the prior is less.
	c.Variance = min(prior, c.Variance*f)
}

// Part is one group of weights in a sum, with its prior.
type Part struct {
	*Weights
	Prior Prior
}

// Observe folds one outcome y, 1 for a success and 0 for a failure, into all
// parts of a sum, and returns the probability that was expected.
//
// The update is the extended Kalman filter of logistic regression restricted to
// the diagonal of the covariance, that is the online form of the Laplace
// approximation in Chapelle and Li (An Empirical Evaluation of Thompson
// Sampling, 2011, algorithm 3); per-weight step sizes fall as in AdaGrad
// (Duchi, Hazan and Singer, 2011). memory bounds how many examples a weight
// remembers: its variance never falls further (0 for no bound).
func Observe(parts []Part, x []Feature, y, memory float64) (expected float64) {
	mean, variance := total(parts, x)
	p := Sigmoid(mean)
	h := p * (1 - p)
	k := 1 / (1 + h*variance)
	keep := 1.0
	if memory > 0 {
		keep += 1 / memory
	}
	u := update{step: float32((y - p) * k), shrink: float32(h * k), keep: float32(keep)}
	for _, part := range parts {
		u.apply(part, x)
	}
	return p
}

// Correct turns a failure observed before into a success: the part of the
// gradient that was missing is added, the uncertainty stays.
func Correct(parts []Part, x []Feature) {
	mean, variance := total(parts, x)
	p := Sigmoid(mean)
	u := update{step: float32(1 / (1 + p*(1-p)*variance)), keep: 1}
	for _, part := range parts {
		u.apply(part, x)
	}
}

func total(parts []Part, x []Feature) (mean, variance float64) {
	for _, part := range parts {
		m, v := part.Score(x)
		mean += m
		variance += v
	}
	return mean, variance
}

type update struct{ step, shrink, keep float32 }

func (u update) apply(part Part, x []Feature) {
	u.cell(&part.Constant, 1, part.Prior.Constant)
	if part.Slots != nil {
		for i := range x {
			u.cell(&part.Slots[x[i].Slot%Slots], x[i].Value, part.Prior.Slot)
		}
	}
}

// farthest bounds weights: log-odds of 30 are as good as certain.
const farthest = 30

func (u update) cell(c *Cell, x, prior float32) {
	gain := c.Variance * x
	c.Mean = max(-farthest, min(farthest, c.Mean+gain*u.step))
	c.Variance = min(prior, max(0, c.Variance-gain*gain*u.shrink)*u.keep)
}

// Rate returns the mean and the standard deviation of the probability whose
// log-odds are Gaussian: the mean by MacKay's approximation (The Evidence
// Framework Applied to Classification Networks, 1992), the deviation that of
// the log-normal which small probabilities are.
func Rate(mean, variance float64) (p, sd float64) {
	p = Sigmoid(mean / math.Sqrt(1+math.Pi/8*variance))
	return p, p * (1 - p) * math.Sqrt(math.Expm1(min(variance, 2)))
}

// Sigmoid returns the probability with the given log-odds.
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Logit returns the log-odds of a probability in (0,1).
func Logit(p float64) float64 { return math.Log(p / (1 - p)) }
