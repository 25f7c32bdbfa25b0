package app_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rapport-engine/rapport/app"
)

func TestASpanIsNamedByTheRouteAndNotByThePerson(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var spans strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(&spans, r.Body)
	}))
	t.Cleanup(collector.Close)
	s := open(t, t.TempDir(), func(o *app.Options) { o.TraceEndpoint, o.TraceRatio = collector.URL+"/v1/traces", 1 })
	s.send(event("identify", "1", map[string]any{"userId": "secret-ada", "traits": map[string]any{"name": "Ada"}}))
	s.must("GET", "/v1/people/userId:secret-ada", nil)
	s.end()
	mu.Lock()
	defer mu.Unlock()
	got := spans.String()
	if !strings.Contains(got, "GET /v1/people/{ref}") || !strings.Contains(got, "POST /v1/batch") || strings.Contains(got, "secret-ada") {
		t.Errorf("spans: %q", got)
	}
}
