package engine

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// ConfigOf returns the configuration number (see [Number]) a record of the
// events topic brings to its partition: a barrier's, or the one a derived
// record set out with. ok is false for other records.
func ConfigOf(r *eventlog.Record) (number int64, ok bool) {
	switch r.Kind {
	case KindBarrier:
		if len(r.Data) < 1 || r.Data[0] != barrierConfig {
			return 0, false
		}
		rd := reader{b: r.Data[1:]}
		number = rd.varint()
		return number, !rd.bad
	case KindDerived:
		var d derived
		if d.decode(r.Data) != nil {
			return 0, false
		}
		return d.config, true
	}
	return 0, false
}

// HistoryOf returns the event that a record adds to history, as [EventOf] does,
// if a fold counts it as accepted before the configuration since was adopted.
// adopted tells whether the record stands behind a record of its partition that
// brings since or a later one: the cut is the same wherever the event is folded.
func HistoryOf(r *eventlog.Record, e *rapport.Event, since int64, adopted bool) (ok bool, err error) {
	if ok, err = EventOf(r, e); !ok || err != nil {
		return false, err
	}
	if r.Kind == KindDerived {
		number, known := ConfigOf(r)
		return known && Later(since, number), nil
	}
	return !adopted, nil
}
