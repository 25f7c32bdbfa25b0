package engine

import (
	"encoding/binary"
	"log/slog"
	"maps"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// running returns the ids of the folds that are run. It is safe for anyone.
func (p *partition) running() []uint16 { return *p.activeIDs.Load() }

func (p *partition) setActive(ids []uint16) {
	slices.Sort(ids)
	p.meta.active = ids
	shared := slices.Clone(ids)
	p.activeIDs.Store(&shared)
}

// swap folds the barrier of a rebuild: from here on its folds are run.
func (p *partition) swap(n note) {
	b, number := p.eng.current.Load(), n.number
	if p.mute || number <= p.meta.build {
		return
	}
	if b == nil || !b.is(n) {
		p.logger.Info("a rebuild was given up", slog.Int("partition", int(p.id)), slog.Int64("rebuild", number))
		return
	}
	shadow := b.parts[p.id]
	if err := b.await(shadow, p.quit, math.MaxInt64); err != nil {
		p.fail(err) // stopping: the barrier is folded again at the next start
		return
	}
	if end := b.ends[p.id].get(); end != p.ctx.Offset {
		p.fail(rapport.Errorf(rapport.Internal, "rebuild %d of partition %d ended at offset %d, its barrier is %d", number, p.id, end, p.ctx.Offset))
		return
	}
	for p.moving != nil && p.err == nil { // of an earlier rebuild
		p.migrateSome(1 << 10)
	}
	if p.pause(); p.err != nil {
		return
	}
	old := p.layout
	p.dropTimers(b)
	ids := func(f Fold) uint16 { return shadow.layout.byName(f.Name()).id }
	l := newLayout(b.folds, ids, func(Fold) bool { return false })
	p.use(l)
	active := make([]uint16, 0, len(l.slots))
	for _, s := range l.slots {
		active = append(active, s.id)
	}
	p.setActive(active)
	p.meta.build, p.meta.migrating = number, number
	p.dropOld(old)
	if old.indexed != nil && (l.indexed == nil || l.indexed.id != old.indexed.id) {
		p.clearListing()
	}
	p.takeTimers(shadow)
	p.startMigration(b.targets)
	if p.pause(); p.err != nil {
		return
	}
	// Durable before a move sets out with states of the new versions: whoever
	// goes back to the old ones must find that they were left.
	if p.check(p.store.Flush()); p.err != nil {
		return
	}
	p.timers = timerQueue{horizon: &timerKey{}}
	p.loadTimers()
	p.built.set(number)
}

// dropOld removes the spans of the versions that were replaced.
func (p *partition) dropOld(old *layout) {
	for _, s := range old.slots {
		if p.layout.byID(s.id) != nil {
			continue
		}
		p.check(p.clearFold(p.open.batch, s.id))
	}
}

// dropTimers removes the timer index of the folds that are replaced.
func (p *partition) dropTimers(b *rebuild) {
	p.scan(spanTimer, func(key, _ []byte) {
		if k, ok := parseTimerKey(key); ok && b.makes(k.fold) {
			p.check(p.open.batch.Delete(p.timerKey(nil, k)))
		}
	})
}

// takeTimers copies the timer index of the rebuilt folds. The timers
// themselves come with their entities.
func (p *partition) takeTimers(shadow *partition) {
	shadow.scan(spanTimer, func(key, _ []byte) {
		k, ok := parseTimerKey(key)
		if s := shadow.layout.byName(k.fold); ok && s != nil && s.building {
			p.check(p.open.batch.Set(p.timerKey(nil, k), nil))
		}
	})
	if shadow.err != nil {
		p.fail(shadow.err)
	}
}

// migration takes the states of rebuilt folds from where they were built, each
// when its entity is loaded next, and all of them in the end.
type migration struct {
	shadow *partition // to read with: its keys and its layout
	slots  []*slot    // of the layout in use
}

func (p *partition) startMigration(targets []Fold) {
	m := &migration{}
	var folds []Fold
	for _, f := range targets {
		if s := p.layout.find(f.Name(), f.Version()); s != nil {
			m.slots = append(m.slots, s)
			folds = append(folds, f)
		}
	}
	l := newLayout(folds, func(f Fold) uint16 { return p.layout.byName(f.Name()).id }, func(Fold) bool { return false })
	m.shadow = &partition{id: p.id, count: p.count, prefix: rebuildPrefix(p.meta.migrating), eng: p.eng, store: p.store, logger: p.logger}
	m.shadow.use(l)
	p.moving = m
}

// migrate gives an entity just loaded its rebuilt states.
func (p *partition) migrate(e *entity) {
	sh := p.moving.shadow
	key := sh.entityKey(nil, e.id)
	from := sh.newEntity(e.id)
	var found bool
	var err error
	if from.raw, found, err = p.store.Get(key, from.raw[:0]); err != nil {
		p.fail(err)
		return
	}
	if !found || p.open.migrated[e.id] || p.sealed != nil && p.sealed.migrated[e.id] {
		return
	}
	if err := sh.decodeEntity(from); err != nil {
		p.fail(err)
		return
	}
	take := func(at, src int, secs, have []section) {
		secs[at] = section{apart: have[src].apart} // what stands apart is where it is looked for already
		if sec := have[src]; sec.len > 0 {
			secs[at].off, secs[at].len = uint32(len(e.raw)), sec.len
			e.raw = append(e.raw, from.raw[sec.off:sec.off+sec.len]...)
		}
	}
	for _, s := range p.moving.slots {
		src := sh.layout.byID(s.id)
		if s.perEntity {
			take(s.at, src.at, e.serial, from.serial)
			continue
		}
		for i := range from.frags {
			if at, ok := e.findFragment(from.frags[i].id); ok {
				take(s.at, src.at, e.frags[at].secs, from.frags[i].secs)
			}
		}
	}
	for _, t := range from.timers {
		if at, ok := findTimer(e.timers, t.fold, t.name); !ok {
			e.timers = slices.Insert(e.timers, at, t)
		}
	}
	p.mark()
	p.touch(e)
	p.open.migrated[e.id] = true
	p.check(p.open.batch.Delete(key))
	sh.recycle(from)
}

// migrateSome takes over up to n entities.
func (p *partition) migrateSome(n int) {
	prefix := p.moving.shadow.key(nil, spanEntity)
	var ids []rapport.ID
	p.scanSome(prefix, n, func(key []byte) {
		if id := rapport.ID(key); !p.open.migrated[id] && (p.sealed == nil || !p.sealed.migrated[id]) {
			ids = append(ids, id)
		}
	})
	for _, id := range ids {
		if e := p.load(id); !p.open.migrated[id] && p.err == nil {
			p.migrate(e) // it was in memory, or is there no more
			if !p.open.migrated[id] {
				p.fail(rapport.Errorf(rapport.Internal, "rebuilt state of entity %s cannot be taken over", id))
			}
		}
		if p.cache.full(p.limits) {
			p.shrink()
		}
	}
	if len(ids) > 0 && !p.open.full(p.limits) || p.err != nil {
		return
	}
	p.mark()
	if p.drain(); len(ids) == 0 && p.err == nil {
		p.finishMigration()
	}
}

// scanSome calls fn with up to n keys under prefix.
func (p *partition) scanSome(prefix []byte, n int, fn func(key []byte)) {
	it, err := p.store.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		p.fail(err)
		return
	}
	for ok := it.First(); ok && n > 0; ok = it.Next() {
		fn(it.Key()[len(prefix):])
		n--
	}
	p.check(it.Close())
}

// finishMigration ends a migration if nothing is left.
func (p *partition) finishMigration() {
	left := false
	p.scanSome(p.moving.shadow.key(nil, spanEntity), 1, func([]byte) { left = true })
	if left {
		return
	}
	p.moving, p.meta.migrating = nil, 0
	p.mark()
	p.migrated.set(p.meta.build)
}

// A move in the log carries states in the versions the folds had when it was
// written. Whoever folds the log with other versions - a rebuild, or an engine
// whose state is made anew - lays down what each move would carry, under the
// record that caused it, and takes it up when the move is met in the log of the
// target.

// stash lays a move down.
func (p *partition) stash(d *derived) {
	switch d.kind {
	case KindRows:
		p.luggage = append(p.luggage, d.data)
	case KindMove:
		v := binary.AppendUvarint(nil, uint64(len(p.luggage)))
		for _, rows := range p.luggage {
			v = appendBytes(v, rows)
		}
		v = append(v, d.data...)
		p.luggage = nil
		// At once, not with the commit: the target may be ahead of it.
		b := p.store.Batch()
		p.check(b.Set(stashKey(p.stashPrefix(), p.id, p.ctx.Offset, d), v))
		p.check(b.Commit())
	}
}

func stashKey(prefix []byte, source int32, offset int64, d *derived) []byte {
	b := append(slices.Clone(prefix), spanStash)
	b = binary.BigEndian.AppendUint16(b, uint16(source))
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	b = append(b, d.target[:]...)
	what, owner := moveOwner(d.data)
	return append(append(b, what), owner[:]...)
}

// moveOwner returns what a move moves: a fragment, or the tail of an entity.
func moveOwner(data []byte) (what byte, owner rapport.ID) {
	r := reader{b: data}
	what = r.byte()
	readCause(&r)
	return what, r.id()
}

func (p *partition) stashPrefix() []byte {
	if p.mute {
		return p.prefix
	}
	return rebuildPrefix(0)
}

// unstash returns what a move carries: what was laid down for it, if it set out
// while states were made anew; else what the record says.
func (p *partition) unstash(r *eventlog.Record, d *derived) []byte {
	from, prefix := d.origin.partition, rebuildPrefix(0)
	source := p.eng.parts[from]
	made := func(string) bool { return true }
	switch b := p.eng.current.Load(); {
	case p.rebuild != nil:
		prefix, source = p.prefix, p.rebuild.parts[from]
	case d.origin.offset < source.scratch:
	case b != nil && b.number == p.meta.build: // it may have set out before its source had switched
		prefix, source, made = rebuildPrefix(b.number), b.parts[from], b.makes
	default:
		return d.data
	}
	wait := source.pos.waitOr
	if source.rebuild != nil && p.rebuild == nil {
		wait = func(quit <-chan struct{}, at int64) error { return source.rebuild.await(source, quit, at) }
	}
	if err := wait(p.quit, d.origin.offset+1); err != nil {
		p.fail(err)
		return d.data
	}
	v, found, err := p.store.Get(stashKey(prefix, from, d.origin.offset, d), nil)
	if err != nil {
		p.fail(err)
	}
	if !found {
		return d.data // of before the log begins, or of after the switch
	}
	rd := reader{b: v}
	for n := rd.count(1); n > 0; n-- {
		body := rd.bytes()
		of, fold, _ := rowsHead(d.origin, body)
		if made(fold) && !p.carried[of] {
			p.arriveRows(r, d.target, body, d.at)
		}
	}
	_, owner := moveOwner(d.data)
	maps.DeleteFunc(p.carried, func(of rowsOf, _ bool) bool {
		return of.source == from && of.offset == d.origin.offset && of.owner == owner
	})
	out, ok := blend(d.data, rd.b, made)
	if rd.bad || !ok {
		p.fail(damaged("state on its way between partitions"))
	}
	return out
}

// rowsOf names the rows of one fold and owner that one record moved.
type rowsOf struct {
	source int32
	offset int64
	owner  rapport.ID
	fold   string
}

func rowsHead(o origin, body []byte) (of rowsOf, fold string, version uint32) {
	r := reader{b: body}
	of = rowsOf{source: o.partition, offset: o.offset, owner: r.id(), fold: r.text()}
	return of, of.fold, uint32(r.uvarint())
}

// noteRows remembers that rows came by the log, so that those laid down for
// the move that follows are not taken as well.
func (p *partition) noteRows(d *derived) {
	if d.origin.offset >= p.eng.parts[d.origin.partition].scratch {
		return
	}
	if of, fold, version := rowsHead(d.origin, d.data); p.layout.find(fold, version) != nil {
		if p.carried == nil {
			p.carried = map[rowsOf]bool{}
		}
		p.carried[of] = true
	}
}

// blend returns move a with the states and timers of the folds for which of
// returns true taken from move b.
func blend(a, b []byte, of func(fold string) bool) ([]byte, bool) {
	pa, pb := parseMove(a), parseMove(b)
	if pa.bad || pb.bad {
		return a, false
	}
	out := slices.Clone(pa.head)
	for _, part := range [...]struct {
		move moveParts
		want bool
	}{{pa, false}, {pb, true}} {
		for _, s := range part.move.states {
			if of(s.fold) == part.want {
				out = append(out, s.data...)
			}
		}
	}
	out = append(out, 0)
	if pa.tail == nil {
		return out, true
	}
	var timers []moveItem
	for _, t := range pa.timers {
		if !of(t.fold) {
			timers = append(timers, t)
		}
	}
	for _, t := range pb.timers {
		if of(t.fold) {
			timers = append(timers, t)
		}
	}
	out = binary.AppendUvarint(out, uint64(len(timers)))
	for _, t := range timers {
		out = append(out, t.data...)
	}
	return append(out, pa.tail...), true
}

// moveParts is a move record taken apart.
type moveParts struct {
	head   []byte
	states []moveItem
	timers []moveItem
	tail   []byte // the rest of a tail; nil for a fragment
	bad    bool
}

type moveItem struct {
	fold string
	data []byte
}

func parseMove(b []byte) (m moveParts) {
	r := reader{b: b}
	since := func(rest int) []byte { return b[len(b)-rest : len(b)-len(r.b)] }
	what := r.byte()
	readCause(&r)
	r.id()
	if what == moveFragment {
		r.id()
		r.varint()
	} else {
		for n := r.count(16); n > 0; n-- {
			r.id()
		}
	}
	m.head = b[:len(b)-len(r.b)]
	for !r.bad {
		rest := len(r.b)
		name := r.text()
		if name == "" {
			break
		}
		r.uvarint()
		if n := r.take(4); len(n) == 4 {
			r.take(uint64(binary.LittleEndian.Uint32(n)))
		}
		m.states = append(m.states, moveItem{name, since(rest)})
	}
	if what != moveFragment {
		for n := r.count(3); n > 0; n-- {
			rest := len(r.b)
			name := r.text()
			r.varint()
			r.text()
			m.timers = append(m.timers, moveItem{name, since(rest)})
		}
		m.tail = append([]byte{}, r.b...)
		r.b = nil
	}
	m.bad = !r.done()
	return m
}
