package collect_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/eventlog"
)

const one = `{"type":"track","event":"Opened","userId":"u1","messageId":"m1"}`

func TestEveryPathTakesItsEvents(t *testing.T) {
	t.Parallel()
	body := `{"event":"e","name":"n","userId":"u","groupId":"g","previousId":"p","anonymousId":"a"}`
	for path, want := range map[string]rapport.EventType{
		"/v1/identify": rapport.TypeIdentify, "/v1/track": rapport.TypeTrack, "/v1/page": rapport.TypePage, "/v1/screen": rapport.TypeScreen,
		"/v1/group": rapport.TypeGroup, "/v1/alias": rapport.TypeAlias, "/v1/i": rapport.TypeIdentify, "/v1/t": rapport.TypeTrack,
		"/v1/p": rapport.TypePage, "/v1/s": rapport.TypeScreen, "/v1/g": rapport.TypeGroup, "/v1/a": rapport.TypeAlias,
		"/v1/batch": 0, "/v1/b": 0, "/v1/import": 0, "/v1/m": 0, "/beacon/v1/batch": 0,
		"GET /pixel/v1/track?data=": rapport.TypeTrack, "GET /pixel/v1/page?data=": rapport.TypePage,
	} {
		h := open(t, nil)
		sent := body
		if want == 0 {
			sent = `{"batch":[` + one + `]}`
			want = rapport.TypeTrack
		}
		if strings.HasPrefix(path, "GET") {
			path += url.QueryEscape(base64.RawURLEncoding.EncodeToString([]byte(sent)))
		}
		w := h.send(path, sent)
		if w.Code != 200 || (strings.HasPrefix(path, "/v1") && strings.TrimSpace(w.Body.String()) != `{"success":true}`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
			continue
		}
		events := h.events()
		if len(events) != 1 || events[0].Type != want || events[0].Source != "web" || events[0].History != (path == "/v1/import") {
			t.Errorf("%s: %+v", path, events)
		}
	}
}

func TestTheWriteKeyIsFoundWhereverClientsPutIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ query, auth, body string }{
		"basic":                {"", basic("wk_web_1234"), one},
		"basic without colon":  {"", "Basic " + base64.StdEncoding.EncodeToString([]byte("wk_web_1234")), one},
		"basic with password":  {"", "basic " + base64.StdEncoding.EncodeToString([]byte("wk_web_1234:secret")), one},
		"basic without paddin": {"", "Basic " + base64.RawStdEncoding.EncodeToString([]byte("wk_web_1234:")), one},
		"bearer":               {"", "Bearer wk_web_1234", one},
		"an older key":         {"", "Bearer wk_web_0000", one},
		"body":                 {"", "", strings.Replace(one, "{", `{"writeKey":"wk_web_1234",`, 1)},
		"envelope":             {"", "", `{"batch":[` + one + `],"writeKey":"wk_web_1234"}`},
		"query":                {"?writeKey=wk_web_1234", "", one},
	} {
		h := open(t, nil)
		if w := h.send("/v1/batch"+c.query, c.body, "Authorization", c.auth); w.Code != 200 || len(h.events()) != 1 || h.events()[0].Source != "web" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	h := open(t, nil)
	for _, c := range []struct {
		query, auth, body string
		want              int
	}{
		{"", "", one, 401},
		{"", "Bearer nobody-knows", one, 401},
		{"", "Basic !!!", one, 401},
		{"?writeKey=nobody-knows", "", one, 401},
		{"", "", `{"writeKey":"nobody-knows","batch":[` + one + `]}`, 401},
		{"", "Bearer wk_off_1234", one, 403},
	} {
		if w := h.send("/v1/batch"+c.query, c.body, "Authorization", c.auth); w.Code != c.want {
			t.Errorf("%+v: %d %s", c, w.Code, w.Body)
		}
	}
	if n := len(h.events()); n != 0 {
		t.Errorf("%d events of strangers were taken in", n)
	}
}

func TestTheBodyDecidesWhatItIs(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, `{"batch":[`+one+`]}`)
	_ = z.Close()
	for name, c := range map[string]struct{ body, kind, encoding string }{
		"text":                      {one, "text/plain;charset=UTF-8", ""},
		"form":                      {one, "application/x-www-form-urlencoded", ""},
		"none":                      {one, "", ""},
		"gzip":                      {packed.String(), "application/json", "gzip"},
		"gzip unsaid":               {packed.String(), "text/plain", ""},
		"gzip said and undone":      {one, "application/json", "gzip"},
		"byte order mark and space": {"\xef\xbb\xbf \n" + one + "\n", "application/json", ""},
	} {
		h := open(t, nil)
		h.accepted("/v1/batch", c.body, "Content-Type", c.kind, "Content-Encoding", c.encoding)
		if len(h.events()) != 1 {
			t.Errorf("%s: %d events", name, len(h.events()))
		}
	}
	h := open(t, nil)
	for _, body := range []string{"", "x", "{", "[]", `{"batch":[1`, packed.String()[:20], "\x1f\x8b", packed.String() + "x"} {
		if w := h.send("/v1/batch", body); w.Code != 400 || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestChunkedBodiesAreTaken(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	srv := httptest.NewServer(h.mux)
	defer srv.Close()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/v1/t", io.MultiReader(strings.NewReader(one[:20]), strings.NewReader(one[20:])))
	r.Header.Set("Authorization", basic("wk_web_1234"))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 || len(h.events()) != 1 {
		t.Errorf("%d, %d events", answer.StatusCode, len(h.events()))
	}
}

func TestABodyThatEndsEarlyLeavesNothing(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/v1/t", io.MultiReader(strings.NewReader(one), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.Header.Set("Authorization", basic("wk_web_1234"))
	w := httptest.NewRecorder()
	h.mux.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || len(h.events()) != 0 {
		t.Errorf("%d, %d events", w.Code, len(h.events()))
	}
}

func TestNoBodyMakesTheServerLarge(t *testing.T) {
	t.Parallel()
	h := open(t, func(d *collect.Deps) { d.Options.BodyBytes = 64 << 10 })
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 50<<20))
	_ = z.Close()
	for _, body := range []string{bomb.String(), strings.Repeat(" ", 65<<10)} {
		if w := h.send("/v1/batch", body); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%d bytes: %d %s", len(body), w.Code, w.Body)
		}
	}
	h = open(t, func(d *collect.Deps) { d.Options.AllBytes = 100 << 10 })
	w := h.send("/v1/batch", strings.Repeat(" ", 200<<10)+one)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	h.accepted("/v1/batch", one) // what was reserved is free again
	h = open(t, nil)
	numbers := `{"type":"track","event":"x","userId":"u","properties":{"n":[` + strings.Repeat("1,", 9000) + `1]}},`
	if w := h.send("/v1/batch", `{"batch":[`+strings.Repeat(numbers, 600)+one+`]}`); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h = open(t, func(d *collect.Deps) { d.Options.Wire = segmentwire.Limits{Events: 3} })
	if w := h.send("/v1/batch", `{"batch":[1,2,3,4]}`); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestBrowsersOfAnyPageMaySend(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, path := range []string{"/v1/t", "/beacon/v1/batch", "/sourceConfig", "/sourceConfig/", "/v1/projects/x/settings", "/projects/x/settings", "/pixel/v1/page"} {
		w := h.send("OPTIONS "+path, "", "Origin", "https://shop.example", "Access-Control-Request-Headers", "anonymousid,sentat,authorization", "Authorization", "")
		want := map[string]string{
			"Access-Control-Allow-Origin": "https://shop.example", "Access-Control-Allow-Headers": "anonymousid,sentat,authorization",
			"Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "86400",
		}
		got := map[string]string{}
		for k := range want {
			got[k] = w.Header().Get(k)
		}
		if diff := cmp.Diff(want, got); diff != "" || w.Code != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, w.Code, diff)
		}
	}
	for _, body := range []string{one, "{"} {
		w := h.send("/v1/t", body, "Origin", "https://shop.example")
		if w.Header().Get("Access-Control-Allow-Origin") != "https://shop.example" || w.Header().Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	if w := h.send("DELETE /v1/t", ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("%d", w.Code)
	}
}

func TestSettingsMakeTheBrowserClientSendHere(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, path := range []string{"/v1/projects/wk_web_1234/settings", "/projects/wk_web_0000/settings"} {
		w := h.send("GET http://events.example:8080"+path, "")
		m := jsonOf(t, w.Body)
		own := m["integrations"].(map[string]any)["Segment.io"].(map[string]any)
		if w.Code != 200 || own["apiKey"] != strings.Split(path, "/")[len(strings.Split(path, "/"))-2] || own["apiHost"] != "events.example:8080/v1" || own["protocol"] != "http" || m["plan"] != nil {
			t.Errorf("%s: %d %v", path, w.Code, m)
		}
	}
	if w := h.send("GET /v1/projects/unknown/settings", ""); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
	secure := h.send("GET http://events.example/v1/projects/wk_web_1234/settings", "", "Origin", "https://shop.example")
	if own := jsonOf(t, secure.Body)["integrations"].(map[string]any)["Segment.io"].(map[string]any); own["protocol"] != "https" {
		t.Errorf("%v", own)
	}
}

func TestSourceConfigTellsTheOtherClient(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, path := range []string{"/sourceConfig", "/sourceConfig/", "/sourceConfig/?p=npm&v=3&writeKey=wk_web_1234"} {
		w := h.send("GET "+path, "")
		m := jsonOf(t, w.Body)
		off := map[string]any{"enabled": false}
		want := map[string]any{
			"id": "web", "name": "Web shop", "writeKey": "wk_web_1234", "enabled": true, "workspaceId": "rapport",
			"config":       map[string]any{"statsCollection": map[string]any{"errors": off, "metrics": off}},
			"destinations": []any{}, "connections": []any{}, "dataplanes": map[string]any{}, "sourceDefinition": map[string]any{"name": "Javascript"},
		}
		if diff := cmp.Diff(want, m["source"]); diff != "" || m["updatedAt"] == nil || w.Code != 200 {
			t.Errorf("%s: %s", path, diff)
		}
	}
	if w := h.send("GET /sourceConfig", "", "Authorization", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("%d", w.Code)
	}
}

func TestTheAnswerComesAfterTheEventsAreDurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		gate := make(chan error)
		h.door = collect.New(collect.Deps{Log: gated{h.log, gate}, Resolver: strangers{}, Clock: h.clock})
		h.mux = http.NewServeMux()
		h.door.Register(h.mux)
		h.apply(collect.Documents{Sources: someSources})
		var w *httptest.ResponseRecorder
		done := make(chan struct{})
		go func() { w = h.send("/v1/t", one); close(done) }()
		synctest.Wait()
		select {
		case <-done:
			t.Fatalf("answered %d before the log did", w.Code)
		default:
		}
		gate <- nil
		<-done
		if w.Code != 200 {
			t.Errorf("%d", w.Code)
		}
	})
}

// gated is a log whose submissions become durable when the gate says so.
type gated struct {
	eventlog.Log
	gate chan error
}

func (g gated) Submit(records []eventlog.Record) eventlog.Pending {
	return pending{g.Log.Submit(records), g.gate}
}

func TestWhatIsTransientIsAnsweredSo(t *testing.T) {
	t.Parallel()
	h := open(t, func(d *collect.Deps) { d.Admitter = full{} })
	if w := h.send("/v1/t", one); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("overload: %d %v", w.Code, w.Header())
	}
	h = open(t, nil)
	h.log.err = rapport.Errorf(rapport.Unavailable, "the disk is full")
	if w := h.send("/v1/t", one); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("full disk: %d %v", w.Code, w.Header())
	}
	h.log.err = rapport.Errorf(rapport.Internal, "secret detail")
	if w := h.send("/v1/t", one); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("defect: %d %s", w.Code, w.Body)
	}
	h = open(t, func(d *collect.Deps) {
		d.Resolver = strangers{rapport.Errorf(rapport.Unavailable, "links cannot be recorded")}
	})
	if w := h.send("/v1/t", one); w.Code != http.StatusServiceUnavailable {
		t.Errorf("identity: %d", w.Code)
	}
}

type full struct{}

func (full) Admit(int) error { return rapport.Errorf(rapport.Unavailable, "folding is behind") }

func TestASourceKeepsItsRate(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.apply(collect.Documents{Sources: []collect.SourceDoc{{ID: "web", Key: "wk_web_1234", Rate: 2}}})
	batch := `{"batch":[` + strings.Repeat(one+",", 11) + one + `]}` // 12 events, 20 at once are allowed
	h.accepted("/v1/b", batch)
	w := h.send("/v1/b", batch)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	h.clock.move(2 * time.Second)
	h.accepted("/v1/b", batch)
}

func TestAClientsMetricsAreTakenAndForgotten(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.accepted("/v1/m", `{"series":[{"type":"Counter","metric":"analytics_js.invoke","value":1,"tags":{}}]}`, "Authorization", "")
	if len(h.events()) != 0 {
		t.Errorf("%v", h.events())
	}
}

func TestIdentifiersOfASourceAreReadWhereverItsKeyStands(t *testing.T) {
	t.Parallel()
	body := `{"type":"identify","anonymousId":"a","traits":{"loyaltyCard":"77","email":" Kari@Example.NO ","phone":"+47 22 22 55 55"}}`
	for _, auth := range []string{basic("wk_till_1234"), ""} {
		h := open(t, nil)
		sent := body
		if auth == "" {
			sent = strings.Replace(body, "{", `{"writeKey":"wk_till_1234",`, 1)
		}
		h.accepted("/v1/batch", sent, "Authorization", auth)
		want := []rapport.Identifier{
			{Kind: "email", Value: "kari@example.no"}, {Kind: "phone", Value: "+4722225555"}, {Kind: "loyaltyCard", Value: "77"}, {Kind: "anonymousId", Value: "a"},
		}
		if diff := cmp.Diff(want, h.events()[0].Identifiers); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAcceptTakesABodyFromWithin(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	r, err := h.door.Accept(t.Context(), collect.Delivery{Source: "web", Body: []byte(`{"batch":[` + one + `,{"type":"track"}]}`)})
	if err != nil || r.Accepted != 1 || r.Held != 1 || len(r.Tokens) != 1 || r.Strongest.Value != "u1" || r.Problems[0].Code != segmentwire.CodeName {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := h.door.Accept(t.Context(), collect.Delivery{Source: "nobody", Body: []byte(one)}); rapport.KindOf(err) != rapport.NotFound {
		t.Error(err)
	}
}

func TestTheDoorCountsWhatItDoes(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.accepted("/v1/b", `{"batch":[`+one+`,{"type":"track"}]}`)
	h.send("/v1/b", "{")
	h.send("/v1/b", one, "Authorization", "")
	s := h.door.Stats()
	got := []int64{s.Requests.Load(), s.Accepted.Load(), s.Held.Load(), s.Refused.Load(), s.Unknown.Load(), s.Source("web").Accepted.Load(), s.Source("web").LastAt.Load()}
	if diff := cmp.Diff([]int64{3, 1, 1, 1, 1, 1, noon.UnixMilli()}, got); diff != "" {
		t.Error(diff)
	}
}
