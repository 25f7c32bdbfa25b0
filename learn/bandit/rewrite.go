package bandit

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// evidence is what examples have taught apart from the prior. In the terms of a
// Gaussian belief that is the precision they added, and that times the mean they
// point to (Bishop, Pattern Recognition and Machine Learning, 2006, equations 3.50
// to 3.54). As a sum of squares it is negative in no direction, whatever is done
// to it: joined with any prior, it leaves a belief at least as sure as that prior.
type evidence struct {
	seen [Width]row // examples that would have added the precision
	pull row        // the precision times the mean, beside that of the hint
	hint row        // what weights are thought to be apart from the examples
}

// row is one number for each weight.
type row [Width]float64

// Weights are compared in units of their prior's deviation, where variances lie
// between nought and one. Sharper than surest none is taken to be: past that single
// precision tells rounding from knowledge no more.
const surest = 1e-6

// told is from which share of its variance gone a direction's mean is wholly what
// examples taught. Where less is gone, as all but that was forgotten, it is a hint
// that goes with the weights: taken for taught by so little, it would mean weights
// far beyond what they are, and would go there in a wider prior.
const told = 0.001

// evidence takes a belief and its prior apart. It reports false where the belief
// is not finite.
func (s *Slopes) evidence(p Prior) (*evidence, bool) {
	var unit row
	white := mat.NewSymDense(Width, nil)
	at := 0
	for i := range Width {
		unit[i] = math.Sqrt(float64(p.at(i)))
		for j := range i + 1 {
			c := float64(s.Covariance[at]) / (unit[i] * unit[j])
			if !(math.Abs(c) < math.MaxFloat32) {
				return nil, false
			}
			white.SetSym(i, j, c)
			at++
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(white, true) {
		return nil, false
	}
	var of mat.Dense
	eigen.VectorsTo(&of)
	e := new(evidence)
	for k, variance := range eigen.Values(nil) {
		variance = max(surest, min(1, variance))
		mean := 0.0
		for i := range Width {
			mean += of.At(i, k) * float64(s.Mean[i]) / unit[i]
		}
		precision, taught := 1/variance-1, min(1, (1-variance)/told)
		pull, hint, scale := mean*(precision+taught), mean*(1-taught), math.Sqrt(precision)
		for i := range Width {
			v := of.At(i, k)
			e.seen[k][i] = scale * v / unit[i]
			e.pull[i] += pull * v / unit[i]
			e.hint[i] += hint * v * unit[i]
		}
	}
	return e, true
}

// turn sees the evidence along other axes.
func (e *evidence) turn(t *Turn) {
	const first = 1 + Own
	var origin [Axes]float64 // the old one, along the new axes
	for i := range t.axes {
		for j, a := range t.axes[i] {
			origin[i] -= a * t.shift[j]
		}
	}
	for k := range e.seen {
		e.seen[k].turn(t, &origin)
	}
	e.pull.turn(t, &origin)
	// What is said of an example stays, so the constant takes up the shift.
	for j, v := range t.shift {
		e.hint[0] += v * e.hint[first+j]
	}
	e.hint.turn(t, new([Axes]float64))
}

// turn sees an example along other axes.
func (x *row) turn(t *Turn, origin *[Axes]float64) {
	old := x[1+Own:]
	var to [Axes]float64
	for i := range to {
		axis := &t.axes[i]
		even, odd := origin[i]*x[0], 0.0 // since each addition waits for the one before
		for j := 0; j < Axes; j += 2 {
			even += axis[j] * old[j]
			odd += axis[j+1] * old[j+1]
		}
		to[i] = even + odd
	}
	copy(old, to[:])
}

// join makes the belief that of the evidence joined with a prior.
func (s *Slopes) join(e *evidence, p Prior) {
	var unit, mean row
	for i := range unit {
		unit[i] = math.Sqrt(float64(p.at(i)))
		mean[i] = unit[i]*e.pull[i] + e.hint[i]/unit[i]
	}
	var c triangle
	for i := range Width {
		c[diagonal(i)] = 1
	}
	for k := range e.seen {
		x := &e.seen[k]
		at := 0
		for i := range x {
			x[i] *= unit[i]
			for j, v := range x[:i+1] {
				c[at+j] += x[i] * v
			}
			at += i + 1
		}
	}
	c.invert()
	mean = c.times(&mean)
	at := 0
	for i := range Width {
		s.Mean[i] = bound(float32(mean[i] * unit[i]))
		for j := range i + 1 {
			c[at] *= unit[i] * unit[j]
			at++
		}
	}
	s.set(&c, p)
}

// Turn rewrites weights as if they had been learned in another basis, and from the
// prior that goes with that. What the old axes did not reach is as unsure as at
// first. Where both bases reach the same features from the same origin and the
// prior is the same along all axes, log-odds and how unsure they are stay what
// they were.
func (w *Weights) Turn(t *Turn, from, to Prior) { w.rewrite(t, from, to) }

// Relearn rewrites weights as if they had been learned from another prior.
func (w *Weights) Relearn(from, to Prior) { w.rewrite(nil, from, to) }

func (w *Weights) rewrite(t *Turn, from, to Prior) {
	s := w.Slopes
	if s == nil {
		return
	}
	e, finite := s.evidence(from)
	if !finite {
		s.diagonal(from)
		e, finite = s.evidence(from)
	}
	if !finite {
		return
	}
	if t != nil {
		e.turn(t)
	}
	s.join(e, to)
}
