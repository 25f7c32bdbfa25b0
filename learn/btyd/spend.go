package btyd

import (
	"errors"
	"math"
)

// Purchases is what the spend model needs to know of one person.
type Purchases struct {
	X      float64 // purchases counted, > 0
	Mean   float64 // mean value of them, > 0
	Weight float64 // how many people; 0 counts as 1
}

func (p Purchases) weight() float64 {
	if p.Weight == 0 {
		return 1
	}
	return p.Weight
}

// Spend is the gamma-gamma model of how much a purchase is worth: gamma
// distributed around a mean of the person's own, whose rate is gamma
// distributed over people (Fader, Hardie, "The gamma-gamma model of monetary
// value", 2013). Independent of how often they buy.
type Spend struct {
	P, Q, V       float64
	LogLikelihood float64
	People        float64
}

// ErrConstant is returned when everybody spends the same: there is nothing to fit.
var ErrConstant = errors.New("btyd: every purchase has the same value")

// FitSpend finds the parameters of greatest likelihood. People without a
// purchase of a positive value are left out.
func FitSpend(people []Purchases) (*Spend, error) {
	s := &Spend{}
	var used []Purchases
	var mean, lo, hi float64
	for _, p := range people {
		if !(p.X > 0) || !(p.Mean > 0) || math.IsInf(p.Mean, 0) || math.IsInf(p.X, 0) {
			continue
		}
		if len(used) == 0 {
			lo, hi = p.Mean, p.Mean
		}
		lo, hi = min(lo, p.Mean), max(hi, p.Mean)
		used = append(used, p)
		s.People += p.weight()
		mean += p.weight() * p.Mean
	}
	if len(used) < 10 {
		return nil, ErrTooFew
	}
	if hi-lo <= 1e-9*hi {
		return nil, ErrConstant
	}
	mean /= s.People
	theta, least, err := minimise(func(theta []float64) float64 {
		p, q, v := math.Exp(theta[0]), math.Exp(theta[1]), math.Exp(theta[2])
		front := q*theta[2] - lgamma(q)
		var sum float64
		for _, c := range used {
			px := p * c.X
			sum -= c.weight() * (front + lgamma(px+q) - lgamma(px) + (px-1)*math.Log(c.Mean) + px*math.Log(c.X) - (px+q)*math.Log(v+c.X*c.Mean))
		}
		return sum
	}, []float64{math.Log(4), math.Log(4), math.Log(mean)})
	if err != nil {
		return nil, err
	}
	s.P, s.Q, s.V = math.Exp(theta[0]), math.Exp(theta[1]), math.Exp(theta[2])
	s.LogLikelihood = -least
	return s, nil
}

// Expected returns the mean value of the person's purchases to come, given x
// purchases so far of the given mean (x may be 0). Where the model has no
// finite mean for a stranger, it is the median.
func (s *Spend) Expected(x, mean float64) float64 {
	shape := s.P*x + s.Q
	if shape > 1.05 {
		return s.P * (s.V + x*mean) / (shape - 1)
	}
	// The rate is Gamma(shape, v + x mean); half of its people lie on each side of about shape - 1/3.
	return s.P * (s.V + x*mean) / max(shape-1.0/3, shape/3)
}

// chanceUnder returns the chance that n purchases to come are worth at most
// total together.
func (s *Spend) chanceUnder(x, mean float64, n int, total float64) float64 {
	scale := s.V + x*mean
	return beta(s.P*float64(n), s.Q+s.P*x, total/(total+scale))
}
