package engine

import (
	"bytes"
	"errors"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// Rows are the rows of one fold for one entity as they were when the view was
// taken. Walking them reads from disk; it may be done after the view's
// function has returned, so that the owner is not kept waiting. Close releases them.
type Rows struct {
	snap   *state.Snapshot
	owners []ownerRows
}

// ownerRows are the rows of one fragment (or entity): what is stored under
// prefix, changed by what was not stored yet.
type ownerRows struct {
	prefix  []byte
	puts    []row    // sorted
	deletes [][2]row // ranges, keys only
}

type row struct{ key, value []byte }

// rows collects the rows of a fold of some owners, changes not yet stored included.
func (p *partition) rows(s *slot, owners []rapport.ID) *Rows {
	rs := &Rows{snap: p.store.Snapshot(), owners: make([]ownerRows, len(owners))}
	for i, owner := range owners {
		rs.owners[i].prefix = p.rowKey(nil, s, owner, nil)
	}
	for _, c := range [...]*commit{p.sealed, p.open} {
		if c == nil {
			continue
		}
		for j := range c.rows {
			if op := &c.rows[j]; op.slot.id == s.id {
				if i := slices.Index(owners, op.owner); i >= 0 {
					rs.owners[i].change(op.delete, bytes.Clone(c.get(op.key)), bytes.Clone(c.get(op.value)))
				}
			}
		}
	}
	return rs
}

func (o *ownerRows) change(remove bool, key, value []byte) {
	find := func(key []byte) (int, bool) {
		return slices.BinarySearchFunc(o.puts, key, func(r row, key []byte) int { return bytes.Compare(r.key, key) })
	}
	i, found := find(key)
	switch {
	case remove:
		j := len(o.puts)
		if len(value) > 0 {
			j, _ = find(value)
		}
		if i < j {
			o.puts = slices.Delete(o.puts, i, j)
		}
		o.deletes = append(o.deletes, [2]row{{key: key}, {key: value}})
	case found:
		o.puts[i].value = value
	default:
		o.puts = slices.Insert(o.puts, i, row{key, value})
	}
}

func (o *ownerRows) hides(key []byte) bool {
	for _, d := range o.deletes {
		if bytes.Compare(key, d[0].key) >= 0 && (len(d[1].key) == 0 || bytes.Compare(key, d[1].key) < 0) {
			return true
		}
	}
	_, found := slices.BinarySearchFunc(o.puts, key, func(r row, key []byte) int { return bytes.Compare(r.key, key) })
	return found
}

// cursor walks the rows of one owner.
type cursor struct {
	o      *ownerRows
	it     *state.Iterator
	newest bool
	puts   []row
	at     row
	stored bool // at comes from it
	ok     bool
}

func (c *cursor) next() {
	if c.ok { // leave the current row
		if c.stored {
			c.step()
		} else if c.newest {
			c.puts = c.puts[:len(c.puts)-1]
		} else {
			c.puts = c.puts[1:]
		}
	}
	for c.it.Valid() && c.o.hides(c.it.Key()[len(c.o.prefix):]) {
		c.step()
	}
	var put row
	if n := len(c.puts); n > 0 {
		if put = c.puts[0]; c.newest {
			put = c.puts[n-1]
		}
	}
	switch {
	case c.it.Valid():
		key := c.it.Key()[len(c.o.prefix):]
		if put.key == nil || c.newest == (bytes.Compare(key, put.key) > 0) {
			c.at, c.stored, c.ok = row{key, c.it.Value()}, true, true
			return
		}
		fallthrough
	case put.key != nil:
		c.at, c.stored, c.ok = put, false, true
	default:
		c.ok = false
	}
}

func (c *cursor) step() {
	if c.newest {
		c.it.Prev()
	} else {
		c.it.Next()
	}
}

// Walk calls fn with the rows from <= key < to of all fragments, ordered by
// key, highest first if newest is set, until fn returns false. A nil to is the
// end. Key and value are valid during the call.
func (r *Rows) Walk(from, to []byte, newest bool, fn func(key, value []byte) bool) (err error) {
	if r == nil {
		return nil
	}
	var cs []*cursor
	defer func() {
		for _, c := range cs {
			err = errors.Join(err, c.it.Close())
		}
	}()
	for i := range r.owners {
		o := &r.owners[i]
		lower := append(slices.Clone(o.prefix), from...)
		upper := state.PrefixEnd(o.prefix)
		if to != nil {
			upper = append(slices.Clone(o.prefix), to...)
		}
		it, err := r.snap.Scan(lower, upper)
		if err != nil {
			return err
		}
		c := &cursor{o: o, it: it, newest: newest}
		for _, put := range o.puts {
			if bytes.Compare(put.key, from) >= 0 && (to == nil || bytes.Compare(put.key, to) < 0) {
				c.puts = append(c.puts, put)
			}
		}
		if newest {
			it.Last()
		} else {
			it.First()
		}
		c.next()
		cs = append(cs, c)
	}
	for {
		var best *cursor
		for _, c := range cs {
			if c.ok && (best == nil || newest == (bytes.Compare(c.at.key, best.at.key) > 0) && !bytes.Equal(c.at.key, best.at.key)) {
				best = c
			}
		}
		if best == nil || !fn(best.at.key, best.at.value) {
			return nil
		}
		best.next()
	}
}

// Close releases the rows.
func (r *Rows) Close() error {
	if r == nil {
		return nil
	}
	return r.snap.Close()
}
