package condition

import (
	"regexp"
	"regexp/syntax"
	"strconv"

	"github.com/rapport-engine/rapport"
)

// valueType is the static type of an expression.
type valueType uint8

const (
	typeAny valueType = iota // known only when evaluated: traits and other fields
	typeBool
	typeNumber
	typeText
	typeList
	typeNull
)

var typeNames = [...]string{"any value", "a truth value", "a number", "a text", "a list", "null"}

// maxProgram bounds a compiled regular expression, in instructions.
const maxProgram = 500

// typeOf returns the static type of a checked node.
func (n *node) typeOf() valueType {
	switch n.kind {
	case kindLiteral:
		switch n.value.Kind() {
		case rapport.KindNull:
			return typeNull
		case rapport.KindString:
			return typeText
		case rapport.KindTrue, rapport.KindFalse:
			return typeBool
		}
		return typeNumber
	case kindList:
		return typeList
	case kindPath:
		if n.root == Scores {
			return typeNumber
		}
		return typeAny
	case kindItem:
		return typeAny
	case kindPerformed:
		switch {
		case n.op == Happened:
			return typeBool
		case (n.op == First || n.op == Last) && len(n.path) > 0:
			return typeAny
		}
		return typeNumber
	case kindDuration, kindNow, kindAdd, kindSubtract, kindMultiply, kindDivide, kindNegate, kindSize, kindTime, kindDegree, kindCountItem:
		return typeNumber
	}
	return typeBool
}

// checker finds type errors and adds up size, depth and cost.
type checker struct {
	text  string
	nodes int
}

// checkTree checks a whole condition.
func checkTree(n *node, text string) error {
	c := &checker{text: text}
	cost, err := c.check(n, 1)
	if err != nil {
		return err
	}
	if cost > MaxCost {
		return c.fail(n, "the condition is too costly to evaluate; use fewer matches(...) and items.any(...)")
	}
	return c.want(n, typeBool, "the condition")
}

func (c *checker) fail(n *node, msg string) error { return syntaxError(c.text, n.at, msg) }

// want checks that n can have type t.
func (c *checker) want(n *node, t valueType, what string) error {
	if got := n.typeOf(); got != t && got != typeAny {
		msg := what + " must be " + typeNames[t] + ", but " + short(n) + " is " + typeNames[got]
		if got == typeNumber && t == typeBool {
			msg += "; compare it, as in " + short(n) + " > 0"
		}
		return c.fail(n, msg)
	}
	return nil
}

// short returns the text of n, cut to a length that fits an error.
func short(n *node) string {
	if s := []rune(n.String()); len(s) > 60 {
		return string(s[:57]) + "..."
	}
	return n.String()
}

// check returns the cost of evaluating n.
func (c *checker) check(n *node, depth int) (cost int, err error) {
	if c.nodes++; c.nodes > MaxNodes {
		return 0, c.fail(n, "the condition has more than "+strconv.Itoa(MaxNodes)+" parts")
	}
	if depth > MaxDepth {
		return 0, c.fail(n, "the condition is nested too deeply")
	}
	cost = 1
	for _, a := range n.args {
		add, err := c.check(a, depth+1)
		if err != nil {
			return 0, err
		}
		cost += add
	}
	wheres := []*node{n.where}
	for _, s := range n.steps {
		wheres = append(wheres, s.where)
	}
	for _, w := range wheres {
		if w == nil {
			continue
		}
		if _, err := c.check(w, depth+1); err != nil {
			return 0, err
		}
		if err := c.want(w, typeBool, "where(...)"); err != nil {
			return 0, err
		}
	}
	switch n.kind {
	case kindPerformed:
		cost += 5
	case kindMatches:
		cost += 100
	case kindAnyItem, kindCountItem:
		cost *= 20
	}
	return cost, c.types(n)
}

// types checks the operands of n.
func (c *checker) types(n *node) error {
	bin, isBinary := binaries[n.kind]
	switch {
	case isBinary && (bin.level == levelAnd || bin.level == levelOr):
		for _, a := range n.args {
			if err := c.want(a, typeBool, "a side of "+bin.mark); err != nil {
				return err
			}
		}
		return nil
	case isBinary && bin.level > levelCompare:
		for _, a := range n.args {
			if err := c.want(a, typeNumber, "a side of "+bin.mark); err != nil {
				return err
			}
		}
		return nil
	case n.kind == kindIn:
		return c.membership(n)
	case isBinary:
		return c.comparison(n, bin)
	}
	switch n.kind {
	case kindNot:
		return c.want(n.args[0], typeBool, "what follows !")
	case kindNegate:
		return c.want(n.args[0], typeNumber, "what follows -")
	case kindAnyItem, kindCountItem:
		return c.want(n.args[0], typeBool, "the condition on an item")
	case kindHas:
		if k := n.args[0].kind; k != kindPath && k != kindItem {
			return c.fail(n.args[0], "has(...) takes a name such as traits.x, not "+short(n.args[0]))
		}
	case kindSize:
		if t := n.args[0].typeOf(); t != typeAny && t != typeText && t != typeList {
			return c.fail(n.args[0], "size(...) takes a text or a list, not "+short(n.args[0]))
		}
	case kindTime:
		return c.timeLiteral(n)
	case kindContains:
		if t := n.args[0].typeOf(); t != typeAny && t != typeText {
			return c.fail(n.args[0], "contains(...) looks in a text, but "+short(n.args[0])+" is "+typeNames[t])
		}
		if t := n.args[1].typeOf(); t == typeList || t == typeNull {
			return c.fail(n.args[1], "contains(...) looks for one value, not "+typeNames[t])
		}
	case kindStarts, kindEnds, kindMatches:
		name := methodNames[n.kind] + "(...)"
		if err := c.want(n.args[0], typeText, "what "+name+" looks at"); err != nil {
			return err
		}
		if err := c.want(n.args[1], typeText, "what "+name+" looks for"); err != nil {
			return err
		}
		if n.kind == kindMatches {
			return c.pattern(n.args[1])
		}
	case kindList:
		for _, a := range n.args {
			if a.kind != kindLiteral {
				return c.fail(a, "a list holds numbers, texts and truth values only")
			}
		}
	}
	return nil
}

func (c *checker) timeLiteral(n *node) error {
	a := n.args[0]
	if t := a.typeOf(); t != typeAny && t != typeText && t != typeNumber {
		return c.fail(a, "time(...) takes a date such as \"2026-01-31\", not "+short(a))
	}
	if s, ok := a.value.Text(); ok && a.kind == kindLiteral {
		if _, ok := parseTime(s); !ok {
			return c.fail(a, short(a)+` is no date; write "2026-01-31" or "2026-01-31T08:00:00Z"`)
		}
	}
	return nil
}

func (c *checker) membership(n *node) error {
	if t := n.args[0].typeOf(); t == typeList {
		return c.fail(n.args[0], "in looks for one value, not for a list")
	}
	if t := n.args[1].typeOf(); t != typeAny && t != typeList {
		return c.fail(n.args[1], `in wants a list, as in traits.country in ["NO", "SE"], but `+short(n.args[1])+" is "+typeNames[t])
	}
	return nil
}

func (c *checker) comparison(n *node, bin binary) error {
	left, right := n.args[0].typeOf(), n.args[1].typeOf()
	ordered := n.kind != kindEqual && n.kind != kindDiffers
	for i, t := range [...]valueType{left, right} {
		if t == typeList {
			return c.fail(n.args[i], bin.mark+" does not compare lists; write in to look into one")
		}
		if ordered && t != typeAny && t != typeNumber && t != typeText {
			return c.fail(n.args[i], bin.mark+" compares numbers or texts, but "+short(n.args[i])+" is "+typeNames[t])
		}
	}
	if left == typeAny || right == typeAny || left == right {
		return nil
	}
	if !ordered && (left == typeNull || right == typeNull) {
		return nil
	}
	return c.fail(n, bin.mark+" compares unlike things: "+short(n.args[0])+" is "+typeNames[left]+", "+short(n.args[1])+" is "+typeNames[right])
}

func (c *checker) pattern(n *node) error {
	s, ok := n.value.Text()
	if n.kind != kindLiteral || !ok {
		return c.fail(n, "the pattern of matches(...) is written in quotes")
	}
	if len(s) > MaxPattern {
		return c.fail(n, "the pattern is longer than "+strconv.Itoa(MaxPattern)+" bytes")
	}
	if _, err := compilePattern(string(s)); err != nil {
		return c.fail(n, err.Error())
	}
	return nil
}

// compilePattern compiles a regular expression of bounded size.
func compilePattern(s string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "the pattern cannot be read: %w", err)
	}
	if size(tree) > maxProgram {
		return nil, rapport.Errorf(rapport.Invalid, "the pattern is too large; use smaller repeat counts")
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "the pattern cannot be read: %w", err)
	}
	if len(program.Inst) > maxProgram {
		return nil, rapport.Errorf(rapport.Invalid, "the pattern is too large; use smaller repeat counts")
	}
	return regexp.Compile(s)
}

// size estimates the instructions a pattern compiles to, before that is done.
func size(r *syntax.Regexp) int {
	n := 1
	if r.Op == syntax.OpLiteral {
		n = len(r.Rune)
	}
	for _, s := range r.Sub {
		n += size(s)
	}
	if r.Op == syntax.OpRepeat {
		n *= max(r.Max, r.Min, 1)
	}
	return min(n, 1<<20)
}
