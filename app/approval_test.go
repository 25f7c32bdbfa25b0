package app_test

import (
	"net/http"
	"testing"
)

func TestAChangeIsProposedReviewedAndPublishedByASecondPerson(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": "kind: placement\nid: shelf\nslots: 1\n---\nkind: approval\nid: four-eyes\nkinds: [placement]\n"})
	shelf := map[string]any{"yaml": "kind: placement\nid: shelf\nslots: 2\n", "note": "more room"}
	if plan := s.must("POST", "/v1/config/plan", map[string]any{"yaml": shelf["yaml"]}); plan["secondPerson"] != "marketer" {
		t.Errorf("the plan does not say that somebody else is asked: %v", plan)
	}
	if code, out := s.call("POST", "/v1/config/apply", shelf); code != http.StatusForbidden {
		t.Fatalf("it was applied: %d %v", code, out)
	}
	code, out := s.call("POST", "/v1/config/proposals", shelf)
	if code != http.StatusCreated {
		t.Fatal(code, out)
	}
	if needs := s.must("GET", "/v1/overview", nil)["needsYou"].([]any); len(needs) == 0 {
		t.Error("nobody is told that a change waits")
	}
	detail := s.must("GET", "/v1/config/proposals/1", nil)
	if changes := detail["changes"].([]any); len(changes) != 1 || detail["secondPerson"] != "marketer" || detail["state"] != "open" {
		t.Errorf("the proposal: %v", detail)
	}
	if code, out := s.call("POST", "/v1/config/proposals/1/publish", nil); code != http.StatusForbidden {
		t.Fatalf("its author published it: %d %v", code, out)
	}
	second := s.must("POST", "/v1/tokens", map[string]any{"name": "second", "role": "marketer"})["secret"].(string)
	if code, out := s.callAs("Bearer "+second, "POST", "/v1/config/proposals/1/publish", nil); code != http.StatusOK {
		t.Fatal(code, out)
	}
	if detail = s.must("GET", "/v1/config/proposals/1", nil); detail["state"] != "published" || detail["endedBy"] != "second" {
		t.Errorf("the proposal: %v", detail)
	}
	if versions := s.must("GET", "/v1/config/history", nil)["versions"].([]any); versions[0].(map[string]any)["proposer"] == "" {
		t.Errorf("the history: %v", versions[0])
	}
	if code, out := s.callAs("Bearer "+second, "POST", "/v1/config/proposals", map[string]any{"yaml": "kind: approval\nid: mine\n"}); code != http.StatusForbidden {
		t.Errorf("a marketer says who must agree: %d %v", code, out)
	}
	if code, out := s.callAs("Bearer "+second, "POST", "/v1/config/proposals", map[string]any{"delete": []any{map[string]any{"kind": "placement", "id": "shelf"}}}); code != http.StatusCreated {
		t.Fatal(code, out)
	}
	if code, out := s.call("POST", "/v1/config/proposals/2/close", map[string]any{"reason": "it is in use"}); code != http.StatusNoContent {
		t.Fatal(code, out)
	}
	if list := s.must("GET", "/v1/config/proposals?all=true", nil)["proposals"].([]any); len(list) != 2 || list[0].(map[string]any)["reason"] != "it is in use" {
		t.Errorf("the proposals: %v", list)
	}
}
