package engine

import (
	"encoding/binary"

	"github.com/rapport-engine/rapport"
)

// Spans of the state store. Every key starts with 'E', the letter of the span
// and, but for global ones, two bytes of partition. A rebuild works under 'S'
// and its number instead of 'E'.
const (
	spanEntity  = 'e' // entity id -> hot record
	spanCold    = 'c' // fold, owner -> state of a cold fold
	spanRow     = 'r' // fold, owner, key -> row
	spanTimer   = 't' // time, entity, fold, name -> nothing
	spanOutbox  = 'o' // kind, not before, key -> effect
	spanDedup   = 'd' // bucket, offset -> start, fingerprints
	spanErased  = 'x' // keyed hash of an entity id -> time of the erasure
	spanMeta    = 'm' // -> position and everything else that is one per partition
	spanGlobal  = 'g' // name
	spanIndex   = 'i' // key, entity id -> nothing
	spanCount   = 'n' // key -> entities listed
	spanDropped = 'u' // offset -> nothing: an event that does not count
	spanStash   = 'w' // rebuild only: state on its way between partitions
	mainSpan    = 'E'
	rebuildSpan = 'S'
)

func globalKey(name string) []byte { return append([]byte{mainSpan, spanGlobal}, name...) }

// key appends the start of a key of this partition to b.
func (p *partition) key(b []byte, span byte) []byte {
	b = append(b, p.prefix...)
	b = append(b, span)
	return binary.BigEndian.AppendUint16(b, uint16(p.id))
}

func (p *partition) entityKey(b []byte, id rapport.ID) []byte {
	return append(p.key(b, spanEntity), id[:]...)
}

// Cold states and rows of a fold under construction are written where they
// will be read once it is switched on: its id is in the key.
func (p *partition) coldKey(b []byte, s *slot, owner rapport.ID) []byte {
	b = append(b, p.home(s)...)
	b = append(b, spanCold)
	b = binary.BigEndian.AppendUint16(b, uint16(p.id))
	b = binary.BigEndian.AppendUint16(b, s.id)
	return append(b, owner[:]...)
}

func (p *partition) rowKey(b []byte, s *slot, owner rapport.ID, key []byte) []byte {
	b = append(b, p.home(s)...)
	b = append(b, spanRow)
	b = binary.BigEndian.AppendUint16(b, uint16(p.id))
	b = binary.BigEndian.AppendUint16(b, s.id)
	b = append(b, owner[:]...)
	return append(b, key...)
}

func (p *partition) timerKey(b []byte, t timerKey) []byte {
	b = p.key(b, spanTimer)
	b = binary.BigEndian.AppendUint64(b, uint64(t.at))
	b = append(b, t.entity[:]...)
	b = append(b, t.fold...)
	b = append(b, 0)
	return append(b, t.name...)
}

func (p *partition) outboxKey(b []byte, kind string, notBefore int64, key string) []byte {
	b = p.key(b, spanOutbox)
	b = append(b, kind...)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(notBefore))
	return append(b, key...)
}
