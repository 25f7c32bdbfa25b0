// Package epcis speaks EPCIS 2.0: it reads events of the supply chain from
// JSON-LD and XML (1.2 and 2.0), checks them against the standard, keeps them
// where they are found by any of its query parameters, and follows a thing up
// and down through packing and making.
//
// Guarantees: every event accepted conforms to the standard's schema, and what
// is refused is refused with the standard's exception and every fault with its
// place; reading is bounded in size, depth and number; what a query returns is
// what was captured. An event is durable in the log before it is acknowledged,
// its index is a fold of the log, and what it means for an item is told to the
// item's twin exactly once.
//
// Sources: GS1 EPCIS Standard 2.0 and Core Business Vocabulary 2.0 (2022), their
// JSON and XML schemas and REST bindings; EPCIS 1.2 (2016) for its XML.
package epcis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Context is the standard's JSON-LD context.
const Context = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"

// Limits bound what is read from one document. Zero means the default.
type Limits struct {
	Bytes  int // default 16 MiB
	Events int // default 5,000
}

// DefaultLimits are announced to clients.
var DefaultLimits = Limits{Bytes: 16 << 20, Events: 5000}

// Document is what one capture brings.
type Document struct {
	Events []*Event
	// Created is creationDate, Unix ms; 0 for a bare event.
	Created int64
	// Master is what the header tells of places, classes of things and parties.
	Master []Element
}

// Parse reads an EPCISDocument, or one bare event, in JSON-LD or XML. The form
// is told from the first character; contentType only decides whether to look
// at all. Errors are *Exception: ValidationException with every fault,
// CaptureLimitExceededException, UnsupportedMediaTypeException.
func Parse(data []byte, contentType string, limits Limits) (*Document, error) {
	if limits.Bytes == 0 {
		limits.Bytes = DefaultLimits.Bytes
	}
	if limits.Events == 0 {
		limits.Events = DefaultLimits.Events
	}
	if len(data) > limits.Bytes {
		return nil, Raise(CaptureLimitExceededException, "the document has more than %d bytes; split it", limits.Bytes)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\ufeff")), " \t\r\n")
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media != "" && !strings.Contains(media, "json") && !strings.Contains(media, "xml") && media != "application/octet-stream" && media != "text/plain" {
		return nil, Raise(UnsupportedMediaTypeException, "%s is not understood; send application/ld+json, application/json, application/xml or text/xml", media)
	}
	if len(text) == 0 {
		return nil, Raise(ValidationException, "the body is empty")
	}
	var (
		root *source
		err  error
	)
	if text[0] == '<' {
		root, err = readXML(text)
	} else {
		root, err = readJSON(text)
	}
	if err != nil {
		return nil, err
	}
	return root.document(limits)
}

// source is a document in the form both notations share.
type source struct {
	kind    string // EPCISDocument, EPCISQueryDocument or an event type
	xml     bool
	created string
	version string
	context []any // of the document, without the standard's own
	bare    bool  // one event, no document around it
	events  []map[string]any
	master  []Element
	faults  []rapport.Fault
	path    string // of the list of events
}

func (s *source) document(limits Limits) (*Document, error) {
	if s.kind == "EPCISQueryDocument" {
		return nil, Raise(ValidationException, "a query document cannot be captured; send an EPCISDocument")
	}
	if len(s.events) > limits.Events {
		return nil, Raise(CaptureLimitExceededException, "the document has %d events; at most %d are taken at once", len(s.events), limits.Events)
	}
	c := &checker{faults: s.faults, xml: s.xml}
	doc := &Document{Master: s.master}
	if !s.bare {
		var ok bool
		if doc.Created, ok = parseTime(s.created); !ok {
			c.fault("/creationDate", "%q is not a time such as 2005-07-11T11:30:47Z", s.created)
		}
		if s.version != "2.0" && s.version != "2.0.0" && (!s.xml || s.version != "1.2" && s.version != "1.1" && s.version != "1.0" && s.version != "1") {
			c.fault("/schemaVersion", "%q is not a version understood here: 2.0, and 1.2 in XML", s.version)
		}
	}
	for i, m := range s.events {
		path := fmt.Sprintf("%s/%d", s.path, i)
		if s.bare {
			path = ""
		}
		e := c.event(path, m)
		if len(c.faults) == 0 {
			if err := e.encode(m, s.context); err != nil {
				c.fault(path, "%v", err)
			}
		}
		doc.Events = append(doc.Events, e)
	}
	if len(c.faults) > 0 {
		x := Raise(ValidationException, "%s", c.faults[0].Message)
		if p := c.faults[0].Path; p != "" {
			x.Detail = p + ": " + x.Detail
		}
		if n := len(c.faults); n > 1 {
			x.Detail += fmt.Sprintf(" (and %d more)", n-1)
		}
		x.List = c.faults
		return nil, x
	}
	return doc, nil
}

// encode sets the canonical JSON: the event with the context its prefixes need.
func (e *Event) encode(m map[string]any, context []any) error {
	own, _ := m["@context"].([]any)
	if o, ok := m["@context"]; ok && own == nil {
		own = []any{o}
	}
	context = append(context[:len(context):len(context)], own...)
	kept := context[:0:0]
	for _, x := range context {
		if o, ok := x.(map[string]any); ok && len(o) > 0 {
			kept = append(kept, o)
		}
	}
	delete(m, "@context")
	delete(m, "isA")
	delete(m, "recordTime") // ours to say
	m["type"] = string(e.Type)
	if len(kept) > 0 && e.prefixed(m) {
		m["@context"] = kept
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return err
	}
	e.JSON = bytes.TrimSpace(b.Bytes())
	return nil
}

// prefixed reports whether the event uses names of other vocabularies.
func (e *Event) prefixed(m map[string]any) bool {
	var look func(x any) bool
	look = func(x any) bool {
		switch x := x.(type) {
		case map[string]any:
			for k, v := range x {
				if strings.Contains(k, ":") || look(v) {
					return true
				}
			}
		case []any:
			for _, v := range x {
				if look(v) {
					return true
				}
			}
		case string:
			prefix, rest, ok := strings.Cut(x, ":")
			return ok && prefix != "urn" && !strings.HasPrefix(rest, "//")
		}
		return false
	}
	return look(m)
}

// decodeEvent reads the canonical JSON of an event that was accepted before.
func decodeEvent(data []byte) (*Event, error) {
	m, err := decodeObject(data)
	if err != nil {
		return nil, err
	}
	c := &checker{xml: true}
	e := c.event("", m)
	e.JSON = data
	return e, nil
}

var errObject = errors.New("a JSON object is expected")

// decodeObject reads one JSON object with its numbers as they stand.
func decodeObject(data []byte) (map[string]any, error) {
	if err := shallow(data); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errObject
	}
	return m, nil
}

// shallow refuses nesting beyond what any event needs, before it is built.
func shallow(data []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested deeper than %d levels", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

func readJSON(data []byte) (*source, error) {
	m, err := decodeObject(data)
	if err != nil {
		return nil, Raise(ValidationException, "the body is not JSON of an EPCIS document: %v", err)
	}
	s := &source{}
	s.kind, _ = m["type"].(string)
	if s.kind == "" {
		s.kind, _ = m["isA"].(string)
	}
	fault := func(path, message string) { s.faults = append(s.faults, rapport.Fault{Path: path, Message: message}) }
	switch c := m["@context"].(type) {
	case string:
		s.context = []any{c}
	case []any:
		s.context = c
	case map[string]any:
		s.context = []any{c}
	}
	if len(s.context) == 0 {
		fault("/@context", "@context is missing; it names at least "+Context)
	}
	for i, x := range s.context {
		switch x := x.(type) {
		case map[string]any:
		case string:
			if !isURI(x) {
				fault(fmt.Sprintf("/@context/%d", i), "a context is a URI or an object")
			}
		default:
			fault(fmt.Sprintf("/@context/%d", i), "a context is a URI or an object")
		}
	}
	switch s.kind {
	case "":
		fault("/type", "type is missing")
		return s, nil
	case "EPCISQueryDocument":
		return s, nil
	case "EPCISDocument":
	default: // a bare event
		s.bare, s.events = true, []map[string]any{m}
		return s, nil
	}
	s.created, _ = m["creationDate"].(string)
	switch v := m["schemaVersion"].(type) {
	case string:
		s.version = v
	case json.Number:
		s.version = string(v)
	}
	s.path = "/epcisBody/eventList"
	for name := range m {
		switch name {
		case "@context", "type", "isA", "id", "schemaVersion", "creationDate", "sender", "receiver", "instanceIdentifier", "epcisHeader", "epcisBody":
		default:
			if !strings.Contains(name, ":") {
				fault("/"+name, fmt.Sprintf("there is no field %q in an EPCISDocument", name))
			}
		}
	}
	if header, there := m["epcisHeader"]; there {
		s.masterJSON(header)
	}
	body, ok := m["epcisBody"].(map[string]any)
	if !ok {
		fault("/epcisBody", "epcisBody is missing")
		return s, nil
	}
	list, ok := body["eventList"].([]any)
	if !ok {
		if one, single := body["event"].(map[string]any); single {
			s.path, list, ok = "/epcisBody/event", []any{one}, true
		}
	}
	if !ok {
		fault("/epcisBody/eventList", "eventList is missing; it is a list of events")
		return s, nil
	}
	for i, x := range list {
		e, ok := x.(map[string]any)
		if !ok {
			fault(fmt.Sprintf("%s/%d", s.path, i), "an event must be an object")
			continue
		}
		s.events = append(s.events, e)
	}
	return s, nil
}
