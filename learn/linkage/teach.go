package linkage

import (
	"math"
	"slices"
)

// Example is a pair of records somebody decided about.
type Example struct {
	A, B Record
	Same bool // they are of one person
}

// How a model listens to examples.
const (
	// doubt is the standard deviation, in bits, of what a weight learned without
	// labels may be wrong by.
	doubt    = 1
	teaching = 400 // steps
)

// Teach returns the model that m becomes by what people decided: the maximum a
// posteriori of a logistic regression on the levels of the examples whose prior
// is m itself, each weight and the odds of strangers normal around their present
// value. So a few decisions move little, many consistent ones move what they are
// about, and fields they say nothing of stay. m is not changed.
//
// A. Genkin, D. D. Lewis, D. Madigan, Large-Scale Bayesian Logistic Regression
// for Text Categorization, Technometrics 49, 2007 (the Gaussian prior with means).
func (m *Model) Teach(examples []Example) *Model {
	out := *m
	out.Fields = slices.Clone(m.Fields)
	out.Taught = len(examples)
	if len(examples) == 0 {
		return &out
	}
	// One weight a field and level, and last the odds of strangers.
	n := len(m.Schema)
	size := n*levels + 1
	type example struct {
		bits float64
		on   []int
		same float64
	}
	s := newScorer(m)
	list := make([]example, 0, len(examples))
	for _, e := range examples {
		var a, b view
		a.open(e.A, n)
		b.open(e.B, n)
		var c comparison
		m.Schema.compare(&a, &b, &c)
		x := example{bits: m.Prior, on: []int{size - 1}}
		for i := range n {
			if c[i] == Missing {
				continue
			}
			bits, rarity := s.bits(i, &c, a.at(i))
			x.bits += bits + rarity
			x.on = append(x.on, i*levels+int(c[i]))
		}
		x.bits = max(min(x.bits, boundScore), -boundScore) // one surprise says no more than that
		if e.Same {
			x.same = 1
		}
		list = append(list, x)
	}
	// In bits the log likelihood has the gradient (y-p) ln 2 and a curvature of
	// at most (ln 2)^2/4 for each weight an example has.
	delta, gradient := make([]float64, size), make([]float64, size)
	most := 0.0
	for _, x := range list {
		most += float64(len(x.on)) * math.Ln2 * math.Ln2 / 4
	}
	step := 1 / (most + 1/(doubt*doubt))
	for range teaching {
		for i := range gradient {
			gradient[i] = -delta[i] / (doubt * doubt)
		}
		for _, x := range list {
			bits := x.bits
			for _, f := range x.on {
				bits += delta[f]
			}
			g := (x.same - 1/(1+math.Exp2(-bits))) * math.Ln2
			for _, f := range x.on {
				gradient[f] += g
			}
		}
		for i := range delta {
			delta[i] += step * gradient[i]
		}
	}
	out.Prior += delta[size-1]
	for i := range out.Fields {
		w := &out.Fields[i]
		for l := range levels {
			w.Bits[l] += delta[i*levels+l]
			w.AgreeBits[l] += delta[i*levels+l]
		}
		// Less alike never weighs more.
		for l := int(Equal) + 1; l < int(Exchanged); l++ {
			w.Bits[l] = min(w.Bits[l], w.Bits[l-1])
			w.AgreeBits[l] = min(w.AgreeBits[l], w.AgreeBits[l-1])
		}
	}
	return &out
}
