package condition

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// parser is a Pratt parser for the part of CEL's syntax that conditions use.
// It resolves names at once, so that errors can point and suggest.
type parser struct {
	lexer
	tok    token // the one looked at
	depth  int
	nodes  int
	item   string // name of the item variable in scope, or ""
	inside string // "where" inside where(...), else ""
}

// maxBrackets bounds recursion on input whose brackets leave no nodes.
const maxBrackets = 4 * MaxDepth

func parseText(text string) (*node, error) {
	if len(text) > MaxText {
		return nil, syntaxError(text[:MaxText], MaxText, "the condition is longer than "+strconv.Itoa(MaxText)+" bytes")
	}
	p := &parser{lexer: lexer{text: text}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokenEnd {
		return nil, p.fail(0, `nothing is written here; a condition reads like traits.country == "NO"`)
	}
	n, err := p.expression(levelOr)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenEnd {
		return nil, p.unexpected()
	}
	return n, nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

// unexpected explains a token that cannot stand after a whole expression.
func (p *parser) unexpected() error {
	t := p.tok
	if t.kind == tokenName {
		switch strings.ToLower(t.text) {
		case "and":
			return p.fail(t.at, "write && for and")
		case "or":
			return p.fail(t.at, "write || for or")
		case "is", "equals":
			return p.fail(t.at, "write == for "+t.text)
		case "contains", "startswith", "endswith", "matches":
			return p.fail(t.at, `write .`+Nearest(t.text, slices.Sorted(maps.Keys(methods)))+`("...") right after the value`)
		case "not":
			return p.fail(t.at, "write ! before an expression for not, and != for is not")
		}
	}
	return p.fail(t.at, t.describe()+" is not expected here; && or || may be missing before it")
}

// expect consumes a mark.
func (p *parser) expect(mark, why string) error {
	if p.tok.kind != tokenMark || p.tok.text != mark {
		return p.fail(p.tok.at, mark+" is missing before "+p.tok.describe()+why)
	}
	return p.advance()
}

func (p *parser) is(mark string) bool { return p.tok.kind == tokenMark && p.tok.text == mark }

func (p *parser) make(n *node) (*node, error) {
	if p.nodes++; p.nodes > MaxNodes {
		return nil, p.fail(n.at, "the condition has more than "+strconv.Itoa(MaxNodes)+" parts")
	}
	return n, nil
}

// operator returns the binary operator at the current token.
func (p *parser) operator() (nodeKind, binary, bool) {
	if p.tok.kind != tokenMark && (p.tok.kind != tokenName || p.tok.text != "in") {
		return 0, binary{}, false
	}
	k, ok := markKinds[p.tok.text]
	return k, binaries[k], ok
}

// expression parses operators that bind at least as strongly as level.
func (p *parser) expression(level int) (*node, error) {
	if p.depth++; p.depth > maxBrackets {
		return nil, p.fail(p.tok.at, "the condition is nested too deeply")
	}
	defer func() { p.depth-- }()
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	for {
		kind, bin, ok := p.operator()
		if !ok || bin.level < level {
			return left, nil
		}
		at := p.tok.at
		parts := []*node{left}
		for repeat := true; repeat; {
			if err := p.advance(); err != nil {
				return nil, err
			}
			right, err := p.expression(bin.level + 1)
			if err != nil {
				return nil, err
			}
			parts = append(parts, right)
			next, _, _ := p.operator()
			repeat = next == kind && (kind == kindAnd || kind == kindOr)
		}
		if _, next, ok := p.operator(); ok && bin.level == levelCompare && next.level == levelCompare {
			return nil, p.fail(p.tok.at, "comparisons do not chain; write a < b && b < c")
		}
		if kind == kindAnd || kind == kindOr {
			left, err = p.make(group(kind, parts[0].at, parts))
		} else {
			left, err = p.make(&node{kind: kind, at: at, args: parts})
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) unary() (*node, error) {
	if !p.is("!") && !p.is("-") {
		return p.member()
	}
	mark := p.tok
	if p.depth++; p.depth > maxBrackets {
		return nil, p.fail(mark.at, "the condition is nested too deeply")
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	operand, err := p.unary()
	if err != nil {
		return nil, err
	}
	if mark.text == "-" {
		return p.make(negate(mark.at, operand))
	}
	return p.make(&node{kind: kindNot, at: mark.at, args: []*node{operand}})
}

// member parses a primary and the functions called on it.
func (p *parser) member() (*node, error) {
	n, err := p.primary()
	for err == nil && (p.is(".") || p.is("[")) {
		if p.is("[") {
			return nil, p.fail(p.tok.at, "elements cannot be picked here; write \"x\" in traits.list to look for one")
		}
		if err = p.advance(); err != nil {
			return nil, err
		}
		n, err = p.method(n)
	}
	return n, err
}

// method parses name(argument) after a dot.
func (p *parser) method(on *node) (*node, error) {
	name := p.tok
	kind, known := methods[name.text]
	if name.kind != tokenName || (!known && name.text != "size") {
		return nil, p.unknown("function ", name, slices.Sorted(maps.Keys(methods)))
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expect("(", " to call "+name.text); err != nil {
		return nil, err
	}
	if name.text == "size" {
		if err := p.expect(")", ""); err != nil {
			return nil, err
		}
		return p.make(&node{kind: kindSize, at: name.at, args: []*node{on}})
	}
	arg, err := p.expression(levelOr)
	if err != nil {
		return nil, err
	}
	if err := p.expect(")", " to close "+name.text+"(...)"); err != nil {
		return nil, err
	}
	return p.make(&node{kind: kind, at: on.at, args: []*node{on, arg}})
}

// unknown is the error for a name that is none of the known ones. what is what
// stands before the name in the error.
func (p *parser) unknown(what string, t token, known []string) error {
	if t.kind != tokenName && t.kind != tokenString {
		return p.fail(t.at, "a "+strings.Fields(what)[0]+" is missing before "+t.describe()+"; there are "+strings.Join(known, ", "))
	}
	msg := "there is no " + what + t.text
	if near := Nearest(t.text, known); near != "" {
		return p.fail(t.at, msg+"; did you mean "+near+"?")
	}
	return p.fail(t.at, msg+"; there are "+strings.Join(known, ", "))
}

func (p *parser) primary() (*node, error) {
	t := p.tok
	switch t.kind {
	case tokenEnd:
		return nil, p.fail(t.at, "the condition ends where a value should follow")
	case tokenString:
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.make(&node{kind: kindLiteral, at: t.at, value: rapport.StringValue(t.text)})
	case tokenNumber:
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.make(&node{kind: kindLiteral, at: t.at, value: rapport.NumberText(t.text)})
	case tokenName:
		return p.named()
	}
	switch t.text {
	case "(":
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.expression(levelOr)
		if err != nil {
			return nil, err
		}
		return n, p.expect(")", " to close the bracket opened at "+p.place(t.at))
	case "[":
		return p.list()
	}
	return nil, p.fail(t.at, "a value should stand before "+t.describe())
}

func (p *parser) place(at int) string {
	e, _ := errors.AsType[*SyntaxError](syntaxError(p.text, at, ""))
	if e.Line > 1 {
		return "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Column)
	}
	return "column " + strconv.Itoa(e.Column)
}

func (p *parser) list() (*node, error) {
	n := &node{kind: kindList, at: p.tok.at}
	if err := p.advance(); err != nil {
		return nil, err
	}
	for !p.is("]") {
		if len(n.args) > 0 {
			if err := p.expect(",", " between elements of the list"); err != nil {
				return nil, err
			}
			if p.is("]") {
				break
			}
		}
		e, err := p.expression(levelOr)
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, e)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return p.make(n)
}
