package decide_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
)

// offer is an action of a fixed worth in one placement.
func offer(id string) decide.ActionDoc {
	return decide.ActionDoc{ID: id, Type: "offer", Placements: []string{"home"}, Goals: []decide.GoalDoc{goal("Order Completed", time.Hour, 10)}}
}

func TestStockAndBudgetsAreNeverExceededBySixtyFourAtOnceNorAcrossRestarts(t *testing.T) {
	t.Parallel()
	cup, mug := offer("cup"), offer("mug")
	cup.Stock = 70
	mug.Cost, mug.Budget = 0.5, &decide.BudgetDoc{Max: 20, Per: rapport.Duration(24 * time.Hour)}
	w := open(t, decide.Documents{Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{cup, mug}})
	given := map[string]int{}
	var mu sync.Mutex
	for round := range 3 {
		var wait sync.WaitGroup
		for n := range uint64(64) {
			wait.Go(func() {
				d := w.decide(who(n%7), "home")
				mu.Lock()
				defer mu.Unlock()
				for _, x := range d.Items {
					given[x.Action]++
				}
			})
		}
		wait.Wait()
		if round < 2 {
			w.clock.advance(5 * time.Hour)
			w.restart()
			w.learned() // a start reads what was leased before it gives anything
		}
	}
	if given["cup"] > 70 || float64(given["mug"])*0.5 > 20 {
		t.Errorf("given %v of a stock of 70 and a budget of 40 uses", given)
	}
	if given["cup"] < 60 || given["mug"] < 1 {
		t.Errorf("only %v were given", given)
	}
}

func TestEachKindOfCapHoldsForSixtyFourAtOnce(t *testing.T) {
	t.Parallel()
	pushed := func(id, channel, topic string) decide.ActionDoc {
		a := offer(id)
		a.Channel, a.Topic, a.Priority = channel, topic, 1 // always given while it may be
		return a
	}
	const day = rapport.Duration(24 * time.Hour)
	for name, c := range map[string]struct {
		caps []decide.CapDoc
		own  *decide.RateDoc // of the beans
		want map[string]int
	}{
		"person":           {[]decide.CapDoc{{Scope: "person", Max: 2, Per: day}}, nil, map[string]int{"all": 2}},
		"overall":          {[]decide.CapDoc{{Scope: "overall", Max: 3, Per: day}}, nil, map[string]int{"all": 3}},
		"each action":      {[]decide.CapDoc{{Scope: "action", Max: 2, Per: day}}, nil, map[string]int{"beans": 2, "leaves": 2, "mug": 2, "all": 6}},
		"one action":       {[]decide.CapDoc{{Scope: "action", Of: "mug", Max: 1, Per: day}, {Scope: "person", Max: 9, Per: day}}, nil, map[string]int{"mug": 1, "all": 9}},
		"an action's own":  {[]decide.CapDoc{{Scope: "person", Max: 9, Per: day}}, &decide.RateDoc{Max: 2, Per: day}, map[string]int{"beans": 2, "all": 9}},
		"each channel":     {[]decide.CapDoc{{Scope: "channel", Max: 2, Per: day}}, nil, map[string]int{"email": 2, "sms": 2, "all": 4}},
		"one channel":      {[]decide.CapDoc{{Scope: "channel", Of: "email", Max: 1, Per: day}, {Scope: "channel", Of: "sms", Max: 3, Per: day}}, nil, map[string]int{"email": 1, "sms": 3}},
		"each topic":       {[]decide.CapDoc{{Scope: "topic", Max: 2, Per: day}}, nil, map[string]int{"coffee": 2, "tea": 2, "all": 4}},
		"the tightest one": {[]decide.CapDoc{{Scope: "topic", Max: 2, Per: day}, {Scope: "channel", Max: 1, Per: day}}, nil, map[string]int{"email": 1, "sms": 1, "all": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs := decide.Documents{
				Placements: []decide.PlacementDoc{{ID: "home", Slots: 2}},
				Actions:    []decide.ActionDoc{pushed("beans", "email", "coffee"), pushed("leaves", "email", "tea"), pushed("mug", "sms", "coffee")},
				Policies:   []decide.PolicyDoc{{ID: "default", Caps: c.caps}},
			}
			docs.Actions[0].Cap = c.own
			w := open(t, docs)
			about := map[string][]string{"beans": {"email", "coffee"}, "leaves": {"email", "tea"}, "mug": {"sms", "coffee"}}
			given := map[string]int{}
			var mu sync.Mutex
			for range 2 {
				var wait sync.WaitGroup
				for range 64 {
					wait.Go(func() {
						d := w.decide(who(1), "home")
						mu.Lock()
						defer mu.Unlock()
						for _, x := range d.Items {
							given["all"]++
							given[x.Action]++
							for _, of := range about[x.Action] {
								given[of]++
							}
						}
					})
				}
				wait.Wait()
				w.restart() // what was given counts from the log
			}
			for of, n := range c.want {
				if given[of] != n {
					t.Errorf("%s: %d, the caps allow %d: %v", of, given[of], n, given)
				}
			}
		})
	}
}

func TestABudgetIsSpentEvenlyOverItsPeriod(t *testing.T) {
	t.Parallel()
	mug := offer("mug")
	mug.Cost, mug.Budget = 0.1, &decide.BudgetDoc{Max: 24, Per: rapport.Duration(24 * time.Hour)}
	w := open(t, decide.Documents{Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{mug}})
	spent := 0
	for hour := range 6 { // from noon on: half of the day's budget is free at once
		for n := range uint64(40) {
			spent += len(w.decide(who(uint64(hour)*100+n), "home").Items)
		}
		if most := int(float64(240)*float64(12+hour)/24) + 4; spent > most {
			t.Errorf("after %d hours %d were given, at most %d are in pace", 12+hour, spent, most)
		}
		w.clock.advance(time.Hour)
	}
	if spent < 160 {
		t.Errorf("only %d were given", spent)
	}
}

func TestActionsOfOneGroupExcludeEachOther(t *testing.T) {
	t.Parallel()
	a, b, c := offer("a"), offer("b"), offer("c")
	a.Group, b.Group = "discount", "discount"
	w := open(t, decide.Documents{Placements: []decide.PlacementDoc{{ID: "home", Slots: 3}}, Actions: []decide.ActionDoc{a, b, c}})
	for n := range uint64(50) {
		names := map[string]bool{}
		for _, x := range w.decide(who(n), "home").Items {
			names[x.Action] = true
		}
		if names["a"] && names["b"] {
			t.Fatal("two discounts at once: ", names)
		}
	}
}

func TestAGuaranteedShareIsKeptAndItsCostIsShown(t *testing.T) {
	t.Parallel()
	good, poor := offer("good"), offer("poor")
	poor.Cost, poor.Share = 2, 0.2
	w := open(t, decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{good, poor},
		Policies: []decide.PolicyDoc{{ID: "default", Exploration: share(0)}},
	})
	n, cost := 0, 0.0
	for i := range uint64(600) {
		d := w.decide(who(i), "home")
		sum := d.Idle
		for _, c := range d.Candidates {
			sum += c.Propensity
		}
		if sum < 0.999 || sum > 1.001 {
			t.Fatalf("propensities add up to %v", sum)
		}
		for _, x := range d.Items {
			if x.Action == "poor" {
				n++
				cost += x.LeverCost
				if x.Lever != "share" {
					t.Fatalf("given by %q: %s", x.Lever, x.Reason)
				}
			}
		}
	}
	if n < 80 || n > 165 || cost <= 0 {
		t.Errorf("given %d times of 600, at a cost of %v", n, cost)
	}
}

func TestAnActionHasItsOwnControlGroup(t *testing.T) {
	t.Parallel()
	mug, cup := offer("mug"), offer("cup")
	mug.Control, mug.Priority = 0.3, 1
	w := open(t, decide.Documents{Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{mug, cup}})
	withheld := map[uint64]bool{}
	for round := range 2 {
		for n := range uint64(200) {
			d := w.decide(who(n), "home")
			kept := len(d.Withheld) > 0
			if round == 1 && kept != withheld[n] {
				t.Fatal("somebody changed sides")
			}
			withheld[n] = kept
			for _, x := range d.Items {
				if kept && x.Action == "mug" {
					t.Fatal("somebody in the control group got it")
				}
			}
		}
	}
	n := 0
	for _, kept := range withheld {
		if kept {
			n++
		}
	}
	l := w.learned().Lift("mug")
	if n < 35 || n > 90 || l.Holdout.People != n || l.Treated.People != 200-n {
		t.Errorf("%d of 200 are in the control group; compared %+v", n, l)
	}
}

func TestAnActionThatHarmsIsPausedAndSaysSo(t *testing.T) {
	t.Parallel()
	mug := offer("mug")
	mug.Control, mug.Priority = 0.4, 1
	docs := decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{mug},
		Policies: []decide.PolicyDoc{{ID: "default", Outcomes: []decide.OutcomeDoc{{Event: "Order Completed", Value: decide.FixedAmount(10)}}}},
	}
	w := open(t, docs)
	r := rand.New(rand.NewPCG(9, 9))
	for n := range uint64(1200) {
		d := w.decide(who(n), "home")
		rate := 0.5 // of those left in peace
		if len(d.Items) > 0 {
			rate = 0.2
		}
		if r.Float64() < rate {
			w.track(who(n), "Order Completed", nil)
		}
	}
	l := w.learned().Lift("mug")
	d := w.decide(who(5000), "home")
	if len(d.Items) != 0 || d.Candidates[0].Excluded != decide.RulePaused {
		t.Errorf("not paused: %+v, measured %+v", d.Candidates[0], l)
	}
	c, err := decide.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	if o := c.Portfolio(w.learned(), nil)[0]; o.State != decide.StatePaused || !strings.HasPrefix(o.Next, "it does harm: -") {
		t.Errorf("the portfolio shows %+v", o)
	}
	t.Logf("%s: %s; adjusted %+v, anytime %+v", d.Candidates[0].Excluded, d.Candidates[0].Detail, *l.Adjusted, *l.Anytime)
}

func TestARecallReachesEverybodyBesideAllPressure(t *testing.T) {
	t.Parallel()
	recall := decide.ActionDoc{ID: "recall", Type: "message", Placements: []string{"home"}, Priority: 100, Right: "recall"}
	w := open(t, decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home", Quiet: true}}, Actions: []decide.ActionDoc{recall, offer("mug")},
		Policies: []decide.PolicyDoc{{
			ID: "default", Holdout: 0.5, Caps: []decide.CapDoc{{Scope: "person", Max: 1, Per: rapport.Duration(24 * time.Hour)}},
			QuietHours: &decide.QuietDoc{From: "11:00", To: "13:00"}, Gate: &decide.GateDoc{When: parse(t, `traits.never == true`), Scope: "all"},
		}},
	})
	for n := range uint64(20) {
		for range 2 {
			d := w.decide(who(n), "home")
			if len(d.Items) != 1 || d.Items[0].Action != "recall" {
				t.Fatalf("person %d got %+v: %s", n, d.Items, d.Nothing)
			}
		}
	}
}

func TestFatigueRisesWithUnansweredContactsAndEndsWithAnAnswer(t *testing.T) {
	t.Parallel()
	w := open(t, decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{offer("mug")},
		Policies: []decide.PolicyDoc{{ID: "default", Exploration: share(0), Fatigue: &decide.FatigueDoc{Cost: 0.3}}},
	})
	var last *rapport.Decision
	given := 0
	for range 20 {
		d := w.decide(who(1), "home")
		if len(d.Items) > 0 {
			given, last = given+1, d
		}
	}
	if given > 6 {
		t.Errorf("%d of 20 contacts nobody answered were made", given)
	}
	before := w.decide(who(1), "home").Candidates[0].Mean
	w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": last.ID})
	if after := w.decide(who(1), "home").Candidates[0].Mean; after < before+0.29 {
		t.Errorf("an answer changed the expected value from %v to %v", before, after)
	}
}

func TestTheGateKeepsFromInterruptingWhoIsBusy(t *testing.T) {
	t.Parallel()
	w := open(t, decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{offer("mug")},
		Policies: []decide.PolicyDoc{{ID: "default", Gate: &decide.GateDoc{Busy: rapport.Duration(10 * time.Minute), Scope: "all"}}},
	})
	for n := range uint64(20) {
		if d := w.decide(who(n), "home"); len(d.Items) == 0 {
			continue
		}
		if d := w.decide(who(n), "home"); len(d.Items) != 0 || d.Candidates[0].Excluded != decide.RuleGate {
			t.Fatalf("interrupted: %+v", d.Candidates[0])
		}
	}
	w.clock.advance(11 * time.Minute)
	given := 0
	for n := range uint64(20) {
		given += len(w.decide(who(n), "home").Items)
	}
	if given < 10 {
		t.Errorf("after the ten minutes %d of 20 were spoken to", given)
	}
}

func TestContributionsAddUpToTheExpectedValue(t *testing.T) {
	t.Parallel()
	docs := decide.Documents{Placements: []decide.PlacementDoc{{ID: "home"}}}
	for i := range 4 {
		a := offer(fmt.Sprint("a", i))
		a.Goals = append(a.Goals, goal(rapport.EventDecisionClicked, time.Hour, 1))
		a.Cost, a.Weight = 0.01*float64(i), 1+float64(i)/4
		docs.Actions = append(docs.Actions, a)
	}
	w := open(t, docs)
	r := rand.New(rand.NewPCG(4, 2))
	var checked int
	for n := range uint64(600) {
		page := fmt.Sprint("/p", n%3)
		d, err := w.decider.Decide(t.Context(), decide.Request{Person: who(n), Placement: "home", Context: rapport.FieldsOf(map[string]any{"page": page})})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range d.Candidates {
			sum := 0.0
			for _, x := range c.Terms {
				sum += x.Value
			}
			if gap := sum - c.Mean; gap > 1e-4 || gap < -1e-4 {
				t.Fatalf("%s: contributions %v add up to %v, expected value %v", c.Action, c.Terms, sum, c.Mean)
			}
			if len(c.Terms) > 4 {
				checked++
			}
		}
		if len(d.Items) > 0 && r.Float64() < 0.3 == (page == "/p1") {
			w.track(who(n), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
		}
		if n%20 == 0 {
			w.learned()
		}
	}
	if checked == 0 {
		t.Error("no feature ever moved an expected value")
	}
}
