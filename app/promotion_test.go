package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/app"
)

// A change that would earn less than what is in force is refused at every door,
// says by how much, and is published only over a reason that is kept.
func TestAChangeThatEarnsLessIsPublishedOnlyOverAReasonThatIsKept(t *testing.T) {
	t.Parallel()
	action := func(id, more string) string {
		return "---\nkind: action\nid: " + id + "\ntype: offer\nplacements: [home]\ngoals: [{event: Decision Clicked, within: 1h, value: 1}]\n" + more
	}
	folder := folderOf(t, "kind: source\nid: web\nkey: wk_test_web\n---\nkind: placement\nid: home\n"+action("liked", "")+action("ignored", "")+
		"---\nkind: policy\nid: default\nholdout: 0\nexploration: 0.5\n")
	s := open(t, t.TempDir(), func(o *app.Options) { o.Config = folder })
	bad := action("ignored", "weight: 1000\n")
	plan := func() map[string]any {
		t.Helper()
		return s.must("POST", "/v1/config/plan", map[string]any{"yaml": bad})["gate"].(map[string]any)
	}
	if g := plan(); g["verdict"] != "unknown" || g["refused"] != false || !strings.HasPrefix(fmt.Sprint(g["sentence"]), "not enough logged decisions: 0 of the 200") {
		t.Errorf("before anything was decided: %v", g)
	}
	for i := range 360 {
		d := s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": fmt.Sprint("u", i)}, "placement": "home"})
		for _, x := range d["items"].([]any) {
			if x.(map[string]any)["action"] == "liked" && i%2 == 0 {
				s.send(event("track", fmt.Sprint("c", i), map[string]any{"userId": fmt.Sprint("u", i), "event": "Decision Clicked", "properties": map[string]any{"decisionId": d["decisionId"]}}))
			}
		}
	}
	// The model follows the log; it stands still once it has read all of it.
	var g map[string]any
	await(t, "the model has read it", func() bool { g = plan(); return g["verdict"] == "worse" })
	low := g["difference"].(map[string]any)["low"].(float64)
	if g["verdict"] != "worse" || g["refused"] != true || low >= 0 || g["decisions"].(float64) < 200 || g["effectiveSampleSize"].(float64) < 50 {
		t.Fatalf("the plan: %v", g)
	}
	change := map[string]any{"yaml": bad, "note": "spring"}
	status, problem := s.call("POST", "/v1/config/apply", change)
	if status != 403 || !strings.Contains(fmt.Sprint(problem["detail"]), "it may be worse by more than") || !strings.Contains(fmt.Sprint(problem["hint"]), "override") {
		t.Errorf("applied: %d %v", status, problem)
	}
	proposal := s.must("POST", "/v1/config/proposals", change)
	path := fmt.Sprintf("/v1/config/proposals/%v", proposal["id"])
	if seen := s.must("GET", path, nil)["gate"].(map[string]any); seen["refused"] != true {
		t.Errorf("the proposal: %v", seen)
	}
	if status, _ := s.call("POST", path+"/publish", nil); status != 403 {
		t.Errorf("published: %d", status)
	}
	env := map[string]string{"RAPPORT_TOKEN": adminToken, "RAPPORT_SERVER": s.url}
	dir := folderOf(t, "kind: placement\nid: home\n"+bad)
	if code, out, errs := run(t, env, "apply", dir); code != 1 || !strings.Contains(out, "What it would have earned: it may be worse") || !strings.Contains(errs, "--override REASON") {
		t.Errorf("rapport apply: %d\n%s\n%s", code, out, errs)
	}
	if status, _ := s.call("POST", "/v1/config/apply", map[string]any{"yaml": "kind: placement\nid: side\n"}); status != 200 {
		t.Errorf("a change of something else: %d", status)
	}

	if code, out, errs := run(t, env, "apply", dir, "--override", "the stock must go", "--note", "spring"); code != 0 {
		t.Fatalf("over a reason: %d\n%s\n%s", code, out, errs)
	}
	history := s.must("GET", "/v1/config/history?limit=1", nil)["versions"].([]any)
	if note := fmt.Sprint(history[0].(map[string]any)["note"]); !strings.HasPrefix(note, "spring\nPublished over the gate because the stock must go (it may be worse") {
		t.Errorf("the history: %s", note)
	}
	if log := fmt.Sprint(s.must("GET", "/v1/audit?limit=20", nil)); !strings.Contains(log, "over the gate because the stock must go") {
		t.Errorf("the audit log: %s", log)
	}
}
