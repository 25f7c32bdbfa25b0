package decide

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn"
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

const knowledgeCodec = 1

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
	}
	w.uint(uint64(len(k.pools)))
	for _, key := range slices.SortedFunc(maps.Keys(k.pools), comparePools) {
		p := k.pools[key]
		w.repeat(key.placement)
		w.repeat(key.event)
		w.int(p.at)
		w.tried(&p.tried)
	}
	w.uint(uint64(len(k.effects)))
	for _, action := range slices.Sorted(maps.Keys(k.effects)) {
		w.text(action)
		w.moments(k.effects[action].treated)
		w.moments(k.effects[action].held)
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

func (r *reader) tried() tried {
	return tried{exposed: r.float(), hits: r.float(), amounts: r.moments()}
}

func (r *reader) moments() learn.Moments {
	return learn.Moments{N: r.float(), Sum: r.float(), Squares: r.float()}
}

func decodeKnowledge(b []byte) (*Knowledge, error) {
	r := reader{b: b}
	if v := r.byte(); v != knowledgeCodec && !r.bad {
		return nil, rapport.Errorf(rapport.Internal, "model codec %d is not known to this version", v)
	}
	k := newKnowledge()
	k.version = r.int()
	for n := r.count(3); n > 0; n-- {
		p := int32(r.int())
		k.marks[p] = origin{partition: p, offset: r.int(), n: r.uint()}
	}
	for n := r.count(20); n > 0; n-- {
		key := armKey{placement: r.repeat(), action: r.text()}
		a := &arm{at: r.int(), exposed: r.float(), seen: r.int()}
		a.goals = make([]reached, r.count(42))
		for i := range a.goals {
			a.goals[i] = reached{event: r.repeat(), tried: r.tried()}
		}
		k.arms[key] = a
	}
	for n := r.count(43); n > 0; n-- {
		key := poolKey{placement: r.repeat(), event: r.repeat()}
		k.pools[key] = &pool{at: r.int(), tried: r.tried()}
	}
	for n := r.count(49); n > 0; n-- {
		action := r.text()
		k.effects[action] = &effect{treated: r.moments(), held: r.moments()}
	}
	if err := r.done("model"); err != nil {
		return nil, err
	}
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
