package lake

import "errors"

// ErrStopped is what a step returns in a test that stops there.
var ErrStopped = errors.New("stopped by the test")

// WithStep has a function called before each change on disk.
func (o Options) WithStep(step func(string) error) Options {
	o.step = step
	return o
}

// Loose leaves it to the system when files reach the disk: a process that is
// killed leaves the same, and it is much faster.
func (o Options) Loose() Options {
	o.loose = true
	return o
}
