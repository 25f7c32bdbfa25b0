package profile

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// Semantics of performed(...), the same for every fold of the same events:
//
//   - A window of length W is made of 64 buckets of W/64 and the one running:
//     at time t it holds the events since floor(t/(W/64))-63 buckets.
//   - An event counts in the bucket of its own time, however late it arrives.
//   - Sums are exact to a millionth; a value beyond ±10^12 counts as that.
//   - distinct is exact up to 64 values, then estimated from the 64 smallest
//     hashes (k minimum values), about 12 % standard error.
const (
	windowBuckets = 64
	sketchSize    = 64
	sumUnit       = 1e6
	maxAmount     = 1e12
)

// Config is this room's compiled config: the questions about the past that the
// conditions in force ask.
type Config struct {
	definitions []definition // by id
	version     uint32
}

type definition struct {
	*condition.Aggregate
	key   uint64 // hash of the id
	width int64  // of a bucket, ms; 0 for all time
}

// Compile collects the aggregates of conditions, each once.
func Compile(conditions ...iter.Seq[condition.Expr]) *Config {
	byID := map[string]*condition.Aggregate{}
	for _, seq := range conditions {
		for c := range seq {
			if c, ok := c.(*condition.Condition); ok {
				for _, a := range c.Aggregates() {
					byID[a.ID] = a
				}
			}
		}
	}
	cfg := &Config{}
	digest := xxhash.New()
	for _, id := range sortedKeys(byID) {
		a := byID[id]
		cfg.definitions = append(cfg.definitions, definition{a, xxhash.Sum64String(id), a.Within.Millis() / windowBuckets})
		_, _ = digest.WriteString(id)
		_, _ = digest.Write([]byte{0})
	}
	cfg.version = uint32(digest.Sum64())
	return cfg
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Version names the set of definitions: equal sets have equal versions.
func (c *Config) Version() uint32 {
	if c == nil {
		return 0
	}
	return c.version
}

// AggregateFold maintains the answers to questions about the past. With Config
// set it maintains that set for good, and its version is that of the set. With
// none it maintains what the configuration in force asks, from the barrier on
// at which the partition adopted it: a new question begins at nothing, and an
// answer nobody asks for any more goes.
type AggregateFold struct{ Config *Config }

// Name implements engine.Fold.
func (AggregateFold) Name() string { return FoldAggregate }

// Version implements engine.Fold.
func (f AggregateFold) Version() uint32 {
	if f.Config == nil {
		return 1
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
	kept    *Config  // the last that answers were matched with; no state
}

// answer is the state of one question: its buckets, oldest first; one bucket
// with index 0 for all time.
type answer struct {
	key     uint64
	width   int64
	op      condition.Op
	buckets []bucket
}

// bucket is what happened in one stretch of time. Only what the op needs is kept.
type bucket struct {
	index int64
	count int64
	sum   int64 // in 1/sumUnit: integers add in any order to the same sum
	best  []byte
	at    int64 // when best was seen: first and last
	kmv   []uint64
}

// Apply implements engine.State.
func (a *Aggregates) Apply(c *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem {
		return
	}
	config := a.config
	if config == nil {
		if config, _ = c.Config.Part(Part).(*Config); config == nil {
			return
		}
		a.keep(config)
	}
	name := EventName(e)
	var env *condition.EventEnv
	for i := range config.definitions {
		d := &config.definitions[i]
		if d.Event != name {
			continue
		}
		if d.Where != nil {
			if env == nil {
				env = &condition.EventEnv{Properties: e.Properties}
			}
			if !d.Where.Holds(env) {
				continue
			}
		}
		if b, ok := measure(d, e); ok {
			a.answer(d.key, d.width, d.Op).add(b)
		}
	}
}

// keep drops the answers to questions that are not asked any more.
func (a *Aggregates) keep(config *Config) {
	if a.kept == config {
		return
	}
	a.kept = config
	a.answers = slices.DeleteFunc(a.answers, func(x answer) bool {
		return !slices.ContainsFunc(config.definitions, func(d definition) bool { return d.key == x.key })
	})
}

// measure returns what one event adds to a definition.
func measure(d *definition, e *rapport.Event) (b bucket, ok bool) {
	b.count, b.at = 1, e.Timestamp
	if d.width > 0 {
		b.index = floorDiv(e.Timestamp, d.width)
	}
	if d.Op == condition.Count {
		return b, true
	}
	v, found := e.Properties.Path(d.Property...)
	switch d.Op {
	case condition.First, condition.Last:
		if len(d.Property) == 0 {
			return b, true
		}
		if !found || v.IsNull() {
			return b, false
		}
		if b.best = rapport.AppendValue(nil, v); len(b.best) > 256 {
			return b, false
		}
	case condition.Distinct:
		if !found || v.IsNull() {
			return b, false
		}
		b.kmv = []uint64{xxhash.Sum64(rapport.AppendValue(nil, v))}
	default:
		x, isNumber := v.Number()
		if !isNumber {
			return b, false
		}
		x = max(-maxAmount, min(maxAmount, x))
		b.sum = int64(math.Round(x * sumUnit))
		if d.Op == condition.Min || d.Op == condition.Max {
			b.sum = int64(math.Float64bits(x))
		}
	}
	return b, true
}

func (a *Aggregates) answer(key uint64, width int64, op condition.Op) *answer {
	i, ok := slices.BinarySearchFunc(a.answers, key, func(x answer, key uint64) int {
		switch {
		case x.key < key:
			return -1
		case x.key > key:
			return 1
		}
		return 0
	})
	if !ok {
		a.answers = slices.Insert(a.answers, i, answer{key: key, width: width, op: op})
	}
	return &a.answers[i]
}

// add folds a bucket in and drops what no window ending now or later can reach.
func (x *answer) add(b bucket) {
	n := len(x.buckets)
	if n > 0 && b.index <= x.buckets[n-1].index-windowBuckets {
		return
	}
	i, ok := slices.BinarySearchFunc(x.buckets, b.index, func(b bucket, index int64) int {
		switch {
		case b.index < index:
			return -1
		case b.index > index:
			return 1
		}
		return 0
	})
	if ok {
		x.buckets[i].merge(&b, x.op)
		return
	}
	b.best, b.kmv = slices.Clone(b.best), slices.Clone(b.kmv)
	x.buckets = slices.Insert(x.buckets, i, b)
	newest := x.buckets[len(x.buckets)-1].index
	dead := 0
	for x.buckets[dead].index <= newest-windowBuckets {
		dead++
	}
	x.buckets = slices.Delete(x.buckets, 0, dead)
}

// merge is commutative and associative for each op.
func (b *bucket) merge(o *bucket, op condition.Op) {
	b.count += o.count
	switch op {
	case condition.Sum, condition.Avg:
		b.sum = addSaturating(b.sum, o.sum)
	case condition.Min:
		if o.number() < b.number() {
			b.sum = o.sum
		}
	case condition.Max:
		if o.number() > b.number() {
			b.sum = o.sum
		}
	case condition.First:
		if o.at < b.at || o.at == b.at && bytes.Compare(o.best, b.best) < 0 {
			b.at, b.best = o.at, slices.Clone(o.best)
		}
	case condition.Last:
		if o.at > b.at || o.at == b.at && bytes.Compare(o.best, b.best) > 0 {
			b.at, b.best = o.at, slices.Clone(o.best)
		}
	case condition.Distinct:
		for _, h := range o.kmv {
			if i, ok := slices.BinarySearch(b.kmv, h); !ok && i < sketchSize {
				b.kmv = slices.Insert(b.kmv, i, h)
			}
		}
		b.kmv = b.kmv[:min(len(b.kmv), sketchSize)]
	}
	if op != condition.First && op != condition.Last {
		b.at = 0
	}
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

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Performed answers a question of the fixed set as of now (Unix ms). It is null
// for a question that is not maintained, and where nothing matched and the op
// has no zero.
func (a *Aggregates) Performed(q *condition.Aggregate, now int64) rapport.Value {
	return a.performed(q, now, nil)
}

// performed is Performed where inForce is the configuration followed.
func (a *Aggregates) performed(q *condition.Aggregate, now int64, inForce *Config) rapport.Value {
	if a.config != nil {
		inForce = a.config
	}
	if inForce == nil || !inForce.maintains(q.ID) {
		return rapport.Value{}
	}
	key := xxhash.Sum64String(q.ID)
	var total bucket
	found := false
	for i := range a.answers {
		x := &a.answers[i]
		if x.key != key {
			continue
		}
		oldest := int64(math.MinInt64)
		newest := int64(math.MaxInt64)
		if x.width > 0 {
			newest = floorDiv(now, x.width)
			oldest = newest - windowBuckets + 1
		}
		for j := range x.buckets {
			b := &x.buckets[j]
			if b.index < oldest || b.index > newest {
				continue
			}
			if !found {
				total = *b
				total.best, total.kmv = slices.Clone(b.best), slices.Clone(b.kmv)
				found = true
			} else {
				total.merge(b, x.op)
			}
		}
	}
	if !found {
		switch q.Op {
		case condition.Count, condition.Sum, condition.Distinct:
			return rapport.NumberValue(0)
		}
		return rapport.Value{}
	}
	switch q.Op {
	case condition.Count:
		return rapport.NumberValue(float64(total.count))
	case condition.Sum:
		return rapport.NumberValue(float64(total.sum) / sumUnit)
	case condition.Avg:
		return rapport.NumberValue(float64(total.sum) / sumUnit / float64(total.count))
	case condition.Min, condition.Max:
		return rapport.NumberValue(total.number())
	case condition.Distinct:
		return rapport.NumberValue(distinct(total.kmv))
	}
	if len(total.best) > 0 {
		v, _ := rapport.DecodeValue(total.best)
		return v
	}
	return rapport.NumberValue(float64(total.at) / 1000)
}

func (c *Config) maintains(id string) bool {
	_, ok := slices.BinarySearchFunc(c.definitions, id, func(d definition, id string) int {
		switch {
		case d.ID < id:
			return -1
		case d.ID > id:
			return 1
		}
		return 0
	})
	return ok
}

// distinct estimates the number of different values from the k smallest hashes
// (Bar-Yossef et al. 2002): exact below k, (k-1)/u_k at it.
func distinct(kmv []uint64) float64 {
	if len(kmv) < sketchSize {
		return float64(len(kmv))
	}
	return math.Round((sketchSize - 1) / (float64(kmv[sketchSize-1]) / math.MaxUint64))
}

// Merge implements engine.State.
func (a *Aggregates) Merge(other engine.State) {
	for _, x := range other.(*Aggregates).answers {
		mine := a.answer(x.key, x.width, x.op)
		for _, b := range x.buckets {
			mine.add(b)
		}
	}
}

var opCodes = [...]condition.Op{condition.Count, condition.Sum, condition.Avg, condition.Min, condition.Max, condition.First, condition.Last, condition.Distinct}

// AppendBinary implements engine.State.
func (a *Aggregates) AppendBinary(b []byte) []byte {
	for _, x := range a.answers {
		b = binary.LittleEndian.AppendUint64(b, x.key)
		b = append(b, byte(slices.Index(opCodes[:], x.op)))
		b = binary.AppendUvarint(b, uint64(x.width))
		b = binary.AppendUvarint(b, uint64(len(x.buckets)))
		before := int64(0)
		for _, k := range x.buckets {
			b = binary.AppendVarint(b, k.index-before)
			before = k.index
			b = binary.AppendUvarint(b, uint64(k.count))
			switch x.op {
			case condition.Sum, condition.Avg:
				b = binary.AppendVarint(b, k.sum)
			case condition.Min, condition.Max:
				b = binary.LittleEndian.AppendUint64(b, uint64(k.sum))
			case condition.First, condition.Last:
				b = binary.AppendVarint(b, k.at)
				b = appendString(b, k.best)
			case condition.Distinct:
				b = binary.AppendUvarint(b, uint64(len(k.kmv)))
				for _, h := range k.kmv {
					b = binary.LittleEndian.AppendUint64(b, h)
				}
			}
		}
	}
	return b
}

// DecodeBinary implements engine.State.
func (a *Aggregates) DecodeBinary(b []byte) error {
	a.answers = a.answers[:0]
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		x := answer{key: r.uint64()}
		op := int(r.byte())
		if op >= len(opCodes) {
			r.bad = true
			break
		}
		x.op, x.width = opCodes[op], int64(r.uvarint())
		n := r.count()
		x.buckets = make([]bucket, 0, n)
		index := int64(0)
		for range n {
			index += r.varint()
			k := bucket{index: index, count: int64(r.uvarint())}
			switch x.op {
			case condition.Sum, condition.Avg:
				k.sum = r.varint()
			case condition.Min, condition.Max:
				k.sum = int64(r.uint64())
			case condition.First, condition.Last:
				k.at = r.varint()
				k.best = slices.Clone(r.bytes())
			case condition.Distinct:
				for range r.count() {
					k.kmv = append(k.kmv, r.uint64())
				}
			}
			x.buckets = append(x.buckets, k)
		}
		a.answers = append(a.answers, x)
	}
	return r.done("aggregates")
}
