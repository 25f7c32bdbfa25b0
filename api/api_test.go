package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/app"
)

const admin = "rp_api_admin_token_1234"

// server is a whole program with one token of every role.
type server struct {
	t      *testing.T
	url    string
	tokens map[string]string
}

func start(t *testing.T) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := app.Open(ctx, app.Options{
		Data: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 2, AdminToken: admin, CacheMB: 32,
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
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-ready
	sv := &server{t: t, url: s.URL, tokens: map[string]string{"admin": admin}}
	for _, role := range []string{"marketer", "analyst", "viewer", "source"} {
		var made struct{ Secret string }
		if code := sv.call(admin, "POST", "/v1/tokens", `{"name":"`+role+`","role":"`+role+`"}`, &made); code != http.StatusCreated {
			t.Fatalf("a token for %s is answered with %d", role, code)
		}
		sv.tokens[role] = made.Secret
	}
	return sv
}

func (s *server) call(token, method, path, body string, out any) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
		}
	}
	return resp.StatusCode
}

// operation is what the OpenAPI document says of an operation.
type operation struct {
	ID          string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	RequestBody *struct {
		Content map[string]json.RawMessage `json:"content"`
	} `json:"requestBody"`
	Responses map[string]json.RawMessage `json:"responses"`

	method, path string
}

func (o operation) role() string {
	for _, s := range o.Security {
		for _, roles := range s {
			return roles[0]
		}
	}
	return ""
}

func (s *server) operations() (out []operation) {
	s.t.Helper()
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	if code := s.call("", "GET", "/openapi.json", "", &doc); code != http.StatusOK {
		s.t.Fatal(code)
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			o.method, o.path = strings.ToUpper(method), path
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

// address fills the parameters of a path with what does not exist.
func (o operation) address() string {
	return strings.NewReplacer("{ref}", "userId:nobody", "{id}", "none", "{kind}", "action", "{version}", "999999").Replace(o.path)
}

// includes tells which roles may do what a role may.
var includes = map[string][]string{
	"viewer": {"viewer", "analyst", "marketer", "admin"}, "analyst": {"analyst", "marketer", "admin"},
	"marketer": {"marketer", "admin"}, "admin": {"admin"}, "source": {"source", "marketer", "admin"},
}

func TestEveryOperationIsDocumentedAndUnambiguous(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := map[string]bool{}
	all := s.operations()
	for _, o := range all {
		if o.ID == "" || o.Summary == "" || o.Description == "" || len(o.Tags) == 0 || len(o.Responses) == 0 || ids[o.ID] {
			t.Errorf("%s %s is documented as %+v", o.method, o.path, o)
		}
		ids[o.ID] = true
	}
	if len(all) < 40 {
		t.Errorf("%d operations", len(all))
	}
}

func TestTheOpenAPIDocumentIsStableAndItsReferencesLead(t *testing.T) {
	t.Parallel()
	read := func() []byte {
		s := start(t)
		resp, err := http.Get(s.url + "/openapi.json")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, b := read(), read()
	if !bytes.Equal(a, b) {
		t.Error("two servers give different documents")
	}
	var doc struct {
		OpenAPI    string `json:"openapi"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(a, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("version %q, %v", doc.OpenAPI, err)
	}
	const ref = `"$ref":"#/components/schemas/`
	for rest := string(a); ; {
		at := strings.Index(rest, ref)
		if at < 0 {
			break
		}
		rest = rest[at+len(ref):]
		if name := rest[:strings.IndexByte(rest, '"')]; doc.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %q", name)
		}
	}
}

func TestEveryOperationKeepsItsRole(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, o := range s.operations() {
		role := o.role()
		if role == "" { // open, or with rules of its own
			continue
		}
		// A body that fits nothing, so that nothing is done where it is allowed.
		body := ""
		if o.RequestBody != nil {
			body = `{"none":0}`
		}
		var problem struct {
			Status    int
			Detail    string
			RequestID string
		}
		if code := s.call("", o.method, o.address(), body, &problem); code != http.StatusUnauthorized || problem.Status != code || problem.Detail == "" || problem.RequestID == "" {
			t.Errorf("%s %s without a token: %d %+v", o.method, o.path, code, problem)
		}
		for _, who := range []string{"viewer", "analyst", "marketer", "source"} {
			if slices.Contains(includes[role], who) {
				continue
			}
			if code := s.call(s.tokens[who], o.method, o.address(), body, &problem); code != http.StatusForbidden {
				t.Errorf("%s %s as %s: %d", o.method, o.path, who, code)
			}
		}
	}
}

func TestWhatIsNotThereAndWhatIsWrongIsSaidSo(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, o := range s.operations() {
		switch {
		case o.RequestBody != nil:
			for _, body := range []string{`{`, `[]`, `{"none":0}`, `"x"`} {
				var problem struct{ Detail string }
				token := admin
				if code := s.call(token, o.method, o.address(), body, &problem); code < 400 || code >= 500 || problem.Detail == "" {
					if o.ID == "config-check" || o.ID == "config-plan" || o.ID == "config-apply" {
						continue // an empty text is a text
					}
					t.Errorf("%s %s answers %d %+v to %s", o.method, o.path, code, problem, body)
				}
			}
		case strings.Contains(o.path, "{"):
			var problem struct{ Detail string }
			if code := s.call(admin, o.method, o.address(), "", &problem); code != http.StatusNotFound && code != http.StatusBadRequest && code != http.StatusUnprocessableEntity || problem.Detail == "" {
				t.Errorf("%s %s answers %d %+v", o.method, o.address(), code, problem)
			}
		}
	}
	for _, path := range []string{"/v1/people?limit=0", "/v1/people?limit=x", "/v1/decisions?outcome=maybe", "/v1/people?after=nowhere", "/v1/people/nonsense", "/v1/config/history?limit=-1", "/v1/audit?before=then"} {
		var problem struct{ Detail string }
		if code := s.call(admin, "GET", path, "", &problem); code != http.StatusBadRequest && code != http.StatusUnprocessableEntity || problem.Detail == "" {
			t.Errorf("%s answers %d %+v", path, code, problem)
		}
	}
}

func TestFailuresOfOthersLockNobodyOut(t *testing.T) {
	t.Parallel()
	s := start(t)
	limited := false
	for range 60 {
		code := s.call("rp_guess", "GET", "/v1/people", "", nil)
		limited = limited || code == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("who guesses is not held up")
	}
	if code := s.call(admin, "GET", "/v1/people", "", nil); code != http.StatusOK {
		t.Errorf("a token in use is answered with %d", code)
	}
	if code := s.call(s.tokens["viewer"], "GET", "/v1/people", "", nil); code != http.StatusTooManyRequests {
		t.Errorf("a token that might have been guessed is answered with %d", code)
	}
}
