package predict

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/insight"
)

// buyers are people who order at a pace of their own; nothing but drive, if
// there is any, ties it to what is known of them.
type buyers struct {
	people []someone
	pace   []float64 // orders a day
	last   []int     // day of the last order
}

func newBuyers(rng *rand.Rand, n int, drive func(s *someone) float64) *buyers {
	b := &buyers{}
	for i := range n {
		s := someone{hash: rng.Uint64(), numbers: map[string]float64{}, texts: map[string]string{}}
		s.texts["traits.country"] = fmt.Sprint("c", rng.IntN(4))
		s.texts["traits.plan"] = string("abc"[rng.IntN(3)])
		s.texts["traits.news"] = fmt.Sprint(rng.IntN(2) == 0)
		s.numbers["traits.age"] = 20 + math.Floor(50*rng.Float64())
		s.numbers[`performed("Product Viewed").count()`] = math.Floor(20 * rng.ExpFloat64())
		b.people = append(b.people, s)
		b.pace = append(b.pace, .02*rng.ExpFloat64()*drive(&b.people[i]))
		b.last = append(b.last, -1000)
	}
	return b
}

// day lets a day pass and returns everybody as they are then.
func (b *buyers) day(rng *rand.Rand, day int) *table {
	for i, pace := range b.pace {
		if rng.Float64() < pace {
			b.last[i] = day
		}
		b.people[i].outcome = 0
		if b.last[i] > day-30 {
			b.people[i].outcome = 1
		}
		if rng.IntN(10) == 0 {
			b.people[i].numbers[`performed("Product Viewed").count()`]++
		}
	}
	return tableOf(b.people)
}

// year looks every day of a year; every restart begins anew from the facts.
func year(t *testing.T, rng *rand.Rand, b *buyers, restart int) (s *Stream, byHand int) {
	t.Helper()
	q := Question{Event: "Order Completed", Within: rapport.Duration(30 * 24 * time.Hour)}
	s = NewStream()
	var facts [][]byte
	for day := range 365 {
		at := b.day(rng, day)
		if at.reason != "" {
			continue
		}
		// What would be found by asking every day, each time at 5 %.
		if day%7 == 0 && byHand == 0 {
			found, err := insight.Search(at.columns, at.y, insight.Options{Explore: at.explore})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Discovery {
					byHand = 1
				}
			}
		}
		if restart > 0 && day%restart == 0 {
			was := s.Page()
			s = NewStream()
			for _, fact := range facts {
				if err := s.Fold(FactLooked, fact); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(was, s.Page()); diff != "" {
				t.Fatalf("day %d: from its facts the stream is another (-was +now):\n%s", day, diff)
			}
		}
		of, err := s.look(at, q, "orders")
		if err != nil {
			t.Fatal(err)
		}
		fact, err := json.Marshal(looked{Day: 20000 + int32(day), Questions: []lookedOutcome{of}})
		if err != nil {
			t.Fatal(err)
		}
		facts = append(facts, fact)
		for range 2 { // a copy of a fact spends nothing
			if err := s.Fold(FactLooked, fact); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p := s.Page(); p.Spent > .05*float64(max(p.Discoveries, 1))+1e-9 || len(p.Days) > 365 {
		t.Errorf("spent %v for %d discoveries in %d days", p.Spent, p.Discoveries, len(p.Days))
	}
	return s, byHand
}

func TestAYearOfDailyLooksFindsNothingWhereNothingIs(t *testing.T) {
	t.Parallel()
	worlds := 20
	if testing.Short() {
		worlds = 1
	}
	any, byHand, tests := 0, 0, 0
	for seed := range worlds {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		s, hand := year(t, rng, newBuyers(rng, 400, func(*someone) float64 { return 1 }), 91)
		byHand += hand
		tests += s.Page().Tests
		if s.Page().Discoveries > 0 {
			any++
		}
	}
	t.Logf("years with any discovery: %d of %d, by %d tests; asked by hand each week at 5 %%: %d", any, worlds, tests, byHand)
	if float64(any) > .075*float64(worlds)+1 {
		t.Errorf("%d of %d years have a discovery", any, worlds)
	}
}

func TestAYearOfDailyLooksFindsWhatIsThereAndOnlyThat(t *testing.T) {
	t.Parallel()
	worlds := 6
	if testing.Short() {
		worlds = 1
	}
	hit, all, wrong := 0, 0, 0
	var days []int
	for seed := range worlds {
		rng := rand.New(rand.NewPCG(uint64(seed), 8))
		s, _ := year(t, rng, newBuyers(rng, 800, func(s *someone) float64 {
			if s.texts["traits.plan"] == "b" {
				return 2.5
			}
			return 1
		}), 0)
		found := s.Page().Insights
		if len(found) > 0 {
			hit++
			first := found[len(found)-1]
			at, _ := time.Parse(time.DateOnly, first.Found)
			days = append(days, int(at.Unix()/86400)-20000)
			if first.Now == nil || !strings.Contains(first.Told, "Test ") || first.P > first.Allowed {
				t.Errorf("%+v %+v", first, first.Now)
			}
		}
		for _, f := range found {
			if all++; !strings.Contains(f.When, "plan") {
				wrong++
			}
		}
	}
	t.Logf("found in %d of %d years, after %v days; %d of %d discoveries are of something else", hit, worlds, days, wrong, all)
	if hit < worlds*3/4 || float64(wrong) > .1*float64(all)+1 {
		t.Errorf("found in %d of %d years, %d of %d false", hit, worlds, wrong, all)
	}
}

func TestADamagedFactAboutInsightsIsRefused(t *testing.T) {
	t.Parallel()
	s := NewStream()
	if err := s.Fold(FactLooked, []byte(`{"day":"x"}`)); rapport.KindOf(err) != rapport.Internal {
		t.Errorf("%v", err)
	}
	if err := s.Fold("access.audit", []byte("anything")); err != nil {
		t.Errorf("another room's fact: %v", err)
	}
}

func TestWhatIsTheOutcomeInOtherWordsExplainsNothing(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 9))
	b := newBuyers(rng, 800, func(*someone) float64 { return 1 })
	for day := range 90 {
		b.day(rng, day)
	}
	for i := range b.people {
		p := &b.people[i]
		if p.outcome == 1 || rng.IntN(10) == 0 {
			p.numbers[`performed("Checkout Started").count()`] = 1 // a step on the way
		}
		if p.outcome == 1 && rng.IntN(3) == 0 {
			p.texts["traits.tier"] = "shipped" // what follows from it
		}
	}
	at := tableOf(b.people)
	if fmt.Sprint(at.leftOut) != `[performed("Checkout Started").count() traits.tier]` {
		t.Errorf("left out: %v", at.leftOut)
	}
}
