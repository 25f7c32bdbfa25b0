package epcis

import (
	"encoding/binary"
	"encoding/json"
	"strings"

	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/state"
)

// The index is a fold of the topic of things, in the state store:
//
//	p                       offset of the next record to fold
//	m                       up to which offset items have been told
//	e seq                   record time, JSON of the event; seq is its offset
//	i id                    seq: by eventID
//	t time seq              by event time
//	x id role time seq      an event that names something in a role; value: type and action, other party
//	c parent time seq child what went into a container or out of it; a zero child is all of it
//	n id                    the name behind an id
//	l lot item              things of a lot
//	k item lot              lots of a thing
//	j seq                   a capture job
//	b capture               its seq
//	q name                  a named query
//	s query subscription    a subscription
//	g subscription          how far it was served
//	r recall                a recall
//	v id                    an element of a vocabulary, by the id of its name
const span = "chain/"

func key(kind byte, parts ...[]byte) []byte {
	k := append(make([]byte, 0, 64), span...)
	k = append(k, kind)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func num(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// moment makes a time sort by bytes, also before 1970.
func moment(ms int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(ms)^1<<63) }

func readMoment(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

func readNum(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

// role is in which way an event names something.
type role byte

const (
	asEPC role = iota + 1
	asParent
	asChild
	asInput
	asOutput
	asClass
	asChildClass
	asInputClass
	asOutputClass
	asLocation
	asReadPoint
	asTransaction
	asTransformation
)

// Kinds of records in the topic. Their numbers are part of the log format; the
// topic is shared, so they leave room: this room has 1 to 31.
const (
	recordEvent        uint8 = iota + 1 // capture id, JSON of one event
	recordJob                           // a capture job
	recordMark                          // items were told of everything below an offset
	recordQuery                         // a named query made or removed
	recordSubscription                  // a subscription made or removed
	recordServed                        // how far a subscription was served
	recordRecall                        // a recall begun, told or lifted
	recordMaster                        // elements of vocabularies
)

func eventData(capture string, json []byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, len(json)+len(capture)+4), uint64(len(capture)))
	return append(append(b, capture...), json...)
}

func decodeEventData(data []byte) (capture string, json []byte, ok bool) {
	n, k := binary.Uvarint(data)
	if k <= 0 || n > uint64(len(data)-k) {
		return "", nil, false
	}
	return string(data[k : k+int(n)]), data[k+int(n):], true
}

// folding is one run of records on its way into the store.
type folding struct {
	s     *state.Store
	batch *state.Batch
	err   error
}

func (f *folding) set(k, v []byte) {
	if f.err == nil {
		f.err = f.batch.Set(k, v)
	}
}

func (f *folding) delete(k []byte) {
	if f.err == nil {
		f.err = f.batch.Delete(k)
	}
}

// record folds one record. What cannot be read was written by another edition
// of the program and is an error of ours.
func (f *folding) record(r *eventlog.Record) error {
	switch r.Kind {
	case recordEvent:
		_, data, ok := decodeEventData(r.Data)
		if !ok {
			return errDamaged
		}
		e, err := decodeEvent(data)
		if err != nil {
			return err
		}
		f.event(e, r.Offset, r.Time)
	case recordMark:
		if len(r.Data) != 8 {
			return errDamaged
		}
		f.set(key('m'), r.Data)
	case recordMaster:
		return f.master(r.Data)
	case recordJob:
		var j Job
		if err := json.Unmarshal(r.Data, &j); err != nil {
			return err
		}
		f.set(key('j', num(r.Offset)), r.Data)
		f.set(key('b', []byte(j.ID)), num(r.Offset))
	case recordQuery:
		var q NamedQuery
		if err := json.Unmarshal(r.Data, &q); err != nil {
			return err
		}
		if q.Removed {
			f.delete(key('q', []byte(q.Name)))
		} else {
			f.set(key('q', []byte(q.Name)), r.Data)
		}
	case recordSubscription:
		var s Subscription
		if err := json.Unmarshal(r.Data, &s); err != nil {
			return err
		}
		k := key('s', []byte(s.Query), []byte{0}, []byte(s.ID))
		if s.Removed {
			f.delete(k)
		} else {
			f.set(k, r.Data)
		}
	case recordRecall:
		var x Recall
		if err := json.Unmarshal(r.Data, &x); err != nil {
			return err
		}
		f.set(key('r', []byte(x.ID)), r.Data)
	case recordServed:
		var p progress
		if err := json.Unmarshal(r.Data, &p); err != nil {
			return err
		}
		f.set(key('g', []byte(p.Subscription)), r.Data)
	}
	return f.err
}

func (f *folding) event(e *Event, seq, recorded int64) {
	f.set(key('e', num(seq)), append(moment(recorded), e.JSON...))
	if e.ID != "" && e.Error == nil {
		x := idOf(e.ID)
		f.set(key('i', x[:]), num(seq))
	}
	at := moment(e.Time)
	f.set(key('t', at, num(seq)), nil)
	sum := []byte{typeByte(e.Type), actionByte(e.Action)}

	index := func(text string, r role, other []byte) (own id, lot string) {
		n, lot := name(text)
		own = idOf(n)
		f.set(key('x', own[:], []byte{byte(r)}, at, num(seq)), append(sum[:2:2], other...))
		if r < asLocation {
			f.set(key('n', own[:]), []byte(n))
		}
		if lot != "" {
			f.lot(own, n, lot)
		}
		return own, lot
	}
	var parent id
	if e.Parent != "" {
		parent, _ = index(e.Parent, asParent, nil)
	}
	inner, class := asEPC, asClass
	packing := e.Type == Aggregation || e.Type == Association
	switch {
	case packing:
		inner, class = asChild, asChildClass
	case e.Type == Transformation:
		inner, class = asInput, asInputClass
	}
	batch := lotOf(e)
	for _, x := range e.EPCs {
		own, lot := index(x, inner, parentBytes(packing, parent))
		if packing {
			f.set(key('c', parent[:], at, num(seq), own[:]), sum)
		}
		if inner == asEPC && batch != "" && lot == "" {
			f.batchOf(own, x, batch)
		}
	}
	for _, q := range e.Quantities {
		own, _ := index(q.Class, class, parentBytes(packing, parent))
		if packing {
			f.set(key('c', parent[:], at, num(seq), own[:]), sum)
		}
	}
	if packing && e.Action == Delete && len(e.EPCs)+len(e.Quantities) == 0 {
		f.set(key('c', parent[:], at, num(seq), make([]byte, 16)), sum)
	}
	for _, x := range e.OutputEPCs {
		if own, lot := index(x, asOutput, nil); batch != "" && lot == "" {
			f.batchOf(own, x, batch)
		}
	}
	for _, q := range e.OutputQuantities {
		index(q.Class, asOutputClass, nil)
	}
	for text, r := range map[string]role{e.ReadPoint: asReadPoint, e.TransformationID: asTransformation} {
		if text != "" {
			index(text, r, nil)
		}
	}
	if e.BizLocation != "" {
		index(e.BizLocation, asLocation, nil)
	}
	for _, t := range e.Transactions {
		index(t.ID, asTransaction, nil)
	}
}

func parentBytes(packing bool, parent id) []byte {
	if !packing {
		return nil
	}
	return parent[:]
}

func (f *folding) lot(item id, itemName, lot string) {
	l := idOf(lot)
	f.set(key('n', l[:]), []byte(lot))
	f.set(key('l', l[:], item[:]), []byte(itemName))
	f.set(key('k', item[:], l[:]), []byte(lot))
}

// batchOf puts a thing into the lot that the event's master data names.
func (f *folding) batchOf(item id, uri, batch string) {
	k, err := gs1.Parse(uri)
	if err != nil || k.GTIN() == "" {
		return
	}
	if lot := LotName(k.GTIN(), batch); lot != "" {
		f.lot(item, Name(uri), lot)
	}
}

// lotOf returns the lot number in an event's instance and lot master data.
func lotOf(e *Event) string {
	for _, field := range []string{"cbvmda:lotNumber", "gs1:hasBatchLotNumber", "cbv:lotNumber"} {
		if s, ok := e.Master[field].(string); ok && s != "" && !strings.ContainsAny(s, " \t\n") {
			return s
		}
	}
	return ""
}

var types = []Type{Object, Aggregation, Association, Transaction, Transformation}

func typeByte(t Type) byte {
	for i, x := range types {
		if t == x {
			return byte(i + 1)
		}
	}
	return 0
}

func actionByte(a string) byte {
	switch a {
	case Add:
		return 1
	case Observe:
		return 2
	case Delete:
		return 3
	}
	return 0
}
