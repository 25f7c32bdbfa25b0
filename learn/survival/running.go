package survival

import "math"

// Running makes features of one sensor's readings as they come, in constant
// memory, so that a twin can keep them: where the sensor is, where it is
// against its own beginning, and where it goes.
type Running struct {
	N     float64
	Begin float64 // mean of the first readings
	Fast  float64 // exponentially weighted, about 5 readings
	Slow  float64 // about 20
	Long  float64 // about 60
	Sq    float64 // weighted squared distance from Slow
	Wear  float64 // sum of distances from the beginning
}

const (
	beginReadings = 10
	fastShare     = 2.0 / 6
	slowShare     = 2.0 / 21
	longShare     = 2.0 / 61
)

// RunningFeatures is how many features a sensor has.
const RunningFeatures = 6

// Add takes the next reading.
func (r *Running) Add(x float64) {
	r.N++
	if r.N == 1 {
		r.Begin, r.Fast, r.Slow, r.Long = x, x, x, x
		return
	}
	if r.N <= beginReadings {
		r.Begin += (x - r.Begin) / r.N
	}
	r.Fast += max(fastShare, 1/r.N) * (x - r.Fast)
	d := x - r.Slow
	r.Slow += max(slowShare, 1/r.N) * d
	r.Long += max(longShare, 1/r.N) * (x - r.Long)
	r.Sq += max(slowShare, 1/r.N) * (d*d - r.Sq)
	r.Wear += x - r.Begin
}

// Append appends the features: level now, slow level, distance from the
// beginning, recent and long trend, and restlessness.
func (r *Running) Append(row []float64) []float64 {
	return append(row, r.Fast, r.Slow, r.Slow-r.Begin, r.Fast-r.Slow, r.Slow-r.Long, math.Sqrt(r.Sq))
}
