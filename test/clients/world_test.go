// Package clients_test runs the clients shops really use, unmodified, against
// the collection handlers: Node, browser (in Chromium) and Go.
package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/identity"
)

const writeKey = "wk_clients_1234"

// patience is how long a client may take to deliver everything, with all its
// waiting between attempts.
const patience = 4 * time.Minute

// fault is what happens to one request.
type fault string

const (
	unavailable fault = "503"
	slowDown    fault = "429 with Retry-After"
	cutAfter    fault = "taken, then the connection is cut"
	cutBefore   fault = "the connection is cut"
)

// weather lets faults happen to the first posts.
type weather struct {
	mu     sync.Mutex
	faults []fault  // still to come, one for each post
	posts  []string // what became of every post
}

// server is the real collection handler over a log in memory, behind faults.
type server struct {
	*httptest.Server
	*weather
	door *collect.Door
	log  *eventlogtest.Memory
}

func serve(t *testing.T, faults ...fault) *server {
	t.Helper()
	s := &server{log: eventlogtest.NewMemory(2), weather: &weather{faults: faults}}
	s.door = collect.New(collect.Deps{Log: s.log, Resolver: strangers{}, Clock: rapport.SystemClock{}})
	config, err := collect.Compile(collect.Documents{Sources: []collect.SourceDoc{{ID: "shop", Key: writeKey}}})
	if err != nil {
		t.Fatal(err)
	}
	s.door.Apply(config)
	mux := http.NewServeMux()
	s.door.Register(mux)
	s.Server = httptest.NewServer(s.disturb(mux))
	t.Cleanup(s.Close)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.door.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// left returns how many faults have not happened yet.
func (s *weather) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

// disturb lets the faults happen before h.
func (s *weather) disturb(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			h.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		f := fault("")
		if len(s.faults) > 0 {
			f, s.faults = s.faults[0], s.faults[1:]
		}
		s.posts = append(s.posts, r.URL.Path+" "+string(f))
		s.mu.Unlock()
		switch f {
		case unavailable, slowDown:
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
			status := http.StatusServiceUnavailable
			if f == slowDown {
				w.Header().Set("Retry-After", "1")
				status = http.StatusTooManyRequests
			}
			w.WriteHeader(status)
		case cutAfter:
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case cutBefore:
			panic(http.ErrAbortHandler)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// events returns what stands in the log, in order, each message once: the
// engine folds a message once whatever number of times a client sent it.
func (s *server) events(t *testing.T) []rapport.Event {
	t.Helper()
	seen := map[[16]byte]bool{}
	var out []rapport.Event
	for p := range s.log.Partitions(eventlog.Events) {
		first, next := s.log.Bounds(eventlog.Events, int32(p))
		r, err := s.log.Reader(eventlog.Events, int32(p), first)
		if err != nil {
			t.Fatal(err)
		}
		for at := first; at < next; {
			records, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i := range records {
				var e rapport.Event
				print, err := engine.DecodeEventRecord(records[i].Data, &e)
				if err != nil {
					t.Fatal(err)
				}
				if !seen[print] {
					seen[print] = true
					out = append(out, e)
				}
			}
			at = records[len(records)-1].Offset + 1
		}
		_ = r.Close()
	}
	return out
}

// await waits until n different events have arrived and all faults have happened.
func (s *server) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		left := s.left()
		if len(s.events(t)) >= n && left == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d of %d events arrived; %d faults did not happen; posts: %q", len(s.events(t)), n, left, s.posts)
		}
	}
}

// check holds that every call arrived once and whole.
func (s *server) check(t *testing.T, types ...rapport.EventType) {
	t.Helper()
	got := map[rapport.EventType][]rapport.Event{}
	for _, e := range s.events(t) {
		got[e.Type] = append(got[e.Type], e)
	}
	for _, typ := range types {
		if len(got[typ]) != 1 {
			t.Errorf("%d events of type %s: %+v", len(got[typ]), typ, got[typ])
			continue
		}
		e := got[typ][0]
		delete(got, typ)
		if e.Source != "shop" || e.MessageID == "" || strings.HasPrefix(e.MessageID, "minted-") {
			t.Errorf("%s: source %q, message id %q", typ, e.Source, e.MessageID)
		}
		if e.UserID != "user-1" {
			t.Errorf("%s: user %q", typ, e.UserID)
		}
		age := time.Since(rapport.Time(e.Timestamp))
		if age < -5*time.Second || age > 2*patience || e.OriginalTimestamp == 0 || e.ReceivedAt == 0 || e.SentAt == 0 {
			t.Errorf("%s: happened %v ago, times %d %d %d", typ, age, e.OriginalTimestamp, e.SentAt, e.ReceivedAt)
		}
		if library, _ := e.Context.Path("library", "name"); library.Str() == "" {
			t.Errorf("%s: no library in the context %s", typ, e.Context.AppendJSON(nil))
		}
		checkFields(t, &e)
	}
	for typ, events := range got {
		t.Errorf("%d events of type %s that nobody sent: %+v", len(events), typ, events)
	}
	if n := s.door.Stats().Held.Load(); n != 0 {
		page, _ := s.door.Quarantine().List(t.Context(), collect.HeldFilter{})
		t.Errorf("%d events are in quarantine: %+v", n, page.Events)
	}
}

func checkFields(t *testing.T, e *rapport.Event) {
	t.Helper()
	want := func(what string, ok bool) {
		if !ok {
			t.Errorf("%s: %s is wrong: %+v", e.Type, what, *e)
		}
	}
	switch e.Type {
	case rapport.TypeIdentify:
		plan, _ := e.Traits.Get("plan")
		want("trait plan", plan.Str() == "pro")
		named := false
		for _, id := range e.Identifiers {
			named = named || id == rapport.Identifier{Kind: rapport.KindEmail, Value: "kari@example.no"}
		}
		want("identifier email", named)
	case rapport.TypeTrack:
		revenue, _ := e.Properties.Get("revenue")
		n, _ := revenue.Number()
		want("event", e.Name == "Order Completed" && n == 20.5)
	case rapport.TypePage:
		want("name", e.Name == "Home")
	case rapport.TypeScreen:
		want("name", e.Name == "Start")
	case rapport.TypeGroup:
		name, _ := e.Traits.Get("name")
		want("group", e.GroupID == "group-1" && name.Str() == "Northbean")
	case rapport.TypeAlias:
		want("previous id", e.PreviousID == "anon-1")
	}
}

// strangers takes every strongest identifier for a person of its own.
type strangers struct{}

func (strangers) Stamp(events []rapport.Event) (identity.Stamped, error) {
	for i := range events {
		h := fnv.New128a()
		_, _ = h.Write([]byte(events[i].Identifiers[0].Value))
		h.Sum(events[i].Entity[:0])
		events[i].Fragment = events[i].Entity
	}
	return identity.Stamped{}, nil
}

func (strangers) Partition(e *rapport.Event, n int) int32 { return int32(e.Entity.Partition(n)) }

// script is a running Node program.
type script struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// node starts a script of this folder, or skips the test where Node or the
// packages are not installed.
func node(t *testing.T, name string, args ...string) *script {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat("node_modules"); err != nil {
		t.Skip("the clients are not installed: run npm ci in test/clients")
	}
	if name == "browser.mjs" {
		chromium := os.Getenv("CHROMIUM")
		if chromium == "" {
			chromium = "/usr/bin/chromium"
		}
		if _, err := os.Stat(chromium); err != nil {
			t.Skip("Chromium is not installed: run make deps-test, or set CHROMIUM to its path")
		}
	}
	s := &script{t: t, cmd: exec.CommandContext(t.Context(), "node", append([]string{name}, args...)...)}
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(os.Interrupt) }
	s.cmd.WaitDelay = 10 * time.Second
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// stop ends the script's input and waits for it.
func (s *script) stop() {
	s.t.Helper()
	_ = s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("%v: %s", err, s.stderr.String())
	}
}

// asked returns the addresses a page asked for outside its own server.
func (s *script) asked() []string {
	s.t.Helper()
	var origins []string
	if err := json.Unmarshal(s.stdout.Bytes(), &origins); err != nil {
		s.t.Fatalf("%v in %q, %s", err, s.stdout.String(), s.stderr.String())
	}
	return origins
}

func (f fault) String() string { return fmt.Sprintf("%q", string(f)) }
