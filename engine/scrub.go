package engine

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Moved returns whose states or rows a record of the events topic carries from
// one partition to another: of whom, and to whom. at is the time (Unix ms) up to
// which they tell. ok is false for every other record. Whoever erased one of
// them removes the record from the log, beside their events ([EventAt]); the
// other kinds name ids only and stay.
func Moved(r *eventlog.Record) (of, to rapport.ID, at int64, ok bool, err error) {
	if r.Kind != KindDerived {
		return of, to, 0, false, nil
	}
	var d derived
	if err := d.decode(r.Data); err != nil {
		return of, to, 0, false, err
	}
	rd := reader{b: d.data}
	switch d.kind {
	case KindMove:
		rd.byte()
		at = readCause(&rd).at
		of = rd.id()
	case KindRows:
		of = rd.id()
		rd.text()
		rd.uvarint()
		at = rd.varint()
	default:
		return of, to, 0, false, nil
	}
	if rd.bad {
		return of, to, 0, false, damaged("moved state")
	}
	return of, d.target, at, true, nil
}
