package decide_test

import (
	"testing"

	"github.com/rapport-engine/rapport/decide"
)

func TestTheBoardRanksRecordedMomentsAnewAndThePortfolioTellsTheState(t *testing.T) {
	t.Parallel()
	docs := decide.Documents{Placements: []decide.PlacementDoc{{ID: "home"}}, Actions: []decide.ActionDoc{offer("cup"), offer("mug")}}
	docs.Actions[1].Cost = 0.05
	w := open(t, docs)
	for n := range uint64(100) {
		w.decide(who(n), "home")
	}
	k := w.learned()
	now, err := decide.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	changed := docs
	changed.Actions = append([]decide.ActionDoc(nil), docs.Actions...)
	changed.Actions[1].Weight = 50
	next, err := decide.Compile(changed)
	if err != nil {
		t.Fatal(err)
	}
	recorded := w.recent.List(decide.Filter{Limit: 1000})
	same, b := decide.Rerank(now, now, k, recorded), decide.Rerank(now, next, k, recorded)
	if same.Changed != 0 || same.Moments != len(recorded) || b.SharesIs["mug"] != 1 {
		t.Errorf("unchanged %+v; changed %v", same, b.SharesIs)
	}
	list := now.Portfolio(k, []decide.Traffic{{Placement: "home", Action: "cup", Segment: "regulars", Given: 3, Asked: 10}})
	if len(list) != 3 || list[0].State != decide.StateLearning || list[1].Segment != "regulars" || list[1].Exposures != 3 {
		t.Errorf("portfolio %+v", list)
	}
	d := recorded[0]
	for _, action := range []string{"cup", "mug", "hat"} {
		x := decide.About(d, action)
		if x.Chosen == (x.Rule != "") || x.Detail == "" || len(x.Changes) == 0 {
			t.Errorf("about %s: %+v", action, x)
		}
	}
}
