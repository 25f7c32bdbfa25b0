package decide

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// origin names the record a lesson was derived from and which of its
// consequences it is; origins of one partition rise.
type origin struct {
	partition int32
	offset    int64
	n         uint64
}

// readOrigin splits a record of the rewards topic into origin and lesson.
func readOrigin(r *eventlog.Record) (o origin, lesson []byte, err error) {
	b := r.Data
	var x [3]uint64
	for i := range x {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return o, nil, rapport.Errorf(rapport.Internal, "rewards record %d is damaged", r.Offset)
		}
		x[i], b = v, b[n:]
	}
	return origin{partition: int32(x[0]), offset: int64(x[1]), n: x[2]}, b, nil
}

const knowledgeCodec = 8

// Snapshot returns the state in a canonical binary form.
func (k *Knowledge) Snapshot() []byte { return k.appendBinary(nil) }

// ReadLesson returns what a record of the rewards topic teaches.
func ReadLesson(r *eventlog.Record) (Lesson, error) {
	_, data, err := readOrigin(r)
	if err != nil {
		return Lesson{}, err
	}
	return DecodeLesson(data)
}

// appendBinary appends the state in a canonical form.
func (k *Knowledge) appendBinary(b []byte) []byte {
	w := writer{b: append(b, knowledgeCodec)}
	w.int(k.version)
	w.uint(uint64(len(k.marks)))
	for _, p := range slices.Sorted(maps.Keys(k.marks)) {
		o := k.marks[p]
		w.int(int64(p))
		w.int(o.offset)
		w.uint(o.n)
	}
	w.outlook(k)
	w.crowds(k.crowds)
	w.uint(uint64(len(k.arms)))
	for _, key := range slices.SortedFunc(maps.Keys(k.arms), compareArms) {
		a := k.arms[key]
		w.repeat(key.placement)
		w.text(key.action)
		w.int(a.at)
		w.float(a.exposed)
		w.int(a.seen)
		w.uint(uint64(len(a.goals)))
		for i := range a.goals {
			w.repeat(a.goals[i].event)
			w.tried(&a.goals[i].tried)
		}
		w.int(a.widened)
		w.uint(uint64(len(a.beliefs)))
		for i := range a.beliefs {
			b := &a.beliefs[i]
			w.repeat(b.outcome)
			w.int(b.n)
			w.float(b.hits)
			w.drift(&b.drift)
			w.weights(&b.weights)
		}
	}
	w.uint(uint64(len(k.shared)))
	for _, key := range slices.SortedFunc(maps.Keys(k.shared), compareBeliefs) {
		w.repeat(key.placement)
		w.repeat(key.kind)
		w.repeat(key.outcome)
		s := k.shared[key]
		w.int(s.at)
		w.int(s.n)
		w.weights(&s.weights)
	}
	w.uint(uint64(len(k.leases)))
	for _, q := range slices.Sorted(maps.Keys(k.leases)) {
		l := k.leases[q]
		w.text(q)
		w.int(l.window)
		w.float(l.units)
	}
	w.uint(uint64(len(k.pools)))
	for _, key := range slices.SortedFunc(maps.Keys(k.pools), comparePools) {
		p := k.pools[key]
		w.repeat(key.placement)
		w.repeat(key.event)
		w.int(p.at)
		w.tried(&p.tried)
	}
	w.uint(uint64(len(k.prices)))
	for _, key := range slices.Sorted(maps.Keys(k.prices)) {
		w.uint(uint64(key))
		w.moments(k.prices[key])
	}
	w.uint(uint64(len(k.effects)))
	for _, action := range slices.Sorted(maps.Keys(k.effects)) {
		w.text(action)
		w.paired(k.effects[action].treated)
		w.paired(k.effects[action].held)
	}
	return w.b
}

func (w *writer) tried(t *tried) {
	w.float(t.exposed)
	w.float(t.hits)
	w.moments(t.amounts)
}

func (w *writer) moments(m learn.Moments) {
	w.float(m.N)
	w.float(m.Sum)
	w.float(m.Squares)
}

func (w *writer) paired(p learn.Paired) {
	w.moments(p.Moments)
	w.float(p.X)
	w.float(p.XX)
	w.float(p.XY)
}

func (r *reader) paired() learn.Paired {
	return learn.Paired{Moments: r.moments(), X: r.Float(), XX: r.Float(), XY: r.Float()}
}

func (r *reader) tried() tried {
	return tried{exposed: r.Float(), hits: r.Float(), amounts: r.moments()}
}

func (r *reader) moments() learn.Moments {
	return learn.Moments{N: r.Float(), Sum: r.Float(), Squares: r.Float()}
}

func decodeKnowledge(b []byte) (*Knowledge, error) {
	r := newReader(b)
	if v := r.Byte(); v != knowledgeCodec && !r.Failed() {
		return nil, rapport.Errorf(rapport.Internal, "model codec %d is not known to this version", v)
	}
	k := newKnowledge()
	k.version = r.Varint()
	for n := r.Count(3); n > 0; n-- {
		p := int32(r.Varint())
		k.marks[p] = origin{partition: p, offset: r.Varint(), n: r.Uvarint()}
	}
	r.outlook(k)
	k.crowds = r.crowds()
	for n := r.Count(20); n > 0; n-- {
		key := armKey{placement: r.repeat(), action: r.Text()}
		a := &arm{at: r.Varint(), exposed: r.Float(), seen: r.Varint()}
		a.goals = make([]reached, r.Count(42))
		for i := range a.goals {
			a.goals[i] = reached{event: r.repeat(), tried: r.tried()}
		}
		a.widened = r.Varint()
		a.beliefs = make([]belief, r.Count(30))
		for i := range a.beliefs {
			a.beliefs[i] = belief{outcome: r.repeat(), n: r.Varint(), hits: r.Float(), drift: r.drift(), weights: r.weights()}
		}
		k.arms[key] = a
	}
	for n := r.Count(11); n > 0; n-- {
		key := beliefKey{placement: r.repeat(), kind: r.repeat(), outcome: r.repeat()}
		k.shared[key] = &shared{at: r.Varint(), n: r.Varint(), weights: r.weights()}
	}
	for n := r.Count(10); n > 0; n-- {
		q := r.Text()
		k.leases[q] = lease{window: r.Varint(), units: r.Float()}
	}
	for n := r.Count(43); n > 0; n-- {
		key := poolKey{placement: r.repeat(), event: r.repeat()}
		k.pools[key] = &pool{at: r.Varint(), tried: r.tried()}
	}
	for n := r.Count(25); n > 0; n-- {
		key := uint32(r.Uvarint())
		k.prices[key] = r.moments()
	}
	for n := r.Count(49); n > 0; n-- {
		action := r.Text()
		k.effects[action] = &effect{treated: r.paired(), held: r.paired()}
	}
	if err := r.done("model"); err != nil {
		return nil, err
	}
	k.judge(slices.Collect(maps.Keys(k.effects)))
	return k, nil
}

func compareArms(a, b armKey) int {
	if c := strings.Compare(a.placement, b.placement); c != 0 {
		return c
	}
	return strings.Compare(a.action, b.action)
}

func comparePools(a, b poolKey) int {
	if c := strings.Compare(a.placement, b.placement); c != 0 {
		return c
	}
	return strings.Compare(a.event, b.event)
}

func compareBeliefs(a, b beliefKey) int {
	return cmp.Or(strings.Compare(a.placement, b.placement), strings.Compare(a.kind, b.kind), strings.Compare(a.outcome, b.outcome))
}

func (w *writer) cell(c bandit.Cell) {
	w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(c.Mean))
	w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(c.Variance))
}

func (r *reader) single() float32 {
	if p := r.Take(4); p != nil {
		return math.Float32frombits(binary.LittleEndian.Uint32(p))
	}
	return 0
}

func (r *reader) cell() bandit.Cell { return bandit.Cell{Mean: r.single(), Variance: r.single()} }

func (w *writer) drift(d *bandit.Drift) {
	w.cell(bandit.Cell{Mean: d.Fast, Variance: d.FastSpread})
	w.cell(bandit.Cell{Mean: d.Slow, Variance: d.SlowSpread})
}

func (r *reader) drift() bandit.Drift {
	return bandit.Drift{Fast: r.single(), FastSpread: r.single(), Slow: r.single(), SlowSpread: r.single()}
}

// weights writes a belief whole.
func (w *writer) weights(x *bandit.Weights) {
	w.cell(x.Constant)
	w.bool(x.Slopes != nil)
	if x.Slopes == nil {
		return
	}
	w.singles(x.Slopes.Mean[:])
	w.singles(x.Slopes.Covariance[:])
}

func (r *reader) weights() (x bandit.Weights) {
	x.Constant = r.cell()
	if !r.Bool() || r.Failed() {
		return x
	}
	x.Slopes = new(bandit.Slopes)
	r.singles(x.Slopes.Mean[:])
	r.singles(x.Slopes.Covariance[:])
	x.Slopes.Restore()
	return x
}

func (w *writer) singles(x []float32) {
	for _, v := range x {
		w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(v))
	}
}

func (r *reader) singles(x []float32) {
	b := r.Take(uint64(4 * len(x)))
	for i := range x {
		if b != nil {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
}

// outlook writes what is known of the features themselves.
func (w *writer) outlook(k *Knowledge) {
	w.int(k.examples)
	w.bool(k.scatter != nil)
	if k.scatter != nil {
		w.singles([]float32{k.scatter.Weight})
		w.singles(k.scatter.Sum[:])
		w.singles(k.scatter.Cross[:])
	}
	w.bool(k.basis != nil)
	if k.basis != nil {
		for i := range k.basis.Rows {
			w.singles(k.basis.Rows[i][:])
		}
		w.singles(k.basis.Offset[:])
		w.singles(k.relief[:])
	}
}

func (r *reader) outlook(k *Knowledge) {
	k.examples = r.Varint()
	if r.Bool() && !r.Failed() {
		k.scatter = &bandit.Scatter{Weight: r.single()}
		r.singles(k.scatter.Sum[:])
		r.singles(k.scatter.Cross[:])
	}
	if r.Bool() && !r.Failed() {
		k.basis = new(bandit.Basis)
		for i := range k.basis.Rows {
			r.singles(k.basis.Rows[i][:])
		}
		r.singles(k.basis.Offset[:])
		k.relief = new(bandit.Relief)
		r.singles(k.relief[:])
	}
}
