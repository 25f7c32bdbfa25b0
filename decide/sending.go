package decide

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/sendtime"
)

// TimingDoc says when something that a trigger asks for is decided and sent.
type TimingDoc struct {
	Within rapport.Duration `yaml:"within,omitempty" max:"7d" doc:"How long after the trigger it may still be sent: within that at the hour the person answers best, learned per person and outside quiet hours. At most 7d; default 1d."`
	At     string           `yaml:"at,omitempty" doc:"Always at this time of the person's day, HH:MM; nothing is learned."`
	Now    bool             `yaml:"now,omitempty" doc:"At once, whatever the placement says."`
}

// timing is compiled; nil is at once.
type timing struct {
	within int64 // ms
	at     int   // minutes since midnight, -1 where it is learned
}

const (
	maxTiming     = rapport.Duration(7 * 24 * time.Hour)
	defaultTiming = rapport.Duration(24 * time.Hour)
	maxWays       = 8 // channels to choose from
)

func (d *TimingDoc) compile(path string, f *faults) *timing {
	if d == nil || d.Now {
		if d != nil && (d.At != "" || d.Within != 0) {
			f.Add(path+".now", "leaves nothing for at and within to say")
		}
		return nil
	}
	t := &timing{within: defaultTiming.Millis(), at: -1}
	if d.Within != 0 {
		if d.Within < 0 || d.Within > maxTiming {
			f.Add(path+".within", "must be more than 0s and at most 7d, is %s", d.Within)
		}
		t.within = d.Within.Millis()
	}
	if d.At != "" {
		at, err := time.Parse("15:04", d.At)
		if err != nil {
			f.Add(path+".at", "%q is not a time of day (write \"18:30\")", d.At)
		}
		t.at = at.Hour()*60 + at.Minute()
	}
	return t
}

// checkWays checks a list of channels.
func (f *faults) checkWays(channel string, channels []string) {
	if channel != "" && len(channels) > 0 {
		f.Add("channels", "and channel exclude each other: one is chosen, the other is set")
	}
	if len(channels) > maxWays {
		f.Add("channels", "names %d channels, at most %d are chosen from", len(channels), maxWays)
	}
	for i, c := range channels {
		f.name("channels["+strconv.Itoa(i)+"]", c)
		if slices.Contains(channels[:i], c) {
			f.Add("channels["+strconv.Itoa(i)+"]", "%q is named twice", c)
		}
	}
}

// timingOf returns when an action is sent here; nil is at once. What comes by
// right does not wait.
func (p *Placement) timingOf(a *Action) *timing {
	switch {
	case a.Right != "":
		return nil
	case a.timed:
		return a.timing
	}
	return p.timing
}

// Ways returns the channels an action may go through here; none is a slot on one's own site.
func (p *Placement) Ways(a *Action) []string {
	if len(a.ways) > 0 {
		return a.ways
	}
	return p.ways
}

// way is a channel that was chosen among several.
type way struct {
	channel string
	chance  float64
	reason  string
}

// habits are what is known of when and how people answer: of everybody, of
// people active in the same part of the day, and of one person.
type habits struct {
	levels [3]*sendtime.Counts
	alike  int
}

// hour and channel return what is believed.
func (h *habits) hour(hour int) sendtime.Beta { return sendtime.HourOf(hour, h.levels[:]...) }

func (h *habits) channel(name string) sendtime.Beta {
	return sendtime.ChannelOf(name, h.levels[:]...)
}

// allWays lists every channel something may be pushed through, in config order.
func (c *Config) allWays() (out []string) {
	if c == nil {
		return nil
	}
	for _, a := range c.order {
		for _, name := range a.Placements {
			if p := c.placements[name]; p != nil {
				for _, w := range p.Ways(a) {
					if !slices.Contains(out, w) {
						out = append(out, w)
					}
				}
			}
		}
	}
	return out
}

// covers reports whether the whole of an hour of today lies in the span.
func (q *quiet) covers(today time.Time, hour int) bool {
	at := time.Date(today.Year(), today.Month(), today.Day(), hour, 0, 0, 0, today.Location())
	first, _ := q.quietUntil(at)
	last, _ := q.quietUntil(at.Add(hourly - time.Minute))
	return first && last
}

// draws is a source of randomness of its own for one question of a moment, so
// that asking it changes no other draw.
func (m *moment) draws(question string) *rand.Rand {
	return rand.New(rand.NewPCG(m.seed, hashText(question)))
}

// chooseWay draws a channel among those open to the person.
func (m *moment) chooseWay(open []string) way {
	if len(open) == 1 {
		return way{channel: open[0], chance: 1, reason: "no other of its channels is open to them"}
	}
	key := strings.Join(open, "\x00")
	if w, ok := m.drawn[key]; ok {
		return w
	}
	rates := make([]sendtime.Beta, len(open))
	best := 0
	for i, c := range open {
		rates[i] = m.habits.channel(c)
		if rates[i].Mean() > rates[best].Mean() {
			best = i
		}
	}
	at, chance := sendtime.Draw(rates, m.config.policy.exploration, m.draws(key))
	w := way{channel: open[at], chance: chance}
	others := make([]string, 0, len(open))
	for i, c := range open {
		if i != at {
			others = append(others, share(rates[i].Mean())+" by "+c)
		}
	}
	w.reason = "they answer " + share(rates[at].Mean()) + " of what comes so, " + strings.Join(others, ", ")
	if at != best {
		w.reason = "it is tried now and then: " + w.reason
	}
	if m.drawn == nil {
		m.drawn = map[string]way{}
	}
	m.drawn[key] = w
	return w
}

// share writes a share in whole per cent.
func share(x float64) string { return strconv.FormatFloat(100*x, 'f', 0, 64) + " %" }

// plan is when something is to be sent.
type plan struct {
	at     int64 // Unix ms
	chance float64
	reason string
}

// hourly is how long before the end of an hour something is still sent in it.
const hourly = time.Hour

// schedule chooses when to send within a timing: now, or at the hour the person
// answers best, outside quiet hours. The minute within the hour is drawn, so
// that not everybody is written to at once. until is the latest moment, Unix ms.
func (m *moment) schedule(t *timing, until int64) plan {
	now := rapport.Time(m.now).In(m.local.Location())
	last := rapport.Time(until).In(now.Location())
	quiet := m.config.policy.quiet
	if t.at >= 0 {
		at := time.Date(now.Year(), now.Month(), now.Day(), t.at/60, t.at%60, 0, 0, now.Location())
		if at.Before(now.Truncate(time.Minute)) {
			at = time.Date(now.Year(), now.Month(), now.Day()+1, t.at/60, t.at%60, 0, 0, now.Location())
		}
		if at.After(last) {
			return plan{at: m.now, chance: 1, reason: "its time of the day, " + clock(t.at) + ", does not come before it is too late"}
		}
		return plan{at: max(m.now, rapport.Millis(at)), chance: 1, reason: "its time of the day is set to " + clock(t.at)}
	}
	r := m.draws("when")
	minute := time.Duration(r.Int64N(int64(hourly)))
	var times []time.Time
	var rates []sendtime.Beta
	best := 0
	for begin := now.Truncate(hourly); len(times) < sendtime.Hours && !begin.After(last); begin = begin.Add(hourly) {
		at := begin.Add(minute)
		if at.Before(now) {
			at = now
		}
		if silent, _ := quiet.quietUntil(at); silent || at.After(last) {
			continue
		}
		times = append(times, at)
		rates = append(rates, m.habits.hour(at.Hour()))
		if rates[len(rates)-1].Mean() > rates[best].Mean() {
			best = len(rates) - 1
		}
	}
	if len(times) == 0 {
		return plan{at: m.now, chance: 1, reason: "there is no other hour until it is too late"}
	}
	at, chance := sendtime.Draw(rates, m.config.policy.exploration, r)
	mean := 0.0
	for _, b := range rates {
		mean += b.Mean() / float64(len(rates))
	}
	hour := times[at].Hour()
	reason := "between " + clock(60*hour) + " and " + clock(60*((hour+1)%24)) + " they answer " + share(rates[at].Mean()) + ", " + share(mean) + " on average of the " + plural(len(times), "hour") + " there was"
	if at != best {
		reason = "the hour is tried now and then: " + reason
	}
	return plan{at: rapport.Millis(times[at]), chance: chance, reason: reason}
}

// sending says of a choice when and how it goes out; nil for a slot on one's own site.
func (m *moment) sending(a *Action, channel string) *rapport.Sending {
	if channel == "" {
		return nil
	}
	s := &rapport.Sending{Hour: m.local.Hour(), ChannelPropensity: 1, HourPropensity: 1, Alike: m.habits.alike}
	var why []string
	if w, ok := m.ways[a.ID]; ok {
		s.ChannelPropensity = round32(w.chance)
		why = append(why, w.reason)
	}
	if m.planned != nil {
		s.HourPropensity = round32(m.planned.chance)
		why = append(why, m.planned.reason)
	}
	s.Reason = "by " + channel + " at " + clock(60*m.local.Hour()+m.local.Minute())
	if len(why) > 0 {
		s.Reason += " because " + strings.Join(why, "; ")
	}
	return s
}

// parts of the day, by number of [rapport.Sending.Alike].
var partsOfDay = [...]string{"", "at night", "early in the morning", "in the morning", "in the afternoon", "in the evening", "late in the evening"}

// waysOrNone is Ways with a slot on one's own site as the channel "".
func (p *Placement) waysOrNone(a *Action) []string {
	if ways := p.Ways(a); len(ways) > 0 {
		return ways
	}
	return []string{""}
}
