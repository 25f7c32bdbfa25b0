package rapport

import "encoding/binary"

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
		b = AppendText(b, s)
	}
	for _, f := range [...][]byte{e.Properties, e.Traits, e.Context, e.Body} {
		b = AppendText(b, f)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Identifiers)))
	for _, i := range e.Identifiers {
		b = AppendText(b, i.Kind)
		b = AppendText(b, i.Value)
	}
	return b
}

// DecodeEvent reads the binary form into e, reusing e.Identifiers. The
// strings and Fields of e refer to b, which must stay unchanged for as long as
// e or a part of it is used. It returns an Internal error if b is damaged.
func DecodeEvent(b []byte, e *Event) error {
	d := NewDecoder(b)
	version, flags, typ := d.Byte(), d.Byte(), d.Byte()
	if version != eventCodec && !d.Failed() {
		return Errorf(Internal, "event codec %d is not known to this version", version)
	}
	ids := e.Identifiers[:0]
	*e = Event{Type: EventType(typ), History: flags&flagHistory != 0}
	e.Entity, e.Fragment = d.ID(), d.ID()
	e.Timestamp = d.Varint()
	e.OriginalTimestamp = e.Timestamp + d.Varint()
	e.SentAt = e.Timestamp + d.Varint()
	e.ReceivedAt = e.Timestamp + d.Varint()
	for _, s := range [...]*string{&e.Name, &e.MessageID, &e.Source, &e.UserID, &e.AnonymousID, &e.PreviousID, &e.GroupID} {
		*s = d.view()
	}
	for _, f := range [...]*Fields{&e.Properties, &e.Traits, &e.Context} {
		*f = d.Bytes()
	}
	e.Body = d.Bytes()
	for range d.Count(2) {
		ids = append(ids, Identifier{Kind: d.view(), Value: d.view()})
	}
	e.Identifiers = ids
	if !d.Done() {
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
