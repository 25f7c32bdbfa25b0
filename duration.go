package rapport

import (
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as config and conditions write it: one or more
// whole numbers with the units ms, s, m, h, d (24 h) or w (7 d), largest
// first: "90s", "15m", "7d", "1d12h".
type Duration time.Duration

var durationUnits = []struct {
	name string
	unit time.Duration
}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

// ParseDuration reads the text form. It returns an Invalid error that says what was expected.
func ParseDuration(s string) (Duration, error) {
	var total time.Duration
	rest, from := s, 0
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		letters := digits
		for letters < len(rest) && (rest[letters] < '0' || rest[letters] > '9') {
			letters++
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		found := false
		for i := from; i < len(durationUnits) && err == nil && !found; i++ {
			if durationUnits[i].name == rest[digits:letters] {
				total += time.Duration(n) * durationUnits[i].unit
				from, found = i+1, true
			}
		}
		if !found || total < 0 {
			return 0, Errorf(Invalid, "%q is not a duration (write 90s, 15m, 12h, 7d or 1d12h)", s)
		}
		rest = rest[letters:]
	}
	if s == "" {
		return 0, Errorf(Invalid, "a duration is empty (write 90s, 15m, 12h, 7d or 1d12h)")
	}
	return Duration(total), nil
}

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Millis returns d in milliseconds.
func (d Duration) Millis() int64 { return time.Duration(d).Milliseconds() }

// String returns the text form, with the fewest units that are exact.
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	rest := time.Duration(d)
	for _, u := range durationUnits[1:] {
		if n := rest / u.unit; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			rest -= n * u.unit
		}
	}
	return b.String()
}

// MarshalText returns the text form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses the text form.
func (d *Duration) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDuration(string(b))
	return err
}
