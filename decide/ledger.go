package decide

import (
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// ledger holds, for one partition, what was given but does not stand in the
// people's state yet, so that decisions made at once count each other.
type ledger struct {
	mu   sync.Mutex
	held map[rapport.ID][]*reservation
	size int
	next int // size at which to sweep
	// turns count the reservations made, by hash of the person, so that a
	// decision knows whether another was made since it looked.
	turns [256]uint32
}

func (l *ledger) turn(id rapport.ID) *uint32 { return &l.turns[id.Hash64()%256] }

// reservation is the uses of one decision on its way through the log.
type reservation struct {
	ledger *ledger
	entity rapport.ID
	id     [16]byte
	uses   []use
	offset int64 // of the record, once written; 0 before
}

// pending appends the uses reserved for a person to those its state holds. turn
// is what reserve is to be told.
func (l *ledger) pending(v *engine.View, uses []use) (all []use, turn uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	turn = *l.turn(v.ID())
	if l.size == 0 {
		return uses, turn
	}
	uses = l.pendingOf(v.ID(), v.Token().Offset, uses)
	for _, id := range v.Merged() {
		uses = l.pendingOf(id, v.Token().Offset, uses)
	}
	return uses, turn
}

func (l *ledger) pendingOf(id rapport.ID, folded int64, uses []use) []use {
	if len(l.held[id]) == 0 {
		return uses
	}
	l.release(id, folded)
	for _, r := range l.held[id] {
		uses = append(uses, r.uses...)
	}
	return uses
}

// release forgets reservations of a person whose records are folded.
func (l *ledger) release(id rapport.ID, folded int64) {
	kept := l.held[id][:0]
	for _, r := range l.held[id] {
		if r.offset == 0 || r.offset > folded {
			kept = append(kept, r)
		}
	}
	l.size -= len(l.held[id]) - len(kept)
	clear(l.held[id][len(kept):])
	if len(kept) == 0 {
		delete(l.held, id)
		return
	}
	l.held[id] = kept
}

// sweepAt is how many reservations are kept before all are looked through.
const sweepAt = 1024

// reserve counts what is about to be given to the entity of a moment. It returns
// nil if something else was given since the moment was looked at: then it is to
// be looked at again.
func (l *ledger) reserve(made *arbitrated, given []rapport.Choice) *reservation {
	m := made.moment
	r := &reservation{ledger: l, entity: made.entity, id: made.id}
	if m.placement.Uncapped {
		given = nil
	}
	for i := range given {
		c := &given[i]
		r.uses = append(r.uses, use{decision: made.id, at: m.now, action: c.Action, channel: c.Channel, topic: m.config.Action(c.Action).Topic})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	turn := l.turn(made.entity)
	if *turn != made.turn {
		return nil
	}
	if len(given) == 0 {
		return r
	}
	*turn++
	if l.size >= max(l.next, sweepAt) {
		for id := range l.held {
			l.release(id, made.token.Offset)
		}
		l.next = 2 * l.size
	}
	l.held[r.entity] = append(l.held[r.entity], r)
	l.size++
	return r
}

// settle tells where the record stands: once that is folded, the state counts it.
func (r *reservation) settle(offset int64) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.offset = offset
}

// drop takes the reservation back: nothing was given.
func (r *reservation) drop() {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	held := r.ledger.held[r.entity]
	for i := range held {
		if held[i] == r {
			r.ledger.held[r.entity] = append(held[:i], held[i+1:]...)
			r.ledger.size--
			break
		}
	}
	if len(r.ledger.held[r.entity]) == 0 {
		delete(r.ledger.held, r.entity)
	}
}
