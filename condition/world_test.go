package condition_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// world is an Env in memory.
type world struct {
	roots      [6]rapport.Fields
	items      []rapport.Fields
	aggregates map[string]rapport.Value
	degrees    map[string]float64
	consent    map[string]bool
	now        time.Time
}

func (w *world) Value(root condition.Root, path []string) rapport.Value {
	v, _ := w.roots[root].Path(path...)
	return v
}
func (w *world) Performed(a *condition.Aggregate) rapport.Value { return w.aggregates[a.ID] }
func (w *world) Degree(segment string) float64                  { return w.degrees[segment] }
func (w *world) Consent(purpose, channel string) bool           { return w.consent[purpose] && channel != "sms" }
func (w *world) Now() time.Time                                 { return w.now }
func (w *world) NumItems() int                                  { return len(w.items) }
func (w *world) ItemValue(i int, path []string) rapport.Value {
	v, _ := w.items[i].Path(path...)
	return v
}

// generator writes random conditions that are well typed.
type generator struct {
	*rand.Rand
	item  bool // an item variable is in scope
	where bool
}

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

var valueTexts = []string{"null", "true", "false", "0", "1", "2.5", "1e21", "1e-7", "12345678901234567890", "12345678901234567891", `"NO"`, `"SE"`, `"a \"b\"\n"`, `"2026-01-31"`, `""`}

func (g *generator) name() string {
	return pick(g, "a", "b", "c.d", `["x y"]`, `c["e"]`, "in", "count")
}

func (g *generator) path() string {
	root := "properties"
	if !g.where {
		root = pick(g, "traits", "computed", "context", "properties")
		if g.item && g.IntN(2) == 0 {
			root = "it"
		}
	}
	n := g.name()
	if n[0] == '[' {
		return root + n
	}
	return root + "." + n
}

func (g *generator) boolean(depth int) string {
	if depth <= 0 {
		return pick(g, "true", "false", g.path())
	}
	d := depth - 1
	switch g.IntN(14) {
	case 0, 1:
		return "(" + g.boolean(d) + pick(g, " && ", " || ") + g.boolean(d) + ")"
	case 2:
		return "(" + g.boolean(d) + " && " + g.boolean(d) + " || " + g.boolean(d) + ")"
	case 3:
		return "!(" + g.boolean(d) + ")"
	case 4:
		return "(" + g.path() + pick(g, " == ", " != ") + pick(g, valueTexts...) + ")"
	case 5:
		return "(" + g.number(d) + pick(g, " == ", " != ", " < ", " <= ", " > ", " >= ") + g.number(d) + ")"
	case 6:
		return "(" + g.text() + pick(g, " == ", " != ", " < ", " <= ", " > ", " >= ") + g.text() + ")"
	case 7:
		return "(" + g.path() + " in [" + strings.Join([]string{pick(g, valueTexts...), pick(g, valueTexts...)}, ",") + "])"
	case 8:
		return "(" + pick(g, g.path(), `"NO"`) + " in " + pick(g, g.path(), `["NO","SE","a","b","c","d","e","f","g"]`) + ")"
	case 9:
		return "has(" + g.path() + ")"
	case 10:
		return g.path() + pick(g, ".contains(", ".startsWith(", ".endsWith(") + g.text() + ")"
	case 11:
		return g.path() + ".matches(" + pick(g, `"^N"`, `r"\d+"`, `"O$"`) + ")"
	}
	if g.where {
		return g.boolean(d)
	}
	switch g.IntN(3) {
	case 0:
		return pick(g, `segments.has("s")`, `segments.has("t")`, `consent.allows("m")`, `consent.allows("m", "sms")`)
	case 1:
		if g.item {
			return "it.b"
		}
		g.item = true
		body := g.boolean(d)
		g.item = false
		return "items.any(it, " + body + ")"
	}
	if g.IntN(2) == 0 {
		return g.sequence()
	}
	return "(" + g.path() + " == " + g.path() + ")"
}

func (g *generator) sequence() string {
	item := g.item
	g.where, g.item = true, false
	p := `performed("A")`
	for range g.IntN(3) {
		p += `.then("` + pick(g, "A", "B", "C") + `")`
		if g.IntN(3) == 0 {
			p += ".where(" + g.boolean(1) + ")"
		}
	}
	if g.IntN(2) == 0 {
		p += `.notThen("D")`
	}
	g.where, g.item = false, item
	if g.IntN(2) == 0 {
		p += `.within("30d")`
	}
	return p + ".happened()"
}

func (g *generator) text() string { return pick(g, g.path(), `"NO"`, `"O"`, `""`, `"b"`) }

func (g *generator) number(depth int) string {
	if depth <= 0 {
		return pick(g, "0", "1", "-2.5", "12345678901234567890", g.path())
	}
	d := depth - 1
	switch g.IntN(9) {
	case 0, 1:
		return "(" + g.number(d) + pick(g, " + ", " - ", " * ", " / ") + g.number(d) + ")"
	case 2:
		return "-(" + g.number(d) + ")"
	case 3:
		return "size(" + g.path() + ")"
	case 4:
		return pick(g, `duration("1d12h")`, "time("+g.path()+")")
	}
	if g.where {
		return g.path()
	}
	switch g.IntN(4) {
	case 0:
		return pick(g, "now.hour", "now.unix", "now.weekday", `segments.degree("s")`, "scores.clv")
	case 1:
		if !g.item {
			g.item = true
			body := g.boolean(d)
			g.item = false
			return "items.count(it, " + body + ")"
		}
	}
	p := `performed("` + pick(g, "A", "B") + `")`
	if g.IntN(2) == 0 {
		item := g.item
		g.where, g.item = true, false
		p += ".where(" + g.boolean(d) + ")"
		g.where, g.item = false, item
	}
	if g.IntN(2) == 0 {
		p += `.within("` + pick(g, "30d", "12h", "1w2d") + `")`
	}
	return p + pick(g, ".count()", `.sum("a")`, `.min("c.d")`, `.last()`, `.first("a")`, `.distinct("a")`)
}

// world returns a random Env; aggregates of c get random answers.
func (g *generator) world(c *condition.Condition) *world {
	value := func() rapport.Value {
		switch g.IntN(12) {
		case 0:
			return rapport.ValueOf([]any{"NO", 1.0, true})
		case 1:
			return rapport.ValueOf(map[string]any{"NO": 1.0, "d": 2.0, "e": "SE"})
		case 2:
			return rapport.NumberText("1234567890123456789" + strconv.Itoa(g.IntN(3)))
		}
		return rapport.ValueOf(pick[any](g, nil, true, false, 0.0, 1.0, 2.5, "NO", "SE", "a \"b\"\n", "2026-01-31", ""))
	}
	fields := func() rapport.Fields {
		var f rapport.Fields
		for _, k := range []string{"a", "b", "c", "x y", "in", "count"} {
			if g.IntN(4) > 0 {
				f = rapport.AppendField(f, k, value())
			}
		}
		return f
	}
	w := &world{aggregates: map[string]rapport.Value{}, degrees: map[string]float64{"s": g.Float64()}, consent: map[string]bool{"m": g.IntN(2) == 0}, now: time.Unix(1_790_000_000+g.Int64N(1e7), 0)}
	for i := range w.roots {
		w.roots[i] = fields()
	}
	w.roots[condition.Scores] = rapport.FieldsOf(map[string]any{"clv": g.Float64() * 10})
	for range g.IntN(3) {
		w.items = append(w.items, fields())
	}
	for _, a := range c.Aggregates() {
		w.aggregates[a.ID] = value()
		if a.Op == condition.Happened {
			w.aggregates[a.ID] = rapport.BoolValue(g.IntN(2) == 0)
			continue
		}
		if anything := len(a.Property) > 0 && (a.Op == condition.First || a.Op == condition.Last); !anything {
			w.aggregates[a.ID] = pick(g, rapport.Value{}, rapport.NumberValue(float64(g.IntN(4))), rapport.NumberText("12345678901234567891"))
		}
	}
	return w
}
