package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/predict"
)

// People on plan b order four times as often; what is found is a card whose
// condition makes the segment.
func TestWhatLiftsAnOutcomeIsFoundAndMakesASegment(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	var found predict.Insights
	if code := h.call("GET", "/v1/insights?event=Order+Completed&within=30d", "", &found); code != http.StatusOK || found.Reason == "" || len(found.Insights) != 0 {
		t.Errorf("without people: %d %+v", code, found)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var events []string
	for i := range 900 {
		plan, rate := string("abc"[rng.IntN(3)]), .15
		if plan == "b" {
			rate = .6
		}
		events = append(events, fmt.Sprintf(`{"type":"identify","userId":"u%d","messageId":"i%d","traits":{"plan":%q,"age":%d,"news":%t,"nick":"n%d"}}`, i, i, plan, 20+rng.IntN(50), rng.IntN(2) == 0, i))
		if rng.Float64() < rate {
			events = append(events, fmt.Sprintf(`{"type":"track","event":"Order Completed","userId":"u%d","messageId":"o%d","properties":{"revenue":10}}`, i, i))
		}
		if len(events) > 400 || i == 899 {
			h.send(events...)
			events = nil
		}
	}
	if code := h.call("GET", "/v1/insights?event=Order+Completed&within=30d", "", &found); code != http.StatusOK || found.People != 900 || len(found.Insights) == 0 {
		t.Fatalf("%d %+v", code, found)
	}
	// Ids of people are drawn, and with them the halves of the search: what
	// holds for every draw is that the plan is what explains it.
	card := found.Insights[0]
	if !card.Discovery || !strings.Contains(card.When, `traits.plan == "b"`) || !(card.Lift > 1.4 && card.Low > 0 && card.Q < .05) || !strings.Contains(card.Sentence, "more often") {
		t.Errorf("%+v", card)
	}
	for _, c := range found.Insights[1:] {
		if c.Q < 1e-5 && !strings.Contains(c.When, "traits.plan") { // of twenty discoveries at 0.05 one may be false
			t.Errorf("a false discovery: %+v", c)
		}
	}
	h.apply("kind: segment\nid: found\nwhen: " + card.When + "\n")
	if code := h.call("GET", "/v1/insights?event="+url.QueryEscape("Order Completed")+"&exclude=plan", "", &found); code != http.StatusOK {
		t.Fatal(code)
	}
	for _, c := range found.Insights {
		if strings.Contains(c.When, "plan") {
			t.Errorf("what was excluded explains it: %+v", c)
		}
	}
	if code := h.call("GET", "/v1/insights?event=x&within=soon", "", nil); code != http.StatusBadRequest && code != http.StatusUnprocessableEntity {
		t.Errorf("within=soon: %d", code)
	}
}

// The server looks every day of a year, is stopped and started on the way, and
// knows afterwards what it knew: what was found, and what was spent on it.
func TestDailyLooksAreOneStreamThroughAYearOfRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("a year of days")
	}
	t.Parallel()
	h := newHouse(t, 30)
	h.apply("kind: insight\nid: renewals\nevent: Box Renewed\nwithin: 30d\n")
	var s predict.InsightStream
	if code := h.call("GET", "/v1/insights/stream", "", &s); code != http.StatusOK || s.Tests != 0 || s.Level != .05 || s.Left != .025 || s.Told == "" {
		t.Fatalf("before the first look: %d %+v", code, s)
	}
	rng := rand.New(rand.NewPCG(2, 1))
	n := 0
	renewed := func(i int) string {
		n++
		return fmt.Sprintf(`{"type":"track","event":"Box Renewed","userId":"u%d","messageId":"o%d","timestamp":%q}`, i, n, h.clock.Now().Format(time.RFC3339))
	}
	plans := make([]string, 500)
	var events []string
	for i := range plans {
		plans[i] = string("abc"[rng.IntN(3)])
		events = append(events, fmt.Sprintf(`{"type":"identify","userId":"u%d","messageId":"i%d","traits":{"plan":%q,"age":%d,"news":%t}}`, i, i, plans[i], 20+rng.IntN(50), rng.IntN(2) == 0))
	}
	h.send(events...)
	looks := 0
	for day := range 365 {
		events = nil
		for i, plan := range plans {
			pace := .008
			if plan == "b" {
				pace = .03
			}
			if rng.Float64() < pace {
				events = append(events, renewed(i))
			}
		}
		if len(events) > 0 {
			h.send(events...)
		}
		if day%73 == 40 {
			before := s
			h.call("GET", "/v1/insights/stream", "", &before)
			h.stop()
			h.start()
			s = predict.InsightStream{}
			if h.call("GET", "/v1/insights/stream", "", &s); !cmp.Equal(before, s) {
				t.Fatalf("day %d, after a restart (-before +after):\n%s", day, cmp.Diff(before, s))
			}
		}
		h.clock.move(24 * time.Hour)
		if day < 30 { // there may not be enough who renewed yet
			continue
		}
		today := h.clock.Now().Format(time.DateOnly)
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			s = predict.InsightStream{}
			if h.call("GET", "/v1/insights/stream", "", &s); len(s.Days) > 0 && s.Days[len(s.Days)-1].Day == today {
				break
			}
			if time.Since(begun) > 2*time.Minute {
				t.Fatalf("%s was never looked at: %+v", today, s)
			}
			h.clock.move(time.Second) // a server that was just started waits a minute of its own
		}
		looks++
	}
	seen := map[string]bool{}
	for _, d := range s.Days {
		if seen[d.Day] {
			t.Errorf("%s was looked at twice", d.Day)
		}
		seen[d.Day] = true
	}
	wrong := 0
	for _, f := range s.Insights {
		if !strings.Contains(f.When, "traits.plan") {
			wrong++
		}
	}
	if len(s.Insights) == 0 || s.Discoveries < len(s.Insights) || s.Spent > s.Level*float64(s.Discoveries) || wrong > 2 { // halves are drawn: at 5 % one may be chance
		t.Errorf("%d discoveries, %d of them false: %+v", len(s.Insights), wrong, s)
	}
	first, holds := s.Insights[len(s.Insights)-1], false
	for _, f := range s.Insights {
		holds = holds || f.Now != nil && f.Now.Holds
		if f.P > f.Allowed || f.Question != "renewals" || f.Within != "30d" {
			t.Errorf("%+v", f)
		}
	}
	if !holds {
		t.Errorf("nothing of it holds a year later: %+v", s.Insights)
	}
	t.Logf("%d looks, %d tests, %d discoveries, %.4f spent; first on %s: %s %s", len(s.Days), s.Tests, s.Discoveries, s.Spent, first.Found, first.Sentence, first.Told)
	h.apply("kind: segment\nid: found\nwhen: " + first.When + "\n---\nkind: insight\nid: renewals\nevent: Box Renewed\nwithin: 60d\nexclude: [plan]\n")
}
