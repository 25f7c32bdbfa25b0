// Package segmentwire reads the bodies of the Segment HTTP API, as real
// clients send them, straight into [rapport.Event].
//
// Guarantees: one pass over the body and never a generic tree; the work and
// memory for a body are linear in its size and bounded by [Limits]; a body
// that is not JSON is refused whole, while one bad or oversize event among
// good ones is set aside as a [Reject] and the others are kept, in order. The
// result is a function of the body and the [Options] alone: no clock, no
// randomness, no network.
package segmentwire

import (
	"github.com/rapport-engine/rapport"
)

// Limits bound what one body may hold. A zero field means its default.
type Limits struct {
	EventBytes int // JSON of one event; default 256 KiB
	Events     int // events in one body; default 20,000
	Depth      int // nesting of objects and arrays in one event; default 32
	Values     int // members and elements in one event; default 10,000
	TextBytes  int // an id or an event's name; default 1,024
}

func (l Limits) withDefaults() Limits {
	for _, f := range [...]struct {
		v *int
		d int
	}{{&l.EventBytes, 256 << 10}, {&l.Events, 20_000}, {&l.Depth, 32}, {&l.Values, 10_000}, {&l.TextBytes, 1024}} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	return l
}

// Options say how to read a body.
type Options struct {
	// Type is the call the address named, 0 if it named none: then every event
	// says its own type.
	Type rapport.EventType
	// ReceivedAt is when the body arrived, Unix milliseconds.
	ReceivedAt int64
	// Now is what age is measured against, Unix milliseconds; 0 is ReceivedAt.
	// It differs when an event re-enters later than it was received.
	Now int64
	// History marks every event as history (imports).
	History bool
	// HistoryAfter is the age in milliseconds from which an event is history;
	// 0 is one hour.
	HistoryAfter int64
	// Limits bound the body.
	Limits Limits
	// Normalize brings an identifier to the one form it is known by, or says
	// that it identifies nobody. Nil keeps ids as they are and takes no others.
	Normalize func(kind, value string) (string, bool)
	// Identifiers are the names of further traits, and types in
	// context.externalIds, that identify a person; each is its own kind.
	Identifiers []string
	// Defaults stand in for what the events do not say themselves: the rest of
	// the envelope they once came in. They matter when an event re-enters.
	Defaults Defaults
}

// Defaults are what a body may say once for all its events.
type Defaults struct {
	SentAt    int64
	MessageID string
	Context   rapport.Fields
}

// Batch is what a body held. Its strings and Fields refer to the body and to
// the batch's own buffer: they are valid until either is reused. The zero
// Batch is ready for use.
type Batch struct {
	// WriteKey is the key named in the body, if any.
	WriteKey string
	// Events are the well-formed events in the order they stood.
	Events []rapport.Event
	// Rejects are the others.
	Rejects []Reject
	// SentAt is the envelope's, 0 if unsaid.
	SentAt int64
	// Context is the envelope's context, which has been merged into Events.
	Context rapport.Fields
	// Metrics is true for a report of a client library about itself, which
	// holds no events.
	Metrics bool

	body   []byte
	arena  []byte
	ids    []rapport.Identifier
	drafts []draft
}

// Reject is an event that cannot be accepted as it is.
type Reject struct {
	// Raw is the event's JSON as it stood in the body.
	Raw []byte
	// Index is its place in the body.
	Index int
	// Type, Name and MessageID are what could be read of it.
	Type      rapport.EventType
	Name      string
	MessageID string
	// Problem is what is wrong.
	Problem Problem
}

// Codes of problems; a closed set, so that they can label metrics.
const (
	CodeShape      = "shape"      // not an object, or a field of the wrong type
	CodeType       = "type"       // no known event type
	CodeName       = "name"       // a track event without a name
	CodeIdentifier = "identifier" // nobody it could belong to
	CodeTime       = "time"       // a time that cannot be read
	CodeNumber     = "number"     // a number no computer holds
	CodeSize       = "size"       // larger than the limit
	CodeDepth      = "depth"      // nested deeper than the limit
	CodeValues     = "values"     // more members than the limit
)

// Problem says what keeps an event out: where, why, and what to do about it.
type Problem struct {
	Code string `json:"code"`
	Path string `json:"path,omitempty"`
	Why  string `json:"why"`
	Fix  string `json:"fix"`
}

// Error returns path and reason.
func (p Problem) Error() string {
	if p.Path == "" {
		return p.Why
	}
	return p.Path + " " + p.Why
}

// Raw returns the JSON of Events[i] as it stood in the body, for as long as the
// order of Events has not been changed.
func (b *Batch) Raw(i int) []byte {
	d := &b.drafts[i]
	return b.body[d.start:d.end:d.end]
}

// Reset empties b for the next body and keeps its memory, unless a rare large
// body made it large.
func (b *Batch) Reset() {
	const keep = 4 << 20
	if cap(b.arena) > keep || cap(b.Events) > 4096 || cap(b.Rejects) > 4096 {
		*b = Batch{}
		return
	}
	clear(b.Events)
	clear(b.Rejects)
	clear(b.ids)
	clear(b.drafts)
	*b = Batch{Events: b.Events[:0], Rejects: b.Rejects[:0], arena: b.arena[:0], ids: b.ids[:0], drafts: b.drafts[:0]}
}

// draft is what an event says that its final form does not hold as it stands.
type draft struct {
	start, end int
	timestamp  int64 // as said; 0 if unsaid
	original   int64
	sent       int64
	typed      string // the type in the sender's words
	name       string
	category   string
	traits     rapport.Fields // context.traits
	problem    Problem        // Code is empty while nothing is wrong
}
