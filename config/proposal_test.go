package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
)

// openGuarded is openStore with documents that ask for a second person.
func openGuarded(t testing.TB, log eventlog.Log) (*config.Store, *config.Registry) {
	t.Helper()
	r, err := config.NewRegistry([]config.Kind{
		{Name: "placement", Doc: "A place or moment to decide for.", New: func() any { return &placementDoc{Slots: 1} }},
		{Name: config.ApprovalKind, Doc: "Asks for a second person.", New: func() any { return new(config.ApprovalDoc) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	j := config.NewJournal(log, noon)
	s := config.NewStore(config.Options{Journal: j, Registry: r})
	if err := j.Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, r
}

func TestAProposalWaitsForSomebodyElseAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	log := eventlogtest.NewMemory(1)
	s, r := openGuarded(t, log)
	change := func(author, text string) config.Change {
		return config.Change{Put: documents(t, r, text).All(), Author: author, Guarded: true}
	}
	if _, err := s.Apply(t.Context(), change("ada", "kind: placement\nid: hero\nslots: 1\n---\nkind: approval\nid: four-eyes\nkinds: [placement]\n")); err != nil {
		t.Fatal("nothing asks for a second person yet:", err)
	}
	if _, err := s.Apply(t.Context(), change("ada", "kind: placement\nid: hero\nslots: 2\n")); rapport.KindOf(err) != rapport.Denied {
		t.Errorf("a guarded change was applied: %v", err)
	}
	if _, err := s.Apply(t.Context(), config.Change{Delete: []config.Ref{{Kind: config.ApprovalKind, ID: "four-eyes"}}, Author: "ada", Guarded: true}); rapport.KindOf(err) != rapport.Denied {
		t.Errorf("the rule was taken away by whom it binds: %v", err)
	}
	two, err := s.Propose(t.Context(), change("ada", "kind: placement\nid: hero\nslots: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	three, err := s.Propose(t.Context(), change("bob", "kind: placement\nid: hero\nslots: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PublishProposal(t.Context(), two.ID, "ada", ""); rapport.KindOf(err) != rapport.Denied {
		t.Errorf("its author published it: %v", err)
	}
	s, _ = openGuarded(t, log) // a restart
	if v, err := s.PublishProposal(t.Context(), two.ID, "bob", ""); err != nil || v != 2 {
		t.Fatalf("version %d, %v", v, err)
	}
	if rev := s.History(1)[0]; rev.Author != "bob" || rev.Proposer != "ada" || rev.Proposal != two.ID {
		t.Errorf("the history does not tell of both: %+v", rev)
	}
	if moved := s.Moved(&three); len(moved) != 1 || moved[0].Version != 2 {
		t.Errorf("moved: %v", moved)
	}
	if _, err := s.PublishProposal(t.Context(), three.ID, "ada", ""); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("somebody's work was overwritten unseen: %v", err)
	}
	if _, err := s.PublishProposal(t.Context(), two.ID, "cal", ""); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("published twice: %v", err)
	}
	if err := s.CloseProposal(t.Context(), three.ID, "ada", "slots: 3 is too many"); err != nil {
		t.Fatal(err)
	}
	mine, err := s.Propose(t.Context(), change("ada", "kind: placement\nid: cart\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CloseProposal(t.Context(), mine.ID, "ada", ""); err != nil {
		t.Fatal(err)
	}
	again, _ := openGuarded(t, log)
	states := map[int64]config.ProposalState{}
	for _, p := range again.Proposals(true) {
		states[p.ID] = p.State
	}
	want := map[int64]config.ProposalState{1: config.ProposalPublished, 2: config.ProposalRefused, 3: config.ProposalWithdrawn}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	if len(again.Proposals(false)) != 0 {
		t.Error("something still waits")
	}
	if _, err := again.Undo(t.Context(), 2, "ada"); err != nil {
		t.Errorf("taking back waits for nobody: %v", err)
	}
}

func TestAProposalIsCheckedAsAChangeIs(t *testing.T) {
	t.Parallel()
	s, r := openGuarded(t, eventlogtest.NewMemory(1))
	if _, err := s.Propose(t.Context(), config.Change{Author: "ada"}); rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("nothing was proposed: %v", err)
	}
	if _, err := s.Propose(t.Context(), config.Change{Author: "ada", Delete: []config.Ref{{Kind: "placement", ID: "hero"}}}); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("what is not there would be deleted: %v", err)
	}
	version := int64(7)
	if _, err := s.Propose(t.Context(), config.Change{Author: "ada", Expect: &version, Put: documents(t, r, "kind: placement\nid: hero\n").All()}); rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("made for a version to come: %v", err)
	}
	if _, err := s.PublishProposal(t.Context(), 1, "bob", ""); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("what was not proposed was published: %v", err)
	}
	// Where nothing asks for a second person, the author may publish.
	p, err := s.Propose(t.Context(), config.Change{Author: "ada", Put: documents(t, r, "kind: placement\nid: hero\n").All()})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := s.PublishProposal(t.Context(), p.ID, "ada", ""); err != nil || v != 1 {
		t.Errorf("version %d, %v", v, err)
	}
}

func TestAnApprovalCanAskForAnAdministrator(t *testing.T) {
	t.Parallel()
	s, r := openGuarded(t, eventlogtest.NewMemory(1))
	if _, err := s.Apply(t.Context(), config.Change{Author: "ada", Put: documents(t, r, "kind: approval\nid: a\nkinds: [placement]\n---\nkind: approval\nid: b\nrole: admin\nkinds: [policy]\n").All()}); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[config.Ref]string{{Kind: "placement", ID: "x"}: "marketer", {Kind: "policy", ID: "x"}: "admin", {Kind: "source", ID: "x"}: "", {Kind: config.ApprovalKind, ID: "x"}: "admin"} {
		if role, asked := s.SecondPerson(ref); role != want || asked != (want != "") {
			t.Errorf("%v: %q %v, want %q", ref, role, asked, want)
		}
	}
}
