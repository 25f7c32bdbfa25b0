package identity

import (
	"encoding/binary"
	"maps"

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
	recordVerdict  = 8 // as recordRegroup, which it replaces: it says how firm a quarantine is, and leaves devices' intervals to whom they are
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
	// Of recordRegroup and recordVerdict: the links that cease to count and those that do again,
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
		if o.link.Kind == Device { // whose the interval is does not depend on what counts
			first := t.ensure(o.first)
			t.enter(first, a, o.link.Epoch)
			t.own(first, a, b)
		}
		if o.kind == recordHeld {
			if o.link.Kind != Probable { // likeness alone is no doubt; a verdict says if it is
				t.contested[a], t.contested[b] = true, true
			}
			return from, to, false
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
		a, b := t.ensure(o.link.A), t.ensure(o.link.B)
		t.contested[a], t.contested[b] = true, true // until it is weighed who they are without it
		switch o.link.Kind {
		case Device:
			t.disown(t.ensure(o.first), a)
		case Verified:
			if t.at(a).owner > 0 {
				t.at(a).owner--
			}
		}
		t.regroup(o.parts)
	case recordRegroup, recordVerdict:
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

// parted reports whether an op tells the persons after it.
func (o *op) parted() bool {
	switch o.kind {
	case recordWithdraw, recordErase, recordRegroup, recordVerdict:
		return true
	}
	return false
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
		b = rapport.AppendText(b, o.by)
	case recordHeld:
		b = append(b, o.link.ID[:]...)
		b = appendNames(b, &o.link)
	case recordErase:
		b = binary.AppendVarint(b, o.at)
		b = rapport.AppendText(b, o.by)
	case recordRegroup, recordVerdict:
		b = appendRegroupNames(b, o)
	case recordScore:
		b = append(b, o.link.ID[:]...)
		b = binary.AppendVarint(b, o.link.At)
		b = rapport.AppendFloat(b, o.link.Bits)
		b = rapport.AppendText(rapport.AppendText(b, o.link.Evidence), o.link.By)
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
	case recordRegroup, recordVerdict:
		b = append(b, o.node[:]...)
		b = appendRegroup(b, o)
	}
	if o.parted() {
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
	b = rapport.AppendFloat(b, l.Bits)
	for _, s := range [...]string{l.Evidence, l.By, l.Identifiers[0].Kind, l.Identifiers[0].Value, l.Identifiers[1].Kind, l.Identifiers[1].Value} {
		b = rapport.AppendText(b, s)
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
		b = rapport.AppendText(rapport.AppendText(b, s.Field), s.Level)
		b = rapport.AppendFloat(rapport.AppendFloat(b, s.Bits), s.Rarity)
	}
	return b
}

func (d *decoder) score(l *Link) {
	l.Guarded, l.Model = d.Byte() == 1, int64(d.Uvarint())
	for range d.Count(18) {
		s := Step{Field: d.Text(), Level: d.Text(), Bits: d.Float(), Rarity: d.Float()}
		l.Steps = append(l.Steps, s)
	}
}

// decodeOp reads the whole binary form. It returns an Internal error if b is damaged.
func decodeOp(b []byte, o *op) error {
	d := newDecoder(b)
	if codec := d.Byte(); codec != opCodec && !d.Failed() {
		return rapport.Errorf(rapport.Internal, "identity record codec %d is not known to this version", codec)
	}
	d.bare(o)
	switch o.kind {
	case recordLink, recordHeld:
		o.link.ID = LinkID(d.ID())
		d.names(&o.link)
	case recordRegroup, recordVerdict:
		d.regroupNames(o)
	case recordWithdraw:
		o.link.ID = LinkID(d.ID())
		o.at, o.by = d.Varint(), d.Text()
	case recordErase:
		o.at, o.by = d.Varint(), d.Text()
	case recordScore:
		o.link.ID = LinkID(d.ID())
		o.link.At, o.link.Bits, o.link.Evidence, o.link.By = d.Varint(), d.Float(), d.Text(), d.Text()
		d.score(&o.link)
	}
	if !d.Done() {
		return rapport.Errorf(rapport.Internal, "identity record of %d bytes is damaged", len(b))
	}
	return nil
}

// decoder reads what stands in the records of this room.
type decoder struct{ rapport.Decoder }

func newDecoder(b []byte) decoder { return decoder{rapport.NewDecoder(b)} }

func (d *decoder) bare(o *op) {
	*o = op{kind: d.Byte()}
	switch o.kind {
	case recordLink, recordHeld, recordWithdraw, recordScore:
		o.link.Kind = Kind(d.Byte())
		o.link.A = d.ID()
		o.link.B = d.ID()
		if o.link.Kind == Device {
			o.first = d.ID()
			o.link.Epoch = uint32(d.Uvarint())
		}
	case recordInterval:
		o.first = d.ID()
		o.node = d.ID()
		o.epoch = uint32(d.Uvarint())
		o.turn = uint32(d.Uvarint())
	case recordErase:
		o.node = d.ID()
	case recordRegroup, recordVerdict:
		o.node = d.ID()
		d.regroup(o)
	default:
		d.Fail()
	}
	if !o.parted() {
		return
	}
	for range d.Count(1) {
		n := d.Count(16)
		part := make([]rapport.ID, 0, n)
		for range n {
			part = append(part, d.ID())
		}
		o.parts = append(o.parts, part)
	}
	for range d.Count(8) {
		o.pairs = append(o.pairs, d.Uint64())
	}
	if o.kind == recordErase && (len(o.parts) != 1 || len(o.parts[0]) == 0) {
		d.Fail()
	}
}

func (d *decoder) names(l *Link) {
	l.At, l.Bits = d.Varint(), d.Float()
	for _, s := range [...]*string{&l.Evidence, &l.By, &l.Identifiers[0].Kind, &l.Identifiers[0].Value, &l.Identifiers[1].Kind, &l.Identifiers[1].Value} {
		*s = d.Text()
	}
	if l.Kind == Probable {
		d.score(l)
	}
}
