package profile_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// folds are those whose state is a function of the events alone.
func folds(config *profile.Config) []engine.Fold {
	return []engine.Fold{profile.ActivityFold{}, profile.ConsentFold{}, profile.AboutFold{}, profile.AggregateFold{Config: config}}
}

// all asks one question of every kind.
var all = []string{
	`performed("Order Completed").count() > 1`,
	`performed("Order Completed").within("2d").count() > 1`,
	`performed("Order Completed").sum("revenue") > 1`,
	`performed("Order Completed").within("2d").sum("revenue") > 1`,
	`performed("Order Completed").within("2d").avg("revenue") > 1`,
	`performed("Order Completed").where(properties.revenue > 10).min("revenue") > 1`,
	`performed("Order Completed").within("2d").max("revenue") > 1`,
	`performed("Order Completed").within("2d").first("sku") == "x"`,
	`performed("Order Completed").last("sku") == "x"`,
	`performed("Order Completed").within("2d").distinct("sku") > 1`,
	`performed("page").within("1h").last() > 1`,
}

func randomEvent(r *rand.Rand) string {
	pick := func(prefix string, n int) string { return fmt.Sprintf(" %s%d", prefix, r.IntN(n)) }
	who := [...]string{
		pick("a=dev", 3), pick("u=user", 3), pick("u=user", 3) + pick("a=dev", 3),
		pick("u=user", 3) + pick("e=mail", 2) + "@x.no", pick("e=mail", 2) + "@x.no" + pick("a=dev", 3),
	}[r.IntN(5)]
	what := [...]string{
		`track "Order Completed"` + pick("revenue=", 40) + fmt.Sprintf(".%d", r.IntN(100)) + pick("sku=s", 5),
		"page Home", "identify" + pick("traits.plan=", 3) + pick("traits.city=c", 3),
		`track "Consent Updated" purpose=marketing` + pick("channel=c", 2) + " allowed=" + [...]string{"true", "false"}[r.IntN(2)],
		"page Shop consent.ads=" + [...]string{"true", "false"}[r.IntN(2)] + pick("context.timezone=Zone/", 2),
		"track" + pick("Thing", 200),
	}[r.IntN(6)]
	return what + who
}

func TestStatesAreTheSameInAnyOrderAndGrouping(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clock: &clock{now: start.Add(300 * time.Hour)}}
	config := questions(t, all...)
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		events := make([]rapport.Event, 1+r.IntN(300))
		for i := range events {
			events[i] = w.event(start.Add(time.Duration(r.IntN(100))*time.Hour), randomEvent(r))
		}
		for _, f := range folds(config) {
			var want string
			for turn := range 4 {
				parts := make([]engine.State, 1+turn)
				for i := range parts {
					parts[i] = f.New()
				}
				for _, i := range r.Perm(len(events)) {
					parts[r.IntN(len(parts))].Apply(&engine.Context{}, &events[i])
				}
				for len(parts) > 1 { // in any grouping, through their encoding
					a := r.IntN(len(parts))
					one := recoded(t, f, parts[a])
					parts = slices.Delete(parts, a, a+1)
					b := r.IntN(len(parts))
					parts[b] = recoded(t, f, parts[b])
					parts[b].Merge(one)
				}
				got := string(parts[0].AppendBinary(nil))
				if turn == 0 {
					want = got
				} else if got != want {
					t.Fatalf("seed %d: %s of %d events depends on their order:\n%q\n%q", seed, f.Name(), len(events), want, got)
				}
			}
		}
	}
}

func recoded(t testing.TB, f engine.Fold, s engine.State) engine.State {
	t.Helper()
	again := f.New()
	b := s.AppendBinary(nil)
	if err := again.DecodeBinary(b); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.AppendBinary(nil), b) {
		t.Fatalf("%s changed on its way through the store", f.Name())
	}
	return again
}

func TestAnEmptyStateTakesNoSpace(t *testing.T) {
	t.Parallel()
	for _, f := range append(folds(questions(t, all...)), profile.TimelineFold{}) {
		s := f.New()
		if b := s.AppendBinary(nil); len(b) != 0 {
			t.Errorf("%s: %x", f.Name(), b)
		}
		if err := s.DecodeBinary(nil); err != nil {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
}

// TestPeopleAreTheSumOfTheirFragments: whatever came together and apart, the
// engine shows of each person what folding the fragments by hand gives.
func TestPeopleAreTheSumOfTheirFragments(t *testing.T) {
	t.Parallel()
	runs := 20
	if testing.Short() {
		runs = 3
	}
	config := questions(t, all...)
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 4))
		w := newWorld(t, config)
		byHand := map[rapport.ID]map[string]engine.State{}
		for range 120 {
			if r.IntN(8) == 0 {
				w.withdrawAny(r, byHand)
				continue
			}
			line := randomEvent(r)
			if r.IntN(10) == 0 {
				line = fmt.Sprintf("alias u=user%d prev=user%d", r.IntN(3), r.IntN(3))
			}
			events := []rapport.Event{w.event(w.clock.Now().Add(-time.Duration(r.IntN(50))*time.Hour), line)}
			w.submit(events)
			states := byHand[events[0].Fragment]
			if states == nil {
				states = map[string]engine.State{}
				for _, f := range folds(config) {
					states[f.Name()] = f.New()
				}
				byHand[events[0].Fragment] = states
			}
			for _, s := range states {
				s.Apply(&engine.Context{}, &events[0])
			}
		}
		w.must(w.who.Weighed(t.Context()))
		people := map[rapport.ID][]rapport.ID{}
		for f := range byHand {
			people[w.who.Person(f)] = append(people[w.who.Person(f)], f)
		}
		for person, fragments := range people {
			got := w.states(person)
			delete(got, "timeline")
			want := map[string]string{}
			for _, f := range folds(config) {
				s := f.New()
				for _, id := range fragments {
					s.Merge(byHand[id][f.Name()])
				}
				want[f.Name()] = string(s.AppendBinary(nil))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				slices.SortFunc(fragments, rapport.ID.Compare)
				w.view(person, func(v *engine.View) { t.Logf("want fragments %v\ngot fragments %v", fragments, v.Fragments()) })
				t.Fatalf("seed %d: person %s of %d fragments: %s", seed, person, len(fragments), diff)
			}
		}
	}
}

// withdrawAny withdraws one link of anybody.
func (w *world) withdrawAny(r *rand.Rand, fragments map[rapport.ID]map[string]engine.State) {
	w.t.Helper()
	ids := make([]rapport.ID, 0, len(fragments))
	for f := range fragments {
		ids = append(ids, f)
	}
	if len(ids) == 0 {
		return
	}
	slices.SortFunc(ids, rapport.ID.Compare)
	w.must(w.who.Weighed(w.t.Context()))
	who, err := w.who.Who(w.t.Context(), w.who.Person(ids[r.IntN(len(ids))]))
	w.must(err)
	if len(who.Links) > 0 {
		w.must(w.who.Unmerge(w.t.Context(), who.Person, who.Links[r.IntN(len(who.Links))].ID, "test"))
	}
}
