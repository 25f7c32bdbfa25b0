package identity

import (
	"slices"

	"github.com/rapport-engine/rapport"
)

// maxArrivals bounds the identifiers looked at: who has more is asked for everywhere.
const maxArrivals = 64

// Arrivals returns in which of n partitions the events of an id's person
// arrive: those of its identifiers, and of the devices it was signed in on. It
// is nil if they may arrive in any: the id takes part in no link, or in very many.
func (r *Resolver) Arrivals(id rapport.ID, n int) []int32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.table
	at, ok := t.find(id)
	if !ok || t.size(at, maxArrivals+1)+len(t.junk) > maxArrivals {
		return nil
	}
	var out []int32
	for i := range t.junk { // an event arrives by its strongest identifier, even by one in quarantine
		if p := int32(t.at(i).id.Partition(n)); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	t.members(at, func(i uint32) bool {
		for _, node := range [...]uint32{i, t.first(i)} {
			if p := int32(t.at(node).id.Partition(n)); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
		return true
	})
	return out
}

// first returns the first interval of the device that interval n belongs to; n
// itself if it is that, or no interval.
func (t *table) first(n uint32) uint32 {
	if f, later := t.firsts[n]; later {
		return f
	}
	return n
}
