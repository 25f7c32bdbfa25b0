package identity_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-engine/rapport"
)

func TestEventsOfAPersonArriveWhereTheResolverSays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 9))
		w := newWorld(t, memory())
		var sent []rapport.Event
		for range 60 {
			if r.IntN(12) == 0 {
				w.restart()
			}
			sent = append(sent, w.send(randomEvent(r, 6))...)
		}
		for i := range sent {
			e := &sent[i]
			person := w.Person(e.Fragment)
			in := w.Arrivals(person, partitions)
			if in != nil && !slices.Contains(in, w.Partition(e, partitions)) {
				t.Fatalf("seed %d: an event of %v arrived in partition %d, not in %v", seed, e.Identifiers, w.Partition(e, partitions), in)
			}
		}
	}
}
