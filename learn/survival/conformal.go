package survival

import (
	"cmp"
	"math"
	"slices"
)

// Interval turns predictions into intervals that hold with a chosen chance, by
// the errors made where the model had not learned (split conformal prediction:
// Papadopoulos et al., 2002; Lei et al., "Distribution-free predictive
// inference for regression", 2018). Errors are scaled by what is usual at that
// height of the prediction, so that the interval narrows where the model is sure.
type Interval struct {
	heights []float64 // of the calibration predictions, sorted
	scales  []float64 // half the interval around each height
}

// neighbours is how many calibration errors make the usual one at a height.
const neighbours = 100

// NewInterval calibrates on predictions with what then was true. coverage is
// in (0, 1). Weights count examples that came more often; nil weighs all the same.
func NewInterval(predicted, truth, weight []float64, coverage float64) *Interval {
	n := len(predicted)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case predicted[a] < predicted[b]:
			return -1
		case predicted[a] > predicted[b]:
			return 1
		}
		return a - b
	})
	v := &Interval{heights: make([]float64, n), scales: make([]float64, n)}
	errs := make([]float64, n)
	for i, k := range order {
		v.heights[i], errs[i] = predicted[k], math.Abs(predicted[k]-truth[k])
	}
	half := min(neighbours/2, max(1, n/4))
	overall := 0.0
	for _, e := range errs {
		overall += e
	}
	overall /= float64(max(n, 1))
	for i := range v.scales {
		sum, count := 0.0, 0.0
		for j := max(0, i-half); j <= min(n-1, i+half); j++ {
			sum, count = sum+errs[j], count+1
		}
		v.scales[i] = max(sum/count, overall/20, 1e-9)
	}
	weigh := func(i int) float64 {
		if weight == nil {
			return 1
		}
		return weight[order[i]]
	}
	// Each stretch of heights has its own quantile of scaled errors, so that the
	// many easy ones do not speak for the few hard ones (Vovk, "Conditional
	// validity of inductive conformal predictors", 2012).
	parts := min(maxParts, max(1, n/(2*neighbours)))
	for part := range parts {
		from, to := part*n/parts, (part+1)*n/parts
		q := quantileOf(errs[from:to], v.scales[from:to], func(i int) float64 { return weigh(from + i) }, coverage)
		for i := from; i < to; i++ {
			v.scales[i] *= q
		}
	}
	v.thin()
	return v
}

// maxParts is into how many stretches of heights the errors fall.
const maxParts = 8

// quantileOf returns the quantile of errors over their scales, with the (1+1/n)
// of split conformal: the new example counts as one more.
func quantileOf(errs, scales []float64, weight func(i int) float64, coverage float64) float64 {
	n := len(errs)
	scaled := make([]weighed, n)
	total := 0.0
	for i := range errs {
		scaled[i] = weighed{errs[i] / scales[i], weight(i)}
		total += scaled[i].w
	}
	slices.SortFunc(scaled, func(a, b weighed) int { return cmp.Compare(a.x, b.x) })
	need, sum := coverage*total*(1+1/float64(max(n, 1))), 0.0
	for _, s := range scaled {
		if sum += s.w; sum >= need {
			return s.x
		}
	}
	if n == 0 {
		return 1
	}
	return scaled[n-1].x
}

// intervalPoints is how many heights an interval remembers.
const intervalPoints = 256

// thin keeps evenly many of the heights: neighbours hardly differ.
func (v *Interval) thin() {
	n := len(v.heights)
	if n <= intervalPoints {
		return
	}
	heights, scales := make([]float64, intervalPoints), make([]float64, intervalPoints)
	for i := range heights {
		at := i * (n - 1) / (intervalPoints - 1)
		heights[i], scales[i] = v.heights[at], v.scales[at]
	}
	v.heights, v.scales = heights, scales
}

type weighed struct{ x, w float64 }

// Around returns the interval of a prediction.
func (v *Interval) Around(predicted float64) (low, high float64) {
	if len(v.heights) == 0 {
		return math.Inf(-1), math.Inf(1)
	}
	i, _ := slices.BinarySearch(v.heights, predicted)
	d := v.scales[min(i, len(v.scales)-1)]
	return predicted - d, predicted + d
}
