package identity_test

import (
	"fmt"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/identity"
)

func TestTwoUsersAreNeverUnitedByAValueTheyShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=erik e=office@firm.no", "u=frida e=office@firm.no", "u=frida p=+4722123456")
	w.weighed()
	w.same("userId:erik | userId:frida phone:+4722123456 | email:office@firm.no")
	list, total, err := w.Reviews(t.Context(), 10)
	if err != nil || total != 2 || len(list) != 2 {
		t.Fatalf("%d reviews: %v, %v", total, list, err)
	}
	for range 2 {
		if n, err := w.Reviewing(t.Context()); n != 2 || err != nil {
			t.Errorf("%d are counted, %v", n, err)
		}
	}
	for _, r := range list {
		if r.Link.Identifiers[1].Value == "frida" {
			if err := w.Refuse(t.Context(), r.Link.ID, "support"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := w.Reviewing(t.Context()); n != 0 || err != nil {
		t.Errorf("%d are counted after the decision, %v", n, err)
	}
	w.same("userId:erik email:office@firm.no | userId:frida phone:+4722123456")
	w.restart()
	w.same("userId:erik email:office@firm.no | userId:frida phone:+4722123456")
	if _, total, _ := w.Reviews(t.Context(), 10); total != 0 {
		t.Errorf("%d reviews are left", total)
	}
}

func TestAcceptingAReviewUnites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=anna e=a@b.no", "u=anna2 e=a@b.no")
	w.weighed()
	list, _, err := w.Reviews(t.Context(), 10)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for _, r := range list {
		if err := w.Accept(t.Context(), r.Link.ID, "support"); err != nil {
			t.Fatal(err)
		}
	}
	w.same("userId:anna userId:anna2 email:a@b.no")
	if err := w.Accept(t.Context(), list[0].Link.ID, "support"); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("accepting twice: %v", err)
	}
}

func TestJunkIsQuarantinedAndPeopleComeApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	for i := range 40 {
		w.send(fmt.Sprintf("u=user%d e=user%d@b.no", i, i), fmt.Sprintf("u=user%d e=junk@b.no", i), fmt.Sprintf("e=user%d@b.no p=+4722000000", i))
		w.send(fmt.Sprintf("u=user%d a=own%d", i, i), fmt.Sprintf("u=user%d a=kiosk", i), "a=kiosk")
	}
	for i := range 40 {
		w.send(fmt.Sprintf("u=more%d a=kiosk", i), "a=kiosk")
	}
	w.weighed()
	check := func() {
		t.Helper()
		groups := "email:junk@b.no | phone:+4722000000 | anonymousId:kiosk"
		for i := range 40 {
			groups += fmt.Sprintf(" | userId:user%d email:user%d@b.no anonymousId:own%d", i, i, i)
		}
		w.same(groups)
	}
	check()
	junk, err := w.Quarantined(t.Context())
	if err != nil || len(junk) != 3 {
		t.Errorf("in quarantine: %v, %v", junk, err)
	}
	w.restart()
	check()
	known := len(records(t, w.log, 1, 0))
	w.send("u=user1 e=junk@b.no a=kiosk", "u=new e=junk@b.no")
	if e := w.send("e=junk@b.no a=fresh")[0]; e.Fragment != w.ref("anonymousId:fresh") {
		t.Error("an event with junk and a device is not the device's")
	}
	check()
	_ = known
	if err := w.Release(t.Context(), rapport.Identifier{Kind: "email", Value: "junk@b.no"}, "support"); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("releasing what would go back at once: %v", err)
	}
	none := 0
	rules, err := identity.CompileRules([]identity.KindDoc{{ID: "email", PeoplePerValue: &none}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Preview(t.Context(), rules)
	if err != nil || len(p.Release) != 1 || p.Apart != 0 {
		t.Errorf("the preview is %+v, %v", p, err)
	}
	w.SetRules(rules)
	w.weighed()
	check() // two users are two people, whatever they share
	if junk, _ := w.Quarantined(t.Context()); len(junk) != 2 {
		t.Errorf("in quarantine: %v", junk)
	}
}

func TestAValueBlockedByHandNamesNobodyUntilReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=anna e=a@b.no", "e=a@b.no l=7", "u=bo p=+4722123456")
	w.same("userId:anna email:a@b.no loyalty:7")
	mail := rapport.Identifier{Kind: "email", Value: "a@b.no"}
	if err := w.Block(t.Context(), mail, "a test address", "support"); err != nil {
		t.Fatal(err)
	}
	w.same("userId:anna | email:a@b.no | loyalty:7")
	if err := w.Block(t.Context(), mail, "again", "support"); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("blocking twice: %v", err)
	}
	w.restart()
	if err := w.Release(t.Context(), mail, "support"); err != nil {
		t.Fatal(err)
	}
	w.same("userId:anna email:a@b.no loyalty:7")
	if err := w.Release(t.Context(), mail, "support"); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("releasing twice: %v", err)
	}
}
