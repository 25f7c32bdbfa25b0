package sendtime_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/sendtime"
)

// hours are the posteriors of a day.
func hours(levels ...*sendtime.Counts) []sendtime.Beta {
	out := make([]sendtime.Beta, sendtime.Hours)
	for h := range out {
		out[h] = sendtime.HourOf(h, levels...)
	}
	return out
}

// People answer best around an hour of their own: two kinds, and habits within each.
func TestHoursLearnedPerPersonBeatTheBestHourForAll(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	const people, rounds = 400, 60
	favourite := make([]float64, people)
	kind := make([]int, people)
	for i := range favourite {
		kind[i] = i % 2
		favourite[i] = math.Mod([]float64{8, 20}[kind[i]]+2*r.NormFloat64()+24, 24)
	}
	rate := func(i, hour int) float64 {
		d := math.Abs(float64(hour) - favourite[i])
		d = min(d, 24-d)
		return 0.03 + 0.3*math.Exp(-d*d/8)
	}
	var persons [people]sendtime.Counts
	var all sendtime.Counts
	var groups [2]sendtime.Counts
	var learned, late float64
	for round := range rounds {
		for i := range persons {
			h, _ := sendtime.Draw(hours(&all, &groups[kind[i]], &persons[i]), 0.02, r)
			yes := 0.0
			if r.Float64() < rate(i, h) {
				yes = 1
			}
			for _, c := range []*sendtime.Counts{&persons[i], &groups[kind[i]], &all} {
				c.Note(h, "push", 1, yes)
			}
			learned += rate(i, h) / people / rounds
			if round >= rounds/2 {
				late += rate(i, h) / people / (rounds / 2)
			}
		}
	}
	global, mine := 0.0, 0.0
	for h := range sendtime.Hours {
		sum := 0.0
		for i := range persons {
			sum += rate(i, h) / people
		}
		global = max(global, sum)
	}
	for i := range persons {
		mine += rate(i, int(favourite[i])) / people
	}
	t.Logf("answered: best hour for all %.3f, learned %.3f (later half %.3f), known truth %.3f", global, learned, late, mine)
	if learned < 1.15*global || late < learned {
		t.Errorf("learned %.3f, later %.3f; the best hour for all has %.3f", learned, late, global)
	}
}

func TestSomebodyUnknownIsTreatedAsThoseLikeThemAndThenAsThemselves(t *testing.T) {
	t.Parallel()
	var all, group, person sendtime.Counts
	for range 500 {
		group.Note(9, "email", 1, 1)
		group.Note(21, "push", 1, 0)
	}
	all.Add(&group)
	if a, b := sendtime.HourOf(9, &all, &group, &person).Mean(), sendtime.HourOf(21, &all, &group, &person).Mean(); a < 3*b {
		t.Errorf("nothing is known: %.3f at nine, %.3f at twenty-one", a, b)
	}
	for range 60 {
		person.Note(21, "push", 1, 1)
		person.Note(9, "email", 1, 0)
	}
	if a, b := sendtime.HourOf(9, &all, &group, &person).Mean(), sendtime.HourOf(21, &all, &group, &person).Mean(); b < 2*a {
		t.Errorf("well known: %.3f at nine, %.3f at twenty-one", a, b)
	}
	if a, b := sendtime.ChannelOf("email", &all, &group, &person).Mean(), sendtime.ChannelOf("push", &all, &group, &person).Mean(); b < 2*a {
		t.Errorf("channels: %.3f and %.3f", a, b)
	}
	if b := sendtime.ChannelOf("sms", &all); !(b.Mean() > 0 && b.Mean() < 1) {
		t.Errorf("a channel never used: %v", b.Mean())
	}
}

func TestTheChanceOfAChoiceIsHowOftenItIsMade(t *testing.T) {
	t.Parallel()
	rates := []sendtime.Beta{{A: 4, B: 30}, {A: 5, B: 28}, {A: 1, B: 40}, {A: 2, B: 9}}
	const draws = 40_000
	counts, said := make([]float64, len(rates)), make([]float64, len(rates))
	r := rand.New(rand.NewPCG(1, 2))
	for range draws {
		at, chance := sendtime.Draw(rates, 0.1, r)
		counts[at]++
		said[at] = chance
	}
	for i := range rates {
		if math.Abs(counts[i]/draws-said[i]) > 0.02 || said[i] < 0.1/4-1e-9 {
			t.Errorf("choice %d: made in %.3f, said %.3f", i, counts[i]/draws, said[i])
		}
	}
	if at, _ := sendtime.Draw(nil, 0.1, r); at != -1 {
		t.Errorf("of none, %d was chosen", at)
	}
}

func TestWhatIsTakenBackIsAsIfItHadNeverBeen(t *testing.T) {
	t.Parallel()
	var c, d sendtime.Counts
	c.Note(23, "push", 1, 1)
	d.Note(23, "push", 1, 1)
	c.Note(23, "push", 1, 0)
	c.Note(23, "push", -1, 0)
	if c.Hours != d.Hours || c.Channels[0] != d.Channels[0] {
		t.Errorf("%+v and %+v", c.Channels, d.Channels)
	}
	c.Note(23, "push", -5, -5)
	if day := c.Day(); day.Sent != 0 || day.Answered != 0 {
		t.Errorf("less than nothing was sent: %+v", day)
	}
}
