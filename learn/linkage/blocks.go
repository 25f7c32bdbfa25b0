package linkage

import "unsafe"

// at returns a text without copying it; chunks are never changed or moved.
func (a *arena) at(i uint32) string {
	w := a.where[i]
	return unsafe.String(unsafe.SliceData(a.chunks[w.chunk][w.from:w.from+w.size]), w.size)
}

// blocks finds the newest post and the number of records of a blocking key: an
// open table of 16 bytes an entry. Keys are told apart by 32 bits beside their
// place; two that meet share a block, which costs comparisons and nothing else.
type blocks struct {
	entries []block
	n       int
}

type block struct {
	tag  uint32
	head uint32
	size uint32
	home uint32
}

func (b *blocks) find(key uint64) (head, size uint32) {
	if len(b.entries) == 0 {
		return 0, 0
	}
	mask := uint32(len(b.entries) - 1)
	tag, home := uint32(key>>32), uint32(key)
	for i := home & mask; b.entries[i].head != 0; i = (i + 1) & mask {
		if e := &b.entries[i]; e.tag == tag && e.home == home {
			return e.head, e.size
		}
	}
	return 0, 0
}

// add makes a post the newest of its key and returns the one before it.
func (b *blocks) add(key uint64, head uint32) (before uint32) {
	if (b.n+1)*4 >= len(b.entries)*3 {
		old := b.entries
		b.entries = make([]block, max(64, 2*len(old)))
		mask := uint32(len(b.entries) - 1)
		for _, e := range old {
			if e.head != 0 {
				i := e.home & mask
				for b.entries[i].head != 0 {
					i = (i + 1) & mask
				}
				b.entries[i] = e
			}
		}
	}
	mask := uint32(len(b.entries) - 1)
	tag, home := uint32(key>>32), uint32(key)
	i := home & mask
	for ; b.entries[i].head != 0; i = (i + 1) & mask {
		if e := &b.entries[i]; e.tag == tag && e.home == home {
			before, e.head = e.head, head
			e.size++
			return before
		}
	}
	b.entries[i] = block{tag, head, 1, home}
	b.n++
	return 0
}

// table finds a number by a fingerprint.
type table struct{ m map[uint64]uint32 }

func (t *table) get(h uint64) (uint32, bool) {
	v, ok := t.m[h]
	return v, ok
}

func (t *table) put(h uint64, v uint32) {
	if t.m == nil {
		t.m = make(map[uint64]uint32)
	}
	t.m[h] = v
}
