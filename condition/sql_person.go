package condition

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// column returns the column that holds something, added by add if it is new.
func (w *sqlWriter) column(key string, list *[]string, letter, text string) string {
	if name, ok := w.names[key]; ok {
		return name
	}
	name := fmt.Sprintf("%s%d", letter, len(*list))
	w.names[key] = name
	*list = append(*list, text+" AS "+name)
	return name
}

// maxTrait is the longest value of a trait that is remembered, in bytes.
const maxTrait = 8 << 10

// trait returns what was said last under the first name of a path, and reads the rest of it.
func (w *sqlWriter) trait(n *node) string {
	x := w.member(n, "told", n.path[:1])
	bytes := "rapport_value(CAST(" + x + " AS VARCHAR))"
	newest := fmt.Sprintf("arg_max(%s, {'ms': ms, 'said': %s || '\\x00'::BLOB || encode(source)}) FILTER (%s IS NOT NULL AND octet_length(%s) <= %d)", x, bytes, x, bytes, maxTrait)
	return w.member(n, w.column("trait "+n.path[0], &w.traits, "t", newest), n.path[1:])
}

// zone returns the name of the person's time zone: what they named as a trait,
// else what the client told last.
func (w *sqlWriter) zone() string {
	named := w.trait(&node{kind: kindPath, root: Traits, path: []string{"timezone"}})
	told := w.column("zone", &w.seen, "s", "arg_max(timezone, {'ms': ms, 'said': timezone}) FILTER (timezone <> '' AND octet_length(encode(timezone)) <= 64 AND ms >= 0)")
	return "coalesce(nullif(CASE WHEN json_type(" + named + ") = 'VARCHAR' THEN " + named + " ->> '$' END, ''), " + told + ", '')"
}

// segment lowers the condition of a segment in its place.
func (w *sqlWriter) segment(n *node) string {
	var c *Condition
	if w.history != nil {
		c = w.history.Segment(n.name)
	}
	switch {
	case c == nil:
		return w.refuse(n, "there is no live segment "+quote(n.name)+" (soft ones are what the model says now; what it said then is not kept)")
	case slices.Contains(w.inside, n.name):
		return w.refuse(n, "segment "+quote(n.name)+" asks for itself")
	case c.IsZero():
		return "true"
	}
	w.inside = append(w.inside, n.name)
	text := w.truth(c.tree, "")
	w.inside = w.inside[:len(w.inside)-1]
	return text
}

// consent has all that was said of a purpose weighed as the profile weighs it.
func (w *sqlWriter) consent(n *node) string {
	if strings.ContainsAny(n.name, `"\`) {
		return w.refuse(n, "a name with quotes cannot be asked of history")
	}
	general := "json_extract(context, " + sqlText(`$.consent.categoryPreferences."`+n.name+`"`) + ")"
	text := func(name string) string {
		return "CASE WHEN json_type(properties, '$." + name + "') = 'VARCHAR' THEN properties ->> '$." + name + "' END"
	}
	answer := "json_extract(properties, '$.allowed')"
	said := fmt.Sprintf("list_concat(coalesce(list(concat_ws(' ', ms, CAST(%[1]s AS VARCHAR), '')) FILTER (json_type(%[1]s) = 'BOOLEAN'), []), "+
		"coalesce(list(concat_ws(' ', ms, CAST(%[2]s AS VARCHAR), coalesce(%[3]s, ''))) FILTER (type = 'track' AND event = %[4]s AND %[5]s = %[6]s AND json_type(%[2]s) = 'BOOLEAN'), []))",
		general, answer, text("channel"), sqlText(rapport.EventConsentUpdated), text("purpose"), sqlText(n.name))
	column := w.column("consent "+n.name+"\x00"+n.channel, &w.consents, "c", "rapport_consent("+sqlText(n.channel)+", "+said+") = 'true'")
	return "coalesce(" + column + ", false)"
}

// countItems returns the column that counts the items held for which a condition holds.
func (w *sqlWriter) countItems(n *node) string {
	w.item = "held"
	where := w.truth(n.args[0], "")
	w.item = ""
	return w.column("items "+where, &w.things, "i", "count(*) FILTER (coalesce(held ->> '$.role', '') <> '' AND "+where+")")
}

// ofItem reads a value of the item at hand: what is said of it, else a reading.
func (w *sqlWriter) ofItem(n *node) string {
	if w.item == "" || len(n.path) == 0 {
		return w.refuse(n, short(n)+" cannot be asked of history")
	}
	if n.path[0] == "version" || n.path[0] == "readings" {
		return w.member(n, "json_extract(held, '$.readings')", n.path)
	}
	return "coalesce(" + w.member(n, "json_extract(held, '$.readings')", n.path) + ", " + w.member(n, "held", n.path) + ")"
}

// computed returns a computed trait as JSON.
func (w *sqlWriter) computed(n *node) string {
	var t Computation
	ok := false
	if w.history != nil {
		t, ok = w.history.Computed(n.path[0])
	}
	if !ok {
		return w.refuse(n, "there is no computed trait "+quote(n.path[0]))
	}
	if len(n.path) > 1 {
		return "NULL::JSON"
	}
	main := w.answer(n, t.Main)
	unit := strconv.FormatInt(t.Unit, 10) + "::DOUBLE"
	passed := func(from string) string {
		return "floor((" + strconv.FormatInt(w.at, 10) + "::DOUBLE - round(" + from + " * 1000)) / " + unit + ")"
	}
	number := main
	switch t.Op {
	case "since":
		number = "CASE WHEN " + main + " IS NOT NULL THEN greatest(" + passed(main) + ", 0) END"
	case "frequency":
		number = main + " / (" + unit + " / 1e6::DOUBLE)"
		if t.Aux != nil {
			number = main + " / greatest(coalesce(" + passed(w.answer(n, t.Aux)) + ", 1), 1)"
		}
	case "ratio":
		over := w.answer(n, t.Aux)
		number = "CASE WHEN " + over + " <> 0 THEN " + main + " / " + over + " END"
	case "top":
		return main
	case "first", "last":
		if len(t.Main.Property) > 0 {
			return main
		}
	}
	return "to_json(" + number + ")"
}

// spec is what rapport_answer is told of an aggregate.
func (a *Aggregate) spec(at int64) string {
	s := listedSpec{Op: a.Op, At: at, Within: int64(a.Within), Property: len(a.Property) > 0, Then: len(a.Then), Absent: a.Absent, Calendar: a.Calendar, Ago: a.Ago, K: a.K, HalfLife: int64(a.HalfLife), Unit: int64(a.Unit)}
	if a.Zone != nil {
		s.Zone = a.Zone.String()
	}
	text, _ := json.Marshal(s) // plain fields
	return string(text)
}

type listedSpec struct {
	Op       Op     `json:"op"`
	At       int64  `json:"at"`
	Within   int64  `json:"within,omitempty"`
	Property bool   `json:"property,omitempty"`
	Then     int    `json:"then,omitempty"`
	Absent   bool   `json:"absent,omitempty"`
	Calendar string `json:"calendar,omitempty"`
	Ago      int    `json:"ago,omitempty"`
	Zone     string `json:"zone,omitempty"`
	K        int    `json:"k,omitempty"`
	HalfLife int64  `json:"halfLife,omitempty"`
	Unit     int64  `json:"unit,omitempty"`
}

// ParseSpec reads what SQL tells rapport_answer: the question, without event and
// where, and the moment (Unix ms).
func ParseSpec(text string) (a *Aggregate, at int64, err error) {
	var s listedSpec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, 0, err
	}
	a = &Aggregate{Op: s.Op, Within: rapport.Duration(s.Within), Absent: s.Absent, Calendar: s.Calendar, Ago: s.Ago, K: s.K, HalfLife: rapport.Duration(s.HalfLife), Unit: rapport.Duration(s.Unit), Then: make([]Step, s.Then)}
	if s.Property {
		a.Property = []string{""}
	}
	if s.Zone != "" {
		if a.Zone, err = time.LoadLocation(s.Zone); err != nil {
			return nil, 0, err
		}
	}
	return a, s.At, nil
}

// NowPart returns a part of the time in a zone as now.NAME is live.
func NowPart(name string, at time.Time) float64 { return nowPart(at, name) }

// holds has a truth value worked out by the compiled condition: SQL gives it the
// values at its leaves.
func (w *sqlWriter) holds(n *node, row string) string {
	var leaves []string
	var cut func(n *node) *node
	cut = func(n *node) *node {
		switch n.kind {
		case kindPath, kindItem, kindPerformed, kindNow, kindSegment, kindDegree, kindConsent, kindAnyItem, kindCountItem:
			leaves = append(leaves, "CAST("+w.json(n, row)+" AS VARCHAR)")
			return &node{kind: kindPath, root: Properties, path: []string{fmt.Sprintf("v%d", len(leaves)-1)}}
		}
		c := *n
		c.text = "" // it says something else now
		c.args = make([]*node, len(n.args))
		for i, a := range n.args {
			c.args[i] = cut(a)
		}
		return &c
	}
	text := cut(n).String()
	return "(rapport_holds(" + sqlText(text) + ", [" + strings.Join(append(leaves, "NULL::VARCHAR"), ", ") + "]) = 'true')"
}
