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
		if w, ok := p.follow(to, rapport.ID{}, p.meta.time, p.meta.time); w != nil {
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
		p.walkRows(s, from.id, func(key, value []byte) { p.writeRow(s, to.id, key, value) })
		p.clearRows(s, from.id, nil, nil)
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
	p.becomeRedirect(from, to.id, c)
	ids := append([]rapport.ID{from.id}, from.aliases...)
	p.route(to.id, rapport.ID{}, &ids, &c)
	p.join(to, ids, c, from.id)
	from.aliases = nil
}

// join notes that the entities with these ids are part of e because of c, and
// tells all of them but knows.
func (p *partition) join(e *entity, ids []rapport.ID, c cause, knows rapport.ID) {
	for _, id := range ids {
		if e.addAlias(id); id == knows {
			continue
		}
		if b := c.append(append(make([]byte, 0, 40), e.id[:]...)); int32(id.Partition(p.count)) == p.id {
			p.redirect(nil, id, b)
		} else {
			p.send(KindRedirect, id, b)
		}
	}
}

// redirect shortens the way from an entity merged before to what it is part of
// now, so that the one in between can leave alone.
func (p *partition) redirect(r *eventlog.Record, id rapport.ID, data []byte) {
	rd := reader{b: data}
	to, c := rd.id(), readCause(&rd)
	if !rd.done() {
		p.fail(p.damaged(r))
		return
	}
	e := p.load(id)
	if e.redirect.IsZero() || e.redirectAt > c.at || e.redirect == to {
		return
	}
	e.endRedirect(c.at)
	e.redirect, e.redirectAt = to, c.at
	p.touch(e)
}

// inheritTimer gives an entity the timer of one merged into it. Of two with
// one name the earlier stands.
func (p *partition) inheritTimer(e *entity, s *slot, at int64, name string) {
	if i, found := findTimer(e.timers, s.id, name); !found || at < e.timers[i].at {
		p.setTimer(e, s, at, name)
	}
}

// becomeRedirect leaves of an entity only the way to what it became.
func (p *partition) becomeRedirect(e *entity, to rapport.ID, c cause) {
	e.redirect, e.redirectAt = to, c.at
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
	p.place(f, to.id, c)
}

// place puts a fragment that moves because of c at target, or wherever what
// arrives there belongs now.
func (p *partition) place(f fragment, target rapport.ID, c cause) {
	w, ok := p.route(target, f.id, nil, &c)
	switch {
	case w != nil:
		p.takeIn(w, f)
	case ok:
		p.sendFragment(&f, p.elsewhere, c)
	default:
		p.dropFragment(f)
	}
}

// route is follow for what moves: a fragment, or (ids) the entities that
// become part of id, because of c. Every entity on the way learns that what it
// had sent away is back, and sends on what was still on its way to it. Of ids
// those stay that did not leave again.
func (p *partition) route(id, fragment rapport.ID, ids *[]rapport.ID, c *cause) (e *entity, ok bool) {
	for range maxFollows {
		if int32(id.Partition(p.count)) != p.id {
			p.elsewhere, p.elsewhereAt = id, c.at
			return nil, true
		}
		e = p.load(id)
		if e.floor != 0 && c.at <= e.floor {
			p.erasedAt = e.floor
			return nil, false
		}
		if i, found := e.findAway(fragment); found {
			p.touch(e)
			if a := e.gone[i]; a.cause.outruns(*c) {
				id, *c = a.target, a.cause
				continue
			}
			e.dropAway(fragment)
		}
		if ids != nil && len(e.gone) > 0 {
			p.touch(e)
			e.gone = slices.DeleteFunc(e.gone, func(a away) bool {
				i := slices.Index(*ids, a.target)
				if i >= 0 && a.cause.outruns(*c) {
					*ids = slices.Delete(*ids, i, i+1) // it left before it arrived
					return false
				}
				return i >= 0
			})
		}
		if to, since, found := e.earlier(fragment, c.at); found {
			id, c.at = to, since
		} else if id = e.redirect; id.IsZero() {
			return e, true
		} else {
			c.at = max(c.at, e.redirectAt)
		}
	}
	p.logger.Error("redirects of an entity run in a circle", slog.Any("entity", id))
	return e, true
}

// takeIn adds a fragment to an entity.
func (p *partition) takeIn(to *entity, f fragment) {
	p.bear(to)
	p.touch(to)
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
		p.stand(p.load(target), fragment)
	}
	if int32(id.Partition(p.count)) != p.id {
		return
	}
	e, c := p.load(id), causeOf(p.meta.time, link, true)
	p.bear(e)
	p.touch(e)
	if next := e.redirect; !next.IsZero() {
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
	w, ok := p.follow(target, rapport.ID{}, c.at, c.at)
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
	id, fragment := rd.id(), rd.id()
	if rd.bad {
		p.fail(p.damaged(r))
		return
	}
	if int32(id.Partition(p.count)) == p.id {
		p.stand(p.load(id), fragment)
	}
}

// stand makes an entity stand alone again, with a fragment that is on its way.
func (p *partition) stand(e *entity, fragment rapport.ID) {
	p.bear(e)
	p.touch(e)
	e.dropAway(fragment)
	if !e.redirect.IsZero() {
		e.endRedirect(p.meta.time)
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
//	tail: the entity it left, its aliases, states of PerEntity folds, timers, effects
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
	b = binary.AppendUvarint(b, uint64(len(e.aliases)))
	for _, id := range e.aliases {
		b = append(b, id[:]...)
	}
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
	for _, s := range p.layout.serial {
		p.sendRows(s, e.id, to, c)
		p.cache.give(s, e.serial[s.at].st)
		e.serial[s.at] = section{fresh: s.cold != nil}
		if s.cold != nil {
			p.check(p.open.batch.Delete(p.coldKey(nil, s, e.id)))
		}
	}
	e.aliases = nil
	p.send(KindMove, to, b)
	p.becomeRedirect(e, to, c)
}

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
		if s.cold != nil {
			p.check(p.open.batch.Delete(p.coldKey(nil, s, f.id)))
		}
	}
	p.releaseSections(p.layout.frag, f.secs)
}

// walkRows calls fn with the rows of a fold and owner, in order.
func (p *partition) walkRows(s *slot, owner rapport.ID, fn func(key, value []byte)) {
	rows := p.rows(s, []rapport.ID{owner})
	p.check(rows.Walk(nil, nil, false, func(key, value []byte) bool {
		fn(key, value)
		return p.err == nil
	}))
	p.check(rows.Close())
}

// sendRows moves the rows of a fold and owner to another partition.
func (p *partition) sendRows(s *slot, owner, to rapport.ID, c cause) {
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
			p.send(KindRows, to, b)
			b = slices.Clone(head)
		}
		any = true
	})
	if len(b) > len(head) {
		p.send(KindRows, to, b)
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
	from := rd.id()
	ids := []rapport.ID{from}
	for n := rd.count(16); n > 0; n-- {
		ids = append(ids, rd.id())
	}
	w, ok := p.route(target, rapport.ID{}, &ids, &c)
	switch {
	case w == nil && ok:
		p.sendOn(KindMove, data)
		return
	case w == nil:
		p.eraseAlias(from, target, p.erasedAt)
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
	w, ok := p.route(target, f.id, nil, &c)
	if w == nil && ok {
		p.sendOn(KindMove, data)
		return
	}
	f.secs = make([]section, len(p.layout.frag))
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
		p.takeIn(w, f)
	}
}
