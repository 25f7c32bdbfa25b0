package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/app"
)

const adminToken = "rp_test_admin_token_for_tests"

// TestMain lets the test binary be the program, for tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv("RAPPORT_TEST_PROGRAM") != "" || len(os.Args) == 2 && os.Args[1] == "sql-child" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := app.Main(ctx, app.Env{
			Args: os.Args[1:], Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		})
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// shop is a running server with the test shop's configuration.
type shop struct {
	t   testing.TB
	url string
	end func()
}

func open(t testing.TB, dir string, change func(*app.Options)) *shop {
	t.Helper()
	o := app.Options{
		Data: dir, Config: "testdata/shop", Listen: "127.0.0.1:0", Partitions: 4, AdminToken: adminToken, CacheMB: 32, RetainDays: 30,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Getenv: func(string) string { return "" },
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := app.Open(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ready := make(chan struct{})
	done := make(chan error, 1) // the result outlives a test that failed
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("the server ended: %v", err)
	}
	sh := &shop{t: t, url: s.URL}
	ended := false
	sh.end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended badly: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(sh.end)
	return sh
}

// call makes a request with the admin token and returns status and body.
func (s *shop) call(method, path string, body any) (int, map[string]any) {
	s.t.Helper()
	return s.callAs("Bearer "+adminToken, method, path, body)
}

func (s *shop) callAs(auth, method, path string, body any) (int, map[string]any) {
	s.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", auth)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var out map[string]any
	if len(text) > 0 && json.Unmarshal(text, &out) != nil {
		s.t.Fatalf("%s %s answered %d with %.200s", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode, out
}

func (s *shop) must(method, path string, body any) map[string]any {
	s.t.Helper()
	status, out := s.call(method, path, body)
	if status >= 300 {
		s.t.Fatalf("%s %s answered %d: %v", method, path, status, out)
	}
	return out
}

func (s *shop) send(events ...map[string]any) {
	s.t.Helper()
	status, out := s.callAs("Bearer wk_test_web", "POST", "/v1/batch", map[string]any{"batch": events})
	if status != 200 {
		s.t.Fatalf("batch answered %d: %v", status, out)
	}
}

func event(kind, id string, more map[string]any) map[string]any {
	m := map[string]any{"type": kind, "messageId": id, "timestamp": time.Now().UTC().Format(time.RFC3339Nano)}
	for k, v := range more {
		m[k] = v
	}
	return m
}

func TestAnEventBecomesAProfileADecisionAndAReason(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	s.send(
		event("page", "1", map[string]any{"anonymousId": "a1", "name": "Home"}),
		event("identify", "2", map[string]any{"anonymousId": "a1", "userId": "u1", "traits": map[string]any{"email": "Kari@Example.com", "country": "NO", "name": "Kari Nordmann"}}),
		event("track", "3", map[string]any{"userId": "u1", "event": "Order Completed", "properties": map[string]any{"revenue": 12.5}}),
	)
	for _, ref := range []string{"userId:u1", "anonymousId:a1", "email:kari@example.com"} {
		p := s.must("GET", "/v1/people/"+ref, nil)
		if p["name"] != "Kari Nordmann" || fmt.Sprint(p["counters"]) != "map[Order Completed:1 identify:1 page:1]" {
			t.Fatalf("%s reads %v", ref, p)
		}
	}
	d := s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": "u1"}, "placement": "home_hero", "context": map[string]any{"page": "home"}})
	why := s.must("GET", "/v1/decisions/"+d["decisionId"].(string)+"/explain", nil)
	candidate := why["candidates"].([]any)[0].(map[string]any)
	if candidate["action"] != "espresso-offer" || candidate["excluded"] != nil || why["sentence"] == "" {
		t.Errorf("explained as %v", why)
	}
	for _, x := range d["items"].([]any) {
		if x.(map[string]any)["action"] != "espresso-offer" {
			t.Errorf("gave %v", x)
		}
	}
	page := s.must("GET", "/v1/people/userId:u1/timeline?include=system", nil)
	if n := len(page["events"].([]any)); n != 4 {
		t.Errorf("the timeline has %d events, want three and the decision", n)
	}
	if status, _ := s.call("GET", "/v1/people/userId:nobody", nil); status != 404 {
		t.Errorf("a stranger answers %d", status)
	}
	if status, _ := s.call("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": "u1"}, "placement": "nowhere"}); status != 404 {
		t.Errorf("an unknown placement answers %d", status)
	}
}

func TestAShortAdminTokenServesThisMachineOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, public string
		fine           bool
	}{{"127.0.0.1:0", "", true}, {"localhost:0", "", true}, {":0", "", false}, {"0.0.0.0:0", "", false}, {"127.0.0.1:0", "https://rapport.example", false}} {
		s, err := app.Open(t.Context(), app.Options{
			Data: t.TempDir(), Listen: c.listen, PublicURL: c.public, Partitions: 1, AdminToken: "adm", CacheMB: 32,
			Logger: slog.New(slog.DiscardHandler), Getenv: func(string) string { return "" },
		})
		if (err == nil) != c.fine || err != nil && rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

func TestADecisionMayBeAskedAsCurlAndBeaconsSendIt(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "text/plain;charset=UTF-8", "application/json; charset=utf-8"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/decide", strings.NewReader(`{"person":{"anonymousId":"a1"},"placement":"home_hero"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer wk_test_web")
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !bytes.Contains(text, []byte(`"decisionId"`)) {
			t.Errorf("%q: %d %s", kind, resp.StatusCode, text)
		}
	}
}

func TestAWriteKeyLearnsNothingOfThePerson(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	s.send(event("identify", "1", map[string]any{"userId": "u1", "traits": map[string]any{"country": "NO"}}))
	status, d := s.callAs("Bearer wk_test_web", "POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": "u1"}, "placement": "home_hero"})
	if status != 200 || d["personId"] != nil {
		t.Fatalf("a write key was answered %d %v", status, d)
	}
	for _, x := range d["items"].([]any) {
		if item := x.(map[string]any); item["value"] != nil || item["reason"] != nil {
			t.Errorf("a write key was told %v", d)
		}
	}
	for _, path := range []string{"/v1/people/userId:u1", "/v1/decisions", "/v1/config", "/v1/tokens"} {
		if status, _ := s.callAs("Bearer wk_test_web", "GET", path, nil); status != 401 {
			t.Errorf("%s answers a write key with %d", path, status)
		}
	}
}

func TestAnEventInTheRequestIsSeenByTheDecision(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	for i := range 50 {
		user := fmt.Sprintf("u%d", i)
		d := s.must("POST", "/v1/decide", map[string]any{
			"person": map[string]any{"userId": user}, "placement": "home_hero",
			"event": map[string]any{"type": "identify", "traits": map[string]any{"country": "NO"}},
		})
		// Whether the offer wins is a draw; that it was eligible is not.
		full := s.must("GET", "/v1/decisions/"+d["decisionId"].(string), nil)
		if c := full["candidates"].([]any)[0].(map[string]any); c["excluded"] != nil {
			t.Fatalf("the decision for %s did not see the event: %v", user, c)
		}
	}
}

func TestAViolationIsHeldFixedAndLetIn(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	s.send(event("track", "bad", map[string]any{"userId": "u1", "event": "Order Completed", "properties": map[string]any{"revenue": "a lot"}}),
		event("track", "good", map[string]any{"userId": "u1", "event": "Order Completed", "properties": map[string]any{"revenue": 5}}))
	page := s.must("GET", "/v1/quarantine", nil)
	held := page["items"].([]any)
	if len(held) != 1 {
		t.Fatalf("quarantine holds %v", page)
	}
	id := held[0].(map[string]any)["id"].(string)
	s.must("POST", "/v1/quarantine/"+id+"/replay", map[string]any{"raw": event("track", "bad", map[string]any{"userId": "u1", "event": "Order Completed", "properties": map[string]any{"revenue": 7}})})
	p := s.must("GET", "/v1/people/userId:u1", nil)
	if n := p["counters"].(map[string]any)["Order Completed"]; n != 2.0 {
		t.Errorf("%v orders after the fix", n)
	}
}

func TestConfigIsPlannedAppliedAndUndone(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	wrong := s.must("POST", "/v1/config/check", map[string]any{"yaml": "kind: action\nid: x\ntype: offer\nplacments: [home_hero]\n"})
	faults := wrong["errors"].([]any)
	found := false
	for _, f := range faults {
		f := f.(map[string]any)
		found = found || f["line"] == 4.0 && f["hint"] == "did you mean placements?"
	}
	if !found {
		t.Errorf("a typo is reported as %v", wrong)
	}
	text := "kind: action\nid: gift\ntype: content\nplacements: [home_hero]\ncontent: {title: A gift}\n"
	plan := s.must("POST", "/v1/config/plan", map[string]any{"yaml": text})
	if c := plan["changes"].([]any); len(c) != 1 || c[0].(map[string]any)["op"] != "created" {
		t.Fatalf("planned %v", plan)
	}
	applied := s.must("POST", "/v1/config/apply", map[string]any{"yaml": text, "expectVersion": plan["version"], "note": "a gift"})
	if status, _ := s.call("POST", "/v1/config/apply", map[string]any{"yaml": strings.Replace(text, "A gift", "Another", 1), "expectVersion": plan["version"]}); status != 409 {
		t.Errorf("a stale author is answered %d", status)
	}
	// Adopted: a stranger without a country is eligible for the gift alone.
	d := s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": "new"}, "placement": "home_hero"})
	full := s.must("GET", "/v1/decisions/"+d["decisionId"].(string), nil)
	if n := len(full["candidates"].([]any)); n != 2 {
		t.Errorf("%d candidates after the change: %v", n, full)
	}
	s.must("POST", "/v1/config/undo", map[string]any{"version": applied["version"]})
	if status, _ := s.call("GET", "/v1/config/action/gift", nil); status != 404 {
		t.Errorf("the gift is still there: %d", status)
	}
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	s.send(event("identify", "1", map[string]any{"userId": "u1", "anonymousId": "a1", "traits": map[string]any{"country": "NO", "name": "Kari"}}))
	d := s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": "u1"}, "placement": "home_hero"})
	before := s.must("GET", "/v1/people/userId:u1", nil)
	s.end()
	s = open(t, dir, nil)
	after := s.must("GET", "/v1/people/anonymousId:a1", nil)
	delete(before, "version")
	delete(after, "version")
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before %v\nafter  %v", before, after)
	}
	if got := s.must("GET", "/v1/decisions/"+d["decisionId"].(string), nil); got["personId"] != before["id"] {
		t.Errorf("the decision reads %v", got)
	}
	// A retry of the first event, over the restart, counts once.
	s.send(event("identify", "1", map[string]any{"userId": "u1", "anonymousId": "a1", "traits": map[string]any{"country": "NO"}}))
	if p := s.must("GET", "/v1/people/userId:u1", nil); p["events"] != 1.0 {
		t.Errorf("%v events", p["events"])
	}
}

func TestPagesAndProbesAnswer(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	for path, want := range map[string]int{
		"/": 200, "/people/x": 200, "/health/live": 200, "/health/ready": 200, "/metrics": 200, "/docs/api": 200, "/openapi.json": 200,
		"/v1/nothing": 404, "/v1/people": 401,
	} {
		resp, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestACookieNeedsTheConsoleHeaderForChanges(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	body, _ := json.Marshal(map[string]any{"token": adminToken})
	resp, err := http.Post(s.url+"/v1/session", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(resp.Cookies()) != 1 || !resp.Cookies()[0].HttpOnly || resp.Cookies()[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("sign-in set %v", resp.Cookies())
	}
	for header, want := range map[string]int{"": 403, "1": 201} {
		req, _ := http.NewRequest("POST", s.url+"/v1/tokens", strings.NewReader(`{"name":"x","role":"viewer"}`))
		req.AddCookie(resp.Cookies()[0])
		req.Header.Set("Content-Type", "application/json")
		if header != "" {
			req.Header.Set("X-Rapport-Console", header)
		}
		got, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != want {
			t.Errorf("header %q answers %d, want %d", header, got.StatusCode, want)
		}
	}
}
