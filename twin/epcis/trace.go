package epcis

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/rapport-engine/rapport/state"
)

// Bounds of one trace.
const (
	traceDepth = 16
	traceSteps = 5000
)

// Step is one event on a thing's way.
type Step struct {
	Event *Event `json:"-"`
	Seq   int64  `json:"-"`
	// Of is what the event names: the thing itself, a container it was in then,
	// or what it was made from or became.
	Of string `json:"of"`
	// Relation is self, container, content, lot, source or product.
	Relation string `json:"relation"`
	// Depth is how many packings and makings lie between.
	Depth int `json:"depth"`
}

// Stay is an interval within a container.
type Stay struct {
	Container string `json:"container"`
	From      int64  `json:"from"`
	To        int64  `json:"to,omitempty"` // 0: still
}

// Trace is the way of a thing, upstream and downstream.
type Trace struct {
	Name  string
	Steps []Step // oldest first
	Stays []Stay // the thing's own
	// Contents are what is or was directly in it.
	Contents []string
	// Sources are what it was made from, Products what became of it.
	Sources, Products []string
	// Truncated says that there is more than fits.
	Truncated bool
}

// Direction says which way a trace goes beside the thing's own events and
// those of its containers.
type Direction uint8

// Directions of a trace.
const (
	Upstream   Direction = 1 << iota // what it was made from
	Downstream                       // what it holds and what became of it
)

// Trace follows a thing, lot or class through packing and making.
func (c *Chain) Trace(ctx context.Context, of string, way Direction) (*Trace, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	snap := c.Store.Snapshot()
	t, err := c.tracer(snap)
	if err != nil {
		return nil, errors.Join(err, snap.Close())
	}
	t.seen, t.visited, t.out = map[int64]bool{}, map[visit]bool{}, &Trace{Name: Name(of)}
	err = t.follow(idOf(t.out.Name), t.out.Name, span64{math.MinInt64, math.MaxInt64}, "self", 0, way)
	if err == nil {
		err = t.load()
	}
	return t.out, errors.Join(err, t.it.Close(), snap.Close())
}

// tracer returns a tracer over r. Its iterator must be closed.
func (c *Chain) tracer(r reader) (*tracer, error) {
	it, err := r.Scan([]byte(span), state.PrefixEnd([]byte(span)))
	return &tracer{c: c, r: r, it: it}, err
}

type span64 struct{ from, to int64 }

func (s span64) meet(o span64) (span64, bool) {
	m := span64{max(s.from, o.from), min(s.to, o.to)}
	return m, m.from <= m.to
}

type visit struct {
	of       id
	relation string
	from, to int64
}

// tracer reads the index with one iterator, as making one costs more than
// moving it.
type tracer struct {
	c       *Chain
	r       reader
	it      *state.Iterator
	out     *Trace
	seen    map[int64]bool
	visited map[visit]bool
}

// row is one entry of a thing's events.
type row struct {
	role   role
	at     int64
	seq    int64
	action byte
	other  id
}

// rows returns what names a thing, within a time.
func (t *tracer) rows(of id, r role, in span64, each func(row) bool) error {
	lower, upper := key('x', of[:], []byte{byte(r)}, moment(in.from)), state.PrefixEnd(key('x', of[:], []byte{byte(r)}, moment(in.to)))
	const head = len(span) + 1 + 16 + 1
	for ok := t.it.Seek(lower); ok && bytes.Compare(t.it.Key(), upper) < 0; ok = t.it.Next() {
		k, v := t.it.Key(), t.it.Value()
		x := row{role: r, at: readMoment(k[head:]), seq: readNum(k[head+8:])}
		if len(v) >= 2 {
			x.action = v[1]
		}
		if len(v) >= 18 {
			x.other = id(v[2:18])
		}
		if !each(x) {
			break
		}
	}
	return nil
}

func (t *tracer) name(x id) string {
	b, _, _ := t.r.Get(key('n', x[:]), nil)
	return string(b)
}

func (t *tracer) add(seq int64, of, relation string, depth int) bool {
	if t.seen[seq] {
		return true
	}
	if len(t.out.Steps) >= traceSteps {
		t.out.Truncated = true
		return false
	}
	t.seen[seq] = true
	t.out.Steps = append(t.out.Steps, Step{Seq: seq, Of: of, Relation: relation, Depth: depth})
	return true
}

// follow adds the events that name a thing within a time, and goes on from there.
func (t *tracer) follow(of id, name string, in span64, relation string, depth int, way Direction) error {
	v := visit{of, relation, in.from, in.to}
	if t.visited[v] {
		return nil
	}
	if depth > traceDepth {
		t.out.Truncated = true
		return nil
	}
	t.visited[v] = true

	own := []role{asEPC, asChild, asInput, asOutput, asClass, asChildClass, asInputClass, asOutputClass}
	if depth == 0 || relation == "content" {
		own = append(own, asParent)
	}
	for _, r := range own {
		if err := t.rows(of, r, in, func(x row) bool { return t.add(x.seq, name, relation, depth) }); err != nil {
			return err
		}
	}
	if err := t.containers(of, in, depth, relation == "self"); err != nil {
		return err
	}
	if way&Downstream != 0 && (relation == "self" || relation == "content" || relation == "product") {
		if err := t.contents(of, in, depth); err != nil {
			return err
		}
		if err := t.making(of, in, depth, asInput, asInputClass, Downstream); err != nil {
			return err
		}
	}
	if way&Upstream != 0 && relation != "content" && relation != "product" {
		if err := t.lots(of, in, depth); err != nil {
			return err
		}
		return t.making(of, in, depth, asOutput, asOutputClass, Upstream)
	}
	return nil
}

// containers follows what a thing was in, while it was in it.
func (t *tracer) containers(of id, in span64, depth int, own bool) error {
	stays, err := t.stays(of)
	if err != nil {
		return err
	}
	for _, s := range stays {
		name := t.name(s.in)
		if own {
			to := s.span.to
			if to == math.MaxInt64 {
				to = 0
			}
			t.out.Stays = append(t.out.Stays, Stay{name, s.span.from, to})
		}
		if during, ok := in.meet(s.span); ok {
			if err := t.follow(s.in, name, during, "container", depth+1, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

type stay struct {
	in   id
	span span64
}

// stays returns the intervals in which a thing was in containers, by time.
func (t *tracer) stays(of id) ([]stay, error) {
	var events []row
	for _, r := range []role{asChild, asChildClass} {
		err := t.rows(of, r, span64{math.MinInt64, math.MaxInt64}, func(x row) bool {
			events = append(events, x)
			return len(events) < traceSteps
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(events, func(a, b row) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
	var out []stay
	for _, x := range events {
		i := -1
		for j := range out {
			if out[j].in == x.other && out[j].span.to == math.MaxInt64 {
				i = j
			}
		}
		switch {
		case x.action == actionByte(Delete) && i >= 0:
			out[i].span.to = x.at
		case x.action == actionByte(Delete):
			out = append(out, stay{x.other, span64{x.at, x.at}})
		case i < 0:
			out = append(out, stay{x.other, span64{x.at, math.MaxInt64}})
		}
	}
	for i := range out {
		if out[i].span.to != math.MaxInt64 {
			continue
		}
		emptied, err := t.emptied(out[i].in, out[i].span.from)
		if err != nil {
			return nil, err
		}
		out[i].span.to = emptied
	}
	return out, nil
}

// emptied returns when everything was taken out of a container after a time.
func (t *tracer) emptied(in id, after int64) (int64, error) {
	at := int64(math.MaxInt64)
	// Only events that name no child can be it; they have no row of a child, so
	// look at the container's own deletions.
	err := t.rows(in, asParent, span64{after, math.MaxInt64}, func(x row) bool {
		if x.action != actionByte(Delete) {
			return true
		}
		_, found, err := t.r.Get(key('c', in[:], moment(x.at), num(x.seq), make([]byte, 16)), nil)
		if err == nil && found {
			at = x.at
			return false
		}
		return true
	})
	return at, err
}

// contents follows what was in a thing.
func (t *tracer) contents(of id, in span64, depth int) error {
	children, err := t.inside(of, in)
	if err != nil {
		return err
	}
	for _, x := range children {
		name := t.name(x.in)
		if depth == 0 {
			t.out.Contents = append(t.out.Contents, name)
		}
		if err := t.follow(x.in, name, x.span, "content", depth+1, Downstream); err != nil {
			return err
		}
		if t.out.Truncated {
			return nil
		}
	}
	return nil
}

// inside returns what was in a container within a time, each with its interval from going in.
func (t *tracer) inside(of id, in span64) ([]stay, error) {
	lower, upper := key('c', of[:]), state.PrefixEnd(key('c', of[:], moment(in.to)))
	const head = len(span) + 1 + 16
	var out []stay
	place := map[id]int{} // of the open stay
	for ok := t.it.Seek(lower); ok && bytes.Compare(t.it.Key(), upper) < 0 && len(out) < traceSteps; ok = t.it.Next() {
		k, v := t.it.Key(), t.it.Value()
		at, child := readMoment(k[head:]), id(k[head+16:])
		gone := len(v) >= 2 && v[1] == actionByte(Delete)
		switch i, open := place[child]; {
		case gone && child == id{}:
			for _, i := range place {
				out[i].span.to = at
			}
			clear(place)
		case gone && open:
			out[i].span.to = at
			delete(place, child)
		case !gone && !open:
			place[child] = len(out)
			out = append(out, stay{child, span64{at, math.MaxInt64}})
		}
	}
	return slices.DeleteFunc(out, func(s stay) bool { return s.span.to < in.from }), nil
}

// lots follows the lots a thing belongs to.
func (t *tracer) lots(of id, in span64, depth int) error {
	lots := t.list(key('k', of[:]))
	for _, lot := range lots {
		if err := t.follow(idOf(lot), lot, in, "lot", depth+1, Upstream); err != nil {
			return err
		}
	}
	return nil
}

// list returns the values under a prefix.
func (t *tracer) list(prefix []byte) (out []string) {
	for ok := t.it.Seek(prefix); ok && bytes.HasPrefix(t.it.Key(), prefix); ok = t.it.Next() {
		out = append(out, string(t.it.Value()))
	}
	return out
}

// making follows transformations: to what went in, or to what came out.
func (t *tracer) making(of id, in span64, depth int, one, class role, way Direction) error {
	var seqs []row
	for _, r := range []role{one, class} {
		if err := t.rows(of, r, in, func(x row) bool { seqs = append(seqs, x); return len(seqs) < traceSteps }); err != nil {
			return err
		}
	}
	for _, x := range seqs {
		others, err := t.other(x, way)
		if err != nil {
			return err
		}
		relation, when := "source", span64{math.MinInt64, x.at}
		list := &t.out.Sources
		if way == Downstream {
			relation, when, list = "product", span64{x.at, math.MaxInt64}, &t.out.Products
		}
		for _, uri := range others {
			n := Name(uri)
			if !slices.Contains(*list, n) {
				*list = append(*list, n)
			}
			if err := t.follow(idOf(n), n, when, relation, depth+1, way); err != nil {
				return err
			}
			if t.out.Truncated {
				return nil
			}
		}
	}
	return nil
}

// other returns the far side of a transformation, gathered from all parts of
// it where it was told in several events.
func (t *tracer) other(x row, way Direction) ([]string, error) {
	e, err := t.c.event(t.r, x.seq)
	if err != nil {
		return nil, err
	}
	parts := []*Event{e}
	if e.TransformationID != "" {
		parts = parts[:0]
		err := t.rows(idOf(Name(e.TransformationID)), asTransformation, span64{math.MinInt64, math.MaxInt64}, func(y row) bool {
			var part *Event
			if part, err = t.c.event(t.r, y.seq); err != nil {
				return false
			}
			parts = append(parts, part)
			return len(parts) < 1000
		})
		if err != nil {
			return nil, err
		}
	}
	var out []string
	for _, p := range parts {
		epcs, quantities := p.EPCs, p.Quantities
		if way == Downstream {
			epcs, quantities = p.OutputEPCs, p.OutputQuantities
		}
		out = append(out, epcs...)
		for _, q := range quantities {
			out = append(out, q.Class)
		}
	}
	return out, nil
}

// load reads the events and puts them in order of time.
func (t *tracer) load() error {
	for i := range t.out.Steps {
		e, err := t.c.event(t.r, t.out.Steps[i].Seq)
		if err != nil {
			return err
		}
		t.out.Steps[i].Event = e
	}
	slices.SortFunc(t.out.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Event.Time, b.Event.Time), cmp.Compare(a.Seq, b.Seq))
	})
	return nil
}
