package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/rapport-engine/rapport/test/port"
)

// TestALakeInABucketHoldsWhatWasAcknowledgedOnceWhereverTheServerIsKilled kills a
// server whose lake lies in object storage that is away at first, and answers
// badly now and then; then SQL must tell of each event once.
func TestALakeInABucketHoldsWhatWasAcknowledgedOnceWhereverTheServerIsKilled(t *testing.T) {
	t.Parallel()
	const secret = "wJalrXUtnFEMI-not-a-real-secret"
	back := s3mem.New()
	if err := back.CreateBucket("history"); err != nil {
		t.Fatal(err)
	}
	server := gofakes3.New(back).Server()
	var away, flaky atomic.Bool
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(7, 8))
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n) == 0
	}
	s3 := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case away.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case flaky.Load() && chance(20): // it was done, and nobody heard
			server.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case flaky.Load() && chance(20): // broken in the middle
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
			panic(http.ErrAbortHandler)
		default:
			server.ServeHTTP(w, r)
		}
	}))
	s3.Config.ErrorLog = log.New(io.Discard, "", 0)
	s3.Start()
	defer s3.Close()

	var said bytes.Buffer
	p := &program{
		t: t, dir: t.TempDir(), addr: port.Reserve(t), says: &said, flags: []string{"--lake-every", "5ms", "--lake", "s3://history/shop?endpoint=" + s3.URL},
		env: []string{"AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull},
	}
	away.Store(true)
	p.start()
	n := 0
	send := func() bool {
		batch := make([]map[string]any, 0, 20)
		for range 20 {
			n++
			batch = append(batch, event("track", fmt.Sprint("lake-", n), map[string]any{"event": "Thing Done", "anonymousId": fmt.Sprintf("a%d", n%30), "timestamp": noon.Add(-time.Duration(n%3) * 24 * time.Hour).Format(time.RFC3339)}))
		}
		body, _ := json.Marshal(map[string]any{"batch": batch})
		return post(p.addr, body)
	}
	if !send() {
		t.Fatal("events are refused while the bucket is away")
	}
	acknowledged := 20
	ask := func(sql string) (a answer, code int) {
		b, _ := json.Marshal(map[string]any{"sql": sql, "timeoutSeconds": 30})
		req, _ := http.NewRequest("POST", "http://"+p.addr+"/v1/sql", bytes.NewReader(b))
		req.Header.Set("Authorization", "Bearer "+adminToken)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a, resp.StatusCode
	}
	if a, code := ask("SELECT 1"); code != http.StatusServiceUnavailable || a.Detail == "" {
		t.Errorf("asked while the bucket is away: %d %q", code, a.Detail)
	}
	away.Store(false)
	kills := 4
	if testing.Short() {
		kills = 2
	}
	for range kills {
		flaky.Store(true)
		killed := make(chan struct{})
		mu.Lock()
		after := time.Duration(rng.IntN(300)) * time.Millisecond
		mu.Unlock()
		go func() {
			<-time.After(after) // the random point
			_ = p.cmd.Process.Kill()
			close(killed)
		}()
		for send() {
			acknowledged += 20
		}
		<-killed
		_ = p.cmd.Wait()
		flaky.Store(false)
		if chance(2) {
			if err := os.RemoveAll(filepath.Join(p.dir, "lake-cache")); err != nil {
				t.Fatal(err)
			}
		}
		p.start()
	}
	written(t, "http://"+p.addr)
	a, code := ask("SELECT count(*), count(DISTINCT message_id), count(DISTINCT day) FROM events WHERE type = 'track'")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, a.Detail)
	}
	rows, different := int(a.Rows[0][0].(float64)), int(a.Rows[0][1].(float64))
	if rows != different || rows < acknowledged || rows > n || a.Rows[0][2] != 3.0 {
		t.Errorf("%d rows of %d different events on %v days; %d of %d were acknowledged", rows, different, a.Rows[0][2], acknowledged, n)
	}
	p.kill()
	if strings.Contains(said.String(), secret) || strings.Contains(said.String(), "AKIDTEST") {
		t.Error("a secret stands in the server's log")
	}
	if files := holding(t, p.dir, secret); len(files) > 0 {
		t.Errorf("a secret stands in %v", files)
	}
}
