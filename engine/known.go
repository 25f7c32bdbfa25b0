package engine

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// known is the set of 32 bits of the id of every entity that has a record in
// the store, so that the first event of a new one need not look for it there.
// What is not in it is not in the store; what is in it nearly always is. A look
// costs one cache miss (0.1 us) where a look into the store for what is not
// there costs 4 us.
type known struct {
	words []uint32 // open addressing; 0 is empty
	n     int
}

func knownBits(id rapport.ID) uint32 {
	// The bits that choose the partition are the same for all ids here.
	return max(uint32(binary.LittleEndian.Uint64(id[8:])*0x9e3779b97f4a7c15>>32), 1)
}

func (k *known) has(id rapport.ID) bool {
	if len(k.words) == 0 {
		return false
	}
	v := knownBits(id)
	mask := uint32(len(k.words) - 1)
	for i := v & mask; k.words[i] != 0; i = (i + 1) & mask {
		if k.words[i] == v {
			return true
		}
	}
	return false
}

func (k *known) add(id rapport.ID) { k.put(knownBits(id)) }

func (k *known) put(v uint32) {
	if (k.n+1)*4 > len(k.words)*3 {
		old := k.words
		k.words, k.n = make([]uint32, max(1<<10, 2*len(old))), 0
		for _, w := range old {
			if w != 0 {
				k.put(w)
			}
		}
	}
	mask := uint32(len(k.words) - 1)
	i := v & mask
	for k.words[i] != 0 {
		if k.words[i] == v {
			return
		}
		i = (i + 1) & mask
	}
	k.words[i] = v
	k.n++
}

// learnKnown reads which entities the store held when the engine was opened.
func (g *Engine) learnKnown(ctx context.Context) error {
	for _, p := range g.parts {
		if p.known != nil {
			continue // it began with none
		}
		snap := g.store.Snapshot()
		k, err := p.scanKnown(ctx, snap)
		if err = errors.Join(err, snap.Close()); err != nil || ctx.Err() != nil {
			return quiet(ctx, err)
		}
		if err := p.call(ctx, func() error {
			for _, w := range p.added.words {
				if w != 0 {
					k.put(w)
				}
			}
			p.known, p.added = k, nil
			return nil
		}); err != nil {
			return quiet(ctx, err)
		}
	}
	return nil
}

// scanKnown reads which entities a snapshot of the store holds.
func (p *partition) scanKnown(ctx context.Context, snap *state.Snapshot) (*known, error) {
	k := &known{}
	prefix := p.key(nil, spanEntity)
	it, err := snap.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	for ok, n := it.First(), 1; ok; ok, n = it.Next(), n+1 {
		k.add(rapport.ID(it.Key()[len(prefix):]))
		if n%4096 == 0 && ctx.Err() != nil {
			break
		}
	}
	return k, it.Close()
}
