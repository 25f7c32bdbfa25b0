package config_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
)

// fixedClock is a clock that stands still.
type fixedClock struct{ at time.Time }

func (c fixedClock) Now() time.Time                       { return c.at }
func (c fixedClock) After(time.Duration) <-chan time.Time { return nil }

var noon = fixedClock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}

// openStore folds a log into a store.
func openStore(t testing.TB, log eventlog.Log, publish config.PublishFunc) *config.Store {
	t.Helper()
	j := config.NewJournal(log, noon)
	s := config.NewStore(config.Options{
		Journal: j, Registry: registry(t), Publish: publish,
		Environment: environment("CRM_HOST", "crm.example", "CRM_SECRET", "s3", "CRM_TOKEN", "t"),
	})
	if err := j.Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// state renders everything a store holds.
func state(s *config.Store) string {
	var b strings.Builder
	set, version := s.Current()
	fmt.Fprintf(&b, "version %d\n", version)
	for _, e := range s.Entries() {
		fmt.Fprintf(&b, "%s v%d at %d by %s, read %v\n%s", e.Ref, e.Version, e.Time, e.Author, set.Get(e.Kind, e.ID) != nil, e.Text)
	}
	for _, r := range s.History(0) {
		fmt.Fprintf(&b, "%d by %s %q undoes %d: %v %v\n", r.Version, r.Author, r.Note, r.Undoes, r.Changed, r.Deleted)
	}
	return b.String()
}

// texts renders the documents of a set.
func texts(s *config.Set) string {
	var b strings.Builder
	for _, d := range s.All() {
		b.WriteString(d.Ref.String() + "\n" + d.Text)
	}
	return b.String()
}

func put(t testing.TB, s *config.Store, author, text string) int64 {
	t.Helper()
	set, problems := registry(t).Parse("body", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	v, err := s.Apply(t.Context(), config.Change{Put: set.All(), Author: author})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAChangeIsOneVersionWithItsAuthorAndHistory(t *testing.T) {
	t.Parallel()
	log := eventlogtest.NewMemory(2)
	var published []string
	s := openStore(t, log, func(_ context.Context, version int64, set *config.Set) ([]eventlog.Record, error) {
		if w := set.Get("webhook", "crm"); w != nil && w.Spec.(*webhookDoc).Secret != "s3" {
			t.Error("the published set is not resolved")
		}
		published = append(published, fmt.Sprint(version, " with ", set.Len()))
		return []eventlog.Record{{Topic: eventlog.Events, Partition: 1, Kind: 9, Data: fmt.Append(nil, version)}}, nil
	})
	if v := put(t, s, "ada", northbean); v != 1 {
		t.Errorf("version %d", v)
	}
	if v := put(t, s, "ada", "# other comment\n"+strings.SplitAfter(northbean, "# write key\n")[0]); v != 1 {
		t.Errorf("a comment made version %d", v)
	}
	if v := put(t, s, "bob", "kind: placement\nid: home_hero\nslots: 3\n"); v != 2 {
		t.Errorf("version %d", v)
	}
	e, err := s.Entry("placement", "home_hero")
	if err != nil || e.Version != 2 || e.Author != "bob" || e.Time != noon.at.UnixMilli() {
		t.Errorf("%+v %v", e, err)
	}
	if e, _ := s.Entry("source", "web"); e.Version != 1 || e.Author != "ada" {
		t.Errorf("%+v", e)
	}
	if h := s.HistoryOf("placement", "home_hero", 0); len(h) != 2 || h[0].Author != "bob" || h[1].Version != 1 {
		t.Errorf("%+v", h)
	}
	if h := s.History(1); len(h) != 1 || h[0].Version != 2 {
		t.Errorf("%+v", h)
	}
	if plan, err := s.Diff(2); err != nil || plan.String() != "~ placement home_hero\n    ~ slots: 2 -> 3\n0 to create, 1 to change, 0 to delete\n" {
		t.Errorf("%v %v", plan, err)
	}
	if then, err := s.At(1); err != nil || config.Specs[*placementDoc](then, "placement")[0].Slots != 2 {
		t.Errorf("%v", err)
	}
	if _, err := s.At(3); rapport.KindOf(err) != rapport.NotFound {
		t.Error(err)
	}
	if _, err := s.Entry("placement", "home_herro"); rapport.KindOf(err) != rapport.NotFound || !strings.Contains(err.Error(), "did you mean home_hero?") {
		t.Error(err)
	}
	if strings.Join(published, "; ") != "1 with 5; 2 with 5" {
		t.Error(published)
	}
	if _, next := log.Bounds(eventlog.Events, 1); next != 2 {
		t.Errorf("%d barrier records", next)
	}
	if diff := cmp.Diff(state(s), state(openStore(t, log.Reopen(), nil))); diff != "" {
		t.Error("the replayed store differs", diff)
	}
}

func TestAChangeIsRefusedWhole(t *testing.T) {
	t.Parallel()
	log := eventlogtest.NewMemory(1)
	refuse := false
	s := openStore(t, log, func(context.Context, int64, *config.Set) ([]eventlog.Record, error) {
		if refuse {
			return nil, rapport.Errorf(rapport.Invalid, "does not compile")
		}
		return nil, nil
	})
	put(t, s, "ada", northbean)
	before := state(s)
	r := registry(t)
	parse := func(text string) []*config.Document {
		set, problems := r.Parse("body", []byte(text))
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		return set.All()
	}
	other := parse("kind: placement\nid: other\n")
	for name, c := range map[string]struct {
		change config.Change
		kind   rapport.Kind
		text   string
	}{
		"stale":     {config.Change{Author: "b", Expect: new(int64), Put: other}, rapport.Conflict, "the config is at version 1, the change was made for version 0"},
		"author":    {config.Change{Put: other}, rapport.Invalid, "author"},
		"in use":    {config.Change{Author: "b", Put: other, Delete: []config.Ref{{Kind: "placement", ID: "home_hero"}}}, rapport.Invalid, "action/espresso-offer:4:14: there is no placement home_hero"},
		"unknown":   {config.Change{Author: "b", Put: other, Delete: []config.Ref{{Kind: "placement", ID: "x"}}}, rapport.NotFound, "there is no placement x"},
		"twice":     {config.Change{Author: "b", Put: append(other, other...)}, rapport.Invalid, "stands twice"},
		"reference": {config.Change{Author: "b", Put: append(parse("kind: segment\nid: s\nwhen: segments.has(\"regular\")\n"), other...)}, rapport.Invalid, "segment/s:3:7: there is no segment regular; did you mean regulars?"},
		"variable":  {config.Change{Author: "b", Put: append(parse("kind: webhook\nid: w\nurl: ${NONE}\n"), other...)}, rapport.Invalid, "url reads NONE from the environment, where it is not set"},
		"resolved":  {config.Change{Author: "b", Put: append(parse("kind: webhook\nid: w\nurl: ${CRM_TOKEN}\n"), other...)}, rapport.Invalid, "must begin with https"},
	} {
		_, err := s.Apply(t.Context(), c.change)
		if rapport.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refuse = true
	if _, err := s.Apply(t.Context(), config.Change{Author: "b", Put: other}); err == nil {
		t.Error("the publisher's refusal was ignored")
	}
	if state(s) != before {
		t.Error("a refused change left a trace")
	}
}

func TestRandomChangesUndoneLeadBackAndReplayTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		log := eventlogtest.NewMemory(1)
		s := openStore(t, log, nil)
		versions := []string{""}
		for range 12 {
			change(t, s, rnd)
			set, v := s.Current()
			for int64(len(versions)) <= v {
				versions = append(versions, texts(set))
			}
		}
		for v, want := range versions {
			if set, err := s.At(int64(v)); err != nil || texts(set) != want {
				t.Fatalf("seed %d: version %d is not what it was: %v", seed, v, err)
			}
		}
		back := rnd.IntN(len(versions))
		for v := len(versions) - 1; v > back; v-- {
			if _, err := s.Undo(t.Context(), int64(v), "undoer"); err != nil {
				t.Fatalf("seed %d: undo %d: %v", seed, v, err)
			}
		}
		if set, _ := s.Current(); texts(set) != versions[back] {
			t.Fatalf("seed %d: undoing %d versions did not lead back:\n%s", seed, len(versions)-1-back, cmp.Diff(versions[back], texts(set)))
		}
		last := len(versions) - 1
		if _, err := s.Restore(t.Context(), int64(last), "restorer"); err != nil {
			t.Fatal(err)
		}
		then, _ := s.At(int64(last))
		if set, _ := s.Current(); len(config.Compare(set, then, false)) > 0 {
			t.Fatalf("seed %d: restore did not lead back", seed)
		}
		if diff := cmp.Diff(state(s), state(openStore(t, log.Reopen(), nil))); diff != "" {
			t.Fatalf("seed %d: the replayed store differs\n%s", seed, diff)
		}
	}
}

// change applies a random change of placements.
func change(t *testing.T, s *config.Store, rnd *rand.Rand) {
	t.Helper()
	set, _ := s.Current()
	c := config.Change{Author: "author" + fmt.Sprint(rnd.IntN(3))}
	for id := range 8 {
		name := fmt.Sprint("p", id)
		switch exists := set.Get("placement", name) != nil; {
		case rnd.IntN(3) > 0:
		case exists && rnd.IntN(2) == 0:
			c.Delete = append(c.Delete, config.Ref{Kind: "placement", ID: name})
		default:
			doc, _ := registry(t).Parse("x", fmt.Appendf(nil, "kind: placement\nid: %s\nslots: %d # %d\n", name, 1+rnd.IntN(4), rnd.Int()))
			c.Put = append(c.Put, doc.All()...)
		}
	}
	if _, err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestUndoRefusesWhatWasChangedSince(t *testing.T) {
	t.Parallel()
	s := openStore(t, eventlogtest.NewMemory(1), nil)
	put(t, s, "ada", "kind: placement\nid: a\n---\nkind: placement\nid: b\n")
	put(t, s, "bob", "kind: placement\nid: a\nslots: 2\n")
	_, err := s.Undo(t.Context(), 1, "ada")
	if rapport.KindOf(err) != rapport.Conflict || err.Error() != "placement/a changed again since version 1" || rapport.HintOf(err) == "" {
		t.Error(err)
	}
	if v, err := s.Undo(t.Context(), 2, "ada"); v != 3 || err != nil || s.History(1)[0].Undoes != 2 {
		t.Error(v, err)
	}
	if v, err := s.Undo(t.Context(), 1, "ada"); v != 4 || err != nil {
		t.Error(v, err)
	}
	for _, v := range []int64{0, 5, -1} {
		if _, err := s.Undo(t.Context(), v, "ada"); rapport.KindOf(err) != rapport.NotFound {
			t.Error(v, err)
		}
	}
}

func TestTheFolderIsAppliedOncePerContentAndOverwritesNoEdit(t *testing.T) {
	t.Parallel()
	log := eventlogtest.NewMemory(1)
	s := openStore(t, log, nil)
	r := registry(t)
	apply := func(text string) config.FolderReport {
		t.Helper()
		set, problems, err := r.Load(fstest.MapFS{"a.yaml": {Data: []byte(text)}})
		if err := errors.Join(err, problems.Err()); err != nil {
			t.Fatal(err)
		}
		report, err := s.ApplyFolder(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	say := func(rep config.FolderReport) string {
		var b strings.Builder
		fmt.Fprintf(&b, "v%d", rep.Version)
		for _, d := range rep.Applied {
			fmt.Fprintf(&b, " %s:%s", d.Op, d.ID)
		}
		for _, k := range rep.Kept {
			fmt.Fprintf(&b, " kept:%s by %s v%d conflict=%v", k.ID, k.Author, k.Version, k.Conflict)
		}
		return b.String()
	}
	doc := func(id string, slots int) string {
		return fmt.Sprintf("kind: placement\nid: %s\nslots: %d\n---\n", id, slots)
	}
	for i, step := range []struct {
		edit func()
		text string
		want string
	}{
		{nil, doc("a", 1) + doc("b", 1), "v1 created:a created:b"},
		{nil, doc("a", 1) + doc("b", 1), "v1"},
		{func() { put(t, s, "ada", doc("a", 2)) }, doc("a", 1) + doc("b", 1), "v2 kept:a by ada v2 conflict=false"},
		{nil, doc("a", 1) + doc("b", 3), "v3 changed:b kept:a by ada v2 conflict=false"},
		{nil, doc("a", 4) + doc("b", 3), "v4 kept:a by ada v2 conflict=true"},
		{nil, doc("a", 2) + doc("b", 3), "v5"},           // the folder says what ada said
		{nil, doc("a", 5) + doc("b", 3), "v6 changed:a"}, // and owns it again
		{func() { put(t, s, "ada", doc("a", 6)) }, doc("b", 3), "v8 kept:a by ada v7 conflict=true"},
		{func() {
			if _, err := s.Apply(t.Context(), config.Change{Author: "ada", Delete: []config.Ref{{Kind: "placement", ID: "b"}}}); err != nil {
				t.Fatal(err)
			}
		}, doc("b", 4), "v10 kept:a by ada v7 conflict=true kept:b by ada v0 conflict=true"},
		{nil, doc("c", 1), "v11 created:c kept:a by ada v7 conflict=true"},
		{nil, doc("b", 1) + doc("c", 1), "v12 created:b kept:a by ada v7 conflict=true"},
		{func() { put(t, s, "ada", doc("c", 2)); undo(t, s) }, doc("b", 1) + doc("c", 3), "v15 changed:c kept:a by ada v7 conflict=true"},
		{nil, doc("b", 1), "v16 deleted:c kept:a by ada v7 conflict=true"},
	} {
		if step.edit != nil {
			step.edit()
		}
		got := apply(step.text)
		if say(got) != step.want {
			t.Errorf("step %d: %s\nwant %s", i, say(got), step.want)
		}
	}
	if diff := cmp.Diff(state(s), state(openStore(t, log.Reopen(), nil))); diff != "" {
		t.Error("the replayed store differs", diff)
	}
}

func undo(t *testing.T, s *config.Store) {
	t.Helper()
	if _, err := s.Undo(t.Context(), s.Version(), "ada"); err != nil {
		t.Fatal(err)
	}
}

func TestADocumentThatCannotBeReadAnyMoreIsReportedAndReplaceable(t *testing.T) {
	t.Parallel()
	log := eventlogtest.NewMemory(1)
	put(t, openStore(t, log, nil), "ada", northbean)
	j := config.NewJournal(log, noon)
	r, err := config.NewRegistry([]config.Kind{
		{Name: "source", Doc: "d", New: func() any {
			return &struct {
				Key int `yaml:"key" doc:"d"`
			}{}
		}},
		{Name: "action", Doc: "d", New: func() any { return &struct{}{} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := config.NewStore(config.Options{Journal: j, Registry: r})
	if err := j.Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, version, err := s.Resolved()
	if version != 1 || set.Len() != 0 || rapport.KindOf(err) != rapport.Invalid || !strings.Contains(err.Error(), `source/web:4:6: key wants a whole number, not the text "wk_web"`) {
		t.Errorf("%d %d %v", version, set.Len(), err)
	}
	doc, problems := r.Parse("b", []byte("kind: source\nid: web\nkey: 3\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if _, err := s.Apply(t.Context(), config.Change{Author: "b", Put: doc.All()}); err != nil {
		t.Fatal(err)
	}
	if set, _, err := s.Resolved(); set.Len() != 1 || strings.Contains(err.Error(), "source/web") {
		t.Error(err)
	}
}

func TestJournalFactsAreFoldedOnceThoughTheLogRepeatsAndFails(t *testing.T) {
	t.Parallel()
	memory := eventlogtest.NewMemory(1)
	log := eventlogtest.NewChaos(memory, eventlogtest.Faults{Seed: 3, Refuse: 0.2, LoseAnswer: 0.2, Repeat: 0.5, Reassign: 0.5, Back: 5})
	s := openStore(t, log, nil)
	r := registry(t)
	failed := 0
	for i := range 60 {
		set, _ := r.Parse("x", fmt.Appendf(nil, "kind: placement\nid: p%d\nslots: %d\n", i%5, 1+i%16))
		if _, err := s.Apply(t.Context(), config.Change{Author: "a", Put: set.All()}); err != nil {
			failed++
			if rapport.KindOf(err) != rapport.Unavailable {
				t.Fatal(err)
			}
		}
	}
	log.Heal()
	replayed := openStore(t, memory, nil)
	put(t, s, "a", "kind: placement\nid: last\n") // catches up
	put(t, replayed, "a", "kind: placement\nid: last\n")
	if failed == 0 || s.Version() < 40 {
		t.Errorf("%d failed, version %d: the test says little", failed, s.Version())
	}
	if diff := cmp.Diff(state(s), state(openStore(t, memory, nil))); diff != "" {
		t.Error("the replayed store differs", diff)
	}
}

func TestOtherRoomsShareTheJournal(t *testing.T) {
	t.Parallel()
	log := eventlogtest.NewMemory(1)
	j := config.NewJournal(log, noon)
	var got []string
	j.OnFact(func(f config.Fact) error {
		got = append(got, fmt.Sprint(f.Kind, " ", f.Time, " ", f.Author, " ", string(f.Body)))
		return nil
	})
	config.NewStore(config.Options{Journal: j, Registry: registry(t)})
	if err := j.Append(t.Context(), "access.token.created", "ada", []byte("body")); err != nil {
		t.Fatal(err)
	}
	if want := "access.token.created 1772366400000 ada body"; len(got) != 1 || got[0] != want {
		t.Error(got)
	}
	for _, kind := range []string{"", "x", "Access.token", "access.token.created.now.or"} {
		if err := j.Append(t.Context(), kind, "ada", nil); err == nil {
			t.Errorf("%q was taken", kind)
		}
	}
	if err := j.Append(t.Context(), "a.b", strings.Repeat("x", 300), nil); rapport.KindOf(err) != rapport.Invalid {
		t.Error(err)
	}
	if err := j.Append(t.Context(), "a.b", "ada", make([]byte, 13<<20)); rapport.KindOf(err) != rapport.TooLarge {
		t.Error(err)
	}
	if err := eventlog.Append(t.Context(), log, eventlog.Record{Topic: eventlog.Control, Kind: config.FactRecord, Data: []byte{9, 9}}); err != nil {
		t.Fatal(err)
	}
	if err := config.NewJournal(log, noon).Replay(t.Context()); rapport.KindOf(err) != rapport.Internal || !strings.Contains(err.Error(), "control record 1") {
		t.Error(err)
	}
}
