package identity

import (
	"context"
	"slices"
	"strconv"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Erase forgets a person: its links, their identifiers and evidence leave the
// journal, its nodes are strangers to each other, and the engine erases the
// entity. It returns once that is durable, with the nodes that were the person
// (keyed hashes, no names), for whoever scrubs the log. job is kept with them.
// What the person does later is a new person's, under the same ids.
//
// The records of the identity topic that hold names remain until the log is
// scrubbed (see [Concerns]) or trimmed. Kinds: Unavailable.
func (r *Resolver) Erase(ctx context.Context, person rapport.ID, job string) ([]rapport.ID, error) {
	who, release, err := r.freeze(ctx, person)
	if err != nil {
		return nil, err
	}
	o := &op{kind: recordErase, parts: [][]rapport.ID{who.Fragments}, at: rapport.Millis(r.o.Clock.Now()), by: job}
	o.node = r.sum("", job+strconv.FormatInt(o.at, 10), 0)
	for _, l := range slices.Concat(who.Links, who.Withdrawn, who.Held) {
		o.pairs = append(o.pairs, pair(l.Kind, l.A, l.B), withdrawn(l.Kind, l.A, l.B))
	}
	if r.o.Sources != nil { // before, so that no link names them any more; after, to forget what they said
		r.changes.add(true, who.Fragments...)
		defer r.changes.add(true, who.Fragments...)
	}
	c := change{r: r}
	for _, l := range who.Held { // others may be in doubt no longer
		c.seeds = append(c.seeds, l.A, l.B)
		if l.Kind == Device {
			c.seeds = append(c.seeds, r.mint1(&l.Identifiers[0]))
		}
	}
	r.mu.Lock()
	c.apply(o)
	r.mu.Unlock()
	c.records = append(c.records, engine.EraseRecords(r.o.Log.Partitions(eventlog.Events), who.Person, who.Fragments, job)...)
	return who.Fragments, c.submit(ctx, release)
}

// Erased is one node of an erased person.
type Erased struct {
	Node rapport.ID
	At   int64 // Unix ms
	Job  string
}

// Erasures returns every node erased so far, so that a restored backup can be
// brought to apply them. They are keyed hashes: nobody without the key can
// tell whose.
func (r *Resolver) Erasures() (out []Erased, err error) {
	it, err := r.o.State.Scan(key('x'), key('x'+1))
	if err != nil {
		return nil, err
	}
	for it.First(); it.Valid(); it.Next() {
		e := Erased{}
		copy(e.Node[:], it.Key()[len(span)+1:])
		d := newDecoder(it.Value())
		e.At, e.Job = d.Varint(), d.Text()
		out = append(out, e)
	}
	return out, it.Close()
}

// Concerns reports whether a record of the identity topic holds names of one
// of the nodes, so that a scrub of the log must remove it.
func Concerns(record *eventlog.Record, nodes func(rapport.ID) bool) bool {
	var o op
	if decodeOp(record.Data, &o) != nil {
		return false
	}
	switch record.Kind {
	case recordLink, recordHeld:
		return nodes(o.link.A) || nodes(o.link.B)
	case recordRegroup, recordVerdict:
		return slices.ContainsFunc(o.junk, func(q Quarantine) bool { return nodes(q.Node) })
	}
	return false
}
