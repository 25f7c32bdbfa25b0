package engine

import (
	"github.com/rapport-engine/rapport"
)

// cache holds the entities a partition used last, and all that are not yet
// committed. Entities and states of those that leave are used again.
type cache struct {
	byID  map[rapport.ID]*entity
	head  entity // ring: head.next is the newest
	bytes int
	warm  warm   // records of those that left
	apart aparts // states that stand apart
	spare []*entity
	pool  [][]State // by fold order
}

func (c *cache) full(l partitionLimits) bool {
	return len(c.byID) > l.cacheEntities || c.bytes > l.cacheBytes
}

const (
	// An entity takes entityOverhead bytes and entityFactor times its record.
	entityOverhead = 1536
	entityFactor   = 4
	spareEntities  = 512
	spareStates    = 512
)

func newCache(folds int, l partitionLimits) *cache {
	c := &cache{
		byID: map[rapport.ID]*entity{}, pool: make([][]State, folds),
		warm: warm{limit: l.warmBytes}, apart: aparts{warm{limit: l.apartBytes}},
	}
	c.head.next, c.head.prev = &c.head, &c.head
	return c
}

func (c *cache) touch(e *entity) {
	if c.head.next == e {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	c.link(e)
}

func (c *cache) link(e *entity) {
	e.prev, e.next = &c.head, c.head.next
	e.prev.next, e.next.prev = e, e
}

func (c *cache) add(e *entity) {
	c.byID[e.id] = e
	e.size = len(e.raw)*entityFactor + entityOverhead
	c.bytes += e.size
	c.link(e)
}

func (c *cache) resize(e *entity, encoded int) {
	size := encoded*entityFactor + cap(e.raw) + entityOverhead
	c.bytes += size - e.size
	e.size = size
}

func (c *cache) remove(e *entity) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	delete(c.byID, e.id)
	c.bytes -= e.size
}

// shrink takes entities out of the cache until the bounds hold, oldest first,
// and leaves their records. It is called between records, when nobody holds one.
func (p *partition) shrink() {
	c := p.cache
	e := c.head.prev
	for tries := 0; c.full(p.limits) && e != &c.head && tries < 64; tries++ {
		older := e.prev
		if !p.retire(e) {
			if e.in != p.open || p.encoding() {
				break // it can leave when the commit on its way has arrived, as can those behind it
			}
			c.touch(e) // still needed; look at it again later
		}
		e = older
	}
}

// retire takes an entity out of the cache if its record is in the store or can
// go into the open commit at once.
func (p *partition) retire(e *entity) bool {
	c := p.cache
	switch {
	case e.clean():
		if e.exists {
			c.warm.put(e.id, e.raw)
		}
	case e.in == p.open && e.exists && !e.sealed && !p.encoding():
		record, apart := p.encodeEarly(e)
		if apart {
			c.touch(e) // a part of it can be read when the commit has arrived
			return false
		}
		c.warm.put(e.id, record)
	default:
		return false
	}
	c.remove(e)
	p.recycle(e)
	return true
}

// recycle takes an entity apart for reuse.
func (p *partition) recycle(e *entity) {
	c := p.cache
	if e.in != nil {
		e.in.ents[e.at] = nil
	}
	for i := range e.frags {
		p.releaseSections(p.layout.frag, e.frags[i].secs)
	}
	p.releaseSections(p.layout.serial, e.serial)
	for i := range e.merged {
		c.give(p.layout.frag[i], e.merged[i].st)
	}
	if len(c.spare) >= spareEntities || cap(e.raw) > 16<<10 {
		return
	}
	clear(e.serial)
	clear(e.merged)
	clear(e.timers)
	clear(e.effects)
	*e = entity{
		frags: e.frags[:0], serial: e.serial, merged: e.merged[:0], raw: e.raw[:0],
		listed: e.listed[:0], timers: e.timers[:0], effects: e.effects[:0], aliases: e.aliases[:0], gone: e.gone[:0],
	}
	c.spare = append(c.spare, e)
}

func (p *partition) releaseSections(slots []*slot, secs []section) {
	for i := range secs {
		p.cache.give(slots[i], secs[i].st)
		secs[i] = section{}
	}
}

func (c *cache) give(s *slot, st State) {
	if st != nil && len(c.pool[s.order]) < spareStates {
		c.pool[s.order] = append(c.pool[s.order], st)
	}
}

// take returns a state for the slot holding what b says.
func (p *partition) take(s *slot, b []byte) State {
	var st State
	if pool := &p.cache.pool[s.order]; len(*pool) > 0 {
		last := len(*pool) - 1
		st = (*pool)[last]
		(*pool)[last] = nil
		*pool = (*pool)[:last]
	} else {
		st = s.fold.New()
		if len(b) == 0 {
			return st
		}
	}
	if err := st.DecodeBinary(b); err != nil {
		p.fail(rapport.WithHint(rapport.Errorf(rapport.Internal, "state of fold %s is damaged: %w", s.name, err),
			"run rapport doctor; a fold is built again from the event log when its version changes"))
		return s.fold.New()
	}
	return st
}

func (p *partition) newEntity(id rapport.ID) *entity {
	var e *entity
	if n := len(p.cache.spare); n > 0 {
		e = p.cache.spare[n-1]
		p.cache.spare = p.cache.spare[:n-1]
	} else {
		e = &entity{}
	}
	e.id = id
	if n := len(p.layout.serial); len(e.serial) != n {
		e.serial = make([]section, n)
	}
	return e
}

// load returns the entity with this id, from memory or from the store. One
// nothing is known of is returned with exists false.
func (p *partition) load(id rapport.ID) *entity {
	if e := p.cache.byID[id]; e != nil {
		p.cache.touch(e)
		p.hits++
		p.encodeDue(e)
		return e
	}
	p.misses++
	e := p.newEntity(id)
	if p.known != nil && !p.known.has(id) {
		e.floor = p.floor(id)
		p.cache.add(e)
		return e
	}
	var found bool
	var err error
	p.keyBuf = p.entityKey(p.keyBuf[:0], id)
	if e.raw, found = p.cache.warm.take(id, e.raw[:0]); found {
		p.misses--
		p.hits++
	} else if b, ok := p.stub(id); ok {
		e.raw, found = append(e.raw[:0], b...), true
	} else if e.raw, found, err = p.store.Get(p.keyBuf, e.raw[:0]); err != nil {
		p.fail(err)
	}
	if found {
		if err := p.decodeEntity(e); err != nil {
			p.fail(err)
		}
		e.listed = p.listed(e, e.listed[:0])
		if p.moving != nil {
			p.migrate(e)
		}
	} else {
		e.floor = p.floor(id)
	}
	p.cache.add(e)
	return e
}

// stateOf returns the state behind a section, decoding it if need be. e may be
// nil for a section that is not part of an entity's record.
func (p *partition) stateOf(e *entity, owner rapport.ID, s *slot, sec *section) State {
	if sec.st != nil {
		return sec.st
	}
	if !sec.apart {
		var b []byte
		if sec.len > 0 {
			b = e.raw[sec.off : sec.off+sec.len]
		}
		sec.st = p.take(s, b)
		return sec.st
	}
	b := p.coldState(s, owner)
	sec.st, sec.dirty, sec.stored = p.take(s, b), false, uint32(len(b))
	return sec.st
}

// merged returns the state of a fold for the whole entity, for reading only.
func (p *partition) merged(e *entity, s *slot) State {
	switch {
	case s.dark:
		return p.zero(s)
	case s.perEntity:
		return p.stateOf(e, e.id, s, &e.serial[s.at])
	case len(e.frags) == 0:
		return p.zero(s)
	case len(e.frags) == 1:
		return p.stateOf(e, e.frags[0].id, s, &e.frags[0].secs[s.at])
	}
	if len(e.merged) == 0 {
		e.merged = append(e.merged[:0], make([]merged, len(p.layout.frag))...)
	}
	m := &e.merged[s.at]
	if m.valid {
		return m.st
	}
	p.cache.give(s, m.st)
	m.st, m.valid = p.take(s, nil), true
	for i := range e.frags {
		f := &e.frags[i]
		m.st.Merge(p.stateOf(e, f.id, s, &f.secs[s.at]))
	}
	return m.st
}

// zero returns the state of nothing, for reading only.
func (p *partition) zero(s *slot) State {
	if p.zeros[s.order] == nil {
		p.zeros[s.order] = s.fold.New()
	}
	return p.zeros[s.order]
}

// forgetMerged is called when the fragments of e change.
func (p *partition) forgetMerged(e *entity) {
	for i := range e.merged {
		p.cache.give(p.layout.frag[i], e.merged[i].st)
	}
	clear(e.merged)
	e.merged = e.merged[:0]
}
