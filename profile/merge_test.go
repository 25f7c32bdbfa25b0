package profile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
)

// withdraw withdraws the link of a person whose first end is named a and the second b.
func (w *world) withdraw(ref, a, b string) {
	w.t.Helper()
	who, err := w.who.Who(w.t.Context(), w.ref(ref))
	w.must(err)
	all := slices.Concat(who.Links, who.Held)
	at := slices.IndexFunc(all, func(l identity.Link) bool { return l.Identifiers[0].Value == a && l.Identifiers[1].Value == b })
	if at < 0 {
		w.t.Fatalf("%s has no link from %s to %s", ref, a, b)
	}
	w.must(w.who.Unmerge(w.t.Context(), who.Person, all[at].ID, "test"))
	w.must(w.who.Weighed(w.t.Context()))
}

func TestAPersonWhoCameTogetherAndApartIsAsIfNeverTogether(t *testing.T) {
	t.Parallel()
	config := questions(t, `performed("Order Completed").sum("revenue") > 1 && performed("Order Completed").within("30d").distinct("sku") > 1`)
	lines := []string{
		"identify u=anna a=annas traits.plan=gold traits.city=Oslo",
		`track "Order Completed" u=anna revenue=20.5 sku=beans`,
		"page Home a=annas consent.marketing=true",
		"identify u=bo a=bos traits.plan=silver",
		`track "Order Completed" u=bo revenue=9.99 sku=pods`,
		`track "Consent Updated" a=bos purpose=marketing channel=email allowed=false`,
	}
	lines = append(lines, "identify u=anna", "identify u=bo")
	apart, together := newWorld(t, config), newWorld(t, config)
	apart.send(lines...)
	together.send(lines...)
	together.must(together.who.Unite(t.Context(), rapport.Identifier{Kind: "userId", Value: "anna"}, rapport.Identifier{Kind: "userId", Value: "bo"}, "support"))
	if together.ref("userId:bo") != together.ref("userId:anna") {
		t.Fatal("they are not one person")
	}
	together.view(together.ref("userId:bo"), func(v *engine.View) {
		a := v.State(profile.FoldActivity).(*profile.Activity)
		if n, _ := a.Count("Order Completed"); n != 2 || a.Events != 8 {
			t.Errorf("together they did %d orders in %d events", n, a.Events)
		}
	})
	who, err := together.who.Who(t.Context(), together.ref("userId:bo"))
	together.must(err)
	for _, l := range who.Links {
		if l.Kind == identity.Manual {
			together.must(together.who.Unmerge(t.Context(), who.Person, l.ID, "support"))
		}
	}
	for _, ref := range []string{"userId:anna", "userId:bo"} {
		one, other := apart.states(apart.ref(ref)), together.states(together.ref(ref))
		delete(one, "timeline") // its offsets differ
		delete(other, "timeline")
		if diff := cmp.Diff(one, other); diff != "" {
			t.Errorf("%s: %s", ref, diff)
		}
	}
}

func TestWhatCameApartMayComeTogetherAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for round := range 3 {
		w.send("track Seen u=anna", "track Seen u=bo", "track Seen a=bos", "track Seen u=bo a=bos")
		prev := []string{"bo", "bo2", "bo3"}[round]
		w.send("alias u=anna prev="+prev, "alias u=bo prev="+prev)
		if w.ref("userId:bo") != w.ref("userId:anna") {
			t.Fatal("they are not one person")
		}
		w.send("track Seen u=anna", "track Other u="+prev, "track Seen u=bo", "track Seen a=bos")
		w.view(w.ref("userId:anna"), func(v *engine.View) {
			a, _ := v.State(profile.FoldActivity).(*profile.Activity)
			if a == nil {
				t.Fatalf("round %d: nothing is known of them", round)
			}
			if n, _ := a.Count("Seen"); int(n) != 7*(round+1) {
				t.Errorf("round %d: together they were seen %d times", round, n)
			}
		})
		w.withdraw("userId:anna", prev, "anna")
		if round == 0 {
			continue // bo's alias of itself said nothing
		}
		w.withdraw("userId:bo", prev, "bo")
	}
}

func TestTheOrderOfPeoplesEventsDoesNotMatter(t *testing.T) {
	t.Parallel()
	config := questions(t, `performed("Order Completed").within("7d").sum("revenue") > 1 || performed("Order Completed").last("sku") == "x"`)
	times := []time.Duration{0, time.Hour, 30 * time.Hour, 100 * time.Hour, 200 * time.Hour}
	link := "identify u=anna a=phone"
	lines := []string{
		"page Home a=phone consent.marketing=true context.timezone=Europe/Oslo",
		`track "Order Completed" u=anna revenue=20.5 sku=beans traits.x=1`,
		"identify u=anna traits.city=Oslo traits.plan=null",
		`track "Order Completed" a=phone revenue=0.1 sku=pods`,
		`track "Consent Updated" u=anna purpose=marketing allowed=false`,
	}
	var want map[string]string
	for turn := range lines {
		w := newWorld(t, config)
		w.clock.set(start.Add(300 * time.Hour))
		w.sendAt(start, link)
		for i := range lines {
			at := (i + turn) % len(lines)
			w.sendAt(start.Add(times[at]), lines[at])
		}
		got := w.states(w.ref("userId:anna"))
		delete(got, "timeline")
		if want == nil {
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("starting with %q: %s", lines[turn], diff)
		}
	}
}

func TestAnErasedPersonIsGoneAndStartsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.send("page Home a=tablet", "identify u=anna a=tablet traits.email=anna@b.no", "identify u=bo a=tablet", "page Shop a=tablet")
	anna := w.ref("userId:anna")
	if _, err := w.who.Erase(t.Context(), anna, "job"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{anna.String(), "email:anna@b.no"} {
		if got := w.states(w.ref(id)); len(got) != 0 {
			t.Errorf("of %s is still known: %q", id, got)
		}
	}
	w.view(w.ref("userId:bo"), func(v *engine.View) {
		if a, _ := v.State(profile.FoldActivity).(*profile.Activity); a == nil || a.Events != 2 {
			t.Error("Bo lost something")
		}
	})
	w.clock.set(start.Add(time.Hour))
	w.send("identify u=anna traits.email=anna@b.no")
	w.view(w.ref("email:anna@b.no"), func(v *engine.View) {
		if a, _ := v.State(profile.FoldActivity).(*profile.Activity); a == nil || a.Events != 1 {
			t.Error("Anna cannot come again")
		}
	})
}

// TestJunkLeavesEverybodyAsIfItHadNeverBeen: an address on many people, a
// telephone number of all, and a kiosk where everybody signs in.
func TestJunkLeavesEverybodyAsIfItHadNeverBeen(t *testing.T) {
	t.Parallel()
	const people = 60
	config := questions(t, `performed("Order Completed").sum("revenue") > 1`)
	with, without := newWorld(t, config), newWorld(t, config)
	for i := range people {
		u := fmt.Sprintf("user%d", i)
		for _, w := range []*world{with, without} {
			w.send("identify u="+u+" a=own"+u+" traits.plan=gold", fmt.Sprintf(`track "Order Completed" a=own%s revenue=%d`, u, i))
		}
		with.send("track Seen u="+u+" e=junk@b.no", "track Seen u="+u+" p=+4722000000", "track Seen u="+u+" a=kiosk")
		without.send("track Seen u="+u, "track Seen u="+u, "track Seen u="+u)
	}
	with.must(with.who.Weighed(t.Context()))
	seen := map[rapport.ID]string{}
	for i := range people {
		ref := fmt.Sprintf("userId:user%d", i)
		id := with.ref(ref)
		if other, known := seen[id]; known {
			t.Fatalf("%s and %s are one person", ref, other)
		}
		seen[id] = ref
		one, other := with.states(id), without.states(without.ref(ref))
		delete(one, "timeline") // its offsets differ
		delete(other, "timeline")
		if diff := cmp.Diff(other, one); diff != "" {
			t.Fatalf("%s: %s", ref, diff)
		}
	}
	junk, err := with.who.Quarantined(t.Context())
	with.must(err)
	if len(junk) != 3 {
		t.Errorf("in quarantine: %v", junk)
	}
}
