package engine

import (
	"encoding/binary"
	"log/slog"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// rowChunk bounds the rows that travel in one record.
const rowChunk = 64 << 10

// merge folds a merge: entity from becomes part of entity to.
func (p *partition) merge(r *eventlog.Record, data []byte) {
	rd := reader{b: data}
	from, to, link := rd.id(), rd.id(), rd.bytes()
	if !rd.done() {
		p.fail(p.damaged(r))
		return
	}
	if int32(from.Partition(p.count)) != p.id || from == to {
		return
	}
	e := p.load(from)
	if !e.redirect.IsZero() {
		// It was merged before: the rest of the link is about what it became.
		if e.redirect != to {
			b := append(append(make([]byte, 0, 33+len(link)), e.redirect[:]...), to[:]...)
			p.pass(r, KindMerge, e.redirect, appendBytes(b, link))
		}
		return
	}
	c := causeOf(p.meta.time, link, false)
	p.bear(e)
	p.meta.live--
	p.touch(e)
	if int32(to.Partition(p.count)) == p.id {
		if w, ok := p.follow(to, rapport.ID{}, p.meta.time); w != nil {
			if w != e {
				p.mergeHere(e, w, c)
				return
			}
			p.meta.live++ // a circle: it stays what it is
			return
		} else if ok {
			to = p.elsewhere
		}
	}
	p.sendOff(e, to, c)
}

// pass hands a record on to the home of target, which may be this partition.
func (p *partition) pass(r *eventlog.Record, kind uint8, target rapport.ID, data []byte) {
	if int32(target.Partition(p.count)) != p.id {
		p.send(kind, target, data)
		return
	}
	if p.follows++; p.follows > maxFollows {
		p.logger.Error("redirects of an entity run in a circle", slog.Any("entity", target))
		return
	}
	switch kind {
	case KindMerge:
		p.merge(r, data)
	case KindSplit:
		p.split(r, data)
	case KindErase:
		p.erase(r, data)
	}
}

// mergeHere merges from into to where both live in this partition.
func (p *partition) mergeHere(from, to *entity, c cause) {
	p.bear(to)
	p.touch(to)
	for len(from.frags) > 0 {
		p.moveFragment(from, 0, to, c)
	}
	for _, s := range p.layout.serial {
		if s.dark {
			continue
		}
		src, dst := &from.serial[s.at], &to.serial[s.at]
		p.stateOf(to, to.id, s, dst).Merge(p.stateOf(from, from.id, s, src))
		dst.dirty = true
		p.cache.give(s, src.st)
		*src = section{}
		if s.cold != nil {
			p.check(p.open.batch.Delete(p.coldKey(nil, s, from.id)))
			src.fresh = true
		}
	}
	for _, t := range slices.Clone(from.timers) {
		if s := p.layout.byID(t.fold); s != nil {
			p.inheritTimer(to, s, t.at, t.name)
			p.setTimer(from, s, 0, t.name)
		}
	}
	for _, ref := range from.effects {
		if i, found := findEffect(to.effects, ref.key); !found {
			to.effects = slices.Insert(to.effects, i, ref) // its row stays
		}
	}
	p.becomeRedirect(from, to.id)
	p.join(to, append(from.aliases, from.id))
	from.aliases = nil
}

// join makes the entities with these ids part of e: what left e for one of
// them has come back with it, or never was.
func (p *partition) join(e *entity, ids []rapport.ID) {
	for _, id := range ids {
		e.addAlias(id)
	}
	e.gone = slices.DeleteFunc(e.gone, func(a away) bool { return slices.Contains(ids, a.target) })
}

// inheritTimer gives an entity the timer of one merged into it. Of two with
// one name the earlier stands.
func (p *partition) inheritTimer(e *entity, s *slot, at int64, name string) {
	if i, found := findTimer(e.timers, s.id, name); !found || at < e.timers[i].at {
		p.setTimer(e, s, at, name)
	}
}

// becomeRedirect leaves of an entity only the way to what it became.
func (p *partition) becomeRedirect(e *entity, to rapport.ID) {
	e.redirect = to
	e.frags, e.effects = e.frags[:0], e.effects[:0]
	for _, t := range slices.Clone(e.timers) {
		if s := p.layout.byID(t.fold); s != nil {
			p.setTimer(e, s, 0, t.name)
		}
	}
	e.timers = e.timers[:0]
	p.forgetMerged(e)
}

// moveFragment moves a fragment between entities of this partition. Its rows
// and cold states stay where they are: their keys name the fragment alone.
func (p *partition) moveFragment(from *entity, at int, to *entity, c cause) {
	f := p.removeFragment(from, at)
	for i := range f.secs { // sections still encoded refer to the buffer of the entity they leave
		if s, sec := p.layout.frag[i], &f.secs[i]; s.cold == nil && sec.st == nil && sec.len > 0 {
			p.stateOf(from, f.id, s, sec)
		}
	}
	from.setAway(f.id, to.id, c)
	p.touch(from)
	p.takeIn(to, f, c)
}

// takeIn adds a fragment that moves because of c to an entity, or passes it on
// if it has left that one already.
func (p *partition) takeIn(to *entity, f fragment, c cause) {
	p.bear(to)
	p.touch(to)
	if i, found := to.findAway(f.id); found {
		if a := to.gone[i]; a.cause.outruns(c) {
			p.place(f, a.target, a.cause)
			return
		}
		to.dropAway(f.id)
	}
	i, found := to.findFragment(f.id)
	if !found {
		i = p.insertFragment(to, i, f.id)
		p.releaseSections(p.layout.frag, to.frags[i].secs)
		to.frags[i] = f
		return
	}
	p.forgetMerged(to)
	g := &to.frags[i]
	if f.first < g.first || f.first == g.first && f.origin.Compare(g.origin) < 0 {
		g.first, g.origin = f.first, f.origin
	}
	for i, s := range p.layout.frag {
		if s.dark || f.secs[i].st == nil {
			continue
		}
		p.stateOf(to, f.id, s, &g.secs[i]).Merge(f.secs[i].st)
		g.secs[i].dirty = true
	}
	p.releaseSections(p.layout.frag, f.secs)
}

// place puts a fragment at target, here or elsewhere.
func (p *partition) place(f fragment, target rapport.ID, c cause) {
	w, ok := p.follow(target, rapport.ID{}, c.at)
	switch {
	case w != nil:
		p.takeIn(w, f, c)
	case ok:
		p.sendFragment(&f, p.elsewhere, c)
	default:
		p.dropFragment(f)
	}
}

// dropFragment forgets a fragment whose entity was erased.
func (p *partition) dropFragment(f fragment) {
	for _, s := range p.layout.frag {
		p.clearRows(s, f.id, nil, nil)
		if s.cold != nil {
			p.check(p.open.batch.Delete(p.coldKey(nil, s, f.id)))
		}
	}
	p.releaseSections(p.layout.frag, f.secs)
}

// split folds a split: a fragment leaves entity for target.
func (p *partition) split(r *eventlog.Record, data []byte) {
	rd := reader{b: data}
	id, fragment, target, link := rd.id(), rd.id(), rd.id(), rd.bytes()
	if !rd.done() {
		p.fail(p.damaged(r))
		return
	}
	if r.Kind == KindSplit && int32(target.Partition(p.count)) == p.id {
		p.stand(p.load(target))
	}
	if int32(id.Partition(p.count)) != p.id {
		return
	}
	e, c := p.load(id), causeOf(p.meta.time, link, true)
	p.bear(e)
	p.touch(e)
	next := e.redirect
	if i, found := e.findAway(fragment); found {
		if next = e.gone[i].target; next == target {
			return
		}
	}
	if !next.IsZero() {
		b := append(append(append(make([]byte, 0, 49+len(link)), next[:]...), fragment[:]...), target[:]...)
		p.pass(r, KindSplit, next, appendBytes(b, link))
		return
	}
	e.dropAlias(target)
	i, found := e.findFragment(fragment)
	if !found { // it may be on its way here
		e.setAway(fragment, target, c)
		return
	}
	w, ok := p.follow(target, rapport.ID{}, c.at)
	switch {
	case w == e:
	case w != nil:
		p.moveFragment(e, i, w, c)
	case ok:
		f := p.removeFragment(e, i)
		e.setAway(fragment, target, c)
		p.decodeSections(e, &f)
		p.sendFragment(&f, p.elsewhere, c)
	}
}

// revive folds the other half of a split: target stands alone again.
func (p *partition) revive(r *eventlog.Record, data []byte) {
	rd := reader{b: data}
	id := rd.id()
	if rd.bad {
		p.fail(p.damaged(r))
		return
	}
	if int32(id.Partition(p.count)) == p.id {
		p.stand(p.load(id))
	}
}

func (p *partition) stand(e *entity) {
	p.bear(e)
	if !e.redirect.IsZero() {
		e.redirect = rapport.ID{}
		p.meta.live++
		p.touch(e)
	}
}

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
//	tail: the entity it left, states of PerEntity folds, timers, effects, aliases
const (
	moveFragment = 1
	moveTail     = 2
)

func moveHeader(what byte, c cause) []byte {
	return c.append(append(make([]byte, 0, 2048), what))
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
		p.removeEffect(e, ref.key)
	}
	b = binary.AppendUvarint(b, uint64(len(e.aliases)))
	for _, id := range e.aliases {
		b = append(b, id[:]...)
	}
	for _, s := range p.layout.serial {
		for _, owner := range append([]rapport.ID{e.id}, e.aliases...) {
			p.sendRows(s, owner, to)
		}
		p.cache.give(s, e.serial[s.at].st)
		e.serial[s.at] = section{fresh: s.cold != nil}
		if s.cold != nil {
			p.check(p.open.batch.Delete(p.coldKey(nil, s, e.id)))
		}
	}
	e.aliases = nil
	p.send(KindMove, to, b)
	p.becomeRedirect(e, to)
}

// sendFragment moves a decoded fragment to another partition.
func (p *partition) sendFragment(f *fragment, to rapport.ID, c cause) {
	for _, s := range p.layout.frag {
		p.sendRows(s, f.id, to)
	}
	b := moveHeader(moveFragment, c)
	b = append(append(b, f.id[:]...), f.origin[:]...)
	b = binary.AppendVarint(b, f.first)
	b = p.appendStates(b, nil, f.id, p.layout.frag, f.secs)
	p.send(KindMove, to, b)
	for _, s := range p.layout.frag {
		if s.cold != nil {
			p.check(p.open.batch.Delete(p.coldKey(nil, s, f.id)))
		}
	}
	p.releaseSections(p.layout.frag, f.secs)
}

// sendRows moves the rows of a fold and owner to another partition.
func (p *partition) sendRows(s *slot, owner, to rapport.ID) {
	if s.dark {
		return
	}
	head := append(owner[:16:16], appendBytes(nil, s.name)...)
	head = binary.AppendUvarint(head, uint64(s.version))
	head = binary.AppendVarint(head, p.meta.time)
	b := slices.Clone(head)
	any := false
	rows := p.rows(s, []rapport.ID{owner})
	p.check(rows.Walk(nil, nil, false, func(key, value []byte) bool {
		if b = appendBytes(appendBytes(b, key), value); len(b) > rowChunk {
			p.send(KindRows, to, b)
			b = slices.Clone(head)
		}
		any = true
		return true
	}))
	p.check(rows.Close())
	if len(b) > len(head) {
		p.send(KindRows, to, b)
	}
	if any {
		p.clearRows(s, owner, nil, nil)
	}
}

// arriveRows takes in rows that moved here.
func (p *partition) arriveRows(r *eventlog.Record, target rapport.ID, data []byte) {
	rd := reader{b: data}
	owner, name, version, at := rd.id(), rd.text(), uint32(rd.uvarint()), rd.varint()
	if rd.bad {
		p.fail(p.damaged(r))
		return
	}
	// Rows of a fragment that is known to leave again wait for it here: only
	// redirects are followed.
	w, ok := p.follow(target, rapport.ID{}, at)
	if w == nil {
		if ok {
			p.send(KindRows, p.elsewhere, data)
		}
		return
	}
	s := p.layout.find(name, version)
	if s == nil {
		return
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
func (p *partition) arrive(r *eventlog.Record, target rapport.ID, data []byte) {
	rd := reader{b: data}
	what, c := rd.byte(), readCause(&rd)
	w, ok := p.follow(target, rapport.ID{}, c.at)
	if w == nil && ok {
		p.send(KindMove, p.elsewhere, data)
		return
	}
	if what == moveFragment {
		p.arriveFragment(r, w, c, &rd)
		return
	}
	from := rd.id()
	if w == nil {
		p.eraseAlias(from, c.at)
		return
	}
	p.bear(w)
	p.touch(w)
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
	ids := []rapport.ID{from}
	for n := rd.count(16); n > 0; n-- {
		ids = append(ids, rd.id())
	}
	p.join(w, ids)
	if !rd.done() || what != moveTail {
		p.fail(p.damaged(r))
	}
}

// arriveFragment takes in a fragment, or drops it if w is nil: erased.
func (p *partition) arriveFragment(r *eventlog.Record, w *entity, c cause, rd *reader) {
	f := fragment{id: rd.id(), origin: rd.id(), first: rd.varint(), secs: make([]section, len(p.layout.frag))}
	for _, s := range p.layout.frag {
		f.secs[s.at].fresh = s.cold != nil
	}
	p.readStates(rd, nil, f.id, p.layout.frag, f.secs)
	switch {
	case !rd.done():
		p.fail(p.damaged(r))
	case w == nil:
		p.dropFragment(f)
	default:
		p.takeIn(w, f, c)
	}
}
