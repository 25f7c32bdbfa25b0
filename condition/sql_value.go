package condition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// json lowers a node of any type to JSON, NULL if it is missing.
func (w *sqlWriter) json(n *node, row string) string {
	switch {
	case n.kind == kindPerformed && n.typeOf() == typeAny:
		return w.answer(n, n.agg)
	case n.kind == kindPath && n.root == Properties && row != "":
		return w.member(n, row, n.path)
	case n.kind == kindPath && n.root == Traits && row == "":
		return w.trait(n)
	case n.kind == kindPath && n.root == Computed && row == "":
		return w.computed(n)
	case n.kind == kindItem:
		return w.ofItem(n)
	case n.kind == kindPath && n.root == Scores:
		return w.refuse(n, short(n)+" is what the models say now; what they said then is not kept")
	case n.kind == kindPath && n.root == Context:
		return w.refuse(n, short(n)+" is known while a request is answered, and not afterwards")
	case n.typeOf() == typeNumber:
		return "to_json(" + w.number(n, row) + ")"
	case n.typeOf() == typeBool:
		return "to_json(" + w.truth(n, row) + ")"
	}
	return w.refuse(n, short(n)+" cannot be asked of history")
}

// member reads a path of a JSON object.
func (w *sqlWriter) member(n *node, object string, path []string) string {
	if len(path) == 0 {
		return object
	}
	text := "$"
	for _, p := range path {
		if strings.ContainsAny(p, `"\`) {
			return w.refuse(n, "a name with quotes cannot be asked of history")
		}
		text += `."` + p + `"`
	}
	return "json_extract(" + object + ", " + sqlText(text) + ")"
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
		return fmt.Sprintf("CAST(rapport_now(%s, [%s]) AS DOUBLE)", sqlText(n.name+" "+strconv.FormatInt(w.at, 10)), w.zone())
	case kindAdd, kindSubtract, kindMultiply, kindDivide:
		x := "(" + w.number(n.args[0], row) + " " + binaries[n.kind].mark + " " + w.number(n.args[1], row) + ")"
		return "CASE WHEN isfinite(" + x + ") THEN " + x + " END"
	case kindNegate:
		return "(-" + w.number(n.args[0], row) + ")"
	case kindPath, kindItem:
		return asNumber(w.json(n, row))
	case kindPerformed:
		switch n.typeOf() {
		case typeNumber:
			return w.answer(n, n.agg)
		case typeAny:
			return asNumber(w.answer(n, n.agg))
		}
	case kindDegree:
		return "CASE WHEN " + w.segment(n) + " THEN 1::DOUBLE ELSE 0::DOUBLE END"
	case kindCountItem:
		return "CAST(coalesce(" + w.countItems(n) + ", 0) AS DOUBLE)"
	}
	return w.refuse(n, short(n)+" cannot be asked of history")
}

func asNumber(json string) string {
	return "CASE WHEN json_type(" + json + ") IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') THEN CAST(" + json + " AS DOUBLE) END"
}

// maxValue is the longest value of a property that first and last remember, in
// bytes, as the live answers do.
const maxValue = 256

// answer returns the column with the answer of an aggregate that n asks for.
func (w *sqlWriter) answer(n *node, a *Aggregate) string {
	zero := func(column string) string {
		if a.Op == Count || a.Op == Sum || a.Op == Distinct || a.Op == Decayed || a.Op == Streak {
			return "coalesce(" + column + ", 0::DOUBLE)"
		}
		return column
	}
	if i, ok := w.known[a.Key]; ok {
		return zero(fmt.Sprintf("a%d", i))
	}
	filter := w.filter(a, a.Event, a.Where)
	x, bytes := "", ""
	property := &node{kind: kindPath, at: n.at, root: Properties, path: a.Property}
	if len(a.Property) > 0 && slices.Contains([]Op{First, Last, Distinct, Top}, a.Op) {
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
		if len(a.Then) == 0 {
			text = "count(*) FILTER (" + filter + ") > 0"
			break
		}
		text = w.listed(a, filter, "") + " = 'true'"
	case Top:
		text = w.listed(a, filter, x) + "::JSON"
	case Decayed, Streak:
		text = "CAST(" + w.listed(a, filter, x) + " AS DOUBLE)"
	default:
		return w.refuse(n, short(n)+" cannot be asked of history")
	}
	w.known[a.Key] = len(w.answers)
	w.answers = append(w.answers, text)
	return zero(fmt.Sprintf("a%d", len(w.answers)-1))
}

// filter returns which rows of a question's events count, and has them looked at.
func (w *sqlWriter) filter(a *Aggregate, event string, where Expr) string {
	w.events = append(w.events, sqlText(event))
	filter := "event = " + sqlText(event)
	from, to, bounded := int64(0), int64(0), a.Within > 0
	if bounded {
		from, to = window(a.Within, w.at)
	} else if w.history != nil {
		from, to, bounded = w.history.Window(a, w.at)
	}
	if bounded {
		filter += fmt.Sprintf(" AND ms >= %d AND ms < %d", from, to)
	}
	if c, ok := where.(*Condition); ok && !c.IsZero() {
		filter += " AND " + w.truth(c.tree, "properties")
	}
	return filter
}

// Matched is how SQL tells rapport_answer of an event that counts: its time
// (Unix ms), which step of the sequence it is, and its value.
const Matched = "ms step value"

// listed has an aggregate answered from the list of its events.
func (w *sqlWriter) listed(a *Aggregate, filter, x string) string {
	each := func(step int, filter, x string) string {
		return fmt.Sprintf("coalesce(list(concat_ws(' ', ms, %d, CAST(%s AS VARCHAR))) FILTER (%s), [])", step, x, filter)
	}
	if x == "" {
		x = "'null'"
	}
	list := each(0, filter, x)
	for i, s := range a.Then {
		list = "list_concat(" + list + ", " + each(i+1, w.filter(a, s.Event, s.Where), x) + ")"
	}
	return "rapport_answer(" + sqlText(a.spec(w.at)) + ", " + list + ")"
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
