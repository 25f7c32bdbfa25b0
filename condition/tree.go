package condition

import (
	"strings"

	"github.com/rapport-engine/rapport"
)

// nodeKind is the form of a node. Adding one means a line in each of: parse
// (text), print, check, compile, interpret and the tree form.
type nodeKind uint8

const (
	kindLiteral   nodeKind = iota + 1 // value: null, truth value, number, text
	kindList                          // args
	kindDuration                      // duration; a number of seconds
	kindPath                          // root, path
	kindItem                          // name of the item variable, path
	kindNow                           // name: hour, weekday ...
	kindAnd                           // args, two or more
	kindOr                            // args, two or more
	kindNot                           // args[0]
	kindEqual                         // args[0], args[1]; so are those below
	kindDiffers                       //
	kindLess                          //
	kindAtMost                        //
	kindMore                          //
	kindAtLeast                       //
	kindIn                            //
	kindAdd                           //
	kindSubtract                      //
	kindMultiply                      //
	kindDivide                        //
	kindNegate                        // args[0]
	kindHas                           // args[0], a path
	kindSize                          // args[0]
	kindTime                          // args[0]
	kindContains                      // args[0], args[1]
	kindStarts                        //
	kindEnds                          //
	kindMatches                       // args[1] is a literal
	kindSegment                       // name; truth value
	kindDegree                        // name; number
	kindConsent                       // name is the purpose, channel
	kindPerformed                     // aggregate, where
	kindAnyItem                       // name of the variable, args[0]
	kindCountItem                     // name of the variable, args[0]
)

// node is one node of the typed tree.
type node struct {
	kind     nodeKind
	at       int // byte offset in the text it came from
	args     []*node
	value    rapport.Value
	duration rapport.Duration
	root     Root
	path     []string
	name     string
	channel  string

	event  string
	where  *node // nil takes all
	steps  []step
	absent bool // the last step must not have followed
	op     Op
	agg    *Aggregate // set when the tree is built
	slot   int32      // of the answer in a Memo; 0 is none
	truth  int32      // of the judgement in a Memo; 0 is none
	text   string     // canonical, where it is known beforehand
}

// step is one more event of a sequence.
type step struct {
	at    int
	event string
	where *node
}

// binary describes the kinds written between two operands.
type binary struct {
	mark  string
	level int // binding strength
}

const (
	levelOr = iota + 1
	levelAnd
	levelCompare
	levelAdd
	levelMultiply
	levelUnary
	levelMember
)

var binaries = map[nodeKind]binary{
	kindOr: {"||", levelOr}, kindAnd: {"&&", levelAnd},
	kindEqual: {"==", levelCompare}, kindDiffers: {"!=", levelCompare}, kindLess: {"<", levelCompare}, kindAtMost: {"<=", levelCompare},
	kindMore: {">", levelCompare}, kindAtLeast: {">=", levelCompare}, kindIn: {"in", levelCompare},
	kindAdd: {"+", levelAdd}, kindSubtract: {"-", levelAdd}, kindMultiply: {"*", levelMultiply}, kindDivide: {"/", levelMultiply},
}

var markKinds = func() map[string]nodeKind {
	m := make(map[string]nodeKind, len(binaries))
	for k, b := range binaries {
		m[b.mark] = k
	}
	return m
}()

// methods are the functions of texts, written after a dot.
var methods = map[string]nodeKind{"contains": kindContains, "startsWith": kindStarts, "endsWith": kindEnds, "matches": kindMatches}

var methodNames = map[nodeKind]string{kindContains: "contains", kindStarts: "startsWith", kindEnds: "endsWith", kindMatches: "matches"}

// level returns how strongly n holds together when printed.
func (n *node) level() int {
	if b, ok := binaries[n.kind]; ok {
		return b.level
	}
	switch {
	case n.kind == kindNot || n.kind == kindNegate:
		return levelUnary
	case n.kind == kindLiteral && strings.HasPrefix(n.literal(), "-"):
		return levelUnary
	}
	return levelMember
}

func (n *node) literal() string {
	if s, ok := n.value.Text(); ok {
		return quote(string(s))
	}
	return string(n.value.AppendJSON(nil))
}

// walk visits n and what is below it, parents first; visit returns whether to go deeper.
func (n *node) walk(visit func(*node) bool) {
	if !visit(n) {
		return
	}
	for _, a := range n.args {
		a.walk(visit)
	}
	if n.where != nil {
		n.where.walk(visit)
	}
	for _, s := range n.steps {
		if s.where != nil {
			s.where.walk(visit)
		}
	}
}

// String returns the canonical text of n.
func (n *node) String() string {
	if n.text != "" {
		return n.text
	}
	var b strings.Builder
	n.print(&b)
	return b.String()
}

// operand prints n, in brackets if it binds less strongly than level.
func (n *node) operand(b *strings.Builder, level int) {
	if n.level() >= level {
		n.print(b)
		return
	}
	b.WriteByte('(')
	n.print(b)
	b.WriteByte(')')
}

func (n *node) print(b *strings.Builder) {
	if bin, ok := binaries[n.kind]; ok {
		n.printBinary(b, bin)
		return
	}
	switch n.kind {
	case kindLiteral:
		b.WriteString(n.literal())
	case kindList:
		b.WriteByte('[')
		printAll(b, n.args)
		b.WriteByte(']')
	case kindDuration:
		b.WriteString(`duration("` + n.duration.String() + `")`)
	case kindPath:
		b.WriteString(n.root.String())
		printPath(b, n.path)
	case kindItem:
		b.WriteString(n.name)
		printPath(b, n.path)
	case kindNow:
		b.WriteString("now." + n.name)
	case kindNot, kindNegate:
		b.WriteByte(map[nodeKind]byte{kindNot: '!', kindNegate: '-'}[n.kind])
		n.args[0].operand(b, levelUnary)
	case kindHas, kindSize, kindTime:
		b.WriteString(map[nodeKind]string{kindHas: "has(", kindSize: "size(", kindTime: "time("}[n.kind])
		n.args[0].print(b)
		b.WriteByte(')')
	case kindContains, kindStarts, kindEnds, kindMatches:
		n.args[0].operand(b, levelMember)
		b.WriteString("." + methodNames[n.kind] + "(")
		n.args[1].print(b)
		b.WriteByte(')')
	case kindSegment:
		b.WriteString("segments.has(" + quote(n.name) + ")")
	case kindDegree:
		b.WriteString("segments.degree(" + quote(n.name) + ")")
	case kindConsent:
		b.WriteString("consent.allows(" + quote(n.name))
		if n.channel != "" {
			b.WriteString(", " + quote(n.channel))
		}
		b.WriteByte(')')
	case kindPerformed:
		n.printPerformed(b)
	case kindAnyItem, kindCountItem:
		b.WriteString(map[nodeKind]string{kindAnyItem: "items.any(", kindCountItem: "items.count("}[n.kind] + n.name + ", ")
		n.args[0].print(b)
		b.WriteByte(')')
	}
}

func (n *node) printBinary(b *strings.Builder, bin binary) {
	for i, a := range n.args {
		level := bin.level
		if i > 0 {
			b.WriteString(" " + bin.mark + " ")
			level++ // operators group to the left
		}
		if bin.level == levelCompare {
			level = bin.level + 1 // comparisons do not chain
		}
		a.operand(b, level)
	}
}

func (n *node) printPerformed(b *strings.Builder) {
	b.WriteString("performed(" + quote(n.event) + ")")
	where := func(w *node) {
		if w != nil {
			b.WriteString(".where(")
			w.print(b)
			b.WriteByte(')')
		}
	}
	where(n.where)
	for i, s := range n.steps {
		b.WriteString("." + n.stepName(i) + "(" + quote(s.event) + ")")
		where(s.where)
	}
	if n.duration > 0 {
		b.WriteString(`.within("` + n.duration.String() + `")`)
	}
	b.WriteString("." + string(n.op) + "(")
	if len(n.path) > 0 {
		b.WriteString(quote(joinPath(n.path)))
	}
	b.WriteByte(')')
}

// stepName is the function that adds the i-th step.
func (n *node) stepName(i int) string {
	if n.absent && i == len(n.steps)-1 {
		return "notThen"
	}
	return "then"
}

func printAll(b *strings.Builder, nodes []*node) {
	for i, a := range nodes {
		if i > 0 {
			b.WriteString(", ")
		}
		a.print(b)
	}
}

func printPath(b *strings.Builder, path []string) {
	for _, p := range path {
		if isName(p) {
			b.WriteString("." + p)
		} else {
			b.WriteString("[" + quote(p) + "]")
		}
	}
}

// joinPath writes a path without its root: address.city, or ["first name"].x.
func joinPath(path []string) string {
	var b strings.Builder
	printPath(&b, path)
	return strings.TrimPrefix(b.String(), ".")
}

// group returns an and/or of parts, flat: groups of the same kind among the
// parts give their own parts. Of one part it returns that.
func group(kind nodeKind, at int, parts []*node) *node {
	flat := make([]*node, 0, len(parts))
	for _, p := range parts {
		if p.kind == kind {
			flat = append(flat, p.args...)
		} else {
			flat = append(flat, p)
		}
	}
	if len(flat) == 1 {
		return flat[0]
	}
	return &node{kind: kind, at: at, args: flat}
}

// negate returns -n; the negative of a number literal is a literal.
func negate(at int, n *node) *node {
	if n.kind == kindLiteral {
		switch n.value.Kind() {
		case rapport.KindNumber:
			f, _ := n.value.Number()
			return &node{kind: kindLiteral, at: at, value: rapport.NumberValue(-f)}
		case rapport.KindBigNumber:
			text := n.literal()
			if rest, ok := strings.CutPrefix(text, "-"); ok {
				text = rest
			} else {
				text = "-" + text
			}
			return &node{kind: kindLiteral, at: at, value: rapport.NumberText(text)}
		}
	}
	return &node{kind: kindNegate, at: at, args: []*node{n}}
}

// gatherAggregates gives every performed(...) of the tree its Aggregate; equal
// ones share one.
func gatherAggregates(n *node) []*Aggregate {
	var all []*Aggregate
	byID := make(map[string]*Aggregate)
	n.walk(func(n *node) bool {
		if n.kind != kindPerformed {
			return true
		}
		id := n.String()
		if n.agg = byID[id]; n.agg != nil {
			return false
		}
		n.agg = &Aggregate{ID: id, Key: HashID(id), Event: n.event, Within: n.duration, Op: n.op, Property: n.path, Absent: n.absent}
		n.agg.Where = whereExpr(n.where)
		for _, s := range n.steps {
			n.agg.Then = append(n.agg.Then, Step{s.event, whereExpr(s.where)})
		}
		byID[id] = n.agg
		all = append(all, n.agg)
		return false
	})
	return all
}

func whereExpr(n *node) Expr {
	if n == nil {
		return nil
	}
	return &Condition{tree: n, holds: compileBool(n)}
}
