// Package anomaly scores the readings of one series as they come: how far each
// is from what this series' own past lets one expect.
//
// Guarantees: a score depends on nothing but the readings before it and itself
// (no look-ahead), takes constant time and memory, lies in [0, 1] and is the
// same for the same readings on every run. A reading that is no number, or
// one beyond 1e100 either way, scores 1 and teaches nothing.
package anomaly

import (
	"encoding/binary"
	"errors"
	"math"
)

// Settings of all detectors, in readings. There is one set for all series:
// what differs between them is learned.
const (
	fastRate     = 0.03   // level of now: the last thirty readings or so
	slowRate     = 0.01   // level of a while ago
	offsetRate   = 0.02   // how far this day lies above its season
	seasonRate   = 0.02   // one hour of the day
	shortRate    = 0.1    // errors of now, for the likelihood
	longRate     = 0.0002 // distribution of errors: five thousand readings, fewer while it is young
	contestRate  = 0.005  // which predictor has been better of late
	restRate     = 1.0 / 400
	repeatShare  = 0.3  // of its score for a reading that is no news
	rangeMargin  = 0.05 // of the range ever seen: further outside is without precedent
	rangeSurplus = 20   // standard deviations that lack of precedent is worth
	rangeAfter   = 50   // readings
	learnAfter   = 5    // readings
	hours        = 24
	largest      = 1e100 // whose square is still a number
	halfScore    = 5     // standard deviations at which the score is one half
)

// The views a detector takes of a reading, with the weight of each: what a
// single outlier says is weaker evidence than what persists.
const (
	spike = iota
	season
	shift
	likelihood
	views
)

var weights = [views]float64{spike: 0.25, season: 0.4, shift: 1.3, likelihood: 1}

// tally is a running mean and variance that forgets.
type tally struct{ mean, variance float64 }

// usual is the level at one hour of the day, made of up to 1/seasonRate readings.
type usual struct{ mean, n float64 }

// Detector holds what is known of one series. The zero value has seen nothing.
//
// Four views are taken of a reading: its distance from an exponentially
// weighted level (Roberts, "Control Chart Tests Based on Geometric Moving
// Averages", 1959), its distance from the usual of this hour of the day, the
// distance between a fast and a slow level, and the mean error of now against
// the distribution of errors so far (the anomaly likelihood of Ahmad et al.,
// "Unsupervised real-time anomaly detection for streaming data", 2017). The
// strongest, in standard deviations of its own history, makes the surprise. A
// surprise that does not exceed what was seen within the last few hundred
// readings is part of a story already told and scores less.
type Detector struct {
	n                 uint64
	fast, slow        float64
	low, high         float64
	offset, short     float64
	errFast, errUsual float64 // mean errors of the level and of the season
	rest              float64
	season            [hours]usual
	tally             [views]tally
	calibration       Calibration
}

// Reading is what a detector says of one reading.
type Reading struct {
	// Score is 0 for a reading that could not be more usual, towards 1 for one
	// without precedent.
	Score float64
	// P is the conformal p-value of the score among those of the series' own
	// past: the share that was at least as strange, counting this one. When
	// readings are exchangeable, P <= a happens at a rate of at most about a.
	P float64
	// Expected is what the better predictor said before the reading came.
	Expected float64
	// Typical is that predictor's mean error, in the unit of the readings.
	Typical float64
}

// An alarm is a reading both strange in itself and rare in its series.
const (
	AlarmScore = 0.6  // seven and a half weighted standard deviations
	AlarmP     = 0.01 // conformal: of exchangeable readings at most one in a hundred
)

// Alarm reports whether a reading deserves somebody's attention.
func (r Reading) Alarm() bool { return r.Score >= AlarmScore && r.P <= AlarmP }

// Next takes the reading x made at the time at (Unix milliseconds).
func (d *Detector) Next(at int64, x float64) Reading {
	if !(math.Abs(x) <= largest) {
		return Reading{Score: 1, P: d.calibration.P(1), Expected: d.fast, Typical: d.errFast}
	}
	if d.n == 0 {
		d.fast, d.slow, d.low, d.high = x, x, x, x
	}
	d.n++
	hour := &d.season[hourOf(at)]
	level := d.slow
	if hour.n > 0 {
		level = hour.mean + d.offset
	}
	eFast, eUsual := x-d.fast, x-level
	out := Reading{Expected: d.fast, Typical: d.errFast}
	better := math.Abs(eFast)
	if d.errUsual < d.errFast {
		out.Expected, out.Typical = level, d.errUsual
		better = math.Abs(eUsual)
	}
	d.short += shortRate * (better - d.short)

	fast := d.fast + fastRate*eFast
	now := [views]float64{spike: math.Abs(eFast), season: math.Abs(eUsual), shift: math.Abs(fast - d.slow), likelihood: better}
	surprise := 0.0
	rate := max(longRate, 1/float64(d.n))
	for i := range now {
		u := now[i]
		if i == likelihood {
			u = d.short
		}
		surprise = max(surprise, weights[i]*d.tally[i].deviations(u, d.n))
		d.tally[i].add(now[i], rate)
	}
	if margin := rangeMargin * (d.high - d.low); d.n > rangeAfter && (x > d.high+margin || x < d.low-margin) {
		surprise += rangeSurplus
	}
	d.low, d.high = min(d.low, x), max(d.high, x)

	out.Score = surprise / (surprise + halfScore)
	d.rest *= 1 - restRate
	if out.Score > d.rest {
		d.rest = out.Score
	} else {
		out.Score *= repeatShare
	}
	out.P = d.calibration.Next(out.Score)

	start := 1 / float64(d.n)
	d.fast += max(fastRate, start) * eFast
	d.slow += max(slowRate, start) * (x - d.slow)
	d.errFast += contestRate * (math.Abs(eFast) - d.errFast)
	d.errUsual += contestRate * (math.Abs(eUsual) - d.errUsual)
	d.offset += offsetRate * eUsual
	hour.n = min(hour.n+1, 1/seasonRate)
	hour.mean += (x - d.offset - hour.mean) / hour.n
	return out
}

// Seen returns how many readings the detector has learned from.
func (d *Detector) Seen() uint64 { return d.n }

// deviations returns how many standard deviations u lies above the mean.
func (t tally) deviations(u float64, n uint64) float64 {
	switch {
	case n <= learnAfter+1 || u <= t.mean:
		return 0
	case t.variance > 0:
		return (u - t.mean) / math.Sqrt(t.variance)
	}
	return rangeSurplus // the first change of what never changed
}

func (t *tally) add(u, rate float64) {
	e := u - t.mean
	t.mean += rate * e
	t.variance += rate * (e*e*(1-rate) - t.variance)
}

func hourOf(at int64) int {
	const hour, day = 3600_000, hours * 3600_000
	return int(((at%day)+day)%day) / hour
}

// AppendBinary appends the detector's state; equal states give equal bytes and
// one that has seen nothing gives none.
func (d *Detector) AppendBinary(b []byte) []byte {
	if d.n == 0 {
		return b
	}
	b = binary.AppendUvarint(b, d.n)
	for _, p := range d.numbers() {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(*p))
	}
	for _, k := range d.calibration.counts {
		b = binary.AppendUvarint(b, uint64(k))
	}
	return b
}

var errState = errors.New("not the state of a detector")

// DecodeBinary replaces d by what AppendBinary wrote.
func (d *Detector) DecodeBinary(b []byte) error {
	*d = Detector{}
	if len(b) == 0 {
		return nil
	}
	if err := d.decode(b); err != nil {
		*d = Detector{}
		return err
	}
	return nil
}

func (d *Detector) decode(b []byte) error {
	n, k := binary.Uvarint(b)
	numbers := d.numbers()
	if k <= 0 || n == 0 || len(b) < k+8*len(numbers) {
		return errState
	}
	d.n, b = n, b[k:]
	for _, p := range numbers {
		*p = math.Float64frombits(binary.LittleEndian.Uint64(b))
		if b = b[8:]; math.IsNaN(*p) || math.IsInf(*p, 0) {
			return errState
		}
	}
	for i := range d.calibration.counts {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > memory {
			return errState
		}
		d.calibration.counts[i], b = uint32(n), b[k:]
	}
	if d.calibration.count(); len(b) > 0 || d.calibration.all > memory {
		return errState
	}
	return nil
}

// numbers are the parts of the state that are floating point, in the order of the encoding.
func (d *Detector) numbers() []*float64 {
	out := []*float64{&d.fast, &d.slow, &d.low, &d.high, &d.offset, &d.short, &d.errFast, &d.errUsual, &d.rest}
	for i := range d.season {
		out = append(out, &d.season[i].mean, &d.season[i].n)
	}
	for i := range d.tally {
		out = append(out, &d.tally[i].mean, &d.tally[i].variance)
	}
	return out
}
