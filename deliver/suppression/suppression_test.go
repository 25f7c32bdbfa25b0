package suppression_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver/suppression"
)

// journal keeps facts and folds them at once, as the control topic does.
type journal struct {
	list  *suppression.List
	facts [][3]string
	fail  bool
}

func (j *journal) Append(_ context.Context, kind, author string, body []byte) error {
	if j.fail {
		return rapport.Errorf(rapport.Unavailable, "the disk is full")
	}
	j.facts = append(j.facts, [3]string{kind, author, string(body)})
	return j.list.Fold(kind, int64(len(j.facts)), author, body)
}

func open() (*suppression.List, *journal) {
	j := &journal{}
	j.list = suppression.New(suppression.Options{Journal: j, Key: []byte("key"), Normalize: func(_, value string) (string, bool) {
		return strings.ToLower(strings.TrimSpace(value)), strings.TrimSpace(value) != ""
	}})
	return j.list, j
}

func address(value string) suppression.Address {
	return suppression.Address{Kind: rapport.KindEmail, Value: value, Reason: suppression.Bounced, Detail: "5.1.1"}
}

func TestASuppressedAddressIsFoundHoweverItIsWrittenAndNowhereReadable(t *testing.T) {
	t.Parallel()
	l, j := open()
	added, err := l.Add(t.Context(), "relay", []suppression.Address{address("Ada@x.example"), address(" ada@X.example"), address("bo@x.example")})
	if err != nil || len(added) != 2 {
		t.Fatalf("added %v, %v", added, err)
	}
	if again, err := l.Add(t.Context(), "relay", []suppression.Address{address("ada@x.example")}); err != nil || len(again) != 0 || len(j.facts) != 1 {
		t.Errorf("a second time %v, %v", again, err)
	}
	e, ok := l.Find(rapport.KindEmail, "ADA@x.example ")
	if !ok || e.Reason != suppression.Bounced || e.Detail != "5.1.1" || e.By != "relay" {
		t.Errorf("found %+v, %v", e, ok)
	}
	if _, ok := l.Find(rapport.KindPhone, "ada@x.example"); ok {
		t.Error("a phone number of that name is suppressed as well")
	}
	if strings.Contains(fmt.Sprint(j.facts), "ada") {
		t.Errorf("the log shows the address: %v", j.facts)
	}
	// A restart folds the same facts.
	again, k := open()
	for i, f := range j.facts {
		if err := again.Fold(f[0], int64(i+1), f[1], []byte(f[2])); err != nil {
			t.Fatal(err)
		}
	}
	one, _, _ := l.Page("", "", "", 10)
	two, _, _ := again.Page("", "", "", 10)
	if diff := cmp.Diff(one, two, cmpopts.IgnoreUnexported(suppression.Entry{})); diff != "" || len(one) != 2 {
		t.Error(diff)
	}
	k.fail = true
	if _, err := again.Add(t.Context(), "x", []suppression.Address{address("new@x.example")}); rapport.KindOf(err) != rapport.Unavailable || again.Len() != 2 {
		t.Errorf("what the log refused is on the list: %v", err)
	}
	for _, bad := range []suppression.Address{{Kind: "userId", Value: "u", Reason: "manual"}, {Kind: "email", Value: "", Reason: "manual"}, {Kind: "email", Value: "a@b.no", Reason: "because"}} {
		if _, err := l.Add(t.Context(), "x", []suppression.Address{address("c@x.example"), bad}); rapport.KindOf(err) != rapport.Invalid || l.Len() != 2 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestTheListIsReadInPagesNewestFirstWhileItChanges(t *testing.T) {
	t.Parallel()
	l, _ := open()
	for n := range 2000 {
		if _, err := l.Add(t.Context(), "x", []suppression.Address{address(fmt.Sprint("p", n, "@x.example"))}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for n := range 1990 {
		id, err := l.ID(rapport.KindEmail, fmt.Sprint("p", n, "@x.example"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if n, err := l.Remove(t.Context(), "x", append(ids, ids[0], "nobody")); n != 1990 || err != nil {
		t.Fatalf("%d removed, %v", n, err)
	}
	if _, err := l.Add(t.Context(), "x", []suppression.Address{address("p0@x.example")}); err != nil {
		t.Fatal(err)
	}
	var seen []string
	after := ""
	for {
		page, next, err := l.Page("email", "bounce", after, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			seen = append(seen, e.ID)
		}
		if next == "" {
			break
		}
		after = next
		_, _ = l.Remove(t.Context(), "x", []string{page[len(page)-1].ID}) // the cursor outlives its entry
	}
	if len(seen) != 11 || seen[0] != ids[0] {
		t.Errorf("%d entries are listed, the first %q", len(seen), seen)
	}
	if page, _, _ := l.Page("phone", "", "", 4); len(page) != 0 {
		t.Errorf("phones %v", page)
	}
	if _, _, err := l.Page("", "", "x", 4); rapport.KindOf(err) != rapport.Invalid {
		t.Error(err)
	}
}
