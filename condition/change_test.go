package condition_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// fading is a world whose answers are functions of time: each question with a
// window and each computed trait counts down by one at fixed times.
type fading struct {
	*world
	from  time.Time
	steps []int64 // ms after from at which every answer falls by one
}

func (f *fading) level() float64 {
	n := 0.0
	for _, s := range f.steps {
		if f.now.UnixMilli() < f.from.UnixMilli()+s {
			n++
		}
	}
	return n
}

func (f *fading) Performed(a *condition.Aggregate) rapport.Value {
	level := f.level()
	if a.Within == 0 { // nothing leaves all time
		level = 2
	}
	if a.Op == condition.Happened {
		return rapport.BoolValue(level > 0)
	}
	return rapport.NumberValue(level)
}

func (f *fading) Value(root condition.Root, path []string) rapport.Value {
	if root == condition.Computed {
		return rapport.NumberValue(f.level())
	}
	return f.world.Value(root, path)
}

func (f *fading) next(at func() rapport.Value, matters condition.Turn) int64 {
	now := f.now
	defer func() { f.now = now }()
	for _, s := range f.steps {
		if t := f.from.UnixMilli() + s; t > now.UnixMilli() {
			f.now = time.UnixMilli(t).In(now.Location())
			if v := at(); matters.Matters(v) {
				return t
			}
		}
	}
	return 0
}

func (f *fading) NextPerformed(a *condition.Aggregate, matters condition.Turn) int64 {
	return f.next(func() rapport.Value { return f.Performed(a) }, matters)
}

func (f *fading) NextComputed(path []string, matters condition.Turn) int64 {
	return f.next(func() rapport.Value { return f.Value(condition.Computed, path) }, matters)
}

func TestNothingChangesBeforeTheTimeNextNames(t *testing.T) {
	t.Parallel()
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Skip("no time zones here")
	}
	flips, waits := 0, 0
	for seed := range uint64(4000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 9))}
		text := g.boolean(1 + g.IntN(4))
		if g.IntN(2) == 0 {
			text += pick(g, " || ", " && ") + pick(g, `now.hour >= 21`, `now.weekday in [6, 7]`, `performed("A").within("1d").count() >= 2`,
				`performed("A").last() + 1790000000 < now.unix - duration("1d12h")`, `computed.a < 2`, `!(now.unix > 1790300000.5)`, `now.day == 1`)
		}
		c, err := condition.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		f := &fading{world: g.world(c), from: time.UnixMilli(1_790_000_000_000 + g.Int64N(1e9))}
		f.now = f.from.In(oslo)
		for at := int64(0); len(f.steps) < 4; {
			at += 1 + g.Int64N(3*24*3600*1000)
			f.steps = append(f.steps, at)
		}
		held, next := c.Holds(f), c.Next(f)
		if next != 0 && next <= f.now.UnixMilli() {
			t.Fatalf("%s: next is %d, now %d", c, next, f.now.UnixMilli())
		}
		for step := 0; step < 3000; step++ { // ten days, every five minutes and at the very times
			f.now = f.now.Add(time.Duration(1+g.IntN(600)) * time.Second)
			if next != 0 && f.now.UnixMilli() >= next {
				f.now = time.UnixMilli(next).In(oslo)
				if h := c.Holds(f); h != held {
					flips++
					held = h
				}
				waits++
				next = c.Next(f)
				continue
			}
			if c.Holds(f) != held {
				t.Fatalf("%s\nchanged at %s, %d ms before it was due (0: never due)", c, f.now, next-f.now.UnixMilli())
			}
		}
	}
	if flips < 500 {
		t.Errorf("%d changes at %d times: the test says little", flips, waits)
	}
}

func TestATimeIsNamedOnlyWhenTheResultCanChange(t *testing.T) {
	t.Parallel()
	w := &world{now: time.Date(2026, 3, 2, 10, 20, 0, 0, time.UTC)}
	w.roots[condition.Traits] = rapport.FieldsOf(map[string]any{"since": "2026-03-01T00:00:00Z", "country": "SE"})
	for text, want := range map[string]string{
		`traits.country == "NO" && now.hour >= 21`:          "",
		`traits.country == "SE" && now.hour >= 21`:          "2026-03-02T21:00:00Z",
		`now.hour >= 10 && now.hour < 12`:                   "2026-03-02T12:00:00Z",
		`now.weekday == 7`:                                  "2026-03-08T00:00:00Z",
		`now.minute < 30`:                                   "2026-03-02T10:30:00Z",
		`now.month == 3`:                                    "2026-04-01T00:00:00Z",
		`now.unix - time(traits.since) > duration("2d")`:    "2026-03-03T00:00:00.001Z",
		`now.unix - time(traits.since) >= duration("1d")`:   "",
		`now.unix - time(traits.missing) >= duration("1d")`: "",
		`now.year >= 2027 || traits.country == "SE"`:        "",
	} {
		got := ""
		if at := parse(t, text).Next(w); at != 0 {
			got = time.UnixMilli(at).UTC().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestASequenceIsOneQuestion(t *testing.T) {
	t.Parallel()
	c := parse(t, `performed("Cart").where(properties.n > 1).then("Checkout").notThen("Order").where(properties.m).within("1d").happened()`)
	a := c.Aggregates()[0]
	if len(a.Then) != 2 || !a.Absent || a.Then[0].Where != nil || a.Then[1].Where == nil || a.Key != condition.HashID(a.ID) {
		t.Errorf("%+v", a)
	}
	if got := strings.Join(c.Uses().Events, ","); got != "Cart,Checkout,Order" {
		t.Error(got)
	}
	for text, want := range map[string]string{
		`performed("A").then("B").count() > 0`:                              "a sequence ends in .happened()",
		`performed("A").notThen("B").then("C").happened()`:                  "notThen(...) is the last",
		`performed("A").then("B").then("C").then("D").then("E").happened()`: "at most 4 events",
		`performed("A").happened("x")`:                                      "happened() takes nothing",
		`performed("A").happend()`:                                          "did you mean happened?",
		`performed("A").then("B").where(traits.x).happened()`:               "sees only the event",
		`performed("A").happened() > 0`:                                     "compares",
	} {
		if _, err := condition.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
