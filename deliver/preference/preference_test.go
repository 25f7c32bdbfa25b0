package preference_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver/preference"
)

// memory keeps choices.
type memory struct {
	known   rapport.ID
	choices []preference.Choice
}

func (m *memory) Choices(_ context.Context, person rapport.ID) ([]preference.Choice, error) {
	if person != m.known {
		return nil, rapport.Errorf(rapport.NotFound, "nobody")
	}
	return append([]preference.Choice(nil), m.choices...), nil
}

func (m *memory) Choose(_ context.Context, _ rapport.ID, c preference.Choice) error {
	for i := range m.choices {
		if m.choices[i].Purpose == c.Purpose && (m.choices[i].Channel == c.Channel || m.choices[i].Channel == "") {
			m.choices[i].Allowed = c.Allowed
			return nil
		}
	}
	m.choices = append(m.choices, c)
	return nil
}

func opened(t *testing.T) (*preference.Pages, *memory, rapport.ID) {
	t.Helper()
	id := rapport.ID{9, 1, 2, 3}
	m := &memory{known: id, choices: []preference.Choice{{"marketing", "email", true}, {"marketing", "sms", true}, {"service", "email", false}}}
	return preference.New(preference.Options{Key: []byte("0123456789abcdef"), Store: m, URL: func() string { return "https://x.example" }, Brand: "Northbean"}), m, id
}

func ask(p *preference.Pages, method, target string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, strings.TrimPrefix(target, "https://x.example"), strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func TestOneClickRefusesAndOpeningALinkDoesNot(t *testing.T) {
	t.Parallel()
	p, m, id := opened(t)
	link := p.Unsubscribe(id, "marketing", "email")
	if w := ask(p, "GET", link, nil); w.Code != 200 || !m.choices[0].Allowed {
		t.Fatalf("a look: %d, %+v", w.Code, m.choices)
	}
	if w := ask(p, "POST", link, url.Values{"List-Unsubscribe": {"One-Click"}}); w.Code != 200 {
		t.Fatalf("one click answered %d", w.Code)
	}
	want := []preference.Choice{{"marketing", "email", false}, {"marketing", "sms", true}, {"service", "email", false}}
	if diff := cmp.Diff(want, m.choices); diff != "" {
		t.Error(diff)
	}
}

func TestTheFormSetsEachChoice(t *testing.T) {
	t.Parallel()
	p, m, id := opened(t)
	page := ask(p, "GET", p.Preferences(id), nil)
	if csp := page.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	if n := strings.Count(page.Body.String(), " checked"); n != 2 {
		t.Errorf("%d boxes are checked, want 2", n)
	}
	w := ask(p, "POST", p.Preferences(id), url.Values{"allow": {"service|email", "marketing|sms"}})
	want := []preference.Choice{{"marketing", "email", false}, {"marketing", "sms", true}, {"service", "email", true}}
	if diff := cmp.Diff(want, m.choices); diff != "" || w.Code != 200 {
		t.Errorf("%d\n%s", w.Code, diff)
	}
	ask(p, "POST", p.Preferences(id), url.Values{"all": {"no"}})
	for _, c := range m.choices {
		if c.Allowed {
			t.Errorf("still allowed after nothing at all: %+v", c)
		}
	}
}

func TestALinkThatWasChangedOpensNothing(t *testing.T) {
	t.Parallel()
	p, m, id := opened(t)
	link := p.Preferences(id)
	for i := len("https://x.example" + preference.Path); i < len(link)-1; i++ {
		c := byte('A')
		if link[i] == c {
			c = 'B'
		}
		if w := ask(p, "POST", link[:i]+string(c)+link[i+1:], url.Values{"all": {"no"}}); w.Code != http.StatusNotFound {
			t.Fatalf("byte %d changed: answered %d", i, w.Code)
		}
	}
	for _, other := range []string{"https://x.example" + preference.Path, link + "AA", p.Preferences(rapport.ID{1})} {
		if w := ask(p, "GET", other, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s answered %d", other, w.Code)
		}
	}
	if !m.choices[0].Allowed {
		t.Error("a changed link changed a choice")
	}
	if w := ask(p, "DELETE", link, nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE answered %d", w.Code)
	}
}
