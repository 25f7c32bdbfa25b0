package sendtime_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/sendtime"
)

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
	var groups [2]sendtime.Counts
	var learned, late float64
	for round := range rounds {
		for i := range persons {
			h := sendtime.Choose(&persons[i], &groups[kind[i]], nil, r)
			yes := r.Float64() < rate(i, h)
			persons[i].Note(h, 0, yes)
			groups[kind[i]].Note(h, 0, yes)
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
	var group, person sendtime.Counts
	for range 500 {
		group.Note(9, 0, true)
		group.Note(21, 1, false)
	}
	if a, b := sendtime.HourOf(&person, &group, 9).Mean(), sendtime.HourOf(&person, &group, 21).Mean(); a < 3*b {
		t.Errorf("nothing is known: %.3f at nine, %.3f at twenty-one", a, b)
	}
	for range 60 {
		person.Note(21, 1, true)
		person.Note(9, 0, false)
	}
	if a, b := sendtime.HourOf(&person, &group, 9).Mean(), sendtime.HourOf(&person, &group, 21).Mean(); b < 2*a {
		t.Errorf("well known: %.3f at nine, %.3f at twenty-one", a, b)
	}
	if a, b := sendtime.ChannelOf(&person, &group, 0).Mean(), sendtime.ChannelOf(&person, &group, 1).Mean(); b < 2*a {
		t.Errorf("channels: %.3f and %.3f", a, b)
	}
}
