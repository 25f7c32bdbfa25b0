package decide

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
)

func TestADecisionWrittenBeforeReadsAsItWas(t *testing.T) {
	t.Parallel()
	d := &rapport.Decision{
		ID: "d_1", Placement: "home", Time: 5, Idle: 0.25, Cause: "request",
		Candidates: []rapport.Candidate{
			{Action: "mug", Mean: 1, Score: 2, Propensity: 0.75, Terms: []rapport.Term{{Name: "cost", Value: -1}}},
			{Action: "mugs", Excluded: "cap", Detail: "used up"},
			{Action: "cap", Excluded: "cap", Detail: "used up"},
		},
	}
	head := *d
	head.Candidates = nil
	b := AppendDecision(nil, &head)
	b[0] = 3
	w := writer{b: b[:len(b)-1]}
	w.uint(uint64(len(d.Candidates)))
	for i := range d.Candidates {
		c := &d.Candidates[i]
		w.text(c.Action)
		if c.Excluded != "" {
			w.b = append(w.b, bitExcluded)
			w.repeat(c.Excluded)
			w.repeat(c.Detail)
			continue
		}
		w.b = append(w.b, bitScored|bitTerms)
		w.small(c.Mean)
		w.small(c.Score)
		w.small(c.Propensity)
		w.uint(1)
		w.repeat(c.Terms[0].Name)
		w.small(c.Terms[0].Value)
	}
	back, err := DecodeDecision(w.b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Error(diff)
	}
}

func TestAFewBytesKeepEachOfHundredsOfCandidates(t *testing.T) {
	t.Parallel()
	d := &rapport.Decision{}
	for i := range 2500 { // more texts than are known at a time
		c := rapport.Candidate{Action: fmt.Sprint("action-", i)}
		if i%2 == 0 {
			c.Excluded, c.Detail = RuleCondition, fmt.Sprint("because of ", i%1500)
		} else {
			c.Mean, c.Score, c.Propensity = float64(i), 1, 0.00005
		}
		d.Candidates = append(d.Candidates, c)
	}
	for i := range d.Candidates {
		d.Candidates[i].Propensity = round32(d.Candidates[i].Propensity)
	}
	b := AppendDecision(nil, d)
	back, err := DecodeDecision(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Error(diff)
	}
	if each := len(b) / len(d.Candidates); each > 18 {
		t.Errorf("each takes %d bytes", each)
	}
}
