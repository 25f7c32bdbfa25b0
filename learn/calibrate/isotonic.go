// Package calibrate turns scores into chances that mean what they say.
//
// It is pure. A calibrated chance never falls where the score rises, stays
// strictly inside (0, 1), and is a function of the set of examples alone, not
// of their order.
package calibrate

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// Isotonic is a rising step-and-slope function from score to chance. The zero
// value returns the score itself, kept inside (0, 1).
type Isotonic struct {
	// Score and Chance are the knots, both rising.
	Score, Chance []float64
}

// FitIsotonic finds the rising function nearest to the outcomes y (0 or 1) by
// the pool-adjacent-violators algorithm (Ayer et al., 1955; Zadrozny and Elkan,
// KDD 2002). Each pooled block is drawn toward the overall rate by one
// pseudo-row, so that no chance is exactly 0 or 1. weight may be nil.
func FitIsotonic(score, y, weight []float64) (*Isotonic, error) {
	if len(score) == 0 || len(y) != len(score) || weight != nil && len(weight) != len(score) {
		return nil, errors.New("calibrate: scores and outcomes are not of one length, or there are none")
	}
	type block struct{ x, y, w float64 } // sums of score and outcome, weighted
	order := make([]int, len(score))
	var sy, sw float64
	for i := range order {
		order[i] = i
		w := 1.0
		if weight != nil {
			w = weight[i]
		}
		sy += w * y[i]
		sw += w
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	var blocks []block
	push := func(b block) {
		for n := len(blocks); n > 0 && blocks[n-1].y*b.w >= b.y*blocks[n-1].w; n = len(blocks) {
			p := blocks[n-1]
			b = block{b.x + p.x, b.y + p.y, b.w + p.w}
			blocks = blocks[:n-1]
		}
		blocks = append(blocks, b)
	}
	for i := 0; i < len(order); {
		var b block
		j := i
		for ; j < len(order) && score[order[j]] == score[order[i]]; j++ {
			w := 1.0
			if weight != nil {
				w = weight[order[j]]
			}
			b.x += w * score[order[j]]
			b.y += w * y[order[j]]
			b.w += w
		}
		push(b)
		i = j
	}
	rate := min(max(sy/sw, 1e-6), 1-1e-6)
	out := &Isotonic{}
	for _, b := range blocks {
		chance := (b.y + rate) / (b.w + 1)
		if n := len(out.Chance); n > 0 && chance < out.Chance[n-1] {
			chance = out.Chance[n-1]
		}
		out.Score = append(out.Score, b.x/b.w)
		out.Chance = append(out.Chance, chance)
	}
	return out, nil
}

// At returns the chance at a score: straight lines between the blocks' middles,
// level beyond the ends.
func (c *Isotonic) At(score float64) float64 {
	n := len(c.Score)
	if n == 0 || math.IsNaN(score) {
		return min(max(score, 1e-6), 1-1e-6)
	}
	i, _ := slices.BinarySearch(c.Score, score)
	if i == 0 {
		return c.Chance[0]
	}
	if i == n {
		return c.Chance[n-1]
	}
	lo, hi := c.Score[i-1], c.Score[i]
	return c.Chance[i-1] + (c.Chance[i]-c.Chance[i-1])*(score-lo)/(hi-lo)
}
