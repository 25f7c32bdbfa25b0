package profile_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/identity"
)

// span is what happens in one hour: events, in any order but that of each
// device, and at its end something somebody decides.
type span struct {
	events []rapport.Event
	device []string // of each event, "" if it is from none
	decide func(w *world)
}

// refs are all who are named in the spans.
func refs() (out []string) {
	for i := range 5 {
		out = append(out, fmt.Sprint("userId:user", i))
	}
	for i := range 3 {
		out = append(out, fmt.Sprintf("email:mail%d@x.no", i), fmt.Sprint("anonymousId:dev", i))
	}
	return out
}

// history makes hours of identify, alias, login and logout, with merges,
// unmerges and erasures between them.
func history(t *testing.T, r *rand.Rand, hours int) (list []span) {
	maker := &world{t: t, clock: &clock{now: start}}
	pick := func(prefix string, n int) string { return fmt.Sprintf(" %s%d", prefix, r.IntN(n)) }
	all := refs()
	for hour := range hours {
		s := span{}
		begin := start.Add(time.Duration(hour) * time.Hour)
		maker.clock.set(begin.Add(time.Hour))
		for i := range 4 + r.IntN(12) {
			what := [...]string{
				`track "Order Completed"` + pick("revenue=", 40) + pick("sku=s", 5), "page Home",
				"identify" + pick("traits.plan=", 3) + pick("traits.city=c", 3), "page Shop consent.ads=" + [...]string{"true", "false"}[r.IntN(2)],
			}[r.IntN(4)]
			who := [...]string{ // out, in, by two names, as somebody new
				pick("a=dev", 3), pick("u=user", 5) + pick("a=dev", 3), pick("u=user", 5) + pick("e=mail", 3) + "@x.no",
				pick("e=mail", 3) + "@x.no" + pick("a=dev", 3), pick("u=user", 5),
			}[r.IntN(5)]
			if r.IntN(12) == 0 {
				what, who = "alias", pick("u=user", 5)+pick("prev=user", 5)
			}
			device := ""
			if _, d, ok := strings.Cut(who, "a="); ok {
				device = d
			}
			s.events = append(s.events, maker.event(begin.Add(time.Duration(i+1)*time.Minute), what+who))
			s.device = append(s.device, device)
		}
		a, b, n := all[r.IntN(len(all))], r.IntN(5), r.IntN(100)
		switch r.IntN(5) {
		case 0:
			s.decide = func(w *world) { w.withdrawNth(a, n) }
		case 1:
			s.decide = func(w *world) {
				err := w.who.Unite(w.t.Context(), rapport.Identifier{Kind: "userId", Value: fmt.Sprint("user", b)}, rapport.Identifier{Kind: "userId", Value: fmt.Sprint("user", n%5)}, "support")
				if err != nil && rapport.KindOf(err) != rapport.Invalid && rapport.KindOf(err) != rapport.Conflict {
					w.t.Fatal(err)
				}
			}
		case 2:
			s.decide = func(w *world) {
				_, err := w.who.Erase(w.t.Context(), w.ref(a), fmt.Sprint("job", hour))
				w.must(err)
			}
		}
		list = append(list, s)
	}
	return list
}

// withdrawNth withdraws one of a person's links, in an order that neither
// arrival nor partitions change.
func (w *world) withdrawNth(ref string, n int) {
	w.t.Helper()
	who, err := w.who.Who(w.t.Context(), w.ref(ref))
	w.must(err)
	links := slices.Concat(who.Links, who.Held)
	if len(links) == 0 {
		return
	}
	slices.SortFunc(links, func(a, b identity.Link) int { return slices.Compare(a.ID[:], b.ID[:]) })
	w.must(w.who.Unmerge(w.t.Context(), who.Person, links[n%len(links)].ID, "support"))
}

// told lets the spans happen, each event as late as its device allows, and
// returns who is who and everything known of them.
func (w *world) told(list []span, order *rand.Rand) map[string]map[string]string {
	w.t.Helper()
	for hour, s := range list {
		w.clock.set(start.Add(time.Duration(hour+1) * time.Hour))
		lines := map[string][]int{}
		var turns []string
		for i, d := range s.device {
			if d == "" {
				d = fmt.Sprint("none", i)
			}
			lines[d] = append(lines[d], i)
			turns = append(turns, d)
		}
		order.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		for len(turns) > 0 { // some arrive together
			n := min(1+order.IntN(3), len(turns))
			var batch []rapport.Event
			for _, d := range turns[:n] {
				batch = append(batch, s.events[lines[d][0]])
				lines[d] = lines[d][1:]
			}
			turns = turns[n:]
			w.submit(batch)
		}
		w.must(w.who.Weighed(w.t.Context()))
		if s.decide != nil {
			s.decide(w)
			w.must(w.who.Weighed(w.t.Context()))
		}
	}
	out := map[string]map[string]string{}
	for _, ref := range refs() {
		states := w.states(w.ref(ref))
		lines := strings.Split(states["timeline"], "\n")
		slices.Sort(lines) // what happened at one moment is shown in the order of arrival
		states["timeline"] = strings.Join(lines, "\n")
		for _, other := range refs() {
			if w.ref(other) == w.ref(ref) {
				states["people"] += " " + other
			}
		}
		out[ref] = states
	}
	return out
}

// TestAnyArrivalAndPartitioningEndsInTheSamePeopleAndViews: identify, alias,
// login, logout, merge, unmerge and erase, in whatever order what is between
// two decisions arrives and however the log is partitioned.
func TestAnyArrivalAndPartitioningEndsInTheSamePeopleAndViews(t *testing.T) {
	t.Parallel()
	runs := 12
	if testing.Short() {
		runs = 2
	}
	config := questions(t, all...)
	for seed := range uint64(runs) {
		list := history(t, rand.New(rand.NewPCG(seed, 21)), 10)
		var want map[string]map[string]string
		for turn, parts := range []int{4, 1, 16, 3} {
			got := newWorldOf(t, config, parts).told(list, rand.New(rand.NewPCG(seed, uint64(turn))))
			if want == nil {
				want = got
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, %d partitions: %s", seed, parts, diff)
			}
		}
	}
}

// TestInjectedJunkUnitesNobodyAndLeavesNoTrace: one e-mail on 5 % of people, a
// telephone number on 8 %, "000" on all, and a kiosk that 10 % sign in on.
func TestInjectedJunkUnitesNobodyAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	const people = 400
	if _, ok := identity.Normalize("phone", "000"); ok {
		t.Error("000 is a telephone number")
	}
	config := questions(t, `performed("Order Completed").sum("revenue") > 1`)
	clean, injected := newWorld(t, config), newWorld(t, config)
	for i := range people {
		line := fmt.Sprintf(`track "Order Completed" u=user%d revenue=%d`, i, i%50)
		own := fmt.Sprintf("identify u=user%d a=own%d traits.email=user%d@b.no", i, i, i)
		clean.send(own, line)
		injected.send(own)
		if i%20 == 0 {
			line += " e=junk@b.no"
		}
		if i%12 == 0 {
			line += " p=+4722000000"
		}
		injected.send(line)
		if i%10 == 0 {
			visit := fmt.Sprintf("page Kiosk u=user%d", i)
			clean.send(visit)
			injected.send(visit+" a=kiosk", "page Browsing a=kiosk")
		}
	}
	injected.must(injected.who.Weighed(t.Context()))
	seen := map[rapport.ID]int{}
	for i := range people {
		id := injected.ref(fmt.Sprint("userId:user", i))
		if other, taken := seen[id]; taken {
			t.Fatalf("user %d and user %d are one person", i, other)
		}
		seen[id] = i
	}
	junk, err := injected.who.Quarantined(t.Context())
	if err != nil || len(junk) != 2 {
		t.Errorf("in quarantine: %v, %v", junk, err)
	}
	injected.must(injected.who.Block(t.Context(), rapport.Identifier{Kind: "anonymousId", Value: "kiosk"}, "a kiosk", "support"))
	injected.must(injected.who.Weighed(t.Context()))
	for i := range people {
		ref := fmt.Sprint("userId:user", i)
		want, got := clean.states(clean.ref(ref)), injected.states(injected.ref(ref))
		for _, s := range []map[string]string{want, got} { // the events differ in their numbers
			delete(s, "timeline")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s is not as if the junk had never been: %s", ref, diff)
		}
	}
}
