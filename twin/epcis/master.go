package epcis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// Element is what the header of a document tells of a place, a class of things
// or a party: an element of a vocabulary with its attributes (EPCIS 2.0, master
// data; CBV 2.0, section 9). The newest telling of an element stands.
type Element struct {
	ID         string `json:"id"`         // as written
	Vocabulary string `json:"vocabulary"` // its type, such as urn:epcglobal:epcis:vtype:BusinessLocation
	// Attributes by name; names of the CBV are short: name, streetAddressOne.
	Attributes map[string]string `json:"attributes"`
	// Children are the ids of what is below it.
	Children []string `json:"children,omitempty"`
}

// Limits of master data in a document.
const (
	maxElements   = 10_000
	maxAttributes = 64
	maxChildren   = 10_000
	maxAttribute  = 2000 // bytes of a name or value
)

// attributeName shortens the names of the Core Business Vocabulary.
func attributeName(s string) string {
	for _, prefix := range []string{"urn:epcglobal:cbv:mda#", "urn:epcglobal:cbv:mda:", "cbvmda:", "cbv:mda#", "https://ref.gs1.org/cbv/MDA-", "https://ref.gs1.org/cbv/mda#"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest
		}
	}
	return s
}

// gathering collects elements while a document is read.
type gathering struct{ s *source }

func (g *gathering) fault(path, format string, args ...any) {
	if len(g.s.faults) < maxFaults {
		g.s.faults = append(g.s.faults, rapport.Fault{Path: path, Message: fmt.Sprintf(format, args...)})
	}
}

func (g *gathering) add(path string, e Element) {
	switch {
	case e.ID == "" || !isURI(e.ID):
		g.fault(path, "an element of a vocabulary has a URI as its id")
	case !isURI(e.Vocabulary):
		g.fault(path, "a vocabulary has a URI as its type")
	case len(g.s.master) >= maxElements:
		g.fault(path, "a document has at most %d elements of vocabularies", maxElements)
	case len(e.Attributes) > maxAttributes || len(e.Children) > maxChildren:
		g.fault(path, "an element has at most %d attributes and %d children", maxAttributes, maxChildren)
	default:
		g.s.master = append(g.s.master, e)
	}
}

func (g *gathering) attribute(path string, e *Element, name, value string) {
	if !isURI(name) {
		g.fault(path, "an attribute has a URI as its id")
		return
	}
	if len(name)+len(value) > maxAttribute {
		g.fault(path, "an attribute has at most %d bytes", maxAttribute)
		return
	}
	if e.Attributes == nil {
		e.Attributes = map[string]string{}
	}
	e.Attributes[attributeName(name)] = value
}

// masterJSON reads the header of a document in JSON-LD.
func (s *source) masterJSON(header any) {
	g := &gathering{s: s}
	h, ok := header.(map[string]any)
	if !ok {
		g.fault("/epcisHeader", "a header must be an object")
		return
	}
	data, there := h["epcisMasterData"]
	if !there {
		return
	}
	const path = "/epcisHeader/epcisMasterData"
	m, _ := data.(map[string]any)
	list, ok := m["vocabularyList"].([]any)
	if !ok {
		g.fault(path, "master data is an object with a vocabularyList")
		return
	}
	for i, x := range list {
		at := fmt.Sprintf("%s/vocabularyList/%d", path, i)
		v, _ := x.(map[string]any)
		elements, ok := v["vocabularyElementList"].([]any)
		kind, named := v["type"].(string)
		if !ok || !named {
			g.fault(at, "a vocabulary is an object with type and vocabularyElementList")
			continue
		}
		for j, x := range elements {
			g.elementJSON(fmt.Sprintf("%s/vocabularyElementList/%d", at, j), kind, x)
		}
	}
}

func (g *gathering) elementJSON(path, kind string, x any) {
	o, ok := x.(map[string]any)
	if !ok {
		g.fault(path, "an element must be an object")
		return
	}
	e := Element{Vocabulary: kind}
	e.ID, _ = o["id"].(string)
	attributes, _ := o["attributes"].([]any)
	for i, x := range attributes {
		a, _ := x.(map[string]any)
		name, _ := a["id"].(string)
		value := ""
		switch v := a["attribute"].(type) {
		case nil:
		case string:
			value = v
		default:
			text, err := json.Marshal(v)
			if err != nil {
				g.fault(path, "%v", err)
			}
			value = string(text)
		}
		g.attribute(fmt.Sprintf("%s/attributes/%d", path, i), &e, name, value)
	}
	children, _ := o["children"].([]any)
	for _, x := range children {
		if id, ok := x.(string); ok {
			e.Children = append(e.Children, id)
		}
	}
	g.add(path, e)
}

// masterXML reads the header of a document in XML.
func (s *source) masterXML(header *node) {
	g := &gathering{s: s}
	for _, at := range [][]string{{"extension", "EPCISMasterData", "VocabularyList"}, {"EPCISMasterData", "VocabularyList"}} {
		n := header
		for _, name := range at {
			if n != nil {
				n = n.child(name)
			}
		}
		if n == nil {
			continue
		}
		for _, v := range n.children {
			list := v.child("VocabularyElementList")
			if v.name != "Vocabulary" || list == nil {
				continue
			}
			for i, x := range list.children {
				if x.name == "VocabularyElement" {
					g.elementXML(fmt.Sprintf("/EPCISHeader/EPCISMasterData/VocabularyElement/%d", i), v.attr("type"), x)
				}
			}
		}
	}
}

func (g *gathering) elementXML(path, kind string, x *node) {
	e := Element{ID: x.attr("id"), Vocabulary: kind}
	for _, c := range x.children {
		switch c.name {
		case "attribute":
			g.attribute(path, &e, c.attr("id"), c.value())
		case "children":
			for _, id := range c.children {
				e.Children = append(e.Children, id.text)
			}
		}
	}
	g.add(path, e)
}

// value is what an attribute says: its text, or that of the elements in it.
func (n *node) value() string {
	if len(n.children) == 0 {
		return n.text
	}
	var parts []string
	for _, c := range n.children {
		if v := c.value(); v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, ", ")
}

func masterRecord(list []Element) (eventlog.Record, error) {
	data, err := json.Marshal(list)
	return eventlog.Record{Topic: eventlog.Things, Kind: recordMaster, Data: data}, err
}

// master folds what a document told of vocabularies.
func (f *folding) master(data []byte) error {
	var list []Element
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for i := range list {
		text, err := json.Marshal(&list[i])
		if err != nil {
			return err
		}
		x := idOf(Name(list[i].ID))
		f.set(key('v', x[:]), text)
	}
	return nil
}

// element returns what is known of a name, or nil.
func (c *Chain) element(name string) (*Element, error) {
	if name == "" {
		return nil, nil
	}
	x := idOf(Name(name))
	data, found, err := c.Store.Get(key('v', x[:]), nil)
	if err != nil || !found {
		return nil, err
	}
	e := &Element{}
	return e, json.Unmarshal(data, e)
}

// Elements returns what documents told of places, classes of things and
// parties, by the names asked for as they are written; those nothing was told of
// are left out. Kinds: Unavailable.
func (c *Chain) Elements(ctx context.Context, names ...string) (map[string]*Element, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	out := map[string]*Element{}
	for _, n := range names {
		if _, known := out[n]; known {
			continue
		}
		e, err := c.element(n)
		if err != nil {
			return nil, err
		}
		if e != nil {
			out[n] = e
		}
	}
	return out, nil
}

// Vocabulary calls fn with the elements that documents told of, until it returns
// false; kind leaves out other vocabularies unless it is "". Kinds: Unavailable.
func (c *Chain) Vocabulary(ctx context.Context, kind string, fn func(*Element) bool) error {
	if err := c.Settle(ctx); err != nil {
		return err
	}
	it, err := c.Store.Scan(key('v'), state.PrefixEnd(key('v')))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		var e Element
		if err := json.Unmarshal(it.Value(), &e); err != nil {
			return errors.Join(err, it.Close())
		}
		if kind != "" && e.Vocabulary != kind && !strings.HasSuffix(e.Vocabulary, ":"+kind) {
			continue
		}
		if !fn(&e) {
			break
		}
	}
	return it.Close()
}

// lookup finds what is known of a name, or nil.
type lookup func(name string) (*Element, error)

// masterTest is a condition of a query that asks master data.
type masterTest func(l lookup, e *Event) (bool, error)

// placeOf returns what a field that names a place says.
func placeOf(field string) func(*Event) string {
	switch field {
	case "readPoint":
		return func(e *Event) string { return e.ReadPoint }
	case "bizLocation":
		return func(e *Event) string { return e.BizLocation }
	}
	return nil
}

// attributes handles HASATTR_ and EQATTR_ (EPCIS 2.0, SimpleEventQuery).
func (q *Query) attributes(op, field string, list []string, bad refuse) error {
	attribute := ""
	if op == "EQATTR" {
		field, attribute, _ = strings.Cut(field, "_")
	}
	get := placeOf(field)
	if get == nil || op == "EQATTR" && attribute == "" {
		return bad("there is no such parameter; places have attributes: readPoint and bizLocation")
	}
	q.masters = append(q.masters, func(l lookup, e *Event) (bool, error) {
		x, err := l(get(e))
		if err != nil || x == nil {
			return false, err
		}
		if op == "EQATTR" {
			value, known := x.Attributes[attributeName(attribute)]
			return known && slices.Contains(list, value), nil
		}
		return slices.ContainsFunc(list, func(name string) bool { _, known := x.Attributes[attributeName(name)]; return known }), nil
	})
	return nil
}

// below reports whether a place is one of some, or below one: by its name, or as
// master data has it.
func below(l lookup, place string, roots []string) (bool, error) {
	own := Name(place)
	seen := map[string]bool{}
	next := slices.Clone(roots)
	for len(next) > 0 && len(seen) < maxChildren {
		n := next[0]
		next = next[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		if own == n || strings.HasPrefix(own, n+"_") {
			return true, nil
		}
		x, err := l(n)
		if err != nil {
			return false, err
		}
		if x != nil {
			for _, c := range x.Children {
				next = append(next, Name(c))
			}
		}
	}
	return false, nil
}

// fits reports whether an event is in a query's answer, master data included.
func (c *Chain) fits(q *Query, e *Event) (bool, error) {
	if !q.matches(e) {
		return false, nil
	}
	for _, t := range q.masters {
		if ok, err := t(c.element, e); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
