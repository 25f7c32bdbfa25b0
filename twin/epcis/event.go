package epcis

import "encoding/json"

// Type is what kind of moment an event tells of. Types of other vocabularies
// are prefixed names or URIs; their events are kept and found, not understood.
type Type string

// The event types of the standard (EPCIS 2.0, section 7.4).
const (
	Object         Type = "ObjectEvent"
	Aggregation    Type = "AggregationEvent"
	Association    Type = "AssociationEvent"
	Transaction    Type = "TransactionEvent"
	Transformation Type = "TransformationEvent"
)

// The values of action (section 7.3.2).
const (
	Add     = "ADD"
	Observe = "OBSERVE"
	Delete  = "DELETE"
)

// Event is one validated event. Words of the Core Business Vocabulary stand
// bare ("shipping"), whatever form they were sent in; other values are URIs or
// prefixed names as they came.
type Event struct {
	Type   Type
	Time   int64  // eventTime, Unix ms
	Zone   string // eventTimeZoneOffset
	Record int64  // recordTime, Unix ms; set when captured
	ID     string // eventID; made when captured without one
	Error  *ErrorDeclaration
	Action string

	// EPCs are epcList, childEPCs or inputEPCList, by type; so are Quantities.
	EPCs             []string
	Quantities       []Quantity
	OutputEPCs       []string
	OutputQuantities []Quantity
	Parent           string
	TransformationID string

	BizStep      string
	Disposition  string
	Set, Unset   []string // persistentDisposition
	ReadPoint    string
	BizLocation  string
	Transactions []Typed
	Sources      []Typed
	Destinations []Typed
	Sensors      []SensorElement
	// Master holds ilmd, Extensions the event's own fields of other
	// vocabularies, as JSON.
	Master     map[string]any
	Extensions map[string]any

	// JSON is the event as JSON-LD in the bare form of the standard's context,
	// self-contained: what a query returns.
	JSON json.RawMessage
}

// Quantity is an amount of a class of things.
type Quantity struct {
	Class  string
	Amount float64
	Known  bool   // whether the amount was said
	Unit   string // UN/ECE recommendation 20; "" counts things
}

// Typed is a business transaction, a source or a destination.
type Typed struct{ Type, ID string }

// ErrorDeclaration takes an earlier event with the same id back.
type ErrorDeclaration struct {
	Time       int64
	Reason     string
	Corrective []string
}

// SensorElement is a set of readings taken under the same circumstances.
type SensorElement struct {
	Time, Start, End int64
	Metadata         map[string]string
	Reports          []SensorReport
	Extensions       map[string]any
}

// SensorReport is one reading. Numbers holds value, minValue, maxValue,
// meanValue, sDev, percRank and percValue as far as said; Texts the rest.
type SensorReport struct {
	Type    string
	Unit    string
	Time    int64
	Numbers map[string]float64
	Texts   map[string]string
}

// Things returns every identifier of a single thing in the event, in order.
func (e *Event) Things() []string {
	out := make([]string, 0, len(e.EPCs)+len(e.OutputEPCs)+1)
	if e.Parent != "" {
		out = append(out, e.Parent)
	}
	return append(append(out, e.EPCs...), e.OutputEPCs...)
}
