package ope

import (
	"math"

	"github.com/rapport-engine/rapport/learn"
)

// Interval returns the mean of a sample and its two-sided interval, corrected
// for the sample's skewness by Hall's monotone cubic transformation of the
// studentised mean: rewards are rare and weights are heavy, so the plain
// interval misses too often on one side. An empty sample gives NaN.
func Interval(sample []float64, level float64) (low, high, mean float64) {
	n := float64(len(sample))
	if n == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	for _, x := range sample {
		mean += x
	}
	mean /= n
	var second, third float64
	for _, x := range sample {
		d := x - mean
		second += d * d
		third += d * d * d
	}
	if n < 2 || second == 0 {
		return mean, mean, mean
	}
	deviation := math.Sqrt(second / n)
	skewness := third / n / (deviation * deviation * deviation)
	z := learn.StudentQuantile((1+level)/2, n-1)
	scale := math.Sqrt(second/(n-1)) / math.Sqrt(n)
	return mean - scale*unskewed(z, skewness, n), mean - scale*unskewed(-z, skewness, n), mean
}

// unskewed inverts Hall's transformation
// g(t) = t + (s/√n)(t²/3 + 1/6) + (s²/n)(t³/27).
func unskewed(z, skewness, n float64) float64 {
	a := skewness / math.Sqrt(n)
	if math.Abs(a) < 1e-8 {
		return z
	}
	return 3 / a * (math.Cbrt(1+a*(z-a/6)) - 1)
}

func variance(sample []float64, mean float64) float64 {
	if len(sample) < 2 {
		return 0
	}
	var sum float64
	for _, x := range sample {
		sum += (x - mean) * (x - mean)
	}
	return sum / float64(len(sample)-1)
}
