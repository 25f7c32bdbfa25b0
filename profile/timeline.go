package profile

import (
	"encoding/binary"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// TimelineKept is how far back a timeline reaches before the newest event.
const TimelineKept = 400 * 24 * time.Hour

// TimelineFold keeps, for every event, where in the log it stands: 18 bytes of
// key and nothing else. The event itself is read from the log when somebody
// looks (docs/decisions/0003-timeline-points-into-the-log.md says why).
type TimelineFold struct{}

// Name implements engine.Fold.
func (TimelineFold) Name() string { return FoldTimeline }

// Version implements engine.Fold.
func (TimelineFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (TimelineFold) Scope() engine.Scope { return engine.PerFragment }

// New implements engine.Fold.
func (TimelineFold) New() engine.State { return timeline{} }

// timeline has rows only.
type timeline struct{}

// Apply implements engine.State.
func (timeline) Apply(c *engine.Context, e *rapport.Event) {
	key := TimelineKey{At: e.Timestamp, Partition: c.Partition, Offset: c.Offset}
	c.PutRow(key.Append(nil), nil)
	if c.Offset%1024 == 0 { // now and then is enough
		c.DeleteRows(nil, TimelineKey{At: min(e.Timestamp, c.Time) - TimelineKept.Milliseconds()}.Append(nil))
	}
}

// Merge implements engine.State.
func (timeline) Merge(engine.State) {}

// AppendBinary implements engine.State.
func (timeline) AppendBinary(b []byte) []byte { return b }

// DecodeBinary implements engine.State.
func (timeline) DecodeBinary([]byte) error { return nil }

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
