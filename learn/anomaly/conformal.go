package anomaly

// levels is how finely scores are told apart: 2 % steps.
const levels = 50

// memory is how many scores weigh on a p-value: older ones fade by halves.
const memory = 20_000

// Calibration turns scores into conformal p-values (Laxhammar and Falkman,
// "Conformal prediction for distribution-independent anomaly detection in
// streaming vessel data", 2010): the share of past scores at least as high,
// this one included. The zero value has seen none.
type Calibration struct {
	counts [levels]uint32
	all    uint32
}

// P returns the p-value of a score in [0, 1] against those seen.
func (c *Calibration) P(score float64) float64 {
	return float64(c.above(level(score))+1) / float64(c.all+1)
}

// Next returns the score's p-value and adds the score to those seen.
func (c *Calibration) Next(score float64) float64 {
	l := level(score)
	p := float64(c.above(l)+1) / float64(c.all+1)
	c.counts[l]++
	if c.all++; c.all > memory {
		for i := range c.counts {
			c.counts[i] /= 2
		}
		c.count()
	}
	return p
}

// above counts the scores at level l or higher, from the shorter side.
func (c *Calibration) above(l int) uint32 {
	n := uint32(0)
	if l < levels/2 {
		for _, k := range c.counts[:l] {
			n += k
		}
		return c.all - n
	}
	for _, k := range c.counts[l:] {
		n += k
	}
	return n
}

func (c *Calibration) count() {
	c.all = 0
	for _, k := range c.counts {
		c.all += k
	}
}

func level(score float64) int {
	return max(0, min(levels-1, int(score*levels)))
}
