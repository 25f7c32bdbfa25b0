package engine

import (
	"encoding/binary"
	"testing"

	"github.com/rapport-engine/rapport"
)

func TestWhatWasAddedIsKnownAndLittleElse(t *testing.T) {
	t.Parallel()
	id := func(i uint64) (id rapport.ID) {
		binary.LittleEndian.PutUint64(id[8:], i*0x9e3779b97f4a7c15)
		return id
	}
	k := &known{}
	if k.has(id(1)) {
		t.Error("an empty set knows something")
	}
	const n = 50_000
	for i := range uint64(n) {
		k.add(id(i))
		k.add(id(i / 2))
	}
	for i := range uint64(n) {
		if !k.has(id(i)) {
			t.Fatalf("%d was added and is not known", i)
		}
	}
	mistaken := 0
	for i := range uint64(n) {
		if k.has(id(n + i)) {
			mistaken++
		}
	}
	if mistaken > 5 {
		t.Errorf("%d of %d that were never added are taken for known", mistaken, n)
	}
}
