package rapport

import "time"

// EventType is the call that made an event, in Segment's terms, or TypeSystem
// for facts Rapport itself records (decisions, deliveries, erasures).
type EventType uint8

// The event types. Their numbers are part of the log format.
const (
	TypeTrack EventType = iota + 1
	TypeIdentify
	TypePage
	TypeScreen
	TypeGroup
	TypeAlias
	TypeSystem
)

var eventTypeNames = [...]string{"", "track", "identify", "page", "screen", "group", "alias", "system"}

// String returns the type as it stands on the wire.
func (t EventType) String() string {
	if int(t) < len(eventTypeNames) {
		return eventTypeNames[t]
	}
	return "unknown"
}

// ParseEventType returns the type for a wire name, or 0.
func ParseEventType(s string) EventType {
	for i, n := range eventTypeNames {
		if i > 0 && n == s {
			return EventType(i)
		}
	}
	return 0
}

// MarshalText returns the wire name.
func (t EventType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Event is one digital moment of a person or an item: the fact everything else
// is folded from. Times are Unix milliseconds so that an event holds no
// pointers to time zones and encodes the same everywhere.
//
// An event decoded from the log shares its strings and Fields with the record
// buffer. Whoever keeps a part beyond the fold must clone it.
type Event struct {
	Type      EventType
	Name      string // track: the event; page and screen: the name; system: see the System constants
	MessageID string // unique per source; the key of deduplication
	Source    string // id of the source document that let it in

	UserID      string
	AnonymousID string
	PreviousID  string // alias only
	GroupID     string // group only

	Timestamp         int64 // when it happened, corrected for the client's clock
	OriginalTimestamp int64 // when the client says it happened
	SentAt            int64 // when the client says it was sent; 0 if unsaid
	ReceivedAt        int64 // when a door took it

	Properties Fields
	Traits     Fields
	Context    Fields

	// Identifiers are all names on the event, normalised, strongest first.
	// Identifiers[0] routes the event.
	Identifiers []Identifier

	// History marks an event that updates state but triggers no sending:
	// imported, or older than the configured age when received.
	History bool

	// Entity and Fragment are stamped by identity when the event is accepted:
	// whom it belonged to then, and under which immutable fragment it folds.
	Entity   ID
	Fragment ID

	// Body carries the payload of a system fact in the codec its room owns.
	Body []byte
}

// Names of system events, as they appear on a timeline.
const (
	SystemDecision         = "Decision Made"
	SystemScheduled        = "Decision Scheduled"
	SystemDelivery         = "Delivery Result"
	SystemSegmentEntered   = "Segment Entered"
	SystemSegmentLeft      = "Segment Left"
	SystemErased           = "Person Erased"
	SystemTrackingPlanFail = "Event Quarantined"
	// SystemForecast tells who owns an item when its sensor expects it to run out.
	SystemForecast = "Item Forecast"
)

// Names of events with a meaning on the wire.
const (
	EventDecisionShown     = "Decision Shown"
	EventDecisionClicked   = "Decision Clicked"
	EventDecisionDismissed = "Decision Dismissed"
	EventConsentUpdated    = "Consent Updated"
)

// Millis returns t as Unix milliseconds, the unit of every time in the log.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// Time returns the time of Unix milliseconds in UTC.
func Time(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
