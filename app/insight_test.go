package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

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
