package epcis

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Fact is what an event means for one thing.
type Fact struct {
	Item    string // its name
	Event   *Event
	Seq     int64
	Capture string
	// Parent is the container the thing went into or left by this event.
	Parent string
	// Inside is the container that the event names when the thing itself is
	// not named: it was in there at the time.
	Inside string
	// Lot is the thing's lot number as far as the event tells.
	Lot string
}

// contentMost bounds the things one event of a container is told to.
const contentMost = 20_000

// tell lets every item know of its events, once: the records of the items and
// the mark that says so are one submission.
func (c *Chain) tell(ctx context.Context) error {
	if c.Items == nil {
		return nil
	}
	_, next := c.Log.Bounds(eventlog.Things, 0)
	if err := c.wait(ctx, next); err != nil { // every mark there is, is folded
		return err
	}
	told := int64(0)
	switch v, found, err := c.Store.Get(key('m'), nil); {
	case err != nil:
		return err
	case found:
		told = readNum(v)
	default:
		told, _ = c.Log.Bounds(eventlog.Things, 0)
	}
	r, err := c.Log.Reader(eventlog.Things, 0, told)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if err := c.wait(ctx, records[len(records)-1].Offset+1); err != nil {
			return err
		}
		for len(records) > 0 {
			n, err := c.tellSome(ctx, records)
			if rapport.KindOf(err) == rapport.Unavailable && ctx.Err() == nil {
				c.Logger.Warn("items are not told of the supply chain yet", "error", err)
				select {
				case <-ctx.Done():
				case <-c.Clock.After(time.Second):
				}
				continue
			}
			if err != nil {
				return err
			}
			records = records[n:]
		}
	}
}

// factsAtOnce bounds a submission to items.
const factsAtOnce = 2000

func (c *Chain) tellSome(ctx context.Context, records []eventlog.Record) (n int, err error) {
	var facts []Fact
	for n < len(records) && len(facts) < factsAtOnce {
		r := &records[n]
		n++
		if r.Kind != recordEvent {
			continue
		}
		capture, data, ok := decodeEventData(r.Data)
		if !ok {
			return 0, errDamaged
		}
		e, err := decodeEvent(data)
		if err != nil {
			return 0, err
		}
		e.Record = r.Time
		more, err := c.facts(e, r.Offset, capture)
		if err != nil {
			return 0, err
		}
		facts = append(facts, more...)
	}
	if len(facts) == 0 {
		return n, nil
	}
	mark := eventlog.Record{Topic: eventlog.Things, Kind: recordMark, Data: num(records[n-1].Offset + 1)}
	return n, c.Items.Tell(ctx, facts, mark)
}

// facts lists what an event means for things: those it names, and those that
// were in the containers it names.
func (c *Chain) facts(e *Event, seq int64, capture string) ([]Fact, error) {
	var out []Fact
	seen := map[string]bool{}
	lot := lotOf(e)
	fact := func(name, parent, inside string) {
		if seen[name] || !isThing(name) {
			return
		}
		seen[name] = true
		out = append(out, Fact{Item: name, Event: e, Seq: seq, Capture: capture, Parent: parent, Inside: inside, Lot: lot})
	}
	packing := e.Type == Aggregation || e.Type == Association
	carriers := e.EPCs
	parent := ""
	if e.Parent != "" {
		parent = Name(e.Parent)
		fact(parent, "", "")
		carriers = append(append([]string(nil), e.EPCs...), e.Parent)
	}
	for _, x := range e.EPCs {
		if packing {
			fact(Name(x), parent, "")
		} else {
			fact(Name(x), "", "")
		}
	}
	for _, x := range e.OutputEPCs {
		fact(Name(x), "", "")
	}
	t, err := c.tracer(c.Store)
	if err != nil {
		return nil, err
	}
	defer t.it.Close()
	if packing && e.Action == Delete && len(e.EPCs)+len(e.Quantities) == 0 {
		// Everything is taken out: those inside until now leave by this event.
		children, err := t.inside(idOf(parent), span64{e.Time, e.Time})
		if err != nil {
			return nil, err
		}
		for _, x := range children {
			fact(t.name(x.in), parent, "")
		}
	}
	var descend func(of, top string, depth int)
	descend = func(of, top string, depth int) {
		if err != nil || depth > traceDepth || len(out) >= contentMost {
			return
		}
		children, failed := t.inside(idOf(of), span64{e.Time, e.Time})
		err = errors.Join(err, failed)
		for _, x := range children {
			if x.span.from <= e.Time && x.span.to >= e.Time && x.span.to != math.MinInt64 {
				n := t.name(x.in)
				fact(n, "", top)
				descend(n, top, depth+1)
			}
		}
	}
	for _, x := range carriers {
		n := Name(x)
		if packing && n == parent {
			continue // what is done to the container's content is told by name
		}
		descend(n, n, 0)
	}
	return out, err
}
