// Package twin keeps one live record per product item: where it comes from,
// where it is in its life, what it last measured and reported, what is wanted
// of it, whose it is; and it turns what happens to the item into what happens
// to its owner.
//
// Guarantees: a twin is a pure fold of the item's events (DESIGN.md). Late and
// repeated readings never replace newer ones. Every list in it is bounded. A
// change of owner removes what the former owner's use left behind, so nobody
// reads of a former owner. What an item event causes for its owner is appended
// exactly once, by the engine's derived records.
package twin

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/gs1"
)

// Names of the folds of this room.
const (
	FoldItem   = "item"   // per item
	FoldName   = "tag"    // per tag and device name: which item it belongs to
	FoldThings = "things" // per person: the items they hold
)

// Names of the facts of an item. All are system events of the item's entity;
// every other system event of an item is a moment ("Product Opened") that is
// passed on to its owner as a track event.
const (
	EventRegistered = "Item Registered"         // it exists; properties are facts such as lot
	EventCredential = "Item Credential"         // a device token, as hash; or all revoked
	EventTelemetry  = "Item Telemetry"          // properties are readings
	EventReported   = "Item Reported"           // properties are a merge patch of the reported state
	EventDesired    = "Item Desired"            // properties are a merge patch of the desired state
	EventCommand    = "Item Command"            // something it is asked to do
	EventResult     = "Item Command Result"     // what became of a command
	EventMoved      = "Item Moved"              // a step of its way through the supply chain
	EventRecalled   = "Item Recalled"           // it is called back, or no longer
	EventClaimed    = "Item Claimed"            // somebody became its owner
	EventOffered    = "Item Transfer Offered"   // its owner lets go to whoever holds the code
	EventWithdrawn  = "Item Transfer Withdrawn" // the offer stands no more
	EventReleased   = "Item Released"           // it is nobody's again
	EventMember     = "Item Member"             // somebody of the owner's household
	EventConnection = "Item Connection"         // it came or went
	EventRejected   = "Item Input Rejected"     // it sent what could not be read
	EventForetold   = "Item Foretold"           // properties are scores of it: remaining_life, in days
)

// Facts of other entities of this room.
const (
	EventHeld   = "Item Held"  // of a person: what an item they hold is like now
	EventBound  = "Name Bound" // of a tag or device name: the item it belongs to
	EventTapped = "Tag Tapped" // of a tag: a tap whose message code was right
)

// Names of moments with a meaning of their own.
const (
	ProductOpened       = "Product Opened"
	ProductClosed       = "Product Closed"
	ProductTapped       = "Product Tapped"
	ProductScanned      = "Product Scanned"
	ProductRunningLow   = "Product Running Low"
	ProductRefilled     = "Product Refilled"
	ProductNeedsService = "Product Needs Service"
	ProductServiced     = "Product Serviced"
	ProductFault        = "Product Fault"
	ProductUsed         = "Product Used"
	ProductClaimed      = "Product Claimed"
	ProductReleased     = "Product Released"
	ProductReported     = "Product Problem Reported"
	ProductEnded        = "Product Ended"
)

// Moments of recalls. Those who hold the item are told by the server alone; that
// they took note comes from them.
const (
	ProductRecalled           = "Product Recalled"
	ProductRecallLifted       = "Product Recall Lifted"
	ProductRecallAcknowledged = "Product Recall Acknowledged"
)

// Stage is where an item is in its life.
type Stage string

// The stages. An item enters them as facts arrive, in any order of time; the
// one with the latest time stands.
const (
	Registered   Stage = "registered"
	Commissioned Stage = "commissioned"
	Packed       Stage = "packed"
	Shipped      Stage = "shipped"
	Received     Stage = "received"
	OnShelf      Stage = "onShelf"
	Sold         Stage = "sold"
	Owned        Stage = "owned"
	Opened       Stage = "opened"
	InUse        Stage = "inUse"
	Low          Stage = "low"
	NeedsService Stage = "needsService"
	Serviced     Stage = "serviced"
	Transferred  Stage = "transferred"
	Recalled     Stage = "recalled"
	Ended        Stage = "ended"
)

// Source is the source of events made here.
const Source = "items"

// Limits of one item.
const (
	MaxReadings  = 64      // names of readings
	MaxName      = 40      // bytes of a name of a reading
	MaxText      = 256     // bytes of a text reading
	MaxDocument  = 8 << 10 // bytes of the reported and of the desired state
	maxSteps     = 48      // of provenance; the oldest and newest stay
	maxParents   = 16
	maxCommands  = 32
	maxMembers   = 16
	maxFacts     = 32
	maxTokens    = 4
	maxTaps      = 64 // accepted taps whose names are kept
	seriesRaw    = 1024
	seriesHours  = 24 * 90
	seriesDays   = 730
	maxMoments   = 64
	maxRejected  = 8
	maxProblem   = 200
	maxThings    = 64
	maxRecalls   = 8
	maxScores    = 8
	millisHour   = 3600_000
	millisDay    = 24 * millisHour
	maxFactBytes = 256
)

// Name returns the identifier of an item by its key. Keys that do not name one
// thing are Invalid.
func Name(k gs1.Key) (rapport.Identifier, error) {
	item, ok := k.Item()
	if !ok {
		return rapport.Identifier{}, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s does not name a single item", k.ID()), "add the serial number: 01_<GTIN>_21_<serial>")
	}
	return rapport.Identifier{Kind: rapport.KindItem, Value: item.ID()}, nil
}

// TagName returns the identifier of a tag by its UID in hexadecimal.
func TagName(uid string) rapport.Identifier {
	return rapport.Identifier{Kind: rapport.KindItem, Value: "tag:" + uid}
}

// DeviceName returns the identifier of a device by the name it signs in with.
func DeviceName(name string) rapport.Identifier {
	return rapport.Identifier{Kind: rapport.KindItem, Value: "device:" + name}
}

// Fact returns a system event of an item, tag or device name. at is when it
// happened, received when we learned of it, both Unix milliseconds. messageID
// must be the same for the same fact told twice.
func Fact(of rapport.Identifier, name, messageID string, at, received int64, properties rapport.Fields) rapport.Event {
	return rapport.Event{
		Type: rapport.TypeSystem, Name: name, MessageID: messageID, Source: Source, Identifiers: []rapport.Identifier{of},
		Timestamp: at, OriginalTimestamp: at, ReceivedAt: received, Properties: properties,
	}
}

// Holder returns the identifier under which an item keeps its relationship
// while it belongs to nobody: an anonymous person for each time between owners.
func Holder(item string, epoch uint32) rapport.Identifier {
	return rapport.Identifier{Kind: rapport.KindAnonymousID, Value: "item:" + item + ":" + itoa(epoch)}
}

func itoa(n uint32) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}
