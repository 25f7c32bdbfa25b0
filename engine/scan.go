package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// ScanOptions say what Scan reads.
type ScanOptions struct {
	// Share is the part of all entities to read, a uniform sample chosen by
	// Seed; 0 and 1 are all.
	Share float64
	Seed  uint64
	// From leaves out entities whose ids have a stronger rank: RankItem reads items only.
	From rapport.Rank
	// Config is what views answer as theirs; nil is what each partition has adopted.
	Config *Config
	// At is what views answer as their time, Unix ms; 0 is each partition's.
	At int64
	// Background walks one partition at a time with long pauses: four times as
	// long and beside decisions that are awaited.
	Background bool
}

// Scan calls fn with entities as they were at one moment in each partition,
// read from a snapshot: the owners go on meanwhile. fn is called from several
// goroutines, each with its own worker number, below the number of partitions; it keeps the rules of View.
// Entities merged away are left out. Everything acknowledged before the call is in it.
func (g *Engine) Scan(ctx context.Context, o ScanOptions, fn func(worker int, v *View) error) error {
	if err := g.reach(ctx, g.Ends()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if group.SetLimit(max(runtime.GOMAXPROCS(0), 1)); o.Background {
		group.SetLimit(1)
	}
	for i, p := range g.parts {
		group.Go(func() error {
			var reader *partition
			snap, err := p.freezeWith(ctx, func() { reader = p.reader(o) })
			if err != nil {
				return err
			}
			defer snap.Close()
			reader.frozen = &frozen{snap: snap, cold: make([]frozenFold, len(reader.layout.slots))}
			defer reader.frozen.close()
			return reader.scanEntities(ctx, snap, o, func(e *entity) error { return fn(i, &View{reader, e}) })
		})
	}
	return group.Wait()
}

func (p *partition) freezeWith(ctx context.Context, fn func()) (*state.Snapshot, error) {
	snap, err := p.freeze(ctx)
	if err == nil {
		if err = p.call(ctx, func() error { fn(); return nil }); err != nil {
			_ = snap.Close()
		}
	}
	return snap, err
}

// reader returns a partition that only decodes what p has stored.
func (p *partition) reader(o ScanOptions) *partition {
	r := &partition{id: p.id, count: p.count, prefix: p.prefix, eng: p.eng, store: p.store, logger: p.logger, mute: true}
	r.use(p.layout)
	r.meta.time, r.meta.pos, r.config = p.meta.time, p.meta.pos, p.config
	if o.Config != nil {
		r.config = o.Config
	}
	if o.At > 0 {
		r.meta.time = o.At
	}
	return r
}

// frozen is where a reader finds the states that are kept apart: as they were
// at the same moment, and soon, because most are asked for in their order.
type frozen struct {
	snap *state.Snapshot
	cold []frozenFold // by fold order
}

type frozenFold struct {
	it     *state.Iterator // nil until first needed
	sought bool            // it stands where owner's state is, or at the first behind
	owner  rapport.ID
	state  []byte // of owner
}

func (f *frozen) close() {
	for i := range f.cold {
		if it := f.cold[i].it; it != nil {
			_ = it.Close()
		}
	}
}

// coldState returns a state that is kept apart, as it is stored. It is valid
// until another owner's is asked for; where nothing is frozen, any other.
func (p *partition) coldState(s *slot, owner rapport.ID) []byte {
	if p.frozen == nil {
		b, found := p.cache.apart.get(s, owner, p.coldBuf[:0])
		if !found {
			p.keyBuf = p.coldKey(p.keyBuf[:0], s, owner)
			var err error
			if b, found, err = p.store.Get(p.keyBuf, b); err != nil {
				p.fail(err)
			} else if found {
				p.cache.apart.put(s, owner, b)
			}
		}
		p.coldBuf = b
		return b
	}
	p.keyBuf = p.coldKey(p.keyBuf[:0], s, owner)
	f := &p.frozen.cold[s.order]
	if f.it == nil {
		prefix := p.keyBuf[:len(p.keyBuf)-len(owner)]
		var err error
		if f.it, err = p.frozen.snap.Scan(bytes.Clone(prefix), state.PrefixEnd(prefix)); err != nil {
			p.fail(err)
			return nil
		}
	}
	if f.owner != owner {
		onward := bytes.Compare(f.owner[:], owner[:]) < 0
		f.owner, f.state = owner, f.state[:0]
		if f.find(p.keyBuf, onward) {
			f.state = append(f.state, f.it.Value()...)
		}
	}
	return f.state
}

// find reports whether there is a key, and goes to it or else to the next.
// onward says that it lies behind the one looked for before: then most are where
// the walk is, or one further, which takes a third of the time of seeking them.
func (f *frozenFold) find(key []byte, onward bool) bool {
	if onward && f.sought {
		order := 1
		if f.it.Valid() {
			order = bytes.Compare(f.it.Key(), key)
		}
		if order < 0 && f.it.Next() {
			order = bytes.Compare(f.it.Key(), key)
		}
		if order >= 0 || !f.it.Valid() {
			return order == 0
		}
	}
	f.sought = true
	return f.it.Seek(key) && bytes.Equal(f.it.Key(), key)
}

// scanEntities walks the entities of a snapshot, or a sample of them: ids are
// hashes behind their rank, so that the ids with a hash in one range are a
// uniform sample of each rank.
func (p *partition) scanEntities(ctx context.Context, snap *state.Snapshot, o ScanOptions, fn func(*entity) error) error {
	prefix := p.key(nil, spanEntity)
	lower := prefix
	if o.From > 0 {
		lower = append(bytes.Clone(prefix), byte(o.From))
	}
	it, err := snap.Scan(lower, state.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	sampled := o.Share > 0 && o.Share < 1
	width := uint64(0)
	if sampled {
		width = max(uint64(o.Share*math.MaxUint64), 1)
	}
	n := 0
	begun := time.Now()
	for ok := it.First(); ok; {
		key := it.Key()
		id := rapport.ID(key[len(prefix):])
		if sampled {
			if behind := binary.BigEndian.Uint64(id[1:]) - o.Seed; behind >= width {
				next := sampleStart(id, o.Seed)
				if next.IsZero() || !it.Seek(append(bytes.Clone(prefix), next[:]...)) {
					return nil
				}
				ok = true
				continue
			}
		}
		if n++; n%256 == 0 {
			if o.Background {
				select {
				case <-time.After(4 * time.Since(begun)):
				case <-ctx.Done():
				}
				begun = time.Now()
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		e := p.newEntity(id)
		e.raw = append(e.raw[:0], it.Value()...)
		if err := p.decodeEntity(e); err != nil {
			return err
		}
		if e.live() {
			if err := fn(e); err != nil {
				return err
			}
		}
		if p.err != nil {
			return p.err
		}
		p.recycle(e)
		ok = it.Next()
	}
	return nil
}

// sampleStart returns the first id of the sample's range above id, which is
// outside of it; zero if there is none.
func sampleStart(id rapport.ID, seed uint64) rapport.ID {
	next := rapport.ID{id[0]}
	if binary.BigEndian.Uint64(id[1:]) > seed {
		if next[0]++; next[0] == 0 {
			return rapport.ID{}
		}
		// A range that runs over the end begins again at the start of the rank.
		return next
	}
	binary.BigEndian.PutUint64(next[1:], seed)
	return next
}
