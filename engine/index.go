package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// Indexed is an optional ability of a PerEntity State whose fold is not Cold;
// one fold of an engine may have it. The engine lists every entity under the
// keys its state names and counts each list, in the commit that changes the
// state: whatever happens to the entity, lists and counts agree with the states.
type Indexed interface {
	// AppendIndex appends the keys the entity is listed under, ascending, each once.
	AppendIndex(keys []uint64) []uint64
}

// listing is the index of one partition.
type listing struct {
	counts map[uint64]int64
	// changed are the keys whose counts no batch has yet: those of the commit on
	// its way if it is not wholly encoded, else of the open one.
	changed map[uint64]struct{}
	buf     []uint64
}

func (p *partition) indexKey(b []byte, key uint64, id rapport.ID) []byte {
	return append(binary.BigEndian.AppendUint64(p.key(b, spanIndex), key), id[:]...)
}

func (p *partition) countKey(b []byte, key uint64) []byte {
	return binary.BigEndian.AppendUint64(p.key(b, spanCount), key)
}

// loadListing reads the counts.
func (p *partition) loadListing() error {
	p.listing.counts, p.listing.changed = map[uint64]int64{}, map[uint64]struct{}{}
	prefix := p.key(nil, spanCount)
	it, err := p.store.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		n, size := binary.Varint(it.Value())
		if key := it.Key()[len(prefix):]; len(key) == 8 && size > 0 {
			p.listing.counts[binary.BigEndian.Uint64(key)] = n
		}
	}
	return it.Close()
}

// listed returns the keys the state of e names now.
func (p *partition) listed(e *entity, keys []uint64) []uint64 {
	s := p.layout.indexed
	if s == nil || s.dark || !e.live() {
		return keys
	}
	sec := &e.serial[s.at]
	if sec.st == nil && sec.len == 0 {
		return keys
	}
	return p.stateOf(e, e.id, s, sec).(Indexed).AppendIndex(keys)
}

// entry is a place in the index that a commit takes or leaves. Of two for one
// place the later counts.
type entry struct {
	key uint64
	id  rapport.ID
	seq int32
	add bool
}

// compare orders entries as they lie in the store, where a place next to the
// last one is found much sooner than any other.
func (a entry) compare(b entry) int {
	return cmp.Or(cmp.Compare(a.key, b.key), a.id.Compare(b.id), cmp.Compare(a.seq, b.seq))
}

// writeEntries adds what a commit changes of the index to its batch.
func (p *partition) writeEntries(c *commit) error {
	slices.SortFunc(c.entries, entry.compare)
	var key []byte
	for i := range c.entries {
		x := &c.entries[i]
		key = p.indexKey(key[:0], x.key, x.id)
		var err error
		if x.add {
			err = c.batch.Set(key, nil)
		} else {
			err = c.batch.Delete(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// relist brings the index in line with the state of a changed entity.
func (p *partition) relist(c *commit, e *entity) {
	if p.layout.indexed == nil {
		return
	}
	l := &p.listing
	l.buf = p.listed(e, l.buf[:0])
	now := l.buf
	if slices.Equal(now, e.listed) {
		return
	}
	old := e.listed
	change := func(key uint64, by int64) {
		c.entries = append(c.entries, entry{key, e.id, int32(len(c.entries)), by > 0})
		if l.counts[key] += by; l.counts[key] == 0 {
			delete(l.counts, key)
		}
		l.changed[key] = struct{}{}
	}
	for i, j := 0, 0; i < len(now) || j < len(old); {
		switch {
		case j == len(old) || i < len(now) && now[i] < old[j]:
			change(now[i], 1)
			i++
		case i == len(now) || old[j] < now[i]:
			change(old[j], -1)
			j++
		default:
			i, j = i+1, j+1
		}
	}
	e.listed = append(e.listed[:0], now...)
}

// putCounts writes the counts that changed.
func (p *partition) putCounts(b *state.Batch) {
	l := &p.listing
	for key := range l.changed {
		p.keyBuf = p.countKey(p.keyBuf[:0], key)
		if n, ok := l.counts[key]; ok {
			p.valBuf = binary.AppendVarint(p.valBuf[:0], n)
			p.check(b.Set(p.keyBuf, p.valBuf))
		} else {
			p.check(b.Delete(p.keyBuf))
		}
	}
	clear(l.changed)
}

// relistOpen brings the index in line with everything folded so far.
func (p *partition) relistOpen() {
	p.encodeSome(math.MaxInt) // counts go on from those of the commit before
	for _, e := range p.open.ents {
		if e != nil {
			p.relist(p.open, e)
		}
	}
}

// clearListing forgets the index; entities that are loaded again list themselves anew.
func (p *partition) clearListing() {
	p.encodeSome(math.MaxInt) // what the commit before lists, it counts
	for _, span := range []byte{spanIndex, spanCount} {
		prefix := p.key(nil, span)
		p.check(p.open.batch.DeleteRange(prefix, state.PrefixEnd(prefix)))
	}
	p.open.entries = p.open.entries[:0]
	p.listing.counts = map[uint64]int64{}
	clear(p.listing.changed)
}

// Counts returns how many entities are listed under each key, by everything
// acknowledged before the call. See [Indexed].
func (g *Engine) Counts(ctx context.Context) (map[uint64]int64, error) {
	if err := g.reach(ctx, g.Ends()); err != nil {
		return nil, err
	}
	total := map[uint64]int64{}
	for _, p := range g.parts {
		if err := p.call(ctx, func() error {
			p.relistOpen()
			for k, n := range p.listing.counts {
				total[k] += n
			}
			return p.err
		}); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// Listed calls fn with a page of the entities listed under a key, as [Engine.List] does.
func (g *Engine) Listed(ctx context.Context, key uint64, after string, limit int, fn func(*View) error) (next string, err error) {
	first, from, err := parsePosition(after)
	if err != nil {
		return "", err
	}
	if err := g.reach(ctx, g.Ends()); err != nil {
		return "", err
	}
	left, at := limit, 0
	var last rapport.ID
	for i, p := range g.parts {
		if i < first {
			continue
		}
		if i > first {
			from = rapport.ID{}
		}
		if err := p.call(ctx, func() error {
			if p.relistOpen(); !p.open.empty() || p.sealed != nil {
				p.drain()
			}
			return p.walkIndex(p.store, key, from, func(id rapport.ID) error {
				if left == 0 {
					return errEnough
				}
				left, last, at = left-1, id, i
				return fn(&View{p, p.peek(id)})
			})
		}); err != nil && err != errEnough {
			return "", err
		} else if err == errEnough {
			return strconv.Itoa(at) + "." + hex.EncodeToString(last[:]), nil
		}
	}
	return "", nil
}

var errEnough = rapport.Errorf(rapport.Internal, "enough")

type scanner interface {
	Scan(lower, upper []byte) (*state.Iterator, error)
}

// walkIndex calls fn with the entities stored under key, above from, until it fails.
func (p *partition) walkIndex(in scanner, key uint64, from rapport.ID, fn func(rapport.ID) error) error {
	lower := p.indexKey(nil, key, from)
	if !from.IsZero() {
		lower = append(lower, 0)
	}
	upper := p.key(nil, spanIndex+1)
	if key < math.MaxUint64 {
		upper = p.indexKey(nil, key+1, rapport.ID{})
	}
	it, err := in.Scan(lower, upper)
	if err != nil {
		return err
	}
	defer it.Close()
	skip := len(lower) - 16
	if !from.IsZero() {
		skip--
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := fn(rapport.ID(it.Key()[skip:])); err != nil {
			return err
		}
	}
	return nil
}

// Overlap returns how many entities are listed under both of two keys, off the owners.
func (g *Engine) Overlap(ctx context.Context, a, b uint64) (int64, error) {
	if err := g.reach(ctx, g.Ends()); err != nil {
		return 0, err
	}
	counts := make([]int64, len(g.parts))
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range g.parts {
		group.Go(func() error {
			snap, err := p.freeze(ctx)
			if err != nil {
				return err
			}
			defer snap.Close()
			counts[i], err = p.overlap(snap, a, b)
			return err
		})
	}
	err := group.Wait()
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	return total, err
}

func (p *partition) overlap(snap *state.Snapshot, a, b uint64) (n int64, err error) {
	prefix := p.indexKey(nil, b, rapport.ID{})
	prefix = prefix[:len(prefix)-16]
	it, err := snap.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	ok := it.First()
	err = p.walkIndex(snap, a, rapport.ID{}, func(id rapport.ID) error {
		for ok && rapport.ID(it.Key()[len(prefix):]).Compare(id) < 0 {
			ok = it.Next()
		}
		if ok && rapport.ID(it.Key()[len(prefix):]) == id {
			n++
		}
		return nil
	})
	return n, err
}

// freeze commits what is folded and returns a snapshot of the store. The owner
// goes on meanwhile.
func (p *partition) freeze(ctx context.Context) (snap *state.Snapshot, err error) {
	var at int64
	if err := p.call(ctx, func() error { at = p.wantStored(); return p.err }); err != nil {
		return nil, err
	}
	if err := p.stored.wait(ctx, at); err != nil {
		return nil, err
	}
	err = p.call(ctx, func() error {
		snap = p.store.Snapshot()
		return p.err
	})
	return snap, err
}
