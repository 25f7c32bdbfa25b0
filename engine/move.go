package engine

import (
	"encoding/binary"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// rowChunk bounds the rows that travel in one record.
const rowChunk = 64 << 10

func (p *partition) decodeSections(e *entity, f *fragment) {
	for i := range f.secs {
		if s, sec := p.layout.frag[i], &f.secs[i]; !s.dark {
			p.stateOf(e, f.id, s, sec)
		}
	}
}

// A move record: what is moved (fragment or tail), the fact that moved it, and
//
//	fragment: id, origin, first, states
//	tail: the entity it left, it and its aliases, states of PerEntity folds, timers, effects
const (
	moveFragment = 1
	moveTail     = 2
)

func appendIDs(b []byte, ids []rapport.ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

func readIDs(r *reader) (ids []rapport.ID) {
	for n := r.count(16); n > 0; n-- {
		ids = append(ids, r.id())
	}
	return ids
}

func moveHeader(what byte, c cause) []byte {
	return c.append(append(make([]byte, 0, 512), what))
}

func (p *partition) appendStates(b []byte, e *entity, owner rapport.ID, slots []*slot, secs []section) []byte {
	for i, s := range slots {
		if s.dark {
			continue
		}
		start := len(b)
		b = appendBytes(b, s.name)
		b = binary.AppendUvarint(b, uint64(s.version))
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		b = p.stateOf(e, owner, s, &secs[i]).AppendBinary(b)
		if n := len(b) - at - 4; n > 0 {
			binary.LittleEndian.PutUint32(b[at:], uint32(n))
		} else {
			b = b[:start]
		}
	}
	return append(b, 0)
}

// readStates merges the states in a move into secs. States of another version
// of a fold are left out: the rebuild of that version moves its own.
func (p *partition) readStates(r *reader, e *entity, owner rapport.ID, slots []*slot, secs []section) {
	for {
		name := r.text()
		if name == "" {
			return
		}
		version := uint32(r.uvarint())
		n := r.take(4)
		if len(n) != 4 {
			r.bad = true
			return
		}
		data := r.take(uint64(binary.LittleEndian.Uint32(n)))
		if r.bad {
			return
		}
		s := p.layout.find(name, version)
		if s == nil || s.dark || len(slots) <= s.at || slots[s.at] != s {
			continue
		}
		other := p.take(s, data)
		p.stateOf(e, owner, s, &secs[s.at]).Merge(other)
		secs[s.at].dirty = true
		p.cache.give(s, other)
	}
}

// sendOff moves all of an entity to another partition and leaves a redirect.
func (p *partition) sendOff(e *entity, to rapport.ID, c cause) {
	for len(e.frags) > 0 {
		f := p.removeFragment(e, 0)
		e.setAway(f.id, to, c)
		p.decodeSections(e, &f)
		p.sendFragment(&f, to, c)
	}
	b := append(moveHeader(moveTail, c), e.id[:]...)
	b = appendIDs(b, append([]rapport.ID{e.id}, e.aliases...))
	b = p.appendStates(b, e, e.id, p.layout.serial, e.serial)
	b = binary.AppendUvarint(b, uint64(len(e.timers)))
	for _, t := range e.timers {
		name := ""
		if s := p.layout.byID(t.fold); s != nil {
			name = s.name
		}
		b = appendBytes(b, name)
		b = binary.AppendVarint(b, t.at)
		b = appendBytes(b, t.name)
	}
	b = binary.AppendUvarint(b, uint64(len(e.effects)))
	for _, ref := range slices.Clone(e.effects) {
		f, _ := p.effectOf(ref)
		b = appendBytes(b, ref.kind)
		b = appendBytes(b, ref.key)
		b = binary.AppendVarint(b, ref.notBefore)
		b = appendBytes(b, f.Payload)
		if p.takeEffect(e, ref.key); !p.mute {
			p.eng.outbox(ref.kind).leave(ref.key)
		}
	}
	for _, s := range p.layout.serial {
		p.sendRows(s, e.id, to, c)
		p.dropCold(s, e.id, &e.serial[s.at])
		p.cache.give(s, e.serial[s.at].st)
		e.serial[s.at] = section{}
	}
	e.aliases = nil
	p.send(KindMove, to, b)
	p.becomeRedirect(e, to, c)
}

// appendNothing appends the tail of an entity that had nothing.
func appendNothing(b []byte, id rapport.ID) []byte {
	b = appendIDs(append(b, id[:]...), []rapport.ID{id})
	return append(b, nothing...)
}

// nothing ends a tail without states, timers and effects.
const nothing = "\x00\x00\x00"

// sendFragment moves a decoded fragment to another partition.
func (p *partition) sendFragment(f *fragment, to rapport.ID, c cause) {
	for _, s := range p.layout.frag {
		p.sendRows(s, f.id, to, c)
	}
	b := moveHeader(moveFragment, c)
	b = append(append(b, f.id[:]...), f.origin[:]...)
	b = binary.AppendVarint(b, f.first)
	b = p.appendStates(b, nil, f.id, p.layout.frag, f.secs)
	p.send(KindMove, to, b)
	for _, s := range p.layout.frag {
		p.dropCold(s, f.id, &f.secs[s.at])
	}
	p.releaseSections(p.layout.frag, f.secs)
}

// walkRows calls fn with the rows of a fold and owner, in order.
func (p *partition) walkRows(s *slot, owner rapport.ID, fn func(key, value []byte)) {
	if s.rowless {
		return
	}
	rows := p.rows(s, []rapport.ID{owner})
	p.check(rows.Walk(nil, nil, false, func(key, value []byte) bool {
		fn(key, value)
		return p.err == nil
	}))
	p.check(rows.Close())
}

// sendRows moves the rows of a fold and owner to another partition.
func (p *partition) sendRows(s *slot, owner, to rapport.ID, c cause) {
	p.moveRows(s, owner, c, func(rows []byte) { p.send(KindRows, to, rows) })
}

// moveRows gives send the rows of a fold and owner as the bodies of records, and
// forgets them.
func (p *partition) moveRows(s *slot, owner rapport.ID, c cause, send func(rows []byte)) {
	if s.dark {
		return
	}
	head := append(owner[:16:16], appendBytes(nil, s.name)...)
	head = binary.AppendUvarint(head, uint64(s.version))
	head = c.append(head)
	b := slices.Clone(head)
	any := false
	p.walkRows(s, owner, func(key, value []byte) {
		if b = appendBytes(appendBytes(b, key), value); len(b) > rowChunk {
			send(b)
			b = slices.Clone(head)
		}
		any = true
	})
	if len(b) > len(head) {
		send(b)
	}
	if any {
		p.clearRows(s, owner, nil, nil)
	}
}

// arriveRows takes in rows that moved here.
func (p *partition) arriveRows(r *eventlog.Record, target rapport.ID, data []byte, passed int64) {
	rd := reader{b: data}
	owner, name, version, c := rd.id(), rd.text(), uint32(rd.uvarint()), readCause(&rd)
	if rd.bad {
		p.fail(p.damaged(r))
		return
	}
	c.at = max(c.at, passed)
	s := p.layout.byName(name)
	fragment := owner
	if s == nil || s.perEntity {
		fragment = rapport.ID{}
	}
	// They go where the state that follows them will go.
	w, ok := p.route(target, fragment, nil, &c)
	switch {
	case w == nil && ok:
		p.sendOn(KindRows, data)
		return
	case w == nil || s == nil || s.version != version:
		return
	}
	if s.perEntity {
		owner = w.id
	}
	for len(rd.b) > 0 {
		key, value := rd.bytes(), rd.bytes()
		if rd.bad {
			p.fail(p.damaged(r))
			return
		}
		p.writeRow(s, owner, key, value)
	}
}

// arrive takes in state that moved here.
func (p *partition) arrive(r *eventlog.Record, target rapport.ID, data []byte, passed int64) {
	rd := reader{b: data}
	what, c := rd.byte(), readCause(&rd)
	c.at = max(c.at, passed)
	if what == moveFragment {
		p.arriveFragment(r, target, c, &rd, data)
		return
	}
	head := data[:len(data)-len(rd.b)]
	from, ids := rd.id(), readIDs(&rd)
	all := len(ids)
	w, ok := p.route(target, rapport.ID{}, &ids, &c)
	switch {
	case w == nil && ok:
		if len(ids) < all {
			data = append(appendIDs(append(slices.Clone(head), from[:]...), ids), rd.b...)
		}
		p.sendOn(KindMove, data)
		return
	case w == nil:
		p.eraseAlias(from, target, p.erasedAt)
		return
	}
	p.bear(w)
	p.touch(w)
	if string(rd.b) != nothing { // as in mergeNothing
		p.regroup(w)
	}
	p.readStates(&rd, w, w.id, p.layout.serial, w.serial)
	for n := rd.count(3); n > 0; n-- {
		fold, at, name := rd.text(), rd.varint(), rd.text()
		if s := p.layout.byName(fold); s != nil && !s.dark {
			p.inheritTimer(w, s, at, name)
		}
	}
	for n := rd.count(4); n > 0; n-- {
		e := Effect{Kind: rd.text(), Key: rd.text(), NotBefore: rd.varint(), Payload: rd.bytes(), Entity: w.id}
		if _, found := findEffect(w.effects, e.Key); !found && !rd.bad && !p.mute {
			p.addEffect(w, e)
		}
	}
	if passed != 0 || w.id != target {
		from = rapport.ID{} // it knows another way
	}
	p.join(w, ids, c, from)
	if !rd.done() || what != moveTail {
		p.fail(p.damaged(r))
	}
}

// arriveFragment takes in a fragment, or drops it if its entity was erased.
func (p *partition) arriveFragment(r *eventlog.Record, target rapport.ID, c cause, rd *reader, data []byte) {
	f := fragment{id: rd.id(), origin: rd.id(), first: rd.varint()}
	cause := c
	w, ok := p.route(target, f.id, nil, &c)
	if w == nil && ok {
		// Its rows came before it, perhaps while its place was still here.
		for _, s := range p.layout.frag {
			p.moveRows(s, f.id, cause, func(rows []byte) { p.sendOn(KindRows, rows) })
		}
		p.sendOn(KindMove, data)
		return
	}
	f.secs = make([]section, len(p.layout.frag))
	p.readStates(rd, nil, f.id, p.layout.frag, f.secs)
	switch {
	case !rd.done():
		p.fail(p.damaged(r))
	case w == nil:
		p.dropFragment(f)
	default:
		p.takeIn(w, f)
	}
}
