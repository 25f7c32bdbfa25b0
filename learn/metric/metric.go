// Package metric judges predictions against what then happened.
//
// It is pure. Ties are settled so that the order of the input does not matter,
// and a figure that the data cannot give (no positives, no rows) is NaN, never
// a guess. Sources stand at each function.
package metric

import (
	"cmp"
	"math"
	"slices"
)

// AUC is the chance that a random positive scores above a random negative, ties
// counting half (Hanley and McNeil, 1982). y holds 0 and 1. NaN if either kind is absent.
func AUC(score, y []float64) float64 {
	order := byScore(score)
	var positives, below, sum float64
	for i := 0; i < len(order); {
		var p, n float64
		j := i
		for ; j < len(order) && score[order[j]] == score[order[i]]; j++ {
			p += y[order[j]]
			n += 1 - y[order[j]]
		}
		sum += p * (below + n/2)
		below += n
		positives += p
		i = j
	}
	return sum / (positives * below)
}

// AveragePrecision is the sum over thresholds of precision times the gain in
// recall, tied scores being one threshold. NaN without positives.
func AveragePrecision(score, y []float64) float64 {
	order := byScore(score)
	var all float64
	for _, v := range y {
		all += v
	}
	var found, seen, sum float64
	for i := len(order) - 1; i >= 0; {
		var p float64
		j := i
		for ; j >= 0 && score[order[j]] == score[order[i]]; j-- {
			p += y[order[j]]
			seen++
		}
		found += p
		sum += p * found / seen
		i = j
	}
	return sum / all
}

// Brier is the mean squared error of chances (Brier, 1950).
func Brier(chance, y []float64) float64 {
	var sum float64
	for i, p := range chance {
		sum += (p - y[i]) * (p - y[i])
	}
	return sum / float64(len(chance))
}

// LogLoss is the mean of -log of the chance given to what happened, chances
// being kept 1e-15 away from 0 and 1.
func LogLoss(chance, y []float64) float64 {
	var sum float64
	for i, p := range chance {
		p = min(max(p, 1e-15), 1-1e-15)
		sum -= y[i]*math.Log(p) + (1-y[i])*math.Log1p(-p)
	}
	return sum / float64(len(chance))
}

// Bin is one group of a reliability diagram.
type Bin struct {
	Predicted float64 // mean chance
	Actual    float64 // share of positives
	Count     int
}

// Calibration groups predictions, sorted, into the given number of bins of
// equal size (fewer if there are fewer rows); tied predictions stay together.
func Calibration(chance, y []float64, bins int) []Bin {
	order := byScore(chance)
	var out []Bin
	for i := 0; i < len(order); {
		end := max(i+1, (len(out)+1)*len(order)/bins)
		for end < len(order) && chance[order[end]] == chance[order[end-1]] {
			end++
		}
		var b Bin
		for _, k := range order[i:end] {
			b.Predicted += chance[k]
			b.Actual += y[k]
			b.Count++
		}
		b.Predicted /= float64(b.Count)
		b.Actual /= float64(b.Count)
		out = append(out, b)
		i = end
		for len(out) < bins && (len(out)+1)*len(order)/bins <= i && i < len(order) {
			bins-- // a run of ties has filled the next bin too
		}
	}
	return out
}

// CalibrationError is the mean distance between predicted and actual over the
// bins, weighted by their size (expected calibration error; Naeini et al., 2015).
func CalibrationError(bins []Bin) float64 {
	var sum, n float64
	for _, b := range bins {
		sum += float64(b.Count) * math.Abs(b.Predicted-b.Actual)
		n += float64(b.Count)
	}
	return sum / n
}

// Pearson is the correlation of two columns; NaN if one is constant.
func Pearson(a, b []float64) float64 {
	n := float64(len(a))
	var ma, mb float64
	for i := range a {
		ma += a[i] / n
		mb += b[i] / n
	}
	var sab, saa, sbb float64
	for i := range a {
		sab += (a[i] - ma) * (b[i] - mb)
		saa += (a[i] - ma) * (a[i] - ma)
		sbb += (b[i] - mb) * (b[i] - mb)
	}
	return sab / math.Sqrt(saa*sbb)
}

// Errors returns the mean absolute and the root mean squared error.
func Errors(predicted, actual []float64) (mae, rmse float64) {
	n := float64(len(predicted))
	for i, p := range predicted {
		d := p - actual[i]
		mae += math.Abs(d) / n
		rmse += d * d / n
	}
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	return mae, math.Sqrt(rmse)
}

func byScore(score []float64) []int {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	return order
}
