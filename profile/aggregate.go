package profile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/sketch"
)

// Bounds of an answer; docs/computed-traits.md states the semantics.
const (
	sumUnit   = 1e6  // sums are exact to a millionth
	maxAmount = 1e12 // a value beyond counts as that
	maxValue  = 256  // bytes of a value that is remembered
	maxTops   = 64   // different values counted one by one in one stretch of time
)

// SystemAnswers names the system event that brings a fragment the answers to
// new questions for the time before they were asked: its body is what
// [Aggregates.AppendBinary] writes. Answers merge, so it may come at any time.
const SystemAnswers = "Answers Built"

// AggregateFold maintains the answers to questions about the past. With Config
// set it maintains that set for good, and its version is that of the set. With
// none it maintains what the configuration in force asks: events accepted since
// the question was first asked as they come, those before as [SystemAnswers]
// brings them. An answer nobody asks for any more goes.
type AggregateFold struct{ Config *Config }

// Name implements engine.Fold.
func (AggregateFold) Name() string { return FoldAggregate }

// Version implements engine.Fold.
func (f AggregateFold) Version() uint32 {
	if f.Config == nil {
		return 2
	}
	return f.Config.Version()
}

// Scope implements engine.Fold.
func (AggregateFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (AggregateFold) Rowless() {}

// New implements engine.Fold.
func (f AggregateFold) New() engine.State { return &Aggregates{config: f.Config} }

// Aggregates are one person's answers.
type Aggregates struct {
	config  *Config  // fixed; nil follows the configuration in force
	answers []answer // by key

	// No state:
	kept  *Config            // the last that answers were matched with
	room  []bucket           // memory of those decoded
	event condition.EventEnv // the one being counted
	said  detail             // what it adds to one answer
}

// answer is the state of one question: its buckets, oldest first; one bucket
// with index 0 for all time.
type answer struct {
	key     uint64
	since   int64
	op      opCode
	keep    int64
	buckets []bucket
}

// bucket is what happened in one stretch of time. Only what the op needs is
// kept: most buckets of a million people count or add up, in a fourth of the
// memory.
type bucket struct {
	index   int64
	count   int64
	sum     int64 // in 1/sumUnit: integers add in any order to the same sum; bits of a float for min and max
	*detail       // of the ops that are detailed, else nil
}

// detail is what some ops keep of a bucket beside numbers.
type detail struct {
	best     []byte
	at       int64 // when best was seen: first and last
	distinct sketch.Distinct
	steps    []times // of a sequence, the first event included
	tops     []top   // by hash of the value
}

// detailed reports whether the buckets of an op have a detail.
func (op opCode) detailed() bool {
	switch op {
	case opFirst, opLast, opDistinct, opHappened, opTop:
		return true
	}
	return false
}

// times are when a step of a sequence was first and last taken; zero is not at all.
type times struct{ first, last int64 }

// top is one value and how often it was seen.
type top struct {
	value []byte
	hash  uint64
	count int64
}

// Apply implements engine.State.
func (a *Aggregates) Apply(c *engine.Context, e *rapport.Event) {
	config := a.config
	if config == nil {
		if config, _ = c.Config.Part(Part).(*Config); config == nil {
			return
		}
		a.follow(config)
	}
	if e.Type == rapport.TypeSystem {
		if e.Name == SystemAnswers {
			a.learn(e.Body)
		}
		return
	}
	if a.config != nil {
		c = nil
	}
	a.tally(config.byEvent[EventName(e)], e, c)
}

// tally adds an event to the answers it matters to; with a context, to those
// that are answered live since before it was accepted.
func (a *Aggregates) tally(of *asked, e *rapport.Event, c *engine.Context) {
	if of == nil {
		return
	}
	a.event.Properties = e.Properties
	var room [16]condition.Passed
	for _, may := range of.sieve.Pass(e.Properties, room[:0]) {
		g := &of.groups[may.I]
		if !may.Sure && !g.where.Holds(&a.event) {
			continue
		}
		for j := range g.list {
			u := &g.list[j]
			if c != nil && engine.Later(u.since, c.Accepted) {
				continue // it comes from history
			}
			if b, ok := u.measure(e, &a.said); ok {
				a.answer(u.Key, u.since, u.op, u.keep).add(&b)
			}
		}
	}
	a.event.Properties, a.said = nil, detail{}
}

// learn takes in answers built from history.
func (a *Aggregates) learn(body []byte) {
	var built Aggregates
	if built.DecodeBinary(body) != nil {
		return // the log is checked for damage; a later version's form is not ours to read
	}
	a.Merge(&built)
	if a.kept != nil {
		a.drop(a.kept)
	}
}

// follow drops the answers to questions that are not asked any more.
func (a *Aggregates) follow(config *Config) {
	if a.kept != config {
		a.kept = config
		a.drop(config)
	}
}

func (a *Aggregates) drop(config *Config) {
	a.answers = slices.DeleteFunc(a.answers, func(x answer) bool {
		d := config.find(x.key)
		return d == nil || d.since != x.since
	})
}

// measure returns what one event adds to an answer, with its detail in said.
func (u *use) measure(e *rapport.Event, said *detail) (b bucket, ok bool) {
	b.count, b.index = 1, u.index(e.Timestamp)
	if u.op.detailed() {
		*said = detail{}
		b.detail = said
	}
	switch u.op {
	case opCount, opStreak:
		return b, true
	case opHappened:
		b.steps = make([]times, 1+len(u.Then))
		b.steps[u.step] = times{e.Timestamp, e.Timestamp}
		return b, true
	case opFirst, opLast:
		if b.at = e.Timestamp; len(u.Property) == 0 {
			return b, true
		}
	case opDecayed:
		if len(u.Property) == 0 {
			b.sum = sumUnit
			return b, true
		}
	}
	v, found := e.Properties.Path(u.Property...)
	if !found || v.IsNull() {
		return b, false
	}
	switch u.op {
	case opFirst, opLast:
		b.best = rapport.AppendValue(nil, v)
		return b, len(b.best) <= maxValue
	case opDistinct:
		b.distinct.Add(xxhash.Sum64(rapport.AppendValue(nil, v)))
		return b, true
	case opTop:
		value := rapport.AppendValue(nil, v)
		b.tops = []top{{value, xxhash.Sum64(value), 1}}
		return b, len(value) <= maxValue
	}
	x, isNumber := v.Number()
	if !isNumber {
		return b, false
	}
	x = max(-maxAmount, min(maxAmount, x))
	if u.op == opMin || u.op == opMax {
		b.sum = int64(math.Float64bits(x))
	} else {
		b.sum = int64(math.Round(x * sumUnit))
	}
	return b, true
}

func (a *Aggregates) find(key uint64) (int, bool) {
	low, high := 0, len(a.answers)
	for low < high {
		if mid := (low + high) / 2; a.answers[mid].key < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(a.answers) && a.answers[low].key == key
}

// answer returns the state of a question asked since. One of an earlier asking
// gives way; for a later one the answer returned is thrown away.
func (a *Aggregates) answer(key uint64, since int64, op opCode, keep int64) *answer {
	i, ok := a.find(key)
	switch {
	case !ok:
		a.answers = slices.Insert(a.answers, i, answer{key: key, since: since, op: op, keep: keep})
	case a.answers[i].since != since && engine.Later(since, a.answers[i].since):
		a.answers[i] = answer{key: key, since: since, op: op, keep: keep}
	case a.answers[i].since != since:
		return &answer{key: key, since: since, op: op, keep: keep}
	}
	return &a.answers[i]
}

// add folds a bucket in, of which it keeps nothing, and drops what no window
// ending now or later can reach.
func (x *answer) add(b *bucket) {
	n := len(x.buckets)
	if x.keep > 0 && n > 0 && b.index <= x.buckets[n-1].index-x.keep {
		return
	}
	i, ok := n-1, n > 0 && x.buckets[n-1].index == b.index // most are of now
	if !ok {
		i, ok = slices.BinarySearchFunc(x.buckets, b.index, func(b bucket, index int64) int { return cmp.Compare(b.index, index) })
	}
	if ok {
		x.buckets[i].merge(b, x.op)
		return
	}
	x.buckets = slices.Insert(x.buckets, i, b.clone())
	if x.keep == 0 {
		return
	}
	newest := x.buckets[len(x.buckets)-1].index
	dead := 0
	for x.buckets[dead].index <= newest-x.keep {
		dead++
	}
	x.buckets = slices.Delete(x.buckets, 0, dead)
}

func (b *bucket) clone() bucket {
	c := *b
	if b.detail != nil {
		c.detail = &detail{
			best: slices.Clone(b.best), at: b.at, distinct: b.distinct.Clone(),
			steps: slices.Clone(b.steps), tops: slices.Clone(b.tops),
		}
	}
	return c
}

// merge is commutative and associative for each op.
func (b *bucket) merge(o *bucket, op opCode) {
	b.count += o.count
	switch op {
	case opSum, opAvg, opDecayed:
		b.sum = addSaturating(b.sum, o.sum)
	case opMin:
		if o.number() < b.number() {
			b.sum = o.sum
		}
	case opMax:
		if o.number() > b.number() {
			b.sum = o.sum
		}
	case opFirst:
		if o.at < b.at || o.at == b.at && bytes.Compare(o.best, b.best) < 0 {
			b.at, b.best = o.at, slices.Clone(o.best)
		}
	case opLast:
		if o.at > b.at || o.at == b.at && bytes.Compare(o.best, b.best) > 0 {
			b.at, b.best = o.at, slices.Clone(o.best)
		}
	case opDistinct:
		b.distinct.Merge(&o.distinct)
	case opHappened:
		for i := range min(len(b.steps), len(o.steps)) {
			b.steps[i] = b.steps[i].join(o.steps[i])
		}
	case opTop:
		b.tops = mergeTops(b.tops, o.tops)
	}
}

func (t times) join(o times) times {
	switch {
	case t.last == 0:
		return o
	case o.last == 0:
		return t
	}
	return times{min(t.first, o.first), max(t.last, o.last)}
}

// mergeTops adds counts. Of more than maxTops values those with the lowest
// hashes stay: none that stays was ever put out, so its count is whole.
func mergeTops(a, b []top) []top {
	for _, o := range b {
		i, ok := slices.BinarySearchFunc(a, o, func(x, y top) int {
			return cmp.Or(cmp.Compare(x.hash, y.hash), bytes.Compare(x.value, y.value))
		})
		switch {
		case ok:
			a[i].count += o.count
		case i < maxTops:
			o.value = slices.Clone(o.value)
			if a = slices.Insert(a, i, o); len(a) > maxTops {
				a = a[:maxTops]
			}
		}
	}
	return a
}

func (b *bucket) number() float64 { return math.Float64frombits(uint64(b.sum)) }

func addSaturating(a, b int64) int64 {
	s := a + b
	switch {
	case a > 0 && b > 0 && s < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && s >= 0:
		return math.MinInt64
	}
	return s
}

// Merge implements engine.State.
func (a *Aggregates) Merge(other engine.State) {
	for _, x := range other.(*Aggregates).answers {
		mine := a.answer(x.key, x.since, x.op, x.keep)
		if mine.op != x.op {
			continue // one of them is damaged
		}
		for i := range x.buckets {
			mine.add(&x.buckets[i])
		}
	}
}

// AppendBinary implements engine.State.
func (a *Aggregates) AppendBinary(b []byte) []byte {
	for i := range a.answers {
		x := &a.answers[i]
		b = binary.LittleEndian.AppendUint64(b, x.key)
		b = append(b, byte(x.op))
		b = binary.AppendUvarint(b, uint64(x.since))
		b = binary.AppendUvarint(b, uint64(x.keep))
		b = binary.AppendUvarint(b, uint64(len(x.buckets)))
		before := int64(0)
		for j := range x.buckets {
			k := &x.buckets[j]
			b = binary.AppendVarint(b, k.index-before)
			before = k.index
			b = k.append(b, x.op)
		}
	}
	return b
}

func (b *bucket) append(to []byte, op opCode) []byte {
	to = binary.AppendUvarint(to, uint64(b.count))
	switch op {
	case opSum, opAvg, opDecayed:
		to = binary.AppendVarint(to, b.sum)
	case opMin, opMax:
		to = binary.LittleEndian.AppendUint64(to, uint64(b.sum))
	case opFirst, opLast:
		to = binary.AppendVarint(to, b.at)
		to = appendString(to, b.best)
	case opDistinct:
		to = b.distinct.AppendBinary(to)
	case opHappened:
		to = binary.AppendUvarint(to, uint64(len(b.steps)))
		for _, s := range b.steps {
			to = binary.AppendVarint(to, s.last)
			to = binary.AppendVarint(to, s.last-s.first)
		}
	case opTop:
		to = binary.AppendUvarint(to, uint64(len(b.tops)))
		for _, t := range b.tops {
			to = appendString(to, t.value)
			to = binary.AppendUvarint(to, uint64(t.count))
		}
	}
	return to
}

// DecodeBinary implements engine.State.
func (a *Aggregates) DecodeBinary(b []byte) error {
	a.answers, a.kept, a.room = a.answers[:0], nil, a.room[:0]
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		x := answer{key: r.uint64(), op: opCode(r.byte()), since: int64(r.uvarint()), keep: int64(r.uvarint())}
		if x.op >= opCodes {
			r.bad = true
			break
		}
		n := r.count()
		x.buckets = a.buckets(n)
		index := int64(0)
		for range n {
			index += r.varint()
			k := bucket{index: index, count: int64(r.uvarint())}
			k.read(&r, x.op)
			x.buckets = append(x.buckets, k)
		}
		a.answers = append(a.answers, x)
	}
	return r.done("aggregates")
}

// buckets returns room for n buckets. Those of one state lie close together; an
// answer that gets more takes them elsewhere.
func (a *Aggregates) buckets(n int) []bucket {
	at := len(a.room)
	if cap(a.room)-at < n {
		a.room, at = make([]bucket, 0, max(n, 2*cap(a.room), 16)), 0
	}
	a.room = a.room[:at+n]
	return a.room[at : at : at+n]
}

func (b *bucket) read(r *reader, op opCode) {
	if op.detailed() {
		b.detail = new(detail)
	}
	switch op {
	case opSum, opAvg, opDecayed:
		b.sum = r.varint()
	case opMin, opMax:
		b.sum = int64(r.uint64())
	case opFirst, opLast:
		b.at = r.varint()
		b.best = slices.Clone(r.bytes())
	case opDistinct:
		rest, err := b.distinct.DecodeBinary(r.b)
		if r.b = rest; err != nil {
			r.bad, r.b = true, nil
		}
	case opHappened:
		for range r.count() {
			last := r.varint()
			b.steps = append(b.steps, times{last - r.varint(), last})
		}
	case opTop:
		for range r.count() {
			t := top{value: slices.Clone(r.bytes())}
			t.count, t.hash = int64(r.uvarint()), xxhash.Sum64(t.value)
			b.tops = append(b.tops, t)
		}
	}
}
