// Package evaluate judges the science on one's own history, before anybody
// trusts it: each job reads a CSV file, fits only on what precedes the split,
// and tells how far its answers were from what then happened.
//
// Guarantees: the same file gives the same figures; a file that cannot be used
// gives an error that names the file, the line and what to do; a figure that is
// not finite is null, never a made-up number.
package evaluate

import (
	"context"
	"encoding/json"
	"flag"
	"math"
)

// Job is one claim that can be checked on a file.
type Job struct {
	Name    string // as on the command line: rapport evaluate NAME
	Args    string // as shown in help
	Summary string
	// Prepare declares the job's flags on fs and returns the work, which is
	// called once the flags are read. Its result is printed as one JSON object.
	// Kinds of its errors: Invalid for unusable input.
	Prepare func(fs *flag.FlagSet) func(ctx context.Context, progress Progress) (any, error)
}

// Progress tells a person who waits what goes on.
type Progress func(format string, args ...any)

// Jobs lists every job, in the order of help.
func Jobs() []Job {
	return []Job{
		clvJob(),
		identityJob(),
		intentJob(),
		policyJob(),
		upliftJob(),
		sendTimeJob(),
		anomalyJob(),
		lifeJob(),
		worldJob(),
	}
}

// Number is a figure that prints as null where it is not finite.
type Number float64

// MarshalJSON writes the number, or null.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}
