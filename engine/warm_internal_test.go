package engine

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport"
)

func TestWarmRecordsAreThoseLeftLastWhateverComesAndGoes(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1 << 10, 10_000, 1 << 20} {
		rng := rand.New(rand.NewPCG(uint64(limit), 1))
		w := warm{limit: limit}
		have := map[rapport.ID][]byte{}
		order := map[rapport.ID]int{}
		id := func(n uint64) (id rapport.ID) {
			binary.LittleEndian.PutUint64(id[8:], n*0x9e3779b97f4a7c15)
			binary.LittleEndian.PutUint64(id[:], n)
			return id
		}
		hits := 0
		for step := range 30_000 {
			who := id(rng.Uint64N(400))
			got, ok := w.take(who, nil)
			want, known := have[who]
			if ok && (!known || !bytes.Equal(got, want)) {
				t.Fatalf("limit %d, step %d: found %q where %q was left (%t)", limit, step, got, want, known)
			}
			if ok {
				hits++
			}
			if !ok && known && limit >= 1<<20 {
				t.Fatalf("step %d: a record was lost though there is room for all", step)
			}
			record := make([]byte, rng.IntN(300))
			for i := range record {
				record[i] = byte(rng.Uint32())
			}
			delete(have, who)
			if rng.IntN(4) > 0 {
				w.put(who, record)
				have[who], order[who] = record, step
			}
			if len(w.ring) > limit {
				t.Fatalf("the ring has %d bytes, at most %d are allowed", len(w.ring), limit)
			}
		}
		// What is found is newer than what is not: records leave in order.
		newestLost, oldestFound, found := -1, 1<<30, 0
		for who := range have {
			if _, ok := w.find(who); ok {
				oldestFound, found = min(oldestFound, order[who]), found+1
			} else if warmSize(len(have[who])) <= limit/8 {
				newestLost = max(newestLost, order[who])
			}
		}
		if newestLost > oldestFound {
			t.Errorf("limit %d: a record left at %d is here, one left at %d is not", limit, oldestFound, newestLost)
		}
		if found != w.n || limit > 5000 && (hits == 0 || found == 0) {
			t.Errorf("limit %d: %d records found of %d, %d hits", limit, found, w.n, hits)
		}
	}
}
