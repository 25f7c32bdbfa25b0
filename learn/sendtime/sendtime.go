// Package sendtime learns when, and through which channel, one person answers:
// posteriors per hour and channel, shrunk to people like them, and those to all.
//
// Guarantees: pure and deterministic; a person nothing is known of is treated
// as those like them; the more is known of somebody, the less those count;
// every rate lies strictly between 0 and 1; every choice comes with the chance
// it had.
package sendtime

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mathext"

	"github.com/rapport-engine/rapport/learn"
)

// Hours of a day.
const Hours = 24

// Counts are what is known of one person, or added up of a group: how much was
// sent in each hour and through each channel, and how much of it was answered.
// Counts may be faded, so they need not be whole. The zero Counts knows nothing.
type Counts struct {
	Hours [Hours]Tally
	// Channels stand by name.
	Channels []Channel
}

// Tally counts contacts and the answers to them.
type Tally struct{ Sent, Answered float64 }

// Channel counts one channel.
type Channel struct {
	Name string
	Tally
}

// Note adds to what was sent and answered in an hour (0 to 23) and through a
// channel; numbers below 0 take back what was noted.
func (c *Counts) Note(hour int, channel string, sent, answered float64) {
	add := func(t *Tally) {
		t.Sent = max(0, t.Sent+sent)
		t.Answered = min(max(0, t.Answered+answered), t.Sent)
	}
	add(&c.Hours[((hour%Hours)+Hours)%Hours])
	at, found := c.find(channel)
	if !found {
		c.Channels = slices.Insert(c.Channels, at, Channel{Name: channel})
	}
	add(&c.Channels[at].Tally)
}

func (c *Counts) find(channel string) (int, bool) {
	return slices.BinarySearchFunc(c.Channels, channel, func(x Channel, name string) int { return cmp.Compare(x.Name, name) })
}

// Channel returns what is known of a channel.
func (c *Counts) Channel(name string) Tally {
	if at, found := c.find(name); found {
		return c.Channels[at].Tally
	}
	return Tally{}
}

// Scale lets everything noted so far count by a share.
func (c *Counts) Scale(share float64) {
	for i := range c.Hours {
		c.Hours[i].scale(share)
	}
	for i := range c.Channels {
		c.Channels[i].scale(share)
	}
}

func (t *Tally) scale(share float64) { t.Sent, t.Answered = t.Sent*share, t.Answered*share }

// Add adds what is known of somebody else.
func (c *Counts) Add(o *Counts) {
	for i, t := range o.Hours {
		c.Hours[i].Sent += t.Sent
		c.Hours[i].Answered += t.Answered
	}
	for _, x := range o.Channels {
		at, found := c.find(x.Name)
		if !found {
			c.Channels = slices.Insert(c.Channels, at, Channel{Name: x.Name})
		}
		c.Channels[at].Sent += x.Sent
		c.Channels[at].Answered += x.Answered
	}
}

// Day adds up the hours.
func (c *Counts) Day() (t Tally) {
	for _, h := range c.Hours {
		t.Sent += h.Sent
		t.Answered += h.Answered
	}
	return t
}

// Strength is how many contacts of a person outweigh those like them: the
// concentration of the Beta prior that the group gives (empirical Bayes; Efron
// and Morris, Data Analysis Using Stein's Estimator, 1975).
const Strength = 12

// reach is over how many hours to each side an answer tells of its neighbours.
const reach = 2.0

// kernels is how much something that many hours away counts.
var kernels = func() (k [Hours/2 + 1]float64) {
	for d := range k {
		k[d] = math.Exp(-float64(d*d) / (reach * reach))
	}
	return k
}()

// smooth adds to an hour what its neighbours tell, around midnight too.
func (c *Counts) smooth(hour int) (t Tally) {
	for h, x := range c.Hours {
		d := max(h-hour, hour-h)
		k := kernels[min(d, Hours-d)]
		t.Sent += k * x.Sent
		t.Answered += k * x.Answered
	}
	return t
}

// Beta is the posterior of a rate of answers.
type Beta struct{ A, B float64 }

// Mean returns the expected rate.
func (b Beta) Mean() float64 { return b.A / (b.A + b.B) }

// SD returns how unsure the rate is.
func (b Beta) SD() float64 { m := b.Mean(); return math.Sqrt(m * (1 - m) / (b.A + b.B + 1)) }

// Interval returns the middle of the posterior that holds a share of its mass.
func (b Beta) Interval(level float64) (low, high float64) {
	return mathext.InvRegIncBeta(b.A, b.B, (1-level)/2), mathext.InvRegIncBeta(b.A, b.B, (1+level)/2)
}

// base is the rate of answers of a day in all, 1 in 20 before anything is known.
func base(all Tally) float64 { return (all.Answered + 1) / (all.Sent + 20) }

// shrink folds what is known on each level, from the widest to the person,
// every level being the prior of the next.
func shrink(rate float64, levels []*Counts, of func(*Counts) Tally) (b Beta) {
	for _, l := range levels {
		t := of(l)
		b = Beta{A: Strength*rate + t.Answered, B: Strength*(1-rate) + max(0, t.Sent-t.Answered)}
		rate = b.Mean()
	}
	return b
}

// HourOf returns the posterior of the rate at which a person answers at an hour.
// levels lead from everybody over those like them to the person; at least one.
func HourOf(hour int, levels ...*Counts) Beta {
	return shrink(base(levels[0].Day()), levels, func(c *Counts) Tally { return c.smooth(hour) })
}

// ChannelOf returns the posterior of the rate at which a person answers through
// a channel; levels as for [HourOf].
func ChannelOf(channel string, levels ...*Counts) Beta {
	return shrink(base(levels[0].Day()), levels, func(c *Counts) Tally { return c.Channel(channel) })
}

// Draw chooses one of some rates by Thompson sampling, and with the share floor
// any of them. It returns the chance that the choice had; -1 for no rates.
func Draw(rates []Beta, floor float64, r *rand.Rand) (at int, chance float64) {
	if len(rates) == 0 {
		return -1, 0
	}
	estimates, chances := make([]learn.Estimate, len(rates)), make([]float64, len(rates))
	best := math.Inf(-1)
	for i, b := range rates {
		estimates[i] = learn.Estimate{Mean: b.Mean(), SD: b.SD()}
		if draw := estimates[i].Draw(r); draw > best {
			best, at = draw, i
		}
	}
	if lucky := r.IntN(len(rates)); r.Float64() < floor {
		at = lucky
	}
	learn.Chances(chances, learn.Shapes(estimates), math.Inf(-1))
	// A chance among many that is too small to be computed is not nought.
	return at, max(floor/float64(len(rates))+(1-floor)*chances[at], 1e-6)
}
