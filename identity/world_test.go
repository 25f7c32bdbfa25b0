package identity_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/state"
)

const partitions = 4

// stepClock moves one second with every look at it, and never waits.
type stepClock struct{ now atomic.Int64 }

func (c *stepClock) Now() time.Time { return time.UnixMilli(c.now.Add(1000)) }
func (c *stepClock) After(time.Duration) <-chan time.Time {
	done := make(chan time.Time, 1)
	done <- c.Now()
	return done
}

// world is a resolver over a log in memory, and what an engine would have made of that log.
type world struct {
	t     testing.TB
	log   eventlog.Log
	store *state.Store
	clock *stepClock
	*identity.Resolver
	limit  int
	rules  *identity.Rules
	said   *said
	model  []identity.LikenessModelDoc
	stop   func()
	halted bool // stopped, and not started again
	n      int
}

func newWorld(t testing.TB, log eventlog.Log) *world {
	t.Helper()
	store, err := state.Open(state.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), CacheBytes: 8 << 20, MemTableBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, log: log, store: store, clock: &stepClock{}}
	w.start()
	t.Cleanup(func() {
		w.stop()
		_ = log.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func memory() *eventlogtest.Memory {
	m := eventlogtest.NewMemory(partitions)
	m.Clock = &stepClock{}
	return m
}

func (w *world) start() {
	w.halted = false
	w.t.Helper()
	o := identity.Options{
		Key: []byte("a key for tests only"), Log: w.log, State: w.store, Clock: w.clock,
		Logger: slog.New(slog.DiscardHandler), MaxIdentifiers: w.limit, Rules: w.rules,
	}
	if w.said != nil {
		o.Sources, o.Publish = w.said, w.publish
	}
	r, err := identity.Open(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Resolver = r
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		w.stop, w.halted = func() {}, true
	}
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// event builds an event from words: "u=anna a=phone1 e=a@b.no prev=x". The
// first word may be a call ("identify", "alias"); track is the default.
func (w *world) event(words string) rapport.Event {
	w.n++
	e := rapport.Event{Type: rapport.TypeTrack, Name: "Seen", Source: "web", MessageID: fmt.Sprint("m", w.n), ReceivedAt: w.clock.Now().UnixMilli()}
	e.Timestamp = e.ReceivedAt
	kinds := map[string]string{"u": rapport.KindUserID, "e": rapport.KindEmail, "p": rapport.KindPhone, "l": "loyalty", "a": rapport.KindAnonymousID}
	for _, word := range strings.Fields(words) {
		k, v, _ := strings.Cut(word, "=")
		switch k {
		case "identify", "alias":
			e.Type = rapport.ParseEventType(k)
		case "prev":
			e.PreviousID = v
		default:
			v, ok := identity.Normalize(kinds[k], v)
			if !ok {
				w.t.Fatalf("%s is no identifier", word)
			}
			e.Identifiers = append(e.Identifiers, rapport.Identifier{Kind: kinds[k], Value: v})
		}
	}
	sort.SliceStable(e.Identifiers, func(i, j int) bool {
		return rapport.RankOf(e.Identifiers[i].Kind) < rapport.RankOf(e.Identifiers[j].Kind)
	})
	return e
}

// send stamps and appends events as a door does, and returns the stamped ones.
func (w *world) send(lines ...string) []rapport.Event {
	w.t.Helper()
	events := make([]rapport.Event, len(lines))
	for i, l := range lines {
		events[i] = w.event(l)
	}
	if err := w.submit(events); err != nil {
		w.t.Fatal(err)
	}
	return events
}

func (w *world) submit(events []rapport.Event) error {
	s, err := w.Stamp(events)
	if err != nil {
		return err
	}
	var records []eventlog.Record
	for i := range events {
		records = append(records, engine.EventRecord(&events[i], [16]byte{}, w.Resolver.Partition(&events[i], partitions)))
	}
	p := w.log.Submit(append(records, s.Records...))
	s.Submitted(p)
	return p.Wait(context.Background())
}

// unlimited lets any number of people share a value.
func (w *world) unlimited() {
	w.t.Helper()
	none := 0
	var docs []identity.KindDoc
	for _, kind := range []string{"userId", "email", "phone", "loyalty", "anonymousId"} {
		docs = append(docs, identity.KindDoc{ID: kind, PeoplePerValue: &none, ValuesPerPerson: &none})
	}
	rules, err := identity.CompileRules(docs)
	if err != nil {
		w.t.Fatal(err)
	}
	w.rules = rules
	w.SetRules(rules)
}

// weighed waits until all evidence has been weighed.
func (w *world) weighed() {
	w.t.Helper()
	if err := w.Weighed(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ref(ref string) rapport.ID {
	w.t.Helper()
	id, err := w.Ref(ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) who(ref string) identity.Who {
	w.t.Helper()
	who, err := w.Who(w.t.Context(), w.ref(ref))
	if err != nil {
		w.t.Fatal(err)
	}
	return who
}

// same checks which refs are one person: groups are separated by "|".
func (w *world) same(groups string) {
	w.t.Helper()
	owner := map[rapport.ID]string{}
	for _, g := range strings.Split(groups, "|") {
		refs := strings.Fields(g)
		first := w.ref(refs[0])
		for _, r := range refs[1:] {
			if w.ref(r) != first {
				w.t.Errorf("%s and %s are two people", refs[0], r)
			}
		}
		if other, taken := owner[first]; taken {
			w.t.Errorf("%s and %s are one person", refs[0], other)
		}
		owner[first] = refs[0]
	}
}

// enginelike does with the records of the events topic what an engine does, in
// the order of submission, and knows at which entity each fragment is.
type enginelike struct {
	t        testing.TB
	at       map[rapport.ID]rapport.ID
	redirect map[rapport.ID]went
	gone     map[[2]rapport.ID]went // entity, fragment
}

// went says where something went and when.
type went struct {
	to   rapport.ID
	when int64
}

func placement(t testing.TB, log eventlog.Log) map[rapport.ID]rapport.ID {
	t.Helper()
	var all []eventlog.Record
	for p := range int32(partitions) {
		all = append(all, records(t, log, eventlog.Events, p)...)
	}
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].Time != all[j].Time {
			return all[i].Time < all[j].Time
		}
		return early(all[i].Kind) < early(all[j].Kind)
	})
	g := enginelike{t, map[rapport.ID]rapport.ID{}, map[rapport.ID]went{}, map[[2]rapport.ID]went{}}
	for _, r := range all {
		switch r.Kind {
		case engine.KindEvent:
			var e rapport.Event
			if _, err := engine.EventOf(&r, &e); err != nil {
				t.Fatal(err)
			}
			g.at[e.Fragment] = g.follow(e.Entity, e.Fragment, -1)
		case engine.KindMerge:
			g.merge(rapport.ID(r.Data[:16]), rapport.ID(r.Data[16:32]), r.Time)
		case engine.KindRevive:
			delete(g.redirect, rapport.ID(r.Data[:16]))
		case engine.KindSplit:
			g.split(rapport.ID(r.Data[:16]), rapport.ID(r.Data[16:32]), rapport.ID(r.Data[32:48]), r.Time)
		}
	}
	return g.at
}

// early orders the records of one moment, which are of one submission: what
// stands alone again does so before anything arrives there, as it lies in front
// of it in the same partition, and what leaves does so before the rest is merged.
func early(kind uint8) int {
	switch kind {
	case engine.KindEvent:
		return 0
	case engine.KindRevive:
		return 1
	case engine.KindSplit:
		return 2
	}
	return 3
}

// follow goes where the entity and the fragment went, never back in time.
func (g *enginelike) follow(id, fragment rapport.ID, when int64) rapport.ID {
	for range 64 {
		next, ok := g.redirect[id]
		if !ok || next.when < when {
			if next, ok = g.gone[[2]rapport.ID{id, fragment}]; !ok || next.when < when {
				return id
			}
		}
		id, when = next.to, next.when
	}
	g.t.Fatal("redirects run in a circle")
	return id
}

func (g *enginelike) merge(from, to rapport.ID, when int64) {
	if next, ok := g.redirect[from]; ok {
		if next.to != to {
			g.merge(next.to, to, when)
		}
		return
	}
	if to = g.follow(to, rapport.ID{}, -1); to == from {
		return
	}
	for f, e := range g.at {
		if e == from {
			g.arrive(f, to)
		}
	}
	g.redirect[from] = went{to, when}
}

// arrive puts a fragment where it came back to, if it had left before.
func (g *enginelike) arrive(fragment, at rapport.ID) {
	g.at[fragment] = at
	delete(g.gone, [2]rapport.ID{at, fragment})
}

func (g *enginelike) split(entity, fragment, target rapport.ID, when int64) {
	if target.Partition(partitions) == entity.Partition(partitions) {
		delete(g.redirect, target)
	}
	if g.at[fragment] != entity {
		entity = g.follow(entity, fragment, -1)
	}
	if entity == target {
		return
	}
	if g.at[fragment] == entity {
		g.arrive(fragment, g.follow(target, fragment, when))
	}
	g.gone[[2]rapport.ID{entity, fragment}] = went{target, when}
}

func records(t testing.TB, log eventlog.Log, topic eventlog.Topic, p int32) (out []eventlog.Record) {
	t.Helper()
	first, next := log.Bounds(topic, p)
	if first == next {
		return nil
	}
	reader, err := log.Reader(topic, p, first)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for int64(len(out)) < next-first {
		some, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, some...)
	}
	return out
}

// recorder remembers what was submitted, in order.
type recorder struct {
	eventlog.Log
	mu  sync.Mutex
	all []eventlog.Record
}

func (r *recorder) Submit(records []eventlog.Record) eventlog.Pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, records...)
	return r.Log.Submit(records)
}

// inOrder does with the records of the events topic what an engine does that is
// never behind.
func (r *recorder) inOrder(t testing.TB) map[rapport.ID]rapport.ID {
	t.Helper()
	at, redirect := map[rapport.ID]rapport.ID{}, map[rapport.ID]rapport.ID{}
	follow := func(id rapport.ID) rapport.ID {
		for range 100 {
			next, ok := redirect[id]
			if !ok {
				return id
			}
			id = next
		}
		t.Fatal("redirects run in a circle")
		return id
	}
	for i := range r.all {
		rec := &r.all[i]
		if rec.Topic != eventlog.Events {
			continue
		}
		id := func(n int) rapport.ID { return rapport.ID(rec.Data[16*n : 16*n+16]) }
		switch rec.Kind {
		case engine.KindEvent:
			var e rapport.Event
			if _, err := engine.EventOf(rec, &e); err != nil {
				t.Fatal(err)
			}
			at[e.Fragment] = follow(e.Entity)
		case engine.KindMerge:
			for f, e := range at {
				if e == id(0) {
					at[f] = id(1)
				}
			}
			redirect[id(0)] = id(1)
		case engine.KindErase:
			maps.DeleteFunc(at, func(_, e rapport.ID) bool { return e == id(0) })
			delete(redirect, id(0))
		case engine.KindRevive:
			delete(redirect, id(0))
		case engine.KindSplit:
			if id(2).Partition(partitions) == id(0).Partition(partitions) {
				delete(redirect, id(2))
			}
			if f := id(1); at[f] == follow(id(0)) {
				at[f] = id(2)
			}
		}
	}
	return at
}
