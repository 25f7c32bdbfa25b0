package profile

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/sketch"
)

// Recomputed is a person made from the plain list of their events, with no
// incremental state for questions about the past: the semantics written down as
// code, which live answers and those of other back ends must equal. It is slow.
type Recomputed struct {
	*Env
	events []rapport.Event
	config *Config
}

var _ condition.Env = (*Recomputed)(nil)

// Recompute returns what conditions see of the person whose events these are,
// in any order, at a moment (Unix ms). History is what was known by then: the
// caller leaves out what arrived later.
func Recompute(events []rapport.Event, config *Config, zones *Zones, at int64) *Recomputed {
	activity, consent, about := &Activity{}, &Consent{}, &About{}
	c := &engine.Context{Time: at}
	for i := range events {
		e := &events[i]
		activity.Apply(c, e)
		consent.Apply(c, e)
		if len(traitsOf(e)) > 0 {
			about.Apply(c, e)
		}
	}
	return &Recomputed{&Env{activity: activity, consent: consent, about: about, questions: config, at: at, zones: zones}, events, config}
}

// Value implements condition.Env.
func (r *Recomputed) Value(root condition.Root, path []string) rapport.Value {
	if root == condition.Computed && len(path) == 1 {
		return r.Computed(path[0])
	}
	return r.Env.Value(root, path)
}

// Computed returns a computed trait, or null.
func (r *Recomputed) Computed(name string) rapport.Value {
	t := r.config.ComputedTrait(name)
	if t == nil {
		return rapport.Value{}
	}
	main := r.Performed(t.main)
	unit := func(from rapport.Value) (passed float64, ok bool) {
		x, ok := from.Number()
		return math.Floor((float64(r.at) - math.Round(x*1000)) / float64(t.unit)), ok
	}
	n, _ := main.Number()
	switch t.op {
	case "since":
		passed, ok := unit(main)
		if !ok {
			return rapport.Value{}
		}
		return rapport.NumberValue(max(passed, 0))
	case "frequency":
		if t.aux == nil {
			return rapport.NumberValue(n / (float64(t.unit) / 1e6))
		}
		passed, _ := unit(r.Performed(t.aux))
		return rapport.NumberValue(n / max(passed, 1))
	case "ratio":
		over, _ := r.Performed(t.aux).Number()
		if over == 0 {
			return rapport.Value{}
		}
		return rapport.NumberValue(n / over)
	}
	return main
}

// matching is one event that counts: in which stretch of time, and its value.
type matching struct {
	at, index int64
	step      int
	value     rapport.Value
}

// counts reports whether a stretch is in the window of an answer at newest.
func (d *definition) counts(index, newest int64) bool {
	switch {
	case d.Calendar != "" && d.Op != condition.Streak:
		return index == newest-int64(d.Ago)
	case d.keep > 0:
		return index <= newest && index > newest-d.keep
	}
	return true
}

// match lists the events of a question in its window.
func (r *Recomputed) match(d *definition) (list []matching) {
	newest := d.index(r.at)
	for i := range r.events {
		e := &r.events[i]
		if e.Type == rapport.TypeSystem {
			continue
		}
		for step := range 1 + len(d.Then) {
			event, where := d.Event, d.Where
			if step > 0 {
				event, where = d.Then[step-1].Event, d.Then[step-1].Where
			}
			if EventName(e) != event || where != nil && !where.Holds(&condition.EventEnv{Properties: e.Properties}) {
				continue
			}
			index := d.index(e.Timestamp)
			if !d.counts(index, newest) {
				continue
			}
			v, found := e.Properties.Path(d.Property...)
			if len(d.Property) > 0 && (!found || v.IsNull()) {
				continue
			}
			if x, isNumber := v.Number(); isNumber && len(d.Property) > 0 && slices.Contains([]condition.Op{condition.Sum, condition.Avg, condition.Min, condition.Max, condition.Decayed}, d.Op) {
				v = rapport.NumberValue(max(-maxAmount, min(maxAmount, x)))
			} else if len(d.Property) > 0 && slices.Contains([]condition.Op{condition.Sum, condition.Avg, condition.Min, condition.Max, condition.Decayed}, d.Op) {
				continue
			} else if (d.Op == condition.First || d.Op == condition.Last || d.Op == condition.Top) && len(rapport.AppendValue(nil, v)) > maxValue {
				continue
			}
			list = append(list, matching{e.Timestamp, index, step, v})
		}
	}
	slices.SortStableFunc(list, func(a, b matching) int { return cmp.Compare(a.at, b.at) })
	return list
}

// Performed implements condition.Env.
func (r *Recomputed) Performed(a *condition.Aggregate) rapport.Value {
	d := r.config.find(a.Key)
	if d == nil {
		return rapport.Value{}
	}
	return d.recompute(r.match(d), r.at)
}

// Match is one event that counts: its time (Unix ms), which step of the sequence
// it is, and the value of the property.
type Match struct {
	At    int64
	Step  int
	Value rapport.Value
}

// Answer answers a question at a moment (Unix ms) from the events that count,
// in any order, as [Recomputed] does. Events outside of its window are passed over.
func Answer(a *condition.Aggregate, events []Match, at int64) rapport.Value {
	d := define(a)
	newest := d.index(at)
	list := make([]matching, 0, len(events))
	for _, e := range events {
		if index := d.index(e.At); d.counts(index, newest) {
			list = append(list, matching{e.At, index, e.Step, e.Value})
		}
	}
	slices.SortStableFunc(list, func(a, b matching) int { return cmp.Compare(a.at, b.at) })
	return d.recompute(list, at)
}

// recompute answers from the events that match, by time.
func (d *definition) recompute(list []matching, now int64) rapport.Value {
	number := rapport.NumberValue
	micros := int64(0)
	for _, m := range list {
		if x, ok := m.value.Number(); ok {
			micros += int64(math.Round(x * sumUnit))
		}
	}
	switch d.Op {
	case condition.Count:
		return number(float64(len(list)))
	case condition.Sum:
		return number(float64(micros) / sumUnit)
	case condition.Distinct:
		var s sketch.Distinct
		for _, m := range list {
			s.Add(xxhash.Sum64(rapport.AppendValue(nil, m.value)))
		}
		return number(s.Count())
	case condition.Happened:
		return rapport.BoolValue(sequence(list, 1+len(d.Then), d.Absent))
	case condition.Streak:
		have := map[int64]bool{}
		for _, m := range list {
			have[m.index] = true
		}
		at, n := d.index(now), 0.0
		if !have[at] {
			at--
		}
		for ; have[at]; at-- {
			n++
		}
		return number(n)
	case condition.Decayed:
		perStretch := map[int64]int64{}
		for _, m := range list {
			x := int64(sumUnit)
			if len(d.Property) > 0 {
				f, _ := m.value.Number()
				x = int64(math.Round(f * sumUnit))
			}
			perStretch[m.index] += x
		}
		sum := 0.0
		for _, i := range sortedKeys(perStretch) {
			sum += float64(perStretch[i]) / sumUnit * math.Exp2(-float64(d.index(now)-i)/decaySteps)
		}
		return number(sum)
	}
	if len(list) == 0 {
		return rapport.Value{}
	}
	return d.pick(list, float64(micros)/sumUnit)
}

// pick answers the questions that have no answer where nothing matched.
func (d *definition) pick(list []matching, sum float64) rapport.Value {
	bytesOf := func(m matching) []byte { return rapport.AppendValue(nil, m.value) }
	switch d.Op {
	case condition.Avg:
		return rapport.NumberValue(sum / float64(len(list)))
	case condition.Min, condition.Max:
		numbers := make([]float64, len(list))
		for i, m := range list {
			numbers[i], _ = m.value.Number()
		}
		if d.Op == condition.Min {
			return rapport.NumberValue(slices.Min(numbers))
		}
		return rapport.NumberValue(slices.Max(numbers))
	case condition.Top:
		counts := map[string]int{}
		for _, m := range list {
			counts[string(bytesOf(m))]++
		}
		values := sortedKeys(counts)
		slices.SortStableFunc(values, func(a, b string) int { return counts[b] - counts[a] })
		var out []byte
		for _, v := range values[:min(d.K, len(values))] {
			out = append(out, v...)
		}
		return rapport.ArrayValue(out)
	}
	// Of equally old ones the lower value is the first and the higher the last.
	slices.SortStableFunc(list, func(a, b matching) int {
		return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(bytesOf(a), bytesOf(b)))
	})
	m := list[0]
	if d.Op == condition.Last {
		m = list[len(list)-1]
	}
	if len(d.Property) == 0 {
		return rapport.NumberValue(float64(m.at) / 1000)
	}
	return m.value
}

// sequence finds steps one after the other. Of each stretch of time the first
// and the last time of each step is all that is known.
func sequence(list []matching, steps int, absent bool) bool {
	known := make([][]int64, steps) // times of each step
	type place struct {
		index int64
		step  int
	}
	span := map[place]times{}
	for _, m := range list {
		p := place{m.index, m.step}
		span[p] = span[p].join(times{m.at, m.at})
	}
	for p, t := range span {
		known[p.step] = append(known[p.step], t.first, t.last)
	}
	for _, k := range known {
		slices.Sort(k)
	}
	last := steps - 1
	if absent {
		last--
	}
	at := int64(math.MinInt64)
	for s := range last {
		i := slices.IndexFunc(known[s], func(t int64) bool { return t > at })
		if i < 0 {
			return false
		}
		at = known[s][i]
	}
	if len(known[last]) == 0 {
		return false
	}
	end := known[last][len(known[last])-1]
	if end <= at {
		return false
	}
	return !absent || len(known[last+1]) == 0 || known[last+1][len(known[last+1])-1] <= end
}

// Now implements condition.Env.
func (r *Recomputed) Now() time.Time { return r.Env.Now() }
