package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCapsQuietHoursConsentBudgetsAndTheHoldoutHoldForSixtyFourAtOnceAcrossKills
// lets 64 callers ask at once for the same person, kills the program among
// them, starts it again and lets them ask again. What stands in the log in the
// end, answered or not, must be within every limit.
func TestCapsQuietHoursConsentBudgetsAndTheHoldoutHoldForSixtyFourAtOnceAcrossKills(t *testing.T) {
	t.Parallel()
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	const most, stock, callers = 3, 9, 64
	// It is night in one zone now, and day in another, whenever this runs.
	now := time.Now().UTC()
	quiet := fmt.Sprintf(`{from: "%s", to: "%s", zone: person}`, now.Add(-2*time.Hour).Format("15:04"), now.Add(4*time.Hour).Format("15:04"))
	folder := t.TempDir()
	text := `kind: source
id: web
key: wk_test_web
---
kind: placement
id: push
channel: inapp
slots: 2
---
kind: action
id: mug
type: offer
purpose: marketing
placements: [push]
stock: ` + fmt.Sprint(stock) + `
goals: [{event: Order Completed, within: 7d, value: 30}]
---
kind: action
id: cup
type: offer
purpose: marketing
placements: [push]
goals: [{event: Order Completed, within: 7d, value: 20}]
cost: 0.5
share: 0.3
budget: {max: 7.5, per: 90d}
---
kind: action
id: news
type: message
purpose: marketing
placements: [push]
goals: [{event: Order Completed, within: 7d, value: 10}]
---
kind: policy
id: default
holdout: 0.3
caps: [{scope: person, max: ` + fmt.Sprint(most) + `, per: 30d}]
quietHours: ` + quiet + "\n"
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, s := newProgram(t, folder, "")

	var met struct{ holdout, reached atomic.Bool } // somebody awake is given nothing, or may be given something
	// ask makes 64 requests at once. It returns how many actions were given in
	// the answers that came, after the first few of which enough is called once.
	ask := func(user string, enough func()) (answers, given int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		var once sync.Once
		for range callers {
			wg.Go(func() {
				body, _ := json.Marshal(map[string]any{"person": map[string]any{"userId": user}, "placement": "push"})
				req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/decide", strings.NewReader(string(body)))
				if err != nil {
					return
				}
				req.Header.Set("Authorization", "Bearer "+adminToken)
				req.Header.Set("Content-Type", "application/json")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return // the program was killed
				}
				defer resp.Body.Close()
				var out struct {
					Holdout bool  `json:"holdout"`
					Items   []any `json:"items"`
				}
				if resp.StatusCode != 200 || json.NewDecoder(resp.Body).Decode(&out) != nil {
					return
				}
				mu.Lock()
				answers++
				given += len(out.Items)
				mu.Unlock()
				if out.Holdout {
					met.holdout.Store(true)
				} else if strings.HasPrefix(user, "awake") {
					met.reached.Store(true)
				}
				if out.Holdout && len(out.Items) > 0 {
					t.Errorf("%s is in the holdout and was given %v", user, out.Items)
				}
				if enough != nil {
					once.Do(enough)
				}
			})
		}
		wg.Wait()
		if enough != nil {
			once.Do(enough)
		}
		return answers, given
	}
	serial := 0
	say := func(user, zone string, allowed bool) {
		serial++
		s.send(
			event("identify", fmt.Sprint("i", serial), map[string]any{"userId": user, "traits": map[string]any{"timezone": zone}}),
			event("track", fmt.Sprint("c", serial), map[string]any{"userId": user, "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "allowed": allowed}}),
		)
	}
	day := "Etc/GMT-12" // twelve hours ahead of the night
	var people []string
	for round := 0; round < rounds || !met.holdout.Load() || !met.reached.Load(); round++ { // who is held out, the deployment's key draws
		awake, asleep, gone := fmt.Sprint("awake", round), fmt.Sprint("asleep", round), fmt.Sprint("gone", round)
		people = append(people, awake, asleep, gone)
		say(awake, day, true)
		say(asleep, "Etc/GMT", true)
		say(gone, day, true)
		// Consent is taken back, and the very next decisions, 64 of them, know it.
		say(gone, day, false)
		if _, given := ask(gone, nil); given > 0 {
			t.Fatalf("%d given after consent was taken back", given)
		}
		if _, given := ask(asleep, nil); given > 0 {
			t.Fatalf("%d given in quiet hours", given)
		}
		ask(awake, func() { _ = p.cmd.Process.Kill() }) // SIGKILL, with most of them under way
		_ = p.cmd.Wait()
		p.start()
		for _, user := range []string{gone, asleep} {
			if answers, given := ask(user, nil); given > 0 || answers != callers {
				t.Fatalf("%s: %d answers, %d given after the kill", user, answers, given)
			}
		}
		ask(awake, nil)
	}

	total := map[string]int{}
	held, reached := 0, 0
	for _, user := range people {
		given, holdout := 0, false
		for before := ""; ; {
			page := s.must("GET", "/v1/people/userId:"+user+"/timeline?include=system&limit=1000&before="+before, nil)
			for _, x := range page["events"].([]any) {
				e := x.(map[string]any)
				if e["event"] != "Decision Made" {
					continue
				}
				id := e["properties"].(map[string]any)["decisionId"].(string)
				d := s.must("GET", "/v1/decisions/"+id, nil)
				items := d["items"].([]any)
				holdout = holdout || d["holdout"] == true
				given += len(items)
				for _, item := range items {
					total[item.(map[string]any)["action"].(string)]++
				}
			}
			next, more := page["next"].(string)
			if !more || next == "" {
				break
			}
			before = next
		}
		switch {
		case holdout:
			if held++; given > 0 {
				t.Errorf("%s is in the holdout and the log holds %d given", user, given)
			}
		case strings.HasPrefix(user, "awake"):
			if reached++; given > most {
				t.Errorf("%s was given %d, the cap is %d", user, given, most)
			}
		case given > 0:
			t.Errorf("%s was given %d", user, given)
		}
	}
	if total["mug"] > stock || float64(total["cup"])*0.5 > 7.5 {
		t.Errorf("given %v of a stock of %d and a budget of 15 uses", total, stock)
	}
	if held == 0 || reached == 0 || total["mug"]+total["cup"]+total["news"] < reached {
		t.Errorf("the trial was too tame: %d held out, %d reached, given %v", held, reached, total)
	}
	t.Logf("%d kills, %d people at %d at once: %d in the holdout, given %v", len(people)/3, len(people), 2*callers, held, total)
}
