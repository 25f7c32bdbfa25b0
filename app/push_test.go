package app_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
)

func TestABrowserIsPushedToUntilItsServiceSaysItIsGone(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if code := app.Main(t.Context(), app.Env{Args: []string{"keys", "webpush"}, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: io.Discard}); code != 0 {
		t.Fatalf("keys ended with %d", code)
	}
	words := strings.Fields(out.String())
	private, public := words[1], words[3]

	var gone atomic.Bool
	type request struct {
		header http.Header
		body   []byte
	}
	arrived := make(chan request, 8)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		arrived <- request{r.Header, b}
		if gone.Load() {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(service.Close)

	folder := t.TempDir()
	text := `kind: source
id: web
key: wk_test_web
---
kind: channel
id: push
type: webpush
privateKey: ${PUSH_KEY}
subject: mailto:ops@northbean.example
---
kind: placement
id: nudge
channel: push
---
kind: action
id: thanks
type: message
purpose: marketing
placements: [nudge]
content: {title: "Thank you, {{ person.firstName }}", body: Your beans are on their way., url: https://northbean.example/orders}
locales:
  nb: {title: "Takk, {{ person.firstName }}", body: Kaffen er på vei.}
---
kind: trigger
id: bought
on: Order Completed
placement: nudge
---
kind: policy
id: default
holdout: 0
`
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, t.TempDir(), func(o *app.Options) {
		o.Config, o.WebhookAllow = folder, "127.0.0.1"
		o.Getenv = func(name string) string { return map[string]string{"PUSH_KEY": private}[name] }
	})
	// A page of another origin learns the key it subscribes with.
	req, _ := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/push/keys", nil)
	req.Header.Set("Origin", "https://northbean.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	told, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(told), public) || resp.Header.Get("Access-Control-Allow-Origin") != "https://northbean.example" || strings.Contains(string(told), private) {
		t.Errorf("told %s, %v", told, resp.Header)
	}
	if shown := fmt.Sprint(s.must("GET", "/v1/config", nil)); strings.Contains(shown, private) {
		t.Error("the configuration shows the private key")
	}

	s.send(event("identify", "1", map[string]any{"userId": "ada", "traits": map[string]any{"firstName": "Ada", "locale": "nb-NO"}}),
		event("track", "2", map[string]any{"userId": "ada", "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "allowed": true}}))
	ask := func() (rule, detail string) {
		why := s.must("POST", "/v1/explain", map[string]any{"person": map[string]any{"userId": "ada"}, "placement": "nudge", "action": "thanks"})
		a := why["action"].(map[string]any)
		rule, _ = a["rule"].(string)
		detail, _ = a["detail"].(string)
		return rule, detail
	}
	if rule, detail := ask(); rule != "reach" || !strings.Contains(detail, "no browser") {
		t.Errorf("before she subscribed: %s, %s", rule, detail)
	}
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	auth := make([]byte, 16)
	_, _ = rand.Read(auth)
	enc := base64.RawURLEncoding.EncodeToString
	s.send(event("track", "3", map[string]any{"anonymousId": "phone", "userId": "ada", "event": "Push Subscribed", "properties": map[string]any{
		"endpoint": service.URL + "/send/1", "expirationTime": nil, "keys": map[string]any{"p256dh": enc(browser.PublicKey().Bytes()), "auth": enc(auth)},
	}}))
	if rule, detail := ask(); rule != "" {
		t.Errorf("once she subscribed: %s, %s", rule, detail)
	}
	seen := s.must("POST", "/v1/actions/thanks/preview", map[string]any{"person": map[string]any{"userId": "ada"}})
	if seen["form"] != "push" || seen["subject"] != "Takk, Ada" {
		t.Errorf("previewed as %v", seen)
	}
	buy := func(id string) {
		s.send(event("track", id, map[string]any{"userId": "ada", "event": "Order Completed"}))
	}
	next := func() request {
		select {
		case r := <-arrived:
			return r
		case <-time.After(2 * time.Minute):
			t.Fatal("nothing was pushed")
			return request{}
		}
	}
	buy("4")
	got := next()
	if !strings.HasPrefix(got.header.Get("Authorization"), "vapid t=") || !strings.HasSuffix(got.header.Get("Authorization"), "k="+public) || got.header.Get("Content-Encoding") != "aes128gcm" {
		t.Errorf("headers %v", got.header)
	}
	gone.Store(true)
	buy("5")
	next()
	// Its service has told that the browser is gone, and the profile knows.
	await(t, "the subscription is used no more", func() bool { rule, _ := ask(); return rule == "reach" })
	if page := fmt.Sprint(s.must("GET", "/v1/people/userId:ada/timeline?include=system", nil)); !strings.Contains(page, "Push Subscription Gone") {
		t.Errorf("the timeline: %s", page)
	}
	buy("6")
	if channels := fmt.Sprint(s.must("GET", "/v1/channels", nil)); !strings.Contains(channels, public) || strings.Contains(channels, private) {
		t.Errorf("channels: %s", channels)
	}
	select {
	case <-arrived:
		t.Error("a browser that is gone was pushed to")
	default:
	}
}
