package identity

import (
	"encoding/binary"
	"maps"
	"math"

	"github.com/rapport-engine/rapport"
)

// Kinds of records in the identity topic. Their numbers are part of the log format.
const (
	recordLink     = 1 // two nodes are one person
	recordInterval = 2 // a device enters an interval
	recordWithdraw = 3 // a link no longer counts
	recordErase    = 4 // a person is forgotten
	recordHeld     = 5 // evidence that does not count, as it would unite two who are known to be different, or is too weak
	recordRegroup  = 6 // evidence begins or ceases to count; values are quarantined or released
	recordScore    = 7 // a probable link has another weight
)

// op is one change of who is who, as it stands in the identity topic (whole)
// and in the ledger (without names). The table is a fold of ops: everything a
// change does to the table stands in the op, so that no replay looks anything up.
type op struct {
	kind uint8
	// link: of recordLink all of it, of recordWithdraw ID, A, B and Withdrawn, of
	// recordScore all but the names.
	link Link
	// first is the device's first interval; zero unless a Device link or recordInterval.
	first rapport.ID
	// node and epoch are the interval the device enters (recordInterval); turn
	// counts its changes of interval, so that a second copy is told apart.
	node  rapport.ID
	epoch uint32
	turn  uint32
	// parts are the persons after a withdrawal, each with all its nodes;
	// of recordErase one part, the nodes forgotten, and node tells one erasure
	// of them from another.
	parts [][]rapport.ID
	// pairs are the keys of the links forgotten (recordErase).
	pairs []uint64
	// at and by tell of recordErase when and by which job.
	at int64
	by string
	// Of recordRegroup: the links that cease to count and those that do again,
	// the nodes that have links that do not, and values in and out of quarantine.
	hold, resume []ref
	contested    []rapport.ID
	junk         []Quarantine
	release      []rapport.ID
}

// ref names a link in the journal.
type ref struct {
	a, b rapport.ID
	kind Kind
	link LinkID
	// first is the device's first interval, of Device links.
	first rapport.ID
}

// apply folds one op into the table. It returns which person became part of
// which, if one did. A log may hold a submission twice: the second copy of an
// op does nothing.
func (t *table) apply(o *op) (from, to rapport.ID, merged bool) {
	switch o.kind {
	case recordLink, recordHeld:
		if !t.pairs.add(pair(o.link.Kind, o.link.A, o.link.B)) {
			return from, to, false
		}
		t.ops++
		a, b := t.ensure(o.link.A), t.ensure(o.link.B)
		if o.link.Kind == Verified {
			t.at(a).owner++
		}
		if o.kind == recordHeld {
			if o.link.Kind != Probable { // likeness alone is no doubt; a verdict says if it is
				t.contested[a], t.contested[b] = true, true
			}
			return from, to, false
		}
		if o.link.Kind == Device {
			first := t.ensure(o.first)
			t.enter(first, a, o.link.Epoch)
			t.own(first, a, b)
		}
		return t.union(a, b)
	case recordInterval:
		if first := t.ensure(o.first); o.turn == t.turn(first)+1 {
			t.enter(first, t.ensure(o.node), o.epoch)
		}
	case recordWithdraw:
		if !t.pairs.add(o.once()) {
			return from, to, false
		}
		switch a := t.ensure(o.link.A); o.link.Kind {
		case Device:
			t.disown(t.ensure(o.first), a)
		case Verified:
			if t.at(a).owner > 0 {
				t.at(a).owner--
			}
		}
		t.regroup(o.parts)
	case recordRegroup:
		if t.pairs.add(o.once()) {
			t.applyRegroup(o)
		}
	case recordErase:
		if t.pairs.add(o.once()) {
			t.forget(o)
		}
	}
	return from, to, false
}

// once is the key under which the table remembers that a withdrawal or an erasure was applied.
func (o *op) once() uint64 {
	if o.kind == recordWithdraw {
		return withdrawn(o.link.Kind, o.link.A, o.link.B)
	}
	return pair(Kind(0), o.node, o.node)
}

// withdrawn is the key of the withdrawal of a link.
func withdrawn(k Kind, a, b rapport.ID) uint64 { return pair(k|1<<7, a, b) }

// forget makes strangers of the nodes of a person and lets their links be made anew.
func (t *table) forget(o *op) {
	for _, key := range o.pairs {
		t.pairs.remove(key)
	}
	gone := make(map[uint32]bool)
	for _, id := range o.parts[0] {
		if n, ok := t.find(id); ok {
			x := t.at(n)
			x.root, x.next, x.owner = n, n, 0
			gone[n] = true
			delete(t.contested, n)
			delete(t.junk, n)
		}
	}
	maps.DeleteFunc(t.intervals, func(_ uint64, n uint32) bool { return gone[n] })
}

const opCodec = 1

// appendOp appends the whole binary form of an op, as the topic holds it.
func appendOp(b []byte, o *op) []byte {
	b = append(b, opCodec)
	b = appendBare(b, o)
	switch o.kind {
	case recordLink:
		b = append(b, o.link.ID[:]...)
		b = appendNames(b, &o.link)
	case recordWithdraw:
		b = append(b, o.link.ID[:]...)
		b = binary.AppendVarint(b, o.at)
		b = appendText(b, o.by)
	case recordHeld:
		b = append(b, o.link.ID[:]...)
		b = appendNames(b, &o.link)
	case recordErase:
		b = binary.AppendVarint(b, o.at)
		b = appendText(b, o.by)
	case recordRegroup:
		b = appendRegroupNames(b, o)
	case recordScore:
		b = append(b, o.link.ID[:]...)
		b = binary.AppendVarint(b, o.link.At)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(o.link.Bits))
		b = appendText(appendText(b, o.link.Evidence), o.link.By)
		b = appendScore(b, &o.link)
	}
	return b
}

// appendBare appends what the table needs of an op: no names, no times.
func appendBare(b []byte, o *op) []byte {
	b = append(b, o.kind)
	switch o.kind {
	case recordLink, recordHeld, recordWithdraw, recordScore:
		b = append(b, byte(o.link.Kind))
		b = append(b, o.link.A[:]...)
		b = append(b, o.link.B[:]...)
		if o.link.Kind == Device {
			b = append(b, o.first[:]...)
			b = binary.AppendUvarint(b, uint64(o.link.Epoch))
		}
	case recordInterval:
		b = append(b, o.first[:]...)
		b = append(b, o.node[:]...)
		b = binary.AppendUvarint(b, uint64(o.epoch))
		b = binary.AppendUvarint(b, uint64(o.turn))
	case recordErase:
		b = append(b, o.node[:]...)
	case recordRegroup:
		b = append(b, o.node[:]...)
		b = appendRegroup(b, o)
	}
	if o.kind == recordWithdraw || o.kind == recordErase || o.kind == recordRegroup {
		b = binary.AppendUvarint(b, uint64(len(o.parts)))
		for _, part := range o.parts {
			b = binary.AppendUvarint(b, uint64(len(part)))
			for _, id := range part {
				b = append(b, id[:]...)
			}
		}
		b = binary.AppendUvarint(b, uint64(len(o.pairs)))
		for _, p := range o.pairs {
			b = binary.LittleEndian.AppendUint64(b, p)
		}
	}
	return b
}

// appendNames appends the part of a link that names somebody.
func appendNames(b []byte, l *Link) []byte {
	b = binary.AppendVarint(b, l.At)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(l.Bits))
	for _, s := range [...]string{l.Evidence, l.By, l.Identifiers[0].Kind, l.Identifiers[0].Value, l.Identifiers[1].Kind, l.Identifiers[1].Value} {
		b = appendText(b, s)
	}
	if l.Kind == Probable {
		b = appendScore(b, l)
	}
	return b
}

// appendScore appends how the weight of a Probable link came about.
func appendScore(b []byte, l *Link) []byte {
	guarded := byte(0)
	if l.Guarded {
		guarded = 1
	}
	b = binary.AppendUvarint(append(b, guarded), uint64(l.Model))
	b = binary.AppendUvarint(b, uint64(len(l.Steps)))
	for _, s := range l.Steps {
		b = appendText(appendText(b, s.Field), s.Level)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.Bits))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.Rarity))
	}
	return b
}

func (d *decoder) score(l *Link) {
	l.Guarded, l.Model = d.byte() == 1, int64(d.uvarint())
	for range d.count(18) {
		s := Step{Field: d.text(), Level: d.text(), Bits: d.float(), Rarity: d.float()}
		l.Steps = append(l.Steps, s)
	}
}

func (d *decoder) float() float64 {
	if p := d.take(8); p != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(p))
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeOp reads the whole binary form. It returns an Internal error if b is damaged.
func decodeOp(b []byte, o *op) error {
	d := decoder{b: b}
	if codec := d.byte(); codec != opCodec && !d.bad {
		return rapport.Errorf(rapport.Internal, "identity record codec %d is not known to this version", codec)
	}
	d.bare(o)
	switch o.kind {
	case recordLink, recordHeld:
		copy(o.link.ID[:], d.take(16))
		d.names(&o.link)
	case recordRegroup:
		d.regroupNames(o)
	case recordWithdraw:
		copy(o.link.ID[:], d.take(16))
		o.at, o.by = d.varint(), d.text()
	case recordErase:
		o.at, o.by = d.varint(), d.text()
	case recordScore:
		copy(o.link.ID[:], d.take(16))
		o.link.At, o.link.Bits, o.link.Evidence, o.link.By = d.varint(), d.float(), d.text(), d.text()
		d.score(&o.link)
	}
	if d.bad || len(d.b) != 0 {
		return rapport.Errorf(rapport.Internal, "identity record of %d bytes is damaged", len(b))
	}
	return nil
}

// decoder reads our binary forms; after a failure it stays bad and returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) bare(o *op) {
	*o = op{kind: d.byte()}
	switch o.kind {
	case recordLink, recordHeld, recordWithdraw, recordScore:
		o.link.Kind = Kind(d.byte())
		copy(o.link.A[:], d.take(16))
		copy(o.link.B[:], d.take(16))
		if o.link.Kind == Device {
			copy(o.first[:], d.take(16))
			o.link.Epoch = uint32(d.uvarint())
		}
	case recordInterval:
		copy(o.first[:], d.take(16))
		copy(o.node[:], d.take(16))
		o.epoch = uint32(d.uvarint())
		o.turn = uint32(d.uvarint())
	case recordErase:
		copy(o.node[:], d.take(16))
	case recordRegroup:
		copy(o.node[:], d.take(16))
		d.regroup(o)
	default:
		d.bad = true
	}
	if o.kind != recordWithdraw && o.kind != recordErase && o.kind != recordRegroup {
		return
	}
	for range d.count(1) {
		n := d.count(16)
		part := make([]rapport.ID, 0, n)
		for range n {
			part = append(part, d.id())
		}
		o.parts = append(o.parts, part)
	}
	for range d.count(8) {
		if p := d.take(8); p != nil {
			o.pairs = append(o.pairs, binary.LittleEndian.Uint64(p))
		}
	}
	if o.kind == recordErase && (len(o.parts) != 1 || len(o.parts[0]) == 0) {
		d.bad, d.b = true, nil
	}
}

func (d *decoder) names(l *Link) {
	l.At, l.Bits = d.varint(), d.float()
	for _, s := range [...]*string{&l.Evidence, &l.By, &l.Identifiers[0].Kind, &l.Identifiers[0].Value, &l.Identifiers[1].Kind, &l.Identifiers[1].Value} {
		*s = d.text()
	}
	if l.Kind == Probable {
		d.score(l)
	}
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
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) id() (id rapport.ID) {
	copy(id[:], d.take(16))
	return id
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

// count reads a number of elements of at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
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

func (d *decoder) text() string { return string(d.take(d.count(1))) }
