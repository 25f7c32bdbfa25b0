package rapport

import (
	"encoding/binary"
	"unsafe"
)

// The binary form of an Event, as it stands in the log. It is versioned by its
// first byte and written once at the door, so that no replay parses JSON:
//
//	version, flags, type, 16 bytes entity, 16 bytes fragment,
//	times as varints (Timestamp, then differences to it),
//	strings and byte fields as uvarint length and bytes,
//	identifiers as a count and pairs of strings.
const eventCodec = 1

const (
	flagHistory = 1 << iota
)

// AppendEvent appends the binary form of e to b.
func AppendEvent(b []byte, e *Event) []byte {
	var flags byte
	if e.History {
		flags |= flagHistory
	}
	b = append(b, eventCodec, flags, byte(e.Type))
	b = append(b, e.Entity[:]...)
	b = append(b, e.Fragment[:]...)
	b = binary.AppendVarint(b, e.Timestamp)
	b = binary.AppendVarint(b, e.OriginalTimestamp-e.Timestamp)
	b = binary.AppendVarint(b, e.SentAt-e.Timestamp)
	b = binary.AppendVarint(b, e.ReceivedAt-e.Timestamp)
	for _, s := range [...]string{e.Name, e.MessageID, e.Source, e.UserID, e.AnonymousID, e.PreviousID, e.GroupID} {
		b = appendText(b, s)
	}
	for _, f := range [...][]byte{e.Properties, e.Traits, e.Context, e.Body} {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Identifiers)))
	for _, i := range e.Identifiers {
		b = appendText(b, i.Kind)
		b = appendText(b, i.Value)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// DecodeEvent reads the binary form into e, reusing e.Identifiers. The
// strings and Fields of e refer to b, which must stay unchanged for as long as
// e or a part of it is used. It returns an Internal error if b is damaged.
func DecodeEvent(b []byte, e *Event) error {
	d := decoder{b: b}
	version, flags, typ := d.byte(), d.byte(), d.byte()
	if version != eventCodec && !d.bad {
		return Errorf(Internal, "event codec %d is not known to this version", version)
	}
	ids := e.Identifiers[:0]
	*e = Event{Type: EventType(typ), History: flags&flagHistory != 0}
	copy(e.Entity[:], d.take(16))
	copy(e.Fragment[:], d.take(16))
	e.Timestamp = d.varint()
	e.OriginalTimestamp = e.Timestamp + d.varint()
	e.SentAt = e.Timestamp + d.varint()
	e.ReceivedAt = e.Timestamp + d.varint()
	for _, s := range [...]*string{&e.Name, &e.MessageID, &e.Source, &e.UserID, &e.AnonymousID, &e.PreviousID, &e.GroupID} {
		*s = d.text()
	}
	for _, f := range [...]*Fields{&e.Properties, &e.Traits, &e.Context} {
		*f = d.bytes()
	}
	e.Body = d.bytes()
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
	}
	for ; n > 0 && !d.bad; n-- {
		ids = append(ids, Identifier{Kind: d.text(), Value: d.text()})
	}
	e.Identifiers = ids
	if d.bad || len(d.b) != 0 {
		return Errorf(Internal, "event record of %d bytes is damaged", len(b))
	}
	return nil
}

// EventEntity reads only the stamped entity and fragment of a binary event.
func EventEntity(b []byte) (entity, fragment ID, ok bool) {
	if len(b) < 35 || b[0] != eventCodec {
		return entity, fragment, false
	}
	return ID(b[3:19]), ID(b[19:35]), true
}

// decoder reads the primitives of our binary forms; after a failure it stays
// bad and returns zeros, so that a caller checks once.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte {
	if p := d.take(1); len(p) == 1 {
		return p[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) varint() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) text() string {
	p := d.bytes()
	if len(p) == 0 {
		return ""
	}
	return unsafe.String(&p[0], len(p))
}
