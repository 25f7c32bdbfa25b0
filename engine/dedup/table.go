package dedup

import (
	"encoding/binary"
	"unsafe"
)

// table is an open-addressing set of fingerprints that also remembers the
// order they came in. It holds no pointers for the garbage collector to follow.
type table struct {
	// slots are a power of two: 8 bits of the hash, so that hardly any other
	// fingerprint is looked at, and a 1-based index into log; 0 is empty.
	slots []uint32
	log   []Fingerprint
}

const (
	indexBits = 24
	tableMax  = 1<<indexBits - 1 // fingerprints
)

func hash(fp Fingerprint) uint64 {
	return binary.LittleEndian.Uint64(fp[:8]) ^ binary.LittleEndian.Uint64(fp[8:])*0x9e3779b97f4a7c15
}

func (t *table) has(fp Fingerprint, h uint64) bool {
	if len(t.slots) == 0 {
		return false
	}
	mask, tag := uint64(len(t.slots)-1), uint32(h>>56)
	for i := h & mask; ; i = (i + 1) & mask {
		slot := t.slots[i]
		if slot == 0 {
			return false
		}
		if slot>>indexBits == tag && t.log[slot&tableMax-1] == fp {
			return true
		}
	}
}

func (t *table) add(fp Fingerprint, h uint64) {
	if len(t.log)*2 >= len(t.slots) {
		t.grow()
	}
	t.log = append(t.log, fp)
	t.place(uint32(len(t.log)), h)
}

func (t *table) place(at uint32, h uint64) {
	mask := uint64(len(t.slots) - 1)
	i := h & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = uint32(h>>56)<<indexBits | at
}

func (t *table) grow() {
	t.slots = make([]uint32, max(64, 2*len(t.slots)))
	for i, fp := range t.log {
		t.place(uint32(i+1), hash(fp))
	}
}

func bytesOf(fps []Fingerprint) []byte {
	if len(fps) == 0 {
		return nil
	}
	return unsafe.Slice(&fps[0][0], 16*len(fps))
}
