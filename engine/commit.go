package engine

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// commit is what a run of records changed: it goes to the store as one batch
// together with the position after the last of them.
type commit struct {
	batch   *state.Batch        // timers, effects, cold states and chunks as they come
	ents    []*entity           // changed ones; nil where one left memory
	puts    []put               // records of entities, as they were encoded
	entries []entry             // of the index
	stubs   map[rapport.ID]span // those of entities that are not in memory
	changed int                 // entities
	next    int                 // sealed: those before it are encoded
	sent    bool                // the committer has it
	rows    []rowOp
	arena   []byte // keys and values of rows, records of entities
	effects map[string]*effectRow
	floors  map[string]int64
	dropped []int64 // offsets of events that do not count
	// migrated are the entities taken over from a rebuild.
	migrated map[rapport.ID]bool
	bytes    int
	since    time.Time // of the first change
	out      int64     // derived records that must be durable first
	pos      int64     // after it
	mark     uint64    // of the deduplication memory
}

// rowOp is a row written, or rows deleted, and not yet in the store.
type rowOp struct {
	slot   *slot
	owner  rapport.ID
	key    span
	value  span // for a deletion: the upper bound; empty is the end
	delete bool
}

// put is a record of an entity in a commit, or its end if the value is empty.
// Of two for one entity the later counts.
type put struct {
	id    rapport.ID
	value span
	seq   int
}

// span is a piece of a commit's arena.
type span struct{ off, len int }

func (c *commit) keep(b []byte) span {
	s := span{len(c.arena), len(b)}
	c.arena = append(c.arena, b...)
	return s
}

func (c *commit) get(s span) []byte { return c.arena[s.off : s.off+s.len : s.off+s.len] }

// newCommit returns an empty commit, in the memory of one that has arrived.
func (p *partition) newCommit() *commit {
	c := p.spare
	if p.spare = nil; c == nil {
		return &commit{batch: p.store.Batch(), effects: map[string]*effectRow{}, floors: map[string]int64{}, migrated: map[rapport.ID]bool{}}
	}
	clear(c.ents)
	clear(c.rows)
	clear(c.stubs)
	clear(c.effects)
	clear(c.floors)
	clear(c.migrated)
	*c = commit{
		batch: p.store.Batch(), ents: c.ents[:0], puts: c.puts[:0], entries: c.entries[:0], stubs: c.stubs, rows: c.rows[:0], arena: c.arena[:0],
		effects: c.effects, floors: c.floors, migrated: c.migrated, dropped: c.dropped[:0],
	}
	return c
}

func (c *commit) empty() bool { return c.since.IsZero() }

func (c *commit) full(l partitionLimits) bool {
	return c.changed >= l.commitEntities || c.bytes+len(c.arena) >= l.commitBytes
}

func (c *commit) overfull(l partitionLimits) bool {
	return c.changed >= 2*l.commitEntities || c.bytes+len(c.arena) >= 2*l.commitBytes
}

// touch marks an entity as changed. It was loaded for the record at hand, so
// that a commit on its way has what it was before.
func (p *partition) touch(e *entity) {
	if e.in == p.open {
		return
	}
	if e.in != nil {
		panic("engine: an entity changed that the commit before had not encoded yet")
	}
	e.in, e.at = p.open, len(p.open.ents)
	p.open.ents = append(p.open.ents, e)
	p.open.changed++
	p.open.bytes += e.size
}

// seal closes the open commit at the present position. There must be no other
// on its way. Its entities are encoded while later records are folded, a few
// with each and any of them before it changes, so that nobody waits for all.
func (p *partition) seal() {
	c := p.open
	b := c.batch
	for i := range c.rows {
		op := &c.rows[i]
		p.keyBuf = p.rowKey(p.keyBuf[:0], op.slot, op.owner, c.get(op.key))
		if op.delete {
			if p.valBuf = p.rowKey(p.valBuf[:0], op.slot, op.owner, c.get(op.value)); op.value.len == 0 {
				p.valBuf = state.PrefixEnd(p.valBuf)
			}
			p.check(b.DeleteRange(p.keyBuf, p.valBuf))
		} else {
			p.check(b.Set(p.keyBuf, c.get(op.value)))
		}
	}
	p.sealDedup(c)
	p.keyBuf = p.key(p.keyBuf[:0], spanMeta)
	p.valBuf = p.meta.append(p.valBuf[:0])
	p.check(b.Set(p.keyBuf, p.valBuf))
	if p.err != nil {
		return
	}
	c.out, c.pos = p.out.last(), p.meta.pos
	p.sealed, p.open = c, p.newCommit()
	p.stats.commits.Add(1)
	p.encodeSome(0)
}

// encodeSome encodes up to n more entities of the commit on its way, and hands
// it to the committer after the last.
func (p *partition) encodeSome(n int) {
	c := p.sealed
	if c == nil || c.sent {
		return
	}
	for ; n > 0 && c.next < len(c.ents); c.next++ {
		if e := c.ents[c.next]; e != nil && e.in == c {
			p.encode(c, e)
			n--
		}
	}
	if c.next == len(c.ents) && p.err == nil {
		p.putCounts(c.batch)
		c.sent = true
		p.seals <- c
	}
}

// encodeDue encodes an entity that the commit on its way still waits for.
func (p *partition) encodeDue(e *entity) {
	if c := p.sealed; c != nil && e.in == c {
		p.encode(c, e)
	}
}

func (p *partition) encode(c *commit, e *entity) {
	p.relist(c, e)
	if e.exists {
		record := p.putEntity(c, e)
		p.cache.resize(e, record.len+e.coldAtHand())
	} else {
		c.puts = append(c.puts, put{e.id, span{}, len(c.puts)})
	}
	e.in, e.sealed = nil, true
}

// encodeEarly encodes an entity of the open commit that is to leave memory, and
// keeps its record to be found until the commit has arrived. It reports whether
// a part of it stands apart in the commit: then the entity stays until that has
// arrived. The commit before is wholly encoded, or its index would not be right.
func (p *partition) encodeEarly(e *entity) (record []byte, apart bool) {
	c := p.open
	p.relist(c, e)
	before := p.aparts
	s := p.putEntity(c, e)
	if apart = p.aparts != before; apart {
		e.in, e.sealed = nil, true
		return nil, true
	}
	if c.stubs == nil {
		c.stubs = map[rapport.ID]span{}
	}
	c.stubs[e.id] = s
	return c.get(s), false
}

// putEntity adds the record of an entity to a commit.
func (p *partition) putEntity(c *commit, e *entity) span {
	s := span{off: len(c.arena)}
	c.arena = p.appendEntity(c.arena, e, c.batch)
	s.len = len(c.arena) - s.off
	e.raw = append(e.raw[:0], c.get(s)...)
	c.puts = append(c.puts, put{e.id, s, len(c.puts)})
	if p.known != nil {
		p.known.add(e.id)
	} else if p.added != nil {
		p.added.add(e.id)
	}
	return s
}

// putStub leaves the record of an entity that will hardly be asked for, and
// forgets the entity.
func (p *partition) putStub(e *entity) {
	e.exists = true
	if p.open.stubs == nil {
		p.open.stubs = map[rapport.ID]span{}
	}
	p.open.stubs[e.id] = p.putEntity(p.open, e)
	p.open.changed++
	p.cache.remove(e)
	p.recycle(e)
}

// stub returns the record of an entity that is not in memory and perhaps not in
// the store yet.
func (p *partition) stub(id rapport.ID) ([]byte, bool) {
	for _, c := range [...]*commit{p.open, p.sealed} {
		if c != nil {
			if s, ok := c.stubs[id]; ok {
				return c.get(s), true
			}
		}
	}
	return nil, false
}

// write moves the records of entities into the batch, in the order of keys: the
// store finds a place next to the last one much sooner than any other.
func (p *partition) write(c *commit) error {
	if err := p.writeEntries(c); err != nil {
		return err
	}
	slices.SortFunc(c.puts, func(a, b put) int { return cmp.Or(a.id.Compare(b.id), cmp.Compare(a.seq, b.seq)) })
	var key []byte
	for _, u := range c.puts {
		key = p.entityKey(key[:0], u.id)
		var err error
		if u.value.len > 0 {
			err = c.batch.Set(key, c.get(u.value))
		} else {
			err = c.batch.Delete(key)
		}
		if err != nil {
			return err
		}
	}
	return c.batch.Commit()
}

func (p *partition) check(err error) {
	if err != nil {
		p.fail(err)
	}
}

func (p *partition) sealDedup(c *commit) {
	if p.dedup == nil {
		return
	}
	p.dedup.Drain(func(bucket uint64, fingerprints []byte) {
		p.keyBuf = p.dedupKey(p.keyBuf[:0], bucket)
		p.keyBuf = binary.BigEndian.AppendUint64(p.keyBuf, uint64(p.meta.pos))
		p.valBuf = binary.AppendVarint(p.valBuf[:0], p.dedup.Start(bucket))
		p.valBuf = append(p.valBuf, fingerprints...)
		p.check(c.batch.Set(p.keyBuf, p.valBuf))
	})
	c.mark = p.dedup.Mark()
}

func (p *partition) dedupKey(b []byte, bucket uint64) []byte {
	return binary.BigEndian.AppendUint64(p.key(b, spanDedup), bucket)
}

// settle takes note that the commit on its way has arrived.
func (p *partition) settle(err error) {
	if err != nil {
		p.fail(err)
		return
	}
	c := p.sealed
	p.sealed = nil
	p.stored.set(c.pos)
	p.storedMark = c.mark
	for _, e := range c.ents {
		if e == nil {
			continue
		}
		if e.sealed = false; e.in != nil {
			continue
		}
		switch {
		case p.cache.byID[e.id] != e:
		case !e.exists:
			p.cache.remove(e)
			p.recycle(e)
		default:
			p.releaseCold(e)
		}
	}
	if cap(c.arena) <= 2*p.limits.commitBytes {
		p.spare = c
	}
	if p.open.full(p.limits) || p.wanted > c.pos {
		p.seal()
	}
}

// coldAtHand returns the bytes of the states in memory that have keys of their own.
func (e *entity) coldAtHand() (n int) {
	for i := range e.frags {
		n += coldBytes(e.frags[i].secs)
	}
	return n + coldBytes(e.serial)
}

func coldBytes(secs []section) (n int) {
	for i := range secs {
		if sec := &secs[i]; sec.apart && sec.st != nil {
			n += int(sec.stored)
		}
	}
	return n
}

// releaseCold drops stored states with keys of their own, if they are large.
func (p *partition) releaseCold(e *entity) {
	for i := range e.frags {
		p.releaseColdSections(p.layout.frag, e.frags[i].secs)
	}
	p.releaseColdSections(p.layout.serial, e.serial)
}

func (p *partition) releaseColdSections(slots []*slot, secs []section) {
	for i := range secs {
		if sec := &secs[i]; sec.apart && sec.st != nil && !sec.dirty && sec.stored > coldAtHand {
			p.cache.give(slots[i], sec.st)
			sec.st = nil
		}
	}
}

// drain writes everything folded so far to the store and waits for it.
func (p *partition) drain() {
	for p.err == nil && (p.sealed != nil || !p.open.empty()) {
		p.advance()
	}
}

// advance waits for the commit on its way, or seals the open one.
func (p *partition) advance() {
	if p.sealed == nil {
		p.seal()
		return
	}
	if p.encodeSome(math.MaxInt); p.err == nil {
		p.settle(<-p.applied)
	}
}

// wantStored asks for a commit of everything folded so far and returns its position.
// p.stored tells when it is done.
func (p *partition) wantStored() int64 {
	p.wanted = p.meta.pos
	if p.sealed == nil && !p.open.empty() {
		p.seal()
	}
	return p.wanted
}

// committer applies sealed commits once what they derived is durable.
func (p *partition) committer(wait func(int64) error) {
	for c := range p.seals {
		err := wait(c.out)
		if err == nil {
			err = p.write(c)
		}
		p.applied <- err
	}
}

// durable is called on the owner after the store was flushed, with the mark of
// a commit that is durable now.
func (p *partition) durable(mark uint64) error {
	if p.dedup == nil {
		return nil
	}
	obsolete, err := p.dedup.Durable(mark)
	slices.Sort(obsolete)
	for _, bucket := range obsolete {
		p.check(p.open.batch.DeleteRange(p.dedupKey(nil, bucket), p.dedupKey(nil, bucket+1)))
		p.mark()
	}
	return err
}

// mark notes that the open commit holds something although no record was folded.
func (p *partition) mark() {
	if p.open.since.IsZero() {
		p.open.since = time.Now()
	}
}
