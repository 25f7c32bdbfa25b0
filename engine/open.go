package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine/dedup"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// Options say what an Engine works with. Zero values take the defaults named.
type Options struct {
	// Log, Store, Clock and Logger are required.
	Log    eventlog.Log
	Store  *state.Store
	Clock  rapport.Clock
	Logger *slog.Logger
	// Folds in the order in which they see an event.
	Folds []Fold
	// Configs returns the configuration of a number (see [Number]) named by a
	// barrier. It may wait until it is known. Nil: there is none.
	Configs func(number int64) (*Config, error)
	// DedupDir is the folder of the deduplication memory. Empty: no
	// deduplication, every event counts.
	DedupDir string
	// DedupWindow and DedupMax bound the memory: how long (7 days) and how many
	// ids over all partitions (64 Mi).
	DedupWindow time.Duration
	DedupMax    int
	// Refold makes Open empty the state, so that Run folds everything again from
	// the first record of the log. A state of another build is emptied unasked.
	Refold bool
	// Partial lets state be made from a log that lacks its beginning. Without it
	// Open refuses (Conflict): what was trimmed would be forgotten.
	Partial bool
	// EraseKey keys the hashes of erased entities. Nil: one is made and kept in
	// the store, so that they cannot be guessed from ids alone.
	EraseKey []byte
	// Observer is called after each event folded while the engine is live, on the
	// owner's goroutine: it must not block, keep the event or the context, or do
	// more with that than read what it says and [Context.State].
	Observer func(c *Context, e *rapport.Event)
	// TrimFloor returns the offset of a partition below which nobody else needs
	// the log. Nil: the engine never trims.
	TrimFloor func(partition int32) int64
	Limits    Limits
}

// Limits bound memory and set the pace of commits.
type Limits struct {
	// CacheEntities and CacheBytes bound the entities in memory over all
	// partitions. Default 65536 and 256 MiB. A third of the bytes is for entities
	// at hand, the rest for the records of those used before them: these take a
	// fifth of the memory, and to make an entity of one costs a tenth of a look
	// into the store.
	CacheEntities int
	CacheBytes    int
	// CommitEntities and CommitBytes are how many changed entities make a
	// partition commit (2048, 8 MiB), CommitAge is the latest (1 s).
	CommitEntities int
	CommitBytes    int
	CommitAge      time.Duration
	// FlushEvery is how often state is made durable (30 s). It bounds what a
	// restart after a crash folds again.
	FlushEvery time.Duration
	// TickEvery is how often the engine looks for timers that are due in
	// partitions nothing happens in (1 s of the clock).
	TickEvery time.Duration
	// PaceLag is how many records may wait to be folded before Pace keeps callers
	// waiting (30000): so many are read from memory, and are folded in half a
	// second. MaxLag is how many may before Admit refuses (200000).
	PaceLag int64
	MaxLag  int64
}

func (l *Limits) defaults() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.CacheEntities, 64<<10)
	set(&l.CacheBytes, 256<<20)
	set(&l.CommitEntities, 2048)
	set(&l.CommitBytes, 8<<20)
	if l.CommitAge <= 0 {
		l.CommitAge = time.Second
	}
	if l.FlushEvery <= 0 {
		l.FlushEvery = 30 * time.Second
	}
	if l.TickEvery <= 0 {
		l.TickEvery = time.Second
	}
	if l.MaxLag <= 0 {
		l.MaxLag = 200_000
	}
	if l.PaceLag <= 0 {
		l.PaceLag = 30_000
	}
}

// Engine folds the events topic. Its methods are safe for concurrent use once
// Run was called.
type Engine struct {
	log      eventlog.Log
	store    *state.Store
	clock    rapport.Clock
	logger   *slog.Logger
	configs  func(int64) (*Config, error)
	observer func(*Context, *rapport.Event)
	floor    func(int32) int64
	partial  bool
	eraseKey []byte
	limits   Limits
	dedup    dedup.Options

	parts   []*partition
	flights *flights

	mu       sync.Mutex
	outboxes map[string]*Outbox
	registry *registry

	admitted  atomic.Int64 // since the lag was last measured
	lag       atomic.Int64
	admission admission

	folds    []Fold
	renewed  chan struct{} // closed when the folds given to Open are run
	building chan struct{} // capacity 1: held by the one rebuild at a time
	current  atomic.Pointer[rebuild]

	live  atomic.Bool
	ready chan struct{} // closed when replay is done
	done  chan struct{} // closed when Run returns
	// stopping is closed when Run begins to stop.
	stopping chan struct{}
}

// Open loads the engine's state. Nothing is folded before Run.
func Open(o Options) (*Engine, error) {
	if o.Log == nil || o.Store == nil || o.Clock == nil || o.Logger == nil {
		return nil, rapport.Errorf(rapport.Invalid, "engine needs a log, a store, a clock and a logger")
	}
	if err := checkFolds(o.Folds); err != nil {
		return nil, err
	}
	o.Limits.defaults()
	if o.Configs == nil {
		o.Configs = func(number int64) (*Config, error) {
			version, stage := VersionStage(number)
			return NewStage(version, stage, nil), nil
		}
	}
	n := o.Log.Partitions(eventlog.Events)
	g := &Engine{
		log: o.Log, store: o.Store, clock: o.Clock, logger: o.Logger, configs: o.Configs,
		observer: o.Observer, floor: o.TrimFloor, partial: o.Partial, eraseKey: o.EraseKey, limits: o.Limits,
		parts: make([]*partition, n), outboxes: map[string]*Outbox{},
		folds: o.Folds, building: make(chan struct{}, 1), renewed: make(chan struct{}),
		ready: make(chan struct{}), done: make(chan struct{}), stopping: make(chan struct{}),
	}
	g.flights = &flights{from: make([][]flight, n), folded: func(i int32) int64 { return g.parts[i].pos.get() }}
	if o.DedupDir != "" {
		if o.DedupMax <= 0 {
			o.DedupMax = 64 << 20
		}
		g.dedup = dedup.Options{Dir: o.DedupDir, Window: o.DedupWindow, Max: max(o.DedupMax/n, 1)}
	}
	if err := g.load(o); err != nil {
		return nil, errors.Join(err, g.release())
	}
	return g, nil
}

func (g *Engine) load(o Options) error {
	folds := o.Folds
	ours, err := g.readable()
	if err == nil && (o.Refold || !ours) {
		err = g.refold(o.DedupDir)
	}
	if err != nil {
		return err
	}
	if g.registry, err = loadRegistry(g.store); err != nil {
		return err
	}
	b := g.store.Batch()
	if err := g.loadEraseKey(b); err != nil {
		return err
	}
	for _, f := range folds {
		g.registry.add(f)
	}
	if err := errors.Join(g.registry.save(b), markFormat(b), b.Commit()); err != nil {
		return err
	}
	h, err := g.inherit(folds)
	if err == nil {
		err = g.whole(h, folds)
	}
	if err != nil {
		return err
	}
	for i := range g.parts {
		if g.parts[i], err = g.openPartition(int32(i), folds, h); err != nil {
			return err
		}
	}
	if len(h.text) > 0 && !h.resumes { // given up, before a partition passes its barrier
		if err := g.dropRebuild(h.last.number, strings.Join(h.text, " ")); err != nil {
			return err
		}
		h.changed = true
	}
	// Before a move sets out without the states of a fold, whoever comes back to
	// that fold must find that it was not run.
	if h.changed {
		if err := g.store.Flush(); err != nil {
			return err
		}
	}
	return g.resume(h)
}

func (g *Engine) loadEraseKey(b *state.Batch) error {
	if g.eraseKey != nil {
		return nil
	}
	key, found, err := g.store.Get(globalKey("erasekey"), nil)
	if err != nil {
		return err
	}
	if !found {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		err = b.Set(globalKey("erasekey"), key)
	}
	g.eraseKey = key
	return err
}

func (g *Engine) openPartition(id int32, folds []Fold, h *inheritance) (*partition, error) {
	ids := func(f Fold) uint16 { id, _ := g.registry.add(f); return id }
	found := h.active[id] != nil
	var active []uint16
	for _, f := range folds {
		if n := ids(f); h.runs(n, id) {
			active = append(active, n)
		}
	}
	p := g.newPartition(id, mainPrefix, newLayout(folds, ids, func(f Fold) bool { return !slices.Contains(active, ids(f)) }))
	p.meta = newMeta(len(g.parts))
	p.out = newOutbound(id, g.log, g.flights, g.logger)
	if !found {
		_, p.meta.scratch = g.log.Bounds(eventlog.Events, id)
	}
	if err := p.restore(""); err != nil {
		return p, err
	}
	p.scratch = p.meta.scratch
	p.setActive(active)
	p.built.set(p.meta.build)
	if p.meta.migrating != 0 && h.resumes {
		p.startMigration(h.targets(folds))
	} else {
		p.meta.migrating = 0
		p.migrated.set(p.meta.build)
	}
	if found {
		changed, err := p.disinherit(h.active[id])
		if err != nil {
			return p, err
		}
		h.changed = h.changed || changed
	}
	return p, p.err
}

// restore reads back what stands beside the meta record. dedupDir is the folder
// of the deduplication memory if it is not the engine's.
func (p *partition) restore(dedupDir string) error {
	b, found, err := p.store.Get(p.key(nil, spanMeta), nil)
	if err == nil && found {
		err = p.meta.decode(b)
	}
	if err == nil {
		err = p.within()
	}
	if err != nil {
		return err
	}
	if found {
		p.added = &known{}
	} else {
		p.known = &known{}
	}
	if p.adopt(p.meta.config); p.err != nil {
		return p.err
	}
	if err := p.loadListing(); err != nil {
		return err
	}
	if p.meta.items < 0 {
		p.countItems()
	}
	p.pos, p.stored = newGate(p.meta.pos), newGate(p.meta.pos)
	p.wanted = p.meta.pos
	if p.loadTimers(); p.err != nil {
		return p.err
	}
	p.publish()
	if o := p.eng.dedup; o.Dir != "" {
		if dedupDir != "" {
			o.Dir = dedupDir
		}
		o.Dir = filepath.Join(o.Dir, fmt.Sprintf("%05d", p.id))
		return p.openDedup(o)
	}
	return nil
}

func (p *partition) openDedup(o dedup.Options) (err error) {
	if p.dedup, err = dedup.Open(o); err != nil {
		return err
	}
	prefix := p.key(nil, spanDedup)
	it, err := p.store.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		key := reader{b: it.Key()[len(prefix):]}
		value := reader{b: it.Value()}
		bucket, start := key.uint64(), value.varint()
		if key.bad || value.bad {
			err = damaged("deduplication memory")
			break
		}
		err = p.dedup.Restore(bucket, start, value.b)
	}
	return errors.Join(err, it.Close())
}

// Run folds until ctx ends, then commits, makes state durable and returns nil.
// An error means that folding cannot go on: a damaged record, a log or store
// that fails.
func (g *Engine) Run(ctx context.Context) error {
	defer close(g.done)
	group, inner := errgroup.WithContext(ctx)
	// What was folded when ctx ends is committed if what it derived can still
	// be appended in a moment; else it is folded again at the next start.
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(inner, func() {
		close(g.stopping)
		time.AfterFunc(5*time.Second, cancel)
	})()
	for _, p := range g.parts {
		// The outbound works until the owner has handed over its last commit.
		outCtx, outStop := context.WithCancel(grace)
		group.Go(func() error { return p.out.run(outCtx, grace) })
		group.Go(func() error {
			defer outStop()
			p.committer(func(n int64) error { return p.out.durable.wait(grace, n) })
			return nil
		})
		group.Go(func() error { return p.fetch(inner) })
		group.Go(func() error { return p.run(inner) })
	}
	group.Go(func() error { return g.becomeReady(inner) })
	group.Go(func() error { return g.keepTime(inner) })
	group.Go(func() error { return g.keepDurable(inner) })
	group.Go(func() error { return g.measureLag(inner) })
	group.Go(func() error { return g.renew(inner) })
	err := group.Wait()
	g.building <- struct{}{} // kept: no rebuild runs any more
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, g.store.Flush(), g.release())
}

// release closes what Open opened.
func (g *Engine) release() error {
	var errs []error
	for _, p := range g.parts {
		if p != nil && p.dedup != nil {
			errs = append(errs, p.dedup.Close())
		}
	}
	return errors.Join(errs...)
}

// Ready waits until everything that was in the log when Run was called is
// folded, by the folds the engine was opened with: new versions of them are
// built from the log first, for a fold that reads as empty would forget caps
// and consent. It returns ctx.Err(), or Unavailable when the engine stops.
func (g *Engine) Ready(ctx context.Context) error {
	for _, step := range []chan struct{}{g.ready, g.renewed} {
		select {
		case <-step:
		case <-g.done:
			return errStopped()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (g *Engine) becomeReady(ctx context.Context) error {
	if err := g.reach(ctx, g.Ends()); err != nil {
		return quiet(ctx, err)
	}
	g.live.Store(true)
	close(g.ready)
	if err := g.learnKnown(ctx); err != nil {
		return err
	}
	if !slices.ContainsFunc(g.parts, func(p *partition) bool { return p.scratch > 0 }) {
		return nil
	}
	return quiet(ctx, g.settleRebuild(ctx, 0))
}

// quiet drops an error that only says that we are stopping.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// renew rebuilds folds that are not run yet: new ones, and those whose version
// changed since the last run. Until then they read as empty, and the engine is
// not ready.
func (g *Engine) renew(ctx context.Context) error {
	select {
	case g.building <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-g.building }()
	// Not dropped when ctx ends: the next start goes on with it.
	if err := g.rebuild(context.WithoutCancel(ctx), g.folds); err != nil {
		return quiet(ctx, err)
	}
	defer close(g.renewed)
	return nil
}

func (g *Engine) owner(id rapport.ID) (*partition, error) {
	return g.parts[id.Partition(len(g.parts))], nil
}

// outbox returns the outbox of a kind.
func (g *Engine) outbox(kind string) *Outbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.outboxes[kind]
	if o == nil {
		o = newOutbox(g, kind)
		g.outboxes[kind] = o
	}
	return o
}

// Effects returns the outbox of a kind, for its sender.
func (g *Engine) Effects(kind string) *Outbox { return g.outbox(kind) }

// keepTime appends ticks to partitions in which a timer is due and nothing
// else lets time pass.
func (g *Engine) keepTime(ctx context.Context) error {
	if err := g.Ready(ctx); err != nil {
		return quiet(ctx, err)
	}
	for {
		select {
		case <-g.clock.After(g.limits.TickEvery):
		case <-ctx.Done():
			return nil
		}
		now := rapport.Millis(g.clock.Now())
		var ticks []eventlog.Record
		for _, p := range g.parts {
			if _, next := g.log.Bounds(eventlog.Events, p.id); p.due.Load() <= now && p.pos.get() >= next {
				ticks = append(ticks, tickRecord(p.id, now))
			}
		}
		if len(ticks) == 0 {
			continue
		}
		if err := g.log.Submit(ticks).Wait(ctx); err != nil && ctx.Err() == nil {
			g.logger.LogAttrs(ctx, slog.LevelWarn, "timers wait for the event log", slog.Any("error", err))
		}
	}
}

// keepDurable flushes the store now and then and lets the log be trimmed.
func (g *Engine) keepDurable(ctx context.Context) error {
	for {
		select {
		case <-time.After(g.limits.FlushEvery):
		case <-ctx.Done():
			return nil
		}
		if err := g.Flush(ctx); err != nil {
			return quiet(ctx, err)
		}
	}
}

// Flush commits what is folded, makes it durable and lets the log be trimmed
// below it, as far as TrimFloor allows.
func (g *Engine) Flush(ctx context.Context) error {
	type place struct {
		pos  int64
		mark uint64
	}
	at := make([]place, len(g.parts))
	for i, p := range g.parts {
		if err := p.call(ctx, func() error { at[i].pos = p.wantStored(); return p.err }); err != nil {
			return err
		}
	}
	for i, p := range g.parts {
		if err := p.stored.wait(ctx, at[i].pos); err != nil {
			return err
		}
		if err := p.call(ctx, func() error { at[i].pos, at[i].mark = p.stored.get(), p.storedMark; return p.err }); err != nil {
			return err
		}
	}
	if err := g.store.Flush(); err != nil {
		return err
	}
	for i, p := range g.parts {
		if err := p.call(ctx, func() error { return p.durable(at[i].mark) }); err != nil {
			return err
		}
	}
	return g.trim(func(partition int32) int64 { return at[partition].pos })
}
