package condition

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// heads are the names an expression can begin with.
var heads = []string{
	"traits", "computed", "scores", "context", "properties", "segments", "items", "performed",
	"now", "consent", "has", "size", "time", "duration", "true", "false", "null",
}

// nowParts are the parts of the time of evaluation.
var nowParts = []string{"hour", "minute", "weekday", "day", "month", "year", "unix"}

var ops = []Op{Count, Sum, Avg, Min, Max, First, Last, Distinct, Happened}

// named parses what begins with a name.
func (p *parser) named() (*node, error) {
	t := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.item != "" && t.text == p.item {
		return p.path(&node{kind: kindItem, at: t.at, name: t.text})
	}
	if r := slices.Index(rootNames[1:], t.text) + 1; r > 0 {
		if p.inside == "where" && Root(r) != Properties {
			return nil, p.fail(t.at, "where(...) sees only the event: properties.x, not "+t.text)
		}
		return p.path(&node{kind: kindPath, at: t.at, root: Root(r)})
	}
	switch t.text {
	case "true", "false":
		return p.make(&node{kind: kindLiteral, at: t.at, value: rapport.BoolValue(t.text == "true")})
	case "null":
		return p.make(&node{kind: kindLiteral, at: t.at})
	case "has", "size", "time":
		return p.function(t)
	case "duration":
		d, err := p.durationCall()
		if err != nil {
			return nil, err
		}
		return p.make(&node{kind: kindDuration, at: t.at, duration: d})
	}
	if p.inside == "where" && slices.Contains(heads, t.text) {
		return nil, p.fail(t.at, "where(...) sees only the event: properties.x, not "+t.text)
	}
	switch t.text {
	case "now":
		return p.now(t)
	case "segments":
		return p.segment(t)
	case "consent":
		return p.consent(t)
	case "items":
		return p.items(t)
	case "performed":
		return p.performed(t)
	case "in":
		return nil, p.fail(t.at, "a value should stand before in")
	case "not":
		return nil, p.fail(t.at, "write ! for not")
	}
	if t.at > 0 && p.text[t.at-1] == '-' {
		return nil, p.fail(t.at, "there is no "+t.text+` here; a name with - in it is written traits["first-name"]`)
	}
	known := heads
	if p.item != "" {
		known = append([]string{p.item}, heads...)
	}
	if near := Nearest(t.text, known); near != "" {
		return nil, p.fail(t.at, "there is no "+t.text+" here; did you mean "+near+"?")
	}
	return nil, p.fail(t.at, "there is no "+t.text+` here; write traits.`+t.text+` for a trait, or "`+t.text+`" for a text`)
}

// path parses .name or ["name"] parts up to a function call.
func (p *parser) path(n *node) (*node, error) {
	for {
		switch {
		case p.is("["):
			if err := p.advance(); err != nil {
				return nil, err
			}
			if p.tok.kind != tokenString {
				return nil, p.fail(p.tok.at, `in [...] stands a name in quotes, as in traits["first name"]`)
			}
			n.path = append(n.path, p.tok.text)
			if err := p.advance(); err != nil {
				return nil, err
			}
			if err := p.expect("]", ""); err != nil {
				return nil, err
			}
		case p.is("."):
			before, dot := p.lexer, p.tok
			if err := p.advance(); err != nil {
				return nil, err
			}
			if p.tok.kind != tokenName {
				return nil, p.fail(p.tok.at, "a name should follow the dot, not "+p.tok.describe())
			}
			name := p.tok.text
			if err := p.advance(); err != nil {
				return nil, err
			}
			if p.is("(") { // a function: the dot belongs to it
				p.lexer, p.tok = before, dot
				return p.pathDone(n)
			}
			n.path = append(n.path, name)
		default:
			return p.pathDone(n)
		}
	}
}

func (p *parser) pathDone(n *node) (*node, error) {
	head := n.name
	if n.kind == kindPath {
		head = n.root.String()
	}
	if len(n.path) == 0 {
		return nil, p.fail(n.at, head+" needs a name: "+head+".x")
	}
	if len(n.path) > 16 {
		return nil, p.fail(n.at, "the path is longer than 16 names")
	}
	return p.make(n)
}

func (p *parser) function(t token) (*node, error) {
	if err := p.expect("(", " to call "+t.text); err != nil {
		return nil, err
	}
	arg, err := p.expression(levelOr)
	if err != nil {
		return nil, err
	}
	if err := p.expect(")", " to close "+t.text+"(...)"); err != nil {
		return nil, err
	}
	kind := map[string]nodeKind{"has": kindHas, "size": kindSize, "time": kindTime}[t.text]
	return p.make(&node{kind: kind, at: t.at, args: []*node{arg}})
}

// quoted parses a text in quotes.
func (p *parser) quoted(what string) (token, error) {
	t := p.tok
	if t.kind != tokenString {
		return t, p.fail(t.at, what+" is wanted in quotes, not "+t.describe())
	}
	if t.text == "" {
		return t, p.fail(t.at, what+" is empty")
	}
	return t, p.advance()
}

func (p *parser) durationCall() (rapport.Duration, error) {
	if err := p.expect("(", ""); err != nil {
		return 0, err
	}
	t, err := p.quoted(`a length of time such as "30d"`)
	if err != nil {
		return 0, err
	}
	d, err := rapport.ParseDuration(t.text)
	if err != nil {
		return 0, p.fail(t.at, err.Error())
	}
	if d <= 0 || d > maxDuration {
		return 0, p.fail(t.at, "a length of time lies between 1ms and "+rapport.Duration(maxDuration).String())
	}
	return d, p.expect(")", "")
}

// maxDuration is a hundred years: what is longer was not meant.
const maxDuration = rapport.Duration(36500 * 24 * 3600 * 1e9)

// part parses .name and returns the name's token.
func (p *parser) part(head, what string, known []string) (token, error) {
	if !p.is(".") {
		return token{}, p.fail(p.tok.at, head+" is followed by ."+strings.Join(known, " or .")+", not by "+p.tok.describe())
	}
	if err := p.advance(); err != nil {
		return token{}, err
	}
	t := p.tok
	if t.kind != tokenName || !slices.Contains(known, t.text) {
		return t, p.unknown(what+" "+head+".", t, known)
	}
	return t, p.advance()
}

func (p *parser) now(t token) (*node, error) {
	part, err := p.part("now", "part", nowParts)
	if err != nil {
		return nil, err
	}
	return p.make(&node{kind: kindNow, at: t.at, name: part.text})
}

func (p *parser) segment(t token) (*node, error) {
	f, err := p.part("segments", "function", []string{"has", "degree"})
	if err != nil {
		return nil, err
	}
	if err := p.expect("(", ""); err != nil {
		return nil, err
	}
	id, err := p.quoted("the id of a segment")
	if err != nil {
		return nil, err
	}
	kind := kindSegment
	if f.text == "degree" {
		kind = kindDegree
	}
	if err := p.expect(")", ""); err != nil {
		return nil, err
	}
	return p.make(&node{kind: kind, at: t.at, name: id.text})
}

func (p *parser) consent(t token) (*node, error) {
	if _, err := p.part("consent", "function", []string{"allows"}); err != nil {
		return nil, err
	}
	if err := p.expect("(", ""); err != nil {
		return nil, err
	}
	purpose, err := p.quoted("the purpose")
	if err != nil {
		return nil, err
	}
	n := &node{kind: kindConsent, at: t.at, name: purpose.text}
	if p.is(",") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		channel, err := p.quoted("the channel")
		if err != nil {
			return nil, err
		}
		n.channel = channel.text
	}
	if err := p.expect(")", ""); err != nil {
		return nil, err
	}
	return p.make(n)
}

func (p *parser) items(t token) (*node, error) {
	f, err := p.part("items", "function", []string{"any", "count"})
	if err != nil {
		return nil, err
	}
	if p.item != "" {
		return nil, p.fail(t.at, "items."+f.text+" cannot stand inside another")
	}
	if err := p.expect("(", ""); err != nil {
		return nil, err
	}
	name := p.tok
	if name.kind != tokenName || slices.Contains(heads, name.text) || !isName(name.text) {
		return nil, p.fail(name.at, "a name for the item is wanted first, as in items."+f.text+"(i, i.level < 0.2)")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expect(",", " after the item's name"); err != nil {
		return nil, err
	}
	p.item = name.text
	body, err := p.expression(levelOr)
	p.item = ""
	if err != nil {
		return nil, err
	}
	if err := p.expect(")", " to close items."+f.text+"(...)"); err != nil {
		return nil, err
	}
	kind := kindAnyItem
	if f.text == "count" {
		kind = kindCountItem
	}
	return p.make(&node{kind: kind, at: t.at, name: name.text, args: []*node{body}})
}

// performed parses performed("Name"), its where and within in any order, and the question at its end.
func (p *parser) performed(t token) (*node, error) {
	if err := p.expect("(", ` to name the event, as in performed("Order Completed")`); err != nil {
		return nil, err
	}
	name, err := p.quoted("the name of an event")
	if err != nil {
		return nil, err
	}
	if err := p.expect(")", ""); err != nil {
		return nil, err
	}
	n := &node{kind: kindPerformed, at: t.at, event: name.text}
	for {
		if !p.is(".") {
			return nil, p.fail(t.at, `performed("`+name.text+`") needs a question at its end, as in .count() > 0`)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		f := p.tok
		if f.kind != tokenName || !slices.Contains(performedParts, f.text) && !slices.Contains(ops, Op(f.text)) {
			known := slices.Clone(performedParts)
			for _, op := range ops {
				known = append(known, string(op))
			}
			return nil, p.unknown("function ", f, known)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		switch {
		case f.text == "within" && n.duration > 0:
			return nil, p.fail(f.at, "within(...) stands twice")
		case f.text == "within":
			if n.duration, err = p.durationCall(); err != nil {
				return nil, err
			}
		case f.text == "then" || f.text == "notThen":
			if err := p.step(n, f); err != nil {
				return nil, err
			}
		case f.text == "where":
			if err := p.where(n); err != nil {
				return nil, err
			}
		default:
			return p.question(n, f)
		}
	}
}

func (p *parser) where(n *node) error {
	if err := p.expect("(", ""); err != nil {
		return err
	}
	item := p.item
	p.inside, p.item = "where", ""
	w, err := p.expression(levelOr)
	p.inside, p.item = "", item
	if err != nil {
		return err
	}
	into := &n.where
	if len(n.steps) > 0 {
		into = &n.steps[len(n.steps)-1].where
	}
	if *into != nil {
		if w, err = p.make(group(kindAnd, (*into).at, []*node{*into, w})); err != nil {
			return err
		}
	}
	*into = w
	return p.expect(")", " to close where(...)")
}

// performedParts are what may follow performed("...") before the question.
var performedParts = []string{"where", "within", "then", "notThen"}

// step parses the event of then(...) and notThen(...).
func (p *parser) step(n *node, f token) error {
	switch {
	case n.absent:
		return p.fail(f.at, "notThen(...) is the last of a sequence")
	case len(n.steps) == MaxSteps-1:
		return p.fail(f.at, "a sequence has at most "+strconv.Itoa(MaxSteps)+" events")
	}
	if err := p.expect("(", ""); err != nil {
		return err
	}
	name, err := p.quoted("the name of an event")
	if err != nil {
		return err
	}
	n.steps, n.absent = append(n.steps, step{at: name.at, event: name.text}), f.text == "notThen"
	return p.expect(")", "")
}

// question parses the aggregate function at the end of performed(...).
func (p *parser) question(n *node, f token) (*node, error) {
	n.op = Op(f.text)
	if len(n.steps) > 0 && n.op != Happened {
		return nil, p.fail(f.at, "a sequence ends in .happened(), which is true or false")
	}
	if err := p.expect("(", ""); err != nil {
		return nil, err
	}
	if p.is(")") {
		if n.op != Count && n.op != First && n.op != Last && n.op != Happened {
			return nil, p.fail(p.tok.at, f.text+`(...) needs the name of a property, as in .`+f.text+`("revenue")`)
		}
	} else {
		if n.op == Happened {
			return nil, p.fail(p.tok.at, "happened() takes nothing; .where(...) says which events count")
		}
		if n.op == Count {
			return nil, p.fail(p.tok.at, `count() takes nothing; .distinct("sku") counts different values`)
		}
		t, err := p.quoted("the name of a property")
		if err != nil {
			return nil, err
		}
		if n.path, err = parsePath(t.text); err != nil {
			return nil, p.fail(t.at, err.Error())
		}
	}
	if err := p.expect(")", ""); err != nil {
		return nil, err
	}
	return p.make(n)
}

// parsePath reads a path written without its root, as joinPath writes it. A
// leading "properties." is allowed, because that is how it reads elsewhere.
func parsePath(s string) ([]string, error) {
	p := &parser{lexer: lexer{text: s}}
	if !strings.HasPrefix(s, "[") {
		p.text = "." + s
	}
	err := p.advance()
	var n *node
	if err == nil {
		n, err = p.path(&node{kind: kindPath, root: Properties})
	}
	if err != nil || p.tok.kind != tokenEnd {
		return nil, rapport.Errorf(rapport.Invalid, `%s is not the name of a property; it reads like "revenue", "cart.total" or "[\"unit price\"]"`, quote(s))
	}
	for len(n.path) > 1 && n.path[0] == "properties" {
		n.path = n.path[1:]
	}
	return n.path, nil
}
