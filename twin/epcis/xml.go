package epcis

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// node is one XML element. Names of the standard have no prefix, others carry
// one that the document's context explains.
type node struct {
	name     string
	attrs    []attr
	text     string
	children []*node
	line     int
	null     bool // xsi:nil
}

type attr struct{ name, value string }

func (n *node) attr(name string) string {
	for _, a := range n.attrs {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// maxNodes bounds the elements of a document beside its bytes.
const maxNodes = 2_000_000

// namespaces gives prefixes to the URIs of a document.
type namespaces struct {
	prefix map[string]string // by URI
	taken  map[string]bool
}

func (n *namespaces) declare(prefix, uri string) {
	if _, have := n.prefix[uri]; have || prefix == "" || n.taken[prefix] {
		return
	}
	n.prefix[uri], n.taken[prefix] = prefix, true
}

func (n *namespaces) name(x xml.Name) string {
	switch {
	case x.Space == "" || strings.HasPrefix(x.Space, "urn:epcglobal:epcis"):
		return x.Local
	case !isURI(x.Space): // an undeclared prefix stands as it is
		return x.Space + ":" + x.Local
	}
	p, ok := n.prefix[x.Space]
	for i := 1; !ok; i++ {
		p = fmt.Sprintf("ext%d", i)
		if ok = !n.taken[p]; ok {
			n.prefix[x.Space], n.taken[p] = p, true
		}
	}
	return p + ":" + x.Local
}

const xsi = "http://www.w3.org/2001/XMLSchema-instance"

// parseXML reads a document into nodes. Document types and entities of one's
// own are refused.
func parseXML(data []byte) (*node, *namespaces, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	ns := &namespaces{prefix: map[string]string{}, taken: map[string]bool{}}
	var stack []*node
	var root *node
	for count := 0; ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		switch t := tok.(type) {
		case xml.Directive:
			return nil, nil, errors.New("a document type is not accepted")
		case xml.StartElement:
			if count++; count > maxNodes || len(stack) >= maxDepth {
				return nil, nil, fmt.Errorf("more than %d elements or %d levels", maxNodes, maxDepth)
			}
			for _, a := range t.Attr {
				if a.Name.Space == "xmlns" {
					ns.declare(a.Name.Local, a.Value)
				}
			}
			line, _ := d.InputPos()
			n := &node{name: ns.name(t.Name), line: line}
			for _, a := range t.Attr {
				if a.Name.Space == xsi && a.Name.Local == "nil" {
					n.null = a.Value == "true" || a.Value == "1"
				}
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" && a.Name.Space != xsi {
					n.attrs = append(n.attrs, attr{ns.name(a.Name), a.Value})
				}
			}
			if len(stack) > 0 {
				p := stack[len(stack)-1]
				p.children = append(p.children, n)
			} else if root == nil {
				root = n
			}
			stack = append(stack, n)
		case xml.EndElement:
			n := stack[len(stack)-1]
			n.text = strings.TrimSpace(n.text)
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text += string(t)
			}
		}
	}
	if root == nil {
		return nil, nil, errors.New("there is no element")
	}
	return root, ns, nil
}

func (n *namespaces) context() []any {
	m := map[string]any{}
	for uri, prefix := range n.prefix {
		if uri != xsi && !strings.HasPrefix(uri, "urn:epcglobal:epcis") && uri != "http://www.w3.org/2001/XMLSchema" {
			m[prefix] = uri
		}
	}
	if len(m) == 0 {
		return nil
	}
	return []any{m}
}

func readXML(data []byte) (*source, error) {
	root, ns, err := parseXML(data)
	if err != nil {
		return nil, Raise(ValidationException, "the body is not XML of an EPCIS document: %v", err)
	}
	s := &source{xml: true, kind: root.name, path: "/EPCISBody/EventList"}
	r := &xmlReader{s: s}
	switch root.name {
	case "EPCISDocument":
		s.created, s.version = root.attr("creationDate"), root.attr("schemaVersion")
		r.order("", root, "EPCISHeader", "EPCISBody", "extension")
		if header := root.child("EPCISHeader"); header != nil {
			s.masterXML(header)
		}
		body := root.child("EPCISBody")
		if body == nil {
			r.fault(root, "", "EPCISBody is missing")
			break
		}
		r.order("/EPCISBody", body, "EventList", "extension")
		if list := body.child("EventList"); list != nil {
			r.list(list)
		}
	case "EPCISQueryDocument":
	default:
		if _, known := order[Type(root.name)]; !known {
			r.fault(root, "", "%s is neither an EPCISDocument nor an event", root.name)
			break
		}
		s.bare = true
		s.events = []map[string]any{r.event("", root)}
	}
	s.context = ns.context()
	return s, nil
}

// order is the sequence of elements in an event (EPCIS 2.0 and 1.2 XML Schema).
var order = map[Type][]string{
	Object: append(slices.Clone(orderHead), "epcList", "action", "bizStep", "disposition", "readPoint", "bizLocation", "bizTransactionList",
		"quantityList", "sourceList", "destinationList", "sensorElementList", "persistentDisposition", "ilmd", "extension"),
	Aggregation: append(slices.Clone(orderHead), "parentID", "childEPCs", "action", "bizStep", "disposition", "readPoint", "bizLocation",
		"bizTransactionList", "childQuantityList", "sourceList", "destinationList", "sensorElementList", "persistentDisposition", "extension"),
	Association: append(slices.Clone(orderHead), "parentID", "childEPCs", "childQuantityList", "action", "bizStep", "disposition", "readPoint",
		"bizLocation", "bizTransactionList", "sourceList", "destinationList", "sensorElementList", "persistentDisposition", "extension"),
	Transaction: append(slices.Clone(orderHead), "bizTransactionList", "parentID", "epcList", "action", "bizStep", "disposition", "readPoint",
		"bizLocation", "quantityList", "sourceList", "destinationList", "sensorElementList", "persistentDisposition", "extension"),
	Transformation: append(slices.Clone(orderHead), "inputEPCList", "inputQuantityList", "outputEPCList", "outputQuantityList", "transformationID",
		"bizStep", "disposition", "readPoint", "bizLocation", "bizTransactionList", "sourceList", "destinationList", "sensorElementList",
		"persistentDisposition", "ilmd", "extension"),
}

var orderHead = []string{"eventTime", "recordTime", "eventTimeZoneOffset", "eventID", "errorDeclaration", "baseExtension", "certificationInfo"}

// xmlReader turns elements into the JSON form and notes what the XML Schema forbids.
type xmlReader struct{ s *source }

func (r *xmlReader) fault(n *node, path, format string, args ...any) {
	if len(r.s.faults) < maxFaults {
		r.s.faults = append(r.s.faults, rapport.Fault{Path: path, Message: fmt.Sprintf(format, args...), Line: n.line})
	}
}

// order checks that the standard's own children are known, single and in sequence.
func (r *xmlReader) order(path string, n *node, names ...string) {
	at := -1
	for _, c := range n.children {
		if strings.Contains(c.name, ":") {
			continue
		}
		switch i := slices.Index(names, c.name); {
		case i < 0:
			r.fault(c, path+"/"+c.name, "there is no element %s in %s", c.name, n.name)
		case i == at:
			r.fault(c, path+"/"+c.name, "%s stands twice", c.name)
		case i < at:
			r.fault(c, path+"/"+c.name, "%s must stand before %s", c.name, names[at])
		default:
			at = i
		}
	}
}

// list reads the events of an EventList; earlier editions hide newer types in extensions.
func (r *xmlReader) list(n *node) {
	for _, c := range n.children {
		_, known := order[Type(c.name)]
		switch {
		case known:
			r.s.events = append(r.s.events, r.event(fmt.Sprintf("%s/%d", r.s.path, len(r.s.events)), c))
		case c.name == "extension":
			r.list(c)
		case strings.Contains(c.name, ":"):
			m := r.event("", c)
			m["type"] = c.name
			r.s.events = append(r.s.events, m)
		default:
			r.fault(c, r.s.path, "%s is no event type", c.name)
		}
	}
}

func (r *xmlReader) event(path string, n *node) map[string]any {
	m := map[string]any{"type": n.name}
	if names, known := order[Type(n.name)]; known {
		if last := n.children; len(last) > 0 && n.child("extension") != nil {
			// 1.2 documents carry certificationInfo, which came later, behind the extension.
			names = append(slices.Clone(names), "certificationInfo ")
			for _, c := range last[slices.Index(last, n.child("extension")):] {
				if c.name == "certificationInfo" {
					c.name += " "
				}
			}
		}
		r.order(path, n, names...)
	}
	r.fields(path, n, m)
	return m
}

// fields adds the children of an event or of its extensions to m.
func (r *xmlReader) fields(path string, n *node, m map[string]any) {
	for _, c := range n.children {
		at := path + "/" + c.name
		switch name := strings.TrimSpace(c.name); name {
		case "extension", "baseExtension":
			r.fields(path, c, m)
		case "epcList", "childEPCs", "inputEPCList", "outputEPCList":
			m[name] = r.texts(at, c, "epc")
		case "quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList":
			m[name] = r.quantities(at, c)
		case "bizTransactionList":
			m[name] = r.typed(at, c, "bizTransaction")
		case "sourceList":
			m[name] = r.typed(at, c, "source")
		case "destinationList":
			m[name] = r.typed(at, c, "destination")
		case "readPoint", "bizLocation":
			m[name] = r.other(c, "id")
		case "errorDeclaration":
			m[name] = r.declaration(at, c)
		case "sensorElementList":
			m[name] = r.sensors(at, c)
		case "persistentDisposition":
			o := map[string]any{}
			for _, x := range c.children {
				list, _ := o[x.name].([]any)
				o[x.name] = append(list, x.text)
			}
			m[name] = o
		case "certificationInfo":
			m[name] = c.text
		case "ilmd":
			o := map[string]any{}
			r.open(c, o)
			m[name] = o
		default:
			if strings.Contains(name, ":") || len(c.children) > 0 {
				add(m, name, r.value(c))
			} else {
				m[name] = c.text
			}
		}
	}
}

// open adds the children of an element without a fixed form.
func (r *xmlReader) open(n *node, m map[string]any) {
	for _, c := range n.children {
		if c.name == "extension" {
			r.open(c, m)
			continue
		}
		add(m, c.name, r.value(c))
	}
}

// add sets a field; one that stands again becomes a list.
func add(m map[string]any, name string, v any) {
	switch have := m[name].(type) {
	case nil:
		m[name] = v
	case []any:
		m[name] = append(have, v)
	default:
		m[name] = []any{have, v}
	}
}

// value is the JSON form of an element of another vocabulary.
func (r *xmlReader) value(n *node) any {
	if len(n.children) == 0 && len(n.attrs) == 0 {
		return n.text
	}
	m := map[string]any{}
	for _, a := range n.attrs {
		m[a.name] = a.value
	}
	r.open(n, m)
	if n.text != "" {
		m["@value"] = n.text
	}
	return m
}

// other reads an element with one text child and extensions beside it.
func (r *xmlReader) other(n *node, texts ...string) map[string]any {
	m := map[string]any{}
	for _, c := range n.children {
		switch {
		case slices.Contains(texts, c.name):
			m[c.name] = c.text
		case c.name == "extension":
			r.open(c, m)
		default:
			add(m, c.name, r.value(c))
		}
	}
	return m
}

func (r *xmlReader) texts(path string, n *node, name string) []any {
	out := make([]any, 0, len(n.children))
	for _, c := range n.children {
		if c.name != name {
			r.fault(c, path, "there is no element %s in %s", c.name, n.name)
			continue
		}
		out = append(out, c.text)
	}
	return out
}

func (r *xmlReader) quantities(path string, n *node) []any {
	var out []any
	for _, c := range n.children {
		if c.name != "quantityElement" {
			r.fault(c, path, "there is no element %s in %s", c.name, n.name)
			continue
		}
		m := map[string]any{}
		for _, x := range c.children {
			switch {
			case x.null:
			case x.name == "quantity":
				m[x.name] = number(x.text)
			default:
				add(m, x.name, r.value(x))
			}
		}
		out = append(out, m)
	}
	return out
}

func (r *xmlReader) typed(path string, n *node, name string) []any {
	var out []any
	for _, c := range n.children {
		if c.name != name {
			r.fault(c, path, "there is no element %s in %s", c.name, n.name)
			continue
		}
		m := map[string]any{name: c.text}
		if t := c.attr("type"); t != "" {
			m["type"] = t
		}
		out = append(out, m)
	}
	return out
}

func (r *xmlReader) declaration(path string, n *node) map[string]any {
	m := map[string]any{}
	for _, c := range n.children {
		switch c.name {
		case "correctiveEventIDs":
			m[c.name] = r.texts(path+"/"+c.name, c, "correctiveEventID")
		case "extension":
			r.open(c, m)
		case "declarationTime", "reason":
			m[c.name] = c.text
		default:
			add(m, c.name, r.value(c))
		}
	}
	return m
}

func (r *xmlReader) sensors(path string, n *node) []any {
	var out []any
	for _, c := range n.children {
		if c.name != "sensorElement" {
			r.fault(c, path, "there is no element %s in %s", c.name, n.name)
			continue
		}
		m := map[string]any{}
		var reports []any
		for _, x := range c.children {
			switch x.name {
			case "sensorMetadata":
				m[x.name] = attributes(x)
			case "sensorReport":
				o := attributes(x)
				for _, name := range reportNumbers {
					if s, ok := o[name].(string); ok {
						o[name] = number(s)
					}
				}
				if s, ok := o["booleanValue"].(string); ok && (s == "true" || s == "false" || s == "1" || s == "0") {
					o["booleanValue"] = s == "true" || s == "1"
				}
				reports = append(reports, o)
			default:
				add(m, x.name, r.value(x))
			}
		}
		m["sensorReport"] = reports
		out = append(out, m)
	}
	return out
}

func attributes(n *node) map[string]any {
	m := map[string]any{}
	for _, a := range n.attrs {
		m[a.name] = a.value
	}
	return m
}

// number is a JSON number where s is one, else the text, which is then refused.
func number(s string) any {
	s = strings.TrimPrefix(strings.TrimSpace(s), "+")
	var n json.Number
	if json.Unmarshal([]byte(s), &n) == nil && s != "" && s[0] != '"' && s != "null" {
		return n
	}
	return s
}
