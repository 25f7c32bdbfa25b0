package api

import (
	"context"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
)

// ActionInfo is one action and what is known of it.
type ActionInfo struct {
	ID         string      `json:"id"`
	Title      string      `json:"title,omitempty" doc:"What its content calls it: title, subject or headline, unless that is a template"`
	Type       string      `json:"type"`
	Placements []string    `json:"placements"`
	When       string      `json:"when,omitempty"`
	Purpose    string      `json:"purpose,omitempty"`
	Channel    string      `json:"channel,omitempty"`
	Channels   []string    `json:"channels,omitempty" doc:"Channels to choose from, per person"`
	Stats      ActionStats `json:"stats"`
	Version    int64       `json:"version"`
}

// ActionStats are figures over all placements of an action.
type ActionStats struct {
	Shown   int64        `json:"shown" doc:"Times given"`
	Clicked int64        `json:"clicked" doc:"Recent decisions clicked, by the learned rate"`
	Reward  float64      `json:"reward" doc:"Expected value in all"`
	Mean    float64      `json:"mean" doc:"Expected value of giving it once, after cost"`
	Share   float64      `json:"share" doc:"Its part of everything given"`
	Lift    *LiftSummary `json:"lift,omitempty" doc:"Measured against the holdout, with the 95 % interval"`
}

// PlacementInfo is one placement and what happens on it.
type PlacementInfo struct {
	ID           string   `json:"id"`
	Slots        int      `json:"slots"`
	Channel      string   `json:"channel,omitempty"`
	Channels     []string `json:"channels,omitempty" doc:"Channels to choose from, per person"`
	Actions      []string `json:"actions"`
	Decisions    int      `json:"decisions" doc:"Among the recent ones"`
	NothingShare float64  `json:"nothingShare"`
}

func (a *API) actionOperations() {
	handle(a, operation{id: "list-actions", method: "GET", path: "/v1/actions", tag: "Decisions", summary: "Actions and what is known of them", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[struct {
			Actions []ActionInfo `json:"actions"`
		}], error,
		) {
			out := &body[struct {
				Actions []ActionInfo `json:"actions"`
			}]{}
			out.Body.Actions = a.actions()
			return out, nil
		})
	handle(a, operation{id: "list-placements", method: "GET", path: "/v1/placements", tag: "Decisions", summary: "Placements and what happens on them", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[struct {
			Placements []PlacementInfo `json:"placements"`
		}], error,
		) {
			out := &body[struct {
				Placements []PlacementInfo `json:"placements"`
			}]{}
			out.Body.Placements = a.placements()
			return out, nil
		})
}

func (a *API) actions() []ActionInfo {
	set, _ := a.deps.Config.Current()
	known := a.deps.Model.Knowledge()
	shown, given := map[string]int64{}, int64(0)
	clicks, reward := map[string]float64{}, map[string]float64{}
	for _, l := range known.Learned() {
		shown[l.Action] += l.Exposures
		given += l.Exposures
		for _, g := range l.Goals {
			reward[l.Action] += g.Rate * g.Amount * float64(l.Exposures)
			if g.Event == rapport.EventDecisionClicked {
				clicks[l.Action] += g.Rate * float64(l.Exposures)
			}
		}
	}
	list := []ActionInfo{}
	for _, doc := range config.Specs[*decide.ActionDoc](set, "action") {
		i := ActionInfo{ID: doc.ID, Title: titleOf(doc), Type: string(doc.Type), Placements: doc.Placements, Purpose: doc.Purpose, Channel: doc.Channel, Channels: doc.Channels}
		if doc.When != nil {
			i.When = doc.When.Text()
		}
		if i.Placements == nil {
			i.Placements = []string{}
		}
		if e, err := a.deps.Config.Entry("action", doc.ID); err == nil {
			i.Version = e.Version
		}
		n := shown[doc.ID]
		i.Stats = ActionStats{Shown: n, Clicked: int64(clicks[doc.ID] + 0.5), Reward: reward[doc.ID], Lift: LiftOf(known.Lift(doc.ID))}
		if n > 0 {
			i.Stats.Mean = reward[doc.ID]/float64(n) - doc.Cost
			i.Stats.Share = float64(n) / float64(given)
		}
		list = append(list, i)
	}
	return list
}

// titleOf is what the content of an action calls it, "" where it does not.
func titleOf(doc *decide.ActionDoc) string {
	for _, name := range [...]string{"title", "subject", "headline"} {
		if v, ok := doc.Content.Get(name); ok {
			if title := v.Str(); title != "" && !strings.Contains(title, "{{") && !strings.Contains(title, "{%") {
				return clip(title, 120)
			}
		}
	}
	return ""
}

// LiftOf is the summary of a measured effect, nil while there is not enough to say.
func LiftOf(l decide.Lift) *LiftSummary {
	// Below this an interval by the normal distribution promises more than it knows.
	const enough = 30
	if l.Difference == nil || l.Treated.People < enough || l.Holdout.People < enough || l.Difference.Low == l.Difference.High {
		return nil
	}
	return &LiftSummary{l.Difference.Value, l.Difference.Low, l.Difference.High, int64(l.Treated.People), int64(l.Holdout.People), "value per person"}
}

func (a *API) placements() []PlacementInfo {
	set, _ := a.deps.Config.Current()
	actions := map[string][]string{}
	for _, doc := range config.Specs[*decide.ActionDoc](set, "action") {
		for _, p := range doc.Placements {
			actions[p] = append(actions[p], doc.ID)
		}
	}
	list := []PlacementInfo{}
	for _, doc := range config.Specs[*decide.PlacementDoc](set, "placement") {
		i := PlacementInfo{ID: doc.ID, Slots: max(doc.Slots, 1), Channel: doc.Channel, Channels: doc.Channels, Actions: actions[doc.ID]}
		if i.Actions == nil {
			i.Actions = []string{}
		}
		nothing := 0
		for _, d := range a.deps.Recent.List(decide.Filter{Placement: doc.ID, Limit: 1000}) {
			if d.Holdout {
				continue
			}
			i.Decisions++
			if len(d.Items) == 0 {
				nothing++
			}
		}
		if i.Decisions > 0 {
			i.NothingShare = float64(nothing) / float64(i.Decisions)
		}
		list = append(list, i)
	}
	return list
}
