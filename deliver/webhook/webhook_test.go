package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/delivertest"
	"github.com/rapport-engine/rapport/deliver/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a destination that verifies what it gets.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	got      map[string]int
	bodies   []map[string]any
	status   atomic.Int32
	header   http.Header // of the answer
	problems []string
}

func receive(t *testing.T) *receiver {
	r := &receiver{got: map[string]int{}, header: http.Header{}}
	r.status.Store(204)
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	t.Cleanup(func() {
		for _, p := range r.problems {
			t.Error(p)
		}
	})
	return r
}

// serve checks the request as the Standard Webhooks libraries do.
func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	id, at := req.Header.Get("webhook-id"), req.Header.Get("webhook-timestamp")
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%s.%s", id, at, body)
	if want := "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil)); req.Header.Get("webhook-signature") != want {
		r.problems = append(r.problems, "the signature does not verify")
	}
	if req.Header.Get("Idempotency-Key") != id || req.Header.Get("Content-Type") != "application/json" || req.Method != http.MethodPost {
		r.problems = append(r.problems, fmt.Sprintf("headers %v", req.Header))
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		r.problems = append(r.problems, "the body is not JSON: "+err.Error())
	}
	for k, v := range r.header {
		w.Header()[k] = v
	}
	status := int(r.status.Load())
	if status < 300 {
		r.got[id]++
		r.bodies = append(r.bodies, m)
	}
	w.WriteHeader(status)
}

func (r *receiver) received() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for k, n := range r.got {
		out[k] = n
	}
	return out
}

func sender(t *testing.T, url string, allow ...string) *webhook.Sender {
	t.Helper()
	guard, err := webhook.NewGuard(allow)
	if err != nil {
		t.Fatal(err)
	}
	s, err := webhook.New(webhook.Options{
		Webhook: deliver.WebhookDoc{ID: "crm", URL: url, Secret: secret, Headers: map[string]string{"X-Shop": "northbean"}},
		Guard:   guard, Clock: rapport.SystemClock{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheWebhookIsASender(t *testing.T) {
	t.Parallel()
	delivertest.Conform(t, func(t *testing.T) delivertest.Fixture {
		r := receive(t)
		return delivertest.Fixture{
			Sender: sender(t, r.URL, "127.0.0.1"), Message: delivertest.Message, Received: r.received,
			Break: func() { r.status.Store(503) }, Repair: func() { r.status.Store(200) },
		}
	})
}

func TestTheBodyTellsTheEvent(t *testing.T) {
	t.Parallel()
	r := receive(t)
	m := delivertest.Message(3)
	if res := sender(t, r.URL, "127.0.0.1").Send(t.Context(), m); res.Status != deliver.Delivered || res.Code != 204 {
		t.Fatal(res)
	}
	b := r.bodies[0]
	data := b["data"].(map[string]any)
	if b["type"] != "Order Completed" || b["timestamp"] != "2026-02-02T02:40:00.000Z" || data["userId"] != "u3" || data["messageId"] != "m3" ||
		data["personId"] != m.Person.String() || data["properties"].(map[string]any)["note"] != "<é&\u2028>" {
		t.Errorf("body %v", b)
	}
}

func TestAnswersAreJudged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		after  string
		want   deliver.Result
	}{
		{200, "", deliver.Result{Status: deliver.Delivered}},
		{301, "", deliver.Result{Status: deliver.Retry}},
		{307, "", deliver.Result{Status: deliver.Retry}},
		{400, "", deliver.Result{Status: deliver.Failed}},
		{401, "", deliver.Result{Status: deliver.Retry}},
		{410, "", deliver.Result{Status: deliver.Failed}},
		{429, "17", deliver.Result{Status: deliver.Retry, After: 17 * time.Second, Busy: true}},
		{429, "", deliver.Result{Status: deliver.Retry, After: time.Second, Busy: true}},
		{500, "", deliver.Result{Status: deliver.Retry}},
		{503, "120", deliver.Result{Status: deliver.Retry, After: 2 * time.Minute}},
		{503, "-1", deliver.Result{Status: deliver.Retry}},
		{503, "soon", deliver.Result{Status: deliver.Retry}},
	} {
		r := receive(t)
		r.status.Store(int32(c.status))
		if c.after != "" {
			r.header.Set("Retry-After", c.after)
		}
		r.header.Set("Location", r.URL+"/elsewhere")
		got := sender(t, r.URL, "127.0.0.0/8").Send(t.Context(), delivertest.Message(1))
		if got.Status != c.want.Status || got.After != c.want.After || got.Busy != c.want.Busy || got.Code != c.status {
			t.Errorf("%d with Retry-After %q gives %+v", c.status, c.after, got)
		}
		if c.status >= 300 && c.status < 400 && len(r.received()) > 0 {
			t.Errorf("%d was followed", c.status)
		}
	}
}

func TestTheInsideIsNotReached(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 100)
	inside := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Host }))
	t.Cleanup(inside.Close)
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "127.1", "2130706433", "0x7f000001", "10.0.0.1",
		"172.16.3.4", "192.168.1.1", "169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "[fe80::1]", "[64:ff9b::7f00:1]",
		"[2002:7f00:1::]", "[::127.0.0.1]", "198.18.0.1", "224.0.0.1", "255.255.255.255",
	} {
		r := sender(t, "https://"+host+":"+port+"/").Send(t.Context(), delivertest.Message(1))
		if r.Status != deliver.Retry || strings.Contains(r.Detail, "answered") {
			t.Errorf("https://%s gave %+v", host, r)
		}
	}
	select {
	case host := <-reached:
		t.Errorf("the inside was reached as %s", host)
	default:
	}
}

func TestPlainHTTPAndBadSecretsAreRefused(t *testing.T) {
	t.Parallel()
	guard, err := webhook.NewGuard([]string{"hooks.intranet", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url, secret string
		ok          bool
	}{
		{"https://example.com/x", secret, true},
		{"http://example.com/x", secret, false},
		{"http://hooks.intranet/x", secret, true},
		{"http://10.1.2.3/x", secret, true},
		{"http://127.0.0.1/x", secret, false},
		{"https://example.com/x", "whsec_!", false},
		{"https://example.com/x", "tiny", false},
		{"https://example.com/x", "any text of enough bytes", true},
	} {
		_, err := webhook.New(webhook.Options{Webhook: deliver.WebhookDoc{ID: "a", URL: c.url, Secret: c.secret}, Guard: guard, Clock: rapport.SystemClock{}})
		if (err == nil) != c.ok {
			t.Errorf("%s with secret %q: %v", c.url, c.secret, err)
		}
		if err != nil && strings.Contains(err.Error(), c.secret) {
			t.Errorf("the secret is told: %v", err)
		}
	}
	for _, bad := range []string{"", "a b", "http://x", "*.intranet", "x:80"} {
		if _, err := webhook.NewGuard([]string{bad}); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("allowing %q: %v", bad, err)
		}
	}
}

func TestALargeAnswerIsNotReadWhole(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 64<<10)
		for range 4096 {
			n, err := w.Write(block)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	if r := sender(t, s.URL, "127.0.0.1").Send(t.Context(), delivertest.Message(1)); r.Status != deliver.Delivered {
		t.Error(r)
	}
	if n := written.Load(); n > 128<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}
