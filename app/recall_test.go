package app_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// TestARecallIsDecidedForEveryOwnerBesideAllPressureAlsoAcrossKills recalls a
// lot whose owners refused marketing, of whom half are in the holdout, while it
// is a quiet hour for all and caps are used up; kills the server while it tells
// them, and lets one more claim an item of the lot when it stands.
func TestARecallIsDecidedForEveryOwnerBesideAllPressureAlsoAcrossKills(t *testing.T) {
	t.Parallel()
	box := letterbox{make(chan string, 256)}
	mails := smtp.NewServer(box)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = mails.Serve(listener) }()
	t.Cleanup(func() { _ = mails.Close() })
	folder := t.TempDir()
	text := `kind: source
id: web
key: wk_test_web
---
kind: channel
id: email
type: smtp
server: ` + listener.Addr().String() + `
tls: none
from: Northbean <hello@northbean.example>
strict: traits.country == "XX"
---
kind: placement
id: mailbox
channel: email
slots: 2
---
kind: action
id: notice
type: message
purpose: marketing
right: recall
when: items.any(i, i.state == "recalled")
cost: 5
placements: [mailbox]
content: {subject: "Recall of your {{ context.properties.item }}", body: "{{ context.properties.reason }}. {{ context.properties.instructions }}"}
---
kind: action
id: beans
type: offer
priority: 9
placements: [mailbox]
content: {subject: "Beans", body: "Buy beans"}
---
kind: trigger
id: bought
on: Order Completed
placement: mailbox
---
kind: policy
id: default
holdout: 0.5
caps: [{scope: person, max: 1, per: 30d}]
quietHours: {from: "00:00", to: "23:59", zone: Etc/UTC}
`
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, s := newProgram(t, folder, "")

	const people = 10
	item := func(i int) string { return fmt.Sprintf("01_09520123456788_21_R%d", i) }
	user := func(i int) string { return fmt.Sprintf("owner%d", i) }
	know := func(i int, traits map[string]any) {
		s.send(
			event("identify", fmt.Sprint("i", i), map[string]any{"userId": user(i), "traits": traits}),
			event("track", fmt.Sprint("c", i), map[string]any{"userId": user(i), "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "allowed": false}}),
			event("track", fmt.Sprint("o", i), map[string]any{"userId": user(i), "event": "Order Completed"}), // uses the cap up
		)
	}
	claim := func(i, by int) {
		s.must("POST", "/v1/items/"+item(i)+"/claim", map[string]any{"person": map[string]any{"userId": user(by)}})
	}
	var packed []string
	for i := range people {
		traits := map[string]any{"email": user(i) + "@northbean-people.no"}
		switch i {
		case people - 1:
			traits = map[string]any{"country": "XX", "email": user(i) + "@northbean-people.no"} // may not be written to there
		case people - 2:
			traits = map[string]any{"country": "NO"} // has no address
		}
		know(i, traits)
		if i%2 == 0 { // one half is known from the supply chain, the other from the factory's list
			packed = append(packed, `"https://id.gs1.org/01/09520123456788/10/LOT9/21/R`+fmt.Sprint(i)+`"`)
		} else {
			s.must("POST", "/v1/devices", map[string]any{"item": item(i), "facts": map[string]any{"lot": "LOT9"}})
		}
	}
	packed = append(packed, `"https://id.gs1.org/01/09520123456788/10/LOT9/21/R100"`, `"https://id.gs1.org/01/09520123456788/10/LOT9/21/R101"`)
	if resp, body := s.raw("POST", "/epcis/capture", "application/ld+json", chainDocument(`{"type":"ObjectEvent","eventTime":"2026-03-01T08:00:00Z","eventTimeZoneOffset":"+00:00","action":"ADD","bizStep":"commissioning","epcList":[`+strings.Join(packed, ",")+`]}`)); resp.StatusCode != 202 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	await(t, "the items have twins", func() bool {
		status, _ := s.call("GET", "/v1/items/"+item(100), nil)
		return status == 200
	})
	for i := range people {
		claim(i, i)
	}
	claim(101, 0) // the first has two of them
	found := s.must("GET", "/v1/recalls/affected?of=01_09520123456788_10_LOT9", nil)
	if n := len(found["items"].([]any)); n != people+2 || found["owners"] != float64(people) {
		t.Fatalf("the lot has %d items: %v", n, found)
	}
	if status, out := s.call("POST", "/v1/recalls", map[string]any{"of": "01_09520123456788_10_LOT9", "reason": "glass", "placement": "none"}); status != 422 && status != 400 {
		t.Errorf("a placement that is not there: %d %v", status, out)
	}
	s.must("POST", "/v1/recalls", map[string]any{"id": "r1", "of": "01_09520123456788_10_LOT9", "reason": "Glass in the beans", "instructions": "Bring it back."})
	for range 3 {
		p.kill() // while it tells them
		p.start()
	}
	progress := func() map[string]any { return s.must("GET", "/v1/recalls/r1", nil)["progress"].(map[string]any) }
	settled := func(n int) func() bool {
		return func() bool {
			g := progress()
			return g["marked"] == float64(people+2) && g["reached"] == float64(n-2) && g["unreachable"] == 2.0
		}
	}
	await(t, "everybody who can be is reached", settled(people))
	if g := progress(); g["people"] != float64(people) || g["unowned"] != 1.0 || g["waiting"] != 0.0 {
		t.Errorf("progress: %v", g)
	}
	decided := func(i int) (causes []string) {
		for _, e := range s.must("GET", "/v1/people/userId:"+user(i)+"/timeline?limit=1000&include=system", nil)["events"].([]any) {
			e := e.(map[string]any)
			if q, _ := e["properties"].(map[string]any); e["event"] == "Decision Made" && q["cause"] == "recall r1" {
				causes = append(causes, q["decisionId"].(string))
			}
		}
		return causes
	}
	for i := range people {
		ids := decided(i)
		if len(ids) != 1 {
			t.Fatalf("for %s the recall was decided %d times", user(i), len(ids))
		}
		why := fmt.Sprint(s.must("GET", "/v1/decisions/"+ids[0]+"/explain", nil))
		want := "by the right of a recall"
		if i >= people-2 {
			want = map[int]string{people - 1: "consent", people - 2: "no mail address is known"}[i]
		}
		if !strings.Contains(why, want) {
			t.Errorf("%s: %s", user(i), why)
		}
	}
	for range people - 2 {
		select {
		case mail := <-box.mails:
			if !strings.Contains(mail, "Subject: Recall of your 01_09520123456788_21_R") || !strings.Contains(mail, "Glass in the beans. Bring it back.") || strings.Contains(mail, "List-Unsubscribe") {
				t.Errorf("the mail:\n%s", mail)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("a mail is missing")
		}
	}
	list := s.must("GET", "/v1/recalls/r1/people?state=unreachable", nil)["people"].([]any)
	if text := fmt.Sprint(list); len(list) != 2 || !strings.Contains(text, "no mail address is known") || !strings.Contains(text, "consent") {
		t.Errorf("who cannot be reached: %v", list)
	}

	// Who claims an item now is told now, and reads it on the item's page.
	know(20, map[string]any{"email": "late@northbean-people.no"})
	if status, body := s.call("POST", "/v1/items/"+item(100)+"/claim", map[string]any{"person": map[string]any{"userId": user(20)}}); status >= 300 {
		t.Fatalf("%d %v", status, body)
	}
	await(t, "who came late is reached", func() bool { g := progress(); return g["reached"] == float64(people-1) && g["unowned"] == 0.0 })
	if _, page := s.raw("GET", "/passport/01/09520123456788/21/R100", "", nil); !strings.Contains(string(page), "This item is recalled") || !strings.Contains(string(page), "Bring it back.") {
		t.Errorf("the page does not tell:\n%s", page)
	}

	// Who took note is not reminded, the others are.
	s.must("POST", "/v1/recalls/r1/acknowledgements", map[string]any{"person": "userId:" + user(0)})
	s.send(event("track", "note1", map[string]any{"userId": user(1), "event": "Product Recall Acknowledged", "properties": map[string]any{"recall": "r1"}}))
	await(t, "two took note", func() bool { return progress()["acknowledged"] == 2.0 })
	s.must("POST", "/v1/recalls/r1/remind", nil)
	await(t, "the others are reminded", func() bool {
		return len(decided(2)) == 2 && len(decided(20)) == 2 && progress()["reached"] == float64(people-3)
	})
	if n := len(decided(0)) + len(decided(1)); n != 2 {
		t.Errorf("who took note was told again: %d decisions of two people", n)
	}
	s.must("DELETE", "/v1/recalls/r1", nil)
	await(t, "it is lifted", func() bool {
		x := s.must("GET", "/v1/items/"+item(3), nil)
		return x["state"] != "recalled"
	})
}
