package segment

import (
	"encoding/binary"

	"github.com/rapport-engine/rapport"
)

// AppendBinary implements [engine.State]: the members, each with its times after
// those of the one before, and the changes remembered. One that says no more
// than a member does, that it was entered then, is the member's place.
func (m *Memberships) AppendBinary(b []byte) []byte {
	if !m.born && len(m.of) == 0 && len(m.past) == 0 {
		return b
	}
	b = append(b, map[bool]byte{true: 1}[m.born])
	b = binary.LittleEndian.AppendUint32(b, m.zone)
	b = binary.AppendUvarint(b, uint64(len(m.of)))
	var since, due int64 // times lie close to each other
	for i := range m.of {
		x := &m.of[i]
		b = binary.LittleEndian.AppendUint64(b, x.key)
		b = appendAfter(b, x.since, &since)
		b = appendAfter(b, x.due, &due)
	}
	at := int64(0)
	for _, x := range m.past {
		if i, ok := m.entered(x); ok {
			b, at = binary.AppendUvarint(b, uint64(i)+1), x.At
			continue
		}
		b = binary.LittleEndian.AppendUint64(append(b, 0), x.Key)
		delta := (x.At - at) << 1
		if at = x.At; x.Entered {
			delta |= 1
		}
		b = binary.AppendVarint(b, delta)
	}
	return b
}

// entered returns the place of the member that was entered by a change.
func (m *Memberships) entered(x Change) (int, bool) {
	if !x.Entered || x.At == 0 {
		return 0, false
	}
	i, ok := m.find(x.Key)
	return i, ok && m.of[i].since == x.At
}

// appendAfter appends a time as its distance from the one before, 0 as 0.
func appendAfter(b []byte, at int64, before *int64) []byte {
	if at == 0 {
		return append(b, 0)
	}
	delta := at - *before
	*before = at
	return binary.AppendUvarint(b, (uint64(delta)<<1^uint64(delta>>63))+1)
}

// DecodeBinary implements [engine.State].
func (m *Memberships) DecodeBinary(b []byte) error {
	m.born, m.zone, m.of, m.past, m.kept, m.armed = false, 0, m.of[:0], m.past[:0], nil, 0
	if len(b) == 0 {
		return nil
	}
	r := reader{b: b}
	born := r.byte()
	m.born, m.zone = born == 1, r.uint32()
	r.bad = r.bad || born > 1
	var since, due int64
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		x := member{key: r.uint64(), since: r.after(&since), due: r.after(&due)}
		if x.since == 0 && x.due == 0 || len(m.of) > 0 && x.key <= m.of[len(m.of)-1].key {
			r.bad = true
		}
		m.of = append(m.of, x)
	}
	at := int64(0)
	for len(r.b) > 0 && !r.bad && len(m.past) < ChangesKept {
		if place := r.uvarint(); place > uint64(len(m.of)) {
			r.bad = true
		} else if place > 0 {
			x := &m.of[place-1]
			at, r.bad = x.since, r.bad || x.since == 0
			m.past = append(m.past, Change{x.key, at, true})
			continue
		}
		x := Change{Key: r.uint64()}
		delta := r.varint()
		at += delta >> 1
		x.At, x.Entered = at, delta&1 != 0
		if _, ok := m.entered(x); ok {
			r.bad = true // it would be written as a place
		}
		m.past = append(m.past, x)
	}
	if r.bad || len(r.b) > 0 {
		return rapport.Errorf(rapport.Internal, "stored segments of a person are damaged")
	}
	return nil
}

// reader reads what AppendBinary wrote.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 { // most are small
		x := uint64(r.b[0])
		r.b = r.b[1:]
		return x
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) varint() int64 {
	x := r.uvarint()
	return int64(x>>1) ^ -int64(x&1)
}

// after reads what appendAfter appended.
func (r *reader) after(before *int64) int64 {
	delta := r.uvarint()
	if delta == 0 {
		return 0
	}
	delta--
	*before += int64(delta>>1) ^ -int64(delta&1)
	return *before
}
