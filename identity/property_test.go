package identity_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/state"
)

// model is identity as one would explain it, without any regard for speed: the
// edges that stand, and for each device its intervals and their owners.
type model struct {
	edges   map[[2]rapport.ID]bool // true: stands, false: withdrawn
	mint    func(kind, value string, epoch uint32) rapport.ID
	devices map[string]*deviceModel
}

type deviceModel struct {
	running rapport.ID
	epochs  uint32
	owner   map[rapport.ID]rapport.ID // of intervals
	latest  map[rapport.ID]rapport.ID // interval by owner
}

func (m *model) device(value string) *deviceModel {
	d := m.devices[value]
	if d == nil {
		d = &deviceModel{
			running: m.mint(rapport.KindAnonymousID, value, 0), epochs: 1,
			owner: map[rapport.ID]rapport.ID{}, latest: map[rapport.ID]rapport.ID{},
		}
		m.devices[value] = d
	}
	return d
}

func (m *model) next(value string, d *deviceModel) rapport.ID {
	d.epochs++
	return m.mint(rapport.KindAnonymousID, value, d.epochs-1)
}

func (m *model) edge(a, b rapport.ID) {
	if _, known := m.edges[[2]rapport.ID{a, b}]; !known {
		m.edges[[2]rapport.ID{a, b}] = true
	}
}

// take folds an event in and returns the fragment it belongs to.
func (m *model) take(e *rapport.Event) rapport.ID {
	strong := e.Identifiers[0]
	if strong.Kind == rapport.KindAnonymousID {
		return m.device(strong.Value).running
	}
	id := m.mint(strong.Kind, strong.Value, 0)
	for _, i := range e.Identifiers[1:] {
		if i.Kind != rapport.KindAnonymousID {
			m.edge(m.mint(i.Kind, i.Value, 0), id)
			continue
		}
		d := m.device(i.Value)
		switch owner := d.owner[d.running]; {
		case owner == id:
			continue
		case owner != rapport.ID{}:
			interval, theirs := d.latest[id]
			if d.running = interval; !theirs {
				d.running = m.next(i.Value, d)
			}
		}
		d.owner[d.running], d.latest[id] = id, d.running
		m.edge(d.running, id)
	}
	return id
}

func (m *model) withdraw(e [2]rapport.ID) {
	m.edges[e] = false
	for value, d := range m.devices {
		if d.owner[e[0]] == e[1] {
			delete(d.owner, e[0])
			if d.latest[e[1]] == e[0] {
				delete(d.latest, e[1])
			}
			if d.running == e[0] {
				d.running = m.next(value, d)
			}
		}
	}
}

// person names the component of a node by the least id in it.
func (m *model) person(id rapport.ID) rapport.ID {
	seen, todo, least := map[rapport.ID]bool{id: true}, []rapport.ID{id}, id
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at.Compare(least) < 0 {
			least = at
		}
		for e, stands := range m.edges {
			for _, other := range e {
				if stands && (e[0] == at || e[1] == at) && !seen[other] {
					seen[other] = true
					todo = append(todo, other)
				}
			}
		}
	}
	return least
}

func randomEvent(r *rand.Rand) string {
	pick := func(prefix string, n int) string { return fmt.Sprintf(" %s%d", prefix, r.IntN(n)) }
	switch r.IntN(8) {
	case 0, 1:
		return pick("a=dev", 3)
	case 2, 3:
		return pick("u=user", 4) + pick("a=dev", 3)
	case 4:
		return pick("u=user", 4) + pick("e=mail", 4) + "@x.no"
	case 5:
		return pick("e=mail", 4) + "@x.no" + pick("a=dev", 3)
	case 6:
		return pick("u=user", 4) + pick("l=card", 4) + pick("a=dev", 3)
	}
	return pick("e=mail", 4) + "@x.no" + pick("l=card", 4)
}

func TestAnySequenceEndsInWhatTheLinksThatStandSay(t *testing.T) {
	t.Parallel()
	runs := 60
	if testing.Short() {
		runs = 10
	}
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, memory())
		m := &model{edges: map[[2]rapport.ID]bool{}, mint: w.Mint, devices: map[string]*deviceModel{}}
		fragments := map[rapport.ID]bool{}
		for range 60 {
			switch r.IntN(12) {
			case 0:
				w.restart()
			case 1:
				if err := w.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			case 2:
				withdrawOne(t, r, w, m)
			default:
				lines := make([]string, 1+r.IntN(4))
				for i := range lines {
					lines[i] = randomEvent(r)
				}
				for i, e := range w.send(lines...) {
					if want := m.take(&e); e.Fragment != want {
						t.Fatalf("seed %d: event %q folds into %s, want %s", seed, lines[i], e.Fragment, want)
					}
					fragments[e.Fragment] = true
				}
			}
		}
		name := map[rapport.ID]rapport.ID{} // least id of the model's person to the resolver's
		for f := range fragments {
			want, got := m.person(f), w.Person(f)
			if known, ok := name[want]; ok && known != got {
				t.Fatalf("seed %d: one person of the model is two", seed)
			}
			name[want] = got
		}
		people := map[rapport.ID]bool{}
		for _, got := range name {
			if people[got] {
				t.Fatalf("seed %d: two people of the model are one", seed)
			}
			people[got] = true
		}
		for f, e := range placement(t, w.log) {
			if w.Person(f) != e {
				t.Fatalf("seed %d: the engine has fragment %s at %s, not at %s", seed, f, e, w.Person(f))
			}
		}
	}
}

func withdrawOne(t *testing.T, r *rand.Rand, w *world, m *model) {
	t.Helper()
	var stand [][2]rapport.ID
	for e, stands := range m.edges {
		if stands {
			stand = append(stand, e)
		}
	}
	if len(stand) == 0 {
		return
	}
	slices.SortFunc(stand, func(a, b [2]rapport.ID) int {
		if c := a[0].Compare(b[0]); c != 0 {
			return c
		}
		return a[1].Compare(b[1])
	})
	e := stand[r.IntN(len(stand))]
	who, err := w.Who(t.Context(), w.Person(e[0]))
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(who.Links, func(l identity.Link) bool { return l.A == e[0] && l.B == e[1] })
	if at < 0 {
		t.Fatalf("link %v is not in the journal", e)
	}
	if err := w.Unmerge(t.Context(), who.Person, who.Links[at].ID, "test"); err != nil {
		t.Fatal(err)
	}
	m.withdraw(e)
}

func TestWhatAFailedSubmissionLinkedIsUndone(t *testing.T) {
	t.Parallel()
	runs := 30
	if testing.Short() {
		runs = 5
	}
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 2))
		log := eventlogtest.NewChaos(memory(), eventlogtest.Faults{Seed: seed, Refuse: 0.2, LoseAnswer: 0.1, Repeat: 0.0, Reassign: 0.1})
		w := newWorld(t, log)
		fragments := map[rapport.ID]bool{}
		for range 80 {
			lines := make([]rapport.Event, 1+r.IntN(3))
			for i := range lines {
				lines[i] = w.event(randomEvent(r))
			}
			if err := w.submit(lines); err != nil && rapport.KindOf(err) != rapport.Unavailable {
				t.Fatal(err)
			}
			for _, e := range lines {
				fragments[e.Fragment] = true
			}
		}
		log.Heal()
		for i := 0; ; i++ { // linking works again
			e := []rapport.Event{w.event(fmt.Sprintf("u=user0 l=new%d", i))}
			if err := w.submit(e); err == nil {
				break
			}
		}
		for w.Metrics().Waiting > 0 {
			runtime.Gosched()
		}
		before := map[rapport.ID]rapport.ID{}
		for f := range fragments {
			before[f] = w.Person(f)
		}
		w.restart()
		for f, p := range before {
			if got := w.Person(f); got != p {
				t.Fatalf("seed %d: %s was %s, after a restart %s", seed, f, p, got)
			}
		}
		fresh := reopenOn(t, w)
		for f, p := range before {
			if got := fresh.Person(f); fresh.Person(p) != got {
				t.Fatalf("seed %d: the log says %s, memory said %s", seed, got, p)
			}
		}
		for f, e := range placement(t, w.log) {
			if w.Person(f) != e {
				t.Fatalf("seed %d: the engine has fragment %s at %s, not at %s", seed, f, e, w.Person(f))
			}
		}
	}
}

// reopenOn folds the same log anew.
func reopenOn(t *testing.T, w *world) *identity.Resolver {
	t.Helper()
	store, err := state.Open(state.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r, err := identity.Open(t.Context(), identity.Options{
		Key: []byte("a key for tests only"), Log: w.log, State: store, Clock: w.clock, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
