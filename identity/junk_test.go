package identity_test

import (
	"fmt"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// quarantined returns by whom a value is in quarantine, "" if it is not.
func (w *world) quarantined(value string) string {
	w.t.Helper()
	list, err := w.Quarantined(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, q := range list {
		if q.Identifier.Value == value {
			return q.By
		}
	}
	return ""
}

func TestAQuarantineByTheRulesEndsWhenTheEvidenceLiftsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	for i := range 4 {
		w.send(fmt.Sprintf("e=own%d@b.no l=card", i), fmt.Sprintf("u=u%d e=own%d@b.no", i, i))
	}
	w.weighed()
	if by := w.quarantined("card"); by != "rules" {
		t.Fatalf("four people share a card; it is in quarantine by %q", by)
	}
	w.restart()
	w.send("u=u4 l=card") // still known, and held
	w.send("alias u=u0 prev=u1")
	w.weighed()
	if w.quarantined("card") == "" {
		t.Fatal("four people share the card still")
	}
	w.send("alias u=u1 prev=u4", "e=own1@b.no l=card")
	w.weighed()
	if by := w.quarantined("card"); by != "" {
		t.Fatalf("three people may share a card; it is in quarantine by %q", by)
	}
	// What came while it was in quarantine counts: the nearest to the card is who has it by user id.
	w.same("userId:u0 userId:u1 userId:u4 loyalty:card email:own0@b.no | userId:u2 | userId:u3")
	w.restart()
	w.same("userId:u0 userId:u1 userId:u4 loyalty:card email:own0@b.no | userId:u2 | userId:u3")
	// Taken apart, there are four again.
	for _, l := range w.who("userId:u1").Links {
		if l.Kind.String() == "alias" && l.Identifiers[0].Value == "u1" {
			if err := w.Unmerge(t.Context(), w.ref("userId:u1"), l.ID, "support"); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.weighed()
	if w.quarantined("card") != "rules" {
		t.Error("the card is shared by four people, and not in quarantine")
	}
	w.same("loyalty:card | userId:u0 | userId:u1 userId:u4 | userId:u2")
}

func TestAQuarantineBySomebodyStaysWhateverTheEvidenceSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	for i := range 4 {
		w.send(fmt.Sprintf("u=u%d l=card", i))
	}
	w.weighed()
	card := rapport.Identifier{Kind: "loyalty", Value: "card"}
	if err := w.Block(t.Context(), card, "a till", "support"); err != nil {
		t.Fatal(err)
	}
	w.send("alias u=u0 prev=u1")
	w.weighed()
	w.restart()
	w.weighed()
	if by := w.quarantined("card"); by != "support" {
		t.Errorf("the card is in quarantine by %q", by)
	}
	if err := w.Release(t.Context(), card, "support"); err != nil {
		t.Fatal(err)
	}
	w.weighed()
	if by := w.quarantined("card"); by != "" {
		t.Errorf("the card is in quarantine by %q", by)
	}
}

func TestWhatIsSeenWithAlmostAnybodyIsJunkForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory())
	for i := range 300 {
		w.send(fmt.Sprintf("u=u%d e=till@b.no a=till", i), "a=till")
		if i < 230 {
			w.weighed()
		}
	}
	w.weighed()
	before := len(records(t, w.log, eventlog.Identity, 0))
	for i := range 100 {
		w.send(fmt.Sprintf("u=more%d e=till@b.no a=till", i), "a=till")
	}
	w.weighed()
	if after := len(records(t, w.log, eventlog.Identity, 0)); after != before {
		t.Errorf("%d records about junk", after-before)
	}
	who := w.who("email:till@b.no")
	if n := len(who.Held); n < 16 || n > 20 {
		t.Errorf("%d links are held of an address seen with 400 people", n)
	}
	for i := 1; i < 17; i++ {
		w.send(fmt.Sprintf("alias u=u0 prev=u%d", i))
	}
	w.weighed()
	if by := w.quarantined("till@b.no"); by != "rules" {
		t.Errorf("the address is in quarantine by %q", by)
	}
	w.same("userId:u0 userId:u1 | email:till@b.no | anonymousId:till")
	// It names nobody: an event with it is that of its other identifiers.
	if e := w.send("e=till@b.no l=card")[0]; e.Fragment != w.Mint("loyalty", "card", 0) {
		t.Error("an event with junk and a card is not the card's")
	}
	list, err := w.Quarantined(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, q := range list { // all that is recorded of the address is one person now, so somebody may
		if err := w.Release(t.Context(), q.Identifier, "support"); (err == nil) != (q.Identifier.Kind == "email") {
			t.Errorf("releasing %v: %v", q.Identifier, err)
		}
	}
	w.weighed()
	w.same("userId:u0 userId:u1 email:till@b.no | anonymousId:till | userId:more1")
}
