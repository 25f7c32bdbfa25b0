package decide_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Of two offers one converts 6 % and the other 3 %; people nobody speaks to buy
// in 1 % of cases by themselves.
func TestTheBetterActionTakesMostOfTheTrafficWhileTheHoldoutStaysUntouched(t *testing.T) {
	t.Parallel()
	docs := decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}},
		Policies:   []decide.PolicyDoc{{ID: "default", Holdout: 0.1}},
		Actions: []decide.ActionDoc{
			{ID: "three", Type: "offer", Placements: []string{"home"}, Goals: []decide.GoalDoc{goal("Order Completed", time.Hour, 10)}, Cost: 0.01},
			{ID: "six", Type: "offer", Placements: []string{"home"}, Goals: []decide.GoalDoc{goal("Order Completed", time.Hour, 10)}, Cost: 0.01},
		},
	}
	w := open(t, docs)
	truth := map[string]float64{"three": 0.03, "six": 0.06, "": 0.01}
	random := rand.New(rand.NewPCG(2026, 6))
	given := map[string]float64{}
	const people, last = 8_000, 4_000
	for n := range uint64(people) {
		d := w.decide(who(n), "home")
		action := ""
		if len(d.Items) > 0 {
			action = d.Items[0].Action
		}
		if d.Holdout && action != "" {
			t.Fatal("somebody in the holdout was given ", action)
		}
		if n >= people-last && !d.Holdout {
			given[action]++
		}
		if random.Float64() < truth[action] {
			w.track(who(n), "Order Completed", nil)
		}
		if n%100 == 99 {
			w.clock.advance(time.Minute)
			w.learned()
		}
	}
	total := given["three"] + given["six"] + given[""]
	if share := given["six"] / total; share < 0.75 {
		t.Errorf("the better action took %.0f %% of the last %d decisions: %v", 100*share, last, given)
	}
	k := w.learned()
	l := k.Lift("")
	t.Logf("six took %.1f %% of the traffic; lift %+v, treated %+v, holdout %+v", 100*given["six"]/total, *l.Difference, l.Treated, l.Holdout)
	if l.Holdout.People < people/12 || l.Difference.Low < 0.1 || l.Difference.High > 0.7 {
		t.Errorf("lift per person is about 0.4, measured %+v over %+v", l.Difference, l)
	}
}

func TestTheModelFollowsAChangeOfTaste(t *testing.T) {
	t.Parallel()
	w := open(t, decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}},
		Actions: []decide.ActionDoc{
			{ID: "a", Type: "offer", Placements: []string{"home"}, Goals: []decide.GoalDoc{goal("Signed Up", time.Hour, 1)}},
			{ID: "b", Type: "offer", Placements: []string{"home"}, Goals: []decide.GoalDoc{goal("Signed Up", time.Hour, 1)}},
		},
	})
	random := rand.New(rand.NewPCG(5, 5))
	given := map[string]int{}
	for n := range uint64(7_000) {
		rates := map[string]float64{"a": 0.2, "b": 0.05}
		if n >= 2000 {
			rates = map[string]float64{"a": 0.05, "b": 0.2}
		}
		d := w.decide(who(n), "home")
		if len(d.Items) == 0 {
			continue
		}
		if n >= 6000 {
			given[d.Items[0].Action]++
		}
		if random.Float64() < rates[d.Items[0].Action] {
			w.track(who(n), "Signed Up", nil)
		}
		if n%50 == 49 {
			w.learned()
		}
	}
	if given["b"] < 2*given["a"] {
		t.Errorf("4,000 to 5,000 decisions after tastes changed, %v were given", given)
	}
}

func TestOldLessonsFade(t *testing.T) {
	t.Parallel()
	w := open(t, oneAction())
	for n := range uint64(40) {
		w.decide(who(n), "home")
	}
	w.learned()
	w.clock.advance(90 * 24 * time.Hour)
	w.decide(who(99), "home")
	if l := w.learned().Learned()[0]; l.Exposures != 41 || l.Goals[0].Weight < 20.9 || l.Goals[0].Weight > 21.1 {
		t.Errorf("after a half-life 40 exposures and one more weigh %+v", l)
	}
}

// BenchmarkDecide measures a whole decision, log included, of a model that has
// learned about every action from twenty features of the moment.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{50, 500} {
		b.Run(fmt.Sprint(n, "-actions"), func(b *testing.B) {
			docs := decide.Documents{Placements: []decide.PlacementDoc{{ID: "home"}}, Policies: []decide.PolicyDoc{{ID: "default", Holdout: 0.05, Features: []string{"traits.n", "traits.country", "traits.plan", "traits.year"}}}}
			for i := range n {
				docs.Actions = append(docs.Actions, decide.ActionDoc{
					ID: fmt.Sprint("action-", i), Type: "offer", Placements: []string{"home"}, When: parse(b, fmt.Sprintf(`traits.n > %d`, i%10)),
					Goals: []decide.GoalDoc{goal("Order Completed", time.Hour, 10), goal(rapport.EventDecisionClicked, time.Hour, 0.1)}, Cost: 0.02,
				})
			}
			w := open(b, docs)
			for p := range uint64(1000) {
				w.event(who(p), rapport.TypeIdentify, "", map[string]any{"n": 20, "country": "NO", "plan": "club", "year": 1980})
			}
			contexts := make([]rapport.Fields, 64)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range contexts {
				f := map[string]any{}
				for j := range 14 {
					f[fmt.Sprint("f", j)] = r.IntN(8)
				}
				contexts[i] = rapport.FieldsOf(f)
			}
			if err := w.model.Fold(lessons(n, contexts)); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				i++
				if _, err := w.decider.Decide(b.Context(), decide.Request{Person: who(i % 1000), Placement: "home", Context: contexts[i%64]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// lessons teach about actions that each were seen a hundred times and clicked
// twenty times, as an established shop's are.
func lessons(actions int, contexts []rapport.Fields) []eventlog.Record {
	var out []eventlog.Record
	teach := func(x decide.Example) {
		data := binary.AppendUvarint(nil, 1)
		data = binary.AppendUvarint(data, uint64(len(out)+1))
		data = decide.AppendExample(binary.AppendUvarint(data, 0), &x)
		out = append(out, eventlog.Record{Topic: eventlog.Rewards, Kind: engine.KindReward, Offset: int64(len(out)), Data: data})
	}
	for i := range actions * 100 {
		f := rapport.AppendField(nil, "hour", rapport.NumberValue(float64(i%24)))
		for k, v := range contexts[i%len(contexts)].All() {
			f = rapport.AppendField(f, "context."+string(k), v)
		}
		x := decide.Example{
			ID: fmt.Sprint("d", i), Placement: "home", Action: fmt.Sprint("action-", i%actions), Kind: "offer", Propensity: 0.1, Features: f,
			Goals: []string{"Order Completed", rapport.EventDecisionClicked},
		}
		teach(x)
		if i/actions%5 == 0 {
			x.Goal, x.First = decide.Clicked, true
			teach(x)
			x.Goals, x.Goal, x.Via, x.After = nil, "Order Completed", true, 10
			teach(x)
		}
	}
	return out
}
