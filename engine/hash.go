package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// Hash is a fingerprint of what an engine knows.
type Hash struct {
	// Partitions are hashes of all state of each partition: equal for equal
	// facts in equal order, however often and wherever folding stopped and started.
	Partitions []uint64
	// People is the sum of the hashes of what PerFragment folds know of each
	// entity. It does not depend on the number of partitions, nor on the order
	// in which the events of different fragments arrived.
	People uint64
}

// Hash reads all state. Every partition is hashed at the position it is at;
// the call first waits for everything acknowledged so far. It holds up folding.
func (g *Engine) Hash(ctx context.Context) (Hash, error) {
	h := Hash{Partitions: make([]uint64, len(g.parts))}
	if err := g.reach(ctx, g.Ends()); err != nil {
		return h, err
	}
	for i, p := range g.parts {
		if err := p.call(ctx, func() error {
			var people uint64
			h.Partitions[i], people = p.hash()
			h.People += people
			return p.err
		}); err != nil {
			return h, err
		}
	}
	return h, nil
}

// hash commits and hashes every key of the partition. Fold ids are local to a
// store and stand for fold names and versions.
func (p *partition) hash() (all, people uint64) {
	for p.moving != nil && p.err == nil {
		p.migrateSome(1 << 10)
	}
	if p.drain(); p.err != nil {
		return 0, 0
	}
	// Not the position: a copy of a derived record changes nothing but that.
	// The count of events is left out: records erased from the log count no more
	// when it is folded again.
	b := binary.BigEndian.AppendUint64(nil, uint64(p.meta.time))
	b = binary.BigEndian.AppendUint64(b, uint64(p.meta.live))
	all = sum(b)
	p.scan(spanEntity, func(key, value []byte) {
		e := p.newEntity(rapport.ID(key))
		e.raw = append(e.raw[:0], value...)
		if err := p.decodeEntity(e); err != nil {
			p.fail(err)
			return
		}
		all += sum(p.canonical(e))
		people += p.person(e)
		p.recycle(e)
	})
	for _, s := range p.layout.slots {
		name := versionName(s.fold)
		for _, span := range []byte{spanCold, spanRow} {
			p.scanPrefix(binary.BigEndian.AppendUint16(p.key(nil, span), s.id), func(key, value []byte) {
				all += sum([]byte(name), []byte{span}, key, value)
			})
		}
	}
	for _, span := range []byte{spanTimer, spanOutbox, spanErased} {
		p.scan(span, func(key, value []byte) { all += sum([]byte{span}, key, value) })
	}
	return all, people
}

func (p *partition) scan(span byte, fn func(key, value []byte)) {
	p.scanPrefix(p.key(nil, span), fn)
}

func (p *partition) scanPrefix(prefix []byte, fn func(key, value []byte)) {
	it, err := p.store.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		p.fail(err)
		return
	}
	for ok := it.First(); ok; ok = it.Next() {
		fn(it.Key()[len(prefix):], it.Value())
	}
	p.check(it.Close())
}

func sum(parts ...[]byte) uint64 {
	h := sha256.New()
	for _, b := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// canonical returns what the record of e says, with the names of folds.
func (p *partition) canonical(e *entity) []byte {
	b := append([]byte(nil), e.id[:]...)
	b = append(b, e.redirect[:]...)
	b = binary.AppendVarint(b, e.redirectAt)
	b = appendFormers(b, e.formers)
	b = binary.AppendVarint(b, e.floor)
	for _, id := range e.aliases {
		b = append(b, id[:]...)
	}
	for _, a := range e.gone {
		b = a.cause.append(append(append(b, a.fragment[:]...), a.target[:]...))
	}
	timers := slices.Clone(e.timers)
	slices.SortFunc(timers, func(a, c timer) int { return p.timerOrder(a).compare(p.timerOrder(c)) })
	for _, t := range timers {
		k := p.timerOrder(t)
		b = binary.AppendVarint(b, k.at)
		b = appendBytes(appendBytes(b, k.fold), k.name)
	}
	b = appendEffectRefs(b, e.effects)
	for i := range e.frags {
		f := &e.frags[i]
		b = append(append(b, f.id[:]...), f.origin[:]...)
		b = binary.AppendVarint(b, f.first)
		b = p.appendStates(b, e, f.id, p.layout.frag, f.secs)
	}
	return p.appendStates(b, e, e.id, p.layout.serial, e.serial)
}

func (p *partition) timerOrder(t timer) timerKey {
	k := timerKey{at: t.at, name: t.name}
	if s := p.layout.byID(t.fold); s != nil {
		k.fold = s.name
	}
	return k
}

// person hashes what PerFragment folds know of an entity.
func (p *partition) person(e *entity) uint64 {
	if !e.redirect.IsZero() || len(e.frags) == 0 {
		return 0
	}
	b := append([]byte(nil), e.id[:]...)
	for _, s := range p.layout.frag {
		if !s.dark && !s.positioned {
			b = appendBytes(appendBytes(b, s.name), p.merged(e, s).AppendBinary(nil))
		}
	}
	return sum(b)
}
