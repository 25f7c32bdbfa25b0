package condition_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

func TestWhatIsAskedOnceForAllIsTheSameAsAskedForEach(t *testing.T) {
	t.Parallel()
	var memo condition.Memo
	for seed := range uint64(2000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 31))}
		var texts []string
		for range 4 {
			texts = append(texts, g.boolean(1+g.IntN(4)))
		}
		all := parse(t, strings.Join(texts, " && "))
		list := []*condition.Condition{all}
		for _, text := range texts {
			list = append(list, parse(t, text))
		}
		shared := condition.Share(list)
		w := g.world(all)
		f := &fading{world: w, from: w.now, steps: []int64{5000, 60_000, 86_400_000}}
		for _, env := range []condition.Env{w, f} {
			memo.Begin(shared, env)
			for i, c := range list {
				same := shared.Condition(i)
				if same.String() != c.String() || same.Text() != c.Text() {
					t.Fatalf("%s became %s", c, same)
				}
				if sql, err := c.SQL(1e12, nil); err == nil {
					if again, err := same.SQL(1e12, nil); err != nil || again != sql {
						t.Fatalf("%s asks history\n%s\nwith others (%v)\n%s", c, sql, err, again)
					}
				}
				holds, next := c.Look(env)
				for range 2 { // asked, and remembered
					if h, n := same.Look(&memo); h != holds || n != next {
						t.Fatalf("%s: alone %v until %d, with others %v until %d", c, holds, next, h, n)
					}
				}
				if h, n := same.Look(env); h != holds || n != next || same.Holds(&memo) != holds {
					t.Fatalf("%s: %v until %d, without a memo %v until %d", c, holds, next, h, n)
				}
			}
		}
	}
}

func TestARememberedQuestionIsAskedOnceAndForgottenAtTheEnd(t *testing.T) {
	t.Parallel()
	one, other := parse(t, `performed("A").count() > 2 && computed.x > 1`), parse(t, `performed("A").count() > 3 || computed.x > 1`)
	shared := condition.Share([]*condition.Condition{one, other})
	w := &counting{world: &world{aggregates: map[string]rapport.Value{one.Aggregates()[0].ID: rapport.NumberValue(3)}}}
	var memo condition.Memo
	for round := range 3 {
		memo.Begin(shared, w)
		shared.Condition(0).Holds(&memo)
		shared.Condition(1).Holds(&memo)
		if memo.End(); w.asked != round+1 {
			t.Fatalf("asked %d times in %d rounds", w.asked, round+1)
		}
	}
	if len(shared.Aggregates()) != 1 {
		t.Errorf("aggregates %v", shared.Aggregates())
	}
}

func TestAFailedConditionNamesItsFirstClauseThatFails(t *testing.T) {
	t.Parallel()
	texts := []string{
		`segments.has("loyal") && consent.allows("marketing")`, `segments.has("loyal") && !consent.allows("marketing")`,
		`!segments.has("loyal") && consent.allows("marketing")`, `consent.allows("marketing") || segments.has("new")`, `consent.allows("marketing")`,
	}
	var list []*condition.Condition
	for _, text := range texts {
		list = append(list, parse(t, text))
	}
	shared := condition.Share(list)
	w := &judging{world: &world{}}
	var memo condition.Memo
	memo.Begin(shared, w)
	defer memo.End()
	want := []string{`consent.allows("marketing")`, "", `!segments.has("loyal")`, texts[3], texts[4]}
	for i := range list {
		got := ""
		if c := shared.Condition(i); !c.Holds(&memo) {
			got = c.Failing(&memo)
		}
		if got != want[i] {
			t.Errorf("%s: %q, want %q", texts[i], got, want[i])
		}
	}
	if w.consent != 1 {
		t.Errorf("consent was asked for %d times", w.consent)
	}
}

// judging is of a segment, consents to nothing, and counts how often it is asked.
type judging struct {
	*world
	consent int
}

func (j *judging) Degree(segment string) float64 {
	if segment == "loyal" {
		return 1
	}
	return 0
}

func (j *judging) Consent(string, string) bool { j.consent++; return false }

// counting counts how often it is asked what was performed.
type counting struct {
	*world
	asked int
}

func (c *counting) Performed(a *condition.Aggregate) rapport.Value {
	c.asked++
	return c.world.Performed(a)
}

// TestAResultGoesOnlyWhereItsTrendSays moves answers as told, and from null
// where it may, and looks which way the result went. Where an answer is only
// compared with numbers, nothing turns that passes none of them.
func TestAResultGoesOnlyWhereItsTrendSays(t *testing.T) {
	t.Parallel()
	told, turned := 0, 0
	for seed := range uint64(6000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 32))}
		c := parse(t, g.counted(1+g.IntN(3)))
		w := g.world(c)
		moved := c.Aggregates()[g.IntN(len(c.Aggregates()))]
		from := rapport.NumberValue(float64(g.IntN(4)))
		trend := pick(g, condition.Rises, condition.Falls, condition.RisesOrAppears, condition.FallsOrAppears)
		by := float64(g.IntN(3))
		if trend == condition.Falls || trend == condition.FallsOrAppears {
			by = -by
		}
		x, _ := from.Number()
		to := rapport.NumberValue(x + by)
		if (trend == condition.RisesOrAppears || trend == condition.FallsOrAppears) && g.IntN(3) == 0 {
			from = rapport.Value{}
		}
		w.aggregates[moved.ID] = from
		before := c.Holds(w)
		w.aggregates[moved.ID] = to
		after := c.Holds(w)
		same := func(a *condition.Aggregate) bool { return a.ID == moved.ID }
		none := func(string) bool { return false }
		says := c.Trend(func(a *condition.Aggregate) condition.Trend {
			if same(a) {
				return trend
			}
			return condition.Stays
		}, func(string) condition.Trend { return condition.Stays })
		if says != condition.Varies {
			told++
		}
		if before != after {
			turned++
		}
		if before != after && (says == condition.Stays || says == condition.Rises && before || says == condition.Falls && after) {
			t.Fatalf("%s: %s went from %v to %v; %v became %v, though it is told %d", c, moved.ID, from.Any(), to.Any(), before, after, says)
		}
		limits, ok := c.Limits(same, none)
		passed := false
		for _, l := range limits {
			passed = passed || l.Passed(min(x, x+by), max(x, x+by))
		}
		if ok && !from.IsNull() && before != after && !passed {
			t.Fatalf("%s: %s went from %v to %v and turned it, passing none of %v", c, moved.ID, from.Any(), to.Any(), limits)
		}
	}
	if told < 2000 || turned < 500 {
		t.Errorf("%d trends told, %d turned: the test says little", told, turned)
	}
}

// counted returns a condition that compares what was performed.
func (g *generator) counted(depth int) string {
	if depth > 0 {
		text := "(" + g.counted(depth-1) + pick(g, " && ", " || ") + pick(g, g.counted(depth-1), g.boolean(1)) + ")"
		return pick(g, "", "!") + text
	}
	p := `performed("` + pick(g, "A", "B") + `").count()`
	return pick(g,
		p+pick(g, " > ", " >= ", " < ", " <= ", " == ", " != ")+pick(g, "0", "1", "2", "2.5"), pick(g, "1", "2")+pick(g, " > ", " >= ", " < ", " <= ")+p,
		p+" + 1 > 2", p+` < performed("C").count()`, p+" in [1, 2]", "!("+p+" > 1)", p+" > traits.a",
	)
}
