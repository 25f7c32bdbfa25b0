package engine

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// entity is a person or an item in memory, at its home partition.
type entity struct {
	id rapport.ID
	// exists is false for one nothing is stored of.
	exists bool
	// redirect is what the entity was merged into, at redirectAt, or zero.
	redirect   rapport.ID
	redirectAt int64
	// formers are redirects the entity had before it stood alone again or became
	// part of yet another, oldest first: what was on its way to it then still
	// goes there.
	formers []former
	// floor: events that happened at or before it were erased.
	floor   int64
	aliases []rapport.ID // entities merged into this one, sorted
	gone    []away       // fragments that live elsewhere, sorted
	frags   []fragment   // sorted by id
	serial  []section    // PerEntity folds
	listed  []uint64     // keys it stands under in the index
	timers  []timer      // sorted by (fold, name)
	effects []effectRef  // waiting, sorted by key

	// raw is the record as loaded or as it was encoded last; sections not used yet refer to it.
	raw []byte
	// merged holds merged states of PerFragment folds while there are several fragments.
	merged []merged

	in     *commit // the commit that is to hold its record, not encoded yet
	at     int     // its place among that commit's entities
	sealed bool    // a commit on its way holds its record
	size   int
	prev   *entity
	next   *entity
}

// fragment is the part of an entity that moves as one.
type fragment struct {
	id rapport.ID
	// origin is the entity the fragment was first stamped with, first the time
	// of its earliest event: the oldest fragment gives the entity its public id.
	origin rapport.ID
	first  int64
	secs   []section
}

// section is the state of one fold: decoded when first used.
type section struct {
	st       State
	off, len uint32 // in entity.raw, while st is nil
	// Cold only: st differs from what is stored; what is stored has its own key
	// and, as far as was seen, stored bytes.
	dirty, apart bool
	stored       uint32
}

type merged struct {
	st    State
	valid bool
}

// away says that a fragment left for another entity, and why. It may have been
// sent away before it arrived here.
type away struct {
	fragment rapport.ID
	target   rapport.ID
	cause    cause
}

// former is a redirect that ended.
type former struct {
	target    rapport.ID
	at, until int64
}

// formersKept bounds how long a former redirect is remembered, in partition
// time: much longer than a record is on its way.
const formersKept = 60 * 60 * 1000

// cause is the fact that moved a fragment.
type cause struct {
	at    int64 // record time
	link  uint32
	split bool // else a merge
}

func causeOf(at int64, link []byte, split bool) cause {
	return cause{at, uint32(xxhash.Sum64(link)), split}
}

func (c cause) append(b []byte) []byte {
	b = binary.AppendVarint(b, c.at)
	b = binary.LittleEndian.AppendUint32(b, c.link)
	return appendBool(b, c.split)
}

func readCause(r *reader) (c cause) {
	c.at = r.varint()
	if b := r.take(4); len(b) == 4 {
		c.link = binary.LittleEndian.Uint32(b)
	}
	c.split = r.byte() != 0
	return c
}

// outruns reports whether a fragment sent away because of c was still on its
// way here when that happened, because of m: it is to be sent on. Otherwise it
// came back later. Of a merge and a split by one link at one time the merge
// came first.
func (c cause) outruns(m cause) bool {
	if m.at != c.at {
		return m.at < c.at
	}
	return c.split && !m.split && c.link == m.link
}

// earlier returns where something goes that set out for e at at, and the time
// of the redirect it follows: the first that did not end before. A fragment
// that is here stays.
func (e *entity) earlier(fragment rapport.ID, at int64) (id rapport.ID, since int64, ok bool) {
	for _, f := range e.formers {
		if at < f.until {
			_, here := e.findFragment(fragment)
			return f.target, max(at, f.at), !here
		}
	}
	return id, at, false
}

// endRedirect ends the redirect an entity has.
func (e *entity) endRedirect(at int64) {
	e.formers = slices.DeleteFunc(e.formers, func(f former) bool { return f.until < at-formersKept })
	e.formers = append(e.formers, former{e.redirect, e.redirectAt, at})
	e.redirect, e.redirectAt = rapport.ID{}, 0
}

func appendFormers(b []byte, formers []former) []byte {
	b = binary.AppendUvarint(b, uint64(len(formers)))
	for _, f := range formers {
		b = append(b, f.target[:]...)
		b = binary.AppendVarint(b, f.at)
		b = binary.AppendVarint(b, f.until)
	}
	return b
}

// clean reports whether the store holds the entity as it is.
func (e *entity) clean() bool { return e.in == nil && !e.sealed }

func (e *entity) live() bool { return e.exists && e.redirect.IsZero() }

func (e *entity) findFragment(id rapport.ID) (int, bool) {
	if len(e.frags) == 1 && e.frags[0].id == id {
		return 0, true
	}
	return slices.BinarySearchFunc(e.frags, id, func(f fragment, id rapport.ID) int { return f.id.Compare(id) })
}

func (e *entity) findAway(fragment rapport.ID) (int, bool) {
	return slices.BinarySearchFunc(e.gone, fragment, func(a away, id rapport.ID) int { return a.fragment.Compare(id) })
}

func (e *entity) setAway(fragment, target rapport.ID, c cause) {
	i, found := e.findAway(fragment)
	if !found {
		e.gone = slices.Insert(e.gone, i, away{})
	}
	e.gone[i] = away{fragment, target, c}
}

func (e *entity) dropAway(fragment rapport.ID) {
	if i, found := e.findAway(fragment); found {
		e.gone = slices.Delete(e.gone, i, i+1)
	}
}

func (e *entity) addAlias(id rapport.ID) {
	if i, found := slices.BinarySearchFunc(e.aliases, id, rapport.ID.Compare); !found && id != e.id {
		e.aliases = slices.Insert(e.aliases, i, id)
	}
}

func (e *entity) dropAlias(id rapport.ID) {
	if i, found := slices.BinarySearchFunc(e.aliases, id, rapport.ID.Compare); found {
		e.aliases = slices.Delete(e.aliases, i, i+1)
	}
}

// publicID is the entity id the oldest fragment was first known by. It does
// not change when a younger entity wins a merge, and a split gives it back.
func (e *entity) publicID() (id rapport.ID, first int64) {
	id = e.id
	for i := range e.frags {
		f := &e.frags[i]
		if i == 0 || f.first < first || f.first == first && f.origin.Compare(id) < 0 {
			id, first = f.origin, f.first
		}
	}
	return id, first
}

// Flags of the hot record.
const (
	entityCodec    = 2
	entityRedirect = 1 << 0
	entityFloor    = 1 << 1
	entityLists    = 1 << 2 // aliases and gone follow
	entityTimed    = 1 << 3 // timers and effects follow
	entityFormer   = 1 << 4
)

// coldInline is up to how many bytes a cold state stays in the record of its
// entity: a key of its own costs more than they do.
const coldInline = 256

// coldAtHand is up to how many bytes a cold state with a key of its own stays
// with its entity in memory. Whoever is busy needs it again with the next event.
const coldAtHand = 2 << 10

// standsApart is the length of a section that is stored under its own key.
const standsApart = math.MaxUint32

// appendEntity appends the record of e: everything but rows and large cold
// states. Those go to batch. Equal entities give equal bytes. The sections then
// refer to the record, which is to become e.raw.
func (p *partition) appendEntity(b []byte, e *entity, batch *state.Batch) []byte {
	start := len(b)
	var flags byte
	if !e.redirect.IsZero() {
		flags |= entityRedirect
	}
	if e.floor != 0 {
		flags |= entityFloor
	}
	if len(e.aliases)+len(e.gone) > 0 {
		flags |= entityLists
	}
	if len(e.timers)+len(e.effects) > 0 {
		flags |= entityTimed
	}
	if len(e.formers) > 0 {
		flags |= entityFormer
	}
	b = append(b, entityCodec, flags)
	if flags&entityRedirect != 0 {
		b = append(b, e.redirect[:]...)
		b = binary.AppendVarint(b, e.redirectAt)
	}
	if flags&entityFormer != 0 {
		b = appendFormers(b, e.formers)
	}
	if flags&entityFloor != 0 {
		b = binary.AppendVarint(b, e.floor)
	}
	if flags&entityLists != 0 {
		b = binary.AppendUvarint(b, uint64(len(e.aliases)))
		for _, id := range e.aliases {
			b = append(b, id[:]...)
		}
		b = binary.AppendUvarint(b, uint64(len(e.gone)))
		for _, a := range e.gone {
			b = a.cause.append(append(append(b, a.fragment[:]...), a.target[:]...))
		}
	}
	if flags&entityTimed != 0 {
		b = appendTimers(b, e.timers)
		b = appendEffectRefs(b, e.effects)
	}
	b = binary.AppendUvarint(b, uint64(len(e.frags)))
	for i := range e.frags {
		f := &e.frags[i]
		b = append(append(b, f.id[:]...), f.origin[:]...)
		b = binary.AppendVarint(b, f.first)
		b = p.appendSections(b, start, e, f.id, p.layout.frag, f.secs, batch)
	}
	return p.appendSections(b, start, e, e.id, p.layout.serial, e.serial, batch)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// appendSections appends the sections that are not empty, each as fold id,
// length in four bytes and state, and a zero. The record begins at start.
func (p *partition) appendSections(b []byte, start int, e *entity, owner rapport.ID, slots []*slot, secs []section, batch *state.Batch) []byte {
	for i := range secs {
		s, sec := slots[i], &secs[i]
		if s.dark || sec.st == nil && sec.len == 0 && !sec.apart {
			continue
		}
		head := len(b)
		b = binary.AppendUvarint(b, uint64(s.id))
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		switch {
		case sec.apart && !sec.dirty:
		case sec.st != nil:
			b = sec.st.AppendBinary(b)
		default:
			b = append(b, e.raw[sec.off:sec.off+sec.len]...)
		}
		n := len(b) - at - 4
		if s.cold != nil && sec.st != nil && sec.dirty {
			sec.dirty = false
			if n > coldInline || sec.apart {
				p.keyBuf = p.coldKey(p.keyBuf[:0], s, owner)
				p.aparts++
				if sec.apart = n > coldInline; sec.apart {
					p.check(batch.Set(p.keyBuf, b[at+4:]))
					p.cache.apart.put(s, owner, b[at+4:])
				} else {
					p.check(batch.Delete(p.keyBuf))
					p.cache.apart.forget(s, owner)
				}
			}
		}
		switch {
		case sec.apart:
			b = binary.LittleEndian.AppendUint32(b[:at], standsApart)
		case n > 0:
			binary.LittleEndian.PutUint32(b[at:], uint32(n))
		default:
			b = b[:head]
		}
		sec.off, sec.len = uint32(at+4-start), uint32(n)
		if sec.apart {
			if sec.off, sec.len = 0, 0; n > 0 {
				sec.stored = uint32(n)
			}
		}
	}
	return append(b, 0)
}

// decodeEntity reads the hot record in e.raw. Sections of folds that are not
// in the layout are dropped.
func (p *partition) decodeEntity(e *entity) error {
	r := reader{b: e.raw}
	version, flags := r.byte(), r.byte()
	if version != entityCodec {
		return damaged("state of entity " + e.id.String())
	}
	e.exists = true
	if flags&entityRedirect != 0 {
		e.redirect, e.redirectAt = r.id(), r.varint()
	}
	if flags&entityFormer != 0 {
		for n := r.count(18); n > 0; n-- {
			e.formers = append(e.formers, former{r.id(), r.varint(), r.varint()})
		}
	}
	if flags&entityFloor != 0 {
		e.floor = r.varint()
	}
	if flags&entityLists != 0 {
		for n := r.count(16); n > 0; n-- {
			e.aliases = append(e.aliases, r.id())
		}
		for n := r.count(38); n > 0; n-- {
			e.gone = append(e.gone, away{r.id(), r.id(), readCause(&r)})
		}
	}
	if flags&entityTimed != 0 {
		e.timers = slices.DeleteFunc(readTimers(&r, e.timers), func(t timer) bool { return p.layout.byID(t.fold) == nil })
		e.effects = readEffectRefs(&r, e.effects)
	}
	n := r.count(34)
	for range n {
		f := e.addFragment(p.layout)
		f.id, f.origin, f.first = r.id(), r.id(), r.varint()
		p.readSections(e, &r, f.secs, false)
	}
	p.readSections(e, &r, e.serial, true)
	if !r.done() {
		return damaged("state of entity " + e.id.String())
	}
	return nil
}

// addFragment appends an empty fragment, reusing what an earlier one left.
func (e *entity) addFragment(l *layout) *fragment {
	n := len(e.frags)
	e.frags = slices.Grow(e.frags, 1)[:n+1]
	f := &e.frags[n]
	if len(f.secs) != len(l.frag) {
		f.secs = make([]section, len(l.frag))
	} else {
		clear(f.secs)
	}
	f.id, f.origin, f.first = rapport.ID{}, rapport.ID{}, 0
	return f
}

func (p *partition) readSections(e *entity, r *reader, secs []section, serial bool) {
	for {
		id := r.uvarint()
		if id == 0 {
			return
		}
		n := r.take(4)
		if len(n) != 4 {
			return
		}
		size := binary.LittleEndian.Uint32(n)
		s := p.layout.byID(uint16(id))
		known := s != nil && s.perEntity == serial && !s.dark
		if size == standsApart {
			if known {
				secs[s.at].apart = true
			}
			continue
		}
		data := r.take(uint64(size))
		if r.bad {
			return
		}
		if known {
			secs[s.at].off = uint32(len(e.raw) - len(r.b) - len(data))
			secs[s.at].len = uint32(len(data))
		}
	}
}
