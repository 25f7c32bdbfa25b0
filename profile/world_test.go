package profile_test

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/state"
)

const partitions = 4

// start is noon of a Thursday.
var start = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// clock stands still until a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(time.Duration) <-chan time.Time { return nil }

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// world is a whole server without its doors: identity, log, engine and profile.
type world struct {
	t     testing.TB
	clock *clock
	log   eventlog.Log
	who   *identity.Resolver
	eng   *engine.Engine
	zones profile.Zones
	n     int
	parts int // partitions of the events topic
}

func newWorld(t testing.TB, config *profile.Config) *world {
	t.Helper()
	return newWorldOf(t, config, partitions)
}

func newWorldOf(t testing.TB, config *profile.Config, parts int) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: start}, parts: parts}
	memory := eventlogtest.NewMemory(parts)
	memory.Clock = w.clock
	w.log = memory
	logger := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	store, err := state.Open(state.Options{Dir: dir + "/state", Logger: logger, CacheBytes: 8 << 20, MemTableBytes: 4 << 20})
	w.must(err)
	w.who, err = identity.Open(context.Background(), identity.Options{
		Key: []byte("a key for tests only"), Log: w.log, State: store, Clock: w.clock, Logger: logger,
		Settled: func(ctx context.Context) error {
			return w.eng.View(ctx, rapport.ID{}, nil, func(*engine.View) error { return nil })
		},
	})
	w.must(err)
	w.eng, err = engine.Open(engine.Options{
		Log: w.log, Store: store, Clock: w.clock, Logger: logger, EraseKey: []byte("another key for tests"),
		Folds: []engine.Fold{profile.ActivityFold{}, profile.ConsentFold{}, profile.AboutFold{}, profile.AggregateFold{Config: config}, profile.TimelineFold{}},
	})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{w.eng.Run, w.who.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		w.must(store.Close())
	})
	w.must(w.eng.Ready(t.Context()))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// event builds an event from words, as the scenario files write it:
//
//	identify u=anna a=phone traits.email=anna@b.no
//	track "Order Completed" u=anna revenue=20 sku=beans
//	alias u=new prev=old
func (w *world) event(at time.Time, line string) rapport.Event {
	w.t.Helper()
	words := fields(line)
	e := rapport.Event{Type: rapport.ParseEventType(words[0]), Source: "web", MessageID: fmt.Sprintf("m%d", w.n)}
	w.n++
	e.Timestamp, e.ReceivedAt = rapport.Millis(at), rapport.Millis(w.clock.Now())
	if e.Type == 0 {
		w.t.Fatalf("%q: no such call", words[0])
	}
	sets := map[string]map[string]any{}
	for i, word := range words[1:] {
		k, v, ok := strings.Cut(word, "=")
		if !ok {
			if i > 0 {
				w.t.Fatalf("%q is neither the name nor a field", word)
			}
			e.Name = word
			continue
		}
		kind := map[string]string{"u": rapport.KindUserID, "e": rapport.KindEmail, "p": rapport.KindPhone, "a": rapport.KindAnonymousID, "traits.email": rapport.KindEmail}[k]
		if kind != "" {
			n, ok := identity.Normalize(kind, v)
			if !ok {
				w.t.Fatalf("%q names nobody", word)
			}
			e.Identifiers = append(e.Identifiers, rapport.Identifier{Kind: kind, Value: n})
		}
		set, key := "properties", k
		switch root, rest, nested := strings.Cut(k, "."); {
		case k == "prev":
			e.PreviousID = v
			continue
		case k == "source":
			e.Source = v
			continue
		case len(k) == 1 && kind != "":
			continue
		case nested && (root == "traits" || root == "context" || root == "consent"):
			set, key = root, rest
		}
		if sets[set] == nil {
			sets[set] = map[string]any{}
		}
		sets[set][key] = value(v)
	}
	if c := sets["consent"]; c != nil {
		if sets["context"] == nil {
			sets["context"] = map[string]any{}
		}
		sets["context"]["consent"] = map[string]any{"categoryPreferences": c}
	}
	e.Properties, e.Traits, e.Context = rapport.FieldsOf(sets["properties"]), rapport.FieldsOf(sets["traits"]), rapport.FieldsOf(sets["context"])
	sort.SliceStable(e.Identifiers, func(i, j int) bool {
		return rapport.RankOf(e.Identifiers[i].Kind) < rapport.RankOf(e.Identifiers[j].Kind)
	})
	return e
}

func value(s string) any {
	v := rapport.NumberText(s)
	switch {
	case s == "true" || s == "false":
		return s == "true"
	case s == "null":
		return nil
	case !v.IsNull():
		return v
	}
	return s
}

// fields splits a line at spaces outside double quotes.
func fields(line string) (out []string) {
	quoted := false
	word := func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}
	for _, f := range strings.FieldsFunc(line, word) {
		out = append(out, strings.ReplaceAll(f, `"`, ""))
	}
	return out
}

// send stamps and appends an event as a door does.
func (w *world) send(lines ...string) {
	w.t.Helper()
	for _, line := range lines {
		w.sendAt(w.clock.Now(), line)
	}
}

func (w *world) sendAt(at time.Time, line string) {
	w.t.Helper()
	w.submit([]rapport.Event{w.event(at, line)})
}

func (w *world) submit(events []rapport.Event) {
	w.t.Helper()
	s, err := w.who.Stamp(events)
	w.must(err)
	var records []eventlog.Record
	for i := range events {
		e := &events[i]
		records = append(records, engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), w.who.Partition(e, w.parts)))
	}
	p := w.log.Submit(append(records, s.Records...))
	s.Submitted(p)
	w.must(p.Wait(w.t.Context()))
}

func (w *world) ref(ref string) rapport.ID {
	w.t.Helper()
	w.must(w.who.Weighed(w.t.Context()))
	id, err := w.who.Ref(ref)
	w.must(err)
	return id
}

func (w *world) view(id rapport.ID, fn func(v *engine.View)) {
	w.t.Helper()
	w.must(w.eng.View(w.t.Context(), id, nil, func(v *engine.View) error { fn(v); return nil }))
}

// states returns the bytes of every fold of a person, and the events on the timeline.
func (w *world) states(id rapport.ID) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	var tl *profile.Timeline
	w.view(id, func(v *engine.View) {
		if !v.Exists() {
			return
		}
		for _, f := range []string{profile.FoldActivity, profile.FoldConsent, profile.FoldAbout, profile.FoldAggregate} {
			out[f] = string(v.State(f).AppendBinary(nil))
		}
		tl = profile.TimelineOf(v)
	})
	for _, e := range w.timeline(tl) {
		out["timeline"] += fmt.Sprintln(e.Timestamp, e.Name, e.MessageID)
	}
	return out
}

// timeline reads the events that a timeline points to, newest first, and closes it.
func (w *world) timeline(tl *profile.Timeline) (out []rapport.Event) {
	w.t.Helper()
	if tl == nil {
		return nil
	}
	w.must(tl.Walk(profile.TimelineKey{}, func(k profile.TimelineEntry) bool {
		reader, err := w.log.Reader(eventlog.Events, k.Partition, k.Offset)
		w.must(err)
		defer reader.Close()
		records, err := reader.Next(w.t.Context())
		w.must(err)
		var e rapport.Event
		if ok, err := engine.EventAt(&records[0], &e); !ok || err != nil {
			w.t.Fatalf("entry %v points at no event: %v", k, err)
		}
		out = append(out, e)
		return true
	}))
	w.must(tl.Close())
	return out
}
