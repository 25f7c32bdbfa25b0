package profile

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// A fragment's timeline holds at least the newest TimelineKept events of a
// person, as long as no more than systemShare times as many of ours stand among
// them, and never more than a few times as much in all.
const (
	TimelineKept = 1000
	systemShare  = 4
	spanEvents   = 256 // events of a span before a new one begins
)

// TimelineFold keeps, for every event, where in the log it stands: 18 bytes of
// key and its type. The event itself is read from the log when somebody looks
// (docs/decisions/timeline-points-into-the-log.md says why).
type TimelineFold struct{}

// Name implements engine.Fold.
func (TimelineFold) Name() string { return FoldTimeline }

// Version implements engine.Fold.
func (TimelineFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (TimelineFold) Scope() engine.Scope { return engine.PerFragment }

// New implements engine.Fold.
func (TimelineFold) New() engine.State { return &timeline{} }

// timeline knows of its rows only how many there are in each span of time, so
// that the oldest can go without being read. Where spans begin depends on the
// order of arrival, as the positions in rows do.
type timeline struct {
	newest int64  // time of the newest event, Unix ms
	spans  []span // oldest first
	row    [18]byte
}

// span counts the rows with times from its begin to that of the next.
type span struct {
	begin  int64
	facts  uint64
	system uint64
}

// Apply implements engine.State.
func (t *timeline) Apply(c *engine.Context, e *rapport.Event) {
	at := e.Timestamp
	if len(t.spans) == 0 {
		t.newest, t.spans = at, append(t.spans, span{begin: math.MinInt64})
	}
	i := len(t.spans) - 1
	for i >= 0 && t.spans[i].begin > at {
		i--
	}
	if i < 0 || i == 0 && (t.spans[0].facts >= 2*TimelineKept || t.spans[0].system >= 2*systemShare*TimelineKept) {
		return // older than what is kept
	}
	t.newest = max(t.newest, at)
	c.PutRow(TimelineKey{At: at, Partition: c.Partition, Offset: c.Offset}.Append(t.row[:0]), typeRows[e.Type&7:][:1])
	s := &t.spans[i]
	if e.Type == rapport.TypeSystem {
		s.system++
	} else {
		s.facts++
	}
	if i == len(t.spans)-1 && (s.facts >= spanEvents || s.system >= systemShare*spanEvents) {
		t.spans = append(t.spans, span{begin: t.newest + 1})
	}
	if t.oldestMayGo() {
		c.DeleteRows(nil, TimelineKey{At: t.spans[1].begin}.Append(t.row[:0]))
		t.spans = slices.Delete(t.spans, 0, 1)
	}
}

// typeRows holds the values of rows: the event's type.
var typeRows = [8]byte{0, 1, 2, 3, 4, 5, 6, 7}

// oldestMayGo reports whether the other spans hold what is to be kept.
func (t *timeline) oldestMayGo() bool {
	if len(t.spans) < 2 {
		return false
	}
	facts, system := uint64(0), uint64(0)
	for _, s := range t.spans[1:] {
		facts, system = facts+s.facts, system+s.system
	}
	return facts >= TimelineKept || system >= systemShare*TimelineKept
}

// Merge implements engine.State.
func (t *timeline) Merge(other engine.State) {
	o := other.(*timeline)
	if len(t.spans) == 0 {
		t.newest = o.newest
	} else if len(o.spans) > 0 {
		t.newest = max(t.newest, o.newest)
	}
	for _, s := range o.spans {
		i, found := slices.BinarySearchFunc(t.spans, s, func(a, b span) int { return cmp.Compare(a.begin, b.begin) })
		if !found {
			t.spans = slices.Insert(t.spans, i, s)
			continue
		}
		t.spans[i].facts += s.facts
		t.spans[i].system += s.system
	}
}

// AppendBinary implements engine.State.
func (t *timeline) AppendBinary(b []byte) []byte {
	if len(t.spans) == 0 {
		return b
	}
	b = binary.AppendVarint(b, t.newest)
	for _, s := range t.spans {
		ago := uint64(0) // no begin
		if s.begin != math.MinInt64 {
			ago = uint64(t.newest-s.begin) + 2
		}
		b = binary.AppendUvarint(b, ago)
		b = binary.AppendUvarint(b, s.facts)
		b = binary.AppendUvarint(b, s.system)
	}
	return b
}

// DecodeBinary implements engine.State.
func (t *timeline) DecodeBinary(b []byte) error {
	t.newest, t.spans = 0, t.spans[:0]
	if len(b) == 0 {
		return nil
	}
	r := reader{b: b}
	t.newest = r.varint()
	for len(r.b) > 0 && !r.bad {
		s := span{begin: math.MinInt64}
		if ago := r.uvarint(); ago > 0 {
			s.begin = t.newest - int64(ago-2)
		}
		s.facts, s.system = r.uvarint(), r.uvarint()
		t.spans = append(t.spans, s)
	}
	return r.done("timeline")
}

// TimelineKey is a row of a timeline: when the event happened and where its
// record stands in the events topic. Keys sort by time.
type TimelineKey struct {
	At        int64
	Partition int32
	Offset    int64
}

const signBit = 1 << 63

// Append appends the sortable form.
func (k TimelineKey) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(k.At)^signBit) // times before 1970 sort first
	b = binary.BigEndian.AppendUint16(b, uint16(k.Partition))
	return binary.BigEndian.AppendUint64(b, uint64(k.Offset))
}

// ParseTimelineKey reads the sortable form.
func ParseTimelineKey(b []byte) (k TimelineKey, ok bool) {
	if len(b) != 18 {
		return k, false
	}
	return TimelineKey{
		At:        int64(binary.BigEndian.Uint64(b) ^ signBit),
		Partition: int32(binary.BigEndian.Uint16(b[8:])), Offset: int64(binary.BigEndian.Uint64(b[10:])),
	}, true
}
