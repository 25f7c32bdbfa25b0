package condition

import (
	"bytes"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Explanation tells how a condition came out for one [Env].
type Explanation struct {
	Holds bool `json:"holds"`
	// Clauses are the parts joined by && and ||, in order, all evaluated. A
	// clause under ! is shown with its !.
	Clauses []Clause `json:"clauses"`
}

// Clause is one part of a condition and what became of it.
type Clause struct {
	Text string `json:"text"`
	Held bool   `json:"held"`
	// Decisive is true if the clause is a reason for the result: it held and
	// the whole holds because of it, or it failed and the whole fails for it.
	Decisive bool    `json:"decisive"`
	Found    []Found `json:"found"`
}

// Found is a value a clause looked at, null if there was none.
type Found struct {
	Name  string        `json:"name"`
	Value rapport.Value `json:"value"`
}

// String returns the name and the value in words.
func (f Found) String() string {
	if f.Value.IsNull() {
		return f.Name + " is missing"
	}
	return f.Name + " is " + string(f.Value.AppendJSON(nil))
}

// String returns the clause and what was found, on one line.
func (c Clause) String() string {
	if len(c.Found) == 0 {
		return c.Text
	}
	var b strings.Builder
	b.WriteString(c.Text + " (")
	for i, f := range c.Found {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.String())
	}
	b.WriteByte(')')
	return b.String()
}

// Reason returns the decisive clauses on one line each.
func (e Explanation) Reason() string {
	var lines []string
	for _, c := range e.Clauses {
		if c.Decisive {
			lines = append(lines, c.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Explain evaluates the condition by walking its tree, and keeps for each
// clause what it found. It agrees with Holds. It is not for hot paths.
func (c *Condition) Explain(env Env) Explanation {
	if c.IsZero() {
		return Explanation{Holds: true}
	}
	w := &witness{env: env}
	holds := w.clause(c.tree, false)
	return Explanation{Holds: holds, Clauses: w.clauses}
}

type witness struct {
	env     Env
	clauses []Clause
}

// clause adds the clauses below n and returns whether n holds, or its negation
// if negated is set. Clauses that are no reason for that are marked so.
func (w *witness) clause(n *node, negated bool) bool {
	switch {
	case n.kind == kindNot:
		return w.clause(n.args[0], !negated)
	case n.kind == kindAnd || n.kind == kindOr:
		all := (n.kind == kindAnd) != negated // !(a || b) is !a && !b
		result := all
		type span struct {
			from, to int
			held     bool
		}
		var spans []span
		for _, a := range n.args {
			start := len(w.clauses)
			held := w.clause(a, negated)
			spans = append(spans, span{start, len(w.clauses), held})
			if held != all {
				result = !all
			}
		}
		for _, s := range spans {
			if s.held != result {
				for i := s.from; i < s.to; i++ {
					w.clauses[i].Decisive = false
				}
			}
		}
		return result
	}
	held := isTrue(interpret(n, w.env, noItem)) != negated
	text := n
	if negated {
		text = &node{kind: kindNot, args: []*node{n}}
	}
	w.clauses = append(w.clauses, Clause{Text: text.String(), Held: held, Decisive: true, Found: w.found(n)})
	return held
}

// found collects the values a clause looks at, each once.
func (w *witness) found(n *node) []Found {
	found := []Found{}
	n.walk(func(m *node) bool {
		name, deeper := "", true
		var v rapport.Value
		switch m.kind {
		case kindPath, kindNow, kindSegment, kindDegree, kindConsent, kindPerformed:
			name, v, deeper = m.String(), interpret(m, w.env, noItem), false
			if m.kind == kindSegment {
				name, v = `segments.degree(`+quote(m.name)+`)`, rapport.NumberValue(w.env.Degree(m.name))
			}
		case kindAnyItem, kindCountItem:
			_, items := itemsOf(w.env)
			name, v = "items", rapport.NumberValue(float64(items))
		}
		if name != "" && !slices.ContainsFunc(found, func(f Found) bool { return f.Name == name }) {
			found = append(found, Found{name, cloneValue(v)})
		}
		return deeper
	})
	return found
}

// interpret evaluates n by walking its tree: slow, plain, and the measure the
// compiled form is tested against.
func interpret(n *node, env Env, item int) rapport.Value {
	arg := func(i int) rapport.Value { return interpret(n.args[i], env, item) }
	truth := rapport.BoolValue
	switch n.kind {
	case kindLiteral:
		return n.value
	case kindList:
		return listValue(n)
	case kindDuration:
		return rapport.NumberValue(n.duration.Std().Seconds())
	case kindPath:
		if m, ok := env.(*Memo); ok && n.slot > 0 {
			return m.answer(n.slot).value
		}
		return env.Value(n.root, n.path)
	case kindItem:
		return itemValue(env, item, n.path)
	case kindNow:
		return rapport.NumberValue(nowPart(env.Now(), n.name))
	case kindAnd, kindOr:
		for i := range n.args {
			if isTrue(arg(i)) != (n.kind == kindAnd) {
				return truth(n.kind == kindOr)
			}
		}
		return truth(n.kind == kindAnd)
	case kindNot:
		return truth(!isTrue(arg(0)))
	case kindEqual, kindDiffers, kindLess, kindAtMost, kindMore, kindAtLeast:
		if isNull(n.args[0]) || isNull(n.args[1]) {
			return truth((arg(0).IsNull() && arg(1).IsNull()) == (n.kind == kindEqual))
		}
		return truth(compare(n.kind, arg(0), arg(1)))
	case kindIn:
		return truth(contained(arg(0), arg(1)))
	case kindAdd, kindSubtract, kindMultiply, kindDivide:
		x, ok1 := arg(0).Number()
		y, ok2 := arg(1).Number()
		if !ok1 || !ok2 {
			return rapport.Value{}
		}
		return numberOrNull(arithmetic(n.kind, x, y))
	case kindNegate:
		x, ok := arg(0).Number()
		return numberOrNull(-x, ok)
	}
	return interpretCall(n, env, item, arg)
}

func interpretCall(n *node, env Env, item int, arg func(int) rapport.Value) rapport.Value {
	truth := rapport.BoolValue
	switch n.kind {
	case kindHas:
		return truth(!arg(0).IsNull())
	case kindSize:
		return numberOrNull(sizeOf(arg(0)))
	case kindTime:
		return numberOrNull(timeOf(arg(0)))
	case kindContains:
		return truth(holdsText(arg(0), arg(1)))
	case kindStarts, kindEnds, kindMatches:
		text, ok1 := arg(0).Text()
		part, ok2 := arg(1).Text()
		if !ok1 || !ok2 {
			return truth(false)
		}
		switch n.kind {
		case kindStarts:
			return truth(bytes.HasPrefix(text, part))
		case kindEnds:
			return truth(bytes.HasSuffix(text, part))
		}
		pattern, err := compilePattern(string(part))
		return truth(err == nil && len(text) <= MaxSubject && pattern.Match(text))
	case kindSegment:
		return truth(env.Degree(n.name) >= memberDegree)
	case kindDegree:
		return rapport.NumberValue(env.Degree(n.name))
	case kindConsent:
		return truth(env.Consent(n.name, n.channel))
	case kindPerformed:
		if m, ok := env.(*Memo); ok && n.slot > 0 {
			return m.answer(n.slot).value
		}
		return env.Performed(n.agg)
	case kindAnyItem, kindCountItem:
		_, items := itemsOf(env)
		count := 0
		for i := range items {
			if isTrue(interpret(n.args[0], env, i)) {
				count++
			}
		}
		if n.kind == kindAnyItem {
			return truth(count > 0)
		}
		return rapport.NumberValue(float64(count))
	}
	panic("condition: a node kind has no meaning")
}
