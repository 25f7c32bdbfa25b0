package twin

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Reading is the latest value of one name of an item's telemetry and the
// statistics of its numbers since the present owner has the item.
type Reading struct {
	Name string
	// At is the time of the latest value, Unix milliseconds.
	At    int64
	value []byte // encoded rapport.Value
	// Count, Mean, Min and Max are of all numbers; m2 is the sum of squared deviations (Welford).
	Count, m2      float64
	Mean, Min, Max float64
	// Fast and Slow are exponentially weighted means over about 8 and 128 numbers.
	Fast, Slow float64
	hour, day  bucket
}

// bucket gathers the numbers of one hour or day.
type bucket struct {
	begin          int64 // number of the hour or day since 1970; 0 is none
	n              int64
	sum, low, high float64
}

// Value returns the latest value; it refers to the state.
func (r *Reading) Value() rapport.Value {
	v, _ := rapport.DecodeValue(r.value)
	return v
}

// Number returns the latest value as a number.
func (r *Reading) Number() (float64, bool) { return r.Value().Number() }

// Deviation returns the sample standard deviation, 0 below two numbers.
func (r *Reading) Deviation() float64 {
	if r.Count < 2 {
		return 0
	}
	return math.Sqrt(r.m2 / (r.Count - 1))
}

func (b *bucket) code(c *coder) {
	c.int(&b.begin)
	if b.begin == 0 {
		return
	}
	c.int(&b.n)
	c.float(&b.sum)
	c.float(&b.low)
	c.float(&b.high)
}

func (r *Reading) code(c *coder) {
	c.text(&r.Name)
	c.int(&r.At)
	c.bytes(&r.value)
	n := int64(r.Count)
	c.int(&n)
	if r.Count = float64(n); n == 0 {
		return
	}
	for _, f := range []*float64{&r.Mean, &r.m2, &r.Min, &r.Max, &r.Fast, &r.Slow} {
		c.float(f)
	}
	r.hour.code(c)
	r.day.code(c)
}

// Reading returns a reading by its name, or nil.
func (s *Item) Reading(name string) *Reading {
	i, ok := slices.BinarySearchFunc(s.Readings, name, func(r Reading, name string) int { return strings.Compare(r.Name, name) })
	if !ok {
		return nil
	}
	return &s.Readings[i]
}

// measure folds readings in and reports whether any latest value changed.
func (s *Item) measure(c *engine.Context, e *rapport.Event) (changed bool) {
	var scratch [512]byte
	for k, v := range e.Properties.All() {
		if !CheckReading(string(k), v) {
			continue
		}
		i, found := slices.BinarySearchFunc(s.Readings, string(k), func(r Reading, name string) int { return strings.Compare(r.Name, name) })
		if !found {
			if len(s.Readings) >= MaxReadings {
				continue
			}
			s.Readings = slices.Insert(s.Readings, i, Reading{Name: clip(string(k), MaxName), At: math.MinInt64})
		}
		r := &s.Readings[i]
		value := rapport.AppendValue(scratch[:0], v)
		if e.Timestamp >= r.At {
			changed = changed || string(value) != string(r.value)
			r.value, r.At = append(r.value[:0], value...), e.Timestamp
		}
		if x, ok := v.Number(); ok {
			r.count(c, e.Timestamp, x)
		}
	}
	return changed
}

// CheckReading reports whether a name and value may be a reading: a number,
// text or truth value of bounded size.
func CheckReading(name string, v rapport.Value) bool {
	if name == "" || len(name) > MaxName {
		return false
	}
	if x, ok := v.Number(); ok {
		return !math.IsNaN(x) && !math.IsInf(x, 0)
	}
	switch v.Kind() {
	case rapport.KindTrue, rapport.KindFalse:
		return true
	case rapport.KindString:
		return len(v.Str()) <= MaxText
	}
	return false
}

func (r *Reading) count(c *engine.Context, at int64, x float64) {
	if r.Count == 0 {
		r.Mean, r.Min, r.Max, r.Fast, r.Slow = x, x, x, x, x
	}
	n := int64(r.Count)
	r.Count++
	d := x - r.Mean
	r.Mean += d / r.Count
	r.m2 += d * (x - r.Mean)
	r.Min, r.Max = min(r.Min, x), max(r.Max, x)
	r.Fast += (x - r.Fast) / 8
	r.Slow += (x - r.Slow) / 128

	var value [16]byte
	binary.LittleEndian.PutUint64(value[:8], uint64(at))
	binary.LittleEndian.PutUint64(value[8:], math.Float64bits(x))
	c.PutRow(seriesKey('s', r.Name, n%seriesRaw), value[:])
	r.hour.add(c, 'h', r.Name, at/millisHour, seriesHours, x)
	r.day.add(c, 'd', r.Name, at/millisDay, seriesDays, x)
}

// add counts a number in its bucket and writes the bucket's row. A number of an
// earlier bucket than the running one is in the raw series alone.
func (b *bucket) add(c *engine.Context, kind byte, name string, begin, keep int64, x float64) {
	if begin < b.begin {
		return
	}
	if begin > b.begin {
		*b = bucket{begin: begin, low: x, high: x}
	}
	b.n++
	b.sum += x
	b.low, b.high = min(b.low, x), max(b.high, x)
	row := make([]byte, 0, 40)
	row = binary.LittleEndian.AppendUint64(row, uint64(begin))
	row = binary.LittleEndian.AppendUint64(row, uint64(b.n))
	for _, f := range [...]float64{b.sum, b.low, b.high} {
		row = binary.LittleEndian.AppendUint64(row, math.Float64bits(f))
	}
	c.PutRow(seriesKey(kind, name, begin%keep), row)
}

// seriesKey names a row of a bounded series: kind, name, place in the ring.
func seriesKey(kind byte, name string, place int64) []byte {
	b := append(make([]byte, 0, 48), kind)
	b = append(append(b, name...), 0)
	return binary.BigEndian.AppendUint16(b, uint16(place))
}

// Point is a reading at a moment, or the numbers of an hour or a day together.
type Point struct {
	At             int64 // Unix milliseconds; the begin of the hour or day
	N              int64
	Mean, Min, Max float64
}

// Step is the width of the points of a series.
type Step byte

// The widths of series, with how much of each is kept.
const (
	Raw    Step = 's' // the newest 1,024 readings
	Hourly Step = 'h' // 90 days
	Daily  Step = 'd' // two years
)

// Series returns the numbers of a reading, oldest first, with at >= since.
func Series(v *engine.View, name string, step Step, since int64) ([]Point, error) {
	rows := v.Rows(FoldItem)
	defer rows.Close()
	prefix := append(append([]byte{byte(step)}, name...), 0)
	end := append(append([]byte{byte(step)}, name...), 1)
	var out []Point
	err := rows.Walk(prefix, end, false, func(_, value []byte) bool {
		if p, ok := point(step, value); ok && p.At >= since {
			out = append(out, p)
		}
		return true
	})
	slices.SortFunc(out, func(a, b Point) int { return int(min(max(a.At-b.At, -1), 1)) })
	return out, err
}

func point(step Step, b []byte) (Point, bool) {
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	f := func(i int) float64 { return math.Float64frombits(u(i)) }
	switch {
	case step == Raw && len(b) == 16:
		return Point{At: int64(u(0)), N: 1, Mean: f(1), Min: f(1), Max: f(1)}, true
	case step != Raw && len(b) == 40 && u(1) > 0:
		width := int64(millisHour)
		if step == Daily {
			width = millisDay
		}
		return Point{At: int64(u(0)) * width, N: int64(u(1)), Mean: f(2) / float64(u(1)), Min: f(3), Max: f(4)}, true
	}
	return Point{}, false
}
