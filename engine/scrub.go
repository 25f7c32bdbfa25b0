package engine

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Concerns reports whether a record of the events topic holds something of one
// of the entities or fragments for which of returns true: an event stamped with
// it, or its states and rows on their way between partitions. Whoever erased
// them removes such records from the log. Records that only name ids (merges,
// splits, erasures) hold nothing of a person and stay. A record that cannot be
// read cannot be cleared of it, and concerns.
func Concerns(r *eventlog.Record, of func(rapport.ID) bool) bool {
	kind, data := r.Kind, r.Data
	var d derived
	if kind == KindDerived {
		if d.decode(data) != nil {
			return true
		}
		kind, data = d.kind, d.data
	} else if kind == KindEvent {
		if len(data) < 16 {
			return true
		}
		data = data[16:]
	}
	switch kind {
	case KindEvent, KindEmitted:
		entity, fragment, ok := rapport.EventEntity(data)
		return !ok || of(entity) || of(fragment) || !d.target.IsZero() && of(d.target)
	case KindMove:
		rd := reader{b: data}
		rd.byte()
		readCause(&rd)
		owner := rd.id()
		return rd.bad || of(owner) || of(d.target)
	case KindRows:
		rd := reader{b: data}
		owner := rd.id()
		return rd.bad || of(owner) || of(d.target)
	}
	return false
}
