package bench_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/bench"
)

// TestMain lets the test binary be the other processes of a measurement.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		var err error
		switch os.Args[1] {
		case "bench-worker":
			err = bench.Worker(ctx, os.Stdin, os.Stdout)
		case "serve":
			err = serve(ctx, os.Args[2:])
		case "late": // somebody else has the port at first
			err = late(ctx, os.Args[2], os.Args[3:])
		case "fall-over":
			err = fmt.Errorf("the disk is on fire")
		default:
			stop()
			os.Exit(m.Run())
		}
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// late serves from its second start on; the first leaves a mark.
func late(ctx context.Context, mark string, args []string) error {
	if _, err := os.Stat(mark); err == nil {
		return serve(ctx, args)
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	return &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
}

// fake is the least that answers like the server under measurement.
type fake struct {
	mu     sync.Mutex
	ids    map[string]bool
	probes map[string]string
	calls  int
}

func serve(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen, data, config := fs.String("listen", "", ""), fs.String("data", "", ""), fs.String("config", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if b, err := os.ReadFile(*config + "/bench.yaml"); err != nil || !strings.Contains(string(b), "id: action-49") {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.MkdirAll(*data, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(*data+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f := &fake{ids: map[string]bool{}, probes: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		fmt.Fprintf(w, "# HELP x\nrapport_engine_events_folded_total{partition=\"0\"} %d\nrapport_engine_events_folded_total{partition=\"1\"} 0\n", len(f.ids))
	})
	mux.HandleFunc("POST /v1/batch", func(w http.ResponseWriter, r *http.Request) {
		if key, _, _ := r.BasicAuth(); key != "wk_bench_load" {
			w.WriteHeader(401)
			return
		}
		body, err := io.ReadAll(r.Body)
		var b struct {
			Batch []struct {
				MessageID, UserID, AnonymousID string
				Traits                         map[string]any
			}
		}
		if err == nil {
			err = json.Unmarshal(body, &b)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.calls++; f.calls%5 == 0 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
			return
		}
		for _, e := range b.Batch {
			if f.ids[e.MessageID] || len(e.UserID) != 10 {
				err = fmt.Errorf("event %+v", e)
			}
			f.ids[e.MessageID] = true
			for _, v := range e.Traits {
				f.probes[e.UserID] += fmt.Sprint(v)
			}
		}
		if err != nil {
			w.WriteHeader(400)
			fmt.Fprint(w, err)
			return
		}
		if _, err := log.Write(body); err != nil {
			w.WriteHeader(503)
		}
		fmt.Fprint(w, `{"success":true}`)
	})
	admin := func(r *http.Request) bool {
		return r.Header.Get("Authorization") == "Bearer "+os.Getenv("RAPPORT_ADMIN_TOKEN")
	}
	mux.HandleFunc("GET /v1/people/{ref}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !admin(r) {
			w.WriteHeader(401)
			return
		}
		fmt.Fprintf(w, `{"traits":%q}`, f.probes[strings.TrimPrefix(r.PathValue("ref"), "userId:")])
	})
	mux.HandleFunc("POST /v1/decide", func(w http.ResponseWriter, r *http.Request) {
		if !admin(r) {
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, `{"decisionId":"d","items":[]}`)
	})
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: mux}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return log.Close()
}

func options() bench.Options {
	return bench.Options{
		Serve: []string{os.Args[0], "serve"}, Worker: []string{os.Args[0], "bench-worker"},
		People: 5000, Connections: 4, Seconds: 0.6, Warmup: 0.2, ReadRate: 2000, DecideRate: 200, EventsRate: 1000,
	}
}

func TestIngestMeasuresAServerOfItsOwnAgainstTheMachine(t *testing.T) {
	t.Parallel()
	o := options()
	o.Preload, o.Restart = true, true
	r, err := bench.Ingest(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Preload.Events < 10_000 || r.Preload.Failed > 0 {
		t.Errorf("preload %+v", r.Preload)
	}
	if l := r.Ingest; l.EventsPerSecond <= 0 || l.Failed > 0 || l.Refused == 0 || l.Request.Count == 0 || l.CPUSecondsPerMillion == nil || *l.CPUSecondsPerMillion <= 0 || *l.DiskBytesPerEvent < 400 {
		t.Errorf("ingest %+v", l)
	}
	if r.EventBytes < 550 || r.EventBytes > 650 {
		t.Errorf("events have %.0f bytes", r.EventBytes)
	}
	if p := r.Readable; p.Read.Count == 0 || p.Read.P50 > p.Read.P99 || p.Late > 0 || p.Load.Seconds <= 0 {
		t.Errorf("readable %+v", p)
	}
	if r.Restart.CleanSeconds <= 0 || r.Restart.KillSeconds <= 0 || r.Restart.Events < 10_000 {
		t.Errorf("restart %+v", r.Restart)
	}
	if r.Limits.Bare.EventsPerSecond <= 0 || r.Limits.Discard.EventsPerSecond <= 0 || r.ShareOfDiscard <= 0 || r.Limits.AppendEventsPerSecond <= 0 || r.ShareOfBare <= 0 || r.ShareOfAppend <= 0 || r.RSS <= 0 || r.PeakRSS < r.RSS {
		t.Errorf("limits %+v, shares %v and %v, memory %d and %d", r.Limits, r.ShareOfBare, r.ShareOfAppend, r.RSS, r.PeakRSS)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestDecideMeasuresDecisionsBesideALoad(t *testing.T) {
	t.Parallel()
	r, err := bench.Decide(t.Context(), options())
	if err != nil {
		t.Fatal(err)
	}
	if r.Decisions == 0 || r.Failed > 0 || r.Due.Count != r.Decisions || r.Empty != r.Decisions || r.Events.Events == 0 || r.Events.Failed > 0 {
		t.Errorf("report %+v", r)
	}
}

func TestAServerWhosePortSomebodyTookIsGivenAnother(t *testing.T) {
	t.Parallel()
	o := options()
	o.Serve = []string{os.Args[0], "late", filepath.Join(t.TempDir(), "mark")}
	if r, err := bench.Decide(t.Context(), o); err != nil || r.Failed > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAServerThatFallsOverIsToldWithItsLastWords(t *testing.T) {
	t.Parallel()
	o := options()
	o.Serve = []string{os.Args[0], "fall-over"}
	if _, err := bench.Ingest(t.Context(), o); rapport.KindOf(err) != rapport.Unavailable || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("%v", err)
	}
	for name, o := range map[string]bench.Options{
		"people":  {People: -1},
		"zipf":    {ZipfS: 0.5},
		"key":     {URL: "http://127.0.0.1:1"},
		"restart": {URL: "http://127.0.0.1:1", Key: "k", Restart: true},
		"url":     {URL: "127.0.0.1", Key: "k"},
	} {
		if _, err := bench.Decide(t.Context(), o); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
