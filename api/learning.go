package api

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/decide"
)

type learningIn struct {
	Placement string `query:"placement" maxLength:"200" doc:"Of this placement alone"`
}

// learningOperations tell how learning does.
func (a *API) learningOperations() {
	handle(a, operation{
		id: "learning-health", method: "GET", path: "/v1/learning", tag: "Decisions", role: access.Viewer,
		summary: "How learning does in the newest decisions: what is tried and at which price, and whether what was expected came",
	}, nil, func(ctx context.Context, in *learningIn) (*body[decide.LearningHealth], error) {
		compiled, err := decide.Compile(a.decisionDocuments())
		if err != nil {
			return nil, err
		}
		decisions := a.deps.Recent.List(decide.Filter{Placement: in.Placement, Limit: judged})
		came, err := decide.ReadOutcomes(ctx, a.deps.Log, decisions)
		if err != nil {
			return nil, err
		}
		return &body[decide.LearningHealth]{*compiled.Learning(decisions, came, rapport.Millis(a.deps.Clock.Now()))}, nil
	})
}
