// Package btyd tells from when and how much a person bought whether they still
// are a customer, how often they will buy, and what that is worth ("buy till
// you die").
//
// It is pure and deterministic. Every answer is finite for every history of
// finite numbers, from no repeat purchase to millions: likelihoods are summed
// in log space and integrals are taken by Gauss-Legendre, never through the
// hypergeometric function, which loses all digits for heavy buyers.
//
// Sources: Schmittlein, Morrison, Colombo, "Counting your customers",
// Management Science 33 (1987) (Pareto/NBD); Fader, Hardie, Lee, Marketing
// Science 24 (2005) (BG/NBD); Batislam, Denizel, Filiztekin, IJRM 24 (2007)
// (MBG/NBD); Platzer, Reutterer, "Ticking away the moments", Marketing Science
// 35 (2016) (MBG/CNBD-k).
package btyd

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/mathext"
)

// History is what the models need to know of one person, in any unit of time.
type History struct {
	X       int     // repeat purchases: those after the first, >= 0
	Last    float64 // from the first to the last purchase; 0 if X is 0
	Age     float64 // from the first purchase to now, >= Last
	LogGaps float64 // sum of the logarithms of the gaps between purchases
	Weight  float64 // how many people have this history; 0 counts as 1
}

func (h History) weight() float64 {
	if h.Weight == 0 {
		return 1
	}
	return h.Weight
}

// Kind is a model.
type Kind uint8

// The models. In all of them purchases of a living customer are a renewal
// process whose rate is gamma distributed over people.
const (
	// BGNBD: customers die after a repeat purchase, with a chance of their own.
	BGNBD Kind = iota
	// MBGNBD: customers may die after the first purchase too.
	MBGNBD
	// MBGCNBDK: as MBGNBD, with Erlang-k gaps: purchases more regular than chance.
	MBGCNBDK
	// ParetoNBD: customers die at any moment, at a rate of their own.
	ParetoNBD
)

var kinds = []string{"bg-nbd", "mbg-nbd", "mbg-cnbd-k", "pareto-nbd"}

// Kinds returns every model.
func Kinds() []Kind { return []Kind{BGNBD, ParetoNBD, MBGNBD, MBGCNBDK} }

func (k Kind) String() string { return kinds[k] }

// ParseKind finds a model by name.
func ParseKind(name string) (Kind, bool) {
	i := slices.Index(kinds, name)
	return Kind(max(i, 0)), i >= 0
}

// Model is a fitted model. The purchase rate is gamma distributed with shape R
// and rate Alpha. The chance of death after a purchase is beta distributed with
// A and B; for ParetoNBD the rate of death is gamma distributed with shape A and
// rate B (s and beta in the paper).
type Model struct {
	Kind           Kind
	R, Alpha, A, B float64
	K              int     // regularity of the gaps; 1 but for MBGCNBDK
	LogLikelihood  float64 // of the histories fitted to
	People         float64 // weight of the histories fitted to
}

// Params returns the parameters under the names of the papers.
func (m *Model) Params() map[string]float64 {
	p := map[string]float64{"r": m.R, "alpha": m.Alpha}
	if m.Kind == ParetoNBD {
		p["s"], p["beta"] = m.A, m.B
		return p
	}
	p["a"], p["b"] = m.A, m.B
	if m.Kind == MBGCNBDK {
		p["k"] = float64(m.K)
	}
	return p
}

// coins is how often the customer has survived a chance to die, if alive.
func (m *Model) coins(h History) float64 {
	if m.Kind == BGNBD {
		return float64(h.X)
	}
	return float64(h.X + 1)
}

func (m *Model) k() int { return max(m.K, 1) }

// constants are what a likelihood needs of the parameters alone.
type constants struct{ front, beta, lnk float64 }

func (m *Model) constants() constants {
	c := constants{front: m.R*math.Log(m.Alpha) - lgamma(m.R)}
	if m.Kind == ParetoNBD {
		c.front += m.A * math.Log(m.B)
	} else {
		c.beta = lbeta(m.A, m.B)
		c.lnk = lgamma(float64(m.k()))
	}
	return c
}

// logs returns the log likelihood of a history, and of its part in which the
// customer is alive.
func (m *Model) logs(h History, c constants) (all, alive float64) {
	x := float64(h.X)
	shape := m.R + float64(m.k())*x
	front := c.front + lgamma(shape)
	if m.Kind == ParetoNBD {
		alive = -shape*math.Log(m.Alpha+h.Age) - m.A*math.Log(m.B+h.Age)
		dead := m.logDeathBetween(h)
		return front + logAdd(alive, dead), front + alive
	}
	n := m.coins(h)
	front += float64(m.k()-1)*h.LogGaps - x*c.lnk
	// Alive: n coins survived, and fewer than k steps since the last purchase.
	phases, term := 0.0, 1.0
	for j := range m.k() {
		phases += term
		term *= (shape + float64(j)) / float64(j+1) * (h.Age - h.Last) / (m.Alpha + h.Age)
	}
	survived := lbeta(m.A, m.B+n) - c.beta
	alive = front + survived + math.Log(phases) - shape*math.Log(m.Alpha+h.Age)
	if n == 0 {
		return alive, alive
	}
	died := survived + math.Log(m.A/(m.B+n-1)) // B(a+1, b+n-1) / B(a, b)
	dead := front + died - shape*math.Log(m.Alpha+h.Last)
	return logAdd(alive, dead), alive
}

// logDeathBetween returns the log of s times the integral from Last to Age of
// (alpha+y)^-(r+x) (beta+y)^-(s+1) dy. With w = ((alpha+Last)/(alpha+y))^(r+x+s)
// the integrand is nearly flat, however heavy the buyer.
func (m *Model) logDeathBetween(h History) float64 {
	rx := m.R + float64(h.X)
	c := rx + m.A
	from := m.Alpha + h.Last
	low := math.Exp(c * math.Log(from/(m.Alpha+h.Age)))
	if low >= 1 {
		return math.Inf(-1)
	}
	// ((beta+y)/(alpha+y))^-(s+1), relative to its value at Last so that it cannot overflow.
	start := math.Log((m.B + h.Last) / from)
	var sum float64
	for i, node := range flat.x {
		w := low + (1-low)*node
		y := math.Exp(-math.Log(w)/c)*from - m.Alpha
		sum += flat.w[i] * math.Exp(-(m.A+1)*(math.Log((m.B+y)/(m.Alpha+y))-start))
	}
	return math.Log(m.A*sum*(1-low)/c) - (m.A+1)*start - c*math.Log(from)
}

// LogLikelihoodOf returns the log likelihood of one history under the model.
func (m *Model) LogLikelihoodOf(h History) float64 {
	all, _ := m.logs(h, m.constants())
	return all
}

// Alive returns the chance in [0, 1] that the customer has not left.
func (m *Model) Alive(h History) float64 {
	all, alive := m.logs(h, m.constants())
	return min(math.Exp(alive-all), 1)
}

// Expected returns how many purchases to expect in the time t after Age.
func (m *Model) Expected(h History, t float64) float64 {
	if !(t > 0) {
		return 0
	}
	alive := m.Alive(h)
	shape := m.R + float64(m.k()*h.X)
	from := m.Alpha + h.Age
	if m.Kind == ParetoNBD {
		// (1 - z^(s-1)) / (s-1), smooth at s = 1
		lnz := math.Log((m.B + h.Age) / (m.B + h.Age + t))
		lasts := -lnz
		if d := m.A - 1; math.Abs(d) > 1e-9 {
			lasts = -math.Expm1(d*lnz) / d
		}
		return alive * shape / from * (m.B + h.Age) * lasts
	}
	k := float64(m.k())
	if k > 1 && shape*t/from < 2000*k {
		var sum float64
		for n := 1; ; n++ {
			p := m.atLeast(h, t, n)
			sum += p
			if p < 1e-10 {
				return alive * sum
			}
		}
	}
	// Alive and with rate l and chance p a customer makes (1 - exp(-l p t)) / p
	// purchases; over the gamma of l that is (1 - (from/(from+pt))^shape) / p,
	// here over the beta of p. Regularity does not matter to so many purchases.
	return alive * meanOverBeta(m.A, m.B+m.coins(h), func(p float64) float64 {
		if p*t < 1e-12*k*from {
			return shape * t / (k * from) // the limit, where the difference has no digits left
		}
		return -math.Expm1(-shape*math.Log1p(p*t/(k*from))) / p
	})
}

// AtLeast returns the chance of n or more purchases in the time t after Age.
func (m *Model) AtLeast(h History, t float64, n int) float64 {
	if n <= 0 {
		return 1
	}
	if !(t > 0) {
		return 0
	}
	return m.Alive(h) * m.atLeast(h, t, n)
}

// atLeast is AtLeast for a customer known to be alive.
func (m *Model) atLeast(h History, t float64, n int) float64 {
	from := m.Alpha + h.Age
	shape := m.R + float64(m.k()*h.X)
	if m.Kind == ParetoNBD {
		// The n-th purchase comes at u, with u/(from+u) beta distributed, if
		// death does not come before: integrated by parts over the time of death.
		s, b := m.A, m.B+h.Age
		sum := math.Exp(s*math.Log(b/(b+t))) * beta(float64(n), shape, t/(from+t))
		for i, node := range nodes.x {
			u := t * node
			death := s / (b + u) * math.Exp(s*math.Log(b/(b+u)))
			sum += t * nodes.w[i] * death * beta(float64(n), shape, u/(from+u))
		}
		return min(sum, 1)
	}
	// n-1 coins survived, and the steps left to the n-th purchase taken; j steps
	// have been taken since the last one.
	q := t / (from + t)
	var sum, total float64
	term := 1.0
	for j := range m.k() {
		total += term
		sum += term * beta(float64(n*m.k()-j), shape+float64(j), q)
		term *= (shape + float64(j)) / float64(j+1) * (h.Age - h.Last) / from
	}
	coins := m.B + m.coins(h)
	return sum / total * math.Exp(lbeta(m.A, coins+float64(n-1))-lbeta(m.A, coins))
}

// Quantile returns the smallest number of purchases in the time t after Age
// that is not exceeded with at least the chance q in (0, 1).
func (m *Model) Quantile(h History, t, q float64) int {
	over := func(n int) bool { return m.AtLeast(h, t, n+1) > 1-q }
	high := 1
	for high < 1<<40 && over(high-1) {
		high *= 2
	}
	low := -1 // over(low) holds
	for high-low > 1 {
		if mid := low + (high-low)/2; over(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// Next returns the time within which a customer who is still alive and does not
// leave buys again with the chance q in (0, 1).
func (m *Model) Next(h History, q float64) float64 {
	from := m.Alpha + h.Age
	chance := func(t float64) float64 {
		var sum, total float64
		term := 1.0
		for j := range m.k() {
			shape := m.R + float64(m.k()*h.X+j)
			total += term
			sum += term * beta(float64(m.k()-j), shape, t/(from+t))
			term *= shape / float64(j+1) * (h.Age - h.Last) / from
		}
		return sum / total
	}
	high := from
	for range 200 {
		if chance(high) >= q {
			break
		}
		high *= 2
	}
	low := 0.0
	for range 60 {
		if mid := low + (high-low)/2; chance(mid) < q {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// Check tells what is wrong with a history, if anything.
func (h History) Check() error {
	if h.X < 0 || !(h.Last >= 0) || !(h.Age >= h.Last) || math.IsInf(h.Age, 0) || h.X == 0 && h.Last != 0 ||
		math.IsNaN(h.LogGaps) || math.IsInf(h.LogGaps, 0) || !(h.Weight >= 0) || math.IsInf(h.Weight, 0) {
		return fmt.Errorf("btyd: not a history: %+v", h)
	}
	return nil
}

// nodes and flat are Gauss-Legendre points and weights on (0, 1), for any
// integrand and for one that is nearly flat.
var nodes, flat = legendre(48), legendre(16)

type rule struct{ x, w []float64 }

func legendre(n int) rule {
	r := rule{make([]float64, n), make([]float64, n)}
	quad.Legendre{}.FixedLocations(r.x, r.w, 0, 1)
	return r
}

// meanOverBeta returns the mean of f(p) over p ~ Beta(a, b), on the axis of the
// log odds, where the density is smooth and log-concave whatever a and b.
func meanOverBeta(a, b float64, f func(p float64) float64) float64 {
	norm := lbeta(a, b)
	density := func(u float64) float64 { // log density at the log odds u
		return a*u - (a+b)*softplus(u) - norm
	}
	mode := math.Log(a / b)
	peak := density(mode)
	// Panels of growing width from the mode outward, until the density is e^-36 of its peak.
	var sum float64
	for _, dir := range []float64{-1, 1} {
		from, width := mode, 2/math.Sqrt(a*b/(a+b))
		for {
			for j, node := range nodes.x {
				u := from + dir*width*node
				sum += width * nodes.w[j] * math.Exp(density(u)) * f(1/(1+math.Exp(-u)))
			}
			if from += dir * width; density(from) < peak-36 {
				break
			}
			width *= 2
		}
	}
	return sum
}

func softplus(u float64) float64 { return max(u, 0) + math.Log1p(math.Exp(-math.Abs(u))) }

func lgamma(x float64) float64 {
	y, _ := math.Lgamma(x)
	return y
}

func lbeta(a, b float64) float64 { return lgamma(a) + lgamma(b) - lgamma(a+b) }

// beta is the regularised incomplete beta function I_x(a, b).
func beta(a, b, x float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	return mathext.RegIncBeta(a, b, x)
}

func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
