package profile

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// Performed answers a question of the fixed set as of now (Unix ms). It is null
// for a question that is not maintained, and where nothing matched and the op
// has no zero.
func (a *Aggregates) Performed(q *condition.Aggregate, now int64) rapport.Value {
	return a.performed(q.Key, now, nil)
}

// performed is Performed where inForce is the configuration followed.
func (a *Aggregates) performed(key uint64, now int64, inForce *Config) rapport.Value {
	d := a.inForce(inForce).find(key)
	if d == nil {
		return rapport.Value{}
	}
	return d.value(a.bucketsOf(d), now)
}

// inForce is the fixed config, or else the one followed.
func (a *Aggregates) inForce(followed *Config) *Config {
	if a.config != nil {
		return a.config
	}
	return followed
}

// bucketsOf returns the state of a question, nil if there is none.
func (a *Aggregates) bucketsOf(d *definition) []bucket {
	if i, ok := a.find(d.Key); ok && a.answers[i].since == d.since {
		return a.answers[i].buckets
	}
	return nil
}

// value answers from the buckets that lie in the window at now.
func (d *definition) value(buckets []bucket, now int64) rapport.Value {
	oldest, newest := d.window(now)
	from, to := 0, len(buckets)
	for from < to && buckets[from].index < oldest {
		from++
	}
	for to > from && buckets[to-1].index > newest {
		to--
	}
	in := buckets[from:to]
	switch d.op {
	case opCount:
		return rapport.NumberValue(float64(counted(in)))
	case opSum:
		return rapport.NumberValue(summed(in))
	case opHappened:
		return rapport.BoolValue(d.happened(in))
	case opStreak:
		return rapport.NumberValue(streak(in, newest))
	case opDecayed:
		return rapport.NumberValue(decayed(in, newest))
	case opDistinct:
		return rapport.NumberValue(different(in))
	case opTop:
		return tops(in, d.K)
	}
	if len(in) == 0 {
		return rapport.Value{}
	}
	switch d.op {
	case opAvg:
		return rapport.NumberValue(summed(in) / float64(counted(in)))
	case opMin, opMax:
		best := in[0].number()
		for i := range in[1:] {
			if x := in[1+i].number(); d.op == opMin {
				best = min(best, x)
			} else {
				best = max(best, x)
			}
		}
		return rapport.NumberValue(best)
	}
	b := &in[0]
	for i := range in[1:] {
		o := &in[1+i]
		order := cmp.Or(cmp.Compare(o.at, b.at), bytes.Compare(o.best, b.best))
		if d.op == opFirst && order < 0 || d.op == opLast && order > 0 {
			b = o
		}
	}
	if len(b.best) > 0 {
		v, _ := rapport.DecodeValue(b.best)
		return v
	}
	return rapport.NumberValue(float64(b.at) / 1000)
}

func counted(in []bucket) (n int64) {
	for i := range in {
		n += in[i].count
	}
	return n
}

func summed(in []bucket) float64 {
	sum := int64(0)
	for i := range in {
		sum = addSaturating(sum, in[i].sum)
	}
	return float64(sum) / sumUnit
}

func different(in []bucket) float64 {
	if len(in) == 1 {
		return in[0].distinct.Count()
	}
	if len(in) == 0 {
		return 0
	}
	all := in[0].distinct.Clone()
	for i := range in[1:] {
		all.Merge(&in[1+i].distinct)
	}
	return all.Count()
}

// tops lists the values seen most often; of equally frequent ones the one that
// sorts first.
func tops(in []bucket, k int) rapport.Value {
	if len(in) == 0 {
		return rapport.Value{}
	}
	all := slices.Clone(in[0].tops)
	for i := range in[1:] {
		all = mergeTops(all, in[1+i].tops)
	}
	slices.SortFunc(all, func(a, b top) int { return cmp.Or(cmp.Compare(b.count, a.count), bytes.Compare(a.value, b.value)) })
	var list []byte
	for _, t := range all[:min(k, len(all))] {
		list = append(list, t.value...)
	}
	return rapport.ArrayValue(list)
}

// streak counts the stretches in a row that had an event, back from the
// running one; one that has none yet does not break it.
func streak(in []bucket, newest int64) float64 {
	n, next := 0, newest
	for i := len(in) - 1; i >= 0; i-- {
		switch {
		case in[i].index == next:
			n, next = n+1, next-1
		case i == len(in)-1 && in[i].index == newest-1:
			n, next = 1, newest-2
		default:
			return float64(n)
		}
	}
	return float64(n)
}

func decayed(in []bucket, newest int64) float64 {
	sum := 0.0
	for i := range in {
		sum += float64(in[i].sum) / sumUnit * math.Exp2(-float64(newest-in[i].index)/decaySteps)
	}
	return sum
}

// happened finds the sequence in what is known of each bucket: when each step
// was first and last taken in it.
func (d *definition) happened(in []bucket) bool {
	steps := 1 + len(d.Then)
	if d.Absent {
		steps--
	}
	// The earliest way through all steps but the last, then the latest end.
	at := int64(math.MinInt64)
	for s := range steps - 1 {
		next := int64(math.MaxInt64)
		for i := range in {
			for _, t := range in[i].taken(s) {
				if t > at {
					next = min(next, t)
				}
			}
		}
		if at = next; at == math.MaxInt64 {
			return false
		}
	}
	end := int64(math.MinInt64)
	for i := range in {
		if t := in[i].step(steps - 1); t.last != 0 {
			end = max(end, t.last)
		}
	}
	if end <= at || end == math.MinInt64 {
		return false
	}
	if d.Absent {
		for i := range in {
			if t := in[i].step(steps); t.last > end {
				return false
			}
		}
	}
	return true
}

func (b *bucket) step(s int) times {
	if s < len(b.steps) {
		return b.steps[s]
	}
	return times{}
}

// taken returns the known times of a step.
func (b *bucket) taken(s int) []int64 {
	t := b.step(s)
	if t.last == 0 {
		return nil
	}
	return []int64{t.first, t.last}
}

// next returns the first time after now at which the answer becomes one that
// matters, though nothing more happens; 0 if never.
func (d *definition) next(buckets []bucket, now int64, matters condition.Turn) int64 {
	if d.keep == 0 || len(buckets) == 0 {
		return 0
	}
	switch d.op {
	case opDecayed:
		return d.nextDecayed(buckets, now, matters)
	case opStreak: // it stands through the next stretch and breaks at the one after
		for n := int64(1); n <= 2; n++ {
			if at := d.start(d.index(now) + n); matters.Any() || matters.Matters(d.value(buckets, at)) {
				return at
			}
		}
		return 0
	}
	m := d.moments(buckets, now)
	if numeric, at := d.nextNumber(m, matters); numeric {
		return at
	}
	for at := m.next(); at != 0; at = m.next() {
		if matters.Any() || matters.Matters(d.value(buckets, at)) {
			return at
		}
	}
	return 0
}

// nextNumber is next for counts and sums, which change by a bucket at a time.
func (d *definition) nextNumber(m moments, matters condition.Turn) (ok bool, at int64) {
	if d.op != opCount && d.op != opSum || matters.Any() {
		return false, 0
	}
	if _, side, ok := matters.Limit(); ok && side > 0 && d.op == opCount && m.in == len(m.buckets) {
		return true, 0 // a count only falls
	}
	measure := func(b *bucket) int64 {
		if d.op == opCount {
			return b.count
		}
		return b.sum
	}
	const exact = math.MaxInt64 / (4 * windowBuckets)
	sum := int64(0)
	for i := range m.buckets {
		x := measure(&m.buckets[i])
		if x > exact || x < -exact {
			return false, 0 // sums that saturate
		}
		if i >= m.out && i < m.in {
			sum += x
		}
	}
	for at := m.next(); at != 0; at = m.next() {
		if m.entered != nil {
			sum += measure(m.entered)
		}
		if m.left != nil {
			sum -= measure(m.left)
		}
		x := float64(sum)
		if d.op == opSum {
			x /= sumUnit
		}
		if matters.MattersNumber(x) {
			return true, at
		}
	}
	return true, 0
}

// moments are the times after now at which buckets enter or leave the window, in order.
type moments struct {
	d       *definition
	buckets []bucket
	out, in int // the buckets in the window are [out:in)
	// What the last moment did.
	entered, left *bucket
}

func (d *definition) moments(buckets []bucket, now int64) moments {
	m := moments{d: d, buckets: buckets}
	oldest, newest := d.window(now)
	for m.out < len(buckets) && buckets[m.out].index < oldest {
		m.out++
	}
	for m.in = m.out; m.in < len(buckets) && buckets[m.in].index <= newest; {
		m.in++
	}
	return m
}

// next returns the next moment, 0 if there is none.
func (m *moments) next() int64 {
	leaves, enters := int64(math.MaxInt64), int64(math.MaxInt64)
	m.entered, m.left = nil, nil
	if m.out < len(m.buckets) {
		leaves = m.d.leaves(m.buckets[m.out].index)
	}
	if m.in < len(m.buckets) {
		enters = m.d.enters(m.buckets[m.in].index)
	}
	at := min(leaves, enters)
	if at == math.MaxInt64 {
		return 0
	}
	if enters == at {
		m.entered = &m.buckets[m.in]
		m.in++
	}
	if leaves == at {
		m.left = &m.buckets[m.out]
		m.out++
	}
	return at
}

func (d *definition) nextDecayed(buckets []bucket, now int64, matters condition.Turn) int64 {
	newest := d.index(now)
	at := func(n int64) int64 { return d.start(newest + n) }
	if matters.Any() {
		return at(1)
	}
	falling := true
	for i := range buckets {
		falling = falling && buckets[i].sum >= 0 && buckets[i].index <= newest
	}
	does := func(n int64) bool { return matters.Matters(d.value(buckets, at(n))) }
	if !falling { // it may turn more than once
		for n := range int64(2 * decayBuckets) {
			if does(n + 1) {
				return at(n + 1)
			}
		}
		return 0
	}
	than, side, _ := matters.Limit()
	if side > 0 {
		return 0
	}
	if sum, _ := d.value(buckets, now).Number(); side < 0 && sum > 0 && than > 0 {
		// It falls by the same share with each step until buckets are dropped.
		guess := int64(math.Ceil(decaySteps * math.Log2(sum/than)))
		for n := max(guess-1, 1); n <= min(guess+1, decayBuckets); n++ {
			if does(n) && (n == 1 || !does(n-1)) {
				return at(n)
			}
		}
	}
	return searchSteps(at, does, decayBuckets+1, side != 0)
}

// searchSteps returns the time of the first step, from 1 to last, that does;
// 0 if none. The first steps are tried one by one; further ones only if it is
// for good, so that once it does it goes on doing, else the last one tried is
// the time to look again.
func searchSteps(at func(int64) int64, does func(int64) bool, last int64, forGood bool) int64 {
	const oneByOne = 16
	low, high := int64(0), int64(0)
	for n := int64(1); n <= last; {
		if does(n) {
			high = n
			break
		}
		if low = n; n < oneByOne {
			n++
		} else if n < last && !forGood {
			return at(n)
		} else if n < last {
			n = min(2*n, last)
		} else {
			return 0
		}
	}
	if high == 0 {
		return 0
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; does(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return at(high)
}

// Computed returns a computed trait of a config at a moment (Unix ms), or null.
func (a *Aggregates) Computed(config *Config, name string, now int64) rapport.Value {
	t := config.ComputedTrait(name)
	if t == nil {
		return rapport.Value{}
	}
	return t.value(a, now)
}

// NextComputed returns the first time after now (Unix ms) at which a computed
// trait becomes one that matters, though nothing more happens; 0 if never.
func (a *Aggregates) NextComputed(config *Config, name string, now int64, matters condition.Turn) int64 {
	t := config.ComputedTrait(name)
	if t == nil {
		return 0
	}
	return t.next(a, now, matters)
}

// ComputedOf returns the computed traits of the person of a view at a moment
// (Unix ms), as plain values; those with nothing to tell are left out.
func ComputedOf(v *engine.View, at int64) map[string]any {
	out := map[string]any{}
	c, _ := v.Config().Part(Part).(*Config)
	a, _ := v.State(FoldAggregate).(*Aggregates)
	if a == nil {
		return out
	}
	for _, t := range c.Computed() {
		if x := t.value(a, at); !x.IsNull() {
			out[t.Name] = x.Any()
		}
	}
	return out
}
