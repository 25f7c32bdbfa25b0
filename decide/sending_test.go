package decide_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// letters is a message that goes out by either of two channels, at once or when
// a timing says.
func letters(timing *decide.TimingDoc) decide.Documents {
	return decide.Documents{
		Placements: []decide.PlacementDoc{{ID: "letters", Channels: []string{"email", "push"}, Timing: timing}},
		Actions: []decide.ActionDoc{{
			ID: "news", Type: rapport.ActionMessage, Placements: []string{"letters"}, Purpose: "marketing", Priority: 1,
			Goals: []decide.GoalDoc{goal(rapport.EventDecisionClicked, 24*time.Hour, 1)},
		}},
		Policies: []decide.PolicyDoc{{
			ID: "p", Exploration: share(0.1), QuietHours: &decide.QuietDoc{From: "22:00", To: "07:00"},
		}},
		Triggers: []decide.TriggerDoc{{ID: "left", On: "Basket Left", Placement: "letters"}},
	}
}

func (w *world) allow(person rapport.ID, purpose string, allowed bool) {
	w.t.Helper()
	w.track(person, rapport.EventConsentUpdated, map[string]any{"purpose": purpose, "allowed": allowed})
}

func TestEachPersonIsWrittenToThroughTheChannelTheyAnswer(t *testing.T) {
	t.Parallel()
	w := open(t, letters(nil))
	const rounds = 60
	answers := map[rapport.ID]string{who(1): "email", who(2): "push"}
	for id := range answers {
		w.allow(id, "marketing", true)
	}
	for round := range rounds {
		for _, id := range []rapport.ID{who(1), who(2)} {
			d := w.decide(id, "letters")
			if len(d.Items) != 1 || d.Items[0].Sending == nil {
				t.Fatalf("%+v", d)
			}
			c := &d.Items[0]
			s := c.Sending
			if s.ChannelPropensity < 0.05-1e-6 || s.ChannelPropensity > 1 || !strings.Contains(s.Reason, "by "+c.Channel+" at 12:00 because ") {
				t.Fatalf("%+v", s)
			}
			if round >= rounds-10 && c.Channel == answers[id] && s.ChannelPropensity < 0.5 {
				t.Errorf("after %d letters %s still has a chance of %v", round, c.Channel, s.ChannelPropensity)
			}
			if answers[id] == c.Channel {
				w.track(id, rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
			}
		}
		w.learned()
	}
	for id, channel := range answers {
		h, err := w.decider.Habits(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		best := slices.MaxFunc(h.Channels, func(a, b decide.ChannelHabit) int {
			if a.Rate < b.Rate {
				return -1
			}
			return 1
		})
		sent := h.Channels[0].Sent + h.Channels[1].Sent
		if len(h.Channels) != 2 || best.Channel != channel || best.Sent < 0.6*sent || sent < rounds-0.01 || best.Low >= best.Rate || best.High <= best.Rate {
			t.Errorf("who answers %s: %+v", channel, h.Channels)
		}
	}
	// Consent to one of both leaves the other, and nothing is left without either.
	w.allow(who(1), "marketing/email", false)
	for range 5 {
		if d := w.decide(who(1), "letters"); d.Items[0].Channel != "push" || d.Items[0].Sending.ChannelPropensity != 1 {
			t.Fatalf("%+v", d.Items[0])
		}
	}
	w.allow(who(1), "marketing/push", false)
	if d := w.decide(who(1), "letters"); len(d.Items) != 0 || d.Candidates[0].Excluded != decide.RuleConsent {
		t.Errorf("without consent: %+v", d)
	}
}

// answer acts on the requests of triggers that are due.
func (w *world) answer(box *engine.Outbox) *rapport.Decision {
	w.t.Helper()
	e, err := box.Next(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := w.decider.Trigger(w.t.Context(), e)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func TestATriggerWaitsForTheHourThePersonAnswersAndIsAnsweredOnceAcrossRestarts(t *testing.T) {
	t.Parallel()
	w := open(t, letters(&decide.TimingDoc{Within: rapport.Duration(24 * time.Hour)}))
	w.allow(who(1), "marketing", true)
	var hours [24]int
	const days = 60
	for day := range days {
		box := w.engine.Effects(decide.EffectKind)
		w.track(who(1), "Basket Left", nil)
		d := w.answer(box)
		if d == nil { // it waits
			h, err := w.decider.Habits(t.Context(), who(1))
			if err != nil || len(h.Waiting) != 1 {
				t.Fatalf("day %d: %+v, %v", day, h, err)
			}
			at := rapport.Time(h.Waiting[0].At)
			if day%20 == 5 { // what waits outlives a stop
				w.restart()
				box = w.engine.Effects(decide.EffectKind)
			}
			w.clock.advance(at.Sub(w.clock.Now()))
			d = w.answer(box)
		}
		if d == nil || len(d.Items) != 1 || d.Cause != "trigger left" {
			t.Fatalf("day %d: %+v", day, d)
		}
		s := d.Items[0].Sending
		if s.Hour >= 22 || s.Hour < 7 {
			t.Fatalf("sent in quiet hours: %+v", s)
		}
		if !(s.HourPropensity > 0 && s.HourPropensity <= 1) || !strings.Contains(s.Reason, " they answer ") {
			t.Fatalf("day %d: %+v", day, s)
		}
		if day >= days/2 {
			hours[s.Hour]++
		}
		if s.Hour >= 18 && s.Hour <= 20 { // when they look at such things
			w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
		}
		w.learned()
		next := start.Add(time.Duration(day+1) * 24 * time.Hour)
		for !next.After(w.clock.Now()) {
			next = next.Add(24 * time.Hour)
		}
		w.clock.advance(next.Sub(w.clock.Now()))
	}
	if near := hours[17] + hours[18] + hours[19] + hours[20] + hours[21]; near < days/4 {
		t.Errorf("of %d letters %d went out near the hour they are answered: %v", days/2, near, hours)
	}
	made := 0
	for p := range int32(partitions) {
		_, next := w.log.Bounds(eventlog.Events, p)
		made += w.count(p, next, rapport.SystemDecision)
	}
	if made != days {
		t.Errorf("%d decisions for %d baskets", made, days)
	}
}

// count counts the events of a name in a partition.
func (w *world) count(p int32, end int64, name string) (n int) {
	w.t.Helper()
	r, err := w.log.Reader(eventlog.Events, p, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	var e rapport.Event
	for at := int64(0); at < end; {
		records, err := r.Next(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range records {
			at = records[i].Offset + 1
			if ok, err := engine.EventOf(&records[i], &e); ok && err == nil && e.Name == name {
				n++
			}
		}
	}
	return n
}

func TestAnActionMayPinItsHourAndItsChannelOrGoOutAtOnce(t *testing.T) {
	t.Parallel()
	docs := letters(&decide.TimingDoc{})
	docs.Actions[0].Channel, docs.Actions[0].Timing = "push", &decide.TimingDoc{At: "18:30"}
	w := open(t, docs)
	w.allow(who(1), "marketing", true)
	box := w.engine.Effects(decide.EffectKind)
	w.track(who(1), "Basket Left", nil)
	if d := w.answer(box); d != nil {
		t.Fatalf("it was not waited for: %+v", d)
	}
	w.clock.advance(6*time.Hour + 30*time.Minute)
	d := w.answer(box)
	if d == nil || len(d.Items) != 1 || d.Items[0].Channel != "push" || d.Items[0].Sending.Hour != 18 || d.Items[0].Sending.Reason != "by push at 18:30 because its time of the day is set to 18:30" {
		t.Errorf("%+v", d)
	}
	if x := decide.Explain(d); !strings.HasSuffix(x.Sentence, "; sent by push at 18:30 because its time of the day is set to 18:30.") {
		t.Error(x.Sentence)
	}
	docs.Actions[0].Timing = &decide.TimingDoc{Now: true}
	w.apply(docs)
	w.track(who(1), "Basket Left", nil)
	if d := w.answer(box); d == nil || len(d.Items) != 1 || d.Items[0].Sending.Reason != "by push at 18:30" {
		t.Errorf("at once: %+v", d)
	}
}

func TestWhatDidNotArriveTeachesNothing(t *testing.T) {
	t.Parallel()
	w := open(t, letters(nil))
	w.allow(who(1), "marketing", true)
	d := w.decide(who(1), "letters")
	sent := func() (n float64) {
		h, err := w.decider.Habits(t.Context(), who(1))
		if err != nil {
			t.Fatal(err)
		}
		return h.Hours[12].Sent
	}
	tell := func(status string) {
		w.event(who(1), rapport.TypeSystem, rapport.SystemDelivery, map[string]any{"decisionId": d.ID, "destination": "channel/" + d.Items[0].Channel, "status": status})
	}
	if n := sent(); n != 1 {
		t.Errorf("sent %v", n)
	}
	tell("failed")
	if n := sent(); n != 0 {
		t.Errorf("sent %v after it failed", n)
	}
	tell("delivered") // brought back from the dead letters
	tell("delivered")
	if n := sent(); n != 1 {
		t.Errorf("sent %v after it arrived", n)
	}
}

func TestAWrongTimingIsRefused(t *testing.T) {
	t.Parallel()
	docs := letters(&decide.TimingDoc{Within: rapport.Duration(30 * 24 * time.Hour)})
	docs.Actions[0].Channel, docs.Actions[0].Channels, docs.Actions[0].Timing = "push", []string{"email", "email"}, &decide.TimingDoc{At: "half past six"}
	_, err := decide.Compile(docs)
	for _, want := range []string{"at most 7d", "exclude each other", "named twice", "not a time of day"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}
