package identity_test

import (
	"cmp"
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
// evidence, and for each device its intervals and their owners.
type model struct {
	edges   map[edge]bool // true: evidence, false: withdrawn
	mint    func(kind, value string, epoch uint32) rapport.ID
	devices map[string]*deviceModel
}

type edge struct {
	a, b     rapport.ID
	explicit bool // somebody said so
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

func (m *model) edge(a, b rapport.ID, explicit bool) {
	if _, known := m.edges[edge{a, b, explicit}]; !known && a != b {
		m.edges[edge{a, b, explicit}] = true
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
			m.edge(m.mint(i.Kind, i.Value, 0), id, false)
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
		m.edge(d.running, id, false)
	}
	if e.Type == rapport.TypeAlias && e.PreviousID != strong.Value {
		m.edge(m.mint(rapport.KindUserID, e.PreviousID, 0), id, true)
	}
	return id
}

func (m *model) withdraw(e edge) {
	m.edges[e] = false
	for value, d := range m.devices {
		if d.owner[e.a] == e.b {
			delete(d.owner, e.a)
			if d.latest[e.b] == e.a {
				delete(d.latest, e.b)
			}
			if d.running == e.a {
				d.running = m.next(value, d)
			}
		}
	}
}

// counts says which evidence counts: explicit evidence always; other evidence
// if its ends are as near as can be to the same user, or to none.
func (m *model) counts() map[edge]bool {
	block := map[rapport.ID]rapport.ID{} // nodes that somebody said are one
	find := func(id rapport.ID) rapport.ID {
		for block[id] != (rapport.ID{}) {
			id = block[id]
		}
		return id
	}
	nodes := map[rapport.ID]bool{}
	for e, stands := range m.edges {
		if stands {
			nodes[e.a], nodes[e.b] = true, true
			if a, b := find(e.a), find(e.b); e.explicit && a != b {
				block[a] = b
			}
		}
	}
	// Distances to every user, by relaxation.
	far := 1 << 20
	distance := map[[2]rapport.ID]int{}
	get := func(n, user rapport.ID) int {
		if d, ok := distance[[2]rapport.ID{n, user}]; ok {
			return d
		}
		return far
	}
	users := map[rapport.ID]bool{}
	for n := range nodes {
		if n.Rank() == rapport.RankUserID {
			users[find(n)] = true
			distance[[2]rapport.ID{find(n), find(n)}] = 0
		}
	}
	for changed := true; changed; {
		changed = false
		for e, stands := range m.edges {
			a, b := find(e.a), find(e.b)
			for u := range users {
				for _, p := range [][2]rapport.ID{{a, b}, {b, a}} {
					// The way to one user does not lead through another.
					if stands && !(users[p[0]] && p[0] != u) && !(users[p[1]] && p[1] != u) && get(p[0], u)+1 < get(p[1], u) {
						distance[[2]rapport.ID{p[1], u}] = get(p[0], u) + 1
						changed = true
					}
				}
			}
		}
	}
	nearest := func(n rapport.ID) (who rapport.ID) {
		best := far
		n = find(n)
		for u := range users {
			switch d := get(n, u); {
			case d < best:
				best, who = d, u
			case d == best && d < far:
				who = rapport.ID{0xff} // contested
			}
		}
		return who
	}
	out := map[edge]bool{}
	for e, stands := range m.edges {
		out[e] = stands && (e.explicit || nearest(e.a) == nearest(e.b))
	}
	return out
}

// people returns for every node the least id of its person.
func (m *model) people() func(rapport.ID) rapport.ID {
	up := map[rapport.ID]rapport.ID{}
	find := func(id rapport.ID) rapport.ID {
		for {
			next, ok := up[id]
			if !ok || next == id {
				return id
			}
			id = next
		}
	}
	for e, counts := range m.counts() {
		if a, b := find(e.a), find(e.b); counts && a != b {
			if a.Compare(b) < 0 {
				a, b = b, a
			}
			up[a] = b
		}
	}
	return find
}

func randomEvent(r *rand.Rand, users int) string {
	pick := func(prefix string, n int) string { return fmt.Sprintf(" %s%d", prefix, r.IntN(n)) }
	switch r.IntN(9) {
	case 8:
		return "alias" + pick("u=user", users) + pick("prev=user", users)
	case 0, 1:
		return pick("a=dev", 3)
	case 2, 3:
		return pick("u=user", users) + pick("a=dev", 3)
	case 4:
		return pick("u=user", users) + pick("e=mail", 4) + "@x.no"
	case 5:
		return pick("e=mail", 4) + "@x.no" + pick("a=dev", 3)
	case 6:
		return pick("u=user", users) + pick("l=card", 4) + pick("a=dev", 3)
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
		log := &recorder{Log: memory()}
		w := newWorld(t, log)
		w.unlimited()
		m := &model{edges: map[edge]bool{}, mint: w.Mint, devices: map[string]*deviceModel{}}
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
					lines[i] = randomEvent(r, 6)
				}
				for i, e := range w.send(lines...) {
					if want := m.take(&e); e.Fragment != want {
						t.Fatalf("seed %d: event %q folds into %s, want %s", seed, lines[i], e.Fragment, want)
					}
					fragments[e.Fragment] = true
				}
			}
		}
		w.weighed()
		person := m.people()
		name := map[rapport.ID]rapport.ID{} // least id of the model's person to the resolver's
		for f := range fragments {
			want, got := person(f), w.Person(f)
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
		for f, e := range log.inOrder(t) {
			if w.Person(f) != e {
				t.Fatalf("seed %d: the engine has fragment %s at %s, not at %s", seed, f, e, w.Person(f))
			}
		}
	}
}

func withdrawOne(t *testing.T, r *rand.Rand, w *world, m *model) {
	t.Helper()
	w.weighed()
	var stand []edge
	for e, stands := range m.edges {
		if stands {
			stand = append(stand, e)
		}
	}
	if len(stand) == 0 {
		return
	}
	slices.SortFunc(stand, func(x, y edge) int {
		return cmp.Or(x.a.Compare(y.a), x.b.Compare(y.b), cmp.Compare(fmt.Sprint(x.explicit), fmt.Sprint(y.explicit)))
	})
	e := stand[r.IntN(len(stand))]
	who, err := w.Who(t.Context(), w.Person(e.a))
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(who.Links, who.Held)
	at := slices.IndexFunc(all, func(l identity.Link) bool {
		return l.A == e.a && l.B == e.b && (l.Kind == identity.Alias) == e.explicit
	})
	if at < 0 {
		t.Fatalf("link %v is not in the journal", e)
	}
	if held := at >= len(who.Links); held == m.counts()[e] {
		t.Fatalf("link %v is held: %v", e, held)
	}
	if err := w.Unmerge(t.Context(), who.Person, all[at].ID, "test"); err != nil {
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
		users := 1
		if w.unlimited(); seed%2 == 1 {
			users, w.rules = 5, randomRules(t, r)
			w.SetRules(w.rules)
		}
		fragments := map[rapport.ID]bool{}
		for range 80 {
			lines := make([]rapport.Event, 1+r.IntN(3))
			for i := range lines {
				lines[i] = w.event(randomEvent(r, users))
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
		w.weighed()
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
