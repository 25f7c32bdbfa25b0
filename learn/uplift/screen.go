package uplift

import (
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Finding says whether the effect differs along a group of features.
type Finding struct {
	P      float64 // chance of so much difference if there were none
	Passed bool    // with false discoveries among those passed held at 5 %
}

// falseDiscoveries is the share of groups that may pass by chance.
const falseDiscoveries = 0.05

// Screen tests each of the data's groups for differences in the effect. The
// effect of every row is estimated without bias (doubly robust), then compared
// between the features of a group by Welch's F test, which allows for unequal
// spreads. Passing is decided by Benjamini and Hochberg 1995.
func Screen(d Data, rows []int) []Finding {
	effects := d.effects(rows)
	findings := make([]Finding, len(d.Groups))
	for g, features := range d.Groups {
		cells := make(map[int32]*cell, len(features))
		for _, j := range features {
			cells[j] = &cell{}
		}
		for _, i := range rows {
			for _, f := range d.X.Row(i) {
				if c := cells[f.Index]; c != nil && f.Value == 1 {
					c.add(effects[i])
				}
			}
		}
		list := make([]*cell, 0, len(features))
		for _, j := range features {
			if c := cells[j]; c.n >= 20 {
				list = append(list, c)
			}
		}
		findings[g].P = welch(list)
	}
	order := make([]int, len(findings))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case findings[a].P < findings[b].P:
			return -1
		case findings[a].P > findings[b].P:
			return 1
		}
		return 0
	})
	for k := len(order) - 1; k >= 0; k-- {
		if findings[order[k]].P <= falseDiscoveries*float64(k+1)/float64(len(order)) {
			for _, g := range order[:k+1] {
				findings[g].Passed = true
			}
			break
		}
	}
	return findings
}

// cell is the moments of the effects of the rows that carry one feature.
type cell struct{ n, mean, squares float64 }

func (c *cell) add(x float64) {
	c.n++
	d := x - c.mean
	c.mean += d / c.n
	c.squares += d * (x - c.mean)
}

// welch returns the p value of equal means (Welch 1951).
func welch(cells []*cell) float64 {
	k := float64(len(cells))
	if k < 2 {
		return 1
	}
	var total, mean float64
	weights := make([]float64, len(cells))
	for i, c := range cells {
		v := c.squares / (c.n - 1)
		if v <= 0 {
			return 1
		}
		weights[i] = c.n / v
		total += weights[i]
		mean += weights[i] * c.mean
	}
	mean /= total
	var between, lambda float64
	for i, c := range cells {
		between += weights[i] * (c.mean - mean) * (c.mean - mean)
		lambda += (1 - weights[i]/total) * (1 - weights[i]/total) / (c.n - 1)
	}
	f := between / (k - 1) / (1 + 2*(k-2)/(k*k-1)*lambda)
	return 1 - distuv.F{D1: k - 1, D2: (k*k - 1) / (3 * lambda)}.CDF(f)
}
