package btyd

import "math"

// Retention is the shifted beta-geometric model of contracts: each customer
// leaves at the end of a period with a chance of their own, beta distributed
// (Fader, Hardie, "How to project customer retention", Journal of Interactive
// Marketing 21 (2007)).
type Retention struct {
	Alpha, Beta   float64
	LogLikelihood float64
}

// FitRetention finds the parameters of greatest likelihood. lost[i] customers
// left at the end of period i+1, and kept are with us still after the last.
func FitRetention(lost []float64, kept float64) (*Retention, error) {
	all := kept
	some := 0
	for _, n := range lost {
		all += n
		if n > 0 {
			some++
		}
	}
	if some < 2 || all <= 0 {
		return nil, ErrTooFew
	}
	theta, least, err := minimise(func(theta []float64) float64 {
		a, b := math.Exp(theta[0]), math.Exp(theta[1])
		chance := a / (a + b)
		var sum float64
		for i, n := range lost {
			if i > 0 {
				t := float64(i + 1)
				chance *= (b + t - 2) / (a + b + t - 1)
			}
			sum -= n * math.Log(chance)
		}
		t := float64(len(lost))
		return sum - kept*(lbeta(a, b+t)-lbeta(a, b))
	}, []float64{0, 0})
	if err != nil {
		return nil, err
	}
	return &Retention{Alpha: math.Exp(theta[0]), Beta: math.Exp(theta[1]), LogLikelihood: -least}, nil
}

// Survival returns the share of customers who are still there after t periods.
func (r *Retention) Survival(t float64) float64 {
	return math.Exp(lbeta(r.Alpha, r.Beta+t) - lbeta(r.Alpha, r.Beta))
}

// Hazard returns the chance of leaving at the end of period t >= 1 for one who
// has stayed so far.
func (r *Retention) Hazard(t float64) float64 { return r.Alpha / (r.Alpha + r.Beta + t - 1) }
