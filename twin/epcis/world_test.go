package epcis_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/state"
	"github.com/rapport-engine/rapport/twin/epcis"
)

// items records what items were told.
type items struct {
	log   eventlog.Log
	mu    sync.Mutex
	facts []epcis.Fact
	heard chan struct{}
}

func (x *items) Tell(ctx context.Context, facts []epcis.Fact, mark eventlog.Record) error {
	if err := eventlog.Append(ctx, x.log, mark); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.facts = append(x.facts, facts...)
	select {
	case x.heard <- struct{}{}:
	default:
	}
	return nil
}

func (x *items) of(name string) []epcis.Fact {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []epcis.Fact
	for _, f := range x.facts {
		if f.Item == name {
			out = append(out, f)
		}
	}
	return out
}

type world struct {
	tb    testing.TB
	log   eventlog.Log
	chain *epcis.Chain
	items *items
	stop  func()
}

func newWorld(tb testing.TB, log eventlog.Log, store *state.Store, n epcis.Notifier) *world {
	tb.Helper()
	x := &items{log: log, heard: make(chan struct{}, 1)}
	w := startWorld(tb, epcis.Deps{Log: log, Store: store, Clock: rapport.SystemClock{}, Items: x, Notify: n, Logger: slog.New(slog.DiscardHandler)})
	w.items = x
	return w
}

func startWorld(tb testing.TB, d epcis.Deps) *world {
	tb.Helper()
	w := &world{tb: tb, log: d.Log}
	chain, err := epcis.Open(d)
	if err != nil {
		tb.Fatal(err)
	}
	w.chain = chain
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	go func() { done <- chain.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			tb.Errorf("run: %v", err)
		}
	})
	tb.Cleanup(w.stop)
	return w
}

func openStore(tb testing.TB) *state.Store {
	tb.Helper()
	s, err := state.Open(state.Options{Dir: tb.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func memory(tb testing.TB) eventlog.Log {
	tb.Helper()
	return eventlogtest.NewMemory(1)
}

var begin = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// at is the time of the n-th hour of the story.
func at(hour int) string { return begin.Add(time.Duration(hour) * time.Hour).Format(time.RFC3339) }

func list(ids ...string) string {
	return `["` + strings.Join(ids, `","`) + `"]`
}

func object(hour int, action, step, where string, things ...string) string {
	return fmt.Sprintf(`{"type":"ObjectEvent","eventTime":"%s","eventTimeZoneOffset":"+00:00","action":"%s","bizStep":"%s","bizLocation":{"id":"%s"},"epcList":%s}`, at(hour), action, step, where, list(things...))
}

func pack(hour int, action, step, parent string, children ...string) string {
	kids := ""
	if len(children) > 0 {
		kids = `,"childEPCs":` + list(children...)
	}
	return fmt.Sprintf(`{"type":"AggregationEvent","eventTime":"%s","eventTimeZoneOffset":"+00:00","action":"%s","bizStep":"%s","parentID":"%s"%s}`, at(hour), action, step, parent, kids)
}

func document(events ...string) []byte {
	return []byte(`{"@context":["` + epcis.Context + `",{"ext":"https://example.com/ext/"}],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-03-01T08:00:00Z","epcisBody":{"eventList":[` + strings.Join(events, ",") + `]}}`)
}

func (w *world) capture(events ...string) *epcis.Job {
	w.tb.Helper()
	return w.captureAs(epcis.Rollback, events...)
}

func (w *world) captureAs(b epcis.Behaviour, events ...string) *epcis.Job {
	w.tb.Helper()
	doc, err := epcis.Parse(document(events...), "application/ld+json", epcis.Limits{})
	if err != nil {
		w.tb.Fatal(err)
	}
	j, err := w.chain.Capture(w.tb.Context(), doc, b)
	if err != nil {
		w.tb.Fatal(err)
	}
	return j
}

func (w *world) find(p epcis.Params) []*epcis.Event {
	w.tb.Helper()
	q, err := epcis.Compile(p)
	if err != nil {
		w.tb.Fatal(err)
	}
	page, err := w.chain.Find(w.tb.Context(), q)
	if err != nil {
		w.tb.Fatal(err)
	}
	return page.Events
}

const (
	factory = "urn:epc:id:sgln:0952012.00001.0"
	shop    = "urn:epc:id:sgln:0952012.00002.0"
)

func canister(serial int) string {
	return fmt.Sprintf("https://id.gs1.org/01/09520123456788/10/LOT7/21/C%d", serial)
}

func sscc(n int) string {
	return fmt.Sprintf("urn:epc:id:sscc:0952012.%010d", n)
}
