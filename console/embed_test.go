package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rapport-engine/rapport/console"
)

// built is a small application with the compressed forms a build makes.
func built(t *testing.T) *console.Handler {
	t.Helper()
	h, err := console.New(fstest.MapFS{
		".gitkeep":                  {},
		"index.html":                {Data: []byte("<!doctype html>app")},
		"theme.js":                  {Data: []byte("theme")},
		"assets/index-A1b2.js":      {Data: []byte("plain script")},
		"assets/index-A1b2.js.gz":   {Data: []byte("gz")},
		"assets/index-A1b2.js.br":   {Data: []byte("br")},
		"assets/inter-C3d4.woff2":   {Data: []byte("font")},
		"assets/index-A1b2.css":     {Data: []byte("style")},
		"assets/sub/deep-E5f6.js":   {Data: []byte("deep")},
		"assets/.hidden":            {Data: []byte("hidden")},
		"assets/index-A1b2.css.map": {Data: []byte("{}")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryPathWithoutAFileIsTheApplication(t *testing.T) {
	t.Parallel()
	h := built(t)
	for _, target := range []string{"/", "/people", "/people/p_0123", "/people/email:a@b.c", "/setup/config/action/x", "/index.html", "/a/../people", "/.gitkeep", "/%2e%2e/secret"} {
		r := get(t, h, target)
		if r.StatusCode != http.StatusOK || body(t, r) != "<!doctype html>app" {
			t.Errorf("GET %s: %d, not the application", target, r.StatusCode)
		}
		if got := r.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("GET %s: Cache-Control %q, want no-cache", target, got)
		}
	}
}

func TestEveryAnswerForbidsInlineScriptAndOtherOrigins(t *testing.T) {
	t.Parallel()
	h := built(t)
	for _, target := range []string{"/", "/assets/index-A1b2.js", "/assets/none.js"} {
		csp := get(t, h, target).Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("GET %s: policy %q lacks %q", target, csp, want)
			}
		}
		for _, refused := range []string{"unsafe", "http:", "https:", "*"} {
			if strings.Contains(csp, refused) {
				t.Errorf("GET %s: policy %q allows %q", target, csp, refused)
			}
		}
	}
}

func TestHashedAssetsAreCachedForEverAndMissingOnesAreNotFound(t *testing.T) {
	t.Parallel()
	h := built(t)
	r := get(t, h, "/assets/index-A1b2.js")
	if got := r.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control %q", got)
	}
	if got := r.Header.Get("Content-Type"); !strings.Contains(got, "javascript") {
		t.Errorf("Content-Type %q", got)
	}
	if got := get(t, h, "/assets/inter-C3d4.woff2").Header.Get("Content-Type"); got != "font/woff2" {
		t.Errorf("font Content-Type %q", got)
	}
	for _, target := range []string{"/assets/index-gone.js", "/assets/.hidden", "/assets/index-A1b2.js.gz"} {
		if r := get(t, h, target); r.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", target, r.StatusCode)
		}
	}
}

func TestTheSmallestAcceptedFormIsSent(t *testing.T) {
	t.Parallel()
	h := built(t)
	for _, c := range []struct{ accept, encoding, want string }{
		{"", "", "plain script"},
		{"gzip", "gzip", "gz"},
		{"gzip, deflate, br", "br", "br"},
		{"br;q=0, gzip;q=0.5", "gzip", "gz"},
		{"br; q=0.000, identity", "", "plain script"},
		{"GZIP", "gzip", "gz"},
	} {
		r := get(t, h, "/assets/index-A1b2.js", "Accept-Encoding", c.accept)
		if got := r.Header.Get("Content-Encoding"); got != c.encoding || body(t, r) != c.want {
			t.Errorf("Accept-Encoding %q: encoding %q, want %q", c.accept, got, c.encoding)
		}
		if r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: no Vary", c.accept)
		}
	}
}

func TestAnUnchangedPageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	h := built(t)
	tag := get(t, h, "/").Header.Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	if r := get(t, h, "/people", "If-None-Match", tag); r.StatusCode != http.StatusNotModified {
		t.Errorf("status %d, want 304", r.StatusCode)
	}
}

func TestTheConsoleIsOnlyRead(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	built(t).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("status %d, want 405", w.Code)
	}
}

func TestABinaryWithoutTheConsoleSaysHowToBuildIt(t *testing.T) {
	t.Parallel()
	h, err := console.New(fstest.MapFS{".gitkeep": {}})
	if err != nil {
		t.Fatal(err)
	}
	r := get(t, h, "/people")
	if text := body(t, r); r.StatusCode != http.StatusOK || !strings.Contains(text, "make console") {
		t.Errorf("%d %s", r.StatusCode, text)
	}
}

func TestTheEmbeddedConsoleOpens(t *testing.T) {
	t.Parallel()
	h, err := console.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if r := get(t, h, "/"); r.StatusCode != http.StatusOK {
		t.Errorf("status %d", r.StatusCode)
	}
}
