package uplift

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Curve is what a ranking promises: people in its order.
type Curve struct {
	d     Data
	order []int32
	ties  []int32 // where a run of equal scores ends, by its start's place
}

// NewCurve orders the rows by score, the highest first.
func NewCurve(d Data, scores []float64) *Curve {
	c := &Curve{d: d, order: make([]int32, len(scores))}
	for i := range c.order {
		c.order[i] = int32(i)
	}
	sort.SliceStable(c.order, func(a, b int) bool { return scores[c.order[a]] > scores[c.order[b]] })
	c.ties = make([]int32, len(scores))
	for i := 0; i < len(c.order); {
		j := i + 1
		for j < len(c.order) && scores[c.order[j]] == scores[c.order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			c.ties[k] = int32(j)
		}
		i = j
	}
	return c
}

// sums accumulates one end of the curve.
type sums struct{ treated, control, gained, lost float64 }

// gain is the outcomes that treating those so far has added (Radcliffe 2007).
func (s sums) gain() float64 {
	if s.control == 0 {
		return s.gained
	}
	return s.gained - s.lost*s.treated/s.control
}

// walk calls step at the end of every run of equal scores with the people so
// far and the sums; weights, if given, count each row so often.
func (c *Curve) walk(weights []float64, step func(people float64, s sums)) {
	var s sums
	var people float64
	for k, i := range c.order {
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		people += w
		if c.d.Treated[i] {
			s.treated += w
			s.gained += w * c.d.Outcomes[i]
		} else {
			s.control += w
			s.lost += w * c.d.Outcomes[i]
		}
		if int(c.ties[k]) == k+1 {
			step(people, s)
		}
	}
}

// areas returns the area under the curve and under the straight line of a
// random ranking.
func (c *Curve) areas(weights []float64) (area, random float64) {
	var people, gain float64
	c.walk(weights, func(n float64, s sums) {
		g := s.gain()
		area += (n - people) * (g + gain) / 2
		people, gain = n, g
	})
	return area, people * gain / 2
}

// Qini is a ranking's Qini coefficient: the area between its curve and that of
// a random ranking, as a share of the same area of the best ranking in
// hindsight (treated who responded first, untreated who responded last). 0 is
// random, 1 cannot be beaten, below 0 is worse than random.
type Qini struct{ Value, Low, High float64 }

// Judge returns the Qini coefficients of several rankings of the same rows with
// 95 % bootstrap intervals, and of each the interval of its lead over the first.
// seed makes the draws repeatable.
func Judge(d Data, rankings [][]float64, draws int, seed uint64) (qini, lead []Qini) {
	curves := make([]*Curve, len(rankings))
	for k, scores := range rankings {
		curves[k] = NewCurve(d, scores)
	}
	hindsight := make([]float64, len(d.Outcomes))
	for i, y := range d.Outcomes {
		hindsight[i] = y * 2 * sign(d.Treated[i])
	}
	best := NewCurve(d, hindsight)
	judge := func(weights []float64) []float64 {
		top, random := best.areas(weights)
		values := make([]float64, len(curves))
		for k, c := range curves {
			area, _ := c.areas(weights)
			values[k] = (area - random) / (top - random)
		}
		return values
	}
	values := judge(nil)
	r := rand.New(rand.NewPCG(seed, 0))
	drawn := make([][]float64, 0, draws)
	weights := make([]float64, len(d.Outcomes))
	for range draws {
		clear(weights)
		for range weights {
			weights[r.IntN(len(weights))]++
		}
		drawn = append(drawn, judge(weights))
	}
	for k := range values {
		qini = append(qini, interval(values[k], drawn, func(v []float64) float64 { return v[k] }))
		lead = append(lead, interval(values[k]-values[0], drawn, func(v []float64) float64 { return v[k] - v[0] }))
	}
	return qini, lead
}

// interval is the value with a normal interval of the draws' spread.
func interval(value float64, drawn [][]float64, of func([]float64) float64) Qini {
	var n, mean, squares float64
	for _, v := range drawn {
		x := of(v)
		n++
		d := x - mean
		mean += d / n
		squares += d * (x - mean)
	}
	half := 1.96 * math.Sqrt(squares/max(n-1, 1))
	return Qini{Value: value, Low: value - half, High: value + half}
}

// UpliftAt returns the difference in the mean outcome between treated and
// untreated among the top share of a ranking, NaN if one arm is missing there.
func (c *Curve) UpliftAt(share float64) float64 {
	var s sums
	last := int(math.Round(share * float64(len(c.order))))
	for _, i := range c.order[:last] {
		if c.d.Treated[i] {
			s.treated++
			s.gained += c.d.Outcomes[i]
		} else {
			s.control++
			s.lost += c.d.Outcomes[i]
		}
	}
	return s.gained/s.treated - s.lost/s.control
}
