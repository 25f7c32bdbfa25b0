package rapport

import "time"

// Clock tells the time to the parts of the program that may ask for it: doors,
// schedulers and senders. Folds never hold a Clock; they read record time.
type Clock interface {
	// Now returns the current time of this deployment.
	Now() time.Time
	// After returns a channel that receives once d has passed on this clock.
	After(d time.Duration) <-chan time.Time
}

// SystemClock is the wall clock.
type SystemClock struct{}

// Now returns time.Now().
func (SystemClock) Now() time.Time { return time.Now() }

// After returns time.After(d).
func (SystemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// ScaledClock runs Speed times as fast as the wall clock from Start on. The
// demo world uses it so that a minute of watching is an hour of life, and so
// that server and simulated clients agree on the time.
type ScaledClock struct {
	Start time.Time // wall time at which the clock started
	Epoch time.Time // what the clock showed then
	Speed float64   // > 0
}

// Now returns Epoch plus the scaled time since Start.
func (c ScaledClock) Now() time.Time {
	return c.Epoch.Add(time.Duration(float64(time.Since(c.Start)) * c.Speed))
}

// After waits d of scaled time.
func (c ScaledClock) After(d time.Duration) <-chan time.Time {
	return time.After(time.Duration(float64(d) / c.Speed))
}
