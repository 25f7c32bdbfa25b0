package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine/dedup"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// partition is one partition of the events topic and everything folded from
// it. Its fields belong to the owner goroutine unless said otherwise.
type partition struct {
	id     int32
	count  int // partitions of the topic
	prefix []byte
	eng    *Engine
	store  *state.Store
	logger *slog.Logger
	limits partitionLimits
	// mute is set while rebuilding: nothing leaves the partition.
	mute    bool
	rebuild *rebuild        // while rebuilding: what this is part of
	luggage [][]byte        // while rebuilding: rows that go with the next move
	carried map[rowsOf]bool // rows that came ahead of their move in the version they are needed in
	moving  *migration      // after a rebuild: entities are taken from it
	frozen  *frozen         // of a reader: the moment it reads
	quit    <-chan struct{}
	scratch int64 // meta.scratch, for others to read

	layout *layout
	config *Config
	cache  *cache
	zeros  []State
	dedup  *dedup.Set // nil: every event is new

	listing   listing
	regrouped []*entity // whose fragments the record being folded changed

	meta meta
	open *commit
	// sealed is the commit on its way to the store, or nil; spare one that has
	// arrived, for its memory.
	sealed *commit
	spare  *commit
	// wanted is the position somebody waits to see stored, storedMark the mark
	// of the deduplication memory in the last commit stored.
	wanted     int64
	storedMark uint64
	known      *known // the entities in the store; nil until learned
	added      *known // those written since the start, while known is nil
	timers     timerQueue
	err        error // first failure; the owner stops at it

	// The record being folded.
	ctx  Context
	ent  *entity
	slot *slot
	n    uint32 // consequences of this record so far
	hops uint8
	// elsewhere is whom to ask in another partition, after follow said so.
	elsewhere   rapport.ID
	elsewhereAt int64
	erasedAt    int64
	follows     int
	pcg         *rand.PCG
	rng         *rand.Rand
	draws       uint64
	event       rapport.Event

	keyBuf, valBuf, coldBuf []byte
	hits, misses            uint64
	aparts                  uint64 // cold states written under keys of their own so far

	// Shared with other goroutines.
	pos       *gate // every record below it is folded
	stored    *gate // the state after every record below it is in the store
	built     *gate // number of the last rebuild switched to
	migrated  *gate // number of the last rebuild taken over completely
	activeIDs atomic.Pointer[[]uint16]
	out       *outbound
	batches   chan []eventlog.Record // capacity 1: the next is read while one is folded
	emptied   chan []eventlog.Record // capacity 2: the slices batches travel in
	reqs      chan *request          // capacity 256: requests queue while a record is folded
	seals     chan *commit           // capacity 1: one commit is on its way at a time
	applied   chan error             // capacity 1: answers a commit
	stopped   chan struct{}
	due       atomic.Int64 // time of the next timer, or MaxInt64
	stats     partitionStats
}

type partitionLimits struct {
	cacheEntities  int
	cacheBytes     int
	warmBytes      int
	apartBytes     int
	commitEntities int
	commitBytes    int
	commitAge      time.Duration
}

// encoding reports whether a commit on its way is not wholly encoded yet.
func (p *partition) encoding() bool { return p.err == nil && p.sealed != nil && !p.sealed.sent }

func (p *partition) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// run owns the partition until ctx ends or something breaks.
func (p *partition) run(ctx context.Context) error {
	defer close(p.stopped)
	defer p.pos.close()
	defer p.stored.close()
	defer close(p.seals)
	p.quit = ctx.Done()
	timer := time.NewTimer(p.limits.commitAge)
	defer timer.Stop()
	for p.err == nil {
		var idle <-chan time.Time
		if p.moving != nil {
			idle = time.After(time.Millisecond)
		}
		if len(p.batches) == 0 && len(p.reqs) == 0 {
			p.encodeSome(32)
		}
		if p.encoding() {
			select {
			case batch := <-p.batches:
				p.fold(batch)
			case r := <-p.reqs:
				p.answer(r)
			case <-ctx.Done():
				p.drain()
				return p.err
			default:
			}
			continue
		}
		select {
		case <-idle:
			p.migrateSome(256)
		case batch := <-p.batches:
			p.fold(batch)
		case r := <-p.reqs:
			p.answer(r)
		case err := <-p.applied:
			p.settle(err)
		case <-timer.C:
			if p.sealed == nil && !p.open.empty() && time.Since(p.open.since) >= p.limits.commitAge {
				p.seal()
			}
			timer.Reset(p.limits.commitAge / 4)
		case <-ctx.Done():
			p.drain()
			return p.err
		}
	}
	if ctx.Err() != nil && rapport.KindOf(p.err) == rapport.Unavailable {
		return nil // it waited for something; the record is folded again at the next start
	}
	return p.err
}

// fold folds a batch of records, and answers requests between them.
func (p *partition) fold(batch []eventlog.Record) {
	for i := range batch {
		if p.record(&batch[i]); p.err != nil {
			break
		}
		if len(p.reqs) > 0 {
			p.serve()
		}
	}
	clear(batch)
	p.emptied <- batch[:0]
	p.publish()
	if p.moving != nil {
		p.migrateSome(64)
	}
}

// record folds one record and what it causes.
func (p *partition) record(r *eventlog.Record) {
	switch {
	case r.Offset < p.meta.pos:
		return // a log may deliver a record again
	case r.Offset > p.meta.pos:
		p.fail(rapport.Errorf(rapport.Internal, "event log partition %d delivers offset %d after %d", p.id, r.Offset, p.meta.pos-1))
		return
	}
	if p.open.since.IsZero() {
		p.open.since = time.Now()
	}
	p.ctx.Partition, p.ctx.Offset = p.id, r.Offset
	p.n, p.hops, p.follows, p.luggage = p.meta.n, 0, 0, nil
	now := max(p.meta.time, r.Time)
	p.fireTimers(now)
	p.meta.time, p.ctx.Time, p.ctx.Accepted = now, now, p.meta.config
	p.apply(r)
	p.regroupAll()
	p.ent, p.slot = nil, nil
	if p.err != nil {
		return
	}
	p.meta.pos, p.meta.n = r.Offset+1, 0
	p.pos.set(p.meta.pos)
	if p.cache.full(p.limits) {
		p.shrink()
	}
	if p.open.full(p.limits) {
		if p.sealed != nil && p.open.overfull(p.limits) {
			p.advance()
		}
		if p.sealed == nil && p.err == nil {
			p.seal()
		}
	}
	p.encodeSome(encodeEach)
}

// encodeEach is how many entities of a commit on its way are encoded with each
// record. A record changes one or two, so two commits never overlap.
const encodeEach = 4

func (p *partition) apply(r *eventlog.Record) {
	switch r.Kind {
	case 0: // erased from the log after it was written; what it said is gone
	case KindEvent:
		if data, ok := p.fresh(r, true); ok {
			p.decoded(r, data, KindEvent, rapport.ID{}, 0)
		}
	case KindDerived:
		p.applyDerived(r)
	case KindMerge, KindSplit, KindRevive, KindErase, KindBarrier, KindOutbox:
		if data, ok := p.fresh(r, false); ok {
			p.applyFact(r, r.Kind, data)
		}
	case KindTick:
	default:
		p.fail(rapport.WithHint(rapport.Errorf(rapport.Internal, "event log partition %d offset %d: record kind %d is not known to this version", p.id, r.Offset, r.Kind),
			"the log was written by a newer version; start that one"))
	}
}

// fresh returns a record without its fingerprint, which stands first or last.
// ok is false if it was seen before.
func (p *partition) fresh(r *eventlog.Record, first bool) ([]byte, bool) {
	n := len(r.Data) - 16
	if n < 0 {
		p.fail(p.damaged(r))
		return nil, false
	}
	fp, data := r.Data[n:], r.Data[:n]
	if first {
		fp, data = r.Data[:16], r.Data[16:]
	}
	if p.dedup != nil && p.dedup.Seen([16]byte(fp), p.meta.time) {
		p.meta.duplicates++
		p.drop()
		return nil, false
	}
	return data, true
}

func (p *partition) applyFact(r *eventlog.Record, kind uint8, data []byte) {
	switch kind {
	case KindMerge:
		p.merge(r, data)
	case KindSplit:
		p.split(r, data)
	case KindRevive:
		p.revive(r, data)
	case KindErase:
		p.erase(r, data)
	case KindBarrier:
		p.barrier(r, data)
	case KindOutbox:
		p.setOutbox(r, data)
	default:
		p.fail(p.damaged(r))
	}
}

func (p *partition) applyDerived(r *eventlog.Record) {
	var d derived
	if err := d.decode(r.Data); err != nil || int(d.origin.partition) >= len(p.meta.marks) {
		p.fail(p.damaged(r))
		return
	}
	// What comes from a partition that is further on brings its configuration
	// along, so that the partitions' barriers are one consistent cut.
	if Later(d.config, p.meta.config) {
		p.adopt(d.config)
	}
	if !p.meta.marks[d.origin.partition].pass(d.origin) {
		p.drop()
		return
	}
	p.hops, p.ctx.Accepted = d.hops, d.config
	switch d.kind {
	case KindEvent, KindEmitted:
		p.decoded(r, d.data, d.kind, d.target, d.at)
	case KindMove:
		p.arrive(r, d.target, p.unstash(r, &d), d.at)
	case KindRedirect:
		p.redirect(r, d.target, d.data)
	case KindRows:
		if p.mute {
			return // they come with the move
		}
		p.noteRows(&d)
		p.arriveRows(r, d.target, d.data, d.at)
	default:
		p.applyFact(r, d.kind, d.data)
	}
}

func (p *partition) damaged(r *eventlog.Record) error {
	return rapport.WithHint(rapport.Errorf(rapport.Internal, "event log partition %d offset %d: record of kind %d is damaged", p.id, r.Offset, r.Kind),
		"run rapport doctor; restore the log from a backup or another node")
}

func (p *partition) barrier(r *eventlog.Record, data []byte) {
	rd := reader{b: data}
	switch kind := rd.byte(); kind {
	case barrierConfig:
		if version := rd.varint(); !rd.bad && Later(version, p.meta.config) {
			p.adopt(version)
		}
	case barrierFolds:
		if n := rd.rebuildNote(); !rd.bad {
			p.swap(n)
		}
	default:
		rd.bad = true
	}
	if rd.bad {
		p.fail(p.damaged(r))
	}
}

func (p *partition) adopt(version int64) {
	if version == 0 {
		return
	}
	c, err := p.eng.configs(version)
	if err != nil {
		p.fail(rapport.Errorf(rapport.KindOf(err), "adopt configuration version %d: %w", version, err))
		return
	}
	p.meta.config, p.config, p.ctx.Config = version, c, c
	p.ctx.Accepted = version
}

// fetch reads the log for the owner until ctx ends.
func (p *partition) fetch(ctx context.Context) error {
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		from := p.pos.get()
		err := p.tail(ctx, from)
		if ctx.Err() != nil {
			return nil
		}
		if rapport.KindOf(err) != rapport.Unavailable {
			return err
		}
		if p.pos.get() > from {
			pause = time.Millisecond
		}
		// The partition may have been taken away for a moment.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *partition) tail(ctx context.Context, from int64) error {
	r, err := p.eng.log.Reader(eventlog.Events, p.id, from)
	if err != nil {
		if rapport.KindOf(err) == rapport.NotFound {
			return rapport.WithHint(rapport.Errorf(rapport.Internal, "event log partition %d no longer holds offset %d: %w", p.id, from, err),
				"state and log do not belong together; restore both from the same backup")
		}
		return err
	}
	defer r.Close()
	for {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if b := p.eng.current.Load(); b != nil {
			if b.pace(ctx, p.id, records[0].Offset) != nil && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		select {
		case batch := <-p.emptied:
			select {
			case p.batches <- append(batch, records...):
			case <-p.stopped:
				return nil
			}
		case <-p.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// request is a call on the owner goroutine.
type request struct {
	fn    func() error
	claim atomic.Int32 // 0 waiting, 1 taken by the owner, 2 given up
	done  chan error
}

// call runs fn on the owner goroutine between records.
func (p *partition) call(ctx context.Context, fn func() error) error {
	r := &request{fn: fn, done: make(chan error, 1)}
	select {
	case p.reqs <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.stopped:
		return errStopped()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.claim.CompareAndSwap(0, 2) {
			return ctx.Err()
		}
		return <-r.done
	case <-p.stopped:
		if r.claim.CompareAndSwap(0, 2) {
			return errStopped()
		}
		return <-r.done
	}
}

func (p *partition) answer(r *request) {
	if r.claim.CompareAndSwap(0, 1) {
		err := r.fn()
		if p.cache.full(p.limits) {
			p.shrink()
		}
		p.publish()
		r.done <- err
	}
}

// serve answers the requests that are waiting now.
func (p *partition) serve() {
	for n := len(p.reqs); n > 0; n-- {
		p.answer(<-p.reqs)
	}
}
