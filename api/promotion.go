package api

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
)

// judged are how many of the newest decisions a change is judged by.
const judged = 5000

// promotion judges a change of actions, placements or the policy by the
// decisions logged; nil where it changes none of them.
func (a *API) promotion(ctx context.Context, next *config.Set, refs []config.Ref) (*decide.Promotion, error) {
	concerned := false
	for _, r := range refs {
		concerned = concerned || r.Kind == "action" || r.Kind == "placement" || r.Kind == "policy"
	}
	if !concerned {
		return nil, nil
	}
	current, _ := a.deps.Config.Current()
	now, err := decide.Compile(decisionDocuments(current))
	if err != nil {
		return nil, nil // nothing that could be compared with is in force
	}
	changed, err := decide.Compile(decisionDocuments(next))
	if err != nil {
		return nil, err
	}
	decisions := a.deps.Recent.List(decide.Filter{Limit: judged})
	came, err := decide.ReadOutcomes(ctx, a.deps.Log, decisions)
	if err != nil {
		return nil, err
	}
	return decide.Promote(now, changed, a.deps.Model.Knowledge(), decisions, came), nil
}

// gate lets a change through that does not look worse than what is in force, or
// that somebody gives a reason for. note is what the history keeps of it.
func (a *API) gate(ctx context.Context, put []*config.Document, remove []config.Ref, reason string) (note string, err error) {
	p := config.Proposal{Put: put, Delete: remove}
	current, _ := a.deps.Config.Current()
	next := current.After(put, remove)
	if len(a.deps.Registry.Check(next)) > 0 {
		return "", nil // it is refused for that
	}
	x, err := a.promotion(ctx, next, p.Refs())
	switch {
	case err != nil && rapport.KindOf(err) == rapport.Invalid:
		return "", nil // as is this
	case err != nil || x == nil:
		return "", err
	case x.Refused && reason == "":
		return "", rapport.WithHint(rapport.Errorf(rapport.Denied, "the change is not published: %s", x.Sentence),
			"publish it over this with a reason, which is kept: override in the request, rapport apply --override REASON")
	case x.Refused:
		return "Published over the gate because " + reason + " (" + clip(x.Sentence, 600) + ")", nil
	}
	return "", nil
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// withGate puts what the gate says behind a note.
func withGate(note, gate string) string {
	switch {
	case gate == "":
		return note
	case note == "":
		return gate
	}
	return note + "\n" + gate
}
