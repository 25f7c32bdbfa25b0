package engine

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// drop notes that the event in the record at hand does not count: it was seen
// before, it is counted in another partition, or its person was erased. Whoever
// reads the log beside the folds asks [Engine.Dropped] and leaves out the same.
func (p *partition) drop() {
	if p.rebuild != nil {
		return
	}
	p.check(p.open.batch.Set(p.dropKey(nil, p.ctx.Offset), nil))
	p.open.dropped = append(p.open.dropped, p.ctx.Offset)
	p.open.bytes += dropBytes
}

// dropBytes is about what one note takes in a commit.
const dropBytes = 32

func (p *partition) dropKey(b []byte, offset int64) []byte {
	return binary.BigEndian.AppendUint64(p.key(b, spanDropped), uint64(offset))
}

// Dropped returns the offsets from <= o < to of a partition's records that hold
// an event the folds left out, ascending: second copies, what was passed on to
// be counted elsewhere, what came of somebody erased. It waits until all of them
// are folded. What it says follows from the log alone, and stays.
// Kinds: Unavailable (the engine stops), Invalid (no such partition).
func (g *Engine) Dropped(ctx context.Context, partition int32, from, to int64) (offsets []int64, err error) {
	if partition < 0 || int(partition) >= len(g.parts) {
		return nil, rapport.Errorf(rapport.Invalid, "there is no partition %d", partition)
	}
	p := g.parts[partition]
	if err := p.pos.wait(ctx, to); err != nil {
		return nil, err
	}
	err = p.call(ctx, func() error {
		for _, c := range [...]*commit{p.open, p.sealed} {
			if c == nil {
				continue
			}
			for _, o := range c.dropped {
				if o >= from && o < to {
					offsets = append(offsets, o)
				}
			}
		}
		it, err := p.store.Scan(p.dropKey(nil, from), p.dropKey(nil, to))
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			if key := it.Key(); len(key) >= 8 {
				offsets = append(offsets, int64(binary.BigEndian.Uint64(key[len(key)-8:])))
			}
		}
		return it.Close()
	})
	slices.Sort(offsets)
	return slices.Compact(offsets), err
}

// Folded returns the offset below which every record of a partition is folded.
func (g *Engine) Folded(partition int32) int64 { return g.parts[partition].pos.get() }

// OriginOf returns where a record of the rewards topic comes from: the highest
// (offset, n) taken from a partition is all one has to remember to take each once.
func OriginOf(r *eventlog.Record) (partition int32, offset int64, n uint32, err error) {
	rd := reader{b: r.Data}
	var o origin
	o.read(&rd)
	if rd.bad || r.Kind != KindReward {
		return 0, 0, 0, damaged("reward record")
	}
	return o.partition, o.offset, o.n, nil
}
