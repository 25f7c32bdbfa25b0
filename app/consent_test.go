package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
)

// TestConsentTakenBackBindsTheVeryNextDecision gives and takes back consent in
// turn, on the wire and on the preference page's event alike, and asks at once.
func TestConsentTakenBackBindsTheVeryNextDecision(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := `kind: source
id: web
key: wk_test_web
---
kind: placement
id: nudge
channel: inapp
---
kind: action
id: news
type: message
purpose: marketing
placements: [nudge]
goals: [{event: Order Completed, within: 7d, value: 10}]
---
kind: policy
id: default
holdout: 0
exploration: 0
`
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, t.TempDir(), func(o *app.Options) { o.Config = folder })
	decide := func(more map[string]any) (excluded any) {
		t.Helper()
		in := map[string]any{"person": map[string]any{"userId": "ada"}, "placement": "nudge"}
		for k, v := range more {
			in[k] = v
		}
		d := s.must("POST", "/v1/decide", in)
		full := s.must("GET", "/v1/decisions/"+d["decisionId"].(string), nil)
		c := full["candidates"].([]any)[0].(map[string]any)
		if c["excluded"] != nil && len(d["items"].([]any)) > 0 {
			t.Fatalf("given although excluded: %v", d)
		}
		return c["excluded"]
	}
	if got := decide(nil); got != "consent" {
		t.Fatalf("before anything was said: %v", got)
	}
	began := time.Now().UTC().Add(-10 * time.Minute)
	for n := range 60 {
		allowed := n%2 == 0
		want := any("consent")
		if allowed {
			want = nil
		}
		said := event("track", fmt.Sprint("c", n), map[string]any{"userId": "ada", "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "channel": "inapp", "allowed": allowed}})
		// Of two answers in one millisecond the refusal stands, so each has its own.
		at := began.Add(time.Duration(n) * time.Second).Format(time.RFC3339Nano)
		said["timestamp"] = at
		var got any
		switch n % 3 {
		case 0: // on the wire, then asked
			s.send(said)
			got = decide(nil)
		case 1: // with the question
			got = decide(map[string]any{"event": said})
		default: // in the browser's own form, on any event
			s.send(event("page", fmt.Sprint("p", n), map[string]any{"userId": "ada", "timestamp": at, "context": map[string]any{"consent": map[string]any{"categoryPreferences": map[string]any{"marketing": allowed}}}}), said)
			got = decide(nil)
		}
		if got != want {
			t.Fatalf("round %d, allowed %v: excluded by %v", n, allowed, got)
		}
	}
}
