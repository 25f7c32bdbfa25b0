package epcis

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// Bounds of what is read.
const (
	maxText   = 4096
	maxFaults = 100
	maxDepth  = 48
)

// checker reads the fields of one event from its JSON form and notes every fault.
type checker struct {
	faults []rapport.Fault
	xml    bool // vocabulary words of other editions may stand, as XML Schema does not know the words
}

func (c *checker) fault(path, format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, rapport.Fault{Path: path, Message: fmt.Sprintf(format, args...)})
	}
}

// event returns the typed form of an event and makes m its canonical JSON form.
func (c *checker) event(path string, m map[string]any) *Event {
	e := &Event{}
	t, _ := m["type"].(string)
	if t == "" {
		t, _ = m["isA"].(string)
	}
	e.Type = Type(t)
	allowed, known := fieldsOf[e.Type]
	if !known && !isURI(t) {
		c.fault(path+"/type", "%q is no event type", t)
		return e
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		switch {
		case slices.Contains(allowed, name) || slices.Contains(commonFields, name):
		case strings.Contains(name, ":"):
			if e.Extensions == nil {
				e.Extensions = map[string]any{}
			}
			e.Extensions[name] = m[name]
		case known:
			c.fault(path+"/"+name, "%s has no field %q; fields of other vocabularies carry a prefix", t, name)
		}
	}
	e.Time = c.time(path, m, "eventTime", true)
	e.Record = c.time(path, m, "recordTime", false)
	if e.Zone = c.text(path, m, "eventTimeZoneOffset", true); e.Zone != "" && !validZone(e.Zone) {
		c.fault(path+"/eventTimeZoneOffset", "%q is not an offset such as +01:00", e.Zone)
	}
	e.ID = c.uri(path, m, "eventID", false)
	c.errorDeclaration(path, m, e)
	if !c.xml || known {
		c.certification(path, m)
	}
	e.BizStep = c.word(path, m, "bizStep", &bizSteps)
	e.Disposition = c.word(path, m, "disposition", &dispositions)
	c.persistent(path, m, e)
	e.ReadPoint = c.place(path, m, "readPoint")
	e.BizLocation = c.place(path, m, "bizLocation")
	e.Transactions = c.typed(path, m, "bizTransactionList", "bizTransaction", &transactionTypes, false)
	e.Sources = c.typed(path, m, "sourceList", "source", &endpointTypes, true)
	e.Destinations = c.typed(path, m, "destinationList", "destination", &endpointTypes, true)
	e.Parent = c.uri(path, m, "parentID", false)
	e.TransformationID = c.uri(path, m, "transformationID", false)
	c.sensors(path, m, e)
	c.master(path, m, e)
	if e.Action = c.text(path, m, "action", known && e.Type != Transformation); e.Action != "" && e.Action != Add && e.Action != Observe && e.Action != Delete {
		c.fault(path+"/action", "%q is none of ADD, OBSERVE and DELETE", e.Action)
	}
	switch e.Type {
	case Object, Transaction:
		e.EPCs, e.Quantities = c.uris(path, m, "epcList"), c.quantities(path, m, "quantityList")
	case Aggregation, Association:
		e.EPCs, e.Quantities = c.uris(path, m, "childEPCs"), c.quantities(path, m, "childQuantityList")
	case Transformation:
		e.EPCs, e.Quantities = c.uris(path, m, "inputEPCList"), c.quantities(path, m, "inputQuantityList")
		e.OutputEPCs, e.OutputQuantities = c.uris(path, m, "outputEPCList"), c.quantities(path, m, "outputQuantityList")
	}
	c.dimensions(path, m, e)
	return e
}

// dimensions checks what an event of its type must say of what it concerns.
func (c *checker) dimensions(path string, m map[string]any, e *Event) {
	inputs, outputs := len(e.EPCs)+len(e.Quantities) > 0, len(e.OutputEPCs)+len(e.OutputQuantities) > 0
	_, list := m["epcList"]
	switch e.Type {
	case Object:
		if !inputs && !list && (len(e.Sensors) == 0 || e.ReadPoint == "") {
			c.fault(path, "an ObjectEvent names things (epcList or quantityList), or carries readings from a read point")
		}
		if len(e.Master) > 0 && e.Action != Add && !c.xml {
			c.fault(path+"/ilmd", "instance and lot data may stand only where things begin (action ADD)")
		}
	case Transaction:
		if len(e.Transactions) == 0 {
			c.fault(path+"/bizTransactionList", "a TransactionEvent names at least one business transaction")
		}
		if !inputs && !list && e.Action != Delete {
			c.fault(path, "a TransactionEvent names things, unless it removes them all")
		}
	case Aggregation, Association:
		if e.Parent == "" && (e.Type == Association || e.Action != Observe) {
			c.fault(path+"/parentID", "an %s names its parent", e.Type)
		}
		_, children := m["childEPCs"]
		if !inputs && !children && e.Action != Delete && len(e.Sensors) == 0 {
			c.fault(path, "an %s names children, unless it removes them all", e.Type)
		}
	case Transformation:
		if !(inputs && outputs) && (e.TransformationID == "" || !inputs && !outputs) {
			c.fault(path, "a TransformationEvent names inputs and outputs, or a transformationID that ties its parts together")
		}
	}
}

var commonFields = []string{
	"@context", "type", "isA", "eventTime", "recordTime", "eventTimeZoneOffset", "eventID", "errorDeclaration", "certificationInfo", "bizStep",
	"disposition", "persistentDisposition", "readPoint", "bizLocation", "bizTransactionList", "sourceList", "destinationList", "sensorElementList",
}

var fieldsOf = map[Type][]string{
	Object:         {"epcList", "quantityList", "action", "ilmd"},
	Aggregation:    {"parentID", "childEPCs", "childQuantityList", "action"},
	Association:    {"parentID", "childEPCs", "childQuantityList", "action"},
	Transaction:    {"parentID", "epcList", "quantityList", "action"},
	Transformation: {"inputEPCList", "inputQuantityList", "outputEPCList", "outputQuantityList", "transformationID", "ilmd"},
}

func (c *checker) text(path string, m map[string]any, name string, required bool) string {
	v, there := m[name]
	if !there {
		if required {
			c.fault(path+"/"+name, "%s is missing", name)
		}
		return ""
	}
	s, ok := v.(string)
	if !ok || s == "" || len(s) > maxText {
		c.fault(path+"/"+name, "%s must be text of 1 to %d bytes", name, maxText)
		return ""
	}
	return s
}

func (c *checker) uri(path string, m map[string]any, name string, required bool) string {
	s := c.text(path, m, name, required)
	if s != "" && !isURI(s) {
		c.fault(path+"/"+name, "%q is not a URI", s)
		return ""
	}
	return s
}

func (c *checker) time(path string, m map[string]any, name string, required bool) int64 {
	s := c.text(path, m, name, required)
	if s == "" {
		return 0
	}
	t, ok := parseTime(s)
	if !ok {
		c.fault(path+"/"+name, "%q is not a time such as 2005-04-03T20:33:31.116-06:00", s)
	}
	return t
}

// parseTime reads an RFC 3339 time with its zone.
func parseTime(s string) (int64, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return 0, false
	}
	return t.UnixMilli(), true
}

func formatTime(ms int64) string { return rapport.Time(ms).Format("2006-01-02T15:04:05.000Z07:00") }

func validZone(s string) bool {
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return false
	}
	h, herr := strconv.Atoi(s[1:3])
	m, merr := strconv.Atoi(s[4:])
	return herr == nil && merr == nil && h >= 0 && m >= 0 && (h <= 13 && m <= 59 || h == 14 && m == 0)
}

// word reads a value of a vocabulary and leaves its bare form.
func (c *checker) word(path string, m map[string]any, name string, v *vocabulary) string {
	s := c.text(path, m, name, false)
	if s == "" {
		return ""
	}
	s = v.bare(s)
	if !v.knows(s) {
		c.fault(path+"/"+name, "%q is no %s of the Core Business Vocabulary; a %s of another vocabulary is a URI", s, v.name, v.name)
		return ""
	}
	m[name] = s
	return s
}

func (c *checker) objects(path string, m map[string]any, name string) []map[string]any {
	v, there := m[name]
	if !there {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		c.fault(path+"/"+name, "%s must be a list", name)
		return nil
	}
	out := make([]map[string]any, 0, len(list))
	for i, x := range list {
		o, ok := x.(map[string]any)
		if !ok {
			c.fault(fmt.Sprintf("%s/%s/%d", path, name, i), "an object must stand here")
			continue
		}
		out = append(out, o)
	}
	return out
}

func (c *checker) only(path string, m map[string]any, extensible bool, names ...string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(names, name) && (!extensible || !strings.Contains(name, ":")) {
			c.fault(path+"/"+name, "there is no field %q here", name)
		}
	}
}

func (c *checker) uris(path string, m map[string]any, name string) []string {
	v, there := m[name]
	if !there {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		c.fault(path+"/"+name, "%s must be a list", name)
		return nil
	}
	out := make([]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, x := range list {
		s, _ := x.(string)
		switch {
		case !isURI(s):
			c.fault(fmt.Sprintf("%s/%s/%d", path, name, i), "%v is not a URI", x)
		case seen[s] && c.xml: // XML Schema lets it pass
		case seen[s]:
			c.fault(fmt.Sprintf("%s/%s/%d", path, name, i), "%s stands twice", s)
		default:
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func (c *checker) quantities(path string, m map[string]any, name string) []Quantity {
	var out []Quantity
	for i, o := range c.objects(path, m, name) {
		at := fmt.Sprintf("%s/%s/%d", path, name, i)
		c.only(at, o, c.xml, "epcClass", "quantity", "uom")
		q := Quantity{Class: c.uri(at, o, "epcClass", true), Unit: c.text(at, o, "uom", false)}
		if _, there := o["quantity"]; there {
			q.Amount, q.Known = c.number(at, o, "quantity")
		}
		if q.Unit != "" && (len(q.Unit) < 2 || len(q.Unit) > 3 || strings.Trim(q.Unit, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "") {
			c.fault(at+"/uom", "%q is not a unit code of 2 or 3 letters or digits", q.Unit)
		}
		out = append(out, q)
	}
	return out
}

func (c *checker) number(path string, m map[string]any, name string) (float64, bool) {
	n, ok := m[name].(json.Number)
	if !ok {
		c.fault(path+"/"+name, "%s must be a number", name)
		return 0, false
	}
	f, err := n.Float64()
	if err != nil || math.IsInf(f, 0) {
		c.fault(path+"/"+name, "%s is out of range", name)
		return 0, false
	}
	return f, true
}

func (c *checker) typed(path string, m map[string]any, list, name string, v *vocabulary, required bool) []Typed {
	var out []Typed
	for i, o := range c.objects(path, m, list) {
		at := fmt.Sprintf("%s/%s/%d", path, list, i)
		c.only(at, o, false, "type", name)
		t := Typed{Type: c.word(at, o, "type", v), ID: c.uri(at, o, name, true)}
		if _, there := o["type"]; required && !there {
			c.fault(at+"/type", "type is missing")
		}
		out = append(out, t)
	}
	return out
}

func (c *checker) place(path string, m map[string]any, name string) string {
	v, there := m[name]
	if !there {
		return ""
	}
	o, ok := v.(map[string]any)
	if !ok {
		c.fault(path+"/"+name, "%s must be an object with an id", name)
		return ""
	}
	c.only(path+"/"+name, o, true, "id")
	return c.uri(path+"/"+name, o, "id", true)
}

func (c *checker) errorDeclaration(path string, m map[string]any, e *Event) {
	v, there := m["errorDeclaration"]
	if !there {
		return
	}
	path += "/errorDeclaration"
	o, ok := v.(map[string]any)
	if !ok {
		c.fault(path, "errorDeclaration must be an object")
		return
	}
	c.only(path, o, true, "declarationTime", "reason", "correctiveEventIDs")
	e.Error = &ErrorDeclaration{
		Time: c.time(path, o, "declarationTime", true), Reason: c.word(path, o, "reason", &errorReasons), Corrective: c.uris(path, o, "correctiveEventIDs"),
	}
}

func (c *checker) certification(path string, m map[string]any) {
	switch m["certificationInfo"].(type) {
	case nil:
		if _, there := m["certificationInfo"]; there {
			c.fault(path+"/certificationInfo", "certificationInfo must be a URI or a list of them")
		}
	case []any:
		c.uris(path, m, "certificationInfo")
	case string:
		if !c.xml {
			c.uri(path, m, "certificationInfo", false)
		}
	default:
		c.fault(path+"/certificationInfo", "certificationInfo must be a URI or a list of them")
	}
}

func (c *checker) persistent(path string, m map[string]any, e *Event) {
	v, there := m["persistentDisposition"]
	if !there {
		return
	}
	path += "/persistentDisposition"
	o, ok := v.(map[string]any)
	if !ok {
		c.fault(path, "persistentDisposition must be an object")
		return
	}
	c.only(path, o, false, "set", "unset")
	for _, name := range []string{"set", "unset"} {
		into := &e.Set
		if name == "unset" {
			into = &e.Unset
		}
		list, there := o[name]
		if !there {
			continue
		}
		words, ok := list.([]any)
		if !ok {
			c.fault(path+"/"+name, "%s must be a list", name)
			continue
		}
		for i, w := range words {
			s, _ := w.(string)
			if s = dispositions.bare(s); !dispositions.knows(s) {
				c.fault(fmt.Sprintf("%s/%s/%d", path, name, i), "%v is no disposition", w)
				continue
			}
			words[i] = s
			*into = append(*into, s)
		}
	}
}

func (c *checker) master(path string, m map[string]any, e *Event) {
	v, there := m["ilmd"]
	if !there {
		return
	}
	o, ok := v.(map[string]any)
	if !ok {
		c.fault(path+"/ilmd", "ilmd must be an object")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !strings.Contains(name, ":") {
			c.fault(path+"/ilmd/"+name, "a field of ilmd carries the prefix of its vocabulary, such as cbvmda:%s", name)
		}
	}
	e.Master = o
}
