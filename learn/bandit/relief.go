package bandit

// Relief is how far weights along each axis are from nought in the middle, as a
// share of the variance a [Prior] gives them: what many actions were found to
// differ by is what one more will differ by. Learning it from all of them is
// empirical Bayes by expectation maximisation, as in the automatic relevance
// determination of MacKay (Bayesian Non-linear Modelling for the Prediction
// Competition, 1994), with the axes for its classes of inputs.
type Relief [Axes]float32

// Flat returns a relief by which all axes matter alike.
func Flat() *Relief {
	r := new(Relief)
	for i := range r {
		r[i] = 1
	}
	return r
}

// reliefWeight is for how many actions the expectation counts that all axes matter alike.
const reliefWeight = 2

// at is the relief along an axis; nil is 1 along all.
func (r *Relief) at(axis int) float32 {
	if r == nil {
		return 1
	}
	return r[axis]
}

// Relief returns the relief along the new axes.
func (t *Turn) Relief(r *Relief) *Relief {
	out := new(Relief)
	for i := range out {
		sum := t.lost[i]
		for j, a := range t.axes[i] {
			sum += a * a * float64(r.at(j))
		}
		out[i] = float32(sum)
	}
	return out
}

// Relieve returns the relief that the weights of several actions suggest, all
// with the same prior; those without slopes are passed over.
func Relieve(actions []*Weights, p Prior) *Relief {
	var sum [Axes]float64
	n := 0.0
	for _, w := range actions {
		if w.Slopes == nil {
			continue
		}
		n++
		for i := range sum {
			m, v := float64(w.Slopes.Mean[1+Own+i]), float64(w.Slopes.Variance[1+Own+i])
			sum[i] += (m*m + v) / float64(p.Slope)
		}
	}
	out := new(Relief)
	for i := range out {
		out[i] = float32(max(leastRelief, min(mostRelief, (reliefWeight+sum[i])/(reliefWeight+n))))
	}
	return out
}

// leastRelief keeps every axis able to matter again, mostRelief keeps a weight that
// went astray from widening what all others are drawn from.
const leastRelief, mostRelief = 0.02, 10

// Relearn rewrites weights as if they had been learned from another prior,
// which differs in its relief alone.
func (w *Weights) Relearn(from, to Prior) {
	s := w.Slopes
	if s == nil {
		return
	}
	var m triangle
	for i, v := range s.Covariance {
		m[i] = float64(v)
	}
	m.invert()
	// The mode moves by the new covariance times what the priors pull more than
	// before, which stays small where they differ little, however ill the
	// covariance is conditioned. Turned and rounded, a belief may be surer of its
	// prior than it can be; then nothing is taken back from that.
	relearned, pull := s.relearned(&m, from, to, true)
	if !relearned.invert() {
		relearned, pull = s.relearned(&m, from, to, false)
		relearned.invert()
	}
	if !s.set(relearned, to) {
		return
	}
	for i, v := range relearned.times(pull) {
		s.Mean[i] = bound(s.Mean[i] - float32(v))
	}
}

// relearned returns the precision under another prior, and how much more that
// pulls at the mean. Without less, no weight becomes less sure.
func (s *Slopes) relearned(precision *triangle, from, to Prior, less bool) (*triangle, *[Width]float64) {
	m, pull := *precision, new([Width]float64)
	for i := 1 + Own; i < Width; i++ {
		more := 1/float64(to.at(i)) - 1/float64(from.at(i))
		if !less {
			more = max(0, more)
		}
		m[diagonal(i)] += more
		pull[i] = more * float64(s.Mean[i])
	}
	return &m, pull
}

// times returns the product with a vector.
func (m *triangle) times(x *[Width]float64) (y [Width]float64) {
	at := 0
	for i := range Width {
		for j := range i + 1 {
			y[i] += m[at] * x[j]
			if j < i {
				y[j] += m[at] * x[i]
			}
			at++
		}
	}
	return y
}
