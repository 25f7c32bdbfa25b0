package app_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestTheHourLearnedOfAPersonSurvivesKills has somebody answer what is sent to
// them, kills the program after every few answers, and asks when they answer:
// what was learned before a kill is known after it, counted once.
func TestTheHourLearnedOfAPersonSurvivesKills(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const text = `kind: source
id: web
key: wk_test_web
---
kind: placement
id: push
channel: inapp
---
kind: action
id: mug
type: offer
purpose: marketing
placements: [push]
priority: 1
goals: [{event: Decision Clicked, within: 1h, value: 1}]
`
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, s := newProgram(t, folder, "")
	s.send(
		event("identify", "i", map[string]any{"userId": "ada", "traits": map[string]any{"timezone": "Asia/Tokyo"}}),
		event("track", "c", map[string]any{"userId": "ada", "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "allowed": true}}),
	)
	type tally struct{ sent, answered float64 }
	// learned returns the tallies of all hours and of the channel, and the hour
	// at which an answer is likeliest.
	learned := func() (hours [24]tally, channel tally, best int) {
		t.Helper()
		page := s.must("GET", "/v1/people/userId:ada/sending", nil)
		if page["zone"] != "Asia/Tokyo" {
			t.Fatalf("the hours are counted in %v", page["zone"])
		}
		top := -1.0
		for i, h := range page["hours"].([]any) {
			h := h.(map[string]any)
			hours[i] = tally{h["sent"].(float64), h["answered"].(float64)}
			if rate := h["rate"].(float64); rate > top {
				top, best = rate, i
			}
		}
		c := page["channels"].([]any)[0].(map[string]any)
		return hours, tally{c["sent"].(float64), c["answered"].(float64)}, best
	}
	near := func(a, b tally) bool { return math.Abs(a.sent-b.sent) < 1e-3 && math.Abs(a.answered-b.answered) < 1e-3 }
	rounds, each, given := 4, 3, 0
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		for range each {
			d := s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": "ada"}, "placement": "push"})
			if len(d["items"].([]any)) != 1 {
				t.Fatalf("round %d: was given %v", round, d)
			}
			id := d["decisionId"].(string)
			s.send(event("track", "click "+id, map[string]any{"userId": "ada", "event": "Decision Clicked", "properties": map[string]any{"decisionId": id}}))
			given++
		}
		before, through, best := learned()
		sum := tally{}
		for _, h := range before {
			sum.sent, sum.answered = sum.sent+h.sent, sum.answered+h.answered
		}
		if want := (tally{float64(given), float64(given)}); !near(sum, want) || !near(through, want) || before[best].answered == 0 {
			t.Fatalf("round %d: of %d answered, %v are counted, %v through the channel, the best hour is %d", round, given, sum, through, best)
		}
		p.kill()
		p.start()
		after, again, now := learned()
		for hour := range after {
			if !near(before[hour], after[hour]) {
				t.Errorf("round %d: at %d it was %v, after a kill %v", round, hour, before[hour], after[hour])
			}
		}
		if !near(through, again) || after[now].answered == 0 {
			t.Errorf("round %d: through the channel it was %v, after a kill %v; the best hour %d became %d", round, through, again, best, now)
		}
	}
	t.Logf("%d answers, %d kills: every one is counted once in its hour", given, rounds)
}
