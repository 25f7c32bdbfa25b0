// Package affinity says how much somebody is drawn to an attribute of what is
// on offer, from what they did and what they said.
//
// It is pure. An affinity lies in (0, 1), rises with every sign for and falls
// with every sign against, fades to the rate of everybody as signs grow old, and
// is the sum of its explained parts. Sources: the beta-binomial model with
// exponential forgetting (West and Harrison, "Bayesian Forecasting", 1997).
package affinity

import "math"

// Sign is one kind of evidence with its weight in views.
type Sign uint8

// What people do and say, the weakest first. An answer outweighs many clicks.
const (
	Viewed Sign = iota
	Clicked
	Added
	Bought
	Returned
	Liked
	Disliked
	Signs // how many there are
)

// weight is what a sign counts for and against, in views.
var weight = [Signs]struct{ pro, contra float64 }{
	Viewed: {1, 0}, Clicked: {2, 0}, Added: {4, 0}, Bought: {8, 0}, Returned: {0, 6}, Liked: {30, 0}, Disliked: {0, 30},
}

// Evidence is how often each sign was given, faded to the present.
type Evidence [Signs]float64

// Add counts n signs given age ago, with the half-life of a sign in the same unit.
func (e *Evidence) Add(s Sign, n, age, halfLife float64) {
	e[s] += n * math.Exp2(-max(age, 0)/halfLife)
}

// Prior is what is known of everybody: the rate at which signs go to the
// attribute, and how many views that is worth.
type Prior struct {
	Rate     float64 // in (0, 1)
	Strength float64 // > 0; default 10
}

// Affinity is the degree with its interval and what it is made of.
type Affinity struct {
	Value, Low, High float64
	// Parts are what the prior and each sign add: they sum to Value.
	Prior float64
	Parts Evidence
}

// Of returns the affinity to one attribute: mine are the signs to it, all the
// weight of every sign the person gave in this family of attributes (see Weight).
func Of(mine Evidence, all float64, p Prior) Affinity {
	if p.Strength == 0 {
		p.Strength = 10
	}
	var pro, contra float64
	for s, n := range mine {
		pro += n * weight[s].pro
		contra += n * weight[s].contra
	}
	others := max(all-pro-contra, 0)
	a, b := p.Rate*p.Strength+pro, (1-p.Rate)*p.Strength+contra+others
	total := a + b
	out := Affinity{Value: a / total}
	// Each sign moves the degree from where it would be without it, in proportion to its weight.
	out.Prior = p.Rate * p.Strength / total
	for s, n := range mine {
		out.Parts[s] = n * weight[s].pro / total
	}
	sd := math.Sqrt(a * b / (total * total * (total + 1)))
	out.Low, out.High = max(out.Value-1.2816*sd, 0), min(out.Value+1.2816*sd, 1)
	return out
}

// Weight is how much evidence there is, in views.
func (e Evidence) Weight() float64 {
	var sum float64
	for s, n := range e {
		sum += n * (weight[s].pro + weight[s].contra)
	}
	return sum
}
