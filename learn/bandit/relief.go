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
