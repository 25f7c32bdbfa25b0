package engine

import (
	"encoding/binary"

	"github.com/rapport-engine/rapport"
)

// warm holds the records of entities that left the cache, the latest of them,
// as bytes in one ring. A record takes a tenth of the memory of the entity it
// is made into, and reading it again costs a tenth of a look into the store. An
// entity is in the cache or here, never in both: what is here is what it is.
type warm struct {
	limit int // bytes of the ring at most
	ring  []byte
	// Records lie from tail to head, oldest first; once the ring went round, from
	// tail to wrap and from 0 to head. Those taken back leave their place empty.
	head, tail, wrap int
	round            bool
	index            []uint64 // open addressing: 32 bits of the id, place in the ring / 4 + 1; 0 is empty
	n                int
}

const (
	warmHeader = 20      // id, length of the record
	warmFirst  = 4 << 10 // bytes of the first ring
)

func warmSize(record int) int { return (warmHeader + record + 3) &^ 3 }

func warmTag(id rapport.ID) uint64 {
	return binary.LittleEndian.Uint64(id[8:]) * 0x9e3779b97f4a7c15 >> 32
}

// put adds the record of an entity that is not here, in one part or two. The
// oldest make room.
func (w *warm) put(id rapport.ID, record []byte, rest ...byte) {
	size := warmSize(len(record) + len(rest))
	if size > w.limit/8 {
		return
	}
	for !w.fits(size) {
		w.drop()
	}
	at := w.head
	copy(w.ring[at:], id[:])
	binary.LittleEndian.PutUint32(w.ring[at+16:], uint32(len(record)+len(rest)))
	copy(w.ring[at+warmHeader:], record)
	copy(w.ring[at+warmHeader+len(record):], rest)
	w.head += size
	w.enter(id, at)
}

// fits reports whether there is room at head, after growing or going round.
func (w *warm) fits(size int) bool {
	if w.round {
		return w.tail-w.head > size // never equal: head meets tail only in an empty ring
	}
	if len(w.ring)-w.head >= size {
		return true
	}
	if len(w.ring) < w.limit {
		w.grow(size)
		return len(w.ring)-w.head >= size
	}
	w.wrap, w.head, w.round = w.head, 0, true
	return w.tail > size
}

// drop forgets the oldest record.
func (w *warm) drop() {
	at := w.tail
	if i, ok := w.find(rapport.ID(w.ring[at:])); ok && w.place(i) == at {
		w.leave(i)
	}
	w.tail += warmSize(int(binary.LittleEndian.Uint32(w.ring[at+16:])))
	if w.round && w.tail == w.wrap {
		w.tail, w.round = 0, false
	}
	if !w.round && w.tail == w.head {
		w.head, w.tail = 0, 0
	}
}

// grow moves the records into a larger ring. It is not called once the ring
// went round: that happens at its full size.
func (w *warm) grow(size int) {
	old, from, to := w.ring, w.tail, w.head
	w.ring = make([]byte, min(max(2*len(old), 2*size, warmFirst), w.limit))
	w.head, w.tail = 0, 0
	index := w.index
	w.index, w.n = make([]uint64, len(index)), 0
	for from < to {
		n := warmSize(int(binary.LittleEndian.Uint32(old[from+16:])))
		id := rapport.ID(old[from:])
		if i, ok := findWarm(index, old, id); ok && warmPlace(index[i]) == from {
			copy(w.ring[w.head:], old[from:from+n])
			w.enter(id, w.head)
			w.head += n
		}
		from += n
	}
}

// take removes the record of an entity and appends it to dst.
func (w *warm) take(id rapport.ID, dst []byte) ([]byte, bool) {
	i, ok := w.find(id)
	if !ok {
		return dst, false
	}
	dst = append(dst, w.record(i)...)
	w.leave(i)
	return dst, true
}

// peek returns the record of an entity, which stays. It is valid until the next put.
func (w *warm) peek(id rapport.ID) ([]byte, bool) {
	i, ok := w.find(id)
	if !ok {
		return nil, false
	}
	return w.record(i), true
}

// forget removes the record of an entity, if it is here.
func (w *warm) forget(id rapport.ID) {
	if i, ok := w.find(id); ok {
		w.leave(i)
	}
}

func (w *warm) record(i uint64) []byte {
	at := w.place(i)
	n := int(binary.LittleEndian.Uint32(w.ring[at+16:]))
	return w.ring[at+warmHeader : at+warmHeader+n]
}

func (w *warm) place(i uint64) int { return warmPlace(w.index[i]) }

func warmPlace(word uint64) int { return int(uint32(word)-1) * 4 }

func (w *warm) find(id rapport.ID) (uint64, bool) { return findWarm(w.index, w.ring, id) }

func findWarm(index []uint64, ring []byte, id rapport.ID) (uint64, bool) {
	if len(index) == 0 {
		return 0, false
	}
	tag, mask := warmTag(id), uint64(len(index)-1)
	for i := tag & mask; index[i] != 0; i = (i + 1) & mask {
		if index[i]>>32 == tag && rapport.ID(ring[warmPlace(index[i]):]) == id {
			return i, true
		}
	}
	return 0, false
}

func (w *warm) enter(id rapport.ID, at int) {
	if (w.n+1)*4 > len(w.index)*3 {
		old := w.index
		w.index = make([]uint64, max(64, 2*len(old)))
		for _, word := range old {
			if word != 0 {
				w.set(word)
			}
		}
	}
	w.set(warmTag(id)<<32 | uint64(at/4+1))
	w.n++
}

func (w *warm) set(word uint64) {
	mask := uint64(len(w.index) - 1)
	i := word >> 32 & mask
	for w.index[i] != 0 {
		i = (i + 1) & mask
	}
	w.index[i] = word
}

// leave empties a word of the index and moves those behind it up.
func (w *warm) leave(i uint64) {
	mask := uint64(len(w.index) - 1)
	for j := (i + 1) & mask; w.index[j] != 0; j = (j + 1) & mask {
		if home := w.index[j] >> 32 & mask; (j-home)&mask >= (j-i)&mask {
			w.index[i] = w.index[j]
			i = j
		}
	}
	w.index[i] = 0
	w.n--
}

func (w *warm) bytes() int { return len(w.ring) + 8*len(w.index) }
