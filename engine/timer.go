package engine

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// timer is one of an entity's timers. The entity's record is the truth; the
// index only says when to look. A timer that moves to a later time keeps its
// place in the index until that comes, so that an idle timer pushed back by
// every event costs nothing.
type timer struct {
	fold    uint16 // slot id
	at      int64
	indexed int64 // <= at
	name    string
}

// timerKey is a place in the index. Timers fire in its order.
type timerKey struct {
	at     int64
	entity rapport.ID
	fold   string
	name   string
}

func (a timerKey) compare(b timerKey) int {
	return cmp.Or(cmp.Compare(a.at, b.at), a.entity.Compare(b.entity), strings.Compare(a.fold, b.fold), strings.Compare(a.name, b.name))
}

// timerQueue holds the part of the index below horizon in memory.
type timerQueue struct {
	keys timerHeap
	// horizon: every key below it is in keys. nil is the end of time.
	horizon *timerKey
}

const timersInMemory = 8192

type timerHeap []timerKey

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timerKey)) }
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	k := (*h)[last]
	*h = (*h)[:last]
	return k
}

func (q *timerQueue) below(k timerKey) bool { return q.horizon == nil || k.compare(*q.horizon) < 0 }

func (q *timerQueue) add(k timerKey) {
	if !q.below(k) {
		return
	}
	heap.Push(&q.keys, k)
	if len(q.keys) > 2*timersInMemory {
		slices.SortFunc(q.keys, timerKey.compare)
		cut := q.keys[timersInMemory]
		q.horizon = &cut
		clear(q.keys[timersInMemory:])
		q.keys = q.keys[:timersInMemory]
	}
}

// next returns the time of the next key, or MaxInt64.
func (q *timerQueue) next() int64 {
	switch {
	case len(q.keys) > 0:
		return q.keys[0].at
	case q.horizon != nil:
		return q.horizon.at
	}
	return math.MaxInt64
}

// timer is called through Context.SetTimer.
func (p *partition) timer(c *Context, at int64, name string) {
	p.serialOnly("set timers")
	if at > 0 {
		at = max(at, c.Time+1)
	}
	p.setTimer(p.ent, p.slot, at, name)
}

func (p *partition) setTimer(e *entity, s *slot, at int64, name string) {
	i, found := findTimer(e.timers, s.id, name)
	key := timerKey{entity: e.id, fold: s.name, name: name}
	switch {
	case at <= 0 && !found:
		return
	case at <= 0:
		key.at = e.timers[i].indexed
		p.unindex(key)
		e.timers = slices.Delete(e.timers, i, i+1)
	case found && at >= e.timers[i].indexed:
		e.timers[i].at = at
	default:
		if found {
			key.at = e.timers[i].indexed
			p.unindex(key)
		} else {
			e.timers = slices.Insert(e.timers, i, timer{fold: s.id, name: name})
		}
		e.timers[i].at, e.timers[i].indexed = at, at
		key.at = at
		p.index(key)
	}
	p.touch(e)
}

func findTimer(timers []timer, fold uint16, name string) (int, bool) {
	return slices.BinarySearchFunc(timers, fold, func(t timer, fold uint16) int {
		return cmp.Or(cmp.Compare(t.fold, fold), strings.Compare(t.name, name))
	})
}

func (p *partition) index(k timerKey) {
	p.keyBuf = p.timerKey(p.keyBuf[:0], k)
	p.check(p.open.batch.Set(p.keyBuf, nil))
	p.timers.add(k)
	p.due.Store(p.timers.next())
}

// unindex removes a key from the store; in memory it stays until its time and
// is found to be stale then.
func (p *partition) unindex(k timerKey) {
	p.keyBuf = p.timerKey(p.keyBuf[:0], k)
	p.check(p.open.batch.Delete(p.keyBuf))
}

// fireTimers fires what is due at or before now, in order. Partition time
// stands at each timer's own time while it fires, so that a state is the same
// whether time passed in ticks or all at once.
func (p *partition) fireTimers(now int64) {
	if p.timers.next() > now {
		return
	}
	for p.timers.next() <= now && p.err == nil {
		if len(p.timers.keys) == 0 {
			p.refillTimers()
			continue
		}
		p.fire(heap.Pop(&p.timers.keys).(timerKey))
		if p.open.overfull(p.limits) {
			p.pause()
		}
	}
	p.due.Store(p.timers.next())
}

// pause commits in the middle of a record that causes more than one commit
// should hold. The position stays before the record and n tells how many of
// its consequences are out, so that after a crash it goes on where it stopped.
func (p *partition) pause() {
	p.meta.n = p.n
	p.mark()
	p.drain()
	p.mark()
	if p.cache.full(p.limits) {
		p.shrink()
	}
}

func (p *partition) fire(k timerKey) {
	p.unindex(k)
	s := p.layout.byName(k.fold)
	if s == nil || s.dark || !s.perEntity {
		return
	}
	e := p.load(k.entity)
	at, found := findTimer(e.timers, s.id, k.name)
	if !found || e.timers[at].indexed != k.at {
		return // removed, moved, or left by an older version of the fold
	}
	if t := &e.timers[at]; t.at > k.at {
		t.indexed = t.at
		k.at = t.at
		p.index(k)
		p.touch(e)
		return
	}
	e.timers = slices.Delete(e.timers, at, at+1)
	p.touch(e)
	p.meta.time = max(p.meta.time, k.at)
	c := &p.ctx
	c.Time, c.Entity, c.Fragment, c.History, c.Accepted = p.meta.time, e.id, rapport.ID{}, false, p.meta.config
	p.ent, p.slot, p.draws = e, s, uint64(k.at)^k.entity.Hash64()^xxhash.Sum64String(k.name)
	sec := &e.serial[s.at]
	if st, ok := p.stateOf(e, e.id, s, sec).(Timed); ok {
		sec.dirty = true
		st.Fire(c, k.name)
	}
}

// refillTimers loads the next part of the index.
func (p *partition) refillTimers() {
	if p.pause(); p.err == nil {
		p.loadTimers()
	}
}

func (p *partition) loadTimers() {
	lower := p.key(nil, spanTimer)
	upper := state.PrefixEnd(lower)
	if h := p.timers.horizon; h != nil {
		lower = p.timerKey(nil, *h)
	}
	p.timers.horizon = nil
	it, err := p.store.Scan(lower, upper)
	if err != nil {
		p.fail(err)
		return
	}
	skip := len(p.key(nil, spanTimer))
	for ok := it.First(); ok; ok = it.Next() {
		k, valid := parseTimerKey(it.Key()[skip:])
		if !valid {
			p.fail(damaged("timer index"))
			break
		}
		if len(p.timers.keys) == timersInMemory {
			p.timers.horizon = &k
			break
		}
		heap.Push(&p.timers.keys, k)
	}
	p.check(it.Close())
	p.due.Store(p.timers.next())
}

func parseTimerKey(b []byte) (k timerKey, ok bool) {
	if len(b) < 8+16 {
		return k, false
	}
	k.at = int64(binary.BigEndian.Uint64(b))
	k.entity = rapport.ID(b[8:24])
	k.fold, k.name, ok = strings.Cut(string(b[24:]), "\x00")
	return k, ok
}

func appendTimers(b []byte, timers []timer) []byte {
	b = binary.AppendUvarint(b, uint64(len(timers)))
	for _, t := range timers {
		b = binary.AppendUvarint(b, uint64(t.fold))
		b = binary.AppendVarint(b, t.at)
		b = binary.AppendVarint(b, t.at-t.indexed)
		b = appendBytes(b, t.name)
	}
	return b
}

func readTimers(r *reader, timers []timer) []timer {
	for n := r.count(4); n > 0; n-- {
		t := timer{fold: uint16(r.uvarint()), at: r.varint()}
		t.indexed = t.at - r.varint()
		t.name = r.text()
		timers = append(timers, t)
	}
	return timers
}
