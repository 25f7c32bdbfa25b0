package lake

import (
	"bytes"
	"reflect"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// The tables, which are also the names of their folders.
const (
	Events    = "events"
	Decisions = "decisions"
	Outcomes  = "outcomes"
	// People is not kept by day: it is one file that says whom an id belongs to now.
	People = "people"
)

// Tables are those kept by day.
var Tables = [...]string{Events, Decisions, Outcomes}

var allTables = append([]string{People}, Tables[:]...)

// formatVersion is raised when files of older formats must be written anew.
const formatVersion = 3

// EventRow is one event that counts. Times are Unix milliseconds; an optional
// column is null where nothing was said.
type EventRow struct {
	Partition    int32    `parquet:"partition"`    // with Offset: the place in the log, unique
	Offset       int64    `parquet:"offset,delta"` //
	Time         int64    `parquet:"time,timestamp(millisecond)"`
	ReceivedAt   int64    `parquet:"received_at,timestamp(millisecond)"`
	OriginalTime int64    `parquet:"original_time,optional,timestamp(millisecond)"`
	SentAt       int64    `parquet:"sent_at,optional,timestamp(millisecond)"`
	LoggedAt     int64    `parquet:"logged_at,timestamp(millisecond)"`
	Type         string   `parquet:"type,dict"`
	Event        string   `parquet:"event,dict"` // as conditions count it: the name of a track event, else the type
	Name         string   `parquet:"name,optional,dict"`
	Source       string   `parquet:"source,optional,dict"`
	MessageID    string   `parquet:"message_id,optional"`
	UserID       string   `parquet:"user_id,optional"`
	AnonymousID  string   `parquet:"anonymous_id,optional"`
	PreviousID   string   `parquet:"previous_id,optional"`
	GroupID      string   `parquet:"group_id,optional"`
	Entity       string   `parquet:"entity,optional"`    // person or item when it was accepted
	Kind         string   `parquet:"kind,optional,dict"` // person or item: what Entity is
	Fragment     string   `parquet:"fragment,optional"`  // what it stays part of, whoever is merged
	Item         string   `parquet:"item,optional"`      // id of the product item
	Identifiers  []string `parquet:"identifiers,list"`   // kind:value, strongest first
	History      bool     `parquet:"history"`
	Properties   []byte   `parquet:"properties,json"`
	// JSON as text: the writer takes every optional []byte for null, and DuckDB
	// stumbles over the nulls of a column that calls itself JSON.
	Traits  string `parquet:"traits,optional"`
	Context string `parquet:"context,optional"`
}

// DecisionRow is one action given, or withheld, in a decision, or the decision
// that gave nothing (Action is null).
type DecisionRow struct {
	Partition  int32   `parquet:"partition"`
	Offset     int64   `parquet:"offset,delta"`
	Row        int32   `parquet:"row"` // with Partition and Offset: unique
	Decision   string  `parquet:"decision_id"`
	Time       int64   `parquet:"time,timestamp(millisecond)"`
	LoggedAt   int64   `parquet:"logged_at,timestamp(millisecond)"`
	Entity     string  `parquet:"entity"`
	Placement  string  `parquet:"placement,optional,dict"`
	Cause      string  `parquet:"cause,optional,dict"`
	Config     int64   `parquet:"config_version"`
	Model      int64   `parquet:"model_version"`
	Holdout    bool    `parquet:"holdout"`
	Withheld   bool    `parquet:"withheld"` // would have been given, but for the holdout or a control group
	Slot       int32   `parquet:"slot"`
	Action     string  `parquet:"action,optional,dict"`
	Kind       string  `parquet:"kind,optional,dict"`
	Channel    string  `parquet:"channel,optional,dict"`
	Purpose    string  `parquet:"purpose,optional,dict"`
	Value      float64 `parquet:"value"`
	Propensity float64 `parquet:"propensity"` // of the action, or of nothing
	Explored   bool    `parquet:"explored"`
	Reason     string  `parquet:"reason,optional,dict"`
	Features   string  `parquet:"features,optional"` // JSON, as those of events
	Context    string  `parquet:"context,optional"`
}

// OutcomeRow tells what one giving of an action has brought so far: the
// exposure first, then each change.
type OutcomeRow struct {
	Offset     int64   `parquet:"offset,delta"` // in the rewards topic: unique
	Decision   string  `parquet:"decision_id,optional"`
	Slot       int32   `parquet:"slot"`
	Time       int64   `parquet:"time,timestamp(millisecond)"`     // when it became known
	ShownAt    int64   `parquet:"shown_at,timestamp(millisecond)"` // when the action was shown
	Placement  string  `parquet:"placement,optional,dict"`
	Action     string  `parquet:"action,optional,dict"` // null: nothing was given, to somebody held out
	Kind       string  `parquet:"kind,optional,dict"`
	Goal       string  `parquet:"goal,optional,dict"` // event that is the outcome; null: the exposure
	First      bool    `parquet:"first"`
	Via        bool    `parquet:"via_click"`
	Before     float64 `parquet:"before"`
	After      float64 `parquet:"after"`
	Reward     float64 `parquet:"reward"`
	Propensity float64 `parquet:"propensity"`
}

// PersonRow says whom an id belongs to now, where that is not the id itself.
type PersonRow struct {
	ID     string `parquet:"id"`
	Person string `parquet:"person"`
}

// dayOf returns the UTC day of Unix milliseconds, as days since 1970. What lies
// outside of the years 1 to 9999 goes to their first and last day.
func dayOf(ms int64) int32 {
	const day = 24 * 60 * 60 * 1000
	d := ms / day
	if ms%day < 0 {
		d--
	}
	return int32(min(max(d, -719162), 2932896))
}

func dayName(day int32) string {
	return time.Unix(int64(day)*24*60*60, 0).UTC().Format(time.DateOnly)
}

// eventName is the name conditions count an event under.
func eventName(e *rapport.Event) string {
	if e.Type == rapport.TypeTrack || e.Type == rapport.TypeSystem {
		return e.Name
	}
	return e.Type.String()
}

// appendFields appends an object as JSON. Of members with one name the last
// stands, as everywhere.
func appendFields(b []byte, f rapport.Fields) []byte {
	double := repeats(f)
	b = append(b, '{')
	first, n := true, 0
	for k, v := range f.All() {
		if n++; double && again(f, k, n) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendKey(b, k)
		b = append(b, ':')
		b = appendValue(b, v)
	}
	return append(b, '}')
}

func appendKey(b, k []byte) []byte {
	for _, c := range k {
		if c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c >= 0x80 {
			return rapport.StringValue(string(k)).AppendJSON(b)
		}
	}
	return append(append(append(b, '"'), k...), '"')
}

// repeats reports whether two members may have one name; if not, they surely have not.
func repeats(f rapport.Fields) bool {
	var seen [4]uint64
	n := 0
	for k := range f.All() {
		h := uint(len(k)) * 131
		for _, c := range k {
			h = h*31 + uint(c)
		}
		at, bit := h>>6&3, uint64(1)<<(h&63)
		if seen[at]&bit != 0 {
			return true
		}
		seen[at] |= bit
		if n++; n > 64 {
			return true
		}
	}
	return false
}

// again reports whether a member of this name stands behind the n-th.
func again(f rapport.Fields, key []byte, n int) bool {
	at := 0
	for k := range f.All() {
		if at++; at > n && bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

func appendValue(b []byte, v rapport.Value) []byte {
	if o, ok := v.Object(); ok {
		return appendFields(b, o)
	}
	if v.Kind() != rapport.KindArray {
		return v.AppendJSON(b)
	}
	b = append(b, '[')
	first := true
	for e := range v.Elements() {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendValue(b, e)
	}
	return append(b, ']')
}

// Columns returns the columns of a table as a SELECT list of typed nulls in
// DuckDB's SQL, for a lake that holds no file of it.
func Columns(table string) string {
	row := map[string]any{Events: EventRow{}, Decisions: DecisionRow{}, Outcomes: OutcomeRow{}}[table]
	t := reflect.TypeOf(row)
	var list []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, tags, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		kind := map[reflect.Kind]string{
			reflect.Int32: "INTEGER", reflect.Int64: "BIGINT", reflect.Float64: "DOUBLE", reflect.Bool: "BOOLEAN", reflect.String: "VARCHAR", reflect.Slice: "VARCHAR[]",
		}[f.Type.Kind()]
		switch {
		case strings.Contains(tags, "timestamp"):
			kind = "TIMESTAMPTZ"
		case strings.Contains(tags, "json"):
			kind = "JSON"
		}
		list = append(list, "NULL::"+kind+" AS \""+name+"\"")
	}
	return strings.Join(append(list, "NULL::DATE AS day"), ", ")
}
