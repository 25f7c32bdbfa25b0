package condition_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

func TestRandomConditionsComeBackAndMeanTheSameInEveryForm(t *testing.T) {
	t.Parallel()
	held := 0
	for seed := range uint64(20_000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		text := g.boolean(1 + g.IntN(5))
		c, err := condition.Parse(text)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		again, err := condition.Parse(c.String())
		if err != nil || again.String() != c.String() {
			t.Fatalf("%s\nprinted   %s\nreprinted %v (%v)", text, c, again, err)
		}
		tree, err := condition.ParseTree(c.Tree())
		if err != nil || tree.String() != c.String() || string(tree.Tree()) != string(c.Tree()) {
			t.Fatalf("%s\ntree %s\ncame back as %v (%v)", c, c.Tree(), tree, err)
		}
		w := g.world(c)
		holds := c.Holds(w)
		if e := c.Explain(w); e.Holds != holds || tree.Holds(w) != holds || again.Holds(w) != holds {
			t.Fatalf("%s\nHolds is %v, explained %v, as tree %v", c, holds, e.Holds, tree.Holds(w))
		} else {
			checkExplanation(t, c, e)
		}
		if holds {
			held++
		}
	}
	if held < 4000 || held > 16_000 {
		t.Errorf("%d of 20000 held: the test says little", held)
	}
}

// checkExplanation checks that the decisive clauses alone carry the result:
// each agrees with it.
func checkExplanation(t *testing.T, c *condition.Condition, e condition.Explanation) {
	t.Helper()
	decisive := 0
	for _, clause := range e.Clauses {
		if clause.Decisive {
			decisive++
			if clause.Held != e.Holds {
				t.Fatalf("%s is %v because %s is %v", c, e.Holds, clause.Text, clause.Held)
			}
		}
	}
	if decisive == 0 {
		t.Fatalf("%s has a result without a reason", c)
	}
}

func TestAMissingValueMakesAComparisonFalse(t *testing.T) {
	t.Parallel()
	w := &world{roots: [6]rapport.Fields{condition.Traits: rapport.FieldsOf(map[string]any{"n": 1.0, "s": "x", "yes": true, "tags": []any{"vip", 3.0}})}}
	for text, want := range map[string]bool{
		`traits.gone == 1`: false, `traits.gone != 1`: false, `traits.gone < 1`: false, `traits.gone >= 1`: false,
		`!(traits.gone == 1)`: true, `traits.gone == traits.away`: false, `traits.gone in [1, null]`: false,
		`traits.gone == null`: true, `traits.n != null`: true, `has(traits.gone)`: false, `has(traits.n)`: true,
		`traits.gone`: false, `!traits.gone`: true, `traits.yes`: true, `traits.n`: false,
		`traits.n + traits.gone > 0`: false, `traits.n / 0 > 0`: false, `traits.n != "1"`: true, `traits.n == "1"`: false, `traits.n < "2"`: false,
		`performed("A").count() >= 0`: false, `items.any(i, true)`: false, `items.count(i, true) == 0`: true,
		`"vip" in traits.tags && 3 in traits.tags && !(4 in traits.tags)`: true, `traits.tags.contains("vip")`: true,
		`traits.s.contains("x") && traits.s.matches("^x$") && size(traits.s) == 1`: true, `size(traits.gone) == 0`: false,
		`traits.s > "w" && traits.s <= "x"`: true, `traits.s.startsWith("")`: true, `traits.gone.startsWith("")`: false,
		`time("2026-01-31T01:30:00+01:30") == time("2026-01-31") && time("2026-02-30T") > 0`: false,
		`time("2026-01-31T01:30:00.5+01:30") == time("2026-01-31") + 0.5`:                    true,
		`duration("1d") == 86400`: true, `now.year < 1 || now.weekday == 1`: true,
	} {
		c, err := condition.Parse(text)
		if err != nil {
			if !strings.Contains(text, "02-30") {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if got := c.Holds(w); got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
}

func TestAggregatesAreListedOnceAndAskOnlyTheEvent(t *testing.T) {
	t.Parallel()
	c := parse(t, `performed("A").within("24h").where(properties.a > 20).sum("b.c") > 1 && performed("A").where(properties.a > 20).within("1d").sum("properties.b.c") < 9 || performed("B").last() > 0`)
	all := c.Aggregates()
	if len(all) != 2 {
		t.Fatalf("%d aggregates", len(all))
	}
	a := all[0]
	if a.ID != `performed("A").where(properties.a > 20).within("1d").sum("b.c")` || a.Event != "A" || a.Within.Std() != 24*time.Hour || a.Op != condition.Sum || strings.Join(a.Property, "/") != "b/c" {
		t.Errorf("%+v", a)
	}
	env := &condition.EventEnv{}
	for n, want := range map[float64]bool{20: false, 21: true} {
		env.Properties = rapport.FieldsOf(map[string]any{"a": n})
		if a.Where.Holds(env) != want {
			t.Errorf("where of %v is not %v", n, want)
		}
	}
	if all[1].Where != nil || all[1].Property != nil {
		t.Errorf("%+v", all[1])
	}
}

func TestUsesListsEveryNameOnce(t *testing.T) {
	t.Parallel()
	c := parse(t, `traits.a.b == 1 && traits.a.b == 2 && context["x y"] && computed.c && scores.clv > properties.v && performed("E").where(properties.z).count() > 0
		&& segments.has("s") && segments.degree("t") > 0 && consent.allows("m") && items.any(i, i.x == traits.q)`)
	u := c.Uses()
	got := strings.Join([]string{strings.Join(u.Traits, ","), strings.Join(u.Computed, ","), strings.Join(u.Scores, ","), strings.Join(u.Context, ","), strings.Join(u.Properties, ","), strings.Join(u.Events, ","), strings.Join(u.Segments, ","), strings.Join(u.Purposes, ",")}, ";")
	if want := `a.b,q;c;clv;["x y"];v;E;s,t;m`; got != want || !u.Items || u.Time {
		t.Errorf("%s, %+v", got, u)
	}
	if err := c.EventFree(); rapport.KindOf(err) != rapport.Invalid || !strings.Contains(err.Error(), "column 84") {
		t.Errorf("%v", err)
	}
	if c := parse(t, `performed("E").where(properties.z).within("1d").count() > 0`); c.EventFree() != nil || !c.Uses().Time {
		t.Error("where(...) was taken for an event at hand, or the window for timeless")
	}
}

func TestAnExplanationNamesClausesValuesAndReasons(t *testing.T) {
	t.Parallel()
	c := parse(t, `traits.country == "NO" && (performed("Order Completed").within("30d").count() < 3 || segments.has("vip")) && !(has(traits.blocked) || context.page == "/cart")`)
	w := &world{aggregates: map[string]rapport.Value{c.Aggregates()[0].ID: rapport.NumberValue(5)}, degrees: map[string]float64{"vip": 0.2}}
	w.roots[condition.Traits] = rapport.FieldsOf(map[string]any{"country": "NO"})
	w.roots[condition.Context] = rapport.FieldsOf(map[string]any{"page": "/home"})
	e := c.Explain(w)
	var lines []string
	for _, clause := range e.Clauses {
		mark := map[bool]string{true: "held", false: "failed"}[clause.Held]
		if clause.Decisive {
			mark += ", decisive"
		}
		lines = append(lines, clause.String()+": "+mark)
	}
	want := `traits.country == "NO" (traits.country is "NO"): held
performed("Order Completed").within("30d").count() < 3 (performed("Order Completed").within("30d").count() is 5): failed, decisive
segments.has("vip") (segments.degree("vip") is 0.2): failed, decisive
!has(traits.blocked) (traits.blocked is missing): held
!(context.page == "/cart") (context.page is "/home"): held`
	if got := strings.Join(lines, "\n"); got != want || e.Holds {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if r := e.Reason(); strings.Count(r, "\n") != 1 || !strings.HasPrefix(r, "performed") {
		t.Errorf("reason %s", r)
	}
}

func TestTheZeroConditionHolds(t *testing.T) {
	t.Parallel()
	var c condition.Condition
	if !c.Holds(condition.NoEnv{}) || c.String() != "true" || !c.Explain(condition.NoEnv{}).Holds || len(c.Aggregates()) != 0 || string(c.Tree()) != "true" {
		t.Error("it does not")
	}
	if err := c.UnmarshalJSON([]byte(`{"==":[{"path":"traits.a"},1]}`)); err != nil || c.String() != "traits.a == 1" {
		t.Errorf("%v %v", c.String(), err)
	}
	if err := c.UnmarshalJSON([]byte(`"traits.b"`)); err != nil || c.String() != "traits.b" {
		t.Errorf("%v %v", c.String(), err)
	}
}

func FuzzParse(f *testing.F) {
	for seed := range uint64(50) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 2))}
		f.Add(g.boolean(4))
	}
	f.Add(`performed("A").where(properties.x).within("1d").last("a b") == null`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := condition.Parse(text)
		if err != nil {
			if rapport.KindOf(err) != rapport.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := condition.Parse(c.String())
		if err != nil && len(c.String()) <= condition.MaxText {
			t.Fatalf("%q printed %q: %v", text, c, err)
		}
		if err == nil && again.String() != c.String() {
			t.Fatalf("%q printed %q, then %q", text, c, again)
		}
		if c.Holds(condition.NoEnv{}) != c.Explain(condition.NoEnv{}).Holds {
			t.Fatalf("%q has two results", text)
		}
		if tree, err := condition.ParseTree(c.Tree()); err != nil && len(c.String()) <= condition.MaxText {
			t.Fatalf("%q as tree %s: %v", c, c.Tree(), err)
		} else if err == nil && tree.String() != c.String() {
			t.Fatalf("%q as tree became %q", c, tree)
		}
	})
}

func FuzzParseTree(f *testing.F) {
	for seed := range uint64(50) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 3))}
		if c, err := condition.Parse(g.boolean(4)); err == nil {
			f.Add([]byte(c.Tree()))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := condition.ParseTree(data)
		if err != nil {
			if rapport.KindOf(err) != rapport.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := condition.ParseTree(c.Tree())
		if err != nil || again.String() != c.String() {
			t.Fatalf("%s became %v, %v", c, again, err)
		}
	})
}

const nineClauses = `traits.country == "NO" && traits.age >= 18 && traits.plan != "free" && computed.orders > 2 && scores.clv > 100
	&& context.page == "/espresso" && performed("Order Completed").within("30d").count() < 3 && segments.has("regulars") && consent.allows("marketing", "email")`

// slotWorld answers like a compiled profile: values are at hand.
type slotWorld struct {
	condition.NoEnv
	country, plan, page, number rapport.Value
	aggregates                  []rapport.Value
}

func (w *slotWorld) Value(_ condition.Root, path []string) rapport.Value {
	switch path[0] {
	case "country":
		return w.country
	case "plan":
		return w.plan
	case "page":
		return w.page
	}
	return w.number
}
func (w *slotWorld) Performed(a *condition.Aggregate) rapport.Value { return w.aggregates[a.Slot] }
func (w *slotWorld) Degree(string) float64                          { return 1 }
func (w *slotWorld) Consent(string, string) bool                    { return true }

func newSlotWorld() *slotWorld {
	return &slotWorld{
		country: rapport.StringValue("NO"), plan: rapport.StringValue("gold"), page: rapport.StringValue("/espresso"),
		number: rapport.NumberValue(120), aggregates: []rapport.Value{rapport.NumberValue(1)},
	}
}

func TestEvaluationAllocatesNothing(t *testing.T) {
	c, w := parse(t, nineClauses), newSlotWorld()
	if !c.Holds(w) {
		t.Fatal("it should hold")
	}
	many := parse(t, nineClauses+` && traits.country in ["NO", "SE"] && !traits.country.contains("x") && traits.plan.matches("^g.*d$") && now.hour >= 0 && traits.age - 3 * 2 > 1 && size(traits.plan) == 4 && !(traits.gone == null) && has(traits.x)`)
	if n := testing.AllocsPerRun(100, func() { many.Holds(w) }); n != 0 || !many.Holds(w) {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNineClauses(b *testing.B) {
	c, w := parse(b, nineClauses), newSlotWorld()
	b.ReportAllocs()
	for b.Loop() {
		if !c.Holds(w) {
			b.Fatal("it should hold")
		}
	}
}

func BenchmarkNineClausesExplained(b *testing.B) {
	c, w := parse(b, nineClauses), newSlotWorld()
	b.ReportAllocs()
	for b.Loop() {
		c.Explain(w)
	}
}

func BenchmarkParseNineClauses(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		parse(b, nineClauses)
	}
}
