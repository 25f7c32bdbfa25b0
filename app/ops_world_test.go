package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/eventlog/local"
)

const houseToken = "rp_0123456789abcdefghjkmnpqrstvwxyz"

// houseEnv is the environment of houses.
var houseEnv = map[string]string{"CRM_SECRET": "a secret of sixteen bytes"}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// manual is a clock that stands until it is moved.
type manual struct {
	mu      sync.Mutex
	now     time.Time
	waiting []waiter
}

type waiter struct {
	due time.Time
	c   chan time.Time
}

func (m *manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *manual) After(d time.Duration) <-chan time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan time.Time, 1)
	m.waiting = append(m.waiting, waiter{m.now.Add(d), c})
	m.release()
	return c
}

func (m *manual) move(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	m.release()
}

func (m *manual) release() {
	kept := m.waiting[:0]
	for _, w := range m.waiting {
		if w.due.After(m.now) {
			kept = append(kept, w)
			continue
		}
		w.c <- m.now
	}
	m.waiting = kept
}

// house is a running server.
type house struct {
	t     *testing.T
	dir   string
	clock *manual
	url   string
	stop  func()
	// retain are the days of Options.RetainDays.
	retain int
	// logDays are those of Options.LogDays; with any, the log is trimmed often.
	logDays int
	log     *slog.Logger
	fs      local.FS
}

// newHouse returns a server with one source whose key is wk_web_1234.
func newHouse(t *testing.T, retain int) *house {
	h := &house{t: t, dir: filepath.Join(t.TempDir(), "data"), clock: &manual{now: noon}, retain: retain}
	h.start()
	h.apply("kind: source\nid: web\nkey: wk_web_1234\nunplanned: allow\n---\nkind: placement\nid: hero\nslots: 1\n---\nkind: action\nid: hello\ntype: offer\nplacements: [hero]\ncontent: {title: Hello}\n" +
		"---\nkind: schema\nid: order\nevent: Order Completed\nproperties: {revenue: {type: number}}\n")
	return h
}

func (h *house) start() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := h.log
	if log == nil {
		log = slog.New(slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := app.Open(ctx, app.Options{
		Data: h.dir, LakeEvery: 10 * time.Millisecond, Listen: "127.0.0.1:0", Partitions: 4, AdminToken: houseToken, CacheMB: 32, RetainDays: h.retain,
		Clock: h.clock, Logger: log, Getenv: func(name string) string { return houseEnv[name] }, WebhookAllow: "127.0.0.0/8", LogFS: h.fs,
		LogDays: h.logDays, FlushEvery: time.Duration(h.logDays) * 10 * time.Millisecond,
	})
	if err != nil {
		cancel()
		h.t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		h.t.Fatalf("the server ended: %v", err)
	}
	h.url = s.URL
	once := sync.Once{}
	h.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				h.t.Errorf("the server ended with %v", err)
			}
			if err := s.Close(); err != nil {
				h.t.Error(err)
			}
		})
	}
	h.t.Cleanup(h.stop)
}

// call makes a request and decodes the answer into out, if that is not nil.
func (h *house) call(method, path, body string, out any) int {
	h.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+houseToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			h.t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, text, err)
		}
	}
	return resp.StatusCode
}

func (h *house) apply(yaml string) {
	h.t.Helper()
	b, _ := json.Marshal(map[string]any{"yaml": yaml})
	var answer map[string]any
	if code := h.call("POST", "/v1/config/apply", string(b), &answer); code != http.StatusOK {
		h.t.Fatalf("apply: %d %v", code, answer)
	}
}

// send sends events as the source web.
func (h *house) send(events ...string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "POST", h.url+"/v1/batch", strings.NewReader(`{"batch":[`+strings.Join(events, ",")+`]}`))
	if err != nil {
		h.t.Fatal(err)
	}
	req.SetBasicAuth("wk_web_1234", "")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("batch: %d %s", resp.StatusCode, text)
	}
}

type job struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Error string `json:"error"`
}

// finished waits until all of a job is done.
func (h *house) finished(id string) {
	h.t.Helper()
	await(h.t, "job "+id+" is done", func() bool {
		var j job
		if code := h.call("GET", "/v1/jobs/"+id, "", &j); code != http.StatusOK {
			h.t.Fatalf("job %s: %d", id, code)
		}
		return j.Done == j.Total && j.State == "done"
	})
}

func (h *house) erase(ref string) string {
	h.t.Helper()
	var j job
	if code := h.call("DELETE", "/v1/people/"+ref, "", &j); code != http.StatusAccepted {
		h.t.Fatalf("erase %s: %d", ref, code)
	}
	return j.ID
}

// holding lists the files below a folder that contain a text.
func holding(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var data []byte
		if err == nil && !d.IsDir() {
			data, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // a running server removed it meanwhile
			return nil
		}
		if bytes.Contains(bytes.ToLower(data), []byte(strings.ToLower(text))) {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// run runs the program and returns its exit code and what it wrote.
func run(t *testing.T, environment map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = app.Main(t.Context(), app.Env{
		Args: args, Getenv: func(name string) string { return environment[name] },
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
	})
	return code, out.String(), errs.String()
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// someone sends what a shopper does: on a device, then signed in with e-mail and phone.
func (h *house) someone(user, email, phone string) {
	h.t.Helper()
	stamp := h.clock.Now().Add(-time.Minute).Format(time.RFC3339)
	for i, e := range []string{
		`{"type":"page","anonymousId":"dev-%[1]s","name":"Home"`,
		`{"type":"identify","userId":"%[1]s","anonymousId":"dev-%[1]s","traits":{"name":"%[1]s","email":"%[2]s","phone":"%[3]s"}`,
		`{"type":"track","event":"Order Completed","userId":"%[1]s","properties":{"revenue":12,"note":"mail to %[2]s"}`,
		`{"type":"track","event":"Newsletter Read","anonymousId":"reader-%[1]s","context":{"traits":{"email":"%[2]s"}}`,
		`{"type":"track","event":"Order Completed","userId":"%[1]s","properties":{"revenue":"broken","note":"%[2]s"},"context":{"traits":{"email":"%[2]s"}}`,
	} {
		h.send(fmt.Sprintf(e+`,"messageId":"%[4]s-%[5]d","timestamp":"%[6]s"}`, user, email, phone, user+h.clock.Now().Format("150405"), i, stamp))
	}
	if code := h.call("POST", "/v1/decide", fmt.Sprintf(`{"person":{"userId":%q},"placement":"hero","context":{"hint":%q}}`, user, email), nil); code != http.StatusOK {
		h.t.Fatalf("decide: %d", code)
	}
}
