package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/app"
)

const reader = "rp_clients_admin_token_1234"

// program is a whole server with a proxy in front of it that has faults.
type program struct {
	*weather
	front  *httptest.Server
	server string
}

// startServer starts a server of its own, which ends with the test.
func startServer(t *testing.T, mqtt app.MQTTOptions) *app.Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := app.Open(ctx, app.Options{
		Data: t.TempDir(), Listen: "127.0.0.1:0", MQTT: mqtt, Partitions: 4, AdminToken: reader, CacheMB: 32,
		Logger: slog.New(slog.DiscardHandler), Getenv: func(string) string { return "" },
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("the server ended: %v", err)
	}
	return s
}

func startProgram(t *testing.T, faults ...fault) *program {
	t.Helper()
	s := startServer(t, app.MQTTOptions{})
	p := &program{weather: &weather{faults: faults}, server: s.URL}
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.front = httptest.NewServer(p.disturb(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // clients are told to stay at the address they asked
	}}))
	t.Cleanup(p.front.Close)
	body := `{"yaml":"kind: source\nid: shop\nkey: ` + writeKey + `\n"}`
	var applied map[string]any
	if code := p.call(t, http.MethodPost, "/v1/config/apply", body, &applied); code != http.StatusOK {
		t.Fatalf("the source is answered with %d %v", code, applied)
	}
	return p
}

// call asks the server itself, as its operator.
func (p *program) call(t *testing.T, method, path, body string, out any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.server+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+reader)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// folded returns how many events the engine has folded.
func (p *program) folded(t *testing.T) int {
	t.Helper()
	resp, err := http.Get(p.server + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "rapport_engine_events_folded_total "); ok {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatal("the metric is not there")
	return 0
}

// timeline returns how often each type of call stands in the person's timeline.
func (p *program) timeline(t *testing.T) map[string]int {
	t.Helper()
	var page struct {
		Events []struct{ ID, Type, Source string } `json:"events"`
	}
	out := map[string]int{}
	if code := p.call(t, http.MethodGet, "/v1/people/userId:user-1/timeline?limit=100", "", &page); code == http.StatusOK {
		for _, e := range page.Events {
			if e.Source != "shop" || e.ID == "" {
				t.Errorf("source %q, message %q", e.Source, e.ID)
			}
			out[e.Type]++
		}
	}
	return out
}

// await waits until every call was folded, or more, and all faults have happened.
func (p *program) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for p.folded(t) < n || p.left() > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d of %d events are folded; %d faults did not happen; posts: %q", p.folded(t), n, p.left(), p.posts)
		}
	}
}

func TestTheWholeProgramCountsEveryCallOfEveryClientOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("five clients and as many servers take long")
	}
	t.Parallel()
	inBrowser := func(client string) func(*testing.T, *program) func() {
		return func(t *testing.T, p *program) func() {
			return node(t, "browser.mjs", client, p.front.URL, writeKey, "standard").stop
		}
	}
	onNode := func(script string) func(*testing.T, *program) func() {
		return func(t *testing.T, p *program) func() { return node(t, script, p.front.URL, writeKey).stop }
	}
	for name, begin := range map[string]func(*testing.T, *program) (end func()){
		"segment node":    onNode("segment-node.mjs"),
		"rudder node":     onNode("rudder-node.mjs"),
		"segment browser": inBrowser("segment"),
		"rudder browser":  inBrowser("rudder"),
		"segment go": func(t *testing.T, p *program) func() {
			client := segmentGo(t, p.front.URL)
			return func() {
				if err := client.Close(); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProgram(t, unavailable, slowDown, cutAfter, slowDown, unavailable, cutBefore)
			want := map[string]int{}
			for _, typ := range six {
				if name != "rudder browser" || typ != rapport.TypeScreen { // it has no such call
					want[typ.String()] = 1
				}
			}
			end := begin(t, p)
			p.await(t, len(want))
			end()
			if diff := cmp.Diff(want, p.timeline(t)); diff != "" {
				t.Errorf("the timeline (-want +got):\n%s", diff)
			}
			if n := p.folded(t); n != len(want) {
				t.Errorf("%d events are folded, %d were sent; posts: %q", n, len(want), p.posts)
			}
			t.Logf("%d posts: %q", len(p.posts), p.posts)
		})
	}
}
