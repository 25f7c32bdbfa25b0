package condition

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// The tree form is the condition as JSON, for builders and other programs. A
// literal is itself, a list is an array, and everything else is an object with
// one member that names it:
//
//	{"and": [...]}  {"or": [...]}  {"not": x}
//	{"==": [a, b]}  also != < <= > >= in + - * /
//	{"path": "traits.country"}  {"now": "hour"}  {"duration": "30d"}
//	{"has": x}  {"size": x}  {"time": x}  {"negative": x}
//	{"contains": [a, b]}  also startsWith endsWith matches
//	{"segment": "id"}  {"degree": "id"}
//	{"consent": {"purpose": "marketing", "channel": "email"}}
//	{"performed": {"event": "Order Completed", "where": x, "within": "30d", "op": "sum", "property": "revenue"}}
//	{"performed": {"event": "A", "then": [{"event": "B", "where": x}], "notThen": {"event": "C"}, "op": "happened"}}
//	{"anyItem": {"as": "i", "where": x}}  {"countItems": {"as": "i", "where": x}}

// unaries are the kinds with one operand, by their name in the tree form.
var unaries = map[nodeKind]string{kindNot: "not", kindNegate: "negative", kindHas: "has", kindSize: "size", kindTime: "time"}

// formName returns the member that stands for a kind in the tree form.
func formName(k nodeKind) string {
	switch k {
	case kindAnd:
		return "and"
	case kindOr:
		return "or"
	}
	if b, ok := binaries[k]; ok {
		return b.mark
	}
	if m, ok := methodNames[k]; ok {
		return m
	}
	return unaries[k]
}

// formKinds maps names of the tree form to the kinds that have operands only.
var formKinds = func() map[string]nodeKind {
	m := make(map[string]nodeKind)
	for k := kindLiteral; k <= kindCountItem; k++ {
		if name := formName(k); name != "" {
			m[name] = k
		}
	}
	return m
}()

// Tree returns the tree form as JSON.
func (c *Condition) Tree() json.RawMessage {
	if c.IsZero() {
		return json.RawMessage("true")
	}
	return c.tree.form(nil)
}

func (n *node) form(b []byte) []byte {
	switch n.kind {
	case kindLiteral:
		return n.value.AppendJSON(b)
	case kindList:
		return formAll(b, n.args)
	case kindPath, kindItem:
		return member(b, "path", n.String())
	case kindNow:
		return member(b, "now", n.name)
	case kindDuration:
		return member(b, "duration", n.duration.String())
	case kindSegment:
		return member(b, "segment", n.name)
	case kindDegree:
		return member(b, "degree", n.name)
	case kindConsent:
		f := rapport.AppendField(nil, "purpose", rapport.StringValue(n.name))
		if n.channel != "" {
			f = rapport.AppendField(f, "channel", rapport.StringValue(n.channel))
		}
		return append(f.AppendJSON(append(b, `{"consent":`...)), '}')
	case kindPerformed:
		return n.formPerformed(b)
	case kindAnyItem, kindCountItem:
		name := "anyItem"
		if n.kind == kindCountItem {
			name = "countItems"
		}
		b = append(b, `{"`+name+`":{"as":"`+n.name+`","where":`...)
		return append(n.args[0].form(b), "}}"...)
	}
	b = append(rapport.StringValue(formName(n.kind)).AppendJSON(append(b, '{')), ':')
	if _, one := unaries[n.kind]; one {
		return append(n.args[0].form(b), '}')
	}
	return append(formAll(b, n.args), '}')
}

func (n *node) formPerformed(b []byte) []byte {
	b = append(b, `{"performed":{"event":`...)
	b = rapport.StringValue(n.event).AppendJSON(b)
	if n.where != nil {
		b = n.where.form(append(b, `,"where":`...))
	}
	for i, s := range n.steps {
		switch {
		case n.stepName(i) == "notThen" && i > 0:
			b = append(b, `],"notThen":`...)
		case n.stepName(i) == "notThen":
			b = append(b, `,"notThen":`...)
		case i == 0:
			b = append(b, `,"then":[`...)
		default:
			b = append(b, ',')
		}
		b = rapport.StringValue(s.event).AppendJSON(append(b, `{"event":`...))
		if s.where != nil {
			b = s.where.form(append(b, `,"where":`...))
		}
		b = append(b, '}')
	}
	if len(n.steps) > 0 && !n.absent {
		b = append(b, ']')
	}
	if n.duration > 0 {
		b = append(b, `,"within":"`+n.duration.String()+`"`...)
	}
	b = append(b, `,"op":"`+string(n.op)+`"`...)
	if len(n.path) > 0 {
		b = rapport.StringValue(joinPath(n.path)).AppendJSON(append(b, `,"property":`...))
	}
	return append(b, "}}"...)
}

func formAll(b []byte, nodes []*node) []byte {
	b = append(b, '[')
	for i, a := range nodes {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.form(b)
	}
	return append(b, ']')
}

func member(b []byte, name, value string) []byte {
	return append(rapport.StringValue(value).AppendJSON(append(b, `{"`+name+`":`...)), '}')
}

// ParseTree reads the tree form. Positions in its errors refer to the
// canonical text, which the [SyntaxError] carries.
func ParseTree(data []byte) (*Condition, error) {
	if len(data) > 8*MaxText {
		return nil, rapport.Errorf(rapport.Invalid, "the condition is too long")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return nil, rapport.Errorf(rapport.Invalid, "the condition's tree is not JSON: %w", err)
	}
	n, err := fromForm(v, 0)
	if err != nil {
		return nil, err
	}
	return Parse(n.String())
}

// UnmarshalJSON reads the text form from a JSON string, or the tree form.
func (c *Condition) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		return c.UnmarshalText([]byte(text))
	}
	parsed, err := ParseTree(data)
	if err != nil {
		return err
	}
	*c = *parsed
	return nil
}

func badForm(format string, args ...any) error {
	return rapport.Errorf(rapport.Invalid, "the condition's tree: "+format, args...)
}

// fromForm builds a node whose text is then parsed: names are checked here only
// so far that they cannot become something else.
func fromForm(v any, depth int) (*node, error) {
	if depth > MaxDepth {
		return nil, badForm("it is nested too deeply")
	}
	switch v := v.(type) {
	case nil, bool, string:
		return &node{kind: kindLiteral, value: rapport.ValueOf(v)}, nil
	case json.Number:
		n := rapport.ValueOf(v)
		if n.IsNull() {
			return nil, badForm("the number %s is too large", v)
		}
		return &node{kind: kindLiteral, value: n}, nil
	case []any:
		args, err := fromForms(v, depth)
		return &node{kind: kindList, args: args}, err
	case map[string]any:
		if len(v) == 1 {
			for name, arg := range v {
				return fromMember(name, arg, depth+1)
			}
		}
	}
	return nil, badForm("an object has one member that names what it is")
}

func fromForms(list []any, depth int) ([]*node, error) {
	nodes := make([]*node, len(list))
	for i, e := range list {
		var err error
		if nodes[i], err = fromForm(e, depth+1); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func fromMember(name string, arg any, depth int) (*node, error) {
	text, isText := arg.(string)
	fields, _ := arg.(map[string]any)
	switch name {
	case "path":
		return fromPath(text)
	case "now":
		if !isName(text) {
			return nil, badForm("now has no part %q", text)
		}
		return &node{kind: kindNow, name: text}, nil
	case "duration":
		d, err := rapport.ParseDuration(text)
		return &node{kind: kindDuration, duration: d}, err
	case "segment", "degree":
		if !isText {
			return nil, badForm("%s takes the id of a segment", name)
		}
		return &node{kind: map[string]nodeKind{"segment": kindSegment, "degree": kindDegree}[name], name: text}, nil
	case "consent":
		purpose, _ := fields["purpose"].(string)
		channel, _ := fields["channel"].(string)
		return &node{kind: kindConsent, name: purpose, channel: channel}, only(name, fields, "purpose", "channel")
	case "performed":
		return fromPerformed(fields, depth)
	case "anyItem", "countItems":
		as, _ := fields["as"].(string)
		body, err := fromForm(fields["where"], depth)
		if err == nil && !isName(as) {
			err = badForm("%s wants a name for the item in \"as\"", name)
		}
		if err == nil {
			err = only(name, fields, "as", "where")
		}
		return &node{kind: map[string]nodeKind{"anyItem": kindAnyItem, "countItems": kindCountItem}[name], name: as, args: []*node{body}}, err
	}
	kind, ok := formKinds[name]
	if !ok {
		return nil, badForm("there is nothing called %q", name)
	}
	if _, one := unaries[kind]; one {
		operand, err := fromForm(arg, depth)
		if err == nil && kind == kindNegate {
			return negate(0, operand), nil
		}
		return &node{kind: kind, args: []*node{operand}}, err
	}
	list, _ := arg.([]any)
	many := kind == kindAnd || kind == kindOr
	if len(list) == 0 || !many && len(list) != 2 {
		return nil, badForm("%s takes a list of %s", name, map[bool]string{true: "one or more", false: "two"}[many])
	}
	args, err := fromForms(list, depth)
	if many && err == nil {
		return group(kind, 0, args), nil
	}
	return &node{kind: kind, args: args}, err
}

// fromPath reads a path with its root or item name.
func fromPath(text string) (*node, error) {
	head := text
	if i := strings.IndexAny(text, ".["); i > 0 {
		head = text[:i]
	}
	p := &parser{lexer: lexer{text: text}}
	if isName(head) {
		p.item = head
	}
	err := p.advance()
	if err == nil {
		err = p.advance()
	}
	n := &node{kind: kindItem, name: head}
	if err == nil {
		n, err = p.path(n)
	}
	if err != nil || p.tok.kind != tokenEnd || !isName(head) {
		return nil, badForm("%q is not a path such as traits.country", text)
	}
	return n, nil
}

func fromPerformed(fields map[string]any, depth int) (*node, error) {
	event, _ := fields["event"].(string)
	op, _ := fields["op"].(string)
	n := &node{kind: kindPerformed, event: event, op: Op(op)}
	if !isName(op) {
		return nil, badForm("performed has no question %q in \"op\"", op)
	}
	if w, ok := fields["where"]; ok {
		var err error
		if n.where, err = fromForm(w, depth); err != nil {
			return nil, err
		}
	}
	if err := fromSteps(n, fields, depth); err != nil {
		return nil, err
	}
	if w, ok := fields["within"]; ok {
		text, _ := w.(string)
		d, err := rapport.ParseDuration(text)
		if err != nil {
			return nil, err
		}
		if d <= 0 {
			return nil, badForm("within must be longer than nothing")
		}
		n.duration = d
	}
	if prop, ok := fields["property"]; ok {
		text, _ := prop.(string)
		path, err := parsePath(text)
		if err != nil {
			return nil, err
		}
		n.path = path
	}
	return n, only("performed", fields, "event", "where", "then", "notThen", "within", "op", "property")
}

// fromSteps reads the rest of a sequence.
func fromSteps(n *node, fields map[string]any, depth int) error {
	var list []any
	if v, ok := fields["then"]; ok {
		if list, ok = v.([]any); !ok || len(list) == 0 {
			return badForm(`then takes a list of events such as {"event": "Order Completed"}`)
		}
	}
	if v, ok := fields["notThen"]; ok {
		list, n.absent = append(slices.Clone(list), v), true
	}
	for _, v := range list {
		f, _ := v.(map[string]any)
		event, ok := f["event"].(string)
		if !ok {
			return badForm(`then and notThen take events such as {"event": "Order Completed"}`)
		}
		s := step{event: event}
		if w, ok := f["where"]; ok {
			var err error
			if s.where, err = fromForm(w, depth); err != nil {
				return err
			}
		}
		if err := only("a step of performed", f, "event", "where"); err != nil {
			return err
		}
		n.steps = append(n.steps, s)
	}
	return nil
}

// only refuses members a form does not have.
func only(name string, fields map[string]any, known ...string) error {
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, k) {
			return badForm("%s has no member %q", name, k)
		}
	}
	return nil
}
