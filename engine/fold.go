package engine

import (
	"log/slog"
	"math/rand/v2"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// maxHops bounds chains of events made by folds, and maxFollows chains of
// redirects, which are finite unless identity links are contradictory.
const (
	maxHops    = 8
	maxFollows = 64
)

// decoded folds an event, or passes it on to where its entity lives now. A
// zero target is the entity the event was stamped with.
func (p *partition) decoded(r *eventlog.Record, data []byte, kind uint8, target rapport.ID, at int64) {
	e := &p.event
	if err := rapport.DecodeEvent(data, e); err != nil {
		p.fail(p.damaged(r))
		return
	}
	if target.IsZero() {
		target = e.Entity
	}
	ent, ok := p.follow(target, e.Fragment, max(e.Timestamp, at), e.ReceivedAt)
	if ent == nil {
		if ok {
			p.sendOn(kind, data)
		} else {
			p.meta.erased++
		}
		if !ok || kind == KindEmitted { // an accepted event counts where it was accepted
			p.drop()
		}
		return
	}
	if kind == KindEvent {
		p.meta.folded++
	}
	p.hand(ent, e)
}

// follow returns the entity that holds what was said of id and fragment. It is
// nil if that lives in another partition (ok; p.elsewhere says whom to ask
// there) or if it was erased at or after at (not ok; p.erasedAt says when). On
// the way at rises to the time of each merge or split followed: what was
// erased before that was someone else. set is when it set out.
func (p *partition) follow(id, fragment rapport.ID, at, set int64) (e *entity, ok bool) {
	for range maxFollows {
		if int32(id.Partition(p.count)) != p.id {
			p.elsewhere, p.elsewhereAt = id, at
			return nil, true
		}
		e = p.load(id)
		if e.floor != 0 && at <= e.floor {
			p.erasedAt = e.floor
			return nil, false
		}
		if i, found := e.findAway(fragment); found {
			id, at = e.gone[i].target, max(at, e.gone[i].cause.at)
		} else if to, since, found := e.earlier(fragment, max(set, at)); found {
			id, at = to, since
		} else if id, at = e.redirect, max(at, e.redirectAt); id.IsZero() {
			return e, true
		}
	}
	p.logger.Error("redirects of an entity run in a circle", slog.Any("entity", id))
	return e, true
}

// hand hands an event to the folds.
func (p *partition) hand(ent *entity, e *rapport.Event) {
	p.bear(ent)
	fragment := e.Fragment
	if fragment.IsZero() {
		// A fact of our own belongs to the entity as a whole; any fragment will do.
		if fragment = ent.id; len(ent.frags) > 0 {
			fragment = ent.frags[0].id
		}
	}
	i, found := ent.findFragment(fragment)
	if !found {
		i = p.insertFragment(ent, i, fragment)
		ent.frags[i].origin = e.Entity
		if e.Entity.IsZero() {
			ent.frags[i].origin = ent.id
		}
		ent.frags[i].first = e.ReceivedAt
	}
	f := &ent.frags[i]
	f.first = min(f.first, e.ReceivedAt)
	p.touch(ent)

	c := &p.ctx
	c.Entity, c.Fragment, c.History = ent.id, fragment, e.History
	p.ent = ent
	for _, s := range p.layout.slots {
		if s.dark {
			continue
		}
		p.slot, p.draws = s, 0
		if s.cold != nil && !s.cold.Wants(c, e) {
			continue
		}
		if s.perEntity {
			sec := &ent.serial[s.at]
			p.stateOf(ent, ent.id, s, sec).Apply(c, e)
			sec.dirty = true
			continue
		}
		sec := &f.secs[s.at]
		p.stateOf(ent, fragment, s, sec).Apply(c, e)
		sec.dirty = true
		if len(ent.merged) > 0 {
			ent.merged[s.at].valid = false
		}
	}
	p.slot = nil
	if !p.mute && p.eng.live.Load() && p.eng.observer != nil {
		p.eng.observer(c, e)
	}
}

// bear makes an entity exist.
func (p *partition) bear(e *entity) {
	if !e.exists {
		e.exists = true
		p.alive(e, 1)
		p.touch(e)
	}
}

func (p *partition) insertFragment(ent *entity, at int, id rapport.ID) int {
	p.forgetMerged(ent)
	f := ent.addFragment(p.layout)
	f.id = id
	if last := len(ent.frags) - 1; at < last {
		moved := ent.frags[last]
		copy(ent.frags[at+1:], ent.frags[at:last])
		ent.frags[at] = moved
	}
	return at
}

// removeFragment takes a fragment out and returns it.
func (p *partition) removeFragment(ent *entity, at int) fragment {
	p.forgetMerged(ent)
	p.regroup(ent)
	f := ent.frags[at]
	ent.frags = slices.Delete(ent.frags, at, at+1)
	return f
}

// ops of a fold, called through Context.

func (p *partition) state(name string) State {
	s := p.layout.byName(name)
	if s == nil {
		return nil
	}
	return p.merged(p.ent, s)
}

func (p *partition) rand() *rand.Rand {
	// Each fold draws from its own sequence, so that a change of one does not
	// change what another draws.
	p.pcg.Seed(uint64(p.id)<<48^uint64(p.ctx.Offset), xxhash.Sum64String(p.slot.name)+p.draws*0x9e3779b97f4a7c15)
	p.draws++
	return p.rng
}

// serialOnly guards what a PerFragment fold must not do: its state could not
// be moved and merged freely.
func (p *partition) serialOnly(what string) {
	if !p.slot.perEntity {
		panic("engine: PerFragment fold " + p.slot.name + " must not " + what)
	}
}

func (p *partition) emit(c *Context, target rapport.ID, e *rapport.Event) {
	p.serialOnly("emit")
	if p.hops >= maxHops {
		p.stats.cut.Add(1)
		return
	}
	e.History = e.History || c.History
	e.Entity = target
	p.send(KindEmitted, target, rapport.AppendEvent(nil, e))
}

// send derives a record for the home of target.
func (p *partition) send(kind uint8, target rapport.ID, data []byte) {
	p.derive(derived{kind: kind, target: target, data: data})
}

// sendOn passes a record on to where follow said.
func (p *partition) sendOn(kind uint8, data []byte) {
	if p.hops >= maxFollows {
		// Identity links that contradict each other; better here than nowhere.
		p.logger.Error("redirects of an entity run in a circle", slog.Any("entity", p.elsewhere))
		p.stats.cut.Add(1)
		return
	}
	p.derive(derived{kind: kind, target: p.elsewhere, at: p.elsewhereAt, data: data})
}

func (p *partition) derive(d derived) {
	p.n++
	if p.mute || p.ctx.Offset < p.meta.scratch {
		p.stash(&d)
	}
	if p.mute {
		return
	}
	if d.config = p.meta.config; d.kind == KindEvent {
		d.config = p.ctx.Accepted
	}
	d.origin, d.hops = origin{p.id, p.ctx.Offset, p.n}, p.hops+1
	p.out.push(p.ctx.Offset, eventlog.Record{
		Topic: eventlog.Events, Partition: int32(d.target.Partition(p.count)), Kind: KindDerived, Time: p.meta.time,
		Data: d.append(make([]byte, 0, 64+len(d.data))),
	})
}

func (p *partition) reward(c *Context, data []byte) {
	p.n++
	if p.mute {
		return
	}
	b := origin{p.id, p.ctx.Offset, p.n}.append(make([]byte, 0, 16+len(data)))
	p.out.push(p.ctx.Offset, eventlog.Record{Topic: eventlog.Rewards, Kind: KindReward, Time: p.meta.time, Data: append(b, data...)})
}

func (p *partition) rowOwner(c *Context) rapport.ID {
	if p.slot.perEntity {
		return p.ent.id
	}
	return c.Fragment
}

func (p *partition) putRow(c *Context, key, value []byte) {
	if p.slot.rowless {
		panic("engine: fold " + p.slot.name + " said that it has no rows")
	}
	if len(key) > 64 {
		panic("engine: row key of fold " + p.slot.name + " is longer than 64 bytes")
	}
	p.writeRow(p.slot, p.rowOwner(c), key, value)
}

func (p *partition) writeRow(s *slot, owner rapport.ID, key, value []byte) {
	if s.dark || p.mute && !s.building {
		return
	}
	p.open.rows = append(p.open.rows, rowOp{slot: s, owner: owner, key: p.open.keep(key), value: p.open.keep(value)})
}

func (p *partition) deleteRows(c *Context, from, to []byte) {
	p.clearRows(p.slot, p.rowOwner(c), from, to)
}

func (p *partition) clearRows(s *slot, owner rapport.ID, from, to []byte) {
	if s.rowless || s.dark || p.mute && !s.building { // a dark fold's rows are its rebuild's
		return
	}
	p.open.rows = append(p.open.rows, rowOp{slot: s, owner: owner, key: p.open.keep(from), value: p.open.keep(to), delete: true})
}

// dropCold removes a state that is stored under its own key.
func (p *partition) dropCold(s *slot, owner rapport.ID, sec *section) {
	if sec.apart {
		p.check(p.open.batch.Delete(p.coldKey(nil, s, owner)))
		p.cache.apart.forget(s, owner)
		sec.apart = false
	}
}

// regroup notes that an entity has other fragments than before.
func (p *partition) regroup(e *entity) {
	if len(p.layout.regroup) > 0 && !slices.Contains(p.regrouped, e) {
		p.regrouped = append(p.regrouped, e)
	}
}

// regroupAll tells the folds that want to know.
func (p *partition) regroupAll() {
	for i := 0; i < len(p.regrouped) && p.err == nil; i++ {
		ent := p.regrouped[i]
		if !ent.live() || len(ent.frags) == 0 {
			continue
		}
		p.touch(ent)
		c := &p.ctx
		c.Entity, c.Fragment, c.History = ent.id, rapport.ID{}, false
		p.ent = ent
		for _, s := range p.layout.regroup {
			p.slot, p.draws = s, 0
			sec := &ent.serial[s.at]
			p.stateOf(ent, ent.id, s, sec).(Regrouped).Regroup(c)
			sec.dirty = true
		}
	}
	clear(p.regrouped)
	p.regrouped = p.regrouped[:0]
}
