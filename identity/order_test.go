package identity_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/identity"
)

// story is what happens: lines, each from one of some devices or from none.
type story struct {
	lines  []string
	client []int // of each line: a device, or 3 for none
	refs   []string
	rules  *identity.Rules
	decide []func(*world) // after each span of lines
}

func randomStory(t *testing.T, r *rand.Rand, n int) (s story) {
	t.Helper()
	nodes := map[string]bool{}
	for range n {
		line, at := randomEvent(r, 6), 3
		for _, word := range strings.Fields(line) {
			k, v, _ := strings.Cut(word, "=")
			switch k {
			case "a":
				at = int(v[3] - '0')
				nodes["anonymousId:"+v] = true
			case "u":
				nodes["userId:"+v] = true
			case "e":
				nodes["email:"+v] = true
			case "l":
				nodes["loyalty:"+v] = true
			}
		}
		s.lines, s.client = append(s.lines, line), append(s.client, at)
	}
	s.refs = slices.Sorted(maps.Keys(nodes))
	s.rules = randomRules(t, r)
	return s
}

// randomRules have small limits.
func randomRules(t *testing.T, r *rand.Rand) *identity.Rules {
	t.Helper()
	var docs []identity.KindDoc
	for _, kind := range []string{"email", "loyalty", "anonymousId", "userId"} {
		people, values := 1+r.IntN(4), 1+r.IntN(6)
		d := identity.KindDoc{ID: kind}
		if r.IntN(4) > 0 {
			d.PeoplePerValue = &people
		}
		if r.IntN(2) > 0 && kind != "anonymousId" {
			d.ValuesPerPerson = &values
		}
		docs = append(docs, d)
	}
	rules, err := identity.CompileRules(docs)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// An arrival is a way in which a story may happen.
type arrival struct {
	name string
	// between is called after every line.
	between func(w *world, r *rand.Rand)
	// halted: nothing is weighed before all has happened and the process was
	// started anew.
	halted bool
}

func arrivals() []arrival {
	return []arrival{
		{name: "weighed once, after a crash", halted: true},
		{name: "weighed after every event", between: func(w *world, _ *rand.Rand) { w.weighed() }},
		{name: "weighed whenever the guard gets to it", between: func(*world, *rand.Rand) {}},
		{name: "weighed and started anew now and then", between: func(w *world, r *rand.Rand) {
			switch r.IntN(30) {
			case 0:
				w.restart()
			case 1:
				if err := w.Checkpoint(); err != nil {
					w.t.Fatal(err)
				}
			case 2, 3, 4, 5, 6, 7:
				w.weighed()
			}
		}},
		{name: "weighed now and then, with crashes", between: func(w *world, r *rand.Rand) {
			switch r.IntN(15) {
			case 0:
				w.stop() // what follows is stamped and not weighed
			case 1, 2:
				if w.halted {
					w.start()
				} else {
					w.weighed()
				}
			}
		}},
	}
}

// happen lets a story happen and returns who is who in the end: every
// identifier, and every event, with the first of those of the same person.
func (s *story) happen(t *testing.T, r *rand.Rand, a arrival) []string {
	t.Helper()
	log := &recorder{Log: memory()}
	w := newWorld(t, log)
	w.rules = s.rules
	w.restart()
	fragments := make([]rapport.ID, len(s.lines))
	for begin := 0; begin < len(s.lines); begin += spanLines {
		var left [4][]int
		for i := begin; i < min(begin+spanLines, len(s.lines)); i++ {
			left[s.client[i]] = append(left[s.client[i]], i)
		}
		r.Shuffle(len(left[3]), func(i, j int) { left[3][i], left[3][j] = left[3][j], left[3][i] })
		if a.halted {
			w.stop()
		}
		for len(left[0])+len(left[1])+len(left[2])+len(left[3]) > 0 {
			c := r.IntN(len(left))
			if len(left[c]) == 0 {
				continue
			}
			i := left[c][0]
			fragments[i] = w.send(s.lines[i])[0].Fragment
			left[c] = left[c][1:]
			if a.between != nil {
				a.between(w, r)
			}
		}
		if w.halted {
			w.start()
		}
		w.weighed()
		if n := begin / spanLines; n < len(s.decide) {
			s.decide[n](w)
			if a.halted {
				w.restart() // whether or not what was decided has been weighed
			}
			w.weighed()
		}
	}
	people := make([]string, 0, len(s.refs)+len(fragments))
	first := map[rapport.ID]string{}
	see := func(what string, person rapport.ID) {
		if first[person] == "" {
			first[person] = what
		}
		people = append(people, what+" with "+first[person])
	}
	for _, ref := range s.refs {
		see(ref, w.ref(ref))
	}
	for i, f := range fragments {
		see(fmt.Sprintf("event %d (%s)", i, s.lines[i]), w.Person(f))
	}
	junk, err := w.Quarantined(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, q := range junk {
		values = append(values, fmt.Sprintf("%s:%s %s", q.Identifier.Kind, q.Identifier.Value, q.By))
	}
	slices.Sort(values)
	for f, e := range log.inOrder(t) {
		if w.Person(f) != e {
			t.Errorf("the engine has fragment %s at %s, not at %s", f, e, w.Person(f))
		}
	}
	return append(people, "in quarantine "+strings.Join(values, ", "))
}

// spanLines is how many lines there are between two decisions.
const spanLines = 25

// decisions are what somebody decides between the spans of a story.
func decisions(r *rand.Rand, refs []string, n int) (list []func(*world)) {
	for k := range n {
		ref, nth := refs[r.IntN(len(refs))], r.IntN(100)
		kind, value, _ := strings.Cut(ref, ":")
		name := rapport.Identifier{Kind: kind, Value: value}
		list = append(list, [...]func(*world){
			func(w *world) { w.withdrawNth(ref, nth) },
			func(w *world) { w.withdrawNth(ref, nth) },
			func(w *world) {
				if _, err := w.Erase(w.t.Context(), w.ref(ref), fmt.Sprint("job", k)); err != nil {
					w.t.Fatal(err)
				}
			},
			func(w *world) {
				if err := w.Block(w.t.Context(), name, "no good", "support"); err != nil && rapport.KindOf(err) != rapport.Conflict {
					w.t.Fatal(err)
				}
			},
			func(w *world) {
				values, err := w.Quarantined(w.t.Context())
				if err != nil {
					w.t.Fatal(err)
				}
				for _, q := range values {
					if err := w.Release(w.t.Context(), q.Identifier, "support"); err != nil && rapport.KindOf(err) != rapport.Conflict && rapport.KindOf(err) != rapport.NotFound {
						w.t.Fatal(err)
					}
					w.weighed()
				}
			},
		}[r.IntN(5)])
	}
	return list
}

// withdrawNth withdraws a link of a person, in an order arrival does not change.
func (w *world) withdrawNth(ref string, n int) {
	w.t.Helper()
	who := w.who(ref)
	links := slices.DeleteFunc(slices.Concat(who.Links, who.Held), func(l identity.Link) bool {
		return strings.HasPrefix(l.Identifiers[0].Value, "user") && l.Kind == identity.Device // an alias took what it found
	})
	if len(links) == 0 {
		return
	}
	slices.SortFunc(links, func(a, b identity.Link) int { return slices.Compare(a.ID[:], b.ID[:]) })
	if err := w.Unmerge(w.t.Context(), who.Person, links[n%len(links)].ID, "support"); err != nil {
		w.t.Fatal(err)
	}
}

// TestTheOrderOfArrivalDoesNotDecideWhoIsWho: whatever order events arrive in,
// as long as those of one device keep theirs, whenever they are weighed,
// whatever is decided between and whenever the process ends, the same people come out, each with the same
// events, and the same values are in quarantine.
func TestTheOrderOfArrivalDoesNotDecideWhoIsWho(t *testing.T) {
	t.Parallel()
	runs := 30
	if testing.Short() {
		runs = 4
	}
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 11))
		s := randomStory(t, r, 2*spanLines)
		if seed%2 == 1 {
			s.decide = decisions(r, s.refs, 2)
		}
		var want []string
		for _, a := range arrivals() {
			got := s.happen(t, r, a)
			if want == nil {
				want = got
			}
			if diff := differences(want, got); diff != "" {
				t.Fatalf("seed %d, %s:\n%s", seed, a.name, diff)
			}
		}
	}
}

func differences(want, got []string) (out string) {
	for i := range want {
		if want[i] != got[i] {
			out += want[i] + "; now " + got[i] + "\n"
		}
	}
	return out
}
