package profile

import (
	"cmp"
	"encoding/binary"
	"errors"
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
	rowEvents    = 16  // events of a row
)

// TimelineFold keeps, for every event, where in the log it stands: about seven
// bytes. The newest stand in the state and leave it for a row when there are
// rowEvents of them, so that most events write none. The event itself is read
// from the log when somebody looks
// (docs/decisions/timeline-points-into-the-log.md says why).
type TimelineFold struct{}

// Name implements engine.Fold.
func (TimelineFold) Name() string { return FoldTimeline }

// Version implements engine.Fold.
func (TimelineFold) Version() uint32 { return 2 }

// Scope implements engine.Fold.
func (TimelineFold) Scope() engine.Scope { return engine.PerFragment }

// New implements engine.Fold.
func (TimelineFold) New() engine.State { return &timeline{} }

// Positioned implements engine.Positioned.
func (TimelineFold) Positioned() {}

// timeline is the newest entries and, of the rows, how many entries they hold
// in each span of time, so that the oldest can go without being read. Which
// entries share a row and where spans begin depends on the order of arrival, as
// positions do.
type timeline struct {
	newest int64  // time of the newest event, Unix ms
	spans  []span // oldest first
	recent []TimelineEntry
	key    [18]byte
}

// span counts the entries with times from its begin to that of the next.
type span struct {
	begin  int64
	facts  uint64
	system uint64
}

// TimelineEntry says when an event happened, where its record stands and what
// type it is.
type TimelineEntry struct {
	TimelineKey
	Type rapport.EventType
}

// Apply implements engine.State.
func (t *timeline) Apply(c *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem && internal(e.Name) {
		return
	}
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
	t.insert(TimelineEntry{TimelineKey{At: at, Partition: c.Partition, Offset: c.Offset}, e.Type})
	if len(t.recent) >= rowEvents {
		c.PutRow(t.recent[len(t.recent)-1].Append(t.key[:0]), appendEntries(make([]byte, 0, 16*rowEvents), t.recent))
		t.recent = t.recent[:0]
	}
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
		c.DeleteRows(nil, TimelineKey{At: t.spans[1].begin}.Append(t.key[:0]))
		t.spans = slices.Delete(t.spans, 0, 1)
	}
}

func (t *timeline) insert(e TimelineEntry) {
	i := len(t.recent)
	for i > 0 && t.recent[i-1].Compare(e.TimelineKey) > 0 {
		i--
	}
	t.recent = slices.Insert(t.recent, i, e)
}

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
	for _, e := range o.recent {
		t.insert(e)
	}
}

// AppendBinary implements engine.State.
func (t *timeline) AppendBinary(b []byte) []byte {
	if len(t.spans) == 0 {
		return b
	}
	b = binary.AppendVarint(b, t.newest)
	b = binary.AppendUvarint(b, uint64(len(t.spans)))
	for _, s := range t.spans {
		ago := uint64(0) // no begin
		if s.begin != math.MinInt64 {
			ago = uint64(t.newest-s.begin) + 2
		}
		b = binary.AppendUvarint(b, ago)
		b = binary.AppendUvarint(b, s.facts)
		b = binary.AppendUvarint(b, s.system)
	}
	return appendEntries(b, t.recent)
}

// DecodeBinary implements engine.State.
func (t *timeline) DecodeBinary(b []byte) error {
	t.newest, t.spans, t.recent = 0, t.spans[:0], t.recent[:0]
	if len(b) == 0 {
		return nil
	}
	r := reader{b: b}
	t.newest = r.varint()
	for n := r.count(); n > 0; n-- {
		s := span{begin: math.MinInt64}
		if ago := r.uvarint(); ago > 0 {
			s.begin = t.newest - int64(ago-2)
		}
		s.facts, s.system = r.uvarint(), r.uvarint()
		t.spans = append(t.spans, s)
	}
	t.recent = readEntries(&r, t.recent)
	return r.done("timeline")
}

// appendEntries appends entries, each relative to the one before.
func appendEntries(b []byte, entries []TimelineEntry) []byte {
	at, offset := int64(0), int64(0)
	for _, e := range entries {
		b = binary.AppendVarint(b, e.At-at)
		b = binary.AppendUvarint(b, uint64(e.Partition)<<3|uint64(e.Type&7))
		b = binary.AppendVarint(b, e.Offset-offset)
		at, offset = e.At, e.Offset
	}
	return b
}

// readEntries appends to entries what is left in r.
func readEntries(r *reader, entries []TimelineEntry) []TimelineEntry {
	at, offset := int64(0), int64(0)
	for len(r.b) > 0 && !r.bad {
		at += r.varint()
		where := r.uvarint()
		offset += r.varint()
		if where>>3 > math.MaxUint16 {
			r.bad = true
		}
		entries = append(entries, TimelineEntry{TimelineKey{at, int32(where >> 3), offset}, rapport.EventType(where & 7)})
	}
	return entries
}

// Timeline is the timeline of one entity as it was when the view was taken.
// Close releases it.
type Timeline struct {
	rows   *engine.Rows
	recent []TimelineEntry
}

// TimelineOf returns the timeline of an entity. It may be walked after the view's
// function has returned, and should: that reads from disk.
func TimelineOf(v *engine.View) *Timeline {
	t := &Timeline{rows: v.Rows(FoldTimeline)}
	if s, ok := v.State(FoldTimeline).(*timeline); ok {
		t.recent = slices.Clone(s.recent)
	}
	return t
}

// Walk calls fn with the entries below before, newest first, until it returns
// false. A zero before is the end of time.
func (t *Timeline) Walk(before TimelineKey, fn func(TimelineEntry) bool) error {
	var waiting []TimelineEntry // sorted
	add := func(entries []TimelineEntry) {
		for _, e := range entries {
			if before == (TimelineKey{}) || e.Compare(before) < 0 {
				waiting = append(waiting, e)
			}
		}
		slices.SortFunc(waiting, func(a, b TimelineEntry) int { return a.Compare(b.TimelineKey) })
	}
	give := func(above TimelineKey) bool {
		for n := len(waiting); n > 0 && waiting[n-1].Compare(above) > 0; n-- {
			e := waiting[n-1]
			waiting = waiting[:n-1]
			if !fn(e) {
				return false
			}
		}
		return true
	}
	add(t.recent)
	more := true
	var entries []TimelineEntry
	var damage error
	// The key of a row is its newest entry: what is above it is not in any row to come.
	err := t.rows.Walk(nil, nil, true, func(key, value []byte) bool {
		k, ok := ParseTimelineKey(key)
		r := reader{b: value}
		entries = readEntries(&r, entries[:0])
		if damage = r.done("timeline"); !ok || damage != nil {
			return false
		}
		more = give(k)
		add(entries)
		return more
	})
	if err == nil && damage == nil && more {
		give(TimelineKey{At: math.MinInt64, Offset: math.MinInt64})
	}
	return errors.Join(err, damage)
}

// Close releases the timeline.
func (t *Timeline) Close() error {
	if t == nil {
		return nil
	}
	return t.rows.Close()
}

// TimelineKey is a place in a timeline: when the event happened and where its
// record stands in the events topic. Keys sort by time.
type TimelineKey struct {
	At        int64
	Partition int32
	Offset    int64
}

const signBit = 1 << 63

// Compare orders places by time.
func (k TimelineKey) Compare(o TimelineKey) int {
	return cmp.Or(cmp.Compare(k.At, o.At), cmp.Compare(k.Partition, o.Partition), cmp.Compare(k.Offset, o.Offset))
}

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
