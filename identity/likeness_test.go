package identity_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
)

// said is what people say of themselves, by node.
type said struct {
	mu  sync.Mutex
	all map[rapport.ID]identity.Source
}

func (s *said) Source(_ context.Context, node rapport.ID) (identity.Source, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[node]
	return one, ok, nil
}

func (s *said) Each(_ context.Context, yield func(identity.Source) error) error {
	s.mu.Lock()
	var list []identity.Source
	for _, one := range s.all {
		list = append(list, one)
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b identity.Source) int { return a.Node.Compare(b.Node) })
	for _, one := range list {
		if err := yield(one); err != nil {
			return err
		}
	}
	return nil
}

// likenessWorld is a world in which people say who they are.
func likenessWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, memory())
	w.stop()
	w.said = &said{all: map[rapport.ID]identity.Source{}}
	w.start()
	return w
}

func (w *world) publish(_ context.Context, m identity.LikenessModelDoc) error {
	w.model = []identity.LikenessModelDoc{m}
	w.likeness(nil)
	return nil
}

// likeness puts a document in force, with the weights there are.
func (w *world) likeness(change func(*identity.LikenessDoc)) {
	w.t.Helper()
	d := identity.NewLikenessDoc()
	d.ID = identity.LikenessID
	if change != nil {
		change(d)
	}
	rules, err := w.rules.WithLikeness([]identity.LikenessDoc{*d}, w.model)
	if err != nil {
		w.t.Error(err)
		return
	}
	w.SetRules(rules)
}

// tell makes a user say who they are: given name, surname, e-mail, phone, birth date, street, postcode, city.
func (w *world) tell(user string, values ...string) {
	w.t.Helper()
	e := w.send("u=" + user)[0]
	w.said.mu.Lock()
	w.said.all[e.Fragment] = identity.Source{Node: e.Fragment, Name: e.Identifiers[0], Values: values}
	w.said.mu.Unlock()
	w.Told(e.Fragment, rapport.FieldsOf(map[string]any{"street": "x"}), nil)
}

// compared waits until what was told has been compared and weighed.
func (w *world) compared() {
	w.t.Helper()
	if err := w.Compared(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// learn trains and waits for it.
func (w *world) learn() identity.Likeness {
	w.t.Helper()
	if err := w.Train(); err != nil {
		w.t.Fatal(err)
	}
	for w.Likeness().State == "training" {
		runtime.Gosched()
	}
	w.compared()
	return w.Likeness()
}

// population is n people by seed, in the order of identity.Source.Values.
func population(seed uint64, n int) (people [][]string) {
	r := rand.New(rand.NewPCG(seed, 3))
	parts := []string{"an", "ber", "cor", "da", "el", "fri", "gun", "ha", "in", "jo", "kar", "li", "mo", "na", "ol", "per", "ro", "si", "tor", "ul", "vi", "wen"}
	word := func(n int) (s string) {
		for range n {
			s += parts[r.IntN(len(parts))]
		}
		return s
	}
	for i := range n {
		g, f := word(2), word(3)
		people = append(people, []string{
			g, f, fmt.Sprintf("%s.%s%d@mail.com", g, f, i), fmt.Sprintf("47%08d", r.IntN(1e8)),
			fmt.Sprintf("%04d-%02d-%02d", 1930+r.IntN(80), 1+r.IntN(12), 1+r.IntN(28)),
			fmt.Sprintf("%d %s street", 1+r.IntN(200), word(4)), fmt.Sprint(1000 + r.IntN(400)*4), word(3),
		})
	}
	return people
}

// mistyped is a record with slips of the pen, deterministic by its number.
func mistyped(values []string, n int) []string {
	v := slices.Clone(values)
	v[2], v[3] = "", ""
	s := []byte(v[1])
	s[1+n%(len(s)-2)], s[2+n%(len(s)-2)] = s[2+n%(len(s)-2)], s[1+n%(len(s)-2)]
	v[1] = string(s)
	return v
}

// populated has people who were trained on, a third of them twice.
func populated(t testing.TB, n int) (*world, [][]string) {
	w := likenessWorld(t)
	people := population(1, n)
	for i, p := range people {
		w.tell(fmt.Sprint("p", i), p...)
		if i%3 == 0 {
			w.tell(fmt.Sprint("twice", i), mistyped(p, i)...)
		}
	}
	return w, people
}

func TestWhoSaysTheSameIsOnePersonOnceLikenessIsTrained(t *testing.T) {
	t.Parallel()
	w, people := populated(t, 150)
	w.compared()
	w.likeness(nil)
	w.compared()
	if s := w.Likeness(); s.State != "untrained" || s.Records != 0 || s.Links != 0 {
		t.Fatalf("before training: %+v", s)
	}
	w.same("userId:p0 | userId:twice0 | userId:p1")
	s := w.learn()
	if s.State != "on" || s.Version != 1 || s.Records != 200 || s.Failed != "" {
		t.Fatalf("after training: %s, %s, version %d, %d records", s.State, s.Failed, s.Version, s.Records)
	}
	for i := range people {
		if i%3 == 0 {
			w.same(fmt.Sprintf("userId:p%d userId:twice%d | userId:p%d", i, i, i+1))
		}
	}
	// As they arrive.
	w.tell("late", mistyped(people[1], 5)...)
	w.compared()
	w.same("userId:p1 userId:late | userId:p2")
	link := w.who("userId:late").Links[0]
	sum := 0.0
	for _, step := range link.Steps {
		sum += step.Bits
	}
	if link.Kind != identity.Probable || link.Model != 1 || link.Bits < 12 || link.Steps[0].Field != "prior" || sum-link.Bits > 1e-9 || link.Bits-sum > 1e-9 || link.By != "likeness" || link.Evidence != "likeness 1" {
		t.Errorf("the link is %+v", link)
	}
	// Taken back by a person, it stays back.
	if err := w.Unmerge(t.Context(), w.ref("userId:late"), link.ID, "support"); err != nil {
		t.Fatal(err)
	}
	w.tell("late", mistyped(people[1], 6)...)
	w.compared()
	w.same("userId:p1 | userId:late")
}

func TestWhoNoLongerResemblesComesApart(t *testing.T) {
	t.Parallel()
	w, people := populated(t, 100)
	w.learn()
	w.same("userId:p3 userId:twice3")
	w.tell("twice3", people[4][0], "Else", "", "", "1911-11-11", "1 Nowhere Lane", "9999", "Elsewhere")
	w.compared()
	w.same("userId:p3 | userId:twice3")
	w.tell("twice3", mistyped(people[3], 3)...)
	w.compared()
	w.same("userId:p3 userId:twice3")
	// Switched off, what likeness united comes apart; on again, it comes together.
	w.likeness(func(d *identity.LikenessDoc) { d.Enabled = false })
	w.compared()
	w.same("userId:p3 | userId:twice3 | userId:p6 | userId:twice6")
	w.likeness(nil)
	w.compared()
	w.same("userId:p3 userId:twice3 | userId:p6 userId:twice6")
	// A threshold nobody reaches.
	rules, err := w.Rules().Resembling(identity.LikenessDoc{ID: "people", Enabled: true, Unite: 60, UserIDs: "unite"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Preview(t.Context(), rules)
	if err != nil || p.Apart != 34 || p.Together != 0 || p.Hold < 34 {
		t.Fatalf("the preview says %+v, %v", p, err)
	}
	w.SetRules(rules)
	w.compared()
	w.same("userId:p3 | userId:twice3 | userId:p6 | userId:twice6")
	list, total, err := w.Reviews(t.Context(), 100)
	if err != nil || total < 34 || list[0].Why == "" {
		t.Errorf("%d reviews, %v", total, err)
	}
}

func TestWhoCouldBeEitherOfTwoStrangersIsForSomebodyToDecide(t *testing.T) {
	t.Parallel()
	w, _ := populated(t, 150)
	w.learn()
	mother := []string{"Ingrid", "Solbergsen", "", "4722123456", "1961-03-08", "7 Birchwood Lane", "0571", "Osloberg"}
	son := []string{"Thomas", "Solbergsen", "", "4722123456", "1990-11-21", "7 Birchwood Lane", "0571", "Osloberg"}
	either := []string{"", "Solbergsen", "", "4722123456", "", "7 Birchwood Lane", "0571", "Osloberg"}
	w.tell("mother", mother...)
	w.tell("son", son...)
	w.compared()
	w.same("userId:mother | userId:son")
	w.tell("either", either...)
	w.compared()
	w.same("userId:mother | userId:son | userId:either")
	list, total, err := w.Reviews(t.Context(), 10)
	if err != nil || total != 2 || !list[0].Link.Guarded || list[0].Link.Bits < 12 || list[0].Why != "they resemble each other, those around them do not" {
		t.Fatalf("%d reviews: %+v, %v", total, list, err)
	}
	// Once it says which, it goes there.
	either[0], either[4] = "Thomas", "1990-11-21"
	w.tell("either", either...)
	w.compared()
	w.same("userId:mother | userId:son userId:either")
}

func TestReviewsTeach(t *testing.T) {
	t.Parallel()
	w, _ := populated(t, 120)
	w.learn()
	w.likeness(func(d *identity.LikenessDoc) { d.UserIDs = "review" })
	w.compared()
	w.same("userId:p0 | userId:twice0")
	list, total, err := w.Reviews(t.Context(), 1000)
	if err != nil || total < 40 {
		t.Fatalf("%d reviews, %v", total, err)
	}
	for i, r := range list[:10] {
		decide := w.Accept
		if i%2 == 0 {
			decide = w.Refuse
		}
		if err := decide(t.Context(), r.Link.ID, "support"); err != nil {
			t.Fatal(err)
		}
		names := [2]string{r.Link.Identifiers[0].Value, r.Link.Identifiers[1].Value}
		if one := w.ref("userId:"+names[0]) == w.ref("userId:"+names[1]); one != (i%2 == 1) {
			t.Errorf("%v are one person: %v", names, one)
		}
	}
	if s := w.learn(); s.Version != 2 || s.Model.Taught != 10 {
		t.Errorf("version %d was taught by %d decisions", s.Version, s.Model.Taught)
	}
	w.likeness(func(d *identity.LikenessDoc) { d.UserIDs = "review" })
	w.compared()
	for _, r := range list[:10] {
		if _, left, _ := w.Reviews(t.Context(), 1); left > total-10 {
			t.Fatalf("%s: %d reviews are left of %d", r.Link.ID, left, total)
		}
	}
}

func TestTheErasedAreForgottenByLikeness(t *testing.T) {
	t.Parallel()
	w, people := populated(t, 100)
	w.learn()
	before := w.Likeness().Records
	twice := w.ref("userId:twice3")
	nodes, err := w.Erase(t.Context(), twice, "job")
	if err != nil {
		t.Fatal(err)
	}
	w.said.mu.Lock()
	for _, n := range nodes {
		delete(w.said.all, n)
	}
	w.said.mu.Unlock()
	for _, n := range nodes {
		w.Told(n, nil, nil)
	}
	w.compared()
	if now := w.Likeness().Records; now != before-2 {
		t.Errorf("%d source records of %d are left", now, before)
	}
	w.same("userId:p3 | userId:twice3")
	w.tell("p3", people[3]...)
	w.tell("twice3", mistyped(people[3], 3)...)
	w.compared()
	w.same("userId:p3 userId:twice3")
}

// TestLikenessIsInTheLog: who compares again finds what stands there, and who
// only reads the log knows the same people.
func TestLikenessIsInTheLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 77))
		w, people := populated(t, 80)
		w.learn()
		rules := w.Rules()
		for n := range 60 {
			i := r.IntN(len(people))
			switch r.IntN(6) {
			case 0:
				w.tell(fmt.Sprint("new", n), mistyped(people[i], n)...)
			case 1:
				w.tell(fmt.Sprint("p", i), mistyped(people[r.IntN(len(people))], n)...)
			case 2:
				w.send(fmt.Sprintf("u=p%d e=mail%d@b.no", i, r.IntN(20)))
			case 3:
				w.send(fmt.Sprintf("alias u=p%d prev=twice%d", i, r.IntN(30)*3))
			case 4:
				w.compared()
				who := w.who(fmt.Sprint("userId:p", i))
				if links := slices.Concat(who.Links, who.Held); len(links) > 0 {
					if err := w.Unmerge(t.Context(), who.Person, links[r.IntN(len(links))].ID, "support"); err != nil {
						t.Fatal(err)
					}
				}
			case 5:
				w.rules = rules
				w.restart()
			}
		}
		w.compared()
		groups := func(of interface{ Person(rapport.ID) rapport.ID }) string {
			var out []string
			for i := range people {
				for _, name := range []string{"p", "twice"} {
					out = append(out, of.Person(w.Mint(rapport.KindUserID, fmt.Sprint(name, i), 0)).String())
				}
			}
			return strings.Join(out, " ")
		}
		before := groups(w.Resolver)
		if fresh := groups(reopenOn(t, w)); fresh != before {
			t.Fatalf("seed %d: the log says otherwise", seed)
		}
		n := len(records(t, w.log, eventlog.Identity, 0))
		w.rules = rules
		w.restart()
		w.compared()
		if groups(w.Resolver) != before {
			t.Fatalf("seed %d: after a restart the people are others", seed)
		}
		if again := len(records(t, w.log, eventlog.Identity, 0)); again != n {
			t.Fatalf("seed %d: comparing again wrote %d records", seed, again-n)
		}
	}
}
