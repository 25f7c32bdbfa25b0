package app_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// customers is a file of n people as a shop has them; every third is there
// twice, the second time mistyped and under a number of its own.
func customers(n int) (csv string) {
	r := rand.New(rand.NewPCG(9, 9))
	parts := strings.Fields("an ber cor da el fri gun ha in jo kar li mo na ol per ro si tor ul vi wen")
	word := func(n int) (s string) {
		for range n {
			s += parts[r.IntN(len(parts))]
		}
		return s
	}
	var b strings.Builder
	b.WriteString("number,first_name,last_name,date_of_birth,street,zip,city\n")
	for i := range n {
		given, surname, birth, street, zip, city := word(2), word(3), fmt.Sprintf("%d-%02d-%02d", 1940+r.IntN(60), 1+r.IntN(12), 1+r.IntN(28)), fmt.Sprintf("%d %s street", 1+r.IntN(99), word(3)), fmt.Sprint(1000+r.IntN(900)), word(3)
		fmt.Fprintf(&b, "c%d,%s,%s,%s,%s,%s,%s\n", i, given, surname, birth, street, zip, city)
		if i%3 == 0 {
			fmt.Fprintf(&b, "d%d,%s,%s,%s,%s,%s,%s\n", i, given, surname[:2]+surname[3:], birth, street, zip, "")
		}
	}
	return b.String()
}

type identityAnswer struct {
	Person string `json:"person"`
	Links  []struct {
		ID, Kind, State, Model, By string
		Bits                       float64
		Waterfall                  []struct {
			Field, Level, Why string
			Bits, Total       float64
		}
	} `json:"links"`
}

// person returns the answer about a person's identity.
func (h *house) identity(ref string) (out identityAnswer) {
	h.t.Helper()
	if code := h.call("GET", "/v1/people/"+url.PathEscape(ref)+"/identity", "", &out); code != http.StatusOK {
		h.t.Fatalf("%s: %d", ref, code)
	}
	return out
}

func TestImportedDuplicatesAreFoundExplainedAndTakenBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	file := write(t, t.TempDir(), "customers.csv", customers(90))
	if code, out, errs := run(t, map[string]string{"RAPPORT_KEY": "wk_web_1234"}, "import", "people", file, "--user-id", "number", "--server", h.url); code != 0 {
		t.Fatal(out, errs)
	}
	env := map[string]string{"RAPPORT_TOKEN": houseToken}
	if code, out, errs := run(t, env, "identity", "status", "--server", h.url); code != 0 || !strings.Contains(out, "off") {
		t.Fatal(out, errs)
	}
	h.apply("kind: likeness\nid: people\n")
	code, out, errs := run(t, env, "identity", "train", "--server", h.url)
	if code != 0 || !strings.Contains(out, "weights version 1") || !strings.Contains(out, "birth_date") {
		t.Fatal(code, out, errs)
	}
	await(t, "the duplicates are found", func() bool {
		first := h.identity("userId:c0") // its links are told when they are durable, a moment after they count
		return first.Person == h.identity("userId:d0").Person && len(first.Links) > 0 && h.identity("userId:c87").Person == h.identity("userId:d87").Person
	})
	link := h.identity("userId:c0").Links[0]
	last := link.Waterfall[len(link.Waterfall)-1]
	if link.Kind != "probable" || link.State != "counts" || link.Model != "likeness 1" || link.Waterfall[0].Field != "prior" || math.Abs(last.Total-link.Bits) > 1e-9 || len(link.Waterfall) < 6 {
		t.Errorf("the link is %+v", link)
	}
	if code := h.call("POST", "/v1/people/userId:c0/unmerge", `{"link":"`+link.ID+`"}`, nil); code != http.StatusNoContent {
		t.Fatal(code)
	}
	await(t, "they come apart", func() bool { return h.identity("userId:c0").Person != h.identity("userId:d0").Person })
	// What a stricter rule would change, before it is published.
	var preview struct{ Apart, Together int }
	if code := h.call("POST", "/v1/identity/preview", `{"likeness":{"unite":60}}`, &preview); code != http.StatusOK || preview.Apart < 25 || preview.Together != 0 {
		t.Errorf("the preview is %+v, %d", preview, code)
	}
	if h.identity("userId:c3").Person != h.identity("userId:d3").Person {
		t.Error("the preview changed something")
	}
	h.stop()
	h.start()
	if h.identity("userId:c0").Person == h.identity("userId:d0").Person || h.identity("userId:c3").Person != h.identity("userId:d3").Person {
		t.Error("after a restart the people are others")
	}
	// A mistyped newcomer is known at once.
	row := strings.Split(strings.Split(customers(90), "\n")[2], ",")
	h.send(fmt.Sprintf(`{"type":"identify","userId":"new","messageId":"new","traits":{"firstName":%q,"lastName":%q,"birthday":%q,"street":%q,"postalCode":%q}}`, row[1], row[2]+"n", row[3], row[4], row[5]))
	await(t, "the newcomer is known", func() bool { return len(h.identity("userId:new").Links) > 0 })
	var s struct{ State string }
	if code := h.call("GET", "/v1/identity/likeness", "", &s); code != http.StatusOK {
		t.Fatal(code)
	}
	if code := h.call("POST", "/v1/identity/likeness/train", "{}", nil); code != http.StatusAccepted {
		t.Fatal(code)
	}
	await(t, "the second version is in force", func() bool {
		var s struct {
			State string
			Model struct{ Version, Taught int }
		}
		h.call("GET", "/v1/identity/likeness", "", &s)
		return s.State == "on" && s.Model.Version == 2 && s.Model.Taught == 1
	})
}

func TestWhoSharesAnAddressIsAHouseholdAndNotAPerson(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	at := h.clock.Now().Add(-time.Hour)
	lives := func(user, name, street string) {
		at = at.Add(time.Second)
		h.send(fmt.Sprintf(`{"type":"identify","userId":%q,"messageId":"m-%s","timestamp":%q,"traits":{"firstName":%q,"lastName":"Solberg","address":{"street":%q,"postalCode":"0571","city":"Oslo"}}}`, user, user+at.Format(time.RFC3339), at.Format(time.RFC3339), name, street))
	}
	lives("ingrid", "Ingrid", "7 Birch Lane")
	lives("thomas", "Thomas", "7 birch lane ")
	lives("else", "Else", "9 Birch Lane")
	for i := range 12 {
		lives(fmt.Sprint("flat", i), "A", "100 Tower Road")
	}
	type person struct {
		ID         string
		Households []struct {
			ID, Shares string
			People     []string
			TooMany    bool
		}
	}
	get := func(user string) (p person) {
		if code := h.call("GET", "/v1/people/userId:"+user, "", &p); code != http.StatusOK {
			t.Fatal(code)
		}
		return p
	}
	// Five flats are a household until the others are heard of: wait for the answer that stays.
	await(t, "they are a household", func() bool {
		tower := get("flat3").Households
		return len(get("ingrid").Households) == 1 && len(tower) == 1 && tower[0].TooMany
	})
	ingrid, thomas := get("ingrid"), get("thomas")
	home := ingrid.Households[0]
	if ingrid.ID == thomas.ID || home.Shares != "address" || len(home.People) != 2 || !slices.Contains(home.People, thomas.ID) || !strings.HasPrefix(home.ID, "h_") {
		t.Errorf("the household is %+v", home)
	}
	if len(get("else").Households) != 0 {
		t.Error("the neighbour is of the household")
	}
	if tower := get("flat3").Households[0]; len(tower.People) != 0 {
		t.Errorf("a block of flats is a household: %+v", tower)
	}
	lives("thomas", "Thomas", "1 Elsewhere Street")
	await(t, "he moved out", func() bool { return len(get("ingrid").Households) == 0 })
	lives("thomas", "Thomas", "7 Birch Lane")
	await(t, "he came back", func() bool { return len(get("ingrid").Households) == 1 })
	h.erase("userId:thomas")
	await(t, "somebody erased is in no household", func() bool { return len(get("ingrid").Households) == 0 })
	var list struct{ Households []json.RawMessage }
	if code := h.call("GET", "/v1/people/userId:flat3/households", "", &list); code != http.StatusOK || len(list.Households) != 1 {
		t.Error(code, list)
	}
}

func TestWhoSharesAProductIsAHouseholdUntilItIsReleased(t *testing.T) {
	t.Parallel()
	s := openProducts(t, t.TempDir(), nil)
	anna, ben := map[string]any{"userId": "anna"}, map[string]any{"userId": "ben"}
	for _, user := range []string{"anna", "ben", "carl"} {
		s.send(map[string]any{"type": "track", "userId": user, "event": "Signed Up", "messageId": "up-" + user})
	}
	of := func(user string) []any {
		return s.must("GET", "/v1/people/userId:"+user, nil)["households"].([]any)
	}
	s.must("POST", "/v1/devices", map[string]any{"item": can})
	s.must("POST", "/v1/items/"+can+"/claim", map[string]any{"person": anna})
	if got := of("anna"); len(got) != 0 {
		t.Errorf("somebody alone is a household: %v", got)
	}
	s.must("POST", "/v1/items/"+can+"/members", map[string]any{"person": ben, "role": "member"})
	shared := of("anna")
	if len(shared) != 1 {
		t.Fatalf("households %v", shared)
	}
	if h := shared[0].(map[string]any); h["shares"] != "product" || h["id"] != can || len(h["people"].([]any)) != 2 {
		t.Errorf("the household is %v", h)
	}
	a, b := s.must("GET", "/v1/people/userId:anna", nil)["id"], s.must("GET", "/v1/people/userId:ben", nil)["id"]
	if a == b || len(of("carl")) != 0 {
		t.Errorf("%v and %v; a stranger shares %v", a, b, of("carl"))
	}
	s.must("POST", "/v1/items/"+can+"/release", nil)
	if got := of("anna"); len(got) != 0 {
		t.Errorf("of a product that is nobody's: %v", got)
	}
}
