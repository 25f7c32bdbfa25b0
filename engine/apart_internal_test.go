package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport"
)

func TestStatesThatStandApartAreFoundAsTheyWerePutLast(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	slots := []*slot{{id: 1}, {id: 2}, {id: 0x103}}
	type key struct {
		slot  int
		owner rapport.ID
	}
	var owners []rapport.ID
	for range 40 {
		var id rapport.ID
		for i := range id {
			id[i] = byte(random.Uint32())
		}
		owners = append(owners, id)
	}
	// Two that share their place in the ring.
	twin := owners[0]
	twin[15] ^= 1 ^ 2
	owners = append(owners, twin)
	for _, limit := range []int{0, 1 << 10, 1 << 13, 1 << 20} {
		a := aparts{warm{limit: limit}}
		last := map[key][]byte{}
		hits := 0
		for range 20_000 {
			k := key{random.IntN(len(slots)), owners[random.IntN(len(owners))]}
			s := slots[k.slot]
			switch random.IntN(4) {
			case 0:
				state := bytes.Repeat([]byte{byte(random.Uint32())}, random.IntN(200))
				a.put(s, k.owner, state)
				last[k] = state
			case 1:
				if random.IntN(8) == 0 {
					a.forget(s, k.owner)
					delete(last, k)
				}
			default:
				b, ok := a.get(s, k.owner, []byte("before "))
				if !ok {
					continue
				}
				hits++
				if want, known := last[k]; !known || string(b) != "before "+string(want) {
					t.Fatalf("with %d bytes: %q, not %q", limit, b, want)
				}
			}
		}
		if limit == 1<<20 && hits < 5000 {
			t.Errorf("with room for all there were %d hits", hits)
		}
		if a.ring.bytes() > 2*limit+1<<12 {
			t.Errorf("%d bytes, of %d", a.ring.bytes(), limit)
		}
	}
}
