package api

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
)

// BoardChange is what the arbitration board tries on one action; what is left
// out stays as it is.
type BoardChange struct {
	Action   string   `json:"action" minLength:"1" maxLength:"128"`
	Weight   *float64 `json:"weight,omitempty" doc:"Multiplier of its expected value"`
	Cost     *float64 `json:"cost,omitempty"`
	Priority *int     `json:"priority,omitempty"`
	Off      bool     `json:"off,omitempty" doc:"As if it were not there"`
}

type boardIn struct {
	Body struct {
		Changes []BoardChange `json:"changes" maxItems:"500"`
		// Placement chooses among the recorded moments.
		Placement string `json:"placement,omitempty" maxLength:"200"`
		Limit     int    `json:"limit,omitempty" minimum:"0" maximum:"1000" doc:"Recorded moments, newest first; default 1000"`
	}
}

type portfolioIn struct {
	Placement string `query:"placement" maxLength:"200"`
	Action    string `query:"action" maxLength:"200"`
	State     string `query:"state" enum:"untried,learning,working,losing,paused"`
	Limit     int    `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
	Offset    int    `query:"offset" minimum:"0"`
}

// PortfolioPage is a part of the portfolio.
type PortfolioPage struct {
	Opportunities []decide.Opportunity `json:"opportunities"`
	Total         int                  `json:"total"`
	States        map[string]int       `json:"states" doc:"How many are in each state"`
}

func (a *API) portfolioOperations() {
	handle(a, operation{id: "portfolio", method: "GET", path: "/v1/portfolio", tag: "Decisions", summary: "Every opportunity (action x placement x part of people) with its state, traffic, result and next step", role: access.Viewer}, nil, a.portfolio)
	handle(a, operation{id: "board", method: "POST", path: "/v1/board", tag: "Decisions", summary: "Rank up to 1,000 recorded moments anew under changed actions; nothing is changed", role: access.Viewer}, nil, a.board)
}

// decisionDocuments are those of the configuration in force.
func (a *API) decisionDocuments() decide.Documents {
	set, _ := a.deps.Config.Current()
	return decisionDocuments(set)
}

func decisionDocuments(set *config.Set) decide.Documents {
	return decide.Documents{
		Actions: specs[decide.ActionDoc](set, "action"), Placements: specs[decide.PlacementDoc](set, "placement"),
		Policies: specs[decide.PolicyDoc](set, "policy"),
	}
}

func specs[T any](set *config.Set, kind string) []T {
	var out []T
	for _, p := range config.Specs[*T](set, kind) {
		out = append(out, *p)
	}
	return out
}

func (a *API) portfolio(_ context.Context, in *portfolioIn) (*body[PortfolioPage], error) {
	compiled, err := decide.Compile(a.decisionDocuments())
	if err != nil {
		return nil, err
	}
	page := PortfolioPage{Opportunities: []decide.Opportunity{}, States: map[string]int{}}
	for _, o := range compiled.Portfolio(a.deps.Model.Knowledge(), a.traffic()) {
		if in.Placement != "" && o.Placement != in.Placement || in.Action != "" && o.Action != in.Action {
			continue
		}
		page.States[o.State]++
		if in.State != "" && o.State != in.State {
			continue
		}
		if page.Total++; page.Total > in.Offset && len(page.Opportunities) < in.Limit {
			page.Opportunities = append(page.Opportunities, o)
		}
	}
	return &body[PortfolioPage]{page}, nil
}

// traffic tells recent decisions apart by the segments that were features of them.
func (a *API) traffic() []decide.Traffic {
	type key struct{ placement, segment string }
	asked := map[key]int64{}
	given := map[key]map[string]int64{}
	for _, d := range a.deps.Recent.List(decide.Filter{Limit: 5000}) {
		if d.Holdout {
			continue
		}
		for name, v := range d.Features.All() {
			if degree, ok := v.Number(); !ok || degree < 0.5 || len(name) < 10 || string(name[:9]) != "segments." {
				continue
			}
			k := key{d.Placement, string(name[9:])}
			asked[k]++
			if given[k] == nil {
				given[k] = map[string]int64{}
			}
			for i := range d.Candidates {
				given[k][d.Candidates[i].Action] += 0
			}
			for i := range d.Items {
				given[k][d.Items[i].Action]++
			}
		}
	}
	var out []decide.Traffic
	for k, actions := range given {
		for action, n := range actions {
			out = append(out, decide.Traffic{Placement: k.placement, Action: action, Segment: k.segment, Given: n, Asked: asked[k]})
		}
	}
	return decide.SortTraffic(out)
}

func (a *API) board(_ context.Context, in *boardIn) (*body[decide.Board], error) {
	docs := a.decisionDocuments()
	now, err := decide.Compile(docs)
	if err != nil {
		return nil, err
	}
	for i := range in.Body.Changes {
		c := &in.Body.Changes[i]
		if now.Action(c.Action) == nil {
			return nil, rapport.Errorf(rapport.NotFound, "there is no action %q", c.Action)
		}
		kept := docs.Actions[:0:0]
		for _, doc := range docs.Actions {
			if doc.ID == c.Action {
				if c.Off {
					continue
				}
				c.apply(&doc)
			}
			kept = append(kept, doc)
		}
		docs.Actions = kept
	}
	next, err := decide.Compile(docs)
	if err != nil {
		return nil, err
	}
	limit := in.Body.Limit
	if limit == 0 {
		limit = 1000
	}
	recorded := a.deps.Recent.List(decide.Filter{Placement: in.Body.Placement, Limit: limit})
	return &body[decide.Board]{*decide.Rerank(now, next, a.deps.Model.Knowledge(), recorded)}, nil
}

func (c *BoardChange) apply(doc *decide.ActionDoc) {
	if c.Weight != nil {
		doc.Weight = *c.Weight
	}
	if c.Cost != nil {
		doc.Cost = *c.Cost
	}
	if c.Priority != nil {
		doc.Priority = *c.Priority
	}
}
