package identity_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
)

func TestEarlierAnonymousBehaviourJoinsWhoSignsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	before := w.send("a=phone")[0]
	if before.Entity != before.Fragment {
		t.Fatal("a stranger is not its own person")
	}
	during := w.send("identify u=anna a=phone")[0]
	after := w.send("a=phone")[0]
	w.same("userId:anna anonymousId:phone " + before.Entity.String())
	if after.Entity != during.Entity || after.Fragment != before.Fragment {
		t.Error("what the phone does later is not Anna's, or in another fragment")
	}
	if at := placement(t, w.log); at[before.Fragment] != w.ref("userId:anna") {
		t.Error("the engine was not told to bring the states together")
	}
}

func TestIdentifiersOnOneEventUnite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=anna e=anna@b.no", "e=anna@b.no p=+4722123456", "u=bo e=bo@b.no", "l=771 p=+4722123456")
	w.same("userId:anna email:ANNA@b.no phone:+47-22123456 loyalty:771 | userId:bo email:bo@b.no | userId:carl")
}

func TestASharedTabletUnitesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("a=tablet")
	w.send("u=anna a=tablet")
	anna := w.send("a=tablet")[0]
	w.send("u=bo a=tablet")
	bo := w.send("a=tablet")[0]
	w.send("u=anna a=tablet")
	again := w.send("a=tablet")[0]
	w.same("userId:anna anonymousId:tablet | userId:bo")
	if anna.Entity != w.ref("userId:anna") || bo.Entity != w.ref("userId:bo") || again.Entity != anna.Entity {
		t.Error("what the tablet did is not whose who was signed in")
	}
	if anna.Fragment == bo.Fragment || anna.Fragment != again.Fragment {
		t.Error("Anna's and Bo's intervals are not apart")
	}
	n := len(records(t, w.log, eventlog.Identity, 0))
	for range 10 {
		w.send("u=anna a=tablet", "a=tablet")
	}
	if len(records(t, w.log, eventlog.Identity, 0)) != n {
		t.Error("signing in where one is signed in was recorded")
	}
}

func TestALinkLaterInABatchCountsForTheWholeBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	events := w.send("a=phone", "a=phone", "u=anna a=phone", "e=anna@b.no", "u=anna e=anna@b.no")
	for i, e := range events {
		if e.Entity != w.ref("userId:anna") {
			t.Errorf("event %d is not Anna's", i)
		}
	}
}

func TestAnAliasUnitesWhatItNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("alias u=new prev=old")
	w.same("userId:new userId:old anonymousId:old")
	w.send("a=visitor")
	w.send("alias u=carl prev=visitor")
	w.same("userId:carl anonymousId:visitor | userId:new")
	w.send("u=dora a=desk", "alias u=emil prev=desk")
	w.same("userId:dora anonymousId:desk | userId:emil userId:desk")
	n := len(records(t, w.log, eventlog.Identity, 0))
	w.send("alias u=new prev=new", "alias u=new prev=old", "alias u=new a=null2 prev=null")
	if got := len(records(t, w.log, eventlog.Identity, 0)); got != n+1 { // the device of the last
		t.Errorf("%d links for aliases that say nothing new", got-n-1)
	}
}

func TestTheStrongestAndOldestIdentifierNamesThePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	first := w.send("e=anna@b.no p=+4722123456")[0]
	if w.ref("phone:+4722123456") != first.Entity || first.Entity.Rank() != rapport.RankEmail {
		t.Error("the e-mail does not name the person")
	}
	w.send("u=anna e=anna@b.no", "u=zoe e=zoe@b.no")
	anna, zoe := w.ref("userId:anna"), w.ref("userId:zoe")
	w.send("alias u=zoe prev=anna")
	if w.ref("userId:zoe") != anna {
		t.Error("the older of two users does not name the person")
	}
	for _, id := range []rapport.ID{anna, zoe, first.Entity, first.Fragment} {
		if w.ref(id.String()) != anna {
			t.Errorf("public id %s stopped working", id)
		}
	}
}

func TestAWithdrawnLinkComesApartAndStaysApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=anna e=anna@b.no", "a=annas", "u=anna a=annas", "e=bo@b.no a=bos", "e=bo@b.no l=771", "u=anna l=771")
	w.same("userId:anna email:anna@b.no email:bo@b.no loyalty:771 anonymousId:annas anonymousId:bos")
	who := w.who("email:bo@b.no")
	at := slices.IndexFunc(who.Links, func(l identity.Link) bool {
		return l.Kind == identity.Verified && l.Identifiers[0].Value == "771" && l.Identifiers[1].Value == "anna"
	})
	if err := w.Unmerge(t.Context(), who.Person, who.Links[at].ID, "support"); err != nil {
		t.Fatal(err)
	}
	apart := "userId:anna email:anna@b.no anonymousId:annas | email:bo@b.no anonymousId:bos loyalty:771"
	w.same(apart)
	w.send("u=anna l=771", "e=bo@b.no a=bos")
	w.same(apart)
	w.restart()
	w.same(apart)
	for f, e := range placement(t, w.log) {
		if w.Person(f) != e {
			t.Errorf("fragment %s lies at %s, not at %s", f, e, w.Person(f))
		}
	}
	for _, ref := range []string{"email:bo@b.no", "userId:anna"} {
		if got := w.who(ref).Withdrawn; len(got) != 1 || got[0].Withdrawn.By != "support" {
			t.Errorf("%s does not show what was withdrawn: %v", ref, got)
		}
	}
	if err := w.Unmerge(t.Context(), who.Person, who.Links[at].ID, "support"); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("withdrawing twice: %v", err)
	}
	if err := w.Unmerge(t.Context(), who.Person, identity.LinkID{}, "support"); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("withdrawing what is not there: %v", err)
	}
}

func TestWithdrawingASignInGivesEachTheirOwnSessionsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=anna a=tablet", "a=tablet", "u=bo a=tablet", "a=tablet")
	who := w.who("userId:bo")
	if len(who.Links) != 1 || who.Links[0].Kind != identity.Device || who.Links[0].Epoch != 1 {
		t.Fatalf("Bo's links: %v", who.Links)
	}
	if err := w.Unmerge(t.Context(), who.Person, who.Links[0].ID, "support"); err != nil {
		t.Fatal(err)
	}
	stranger := w.send("a=tablet")[0]
	w.same("userId:anna | userId:bo | " + stranger.Entity.String() + " | " + who.Links[0].A.String())
	w.send("u=bo a=tablet")
	w.same("userId:anna | userId:bo anonymousId:tablet " + stranger.Entity.String() + " | " + who.Links[0].A.String())
	for f, e := range placement(t, w.log) {
		if w.Person(f) != e {
			t.Errorf("fragment %s lies at %s, not at %s", f, e, w.Person(f))
		}
	}
}

func TestAnErasedPersonIsForgottenAndMayComeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=anna e=anna@b.no", "u=anna a=phone", "u=bo a=phone", "u=bo e=shared@b.no", "u=anna e=shared@b.no")
	w.weighed()
	w.same("userId:anna email:anna@b.no | userId:bo anonymousId:phone | email:shared@b.no")
	who := w.who("userId:anna")
	for _, l := range who.Held { // leave a withdrawn link between Anna and Bo
		if l.Identifiers[0].Value == "shared@b.no" && l.Identifiers[1].Value == "anna" {
			if err := w.Unmerge(t.Context(), who.Person, l.ID, "rule"); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.weighed()
	w.same("userId:anna email:anna@b.no | userId:bo anonymousId:phone email:shared@b.no")
	anna := w.ref("userId:anna")
	nodes, err := w.Erase(t.Context(), anna, "job-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 3 || nodes[0] != anna {
		t.Errorf("%d nodes were erased", len(nodes))
	}
	check := func() {
		t.Helper()
		w.same("userId:anna | email:anna@b.no | userId:bo anonymousId:phone email:shared@b.no")
		if got := w.who("userId:anna"); len(got.Links)+len(got.Withdrawn) != 0 {
			t.Errorf("links of the erased: %v", got)
		}
		if got := w.who("userId:bo"); len(got.Withdrawn) != 0 {
			t.Errorf("Bo still shows %v", got.Withdrawn)
		}
		if erased, err := w.Erasures(); err != nil || len(erased) != 3 || erased[0].Job != "job-1" {
			t.Errorf("erasures %v, %v", erased, err)
		}
	}
	check()
	w.restart()
	check()
	for _, name := range []string{"anna@b.no", "anna"} {
		if stateHolds(t, w, name) {
			t.Errorf("the state still holds %q", name)
		}
	}
	gone := func(id rapport.ID) bool { return slices.Contains(nodes, id) }
	for _, r := range records(t, w.log, eventlog.Identity, 0) {
		if named := strings.Contains(string(r.Data), "anna"); named != identity.Concerns(&r, gone) {
			t.Errorf("the scrub of record %d: named %v", r.Offset, named)
		}
	}
	w.send("u=anna e=anna@b.no", "u=anna a=phone")
	w.same("userId:anna email:anna@b.no anonymousId:phone | userId:bo")
	w.restart()
	w.same("userId:anna email:anna@b.no anonymousId:phone | userId:bo")
}

func stateHolds(t *testing.T, w *world, text string) bool {
	t.Helper()
	it, err := w.store.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for it.First(); it.Valid(); it.Next() {
		found = found || strings.Contains(string(it.Key())+string(it.Value()), text)
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAPersonHasAtMostSoManyIdentifiers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.stop()
	w.limit = 5
	w.start()
	w.send("u=kiosk a=own", "a=own")
	for _, a := range strings.Fields("a1 a2 a3 a4 a5 a6 a7") {
		w.send("u=kiosk a="+a, "a="+a)
	}
	if got := len(w.who("userId:kiosk").Fragments); got != 5 {
		t.Errorf("%d identifiers", got)
	}
	w.send("u=bo a=bos", "a=bos", "u=kiosk a=bos")
	if after := w.send("a=bos")[0]; after.Entity == w.ref("userId:bo") || after.Entity == w.ref("userId:kiosk") {
		t.Error("what follows a sign-in that could not be linked went to somebody else")
	}
}

func TestARefIsAnIDOrAnIdentifier(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	if w.ref("email:A@B.no") != w.Mint(rapport.KindEmail, "a@b.no", 0) {
		t.Error("a reference is not brought to its normal form")
	}
	for _, bad := range []string{"", "anna", "p_short", "userId:", "userId:null", "email:no", ":x"} {
		if _, err := w.Ref(bad); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTheTableIsTheSameAfterARestartAndATrim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	w.send("u=anna a=phone", "u=bo a=phone", "a=phone", "u=anna e=a@b.no", "alias u=new prev=anna")
	before := []identity.Who{w.who("userId:anna"), w.who("userId:bo"), w.who("anonymousId:phone")}
	if err := w.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if first, next := w.log.Bounds(eventlog.Identity, 0); first != next {
		t.Errorf("the topic holds %d to %d after the checkpoint", first, next)
	}
	w.restart()
	if diff := cmp.Diff(before, []identity.Who{w.who("userId:anna"), w.who("userId:bo"), w.who("anonymousId:phone")}); diff != "" {
		t.Error(diff)
	}
}

func TestMintsDependOnTheKeyAlone(t *testing.T) {
	t.Parallel()
	one, err := identity.NewMinter([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	same, _ := identity.NewMinter([]byte("0123456789abcdef"))
	other, _ := identity.NewMinter([]byte("0123456789abcdeF"))
	id := one.Mint(rapport.KindUserID, "anna", 0)
	if id.String() != "p_183swsm21dcq3t1p524e9xn8ec" {
		t.Errorf("ids have changed: %s", id)
	}
	for range 2 {
		if same.Mint(rapport.KindUserID, "anna", 0) != id || id.Rank() != rapport.RankUserID {
			t.Error("the same key mints another id")
		}
	}
	for _, x := range []rapport.ID{
		other.Mint(rapport.KindUserID, "anna", 0), one.Mint(rapport.KindUserID, "anna", 1),
		one.Mint(rapport.KindEmail, "anna", 0), one.Mint("a", "nna", 0), one.Mint("an", "na", 0),
	} {
		if x == id {
			t.Error("two identifiers have one id")
		}
	}
	if one.Mint("a", "nna", 0) == one.Mint("an", "na", 0) {
		t.Error("kind and value run into each other")
	}
	if _, err := identity.NewMinter([]byte("short")); rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("a short key: %v", err)
	}
}
