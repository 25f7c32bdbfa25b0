package profile_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

func where(t testing.TB, text string) *condition.Condition {
	t.Helper()
	c, err := condition.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everyTrait has one computed trait of every kind and window.
func everyTrait(t testing.TB) []profile.ComputedDoc {
	day := rapport.Duration(24 * time.Hour)
	docs := []profile.ComputedDoc{
		{Op: "count"},
		{Op: "count", Within: day},
		{Op: "count", Calendar: "day", Zone: "Europe/Oslo"},
		{Op: "count", Calendar: "week", Ago: 1},
		{Op: "sum", Property: "revenue", Calendar: "month"},
		{Op: "sum", Property: "revenue", Within: 2 * day, Where: where(t, "properties.revenue > 10")},
		{Op: "average", Property: "revenue", Within: 3 * day},
		{Op: "min", Property: "revenue"},
		{Op: "max", Property: "revenue", Calendar: "quarter"},
		{Op: "first", Property: "sku"},
		{Op: "last", Property: "sku", Within: day},
		{Op: "first"},
		{Op: "distinct", Property: "sku", Within: 2 * day},
		{Op: "top", Property: "sku", Top: 2},
		{Op: "top", Property: "sku", Within: 2 * day},
		{Op: "frequency", Per: "week", Within: 4 * day},
		{Op: "frequency", Per: "hour"},
		{Op: "since", Per: "hour"},
		{Op: "streak"},
		{Op: "streak", Per: "week", Zone: "America/New_York"},
		{Op: "decayed", HalfLife: day},
		{Op: "decayed", Property: "revenue"},
		{Op: "ratio", Within: 2 * day, Over: &profile.OverDoc{Event: "page"}},
		{Op: "ratio", Property: "revenue", Over: &profile.OverDoc{Event: "Order Completed"}},
	}
	for i := range docs {
		docs[i].ID, docs[i].Event = fmt.Sprintf("t%d", i), "Order Completed"
	}
	return docs
}

func compile(t testing.TB, docs []profile.ComputedDoc, conditions ...string) *profile.Config {
	t.Helper()
	c, err := profile.CompileAll(profile.Documents{Computed: docs, Conditions: nil})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComputedTraitsAreThoseOneComputesFromThePlainListOfEvents(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clock: &clock{now: start.Add(3000 * time.Hour)}}
	docs := everyTrait(t)
	config := compile(t, docs)
	var zones profile.Zones
	told := 0
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 15))
		events := make([]rapport.Event, r.IntN(80))
		for i := range events {
			events[i] = w.event(start.Add(time.Duration(r.IntN(12_000))*time.Minute), order(r))
			events[i].Timestamp += r.Int64N(1000)
		}
		parts := [3]engine.State{}
		f := profile.AggregateFold{Config: config}
		for i := range parts {
			parts[i] = f.New()
		}
		for _, i := range r.Perm(len(events)) {
			parts[r.IntN(3)].Apply(&engine.Context{}, &events[i])
		}
		parts[0].Merge(recoded(t, f, parts[1]))
		parts[0].Merge(recoded(t, f, parts[2]))
		a := recoded(t, f, parts[0]).(*profile.Aggregates)
		for range 20 {
			at := start.Add(12_000*time.Minute + time.Duration(r.Int64N(int64(60*24*time.Hour)))).UnixMilli()
			want := profile.Recompute(events, config, &zones, at)
			for _, d := range docs {
				got, exp := a.Computed(config, d.ID, at), want.Computed(d.ID)
				if g, e := string(got.AppendJSON(nil)), string(exp.AppendJSON(nil)); g != e {
					t.Fatalf("seed %d: %s %s at %d is %s, recomputed %s", seed, d.ID, d.Op, at, g, e)
				}
				if !got.IsNull() {
					told++
				}
			}
		}
	}
	if told < 10_000 {
		t.Errorf("only %d values were there", told)
	}
}

// TestATraitChangesOnlyWhenItSaysSo walks time in small steps: between what
// NextComputed names nothing may change.
func TestATraitChangesOnlyWhenItSaysSo(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clock: &clock{now: start}}
	docs := everyTrait(t)
	config := compile(t, docs)
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 16))
		a := profile.AggregateFold{Config: config}.New().(*profile.Aggregates)
		for range 1 + r.IntN(30) {
			e := w.event(start.Add(time.Duration(r.IntN(6000))*time.Minute), order(r))
			a.Apply(&engine.Context{}, &e)
		}
		for _, d := range docs {
			at := start.Add(6000 * time.Minute).UnixMilli()
			text := func(at int64) string { return string(a.Computed(config, d.ID, at).AppendJSON(nil)) }
			now := text(at)
			limit, changed := 5.0, 0
			matters := func(v rapport.Value) bool {
				x, ok := v.Number()
				y, was := a.Computed(config, d.ID, at).Number()
				return ok != was || (x > limit) != (y > limit)
			}
			any, over := a.NextComputed(config, d.ID, at, condition.Turn{}), a.NextComputed(config, d.ID, at, condition.TurnFunc(matters))
			for range 400 {
				next := at + r.Int64N(6*3600*1000)
				if any != 0 && next >= any {
					next = any
				}
				if text(next) != now && next != any {
					t.Fatalf("seed %d: %s %s changed from %s to %s by %d, said %d", seed, d.ID, d.Op, now, text(next), next, any)
				}
				if over == 0 || next < over {
					if d.Op != "decayed" && matters(a.Computed(config, d.ID, next)) {
						t.Fatalf("seed %d: %s %s passed %v at %d, said %d", seed, d.ID, d.Op, limit, next, over)
					}
				}
				if next != any {
					at = next
					continue
				}
				at, now, changed = next, text(next), changed+1
				any, over = a.NextComputed(config, d.ID, at, condition.Turn{}), a.NextComputed(config, d.ID, at, condition.TurnFunc(matters))
			}
		}
	}
}

func TestWhatCannotBeComputedIsRefused(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]profile.ComputedDoc{
		"needs the property":        {Op: "sum"},
		"takes no property":         {Op: "count", Property: "x"},
		"two windows":               {Op: "count", Within: rapport.Duration(24 * time.Hour), Calendar: "day"},
		"between 1h and 400d":       {Op: "count", Within: rapport.Duration(time.Minute)},
		"takes no window":           {Op: "since", Within: rapport.Duration(24 * time.Hour)},
		"belongs to ratio":          {Op: "ratio"},
		"a streak is of days":       {Op: "streak", Per: "hour"},
		"is not a time zone":        {Op: "streak", Zone: "Mars"},
		"sees only the event":       {Op: "count", Where: where(t, `traits.x == 1`)},
		"belongs to the op top":     {Op: "count", Top: 3},
		"belongs to the op decayed": {Op: "count", HalfLife: rapport.Duration(24 * time.Hour)},
		"nothing that can be":       {Op: "median"},
	} {
		d.ID, d.Event = "x", "E"
		if err := d.Validate(); rapport.KindOf(err) != rapport.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestSequencesAreThoseOfThePlainList(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clock: &clock{now: start.Add(3000 * time.Hour)}}
	texts := []string{
		`performed("A").happened()`, `performed("A").within("1d").happened()`, `performed("A").then("B").happened()`, `performed("A").then("B").within("2d").happened()`,
		`performed("A").notThen("B").within("2d").happened()`, `performed("A").then("B").where(properties.n > 1).notThen("C").happened()`, `performed("A").then("A").within("3h").happened()`,
		`performed("A").then("B").then("C").within("2d").happened()`, `performed("C").then("B").then("A").then("B").within("4d").happened()`,
	}
	config, qs := questions(t, texts...), asked(t, texts...)
	var zones profile.Zones
	held := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 17))
		events := make([]rapport.Event, r.IntN(25))
		a := profile.AggregateFold{Config: config}.New().(*profile.Aggregates)
		for i := range events {
			events[i] = w.event(start.Add(time.Duration(r.IntN(6000))*time.Minute), fmt.Sprintf("track %c u=a n=%d", 'A'+r.IntN(3), r.IntN(4)))
			a.Apply(&engine.Context{}, &events[i])
		}
		for range 10 {
			at := start.Add(6000*time.Minute + time.Duration(r.IntN(100))*time.Hour).UnixMilli()
			re := profile.Recompute(events, config, &zones, at)
			for _, q := range qs {
				got := a.Performed(q, at).Kind()
				if got != re.Performed(q).Kind() {
					t.Fatalf("seed %d: %s is %v", seed, q.ID, got)
				}
				if got == rapport.KindTrue {
					held++
				}
			}
		}
	}
	if held < 2000 {
		t.Errorf("%d held", held)
	}
}

func order(r *rand.Rand) string {
	if r.IntN(4) == 0 {
		return "page Home u=a"
	}
	return fmt.Sprintf(`track "Order Completed" u=a revenue=%d.%d sku=s%d`, r.IntN(40), r.IntN(100), r.IntN(5))
}
