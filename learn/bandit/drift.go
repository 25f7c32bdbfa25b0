package bandit

import "math"

// Drift watches whether an action still does as well as is expected of it: the
// mean surprise of its last outcomes is compared with that of many more, so
// that what is steadily less than expected (rewards that are still to come) is
// no alarm. It is a two-window test on exponentially faded residuals, in the
// manner of Page (Continuous Inspection Schemes, 1954) with a faded reference.
type Drift struct {
	Fast, FastSpread float32 // sum of residuals, and of their variances
	Slow, SlowSpread float32
}

// Windows in examples and the alarm in standard errors. The test looks at
// falls alone: what does better than expected is given more often anyway.
const (
	driftFast  = 300
	driftSlow  = 3000
	driftAlarm = 2.5
)

// Note adds a failure, provisional or not, that was expected to be a success
// with the probability given, and reports an alarm. After one the watch begins anew.
func (d *Drift) Note(expected float64) bool {
	spread := float32(max(expected*(1-expected), 1e-4))
	d.Fast -= float32(expected) + d.Fast/driftFast
	d.Slow -= float32(expected) + d.Slow/driftSlow
	d.FastSpread += spread - d.FastSpread/driftFast
	d.SlowSpread += spread - d.SlowSpread/driftSlow
	rest := d.SlowSpread - d.FastSpread
	if rest < d.FastSpread || d.FastSpread < 2 {
		return false // too little was seen to tell
	}
	// The fast window is part of the slow one; the rest of that is the reference.
	gap := float64(d.Fast/d.FastSpread - (d.Slow-d.Fast)/rest)
	if gap/math.Sqrt(float64(1/d.FastSpread+1/rest)) > -driftAlarm {
		return false
	}
	*d = Drift{}
	return true
}

// Correct takes note that an outcome noted as a failure was a success after all.
func (d *Drift) Correct() { d.Fast++; d.Slow++ }
