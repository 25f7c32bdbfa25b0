package btyd

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"
)

// ErrTooFew is returned when the histories cannot tell the parameters apart.
var ErrTooFew = errors.New("btyd: too few people with a repeat purchase")

// Fit finds the parameters of greatest likelihood. k is the regularity for
// MBGCNBDK (see Regularity) and ignored else. Equal histories are counted
// together, so the cost grows with the number of different ones.
func Fit(kind Kind, people []History, k int) (*Model, error) {
	m := &Model{Kind: kind, K: 1}
	if kind == MBGCNBDK {
		m.K = max(k, 1)
	}
	groups, err := group(people, m.K > 1)
	if err != nil {
		return nil, err
	}
	var repeats, age, x float64
	for _, h := range groups {
		m.People += h.weight()
		age += h.weight() * h.Age
		x += h.weight() * float64(h.X)
		if h.X > 0 {
			repeats += h.weight()
		}
	}
	if len(groups) < 4 || repeats < 3 || age == 0 {
		return nil, ErrTooFew
	}
	set := func(theta []float64) {
		m.R, m.Alpha, m.A, m.B = math.Exp(theta[0]), math.Exp(theta[1]), math.Exp(theta[2]), math.Exp(theta[3])
	}
	cost := func(theta []float64) float64 {
		set(theta)
		c := m.constants()
		var sum float64
		for _, h := range groups {
			all, _ := m.logs(h, c)
			sum -= h.weight() * all
		}
		return sum
	}
	// Begin where the mean rate is that of the data.
	unit := float64(m.K) * x / age
	start := []float64{math.Log(0.5), math.Log(0.5 / max(unit, 1e-9)), math.Log(0.8), math.Log(2)}
	if kind == ParetoNBD {
		start[3] = math.Log(age / m.People)
	}
	theta, least, err := minimise(cost, start)
	if err != nil {
		return nil, fmt.Errorf("btyd: %s: %w", kind, err)
	}
	set(theta)
	m.LogLikelihood = -least
	return m, nil
}

// farthest keeps log parameters where every likelihood is representable.
const farthest = 14

// minimise walks downhill from start by the simplex of Nelder and Mead (1965),
// begun anew until a new beginning does not help.
func minimise(cost func([]float64) float64, start []float64) ([]float64, float64, error) {
	origin := slices.Clone(start)
	bounded := func(x []float64) float64 {
		for i, v := range x {
			if math.Abs(v-origin[i]) > farthest {
				return math.Inf(1)
			}
		}
		if f := cost(x); !math.IsNaN(f) {
			return f
		}
		return math.Inf(1)
	}
	best, at := math.Inf(1), slices.Clone(start)
	for try := range 6 {
		result, err := optimize.Minimize(optimize.Problem{Func: bounded}, at, &optimize.Settings{
			MajorIterations: 2000,
			Converger:       &optimize.FunctionConverge{Absolute: 1e-6, Iterations: 25},
		}, &optimize.NelderMead{SimplexSize: 0.5})
		if err != nil {
			return nil, 0, err
		}
		gained := best - result.F
		best, at = result.F, slices.Clone(result.X)
		if try > 0 && gained < 1e-4 {
			break
		}
	}
	if math.IsInf(best, 0) {
		return nil, 0, errors.New("no parameters give the data a chance")
	}
	return at, best, nil
}

// group counts equal histories together, in a fixed order.
func group(people []History, gaps bool) ([]History, error) {
	out := slices.Clone(people)
	for i, h := range out {
		if err := h.Check(); err != nil {
			return nil, err
		}
		out[i].Weight = h.weight()
		if !gaps {
			out[i].LogGaps = 0
		}
	}
	order := func(a, b History) int {
		return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Age, b.Age), cmp.Compare(a.LogGaps, b.LogGaps))
	}
	slices.SortFunc(out, order)
	n := 0
	for i, h := range out {
		if i > 0 && order(out[n-1], h) == 0 {
			out[n-1].Weight += h.Weight
			continue
		}
		out[n] = h
		n++
	}
	return out[:n], nil
}

// Regularity estimates k, the Erlang shape of the gaps between purchases, from
// each person's last two gaps (Wheat and Morrison, "Estimating purchase
// regularity with two interpurchase times", JMR 27 (1990)): the share of the
// first in both is Beta(k, k) distributed, whatever the person's rate. It
// returns at least 1, and 1 where fewer than ten people bought three times.
func Regularity(gaps [][2]float64) int {
	var sum, sum2, n float64
	for _, g := range gaps {
		if total := g[0] + g[1]; total > 0 {
			share := g[0] / total
			sum += share
			sum2 += share * share
			n++
		}
	}
	if n < 10 {
		return 1
	}
	v := (sum2 - sum*sum/n) / (n - 1)
	if !(v > 0) {
		return mostRegular
	}
	return int(min(max(math.Round((1-4*v)/(8*v)), 1), mostRegular))
}

// mostRegular is the largest k worth its cost: gaps that vary by under a third.
const mostRegular = 12
