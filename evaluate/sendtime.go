package evaluate

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/ope"
	"github.com/rapport-engine/rapport/learn/sendtime"
)

// SendTimeReport says how much more is answered when each person is written to
// at the hour learned of them than at the best hour for all.
type SendTimeReport struct {
	Sends    int  `json:"sends"`
	People   int  `json:"people"`
	Judged   int  `json:"judged"` // sends of the later half, which the figures are from
	BestHour int  `json:"bestHour"`
	Played   bool `json:"played"` // no file was given: a simulated year, whose truth is known
	// Shares of what was sent that was answered: as logged, at the best hour for
	// all, and at the hour learned of each person from what came before.
	Logged         PolicyEstimate `json:"logged"`
	BestHourForAll PolicyEstimate `json:"bestHourForAll"`
	Learned        PolicyEstimate `json:"learned"`
	// Lead is Learned less BestHourForAll.
	Lead                PolicyEstimate `json:"lead"`
	EffectiveSampleSize Number         `json:"effectiveSampleSize"`
	Verdict             string         `json:"verdict"`
	Warnings            []string       `json:"warnings"`
}

func sendTimeJob() Job {
	return Job{
		Name: "sendtime", Args: "[--sends F --person COL --hour COL --answered COL] [--group COL] [--propensity COL]",
		Summary: "Tell how much more is answered at hours learned per person than at the best hour for all",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			s := sends{}
			fs.StringVar(&s.path, "sends", "", "`file` of what was sent, in order of time (CSV, header row, gzip accepted); without it a year is played whose truth is known")
			fs.StringVar(&s.person, "person", "person", "`column` of the person")
			fs.StringVar(&s.hour, "hour", "hour", "`column` of the hour where the person is, 0 to 23")
			fs.StringVar(&s.answered, "answered", "answered", "`column` that is 1 where it was answered, else 0")
			fs.StringVar(&s.group, "group", "", "`column` of the people the person is alike; everybody without it")
			fs.StringVar(&s.propensity, "propensity", "", "`column` of the chance the hour was chosen with; without it how often each hour is in the file")
			fs.Uint64Var(&s.seed, "seed", 0, "of the year that is played")
			return func(ctx context.Context, progress Progress) (any, error) {
				if s.path == "" {
					return s.play(ctx, progress)
				}
				return s.run(ctx, progress)
			}
		},
	}
}

// sends is one run of the job.
type sends struct {
	path, person, hour, answered, group, propensity string
	seed                                            uint64
}

// sent is one row.
type sent struct {
	person, group, hour  int
	answered, propensity float64
}

func (s *sends) read() (rows []sent, people int, err error) {
	want := []string{s.person, s.hour, s.answered}
	for _, name := range []string{s.group, s.propensity} {
		if name != "" {
			want = append(want, name)
		}
	}
	t, err := OpenTable(s.path, want...)
	if err != nil {
		return nil, 0, err
	}
	defer t.Close()
	persons, groups := map[string]int{}, map[string]int{}
	number := func(ids map[string]int, name string) int {
		if _, known := ids[name]; !known {
			ids[name] = len(ids)
		}
		return ids[name]
	}
	var shares [sendtime.Hours]float64
	for t.Next() {
		hour, err := t.Float(1)
		if err != nil {
			return nil, 0, err
		}
		if hour != math.Trunc(hour) || hour < 0 || hour >= sendtime.Hours {
			return nil, 0, t.Errorf(1, "%v is not an hour from 0 to 23", hour)
		}
		answered, err := t.Float(2)
		if err != nil {
			return nil, 0, err
		}
		if answered != 0 && answered != 1 {
			return nil, 0, t.Errorf(2, "%v is neither 0 nor 1", answered)
		}
		x := sent{person: number(persons, t.Text(0)), hour: int(hour), answered: answered}
		at := 3
		if s.group != "" {
			x.group = number(groups, t.Text(at))
			at++
		}
		if s.propensity != "" {
			if x.propensity, err = t.Float(at); err != nil {
				return nil, 0, err
			}
			if x.propensity <= 0 || x.propensity > 1 {
				return nil, 0, t.Errorf(at, "%v is not a chance above 0 and up to 1", x.propensity)
			}
		}
		shares[x.hour]++
		rows = append(rows, x)
	}
	if t.Err() != nil {
		return nil, 0, t.Err()
	}
	if len(rows) < 200 {
		return nil, 0, rapport.Errorf(rapport.Invalid, "%s: %d sends are too few to judge hours, at least 200 are needed", s.path, len(rows))
	}
	if s.propensity == "" {
		for i := range rows {
			rows[i].propensity = shares[rows[i].hour] / float64(len(rows))
		}
	}
	return rows, len(persons), nil
}

// run judges the later half of the file by what was known before each send.
func (s *sends) run(ctx context.Context, progress Progress) (*SendTimeReport, error) {
	rows, people, err := s.read()
	if err != nil {
		return nil, err
	}
	progress("%d sends to %d people", len(rows), people)
	k := newKnown(people)
	r := &SendTimeReport{Sends: len(rows), People: people, Warnings: []string{}}
	var answered, learned, fixed []float64
	for i, x := range rows {
		if i%10_000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if i == len(rows)/2 {
			r.BestHour = best(&k.all)
		}
		if i >= len(rows)/2 {
			at := best(k.levels(x.person, x.group)...)
			answered = append(answered, x.answered)
			learned = append(learned, weight(at == x.hour, x.propensity))
			fixed = append(fixed, weight(r.BestHour == x.hour, x.propensity))
		}
		k.note(x.person, x.group, x.hour, x.answered)
	}
	r.Judged = len(answered)
	low, high, mean := ope.Interval(answered, 0.95)
	r.Logged = PolicyEstimate{Value: Number(mean), Low: Number(low), High: Number(high)}
	a, b := normalised(answered, learned), normalised(answered, fixed)
	lead := make([]float64, len(a))
	for i := range lead {
		lead[i] = a[i] - b[i]
	}
	r.Learned, r.BestHourForAll, r.Lead = estimateOf(a, 0), estimateOf(b, 0), estimateOf(lead, -1)
	r.EffectiveSampleSize = Number(min(ope.EffectiveSampleSize(learned), ope.EffectiveSampleSize(fixed)))
	if s.propensity == "" {
		r.Warnings = append(r.Warnings, "without the chance each hour was chosen with it is assumed that the hour had nothing to do with the person")
	}
	if r.EffectiveSampleSize < 100 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("low effective sample size: only %.0f sends happened to go out at such hours", float64(r.EffectiveSampleSize)))
	}
	r.judge()
	return r, nil
}

func (r *SendTimeReport) judge() {
	switch {
	case r.Lead.Low > 0:
		r.Verdict = "hours learned per person are answered more"
	case r.Lead.High < 0:
		r.Verdict = "the best hour for all is answered more"
	default:
		r.Verdict = "no difference beyond noise"
	}
}

func weight(same bool, propensity float64) float64 {
	if !same {
		return 0
	}
	return 1 / propensity
}

// normalised returns the terms of the self-normalised estimate, whose mean it is.
func normalised(answered, weights []float64) []float64 {
	var top, bottom float64
	for i, w := range weights {
		top += w * answered[i]
		bottom += w
	}
	out := make([]float64, len(weights))
	if bottom == 0 {
		for i := range out {
			out[i] = math.NaN()
		}
		return out
	}
	value, scale := top/bottom, float64(len(weights))/bottom
	for i, w := range weights {
		out[i] = value + scale*w*(answered[i]-value)
	}
	return out
}

// estimateOf is the mean of terms between least and 1.
func estimateOf(terms []float64, least float64) PolicyEstimate {
	low, high, mean := ope.Interval(terms, 0.95)
	return PolicyEstimate{Value: Number(mean), Low: Number(max(low, least)), High: Number(min(high, 1))}
}

// known is what is known of everybody, of groups and of people.
type known struct {
	all    sendtime.Counts
	groups map[int]*sendtime.Counts
	own    []sendtime.Counts
}

func newKnown(people int) *known {
	return &known{groups: map[int]*sendtime.Counts{}, own: make([]sendtime.Counts, people)}
}

func (k *known) levels(person, group int) []*sendtime.Counts {
	if k.groups[group] == nil {
		k.groups[group] = &sendtime.Counts{}
	}
	return []*sendtime.Counts{&k.all, k.groups[group], &k.own[person]}
}

func (k *known) note(person, group, hour int, answered float64) {
	for _, c := range k.levels(person, group) {
		c.Note(hour, "", 1, answered)
	}
}

// best is the hour with the highest expected rate.
func best(levels ...*sendtime.Counts) (at int) {
	top := 0.0
	for h := range sendtime.Hours {
		if m := sendtime.HourOf(h, levels...).Mean(); m > top {
			at, top = h, m
		}
	}
	return at
}

// play lets hours be learned of people whose habits are known: two kinds who
// answer best in the morning or in the evening, each around an hour of their own.
func (s *sends) play(ctx context.Context, progress Progress) (*SendTimeReport, error) {
	const people, rounds = 400, 60
	r := rand.New(rand.NewPCG(s.seed, 6))
	k := newKnown(people)
	favourite := make([]float64, people)
	for i := range favourite {
		favourite[i] = math.Mod([]float64{8, 20}[i%2]+2*r.NormFloat64()+24, 24)
	}
	rate := func(i, hour int) float64 {
		d := math.Abs(float64(hour) - favourite[i])
		d = min(d, 24-d)
		return 0.03 + 0.3*math.Exp(-d*d/8)
	}
	out := &SendTimeReport{Sends: people * rounds, People: people, Judged: people * rounds / 2, Played: true, Warnings: []string{}}
	top := 0.0
	for h := range sendtime.Hours {
		sum := 0.0
		for i := range favourite {
			sum += rate(i, h) / people
		}
		if sum > top {
			top, out.BestHour = sum, h
		}
	}
	var learned, fixed, lead []float64
	for round := range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range favourite {
			levels := k.levels(i, i%2)
			rates := make([]sendtime.Beta, sendtime.Hours)
			for h := range rates {
				rates[h] = sendtime.HourOf(h, levels...)
			}
			h, _ := sendtime.Draw(rates, 0.02, r)
			yes := 0.0
			if r.Float64() < rate(i, h) {
				yes = 1
			}
			k.note(i, i%2, h, yes)
			if round >= rounds/2 {
				learned, fixed = append(learned, rate(i, h)), append(fixed, rate(i, out.BestHour))
				lead = append(lead, rate(i, h)-rate(i, out.BestHour))
			}
		}
	}
	progress("%d people were sent %d messages each", people, rounds)
	out.Learned, out.BestHourForAll, out.Lead = estimateOf(learned, 0), estimateOf(fixed, 0), estimateOf(lead, -1)
	out.Logged, out.EffectiveSampleSize = out.Learned, Number(len(learned))
	out.judge()
	return out, nil
}
