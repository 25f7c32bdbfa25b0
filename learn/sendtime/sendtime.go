// Package sendtime learns when, and through which channel, one person answers:
// posteriors per hour and channel, shrunk to people like them.
//
// Guarantees: pure and deterministic; a person nothing is known of is treated
// as those like them; the more is known of somebody, the less those count;
// every rate lies strictly between 0 and 1.
package sendtime

import (
	"math"
	"math/rand/v2"
)

// Hours of a day.
const Hours = 24

// Counts are what is known of one person, or added up of a group: how much was
// sent in each hour and through each channel, and how much of it was answered.
// Counts may be faded, so they need not be whole. The zero Counts knows nothing.
type Counts struct {
	Sent, Answered [Hours]float64
	// Channels are by the number of the channel.
	Channels []Channel
}

// Channel counts one channel.
type Channel struct{ Sent, Answered float64 }

// Note counts one contact in an hour (0 to 23) and through a channel.
func (c *Counts) Note(hour, channel int, answered bool) {
	for len(c.Channels) <= channel {
		c.Channels = append(c.Channels, Channel{})
	}
	hour = ((hour % Hours) + Hours) % Hours
	c.Sent[hour]++
	c.Channels[channel].Sent++
	if answered {
		c.Answered[hour]++
		c.Channels[channel].Answered++
	}
}

// Strength is how many contacts of a person outweigh those like them: the
// concentration of the Beta prior that the group gives (empirical Bayes; Efron
// and Morris, Data Analysis Using Stein's Estimator, 1975).
const Strength = 12

// reach is over how many hours to each side an answer tells of its neighbours.
const reach = 2.0

// kernel is how much something an hour's distance away counts.
func kernel(distance int) float64 {
	if distance > Hours/2 {
		distance = Hours - distance
	}
	return math.Exp(-float64(distance*distance) / (2 * reach * reach / 2))
}

// smooth adds to an hour what its neighbours tell, around midnight too.
func (c *Counts) smooth(hour int) (sent, answered float64) {
	for h := range Hours {
		k := kernel(max(h-hour, hour-h))
		sent += k * c.Sent[h]
		answered += k * c.Answered[h]
	}
	return sent, answered
}

// Beta is the posterior of a rate of answers.
type Beta struct{ A, B float64 }

// Mean returns the expected rate.
func (b Beta) Mean() float64 { return b.A / (b.A + b.B) }

// HourOf returns the posterior of the rate at which a person answers at an hour:
// what is known of them, shrunk to the group.
func HourOf(person, group *Counts, hour int) Beta {
	gs, ga := group.smooth(hour)
	var all, yes float64
	for h := range Hours {
		all += group.Sent[h]
		yes += group.Answered[h]
	}
	base := (yes + 1) / (all + 20)
	rate := (ga + Strength*base) / (gs + Strength) // the group's hour, shrunk to its day
	ps, pa := person.smooth(hour)
	return Beta{A: Strength*rate + pa, B: Strength*(1-rate) + max(0, ps-pa)}
}

// ChannelOf returns the posterior of the rate at which a person answers through
// a channel.
func ChannelOf(person, group *Counts, channel int) Beta {
	at := func(c *Counts) Channel {
		if channel < len(c.Channels) {
			return c.Channels[channel]
		}
		return Channel{}
	}
	g, p := at(group), at(person)
	rate := (g.Answered + 1) / (g.Sent + 20)
	return Beta{A: Strength*rate + p.Answered, B: Strength*(1-rate) + max(0, p.Sent-p.Answered)}
}

// Choose draws the hour among those allowed by Thompson sampling, and returns -1
// if none is.
func Choose(person, group *Counts, allowed func(hour int) bool, r *rand.Rand) int {
	best, at := math.Inf(-1), -1
	for h := range Hours {
		if allowed != nil && !allowed(h) {
			continue
		}
		b := HourOf(person, group, h)
		m := b.Mean()
		draw := m + math.Sqrt(m*(1-m)/(b.A+b.B+1))*r.NormFloat64()
		if draw > best {
			best, at = draw, h
		}
	}
	return at
}
