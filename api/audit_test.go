package api_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestWhatAClientDidNotWaitForIsAuditedAllTheSame hangs up behind each change.
func TestWhatAClientDidNotWaitForIsAuditedAllTheSame(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i := range 40 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"yaml":"kind: placement\nid: shelf\nslots: %d\n"}`, 1+i%9)
		fmt.Fprintf(c, "POST /v1/config/apply HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", admin, len(body), body)
		<-time.After(time.Duration(i) * 100 * time.Microsecond) // so that it is at another point each time
		_ = c.Close()
	}
	if code := s.call(admin, "POST", "/v1/config/apply", `{"yaml":"kind: placement\nid: side\nslots: 1\n"}`, nil); code != http.StatusOK {
		t.Fatal(code)
	}
	counts := func() (versions, audited int) {
		var history struct{ Versions []struct{ Version int } }
		s.call(admin, "GET", "/v1/config/history?limit=100", "", &history)
		var log struct{ Entries []struct{ Action string } }
		s.call(admin, "GET", "/v1/audit?limit=1000", "", &log)
		for _, e := range log.Entries {
			if e.Action == "config.apply" {
				audited++
			}
		}
		return len(history.Versions), audited
	}
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(10 * time.Millisecond) {
		versions, audited := counts()
		if audited >= versions && versions > 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d versions %d are in the audit log", versions, audited)
		}
	}
}
