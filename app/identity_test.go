package app_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheInterfaceShowsWhoIsWhoAndLetsPeopleDecide(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	identify := func(user, email string) {
		s.send(event("identify", user, map[string]any{"userId": user, "traits": map[string]any{"email": email}}))
	}
	identify("erik", "office@firm.no")
	identify("frida", "office@firm.no")
	var reviews []any
	await(t, "two links wait for somebody", func() bool {
		reviews = s.must("GET", "/v1/identity/reviews", nil)["reviews"].([]any)
		return len(reviews) >= 2
	})
	if len(reviews) != 2 {
		t.Fatalf("the queue is %v", reviews)
	}
	waits := map[any]any{} // user id -> link
	for _, r := range reviews {
		link := r.(map[string]any)["link"].(map[string]any)
		waits[link["identifiers"].([]any)[1].(map[string]any)["value"]] = link["id"]
	}
	// The other way round there would be nothing left to accept: once it is not
	// Frida's, the inbox is Erik's by the rules.
	for _, d := range [...][2]string{{"erik", "accept"}, {"frida", "refuse"}} {
		if code, out := s.call("POST", fmt.Sprintf("/v1/identity/reviews/%s/%s", waits[d[0]], d[1]), nil); code != http.StatusNoContent {
			t.Fatal(d, code, out)
		}
	}
	graph := s.must("GET", "/v1/people/email:office@firm.no/identity", nil)
	if graph["person"] != s.must("GET", "/v1/people/userId:erik/identity", nil)["person"] {
		t.Errorf("the inbox is not Erik's: %v", graph)
	}
	if code, out := s.call("POST", "/v1/identity/quarantine", map[string]any{"kind": "email", "value": "Office@Firm.no", "reason": "shared"}); code != http.StatusNoContent {
		t.Fatal(code, out)
	}
	values := s.must("GET", "/v1/identity/quarantine", nil)["values"].([]any)
	if len(values) != 1 || values[0].(map[string]any)["reason"] != "shared" {
		t.Errorf("in quarantine: %v", values)
	}
	preview := s.must("POST", "/v1/identity/preview", map[string]any{"identifiers": []any{map[string]any{"id": "email", "blockPatterns": []any{"@firm"}}}})
	if preview["links"] == nil {
		t.Errorf("the preview is %v", preview)
	}
	written := s.must("POST", "/v1/identity/preview", map[string]any{"yaml": "kind: identifier\nid: email\nblockPatterns: [\"@firm\"]\n"})
	if diff := cmp.Diff(preview, written); diff != "" {
		t.Errorf("rules written as text are previewed otherwise (-fields +text):\n%s", diff)
	}
	if code, out := s.call("POST", "/v1/identity/preview", map[string]any{"yaml": "kind: identifier\nid: email\nblocked: 1\n"}); code != http.StatusBadRequest && code != http.StatusUnprocessableEntity {
		t.Errorf("a rule that cannot be read: %d %v", code, out)
	}
	if code, out := s.call("POST", "/v1/identity/quarantine/release", map[string]any{"kind": "email", "value": "office@firm.no"}); code != http.StatusNoContent {
		t.Fatal(code, out)
	}
	merge := map[string]any{"as": map[string]any{"kind": "userId", "value": "erik"}, "with": map[string]any{"kind": "userId", "value": "frida"}}
	if code, out := s.call("POST", "/v1/people/userId:erik/merge", merge); code != http.StatusNoContent {
		t.Fatal(code, out)
	}
	graph = s.must("GET", "/v1/people/userId:frida/identity", nil)
	for _, l := range graph["links"].([]any) {
		if l := l.(map[string]any); l["kind"] == "manual" && l["evidence"] == "united by hand" {
			if code, out := s.call("POST", "/v1/people/userId:frida/unmerge", map[string]any{"link": l["id"]}); code != http.StatusNoContent {
				t.Fatal(code, out)
			}
		}
	}
	if s.must("GET", "/v1/people/userId:frida/identity", nil)["person"] == s.must("GET", "/v1/people/userId:erik/identity", nil)["person"] {
		t.Error("the merge was not taken back")
	}
}

func TestRulesForIdentifiersComeFromConfiguration(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 0)
	h.apply("kind: identifier\nid: email\nblockPatterns: ['@example\\.org$']\npeoplePerValue: 5\nwindow: 90d\n")
	if code := h.call("GET", "/v1/people/email:who@example.org", "", nil); code != http.StatusBadRequest {
		t.Errorf("a blocked address names somebody: %d", code)
	}
	if code := h.call("GET", "/v1/people/email:who@example.com", "", nil); code != http.StatusNotFound {
		t.Errorf("an address that is not blocked names nobody: %d", code)
	}
}
