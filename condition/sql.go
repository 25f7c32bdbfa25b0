package condition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// History is what SQL needs to know of the names in a condition. Nil knows none.
type History interface {
	// Segment returns the condition of a live segment; nil if there is none of that id.
	Segment(id string) *Condition
	// Computed returns how a computed trait is made.
	Computed(name string) (t Computation, ok bool)
	// Window returns the times from <= t < to (Unix ms) an answer at a moment is
	// made of; bounded is false if that is all time.
	Window(a *Aggregate, at int64) (from, to int64, bounded bool)
}

// Computation is a computed trait taken apart.
type Computation struct {
	// Op is that of its document.
	Op   string
	Main *Aggregate
	// Aux is what a ratio is divided by, or when an all-time frequency began.
	Aux *Aggregate
	// Unit is what since and frequency count in (ms; with a window, units in it in millionths).
	Unit int64
}

// SQL returns a query, in DuckDB's SQL over the lake's view events, that lists
// the people for whom the condition holds at a moment (Unix ms), by what was
// known by then: the same as the condition says live. Segments and computed
// traits are those h defines, whenever they were written.
//
// What history does not hold is refused with an Invalid error that points at the
// place: scores and soft segments, which the models of the moment say, and
// context, which only a request has.
//
// It needs the functions of measure/query, which do to values what the live
// answers do to them. Windows snap as they do live.
func (c *Condition) SQL(at int64, h History) (string, error) {
	w := &sqlWriter{at: at, history: h, known: map[uint64]int{}, names: map[string]string{}}
	where := "true"
	if !c.IsZero() {
		w.text = c.text
		where = w.truth(c.tree, "")
	}
	if w.err != nil {
		return "", w.err
	}
	return w.query(where), nil
}

// query puts the parts together: for each kind of question one pass over the
// events that can answer it, one row a person.
func (w *sqlWriter) query(where string) string {
	var b strings.Builder
	b.WriteString("WITH everybody AS (SELECT DISTINCT person FROM events WHERE kind = 'person')")
	by := " AND epoch_ms(logged_at) <= " + strconv.FormatInt(w.at, 10)
	var joins string
	part := func(name string, columns []string, from string) {
		if len(columns) == 0 {
			return
		}
		b.WriteString(", " + name + " AS (SELECT person")
		for _, c := range columns {
			b.WriteString(", " + c)
		}
		b.WriteString(" FROM (" + from + ") GROUP BY person)")
		joins += " LEFT JOIN " + name + " USING (person)"
	}
	for i, a := range w.answers {
		w.answers[i] = fmt.Sprintf("%s AS a%d", a, i)
	}
	slices.Sort(w.events)
	part("answers", w.answers, "SELECT person, event, epoch_ms(time) AS ms, properties FROM events WHERE type <> 'system'"+by+" AND event IN ("+strings.Join(slices.Compact(w.events), ", ")+")")
	part("told", w.traits, "SELECT person, epoch_ms(time) AS ms, coalesce(source, '') AS source, CASE WHEN type = 'identify' THEN traits ELSE json_extract(context, '$.traits') END AS told FROM events WHERE type <> 'system'"+by+" AND (type = 'identify' OR context IS NOT NULL)")
	part("seen", w.seen, "SELECT person, epoch_ms(time) AS ms, context ->> '$.timezone' AS timezone FROM events WHERE type <> 'system'"+by+" AND json_type(context, '$.timezone') = 'VARCHAR'")
	part("allowed", w.consents, "SELECT person, epoch_ms(time) AS ms, type, event, properties, context FROM events WHERE (context IS NOT NULL OR event = "+sqlText(rapport.EventConsentUpdated)+")"+by)
	part("things", w.things, "SELECT person, arg_max(properties, coalesce(TRY_CAST(properties ->> '$.version' AS BIGINT), 0)) AS held FROM events WHERE type = 'system' AND event = 'Item Held'"+by+" AND coalesce(properties ->> '$.item', '') <> '' GROUP BY person, properties ->> '$.item'")
	return b.String() + " SELECT person FROM everybody" + joins + " WHERE " + where + " ORDER BY person"
}

// sqlWriter lowers a tree. row names the JSON object that properties are read
// from; empty where there is no event at hand.
type sqlWriter struct {
	at      int64
	text    string
	history History
	known   map[uint64]int    // aggregate -> column
	names   map[string]string // other columns, by what they hold
	inside  []string          // segments being lowered
	item    string            // JSON object of the item at hand

	// Columns, by the part they stand in.
	answers, traits, seen, consents, things []string

	events []string
	err    error
}

func (w *sqlWriter) refuse(n *node, why string) string {
	if w.err == nil {
		if len(w.inside) > 0 {
			w.err = rapport.Errorf(rapport.Invalid, "%s, in the condition of segment %q", why, w.inside[len(w.inside)-1])
		} else {
			w.err = syntaxError(w.text, n.at, why)
		}
	}
	return "NULL"
}

// truth lowers a node used as a truth value: the result is never NULL. What SQL
// has no exact word for is done by the compiled condition itself.
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
		if n.args[1].typeOf() != typeText || n.args[1].kind != kindLiteral || n.kind == kindContains && n.args[0].typeOf() == typeAny || !plain(n.args[0]) {
			return w.holds(n, row)
		}
		name := map[nodeKind]string{kindContains: "contains", kindStarts: "starts_with", kindEnds: "ends_with"}[n.kind]
		return "coalesce(" + name + "(" + w.words(n.args[0], row) + ", " + sqlText(n.args[1].value.Str()) + "), false)"
	case kindPath, kindItem:
		return "coalesce(" + w.json(n, row) + " = 'true'::JSON, false)"
	case kindPerformed:
		if n.op == Happened {
			return "coalesce(" + w.answer(n, n.agg) + ", false)"
		}
		return "coalesce(" + w.json(n, row) + " = 'true'::JSON, false)"
	case kindSegment:
		return w.segment(n)
	case kindConsent:
		return w.consent(n)
	case kindAnyItem:
		return "(coalesce(" + w.countItems(n) + ", 0) > 0)"
	}
	return w.holds(n, row)
}

// plain reports whether SQL itself has the exact word for a value.
func plain(n *node) bool {
	switch n.kind {
	case kindLiteral:
		return n.value.Kind() != rapport.KindBigNumber
	case kindAdd, kindSubtract, kindMultiply, kindDivide, kindNegate:
		return !slices.ContainsFunc(n.args, func(a *node) bool { return !plain(a) })
	case kindNow:
		return n.name == "unix"
	case kindPath:
		return n.root == Traits || n.root == Properties
	}
	return n.kind == kindDuration || n.kind == kindPerformed || n.kind == kindItem
}

var sqlMarks = map[nodeKind]string{kindEqual: "=", kindDiffers: "<>", kindLess: "<", kindAtMost: "<=", kindMore: ">", kindAtLeast: ">="}

func (w *sqlWriter) comparison(n *node, row string) string {
	kind, left, right := n.kind, n.args[0], n.args[1]
	if !plain(left) || !plain(right) {
		return w.holds(n, row)
	}
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
		return w.holds(n, row)
	}
	if kind == kindDiffers { // a value of another kind differs; a missing one does not
		return "(NOT " + w.absent(left, row) + " AND coalesce(" + test + ", true))"
	}
	return "coalesce(" + test + ", false)"
}

func (w *sqlWriter) in(n *node, row string) string {
	if n.args[1].kind != kindList || !plain(n.args[0]) {
		return w.holds(n, row)
	}
	parts := []string{"false"}
	for _, e := range n.args[1].args {
		if !e.value.IsNull() {
			parts = append(parts, w.comparison(&node{kind: kindEqual, at: n.at, args: []*node{n.args[0], e}}, row))
		}
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func sqlNumber(x float64) string {
	return "CAST('" + strconv.FormatFloat(x, 'g', -1, 64) + "' AS DOUBLE)"
}
