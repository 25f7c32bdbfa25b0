package app_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/learn/btyd"
	"github.com/rapport-engine/rapport/predict"
)

func TestScoresFollowPeopleWhoMergeAndPart(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	model, err := json.Marshal(predict.Purchasing{
		Settings: uint32(predict.NewPredictionDoc().Key()), Definition: *predict.NewPredictionDoc(), Kind: btyd.BGNBD.String(), Each: 30,
		Model: btyd.Model{Kind: btyd.BGNBD, R: .2426, Alpha: 4.4136, A: .7929, B: 2.4259, K: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(string(model))
	s.apply(fmt.Sprintf("kind: model\nid: purchases\nmade: \"2026-01-01\"\ndata: %s\n---\nkind: segment\nid: gone\nwhen: scores.churn > 0.5\n", text))
	day := 24 * time.Hour
	for i, ago := range []time.Duration{300, 290, 280, 270} { // anna bought often, long ago
		s.order("anna", fmt.Sprintf("a%d", i), 30, ago*day)
	}
	for i, ago := range []time.Duration{200, 100, 5} { // bo goes on
		s.order("bo", fmt.Sprintf("b%d", i), 30, ago*day)
	}
	churn := func(user string) float64 {
		t.Helper()
		scores, _ := s.must("GET", "/v1/people/userId:"+user, nil)["scores"].(map[string]any)
		x, ok := scores["churn"].(float64)
		if !ok {
			t.Fatalf("%s has the scores %v", user, scores)
		}
		return x
	}
	anna, bo := churn("anna"), churn("bo")
	if anna < .5 || bo > .5 || s.segmentsOf("anna") != "gone" || s.segmentsOf("bo") != "" {
		t.Fatalf("anna has left with %v and is in %q, bo with %v and %q", anna, s.segmentsOf("anna"), bo, s.segmentsOf("bo"))
	}
	s.send(map[string]any{"type": "alias", "messageId": "one", "userId": "bo", "previousId": "anna"})
	if both := churn("anna"); both != churn("bo") || both >= bo && both >= anna || s.segmentsOf("anna") != "" || s.size("gone") != 0 {
		t.Errorf("as one they have left with %v and are in %q of %v", both, s.segmentsOf("anna"), s.size("gone"))
	}
	for _, l := range s.must("GET", "/v1/people/userId:bo/identity", nil)["links"].([]any) {
		if l := l.(map[string]any); l["kind"] == "alias" {
			s.must("POST", "/v1/people/userId:bo/unmerge", map[string]any{"link": l["id"]})
		}
	}
	if diff := cmp.Diff([]any{anna, bo, "gone", "", 1.0}, []any{churn("anna"), churn("bo"), s.segmentsOf("anna"), s.segmentsOf("bo"), s.size("gone")}); diff != "" {
		t.Errorf("after they part (-want +got)\n%s", diff)
	}
}
