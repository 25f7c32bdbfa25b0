package app_test

import (
	"io"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/app"
)

func TestASlotSpeaksThePersonsLanguageAndIsFilledInForThem(t *testing.T) {
	t.Parallel()
	folder := folderOf(t, `kind: source
id: web
key: wk_test_web
---
kind: placement
id: home
---
kind: placement
id: cart
---
kind: action
id: hello
type: content
placements: [home, cart]
content: {title: "Hello {{ person.firstName | default: 'you' }}", more: [{text: "{{ decision.action }}"}]}
locales:
  en-GB: {title: "Good day {{ person.firstName }}"}
  nb: {title: "Hei {{ person.firstName }}"}
in:
  cart:
    content: {title: "Your cart, {{ person.firstName }}"}
    locales:
      nb: {title: "Kurven din, {{ person.firstName }}"}
---
kind: policy
id: default
holdout: 0
exploration: 0.5
`)
	s := open(t, t.TempDir(), func(o *app.Options) { o.Config = folder })
	s.send(event("identify", "1", map[string]any{"userId": "ada", "traits": map[string]any{"firstName": "Ada", "locale": "nb-NO"}}))
	for _, c := range []struct{ user, placement, locale, want string }{
		{"ada", "home", "", "Hei Ada"},
		{"ada", "home", "en-GB-oxendict", "Good day Ada"},
		{"ada", "home", "en_GB", "Good day Ada"},
		{"ada", "home", "en-US", "Hello Ada"},
		{"ada", "cart", "", "Kurven din, Ada"},
		{"ada", "cart", "en-GB", "Your cart, Ada"},
		{"stranger", "home", "", "Hello you"},
	} {
		given := ""
		for given == "" { // now and then nothing is worth more
			d := s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": c.user}, "placement": c.placement, "context": map[string]any{"locale": c.locale}})
			for _, x := range d["items"].([]any) {
				given = x.(map[string]any)["content"].(map[string]any)["title"].(string)
			}
			if c.locale == "" {
				d = s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": c.user}, "placement": c.placement})
				for _, x := range d["items"].([]any) {
					given = x.(map[string]any)["content"].(map[string]any)["title"].(string)
				}
			}
		}
		if given != c.want {
			t.Errorf("%+v was given %q", c, given)
		}
		if c.user == "stranger" {
			continue
		}
		seen := s.must("POST", "/v1/actions/hello/preview", map[string]any{"person": map[string]any{"userId": c.user}, "placement": c.placement, "locale": c.locale})
		if title := seen["fields"].(map[string]any)["title"]; title != c.want || seen["form"] != "content" {
			t.Errorf("%+v is previewed as %v", c, seen)
		}
	}
}

func TestAFaultInAnyVariantOfAMessageIsFoundByCheck(t *testing.T) {
	t.Parallel()
	folder := folderOf(t, posting("localhost:25")+`---
kind: placement
id: mailbox
channel: email
---
kind: action
id: thanks
type: message
placements: [mailbox]
content: {subject: Thanks}
in: {mailbox: {content: {subject: Thanks}, locales: {nb: {subject: "Takk {{ person.firstName"}}}}
`)
	errs := &strings.Builder{}
	code := app.Main(t.Context(), app.Env{Args: []string{"check", folder}, Getenv: func(string) string { return "" }, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: errs})
	if code != 1 || !strings.Contains(errs.String(), "in.mailbox.locales.nb.subject") {
		t.Errorf("check ended with %d: %s", code, errs)
	}
}
