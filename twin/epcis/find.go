package epcis

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/rapport-engine/rapport/state"
)

// Page is one part of a query's answer.
type Page struct {
	Events []*Event
	// Next is the token of the following page, "" at the end.
	Next string
}

// Bounds of one page's work. Beyond examineMost the page ends early, with a
// token to go on from.
const (
	examineMost = 100_000
	gatherMost  = 500_000
)

// Find returns a page of a query's answer: events by event time or record
// time, latest first unless asked otherwise. Exceptions: QueryParameter for a
// token that is none of ours, QueryTooLarge when maxEventCount is exceeded.
func (c *Chain) Find(ctx context.Context, q *Query) (*Page, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	snap := c.Store.Snapshot()
	page, err := c.find(ctx, snap, q)
	return page, errors.Join(err, snap.Close())
}

// Get returns one event by its id. An id that was taken back and corrected
// names the first. Exception: NoSuchResource.
func (c *Chain) Get(ctx context.Context, eventID string) (*Event, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	x := idOf(eventID)
	seq, found, err := c.Store.Get(key('i', x[:]), nil)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, Raise(NoSuchResourceException, "there is no event %s", eventID)
	}
	return c.event(c.Store, readNum(seq))
}

// place is where an event stands in the order of an answer.
type place struct{ at, seq int64 }

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.seq, o.seq))
}

type cursor struct {
	place
	count int64 // events returned by earlier pages
}

func (x cursor) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(x.at))
	b = binary.BigEndian.AppendUint64(b, uint64(x.seq))
	return base64.RawURLEncoding.EncodeToString(binary.AppendVarint(b, x.count))
}

func parseCursor(s string) (x cursor, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 17 {
		return x, false
	}
	x.at, x.seq = readNum(b), readNum(b[8:])
	n, k := binary.Varint(b[16:])
	x.count = n
	return x, k > 0 && n >= 0
}

func (c *Chain) find(ctx context.Context, r reader, q *Query) (*Page, error) {
	page := &Page{Events: []*Event{}}
	var after *cursor
	if q.token != "" {
		x, ok := parseCursor(q.token)
		if !ok {
			return nil, Raise(QueryParameterException, "nextPageToken is none of ours")
		}
		after = &x
	}
	count := int64(0)
	if after != nil {
		count = after.count
	}
	if q.limit > 0 && count >= int64(q.limit) {
		return page, nil
	}
	examined := 0
	var last place
	more := false
	err := c.candidates(r, q, after, func(p place) (bool, error) {
		if len(page.Events) >= q.perPage || examined >= examineMost || ctx.Err() != nil {
			more = true
			return false, ctx.Err()
		}
		examined++
		last = p
		e, err := c.event(r, p.seq)
		if err != nil {
			return false, err
		}
		if fits, err := c.fits(q, e); err != nil || !fits {
			return err == nil, err
		}
		if count++; q.most > 0 && count > int64(q.most) {
			return false, Raise(QueryTooLargeException, "more than %d events match", q.most)
		}
		page.Events = append(page.Events, e)
		return q.limit == 0 || count < int64(q.limit), nil
	})
	if more {
		page.Next = cursor{last, count}.String()
	}
	return page, err
}

// candidates calls each for events that may match, in the answer's order.
func (c *Chain) candidates(r reader, q *Query, after *cursor, each func(place) (bool, error)) error {
	if q.seeks != nil {
		return c.sought(r, q, after, each)
	}
	prefix, lower, upper := key('t'), key('t', moment(q.event.from)), state.PrefixEnd(key('t', moment(q.event.to)))
	read := func(k []byte) place { return place{readMoment(k[len(prefix):]), readNum(k[len(prefix)+8:])} }
	if q.byRecord {
		prefix = key('e')
		lower, upper = prefix, state.PrefixEnd(prefix)
		read = func(k []byte) place { n := readNum(k[len(prefix):]); return place{n, n} }
	}
	if after != nil {
		k := key('t', moment(after.at), num(after.seq))
		if q.byRecord {
			k = key('e', num(after.seq))
		}
		if q.ascending {
			lower = append(k, 0)
		} else {
			upper = k
		}
	}
	it, err := r.Scan(lower, upper)
	if err != nil {
		return err
	}
	ok := it.First
	step := it.Next
	if !q.ascending {
		ok, step = it.Last, it.Prev
	}
	for valid := ok(); valid && bytes.HasPrefix(it.Key(), prefix); valid = step() {
		on, err := each(read(it.Key()))
		if err != nil || !on {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// sought gathers the events that stand under the names a query asks for.
func (c *Chain) sought(r reader, q *Query, after *cursor, each func(place) (bool, error)) error {
	t, err := c.tracer(r)
	if err != nil {
		return err
	}
	found, err := t.gather(q)
	if err := errors.Join(err, t.it.Close()); err != nil {
		return err
	}
	if len(found) >= gatherMost {
		return Raise(QueryTooComplexException, "more than %d events stand under these names; narrow the time", gatherMost)
	}
	slices.SortFunc(found, place.compare)
	found = slices.Compact(found)
	if !q.ascending {
		slices.Reverse(found)
	}
	for _, p := range found {
		if after != nil {
			if o := p.compare(after.place); q.ascending && o <= 0 || !q.ascending && o >= 0 {
				continue
			}
		}
		on, err := each(p)
		if err != nil || !on {
			return err
		}
	}
	return nil
}

func (t *tracer) gather(q *Query) (found []place, err error) {
	for _, s := range q.seeks {
		for _, x := range s.roles {
			err := t.rows(s.of, x, q.event, func(y row) bool {
				p := place{y.at, y.seq}
				if q.byRecord {
					p.at = y.seq
				}
				found = append(found, p)
				return len(found) < gatherMost
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}
