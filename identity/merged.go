package identity

import "github.com/rapport-engine/rapport"

// Merged calls yield with every id that belongs to a person of another id now,
// and that person's id; any other id is its own person. Changes made meanwhile
// may or may not be seen. It is for whoever joins bulk data to people.
func (r *Resolver) Merged(yield func(id, person rapport.ID) bool) {
	type pair struct{ id, person rapport.ID }
	page := make([]pair, 0, pageSize)
	for from := uint32(0); ; from += pageSize {
		page = page[:0]
		r.mu.RLock()
		t := r.table
		for n := from; n < min(from+pageSize, t.n); n++ {
			if x := t.at(n); x.root != n {
				page = append(page, pair{x.id, t.at(x.root).id})
			}
		}
		more := from+pageSize < t.n
		r.mu.RUnlock()
		for _, p := range page {
			if !yield(p.id, p.person) {
				return
			}
		}
		if !more {
			return
		}
	}
}
