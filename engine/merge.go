package engine

import (
	"log/slog"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

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
	if !e.exists && e.clean() && e.floor == 0 && p.mergeNothing(e, to, c) {
		return
	}
	p.bear(e)
	p.alive(e, -1)
	p.touch(e)
	if int32(to.Partition(p.count)) == p.id {
		if w, ok := p.follow(to, rapport.ID{}, p.meta.time, p.meta.time); w != nil {
			if w != e {
				p.mergeHere(e, w, c)
				return
			}
			p.alive(e, 1) // a circle: it stays what it is
			return
		} else if ok {
			to = p.elsewhere
		}
	}
	p.sendOff(e, to, c)
}

// mergeNothing merges an entity nothing is known of, as most are: a device is
// merged at its first event if that names who uses it. It does what mergeHere or
// sendOff would, and reports false where there is more to it.
func (p *partition) mergeNothing(e *entity, to rapport.ID, c cause) bool {
	id := e.id
	leave := func(to rapport.ID) {
		e.redirect, e.redirectAt = to, c.at
		p.putStub(e)
	}
	if int32(to.Partition(p.count)) != p.id {
		p.send(KindMove, to, appendNothing(c.append(append(make([]byte, 0, 64), moveTail)), id))
		leave(to)
		return true
	}
	w, _ := p.follow(to, rapport.ID{}, p.meta.time, p.meta.time)
	if w == nil || w == e {
		return false
	}
	p.bear(w)
	p.touch(w)
	leave(w.id)
	ids := []rapport.ID{id}
	p.route(w.id, rapport.ID{}, &ids, &c)
	p.join(w, ids, c, id)
	return true
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
		p.dropCold(s, from.id, src)
		p.cache.give(s, src.st)
		*src = section{}
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
	p.regroup(to)
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
// and large cold states stay where they are: their keys name the fragment alone.
func (p *partition) moveFragment(from *entity, at int, to *entity, c cause) {
	f := p.removeFragment(from, at)
	for i := range f.secs { // sections still encoded refer to the buffer of the entity they leave
		if s, sec := p.layout.frag[i], &f.secs[i]; sec.st == nil && sec.len > 0 {
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
	p.regroup(to)
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
		sec := &f.secs[i]
		if s.dark || sec.st == nil && !sec.apart {
			continue
		}
		p.stateOf(to, f.id, s, &g.secs[i]).Merge(p.stateOf(nil, f.id, s, sec))
		g.secs[i].dirty, g.secs[i].apart = true, g.secs[i].apart || sec.apart // their keys are one
	}
	p.releaseSections(p.layout.frag, f.secs)
}

// dropFragment forgets a fragment whose entity was erased.
func (p *partition) dropFragment(f fragment) {
	for _, s := range p.layout.frag {
		p.clearRows(s, f.id, nil, nil)
		p.dropCold(s, f.id, &f.secs[s.at])
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
		p.alive(e, 1)
		p.touch(e)
	}
}
