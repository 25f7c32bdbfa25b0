package identity

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Quarantine is a value that names nobody for the time being.
type Quarantine struct {
	Node       rapport.ID         `json:"node"`
	Identifier rapport.Identifier `json:"identifier"`
	Reason     string             `json:"reason"`
	People     int                `json:"people"` // people or values it brought together
	At         int64              `json:"at"`     // Unix ms
	By         string             `json:"by"`
	final      bool               // see standing
}

func (q *Quarantine) standing() standing {
	if q.final {
		return final
	}
	return provisional
}

// A verdict says of each value in quarantine by whom it is there, and how firmly.
const (
	byRulesProvisionally = iota
	byRulesForGood
	bySomebody
)

// applyRegroup makes a verdict take effect.
func (t *table) applyRegroup(o *op) {
	for _, id := range o.release {
		delete(t.junk, t.ensure(id))
	}
	for i := range o.junk {
		t.junk[t.ensure(o.junk[i].Node)] = o.junk[i].standing()
	}
	for _, h := range o.hold {
		if h.kind == Device && o.kind == recordRegroup {
			t.disown(t.ensure(h.first), t.ensure(h.a))
		}
	}
	for _, h := range o.resume {
		if n := t.ensure(h.a); h.kind == Device && (o.kind == recordRegroup || t.at(n).owner == 0) { // a former verdict took it
			t.own(t.ensure(h.first), n, t.ensure(h.b))
		}
	}
	for _, part := range o.parts {
		for _, id := range part {
			if n, ok := t.find(id); ok {
				delete(t.contested, n)
			}
		}
	}
	for _, id := range o.contested {
		t.contested[t.ensure(id)] = true
	}
	t.regroup(o.parts)
}

func appendRegroup(b []byte, o *op) []byte {
	for _, refs := range [...][]ref{o.hold, o.resume} {
		b = binary.AppendUvarint(b, uint64(len(refs)))
		for _, h := range refs {
			b = append(append(append(append(append(b, byte(h.kind)), h.a[:]...), h.b[:]...), h.link[:]...), h.first[:]...)
		}
	}
	junk := make([]rapport.ID, len(o.junk))
	for i := range o.junk {
		junk[i] = o.junk[i].Node
	}
	for _, ids := range [...][]rapport.ID{o.contested, o.release, junk} {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			b = append(b, id[:]...)
		}
	}
	if o.kind == recordVerdict {
		for i := range o.junk {
			switch q := &o.junk[i]; {
			case !q.final:
				b = append(b, byRulesProvisionally)
			case q.By == byRules:
				b = append(b, byRulesForGood)
			default:
				b = append(b, bySomebody)
			}
		}
	}
	return b
}

func (d *decoder) regroup(o *op) {
	for _, refs := range [...]*[]ref{&o.hold, &o.resume} {
		for range d.Count(65) {
			h := ref{kind: Kind(d.Byte()), a: d.ID(), b: d.ID()}
			h.link = LinkID(d.ID())
			h.first = d.ID()
			*refs = append(*refs, h)
		}
	}
	var junk []rapport.ID
	for _, ids := range [...]*[]rapport.ID{&o.contested, &o.release, &junk} {
		for range d.Count(16) {
			*ids = append(*ids, d.ID())
		}
	}
	for _, id := range junk {
		q := Quarantine{Node: id, final: true}
		if o.kind == recordVerdict {
			how := d.Byte()
			if how > bySomebody {
				d.Fail()
			}
			if q.final = how != byRulesProvisionally; how != bySomebody {
				q.By = byRules
			}
		}
		o.junk = append(o.junk, q)
	}
}

// appendRegroupNames appends the part of a verdict that names somebody.
func appendRegroupNames(b []byte, o *op) []byte {
	b = rapport.AppendText(binary.AppendVarint(b, o.at), o.by)
	for i := range o.junk {
		q := &o.junk[i]
		b = binary.AppendUvarint(b, uint64(q.People))
		for _, s := range [...]string{q.Identifier.Kind, q.Identifier.Value, q.Reason} {
			b = rapport.AppendText(b, s)
		}
	}
	return b
}

func (d *decoder) regroupNames(o *op) {
	o.at, o.by = d.Varint(), d.Text()
	for i := range o.junk {
		q := &o.junk[i]
		if q.People, q.At = int(d.Uvarint()), o.at; q.By == "" {
			q.By = o.by
		}
		q.Identifier.Kind, q.Identifier.Value, q.Reason = d.Text(), d.Text(), d.Text()
	}
}

// regroup folds a verdict into the journal.
func (f *folding) regroup(o *op) (bool, error) {
	if !f.j.recent.add(binary.LittleEndian.Uint64(o.node[8:]) ^ uint64(o.at)*0x9e3779b97f4a7c15) {
		return false, nil
	}
	for i, refs := range [...][]ref{o.hold, o.resume} {
		for _, h := range refs {
			l, found, err := f.j.link(h.a, h.link)
			if err != nil {
				return false, err
			}
			if !found || l.Withdrawn != nil {
				continue
			}
			l.Held = i == 0
			err = f.batch.Set(key('n', h.a[:], h.link[:]), appendEntry(nil, &l))
			if l.Held {
				err = errors.Join(err, f.batch.Set(key('r', h.link[:]), append([]byte(nil), h.a[:]...)))
			} else {
				err = errors.Join(err, f.batch.Delete(key('r', h.link[:])))
			}
			if err != nil {
				return false, err
			}
		}
	}
	for _, id := range o.release {
		if err := f.batch.Delete(key('q', id[:])); err != nil {
			return false, err
		}
	}
	for i := range o.junk {
		q := &o.junk[i]
		b := rapport.AppendText(binary.AppendVarint(nil, q.At), q.By)
		b = binary.AppendUvarint(b, uint64(q.People))
		for _, s := range [...]string{q.Identifier.Kind, q.Identifier.Value, q.Reason} {
			b = rapport.AppendText(b, s)
		}
		if err := f.batch.Set(key('q', q.Node[:]), b); err != nil {
			return false, err
		}
	}
	return true, nil
}

func decodeQuarantine(node rapport.ID, b []byte) (Quarantine, error) {
	d := newDecoder(b)
	q := Quarantine{Node: node, At: d.Varint(), By: d.Text(), People: int(d.Uvarint())}
	q.Identifier.Kind, q.Identifier.Value, q.Reason = d.Text(), d.Text(), d.Text()
	if !d.Done() {
		return q, rapport.Errorf(rapport.Internal, "the entry of a quarantined value is damaged")
	}
	return q, nil
}

// regroup makes a verdict take effect and asks the engine to bring every
// fragment to where it belongs: what leaves its person is split off first, then
// what belongs together is merged.
func (c *change) regroup(o *op) {
	t := c.r.table
	type piece struct{ before, after rapport.ID }
	before := make(map[rapport.ID]rapport.ID)
	for _, part := range o.parts {
		for _, id := range part {
			before[id] = t.person(id)
		}
	}
	c.apply(o)
	pieces := make(map[piece][]rapport.ID)
	var order []piece
	for _, part := range o.parts {
		for _, id := range part {
			p := piece{before[id], t.person(id)}
			if pieces[p] == nil {
				order = append(order, p)
			}
			pieces[p] = append(pieces[p], id)
		}
	}
	partitions := c.r.o.Log.Partitions(topicEvents)
	name := "regroup " + hex.EncodeToString(o.node[:8])
	at := make(map[piece]rapport.ID)
	for _, p := range order {
		if at[p] = p.before; slices.Contains(pieces[p], p.before) {
			continue // the others leave
		}
		stays := pieces[p][0]
		for _, id := range pieces[p] {
			x, _ := t.find(id)
			y, _ := t.find(stays)
			if t.senior(x, y) {
				stays = id
			}
		}
		at[p] = stays
		for _, fragment := range pieces[p] {
			c.move(move{from: p.before, to: stays, split: true, fragments: []rapport.ID{fragment}},
				engine.SplitRecords(partitions, p.before, fragment, stays, name+" apart")...)
		}
	}
	for _, p := range order {
		if at[p] != p.after {
			c.move(move{from: at[p], to: p.after, fragments: pieces[p]}, engine.MergeRecord(partitions, at[p], p.after, name+" together"))
		}
	}
}
