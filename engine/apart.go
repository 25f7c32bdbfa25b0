package engine

import (
	"encoding/binary"

	"github.com/rapport-engine/rapport"
)

// aparts holds states that stand under keys of their own, as they are stored
// or are about to be, the latest read or written of them. Such a state is let go
// as soon as it was used; reading it again from here costs a hundredth of a look
// into the store.
type aparts struct{ ring warm }

// apartID is where the ring has a state. Two of different folds may in theory
// share one; each begins with its fold's number.
func apartID(s *slot, owner rapport.ID) rapport.ID {
	owner[len(owner)-2] ^= byte(s.id >> 8)
	owner[len(owner)-1] ^= byte(s.id)
	return owner
}

// get appends the state to dst.
func (a *aparts) get(s *slot, owner rapport.ID, dst []byte) ([]byte, bool) {
	b, ok := a.ring.peek(apartID(s, owner))
	if !ok || len(b) < 2 || binary.LittleEndian.Uint16(b) != s.id {
		return dst, false
	}
	return append(dst, b[2:]...), true
}

// put keeps a state in place of what was there.
func (a *aparts) put(s *slot, owner rapport.ID, state []byte) {
	id := apartID(s, owner)
	a.ring.forget(id)
	a.ring.put(id, []byte{byte(s.id), byte(s.id >> 8)}, state...)
}

// forget drops what is held of a state that goes.
func (a *aparts) forget(s *slot, owner rapport.ID) { a.ring.forget(apartID(s, owner)) }
