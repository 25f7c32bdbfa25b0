package condition

import (
	"bytes"
	"slices"

	"github.com/rapport-engine/rapport"
)

// A compiled node is a closure over what is known beforehand. item is the
// index of the item the item variable stands for, or noItem.
type (
	boolFunc   func(env Env, item int) bool
	numberFunc func(env Env, item int) (float64, bool)
	valueFunc  func(env Env, item int) rapport.Value
)

const noItem = -1

// compileBool compiles a node that is used as a truth value.
func compileBool(n *node) boolFunc {
	if n.truth > 0 {
		return judged(n.truth, compileTruth(n))
	}
	return compileTruth(n)
}

func compileTruth(n *node) boolFunc {
	switch n.kind {
	case kindLiteral:
		v := isTrue(n.value)
		return func(Env, int) bool { return v }
	case kindAnd, kindOr:
		return compileGroup(n)
	case kindNot:
		f := compileBool(n.args[0])
		return func(env Env, item int) bool { return !f(env, item) }
	case kindEqual, kindDiffers, kindLess, kindAtMost, kindMore, kindAtLeast:
		return compileComparison(n)
	case kindIn:
		return compileIn(n)
	case kindHas:
		f := compileValue(n.args[0])
		return func(env Env, item int) bool { return !f(env, item).IsNull() }
	case kindContains, kindStarts, kindEnds, kindMatches:
		return compileText(n)
	case kindSegment:
		id := n.name
		return func(env Env, _ int) bool { return env.Degree(id) >= memberDegree }
	case kindConsent:
		purpose, channel := n.name, n.channel
		return func(env Env, _ int) bool { return env.Consent(purpose, channel) }
	case kindAnyItem:
		f := compileBool(n.args[0])
		return func(env Env, _ int) bool {
			_, items := itemsOf(env)
			for i := range items {
				if f(env, i) {
					return true
				}
			}
			return false
		}
	}
	f := compileValue(n)
	return func(env Env, item int) bool { return isTrue(f(env, item)) }
}

// cheapFirst orders the parts of a group, which may be asked in any order: what
// was said of a person and what they own is kept apart and comes last.
func cheapFirst(args []*node) []*node {
	apart := func(n *node) int {
		found := 0
		n.walk(func(m *node) bool {
			if m.kind == kindPath && m.root == Traits || m.kind == kindAnyItem || m.kind == kindCountItem {
				found = 1
			}
			return m.kind != kindPerformed
		})
		return found
	}
	return slices.SortedStableFunc(slices.Values(args), func(a, b *node) int { return apart(a) - apart(b) })
}

func compileGroup(n *node) boolFunc {
	parts := make([]boolFunc, len(n.args))
	for i, a := range cheapFirst(n.args) {
		parts[i] = compileBool(a)
	}
	if n.kind == kindAnd {
		return func(env Env, item int) bool {
			for _, f := range parts {
				if !f(env, item) {
					return false
				}
			}
			return true
		}
	}
	return func(env Env, item int) bool {
		for _, f := range parts {
			if f(env, item) {
				return true
			}
		}
		return false
	}
}

// exact reports whether a node's number may be one that only its digits tell apart.
func exact(n *node) bool {
	return n.kind == kindPath || n.kind == kindItem || n.kind == kindPerformed || n.value.Kind() == rapport.KindBigNumber
}

func isNull(n *node) bool { return n.kind == kindLiteral && n.value.IsNull() }

func compileComparison(n *node) boolFunc {
	kind, left, right := n.kind, n.args[0], n.args[1]
	if left.kind == kindLiteral && right.kind != kindLiteral {
		left, right = right, left
		kind = mirrored(kind)
	}
	switch {
	case isNull(left) || isNull(right):
		return compileNullTest(kind, left, right)
	case right.kind == kindLiteral && right.typeOf() == typeText && (kind == kindEqual || kind == kindDiffers):
		return compileTextTest(kind, left, string(mustText(right.value)))
	case right.kind == kindLiteral && right.value.Kind() == rapport.KindNumber:
		c, _ := right.value.Number()
		return compileNumberTest(kind, left, c)
	case left.typeOf() == typeNumber && right.typeOf() == typeNumber && !(exact(left) && exact(right)):
		f, g := compileNumber(left), compileNumber(right)
		return func(env Env, item int) bool {
			x, ok1 := f(env, item)
			y, ok2 := g(env, item)
			return ok1 && ok2 && compareNumbers(kind, x, y)
		}
	}
	f, g := compileValue(left), compileValue(right)
	return func(env Env, item int) bool { return compare(kind, f(env, item), g(env, item)) }
}

// mirrored is the comparison that holds for (b, a) when kind holds for (a, b).
func mirrored(kind nodeKind) nodeKind {
	switch kind {
	case kindLess:
		return kindMore
	case kindMore:
		return kindLess
	case kindAtMost:
		return kindAtLeast
	case kindAtLeast:
		return kindAtMost
	}
	return kind
}

func compareNumbers(kind nodeKind, x, y float64) bool {
	switch kind {
	case kindEqual:
		return x == y
	case kindDiffers:
		return x != y
	case kindLess:
		return x < y
	case kindAtMost:
		return x <= y
	case kindMore:
		return x > y
	}
	return x >= y
}

// compileNullTest compiles == null and != null, the only comparisons that a missing value can satisfy.
func compileNullTest(kind nodeKind, left, right *node) boolFunc {
	want := kind == kindEqual
	if isNull(left) {
		left = right
	}
	f := compileValue(left)
	return func(env Env, item int) bool { return f(env, item).IsNull() == want }
}

func compileTextTest(kind nodeKind, n *node, c string) boolFunc {
	if kind == kindEqual && n.kind == kindPath && n.slot == 0 { // saves a call
		root, path := n.root, n.path
		return func(env Env, _ int) bool {
			text, ok := env.Value(root, path).Text()
			return ok && string(text) == c
		}
	}
	f := compileValue(n)
	if kind == kindEqual {
		return func(env Env, item int) bool {
			text, ok := f(env, item).Text()
			return ok && string(text) == c
		}
	}
	return func(env Env, item int) bool {
		v := f(env, item)
		text, ok := v.Text()
		return !v.IsNull() && !(ok && string(text) == c)
	}
}

func compileNumberTest(kind nodeKind, left *node, c float64) boolFunc {
	if kind == kindDiffers {
		f := compileValue(left)
		return func(env Env, item int) bool {
			v := f(env, item)
			x, ok := v.Number()
			return !v.IsNull() && !(ok && x == c)
		}
	}
	if left.kind == kindPath && left.slot == 0 { // saves a call
		root, path := left.root, left.path
		return func(env Env, _ int) bool {
			x, ok := env.Value(root, path).Number()
			return ok && compareNumbers(kind, x, c)
		}
	}
	f := compileNumber(left)
	switch kind {
	case kindLess:
		return func(env Env, item int) bool { x, ok := f(env, item); return ok && x < c }
	case kindMore:
		return func(env Env, item int) bool { x, ok := f(env, item); return ok && x > c }
	case kindAtLeast:
		return func(env Env, item int) bool { x, ok := f(env, item); return ok && x >= c }
	}
	return func(env Env, item int) bool { x, ok := f(env, item); return ok && compareNumbers(kind, x, c) }
}

// smallList is how many texts are compared one by one before a map is faster.
const smallList = 8

func compileIn(n *node) boolFunc {
	f := compileValue(n.args[0])
	if n.args[1].kind != kindList {
		g := compileValue(n.args[1])
		return func(env Env, item int) bool { return contained(f(env, item), g(env, item)) }
	}
	list := n.args[1].args
	texts := make(map[string]struct{})
	var others []rapport.Value
	for _, e := range list {
		if text, ok := e.value.Text(); ok {
			texts[string(text)] = struct{}{}
		} else if !e.value.IsNull() {
			others = append(others, e.value)
		}
	}
	if len(others) == 0 && len(list) <= smallList {
		return compileSmallIn(f, list)
	}
	return func(env Env, item int) bool {
		v := f(env, item)
		if text, ok := v.Text(); ok {
			_, found := texts[string(text)]
			return found
		}
		if v.IsNull() {
			return false
		}
		for _, o := range others {
			if sameValue(v, o) {
				return true
			}
		}
		return false
	}
}

func compileSmallIn(f valueFunc, list []*node) boolFunc {
	var texts []string
	for _, e := range list {
		if text, ok := e.value.Text(); ok {
			texts = append(texts, string(text))
		}
	}
	return func(env Env, item int) bool {
		text, ok := f(env, item).Text()
		if !ok {
			return false
		}
		for _, t := range texts {
			if string(text) == t {
				return true
			}
		}
		return false
	}
}

func compileText(n *node) boolFunc {
	f := compileValue(n.args[0])
	if n.kind == kindMatches {
		pattern, _ := compilePattern(n.args[1].value.Str())
		return func(env Env, item int) bool {
			text, ok := f(env, item).Text()
			return ok && len(text) <= MaxSubject && pattern.Match(text)
		}
	}
	g := compileValue(n.args[1])
	if n.kind == kindContains {
		return func(env Env, item int) bool { return holdsText(f(env, item), g(env, item)) }
	}
	test := bytes.HasPrefix
	if n.kind == kindEnds {
		test = bytes.HasSuffix
	}
	return func(env Env, item int) bool {
		text, ok1 := f(env, item).Text()
		part, ok2 := g(env, item).Text()
		return ok1 && ok2 && test(text, part)
	}
}

// compileNumber compiles a node that is used as a number.
func compileNumber(n *node) numberFunc {
	if slot := n.slot; slot > 0 {
		f := compileNumber(n.alone())
		return func(env Env, item int) (float64, bool) {
			if m, ok := env.(*Memo); ok {
				a := m.answer(slot)
				return a.number, a.isNumber
			}
			return f(env, item)
		}
	}
	switch n.kind {
	case kindPath: // this and the next save a call on the way to a value
		root, path := n.root, n.path
		return func(env Env, _ int) (float64, bool) { return env.Value(root, path).Number() }
	case kindPerformed:
		agg := n.agg
		return func(env Env, _ int) (float64, bool) { return env.Performed(agg).Number() }
	case kindDuration:
		seconds := n.duration.Std().Seconds()
		return func(Env, int) (float64, bool) { return seconds, true }
	case kindNow:
		part := n.name
		if part == "unix" {
			return func(env Env, _ int) (float64, bool) { return float64(unixMilli(env)) / 1000, true }
		}
		return func(env Env, _ int) (float64, bool) { return nowPart(env.Now(), part), true }
	case kindAdd, kindSubtract, kindMultiply, kindDivide:
		kind, f, g := n.kind, compileNumber(n.args[0]), compileNumber(n.args[1])
		return func(env Env, item int) (float64, bool) {
			x, ok1 := f(env, item)
			y, ok2 := g(env, item)
			if !ok1 || !ok2 {
				return 0, false
			}
			return arithmetic(kind, x, y)
		}
	case kindNegate:
		f := compileNumber(n.args[0])
		return func(env Env, item int) (float64, bool) { x, ok := f(env, item); return -x, ok }
	case kindSize:
		f := compileValue(n.args[0])
		return func(env Env, item int) (float64, bool) { return sizeOf(f(env, item)) }
	case kindTime:
		f := compileValue(n.args[0])
		return func(env Env, item int) (float64, bool) { return timeOf(f(env, item)) }
	case kindDegree:
		id := n.name
		return func(env Env, _ int) (float64, bool) { return env.Degree(id), true }
	case kindCountItem:
		f := compileBool(n.args[0])
		return func(env Env, _ int) (float64, bool) {
			_, items := itemsOf(env)
			count := 0.0
			for i := range items {
				if f(env, i) {
					count++
				}
			}
			return count, true
		}
	}
	f := compileValue(n)
	return func(env Env, item int) (float64, bool) { return f(env, item).Number() }
}

// compileValue compiles a node of any type.
func compileValue(n *node) valueFunc {
	if slot := n.slot; slot > 0 {
		f := compileValue(n.alone())
		return func(env Env, item int) rapport.Value {
			if m, ok := env.(*Memo); ok {
				return m.answer(slot).value
			}
			return f(env, item)
		}
	}
	switch n.kind {
	case kindLiteral:
		v := n.value
		return func(Env, int) rapport.Value { return v }
	case kindList:
		v := listValue(n)
		return func(Env, int) rapport.Value { return v }
	case kindPath:
		root, path := n.root, n.path
		return func(env Env, _ int) rapport.Value { return env.Value(root, path) }
	case kindItem:
		path := n.path
		return func(env Env, item int) rapport.Value { return itemValue(env, item, path) }
	case kindPerformed:
		agg := n.agg
		return func(env Env, _ int) rapport.Value { return env.Performed(agg) }
	}
	if n.typeOf() == typeNumber {
		f := compileNumber(n)
		return func(env Env, item int) rapport.Value { return numberOrNull(f(env, item)) }
	}
	f := compileBool(n)
	return func(env Env, item int) rapport.Value { return rapport.BoolValue(f(env, item)) }
}

// alone returns the node without its place in a Memo.
func (n *node) alone() *node {
	c := *n
	c.slot = 0
	return &c
}

func listValue(n *node) rapport.Value {
	var b []byte
	for _, e := range n.args {
		b = rapport.AppendValue(b, e.value)
	}
	return rapport.ArrayValue(b)
}

func mustText(v rapport.Value) []byte { text, _ := v.Text(); return text }
