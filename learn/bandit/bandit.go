// Package bandit learns from outcomes which action does best for whom: online
// logistic regression with a Gaussian belief over weights on the principal axes
// of hashed features, and linear regression for small sets of actions, both for
// Thompson sampling.
//
// Guarantees: pure and deterministic, no allocation while scoring; every weight
// stays finite and its variance between nought and its prior, whatever the
// examples; learning the same examples in the same order gives the same bytes.
package bandit

import "math"

// Own is how many inputs of the caller's own a model sees beside the axes.
const Own = 6

// Width is how many inputs a model sees: the constant, those of the caller's
// own, and the axes of a [Basis].
const Width = 1 + Own + Axes

// Vector are the inputs of one example: first the constant 1, then the caller's
// own, then the place along each axis.
type Vector [Width]float32

// Cell is the Gaussian belief about one weight, in log-odds.
type Cell struct{ Mean, Variance float32 }

// Prior is the variance of weights before anything was seen: of the constant,
// of each input of the caller's own (Slope, if 0), and of each axis.
type Prior struct {
	Constant, Own, Slope float32
	// Relief, if set, is by how much the axes differ in that.
	Relief *Relief
}

func (p Prior) at(i int) float32 {
	switch {
	case i == 0:
		return p.Constant
	case i <= Own && p.Own > 0:
		return p.Own
	case i > Own:
		return p.Slope * p.Relief.at(i-1-Own)
	}
	return p.Slope
}

// Weights are one group of weights of a sum: what all actions share, what one
// kind shares, what is one action's own. Slopes is nil while only the constant
// is learned, so that thousands of rarely tried actions cost little; after that
// the constant is the first of them.
type Weights struct {
	Constant Cell
	Slopes   *Slopes
}

// Slopes is a Gaussian belief over all weights: mean, variance, and the lower
// triangle of the covariance row by row, which holds the variances again.
type Slopes struct {
	Mean, Variance [Width]float32
	Covariance     [Width * (Width + 1) / 2]float32
}

// NewWeights returns weights at their prior with the constant's mean, without slopes.
func NewWeights(mean float64, p Prior) Weights {
	return Weights{Constant: Cell{float32(mean), p.Constant}}
}

// Grow gives the weights slopes at their prior, if they have none.
func (w *Weights) Grow(p Prior) {
	if w.Slopes != nil {
		return
	}
	s := new(Slopes)
	s.Mean[0], s.Variance[0] = w.Constant.Mean, w.Constant.Variance
	for i := 1; i < Width; i++ {
		s.Variance[i] = p.at(i)
	}
	for i := range Width {
		s.Covariance[diagonal(i)] = s.Variance[i]
	}
	w.Slopes = s
}

// Restore sets the variances from the covariance.
func (s *Slopes) Restore() {
	for i := range s.Variance {
		s.Variance[i] = s.Covariance[diagonal(i)]
	}
}

// diagonal is where the variance of a weight stands in the triangle.
func diagonal(i int) int { return i * (i + 3) / 2 }

// Clone returns a copy that shares nothing.
func (w *Weights) Clone() Weights {
	c := *w
	if w.Slopes != nil {
		s := *w.Slopes
		c.Slopes = &s
	}
	return c
}

// Guess is what weights say of one example: the mean of the log-odds, and their
// variance by how unsure the constant is and by how unsure the rest is.
type Guess struct{ Mean, Constant, Slopes float64 }

// Plus returns the guess of the sum of two groups of weights.
func (g Guess) Plus(o Guess) Guess {
	return Guess{g.Mean + o.Mean, g.Constant + o.Constant, g.Slopes + o.Slopes}
}

// fours is from where on the inputs come in whole fours.
const fours = 1 + (Width-1)%4

// Score returns what the weights say, correlations left out: along principal
// axes they are small.
func (w *Weights) Score(x *Vector) Guess {
	s := w.Slopes
	if s == nil {
		return Guess{Mean: float64(w.Constant.Mean), Constant: float64(w.Constant.Variance)}
	}
	// Four sums at a time, since each addition waits for the one before.
	m, v := [4]float32{s.Mean[0]}, [4]float32{}
	for i := 1; i < fours; i++ {
		f := x[i]
		m[i%4] += s.Mean[i] * f
		v[i%4] += s.Variance[i] * f * f
	}
	for i := fours; i < Width; i += 4 {
		mean, variance, in := s.Mean[i:i+4:i+4], s.Variance[i:i+4:i+4], x[i:i+4:i+4]
		a, b, c, d := in[0], in[1], in[2], in[3]
		m[0] += mean[0] * a
		m[1] += mean[1] * b
		m[2] += mean[2] * c
		m[3] += mean[3] * d
		v[0] += variance[0] * a * a
		v[1] += variance[1] * b * b
		v[2] += variance[2] * c * c
		v[3] += variance[3] * d * d
	}
	return Guess{Mean: float64(m[0] + m[1] + m[2] + m[3]), Constant: float64(s.Variance[0]), Slopes: float64(v[0] + v[1] + v[2] + v[3])}
}

// Part is one group of weights in a sum, with its prior.
type Part struct {
	*Weights
	Prior Prior
}

// parts is how many groups a sum has at most.
const parts = 4

// gains are, for each part of a sum, the covariance times the inputs: how far
// each weight moves when the log-odds are wrong by one.
type gains struct {
	of             [parts][Width]float32
	mean, variance float64
}

func (g *gains) take(sum []Part, x *Vector) {
	for i, part := range sum {
		s := part.Slopes
		if s == nil {
			g.of[i][0] = part.Constant.Variance
			g.mean += float64(part.Constant.Mean)
			g.variance += float64(part.Constant.Variance)
			continue
		}
		to := &g.of[i]
		clear(to[:])
		at := 0
		for j := range Width {
			row, f, sum := s.Covariance[at:at+j], x[j], s.Covariance[at+j]*x[j]
			for k, c := range row {
				sum += c * x[k]
				to[k] += c * f
			}
			to[j] += sum
			at += j + 1
		}
		var m, v float32
		for j, f := range x {
			m += s.Mean[j] * f
			v += to[j] * f
		}
		g.mean += float64(m)
		g.variance += float64(max(v, 0))
	}
}

// move shifts the means along the gains and narrows the covariances.
func (g *gains) move(sum []Part, step, shrink float64) {
	u, k := float32(step), float32(shrink)
	for i, part := range sum {
		s, d := part.Slopes, &g.of[i]
		if s == nil {
			part.Constant.Mean = bound(part.Constant.Mean + d[0]*u)
			part.Constant.Variance = max(0, part.Constant.Variance-d[0]*d[0]*k)
			continue
		}
		for j := range Width {
			s.Mean[j] = bound(s.Mean[j] + d[j]*u)
		}
		if k == 0 {
			continue
		}
		at := 0
		for j := range Width {
			row, f := s.Covariance[at:at+j+1], d[j]*k
			for l := range row {
				row[l] -= f * d[l]
			}
			row[j] = max(0, row[j])
			s.Variance[j] = row[j]
			at += j + 1
		}
	}
}

// farthest bounds weights: log-odds of 30 are as good as certain.
const farthest = 30

func bound(x float32) float32 {
	if !(x > -farthest) {
		return -farthest
	}
	return min(farthest, x)
}

// Observe folds one outcome y, 1 for a success and 0 for a failure, into all
// parts of a sum (four at most), and returns the probability that was expected.
//
// The update is one of assumed-density filtering: the posterior's mode along
// the direction the example moves the weights, found by Newton's method, and
// Laplace's approximation there (Spiegelhalter and Lauritzen, Sequential
// updating of conditional probabilities, 1990; for Thompson sampling Chapelle
// and Li, An Empirical Evaluation of Thompson Sampling, 2011). Covariances
// between parts are left out.
func Observe(sum []Part, x *Vector, y float64) (expected float64) {
	var g gains
	g.take(sum, x)
	step := solve(y, g.mean, g.variance)
	p := Sigmoid(g.mean + g.variance*step)
	h := p * (1 - p)
	g.move(sum, step, h/(1+h*g.variance))
	return Sigmoid(g.mean)
}

// Correct turns a failure observed before into a success. As the two differ in
// likelihood by the log-odds themselves, nearly all of the correction is a
// shift of the mean; the uncertainty stays.
func Correct(sum []Part, x *Vector) {
	var g gains
	g.take(sum, x)
	g.move(sum, solve(1+Sigmoid(g.mean), g.mean, g.variance), 0)
}

// solve returns the step s = y - sigmoid(mean + variance s).
func solve(y, mean, variance float64) float64 {
	s := y - Sigmoid(mean)
	for range 12 {
		p := Sigmoid(mean + variance*s)
		d := (s - y + p) / (1 + variance*p*(1-p))
		s = min(y, max(y-1, s-d))
		if math.Abs(d) < 1e-7 {
			break
		}
	}
	return s
}

// Fade lets all examples seen so far count by the share keep, in (0,1): the
// belief moves towards the prior variance, the mean stays.
func (w *Weights) Fade(keep float64, p Prior) {
	if !(keep < 1) {
		return
	}
	s := w.Slopes
	if s == nil {
		c := float64(w.Constant.Variance)
		w.Constant.Variance = float32(1 / (keep/max(c, 1e-12) + (1-keep)/float64(p.Constant)))
		return
	}
	var m triangle
	for i, v := range s.Covariance {
		m[i] = float64(v)
	}
	m.invert()
	for i := range m {
		m[i] *= keep
	}
	for i := range Width {
		m[diagonal(i)] += (1 - keep) / float64(p.at(i))
	}
	m.invert()
	s.set(&m, p)
}

// set takes over a covariance. Where a weight would be less sure than at first it
// becomes as sure as that, its correlations kept; what rounding has left without
// meaning is taken for what it was, correlations forgotten.
func (s *Slopes) set(m *triangle, p Prior) {
	var scale [Width]float64
	for i := range Width {
		d, most := m[diagonal(i)], float64(p.at(i))
		if !(d >= 0 && d < math.MaxFloat32) {
			s.diagonal(p)
			return
		}
		scale[i] = math.Sqrt(min(1, most/max(d, math.SmallestNonzeroFloat32)))
	}
	at := 0
	for i := range Width {
		for j := range i + 1 {
			s.Covariance[at] = float32(m[at] * scale[i] * scale[j])
			at++
		}
		d := &s.Covariance[diagonal(i)]
		*d = max(0, min(*d, p.at(i)))
		s.Variance[i] = *d
	}
}

// diagonal forgets correlations.
func (s *Slopes) diagonal(p Prior) {
	clear(s.Covariance[:])
	for i := range Width {
		if v := &s.Variance[i]; !(*v <= p.at(i)) {
			*v = p.at(i)
		}
		s.Covariance[diagonal(i)] = s.Variance[i]
	}
}

// Forget makes the weights as unsure as before anything was seen and halves
// what they were: after an alarm, the past is a hint and no more.
func (w *Weights) Forget(p Prior) {
	w.Constant = Cell{w.Constant.Mean / 2, p.Constant}
	if s := w.Slopes; s != nil {
		clear(s.Covariance[:])
		for i := range Width {
			s.Mean[i] /= 2
			s.Variance[i] = p.at(i)
			s.Covariance[diagonal(i)] = p.at(i)
		}
	}
}

// Rate returns the mean and the standard deviation of the probability whose
// log-odds are Gaussian: the mean by MacKay's approximation (The Evidence
// Framework Applied to Classification Networks, 1992), the deviation that of
// the log-normal which small probabilities are.
func Rate(mean, variance float64) (p, sd float64) {
	p = logistic(mean / math.Sqrt(1+math.Pi/8*variance))
	return p, p * (1 - p) * math.Sqrt(expm1(min(variance, 2)))
}

// expm1 is e^x-1, by its series where that is exact to seven digits: it is asked
// thousands of times in a decision.
func expm1(x float64) float64 {
	if x > 0.25 {
		return math.Expm1(x)
	}
	return x * (1 + x/2*(1+x/3*(1+x/4*(1+x/5))))
}

// logistic is Sigmoid between points of a table, by the cubic with the curve's
// own slopes there: within 3e-7 of it, relative. It is asked thousands of times
// in a decision.
func logistic(x float64) float64 {
	const steps = 16 // to the unit
	at := (x + logisticEnd) * steps
	if !(at >= 0 && at < 2*logisticEnd*steps) {
		return Sigmoid(x)
	}
	i := int(at)
	t := at - float64(i)
	a, b := logisticTable[i], logisticTable[i+1]
	return a.p + t*(a.slope+t*(3*(b.p-a.p)-2*a.slope-b.slope+t*(2*(a.p-b.p)+a.slope+b.slope)))
}

// logisticEnd is up to where the table goes.
const logisticEnd = 16

// logisticTable holds Sigmoid and its rise over one step. It never changes.
var logisticTable = func() (t [2*logisticEnd*16 + 1]struct{ p, slope float64 }) {
	for i := range t {
		p := Sigmoid(float64(i)/16 - logisticEnd)
		t[i].p, t[i].slope = p, p*(1-p)/16
	}
	return t
}()

// Sigmoid returns the probability with the given log-odds.
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Logit returns the log-odds of a probability in (0,1).
func Logit(p float64) float64 { return math.Log(p / (1 - p)) }
