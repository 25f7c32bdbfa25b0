package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
)

// twoPlaces has mug (slot 0) and cup (slot 1) on the home page, worth 10 and 4
// within a week, and tray in the cart, worth 2 within an hour. Only a cup makes
// people sign up.
func twoPlaces() decide.Documents {
	docs := oneAction()
	docs.Placements[0].Slots = 2
	docs.Placements = append(docs.Placements, decide.PlacementDoc{ID: "cart"})
	docs.Actions[0].Priority = 2
	docs.Actions = append(docs.Actions,
		decide.ActionDoc{ID: "cup", Type: "offer", Priority: 1, Placements: []string{"home"}, Goals: []decide.GoalDoc{
			goal("Order Completed", 7*24*time.Hour, 4), goal("Signed Up", 7*24*time.Hour, 1),
		}},
		decide.ActionDoc{ID: "tray", Type: "offer", Placements: []string{"cart"}, Goals: []decide.GoalDoc{
			goal("Order Completed", time.Hour, 2), goal("Signed Up", time.Hour, 1),
		}})
	return docs
}

// credited tells which actions earned an outcome, in order.
func (w *world) credited() string {
	w.t.Helper()
	var out []string
	for _, line := range w.taught() {
		if action, what, _ := strings.Cut(line, ": "); !strings.HasPrefix(what, "shown") {
			out = append(out, action)
		}
	}
	return strings.Join(out, " ")
}

func TestAnOutcomeIsCreditedToTheDecisionNamedElseClickedElseNewest(t *testing.T) {
	t.Parallel()
	type visit struct {
		*world
		home, cart string
	}
	click := func(v visit, id string, about ...any) {
		p := map[string]any{"decisionId": id}
		for i := 0; i < len(about); i += 2 {
			p[about[i].(string)] = about[i+1]
		}
		v.track(who(1), rapport.EventDecisionClicked, p)
	}
	order := func(v visit, properties map[string]any) { v.track(who(1), "Order Completed", properties) }
	for name, c := range map[string]struct {
		want string
		do   func(v visit)
	}{
		"nothing was clicked, the newest earns": {"tray", func(v visit) { order(v, nil) }},
		"the newest is over, the older earns": {"mug", func(v visit) {
			v.clock.advance(2 * time.Hour)
			order(v, nil)
		}},
		"the older was clicked": {"cup", func(v visit) {
			click(v, v.home, "action", "cup")
			order(v, nil)
		}},
		"the slot of the older was clicked": {"cup", func(v visit) {
			click(v, v.home, "slot", 1)
			order(v, nil)
		}},
		"the older was clicked, somewhere": {"mug", func(v visit) {
			click(v, v.home)
			order(v, nil)
		}},
		"a click that names an action wins over one that names none": {"cup", func(v visit) {
			click(v, v.home)
			click(v, v.home, "action", "cup")
			order(v, nil)
		}},
		"both were clicked, the newer earns": {"tray", func(v visit) {
			click(v, v.cart)
			click(v, v.home, "action", "cup")
			order(v, nil)
		}},
		"the clicked one is over": {"mug", func(v visit) {
			click(v, v.cart)
			v.clock.advance(2 * time.Hour)
			order(v, nil)
		}},
		"the clicked action has no such goal": {"tray", func(v visit) {
			click(v, v.home, "action", "mug")
			v.track(who(1), "Signed Up", nil)
		}},
		"some action was clicked and one has such a goal": {"cup", func(v visit) {
			click(v, v.home)
			v.track(who(1), "Signed Up", nil)
		}},
		"a click of somebody else is none": {"tray", func(v visit) {
			v.track(who(2), rapport.EventDecisionClicked, map[string]any{"decisionId": v.home})
			order(v, nil)
		}},
		"a click after the outcome takes nothing back": {"tray cup", func(v visit) {
			order(v, nil)
			click(v, v.home, "action", "cup")
			order(v, nil)
		}},
		"the event names the older, though the newer was clicked": {"mug", func(v visit) {
			click(v, v.cart)
			order(v, map[string]any{"decisionId": v.home})
		}},
		"the event names a decision, in it the clicked action earns": {"cup", func(v visit) {
			click(v, v.home, "action", "cup")
			order(v, map[string]any{"decisionId": v.home})
		}},
		"the event names decision and action": {"cup", func(v visit) {
			click(v, v.home, "action", "mug")
			order(v, map[string]any{"decisionId": v.home, "action": "cup"})
		}},
		"the event names an action without such a goal": {"cup", func(v visit) {
			v.track(who(1), "Signed Up", map[string]any{"decisionId": v.home, "action": "mug"})
		}},
		"the event names an action but no decision": {"tray", func(v visit) { order(v, map[string]any{"action": "cup"}) }},
		"the event names one that is over, another was clicked": {"cup", func(v visit) {
			click(v, v.home, "action", "cup")
			v.clock.advance(2 * time.Hour)
			order(v, map[string]any{"decisionId": v.cart})
		}},
		"the event names no decision there is": {"tray tray", func(v visit) {
			order(v, map[string]any{"decisionId": "d_" + strings.Repeat("0", 26)})
			order(v, map[string]any{"decisionId": 7, "action": true, "slot": "x"})
		}},
		"the event names one given to somebody else": {"tray", func(v visit) {
			v.track(who(2), "Order Completed", map[string]any{"decisionId": v.home}) // they were given nothing
			order(v, map[string]any{"decisionId": v.decide(who(2), "home").ID})
		}},
		"every goal goes its own way": {"tray cup mug", func(v visit) {
			v.track(who(1), "Signed Up", nil)
			order(v, map[string]any{"decisionId": v.home, "slot": 1})
			click(v, v.home, "action", "mug")
			order(v, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := visit{world: open(t, twoPlaces())}
			v.home = v.decide(who(1), "home").ID
			v.clock.advance(time.Minute)
			v.cart = v.decide(who(1), "cart").ID
			v.clock.advance(time.Minute)
			c.do(v)
			if got := v.credited(); got != c.want {
				t.Errorf("credited %q, not %q", got, c.want)
			}
		})
	}
}

func TestAnOutcomeThatNamesADecisionShowsItWasSeen(t *testing.T) {
	t.Parallel()
	docs := oneAction()
	docs.Placements[0].Exposure = "shown"
	w := open(t, docs)
	d := w.decide(who(1), "home")
	w.clock.advance(time.Minute)
	w.track(who(1), "Order Completed", nil)
	w.taughtIs()
	w.track(who(1), "Order Completed", map[string]any{"decisionId": d.ID})
	w.track(who(1), rapport.EventDecisionShown, map[string]any{"decisionId": d.ID})
	w.taughtIs("mug: shown = 0", "mug: Order Completed 0->10 = 10")
}

func TestAClickedDecisionIsRememberedThroughManyThatWereNot(t *testing.T) {
	t.Parallel()
	w := open(t, twoPlaces())
	d := w.decide(who(1), "home")
	w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID, "action": "cup"})
	for i := range 60 {
		w.clock.advance(time.Second)
		w.decide(who(1), [...]string{"home", "cart"}[i%2])
	}
	w.track(who(1), "Order Completed", nil)
	if got := w.credited(); got != "cup" {
		t.Errorf("credited %q", got)
	}
}

// manyPlaces has one action in n places, so that no decision covers another.
func manyPlaces(n int) decide.Documents {
	docs := oneAction()
	docs.Placements, docs.Actions[0].Placements = nil, nil
	for i := range n {
		id := fmt.Sprint("p", i)
		docs.Placements = append(docs.Placements, decide.PlacementDoc{ID: id})
		docs.Actions[0].Placements = append(docs.Actions[0].Placements, id)
	}
	return docs
}

// places tells the placements of the decisions that earned an outcome, in order.
func (w *world) places() (out []string) {
	w.t.Helper()
	for _, r := range w.rewards() {
		l, err := decide.ReadLesson(&r)
		if err != nil {
			w.t.Fatal(err)
		}
		if x := l.Example; x != nil && x.Goal != "" && x.Goal != decide.Clicked {
			out = append(out, x.Placement)
		}
	}
	return out
}

func TestOfManyOpenDecisionsTheClickedOneIsKept(t *testing.T) {
	t.Parallel()
	const places = 40
	w := open(t, manyPlaces(places))
	for i := range places {
		w.clock.advance(time.Second)
		d := w.decide(who(1), fmt.Sprint("p", i))
		if i == 3 {
			w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
		}
	}
	w.track(who(1), "Order Completed", nil)
	if diff := cmp.Diff([]string{"p3"}, w.places()); diff != "" {
		t.Error(diff)
	}
}

func TestManyClickedDecisionsDoNotDisplaceTheNewest(t *testing.T) {
	t.Parallel()
	const places = 40
	w := open(t, manyPlaces(places+1))
	var want []string
	for i := range places {
		w.clock.advance(time.Second)
		d := w.decide(who(1), fmt.Sprint("p", i))
		w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
		w.clock.advance(time.Second)
		next := w.decide(who(1), fmt.Sprint("p", i+1))
		w.track(who(1), "Order Completed", map[string]any{"decisionId": next.ID})
		want = append(want, next.Placement)
	}
	if diff := cmp.Diff(want, w.places()); diff != "" {
		t.Error(diff)
	}
}

func TestEveryClickIsInTheBytesOfTheState(t *testing.T) {
	t.Parallel()
	w := open(t, twoPlaces())
	d := w.decide(who(1), "home")
	seen := map[string]bool{w.states()[who(1).String()]: true}
	for _, about := range []map[string]any{{}, {"slot": 0}, {"action": "cup"}} {
		about["decisionId"] = d.ID
		w.track(who(1), rapport.EventDecisionClicked, about)
		b := w.states()[who(1).String()]
		if seen[b] {
			t.Errorf("the click %v left no trace", about)
		}
		seen[b] = true
		s := decide.Fold{}.New()
		if err := s.DecodeBinary([]byte(b)); err != nil || string(s.AppendBinary(nil)) != b {
			t.Errorf("the state changes as it is written and read: %v", err)
		}
	}
}

func TestAMergeKeepsWhatWasClicked(t *testing.T) {
	t.Parallel()
	w := open(t, twoPlaces())
	d := w.decide(who(2), "home")
	w.track(who(2), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID, "slot": 1})
	w.clock.advance(time.Minute)
	w.decide(who(1), "cart")
	w.append(engine.MergeRecord(partitions, who(2), who(1), "l"))
	w.learned()
	w.track(who(1), "Order Completed", nil)
	if got := w.credited(); got != "cup" {
		t.Errorf("credited %q", got)
	}
}

// The effect is what people bring, not what decisions are credited with.
func TestTheEffectIsTheSameWhateverIsCredited(t *testing.T) {
	t.Parallel()
	const people = 40
	tell := func(clicks, names bool) (credited string, lifts []decide.Lift) {
		docs := twoPlaces()
		docs.Policies[0].Holdout = 0.5
		docs.Policies[0].Outcomes = []decide.OutcomeDoc{{Event: "Order Completed", Value: decide.FixedAmount(7)}}
		w := open(t, docs)
		for n := range uint64(people) {
			home := w.decide(who(n), "home")
			if n%2 == 0 {
				w.track(who(n), "Order Completed", nil) // before the tray
			}
			w.clock.advance(time.Minute)
			w.decide(who(n), "cart")
			if clicks {
				w.track(who(n), rapport.EventDecisionClicked, map[string]any{"decisionId": home.ID, "action": "cup"})
			}
			about := map[string]any{}
			if names {
				about["decisionId"] = home.ID
			}
			w.track(who(n), "Order Completed", about)
			w.clock.advance(30 * 24 * time.Hour)
			w.track(who(n), "Order Completed", about) // long after every window
		}
		k := w.learned()
		return w.credited(), append(k.Lifts(), k.Lift(""))
	}
	newest, want := tell(false, false)
	for _, l := range want {
		even := 0.0
		if l.Action != "tray" {
			even = 7 // half of the people bought once more
		}
		for _, side := range []decide.Side{l.Treated, l.Holdout} {
			if side.People < 10 || side.Mean < 14+even/4 || side.Mean > 14+even {
				t.Errorf("of %q: %+v", l.Action, side)
			}
		}
		if l.Action == "tray" && (l.Difference.Value != 0 || l.Treated.Mean != 14) {
			t.Errorf("everybody bought twice after the tray, given or withheld: %+v", l)
		}
	}
	for _, c := range []struct{ clicks, names bool }{{true, false}, {false, true}, {true, true}} {
		credited, got := tell(c.clicks, c.names)
		if credited == newest {
			t.Errorf("%+v: the credit is the same, so the trial shows nothing", c)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s", c, diff)
		}
	}
}

func TestAnOutcomeFromBeforeAnActionIsNotCountedForIt(t *testing.T) {
	t.Parallel()
	docs := twoPlaces()
	w := open(t, docs)
	w.decide(who(1), "home")
	w.track(who(1), "Order Completed", nil)
	w.clock.advance(time.Minute)
	w.decide(who(1), "cart")
	w.track(who(1), "Order Completed", nil)
	then := rapport.Millis(w.clock.Now()) - 30_000 // happened before the tray, arrives after it
	late := &rapport.Event{
		Type: rapport.TypeTrack, Name: "Order Completed", MessageID: "late", Source: "test", Entity: who(1), Fragment: who(1),
		Timestamp: then, OriginalTimestamp: then, ReceivedAt: then + 30_000,
	}
	w.append(engine.EventRecord(late, engine.Fingerprint(late.Source, late.MessageID), int32(who(1).Partition(partitions))))
	got := map[string]float64{}
	for _, l := range w.learned().Lifts() {
		got[l.Action] = l.Treated.Mean
	}
	if diff := cmp.Diff(map[string]float64{"cup": 30, "mug": 30, "tray": 10}, got); diff != "" {
		t.Error(diff)
	}
}
