package condition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// SQL returns a query, in DuckDB's SQL over the lake's view events, that lists
// the people for whom the condition holds at a moment (Unix ms), by what had
// happened by then: the same as the condition says live. It answers what events
// tell: performed(...) of one event, with where(...) and within(...), compared, computed with and combined.
// What the lake does not hold (traits, computed, scores, context, segments,
// consent, items, the person's clock), and sequences, are refused with an Invalid
// error that points at the place. It needs the functions rapport_value and
// rapport_distinct, which do to values what the live answers do to them.
//
// Windows snap as they do live: to a 64th of their length.
func (c *Condition) SQL(at int64) (string, error) {
	w := &sqlWriter{at: at, known: map[uint64]int{}}
	where := "true"
	if !c.IsZero() {
		w.text = c.text
		where = w.truth(c.tree, "")
	}
	if w.err != nil {
		return "", w.err
	}
	var b strings.Builder
	b.WriteString("WITH everybody AS (SELECT DISTINCT person FROM events WHERE kind = 'person')")
	if len(w.answers) == 0 {
		return b.String() + " SELECT person FROM everybody WHERE " + where + " ORDER BY person", nil
	}
	slices.Sort(w.events)
	b.WriteString(", asked AS (SELECT person, event, epoch_ms(time) AS ms, properties FROM events WHERE type <> 'system' AND epoch_ms(logged_at) <= ")
	b.WriteString(strconv.FormatInt(at, 10) + " AND event IN (" + strings.Join(slices.Compact(w.events), ", ") + "))")
	b.WriteString(", answers AS (SELECT person")
	for i, a := range w.answers {
		fmt.Fprintf(&b, ", %s AS a%d", a, i)
	}
	b.WriteString(" FROM asked GROUP BY person) SELECT person FROM everybody LEFT JOIN answers USING (person) WHERE " + where + " ORDER BY person")
	return b.String(), nil
}

// sqlWriter lowers a tree. row names the JSON object that properties are read
// from; empty where there is no event at hand.
type sqlWriter struct {
	at      int64
	text    string
	known   map[uint64]int // aggregate -> column
	answers []string
	events  []string
	err     error
}

func (w *sqlWriter) refuse(n *node, why string) string {
	if w.err == nil {
		w.err = syntaxError(w.text, n.at, why)
	}
	return "NULL"
}

const notInLake = " is not in the lake's history; only performed(...) can be asked of it"

// truth lowers a node used as a truth value: the result is never NULL.
func (w *sqlWriter) truth(n *node, row string) string {
	switch n.kind {
	case kindLiteral:
		return strconv.FormatBool(isTrue(n.value))
	case kindAnd, kindOr:
		parts := make([]string, len(n.args))
		for i, a := range n.args {
			parts[i] = w.truth(a, row)
		}
		return "(" + strings.Join(parts, map[nodeKind]string{kindAnd: " AND ", kindOr: " OR "}[n.kind]) + ")"
	case kindNot:
		return "(NOT " + w.truth(n.args[0], row) + ")"
	case kindEqual, kindDiffers, kindLess, kindAtMost, kindMore, kindAtLeast:
		return w.comparison(n, row)
	case kindIn:
		return w.in(n, row)
	case kindHas:
		return "(NOT " + w.absent(n.args[0], row) + ")"
	case kindContains, kindStarts, kindEnds:
		if n.args[1].typeOf() != typeText || n.args[1].kind != kindLiteral || n.kind == kindContains && n.args[0].typeOf() == typeAny {
			return w.refuse(n, short(n)+" cannot be asked of history")
		}
		name := map[nodeKind]string{kindContains: "contains", kindStarts: "starts_with", kindEnds: "ends_with"}[n.kind]
		return "coalesce(" + name + "(" + w.words(n.args[0], row) + ", " + sqlText(n.args[1].value.Str()) + "), false)"
	case kindPath:
		return "coalesce(" + w.json(n, row) + " = 'true'::JSON, false)"
	case kindPerformed:
		if n.op == Happened {
			return "coalesce(" + w.answer(n) + ", false)"
		}
		return "coalesce(" + w.json(n, row) + " = 'true'::JSON, false)"
	}
	return w.refuse(n, short(n)+notInLake)
}

var sqlMarks = map[nodeKind]string{kindEqual: "=", kindDiffers: "<>", kindLess: "<", kindAtMost: "<=", kindMore: ">", kindAtLeast: ">="}

func (w *sqlWriter) comparison(n *node, row string) string {
	kind, left, right := n.kind, n.args[0], n.args[1]
	if left.kind == kindLiteral && right.kind != kindLiteral {
		left, right = right, left
		kind = mirrored(kind)
	}
	if isNull(left) {
		left, right = right, left
	}
	if isNull(right) {
		if kind == kindEqual {
			return w.absent(left, row)
		}
		return "(NOT " + w.absent(left, row) + ")"
	}
	var test string
	switch t := right.typeOf(); {
	case right.value.Kind() == rapport.KindBigNumber:
		return w.refuse(right, "a number beyond 2^53 cannot be asked of history")
	case t == typeText && right.kind == kindLiteral:
		test = w.words(left, row) + " " + sqlMarks[kind] + " " + sqlText(right.value.Str())
	case t == typeBool && right.kind == kindLiteral:
		test = w.json(left, row) + " = " + sqlText(strconv.FormatBool(isTrue(right.value))) + "::JSON"
		if kind == kindDiffers {
			test = "NOT (" + test + ")"
		}
	case left.typeOf() == typeNumber && t == typeNumber, t == typeNumber && right.kind == kindLiteral:
		test = w.number(left, row) + " " + sqlMarks[kind] + " " + w.number(right, row)
	default:
		return w.refuse(n, "history can be asked to compare a value with a number, a text or a truth value; "+short(n)+" compares two values")
	}
	if kind == kindDiffers { // a value of another kind differs; a missing one does not
		return "(NOT " + w.absent(left, row) + " AND coalesce(" + test + ", true))"
	}
	return "coalesce(" + test + ", false)"
}

func (w *sqlWriter) in(n *node, row string) string {
	if n.args[1].kind != kindList {
		return w.refuse(n, "history can be asked whether a value is in a written list only")
	}
	parts := []string{"false"}
	for _, e := range n.args[1].args {
		if !e.value.IsNull() {
			parts = append(parts, w.comparison(&node{kind: kindEqual, at: n.at, args: []*node{n.args[0], e}}, row))
		}
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// json lowers a node of any type to JSON, NULL if it is missing.
func (w *sqlWriter) json(n *node, row string) string {
	if n.kind == kindPerformed && n.typeOf() == typeAny {
		return w.answer(n)
	}
	if n.kind != kindPath || n.root != Properties || row == "" {
		return w.refuse(n, short(n)+notInLake)
	}
	path := "$"
	for _, p := range n.path {
		if strings.ContainsAny(p, `"\`) {
			return w.refuse(n, "a name with quotes cannot be asked of history")
		}
		path += `."` + p + `"`
	}
	return "json_extract(" + row + ", " + sqlText(path) + ")"
}

func (w *sqlWriter) absent(n *node, row string) string {
	if n.typeOf() == typeNumber {
		return "(" + w.number(n, row) + " IS NULL)"
	}
	j := w.json(n, row)
	return "(" + j + " IS NULL OR json_type(" + j + ") = 'NULL')"
}

// words lowers a node used as a text, NULL if it is none.
func (w *sqlWriter) words(n *node, row string) string {
	if n.kind == kindLiteral && n.typeOf() == typeText {
		return sqlText(n.value.Str())
	}
	j := w.json(n, row)
	return "CASE WHEN json_type(" + j + ") = 'VARCHAR' THEN " + j + " ->> '$' END"
}

// number lowers a node used as a number, NULL if it is none.
func (w *sqlWriter) number(n *node, row string) string {
	switch n.kind {
	case kindLiteral:
		x, ok := n.value.Number()
		if !ok {
			return "NULL::DOUBLE"
		}
		return sqlNumber(x)
	case kindDuration:
		return sqlNumber(n.duration.Std().Seconds())
	case kindNow:
		if n.name == "unix" {
			return sqlNumber(float64(w.at) / 1000)
		}
	case kindAdd, kindSubtract, kindMultiply, kindDivide:
		x := "(" + w.number(n.args[0], row) + " " + binaries[n.kind].mark + " " + w.number(n.args[1], row) + ")"
		return "CASE WHEN isfinite(" + x + ") THEN " + x + " END"
	case kindNegate:
		return "(-" + w.number(n.args[0], row) + ")"
	case kindPath:
		return asNumber(w.json(n, row))
	case kindPerformed:
		switch n.typeOf() {
		case typeNumber:
			return w.answer(n)
		case typeAny:
			return asNumber(w.answer(n))
		}
	}
	return w.refuse(n, short(n)+notInLake)
}

func asNumber(json string) string {
	return "CASE WHEN json_type(" + json + ") IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') THEN CAST(" + json + " AS DOUBLE) END"
}

// maxValue is the longest value of a property that first and last remember, in
// bytes, as the live answers do.
const maxValue = 256

// answer returns the column with the answer of an aggregate.
func (w *sqlWriter) answer(n *node) string {
	a := n.agg
	zero := func(column string) string {
		if a.Op == Count || a.Op == Sum || a.Op == Distinct {
			return "coalesce(" + column + ", 0::DOUBLE)"
		}
		return column
	}
	if i, ok := w.known[a.Key]; ok {
		return zero(fmt.Sprintf("a%d", i))
	}
	if len(a.Then) > 0 {
		return w.refuse(n, short(n)+" cannot be asked of history")
	}
	filter := "event = " + sqlText(a.Event)
	if a.Within > 0 {
		from, to := window(a.Within, w.at)
		filter += fmt.Sprintf(" AND ms >= %d AND ms < %d", from, to)
	}
	if n.where != nil {
		filter += " AND " + w.truth(n.where, "properties")
	}
	x, bytes := "", ""
	property := &node{kind: kindPath, at: n.at, root: Properties, path: a.Property}
	if len(a.Property) > 0 && (a.Op == First || a.Op == Last || a.Op == Distinct) {
		x = w.json(property, "properties")
		filter += " AND NOT " + w.absent(property, "properties")
		if bytes = "rapport_value(CAST(" + x + " AS VARCHAR))"; a.Op != Distinct {
			filter += fmt.Sprintf(" AND octet_length(%s) <= %d", bytes, maxValue)
		}
	} else if len(a.Property) > 0 {
		x = w.number(property, "properties")
		filter += " AND (" + x + ") IS NOT NULL"
		x = "greatest(least(" + x + ", 1e12::DOUBLE), -1e12::DOUBLE)"
	}
	millionths := "sum(CAST(round(" + x + " * 1e6::DOUBLE) AS BIGINT))"
	var text string
	switch a.Op {
	case Count:
		text = "CAST(count(*) FILTER (" + filter + ") AS DOUBLE)"
	case Sum:
		text = "CAST(CAST(" + millionths + " FILTER (" + filter + ") AS BIGINT) AS DOUBLE) / 1e6::DOUBLE"
	case Avg:
		text = "CAST(CAST(" + millionths + " FILTER (" + filter + ") AS BIGINT) AS DOUBLE) / 1e6::DOUBLE / count(*) FILTER (" + filter + ")"
	case Min, Max:
		text = string(a.Op) + "(" + x + ") FILTER (" + filter + ")"
	case Distinct:
		text = "rapport_distinct(list(CAST(" + x + " AS VARCHAR)) FILTER (" + filter + "))"
	case First, Last:
		if len(a.Property) > 0 { // of equally old ones the lower value is the first and the higher the last
			text = map[Op]string{First: "arg_min", Last: "arg_max"}[a.Op] + "(" + x + ", {'ms': ms, 'bytes': " + bytes + "}) FILTER (" + filter + ")"
			break
		}
		text = "CAST(" + map[Op]string{First: "min", Last: "max"}[a.Op] + "(ms) FILTER (" + filter + ") AS DOUBLE) / 1000::DOUBLE"
	case Happened:
		text = "count(*) FILTER (" + filter + ") > 0"
	default:
		return w.refuse(n, short(n)+" cannot be asked of history")
	}
	w.known[a.Key] = len(w.answers)
	w.events = append(w.events, sqlText(a.Event))
	w.answers = append(w.answers, text)
	return zero(fmt.Sprintf("a%d", len(w.answers)-1))
}

// window returns the times from <= t < to (Unix ms) that a window covers at a
// moment: it moves in steps of a 64th of its length.
func window(within rapport.Duration, at int64) (from, to int64) {
	const steps = 64
	width := max(within.Millis()/steps, 1)
	index := at / width
	if at%width < 0 {
		index--
	}
	return (index - steps + 1) * width, (index + 1) * width
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func sqlNumber(x float64) string {
	return "CAST('" + strconv.FormatFloat(x, 'g', -1, 64) + "' AS DOUBLE)"
}
