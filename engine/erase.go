package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// erase folds an erasure: the entity, all that was merged into it and
// everything of them goes. What stays is a keyed hash of each id with the time
// of the erasure, so that events that happened before and arrive later are
// dropped.
func (p *partition) erase(r *eventlog.Record, data []byte) {
	rd := reader{b: data}
	id, at := rd.id(), rd.varint()
	var of []rapport.ID
	for n := rd.count(16); n > 0; n-- {
		of = append(of, rd.id())
	}
	job := rd.text()
	if !rd.done() {
		p.fail(p.damaged(r))
		return
	}
	if int32(id.Partition(p.count)) != p.id {
		return
	}
	e := p.load(id)
	if at == 0 {
		at = p.meta.time
	} else if len(of) > 0 && e.anew(of, at) {
		return
	}
	if e.redirect.IsZero() {
		all := append([]rapport.ID{id}, e.aliases...)
		for _, alias := range slices.Clone(e.aliases) {
			p.pass(r, KindErase, alias, appendErase(nil, alias, at, all, job))
		}
	} else if len(of) == 0 {
		p.pass(r, KindErase, e.redirect, appendErase(nil, e.redirect, at, nil, job))
	}
	p.eraseHere(e, at)
}

// eraseAlias erases the redirect left by an entity that moved to one erased meanwhile.
func (p *partition) eraseAlias(id, to rapport.ID, at int64) {
	of := []rapport.ID{to}
	if int32(id.Partition(p.count)) != p.id {
		p.send(KindErase, id, appendErase(nil, id, at, of, ""))
	} else if e := p.load(id); !e.anew(of, at) {
		p.eraseHere(e, at)
	}
}

func (p *partition) eraseHere(e *entity, at int64) {
	p.suppress(e.id, at)
	e.floor = max(e.floor, at)
	for _, s := range p.layout.serial {
		p.clearRows(s, e.id, nil, nil)
		p.dropCold(s, e.id, &e.serial[s.at])
	}
	p.releaseSections(p.layout.serial, e.serial)
	for len(e.frags) > 0 {
		f := p.removeFragment(e, 0)
		p.dropFragment(f)
	}
	for _, t := range slices.Clone(e.timers) {
		if s := p.layout.byID(t.fold); s != nil {
			p.setTimer(e, s, 0, t.name)
		}
	}
	for _, ref := range slices.Clone(e.effects) {
		p.removeEffect(e, ref.key)
	}
	if e.live() {
		p.alive(e, -1)
	}
	e.timers, e.effects = e.timers[:0], e.effects[:0]
	e.aliases, e.gone = nil, nil
	e.redirect, e.redirectAt = rapport.ID{}, 0
	e.formers = nil
	e.exists = false
	p.touch(e)
}

// anew reports whether an entity once merged into one of those, which were
// erased at at, has begun anew since, stands alone or is part of another.
func (e *entity) anew(of []rapport.ID, at int64) bool {
	return e.live() || e.exists && (e.redirectAt > at || !slices.Contains(of, e.redirect))
}

func (p *partition) erasedKey(b []byte, id rapport.ID) []byte {
	mac := hmac.New(sha256.New, p.eng.eraseKey)
	mac.Write(id[:])
	return append(p.key(b, spanErased), mac.Sum(nil)[:16]...)
}

func (p *partition) suppress(id rapport.ID, at int64) {
	key := p.erasedKey(nil, id)
	at = max(at, p.floor(id))
	p.check(p.open.batch.Set(key, binary.AppendVarint(nil, at)))
	p.open.floors[string(key)] = at
	p.meta.suppressed++
}

// floor returns the time up to which events of an entity were erased, or 0.
func (p *partition) floor(id rapport.ID) int64 {
	if p.meta.suppressed == 0 {
		return 0
	}
	key := p.erasedKey(nil, id)
	for _, c := range [...]*commit{p.open, p.sealed} {
		if c != nil {
			if at, ok := c.floors[string(key)]; ok {
				return at
			}
		}
	}
	b, found, err := p.store.Get(key, nil)
	if err != nil {
		p.fail(err)
	}
	if !found {
		return 0
	}
	rd := reader{b: b}
	return rd.varint()
}
