package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
)

func TestAMailIsDecidedSentAndUnsubscribedFromWithOneClick(t *testing.T) {
	t.Parallel()
	box := newLetterbox()
	folder := mailShop(t, box, "channel: email", `content: {subject: "Thank you, {{ person.firstName }}", body: "Your {{ person.favourite | default: 'coffee' }} is on its way."}`)
	s := open(t, t.TempDir(), func(o *app.Options) { o.Config = folder })
	buy := func(id string) {
		s.send(
			map[string]any{"type": "identify", "userId": "ada", "messageId": "i" + id, "traits": map[string]any{"firstName": "Ada", "email": "ada@northbean-people.no"}},
			map[string]any{"type": "track", "userId": "ada", "event": "Order Completed", "messageId": "o" + id, "properties": map[string]any{"revenue": 12}},
		)
	}
	consent := func(id string, allowed bool) {
		s.send(map[string]any{
			"type": "track", "userId": "ada", "event": "Consent Updated", "messageId": "c" + id,
			"properties": map[string]any{"purpose": "marketing", "channel": "email", "allowed": allowed},
		})
	}
	consent("1", true)
	buy("1")
	var mail string
	select {
	case mail = <-box.mails:
	case <-time.After(2 * time.Minute):
		t.Fatal("no mail came")
	}
	if !strings.Contains(mail, "Subject: Thank you, Ada") || !strings.Contains(mail, "Your coffee is on its way.") || !strings.Contains(mail, "List-Unsubscribe-Post: List-Unsubscribe=One-Click") {
		t.Fatalf("the mail:\n%s", mail)
	}
	found := regexp.MustCompile(`List-Unsubscribe:\s*<([^>]+)>`).FindStringSubmatch(strings.NewReplacer("\r\n ", "", "=\r\n", "").Replace(mail))
	if found == nil {
		t.Fatalf("no link to unsubscribe:\n%s", mail)
	}
	resp, err := http.PostForm(found[1], url.Values{"List-Unsubscribe": {"One-Click"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || !strings.Contains(string(page), "not hear from us about this any more") {
		t.Fatalf("one click answered %d: %s", resp.StatusCode, page)
	}
	if said := s.must("GET", "/v1/people/userId:ada", nil)["consent"]; !strings.Contains(fmt.Sprint(said), "allowed:false") {
		t.Errorf("consent after one click: %v", said)
	}

	// Anybody may be looked at, and nothing goes out for it.
	seen := s.must("POST", "/v1/actions/thanks/preview", map[string]any{"person": map[string]any{"userId": "ada"}})
	if seen["form"] != "mail" || seen["to"] != "ada@northbean-people.no" || seen["subject"] != "Thank you, Ada" || !strings.Contains(fmt.Sprint(seen["html"]), "Your coffee is on its way.") || !strings.Contains(fmt.Sprint(seen["text"]), "https://preview.invalid/preferences") {
		t.Errorf("previewed as %v", seen)
	}
	for path, who := range map[string]string{"/v1/actions/thanks/preview": "nobody", "/v1/actions/nothing/preview": "ada"} {
		if status, out := s.call("POST", path, map[string]any{"person": map[string]any{"userId": who}}); status != 404 {
			t.Errorf("%s for %s answered %d: %v", path, who, status, out)
		}
	}

	// The next decision is withheld; a person who allows it again is written to.
	why := s.must("POST", "/v1/explain", map[string]any{"person": map[string]any{"userId": "ada"}, "placement": "mailbox", "action": "thanks"})
	if !strings.Contains(fmt.Sprint(why), "consent") {
		t.Errorf("why not: %v", why)
	}
	buy("2")
	consent("3", true)
	buy("3")
	select {
	case <-box.mails:
	case <-time.After(2 * time.Minute):
		t.Fatal("no mail came after consent was given again")
	}
	select {
	case extra := <-box.mails:
		t.Errorf("a mail went out without consent:\n%s", extra)
	default:
	}
}

func TestATemplateWithAFaultIsNotTakenInForce(t *testing.T) {
	t.Parallel()
	folder := folderOf(t, posting("localhost:25")+`---
kind: action
id: thanks
type: message
channel: email
placements: [mailbox]
content: {subject: "{{ person.firstName | upcas }}"}
---
kind: placement
id: mailbox
`)
	env, errs := map[string]string{}, &strings.Builder{}
	code := app.Main(t.Context(), app.Env{Args: []string{"check", folder}, Getenv: func(k string) string { return env[k] }, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: errs})
	if code != 1 || !strings.Contains(errs.String(), `did you mean "upcase"`) {
		t.Errorf("check ended with %d: %s", code, errs)
	}
}
