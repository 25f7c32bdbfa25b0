package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// rebuild makes the states of changed folds from the log, beside the engine
// that goes on: a partition of its own for each, that runs all folds and lets
// nothing out. It stops at the barrier that names it.
type rebuild struct {
	number  int64
	mark    int64  // records in the log when it was opened
	folds   []Fold // all, in order
	targets []Fold // those that are made anew
	parts   []*partition
	stage   atomic.Int32
	urgent  atomic.Int32 // owners that wait for it
	// ends are the offsets of the barriers, MaxInt64 until they are met.
	ends []int64Gate
	// begun are the positions of who serves and of who rebuilds when this run began.
	begun []struct{ served, built int64 }
}

// Stages of a rebuild.
const (
	stageOpen      = iota
	stageDropped   // by whom asked for it
	stageAnnounced // the barriers may stand in the log
)

type int64Gate struct{ *gate }

// settledLag is how many records behind the log a rebuild is ready to be switched to.
const settledLag = 2000

// Replace switches to other versions of folds while the engine runs. Their
// states are first built from the log beside the present ones, which stay in
// use meanwhile; then every partition switches at a barrier in its own log. The
// new versions cause no effects, derived events or rewards for what they were
// built from, and all of them from the barrier on. A fold the engine does not
// have yet comes last in the order.
//
// Replace returns when all states are in place. [Stats.Rebuild] shows progress.
// When ctx ends before the switch it leaves everything as it was; when the
// engine stops, it goes on at the next start if that is given the same folds.
// Kinds: Invalid, Unavailable.
func (g *Engine) Replace(ctx context.Context, folds ...Fold) error {
	if err := g.Ready(ctx); err != nil {
		return err
	}
	select {
	case g.building <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-g.stopping:
		return errStopped()
	}
	defer func() { <-g.building }()
	g.mu.Lock()
	all := slices.Clone(g.folds)
	g.mu.Unlock()
	for _, f := range folds {
		if i := slices.IndexFunc(all, func(o Fold) bool { return o.Name() == f.Name() }); i >= 0 {
			all[i] = f
		} else {
			all = append(all, f)
		}
	}
	if err := checkFolds(all); err != nil {
		return err
	}
	return g.rebuild(ctx, all)
}

// rebuild brings every partition to the given folds.
func (g *Engine) rebuild(ctx context.Context, folds []Fold) error {
	if b := g.current.Load(); b != nil { // of the run before
		if err := g.carryOut(ctx, b); err != nil {
			return err
		}
	}
	targets := g.missing(folds)
	if len(targets) == 0 {
		return nil
	}
	if err := g.replaceable(targets, g.parts[0].running()); err != nil {
		return err
	}
	b, err := g.openRebuild(ctx, folds, targets)
	if err != nil {
		return err
	}
	g.current.Store(b)
	if err := g.carryOut(ctx, b); err != nil {
		return err
	}
	g.mu.Lock()
	g.folds = folds
	g.mu.Unlock()
	return nil
}

// carryOut builds, switches and takes over.
func (g *Engine) carryOut(ctx context.Context, b *rebuild) error {
	names := make([]string, len(b.targets))
	for i, f := range b.targets {
		names[i] = versionName(f)
	}
	g.logger.LogAttrs(ctx, slog.LevelInfo, "rebuilding folds from the log", slog.Any("folds", names))
	begin := time.Now()

	// Once the barriers are out there is no way back but through them. When the
	// engine stops, everything stays for the next start to go on with.
	point, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if b.stage.CompareAndSwap(stageOpen, stageDropped) {
			cancel()
		}
	})()
	go func() {
		select {
		case <-g.stopping:
			cancel()
		case <-point.Done():
		}
	}()
	if err := b.run(point, g); err != nil {
		select {
		case <-g.stopping:
			return errStopped()
		default:
		}
		for _, p := range b.parts {
			p.pos.close() // who serves waits for them: at the barrier, or to keep pace
		}
		if b.stage.Load() != stageAnnounced {
			g.current.Store(nil)
			err = errors.Join(err, g.dropRebuild(b.number, b.text()))
		}
		return err
	}
	for _, p := range g.parts {
		if err := p.migrated.wait(point, b.number); err != nil {
			return err
		}
	}
	// Moves that left before the barrier and arrive behind it still look here.
	if err := g.reach(point, g.Ends()); err != nil {
		return err
	}
	g.current.Store(nil)
	g.logger.LogAttrs(ctx, slog.LevelInfo, "rebuilt folds are in place", slog.Any("folds", names), slog.Duration("took", time.Since(begin)))
	return g.settleRebuild(point, b.number)
}

// settleRebuild removes what was laid down for a rebuild, once nothing that is
// durable needs it any more.
func (g *Engine) settleRebuild(ctx context.Context, number int64) error {
	if err := g.Flush(ctx); err != nil {
		return err
	}
	n, err := g.storedRebuild()
	if err != nil {
		return err
	}
	return g.dropRebuild(number, n.text)
}

// missing returns the folds that are not run everywhere.
func (g *Engine) missing(folds []Fold) (out []Fold) {
	for _, f := range folds {
		id, _ := g.registry.add(f)
		if slices.ContainsFunc(g.parts, func(p *partition) bool { return !slices.Contains(p.running(), id) }) {
			out = append(out, f)
		}
	}
	return out
}

func (b *rebuild) text() (text string) {
	for _, f := range b.targets {
		text += versionName(f) + "\n"
	}
	return text
}

// openRebuild begins a rebuild.
func (g *Engine) openRebuild(ctx context.Context, folds, targets []Fold) (*rebuild, error) {
	// What the partitions run is durable before what it came from goes.
	if err := g.Flush(ctx); err != nil {
		return nil, err
	}
	before, err := g.storedRebuild()
	if err != nil {
		return nil, err
	}
	n := note{number: max(before.number+1, rapport.Millis(g.clock.Now())/1000), text: (&rebuild{targets: targets}).text()}
	for i, p := range g.parts {
		_, next := g.log.Bounds(eventlog.Events, int32(i))
		n.number, n.mark = max(n.number, p.built.get()+1), n.mark+next
	}
	if err := errors.Join(g.dropRebuild(before.number, before.text), g.clearTargets(n.text)); err != nil {
		return nil, err
	}
	batch := g.store.Batch()
	if err := errors.Join(g.registry.save(batch), n.set(batch), batch.Commit(), g.store.Flush()); err != nil {
		return nil, err
	}
	return g.makeRebuild(n, folds, targets)
}

// makeRebuild returns a rebuild at the place it has reached.
func (g *Engine) makeRebuild(n note, folds, targets []Fold) (*rebuild, error) {
	b := &rebuild{number: n.number, mark: n.mark, folds: folds, targets: targets}
	ids := func(f Fold) uint16 { id, _ := g.registry.add(f); return id }
	l := newLayout(folds, ids, func(Fold) bool { return false })
	for _, s := range l.slots {
		s.building = b.makes(s.name)
	}
	for i := range g.parts {
		b.ends = append(b.ends, int64Gate{newGate(math.MaxInt64)})
		p, err := g.openShadow(b, int32(i), l)
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		b.parts = append(b.parts, p)
		b.begun = append(b.begun, struct{ served, built int64 }{g.parts[i].pos.get(), p.pos.get()})
	}
	return b, nil
}

// note is what the store says of the last rebuild begun. text names the folds it
// is of, and is empty once it is done with. Its barriers carry the number and
// the mark: a state that was put back to an earlier one may give a number once
// more, but the log has grown since by the barriers that had it.
type note struct {
	number, mark int64
	text         string
}

func (n note) set(b *state.Batch) error {
	return b.Set(globalKey("rebuild"), appendBytes(n.append(nil), n.text))
}

func (n note) append(b []byte) []byte {
	return binary.AppendVarint(binary.AppendVarint(b, n.number), n.mark)
}

func (r *reader) rebuildNote() note { return note{number: r.varint(), mark: r.varint()} }

// storedRebuild returns the note of the last rebuild begun.
func (g *Engine) storedRebuild() (note, error) {
	v, found, err := g.store.Get(globalKey("rebuild"), nil)
	if err != nil || !found {
		return note{}, err
	}
	r := reader{b: v}
	n := r.rebuildNote()
	if n.text = r.text(); !r.done() {
		return note{}, damaged("note of a rebuild")
	}
	return n, nil
}

func (b *rebuild) is(n note) bool { return b.number == n.number && b.mark == n.mark }

func rebuildPrefix(number int64) []byte {
	return binary.BigEndian.AppendUint32([]byte{rebuildSpan}, uint32(number))
}

// openShadow returns a partition that folds for a rebuild.
func (g *Engine) openShadow(b *rebuild, id int32, l *layout) (*partition, error) {
	n := len(g.parts)
	p := g.newPartition(id, rebuildPrefix(b.number), l)
	p.mute, p.rebuild = true, b
	m := &p.limits
	m.cacheEntities, m.cacheBytes, m.warmBytes = max(m.cacheEntities/4, 16), max(m.cacheBytes/4, 1<<15), max(m.warmBytes/4, 1<<15)
	m.apartBytes = max(m.apartBytes/4, 1<<15)
	p.cache.warm.limit, p.cache.apart.ring.limit = m.warmBytes, m.apartBytes
	p.meta = newMeta(n)
	p.meta.pos, _ = g.log.Bounds(eventlog.Events, id)
	if p.meta.pos > 0 {
		g.logger.Warn("a fold is made from part of its history: the log was trimmed", slog.Int("partition", int(id)), slog.Int64("from", p.meta.pos))
	}
	p.out = newOutbound(id, g.log, &flights{from: make([][]flight, n), folded: func(int32) int64 { return 0 }}, g.logger)
	return p, p.restore(filepath.Join(g.dedup.Dir, fmt.Sprintf("rebuild-%d", b.number)))
}

func (b *rebuild) makes(fold string) bool {
	return slices.ContainsFunc(b.targets, func(f Fold) bool { return f.Name() == fold })
}

func (b *rebuild) close() error {
	var errs []error
	for _, p := range b.parts {
		if p.dedup != nil {
			errs = append(errs, p.dedup.Close())
		}
	}
	return errors.Join(errs...)
}

// lag returns the records that are still to be folded, and all.
func (b *rebuild) lag(g *Engine) (left, total int64) {
	for i, p := range b.parts {
		first, next := g.log.Bounds(eventlog.Events, int32(i))
		total += next - first
		left += max(next-p.pos.get(), 0)
	}
	return left, total
}

// run folds everything up to the barriers, which it appends when it has caught up.
func (b *rebuild) run(ctx context.Context, g *Engine) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range b.parts {
		p.quit = ctx.Done()
		group.Go(func() error {
			p.committer(func(int64) error { return nil })
			return nil
		})
		group.Go(func() error { return p.runShadow(ctx) })
	}
	group.Go(func() error {
		for {
			if left, _ := b.lag(g); left <= settledLag+g.lag.Load() { // about as far as who serves
				return b.announce(ctx, g)
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return errors.Join(group.Wait(), b.close())
}

// announce appends the barriers.
func (b *rebuild) announce(ctx context.Context, g *Engine) error {
	if !b.stage.CompareAndSwap(stageOpen, stageAnnounced) {
		return context.Canceled
	}
	records := make([]eventlog.Record, len(g.parts))
	for i := range records {
		records[i] = fact(i, KindBarrier, note{number: b.number, mark: b.mark}.append([]byte{barrierFolds}))
	}
	for {
		err := g.log.Submit(records).Wait(ctx)
		if err == nil || rapport.KindOf(err) != rapport.Unavailable {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// runShadow folds the log up to the barrier.
func (p *partition) runShadow(ctx context.Context) error {
	defer close(p.seals)
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := p.readShadow(ctx)
		if err == nil || rapport.KindOf(err) != rapport.Unavailable || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *partition) readShadow(ctx context.Context) error {
	r, err := p.eng.log.Reader(eventlog.Events, p.id, p.meta.pos)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			if p.ends(&records[i]) {
				p.mark()
				if p.drain(); p.err != nil {
					return p.err
				}
				p.rebuild.ends[p.id].set(records[i].Offset)
				p.pos.set(math.MaxInt64)
				return nil
			}
			if p.record(&records[i]); p.err != nil {
				return p.err
			}
		}
		// The engine that serves comes first, unless it waits for us; but on a day
		// on which it is never done we come in between.
		for n := 0; n < 10 && p.rebuild.urgent.Load() == 0 && p.eng.lag.Load() > settledLag; n++ {
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// ends reports whether r is the barrier of this rebuild.
func (p *partition) ends(r *eventlog.Record) bool {
	if r.Kind != KindBarrier || r.Offset < p.meta.pos || len(r.Data) == 0 || r.Data[0] != barrierFolds {
		return false
	}
	rd := reader{b: r.Data[1:]}
	return p.rebuild.is(rd.rebuildNote())
}

// dropRebuild removes what a rebuild of these folds left in the store. Number 0
// is the making of all state from the log.
func (g *Engine) dropRebuild(number int64, text string) error {
	prefix := rebuildPrefix(number)
	b := g.store.Batch()
	err := b.DeleteRange(prefix, state.PrefixEnd(prefix))
	if number > 0 {
		err = errors.Join(err, g.clearTargets(text), note{number: number}.set(b))
	}
	err = errors.Join(err, b.Commit())
	if number > 0 && g.dedup.Dir != "" {
		err = errors.Join(err, os.RemoveAll(filepath.Join(g.dedup.Dir, fmt.Sprintf("rebuild-%d", number))))
	}
	return err
}

// clearTargets removes cold states and rows of folds that are not run: what an
// earlier rebuild or an earlier use of the version left.
func (g *Engine) clearTargets(text string) error {
	b := g.store.Batch()
	var errs []error
	for _, name := range strings.Fields(text) {
		id := g.registry.id(name)
		for _, p := range g.parts {
			if id != 0 && !slices.Contains(p.running(), id) {
				errs = append(errs, p.clearFold(b, id))
			}
		}
	}
	return errors.Join(append(errs, b.Commit())...)
}

// await waits for a partition of the rebuild on an owner's behalf.
func (b *rebuild) await(p *partition, quit <-chan struct{}, pos int64) error {
	b.urgent.Add(1)
	defer b.urgent.Add(-1)
	return p.pos.waitOr(quit, pos)
}

// pace holds up who serves until the rebuild has folded two records for each
// that is served meanwhile, so that it arrives however much comes in. Who serves
// less than that all along never waits.
func (b *rebuild) pace(ctx context.Context, partition int32, pos int64) error {
	begun := b.begun[partition]
	return b.await(b.parts[partition], ctx.Done(), min(begun.built+2*(pos-begun.served), pos))
}

// home returns the first bytes of the keys of a fold's own spans.
func (p *partition) home(s *slot) []byte {
	if s.building {
		return mainPrefix
	}
	return p.prefix
}

var mainPrefix = []byte{mainSpan}

// newPartition returns a partition without state.
func (g *Engine) newPartition(id int32, prefix []byte, l *layout) *partition {
	n := len(g.parts)
	p := &partition{
		id: id, count: n, prefix: prefix, eng: g, store: g.store, logger: g.logger,
		limits: partitionLimits{
			cacheEntities: max(g.limits.CacheEntities/n, 16), cacheBytes: max(g.limits.CacheBytes/n/3, 1<<15),
			warmBytes: max(g.limits.CacheBytes/n/12*7, 1<<15), apartBytes: max(g.limits.CacheBytes/n/12, 1<<15),
			commitEntities: g.limits.CommitEntities, commitBytes: g.limits.CommitBytes, commitAge: g.limits.CommitAge,
		},
		pcg:     mrand.NewPCG(0, 0),
		batches: make(chan []eventlog.Record, 1), emptied: make(chan []eventlog.Record, 2),
		reqs: make(chan *request, 256), seals: make(chan *commit, 1), applied: make(chan error, 1),
		stopped: make(chan struct{}), built: newGate(0), migrated: newGate(0),
	}
	p.rng = mrand.New(p.pcg)
	p.ctx.ops = p
	p.emptied <- nil
	p.emptied <- nil
	p.open = p.newCommit()
	p.stored = newGate(0)
	p.use(l)
	return p
}

// use sets the folds of a partition that holds no entities in memory.
func (p *partition) use(l *layout) {
	p.layout, p.cache, p.zeros = l, newCache(len(l.slots), p.limits), make([]State, len(l.slots))
}
