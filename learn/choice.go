package learn

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Estimate is the belief about what one candidate is worth, as Thompson
// sampling draws from it: a log-normal above Floor, which is right for values
// that cannot be lower (nobody answers, the cost is lost) and skewed while
// little is known; or a normal if Floor is -Inf.
type Estimate struct {
	Mean  float64 // expected value, > Floor
	SD    float64 // how unsure it is, >= 0
	Floor float64 // lowest possible value, or -Inf
}

// Shape is an Estimate prepared for drawing: value = base + exp(mu + sigma z),
// or mu + sigma z when linear.
type Shape struct {
	base, mu, sigma float64
	linear          bool
}

// Shape returns the estimate prepared for drawing.
func (e Estimate) Shape() Shape {
	over := e.Mean - e.Floor
	// A value known exactly is drawn from a range too narrow to matter, so that equals share their chances.
	sd := max(e.SD, 1e-9*(1+math.Abs(e.Mean)))
	if math.IsInf(e.Floor, -1) || over <= sd*1e-6 {
		return Shape{mu: e.Mean, sigma: sd, linear: true}
	}
	s2 := math.Log1p(sd * sd / (over * over))
	return Shape{base: e.Floor, mu: math.Log(over) - s2/2, sigma: math.Sqrt(s2)}
}

// Shapes returns estimates prepared for drawing.
func Shapes(es []Estimate) []Shape {
	out := make([]Shape, len(es))
	for i, e := range es {
		out[i] = e.Shape()
	}
	return out
}

// Draw returns one draw of the value.
func (e Estimate) Draw(r *rand.Rand) float64 { return e.Shape().Draw(r) }

// at returns the value at the standard normal z; it rises with z.
func (s Shape) at(z float64) float64 {
	if s.linear {
		return s.mu + s.sigma*z
	}
	return s.base + math.Exp(s.mu+s.sigma*z)
}

// scale is a value as shapes of one base see it: many have the same, and the
// logarithm is what costs.
type scale struct {
	x, base, log float64
	known        bool
}

// z returns where the value stands in a shape, in its standard deviations: the
// inverse of at.
func (c *scale) z(s *Shape) float64 {
	if s.linear {
		return (c.x - s.mu) / s.sigma
	}
	if !c.known || c.base != s.base {
		c.known, c.base, c.log = true, s.base, math.Inf(-1)
		if c.x > s.base {
			c.log = math.Log(c.x - s.base)
		}
	}
	return (c.log - s.mu) / s.sigma
}

// Draw returns one draw of the value.
func (s Shape) Draw(r *rand.Rand) float64 { return s.at(r.NormFloat64()) }

// Leading is how many candidates Chances weighs exactly; those behind them
// have a chance too small to tell from zero.
const Leading = 16

const (
	reach     = 4.0 // standard deviations beyond which a draw is left out of account
	quantiles = 9   // grid points a candidate contributes
	spacing   = 2 * 3.5 / (quantiles - 1)
)

// Chances writes to p[i] the probability that candidate i's draw is the
// largest and above bar, and returns the probability that no draw is above
// bar. p and shapes have the same length; p and the result sum to 1.
//
// The integral over the largest draw is taken on a grid made of the leading
// candidates' own quantiles. Within a cell, the exact mass of the maximum is
// shared in proportion to the candidates' log-probability there, which is
// exact when their distribution functions are powers of one another; the
// error against Monte-Carlo with 10^6 draws stays below 0.01.
func Chances(p []float64, shapes []Shape, bar float64) (none float64) {
	clear(p)
	var lead [Leading]struct {
		Shape
		index  int
		hi, lo float64
	}
	n := 0
	floor := bar
	least := scale{x: bar} // what the highest draw must be above
	for i := range shapes {
		s := &shapes[i]
		if least.z(s) >= reach {
			continue
		}
		hi := s.at(reach)
		at := n
		for at > 0 && lead[at-1].hi < hi {
			at--
		}
		if at == Leading {
			continue
		}
		n = min(n+1, Leading)
		copy(lead[at+1:n], lead[at:n-1])
		lead[at].Shape, lead[at].index, lead[at].hi, lead[at].lo = *s, i, hi, s.at(-reach)
		floor = max(floor, lead[at].lo)
		if n == Leading {
			least = scale{x: max(bar, lead[n-1].hi)}
		}
	}
	for n > 0 && lead[n-1].hi <= floor {
		n-- // sorted by hi: these cannot reach what another surely exceeds
	}
	if n == 0 {
		return 1
	}

	var points [Leading*quantiles + 2]float64
	m := 0
	for i := range lead[:n] {
		for q := range quantiles {
			if x := lead[i].at(-3.5 + spacing*float64(q)); x > floor {
				points[m] = x
				m++
			}
		}
	}
	grid := points[:m+1]
	grid[m] = lead[0].hi
	slices.Sort(grid)

	// before and now hold ln F of each candidate at the grid point behind and at hand.
	var before, now [Leading]float64
	total := 0.0
	at := scale{x: floor}
	for i := range lead[:n] {
		before[i] = logPhi(at.z(&lead[i].Shape))
		total += before[i]
	}
	mass := math.Exp(total) // probability that all draws are below the point
	none = mass
	for _, x := range grid {
		sum, rise := 0.0, 0.0
		at := scale{x: x}
		for i := range lead[:n] {
			now[i] = logPhi(at.z(&lead[i].Shape))
			sum += now[i]
			rise += now[i] - before[i]
		}
		if rise <= 0 {
			continue
		}
		next := math.Exp(sum)
		share := (next - mass) / rise
		for i := range lead[:n] {
			p[lead[i].index] += share * (now[i] - before[i])
			before[i] = now[i]
		}
		mass = next
	}
	if floor > bar {
		none = 0 // some draw is surely above the bar
	}
	all := none
	for i := range lead[:n] {
		all += p[lead[i].index]
	}
	for i := range lead[:n] {
		p[lead[i].index] /= all
	}
	return none / all
}

// logPhi returns ln of the standard normal distribution function, by linear
// interpolation (error below 4e-5 absolute); below -8 it returns its value at -8.
func logPhi(z float64) float64 {
	if !(z > -8) {
		return logPhiTable[0]
	}
	f := (z + 8) * 64
	if f >= float64(len(logPhiTable)-1) {
		return 0
	}
	i := int(f)
	return logPhiTable[i] + (f-float64(i))*(logPhiTable[i+1]-logPhiTable[i])
}

// logPhiTable holds ln Phi from -8 to 8 in steps of 1/64. It never changes.
var logPhiTable = func() (t [1025]float64) {
	for i := range t {
		t[i] = math.Log(0.5 * math.Erfc(-(float64(i)/64-8)/math.Sqrt2))
	}
	return t
}()
