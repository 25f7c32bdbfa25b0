package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/twin/epcis"
)

// Holding is an item with whom it belongs to.
type Holding struct {
	Item   string `json:"item"`
	Known  bool   `json:"known" doc:"Whether it has a twin"`
	Stage  string `json:"state,omitempty"`
	Owner  string `json:"owner,omitempty" doc:"Person id"`
	Recall string `json:"recall,omitempty" doc:"Recall it is under"`
}

// TraceStep is one event on a thing's way.
type TraceStep struct {
	At          time.Time       `json:"at"`
	Of          string          `json:"of" doc:"What the event names: the thing, a container it was in then, its lot, what it was made from or became"`
	Relation    string          `json:"relation" enum:"self,container,content,lot,source,product"`
	Depth       int             `json:"depth" doc:"Packings and makings between the thing and what is named"`
	EventID     string          `json:"eventId"`
	Type        string          `json:"type"`
	Action      string          `json:"action,omitempty"`
	BizStep     string          `json:"bizStep,omitempty"`
	Disposition string          `json:"disposition,omitempty"`
	ReadPoint   string          `json:"readPoint,omitempty"`
	Location    string          `json:"location,omitempty"`
	Event       json.RawMessage `json:"event,omitempty" doc:"The event as it was captured, when asked for"`
}

// Trace is the way of a thing through the supply chain.
type Trace struct {
	Item      string      `json:"item"`
	Steps     []TraceStep `json:"steps" doc:"Oldest first"`
	Stays     []TraceStay `json:"containers" doc:"What the thing was in, and when"`
	Contents  []string    `json:"contents" doc:"What is or was directly in it"`
	Sources   []string    `json:"madeFrom"`
	Products  []string    `json:"became"`
	Truncated bool        `json:"truncated"`
}

// TraceStay is an interval within a container.
type TraceStay struct {
	Container string     `json:"container"`
	From      time.Time  `json:"from"`
	To        *time.Time `json:"to" doc:"null: still in it"`
}

// Affected are the things a recall concerns.
type Affected struct {
	Of        string    `json:"of"`
	Items     []Holding `json:"items"`
	Owners    int       `json:"owners"`
	Truncated bool      `json:"truncated"`
}

type traceInput struct {
	Item   string `path:"item" doc:"Item id, Digital Link URI or EPC URN; a lot or container too"`
	Way    string `query:"direction" enum:"both,up,down,self" default:"both"`
	Events bool   `query:"events" doc:"With the captured events"`
}

type recallBody struct {
	ID           string `json:"id,omitempty" doc:"Given, the same recall can be started again for things that came later"`
	Of           string `json:"of"`
	Reason       string `json:"reason"`
	Instructions string `json:"instructions,omitempty"`
	URL          string `json:"url,omitempty"`
}

// chainOperations mounts tracing and recalls beside the standard's interface.
func (a *API) chainOperations() {
	if a.deps.Chain == nil {
		return
	}
	handle(a, operation{
		id: "trace-item", method: http.MethodGet, path: "/v1/items/{item}/trace", tag: "products", role: access.Viewer,
		summary: "Follow a thing through the supply chain, up and down through packing and making",
	}, nil, a.trace)
	handle(a, operation{
		id: "recall-preview", method: http.MethodGet, path: "/v1/recalls/affected", tag: "products", role: access.Analyst,
		summary: "Find every item of a lot, class or thing and of what was made of it, with its owner",
	}, nil, a.affected)
	handle(a, operation{
		id: "start-recall", method: http.MethodPost, path: "/v1/recalls", tag: "products", role: access.Marketer, status: http.StatusAccepted, audit: "recall.start",
		summary: "Call things back: every item is marked and every owner told",
	}, func(in *body[recallBody]) string { return in.Body.Of }, func(ctx context.Context, in *body[recallBody]) (*body[epcis.Recall], error) {
		r, err := a.deps.Chain.StartRecall(ctx, epcis.Recall{
			ID: in.Body.ID, Of: in.Body.Of, Reason: in.Body.Reason, Instructions: in.Body.Instructions, URL: in.Body.URL, By: author(ctx),
		})
		if err != nil {
			return nil, err
		}
		return &body[epcis.Recall]{*r}, nil
	})
	handle(a, operation{id: "list-recalls", method: http.MethodGet, path: "/v1/recalls", tag: "products", role: access.Viewer, summary: "List recalls"},
		nil, func(ctx context.Context, _ *struct{}) (*body[struct {
			Recalls []epcis.Recall `json:"recalls"`
		}], error,
		) {
			list, err := a.deps.Chain.Recalls(ctx)
			out := &body[struct {
				Recalls []epcis.Recall `json:"recalls"`
			}]{}
			out.Body.Recalls = list
			return out, err
		})
	type one struct {
		ID string `path:"id"`
	}
	handle(a, operation{id: "get-recall", method: http.MethodGet, path: "/v1/recalls/{id}", tag: "products", role: access.Viewer, summary: "Read a recall"},
		nil, func(ctx context.Context, in *one) (*body[epcis.Recall], error) {
			r, err := a.deps.Chain.RecallOf(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[epcis.Recall]{*r}, nil
		})
	handle(a, operation{id: "lift-recall", method: http.MethodDelete, path: "/v1/recalls/{id}", tag: "products", role: access.Marketer, status: http.StatusAccepted, audit: "recall.lift", summary: "End a recall; items and owners are told"},
		func(in *one) string { return in.ID }, func(ctx context.Context, in *one) (*body[epcis.Recall], error) {
			r, err := a.deps.Chain.LiftRecall(ctx, in.ID, author(ctx))
			if err != nil {
				return nil, err
			}
			return &body[epcis.Recall]{*r}, nil
		})
}

func (a *API) trace(ctx context.Context, in *traceInput) (*body[Trace], error) {
	way := map[string]epcis.Direction{"up": epcis.Upstream, "down": epcis.Downstream, "both": epcis.Upstream | epcis.Downstream}[in.Way]
	t, err := a.deps.Chain.Trace(ctx, in.Item, way)
	if err != nil {
		return nil, err
	}
	if len(t.Steps) == 0 {
		return nil, epcis.Raise(epcis.NoSuchResourceException, "the supply chain knows nothing of %s", in.Item)
	}
	out := Trace{Item: t.Name, Steps: make([]TraceStep, len(t.Steps)), Stays: []TraceStay{}, Contents: list(t.Contents), Sources: list(t.Sources), Products: list(t.Products), Truncated: t.Truncated}
	for i, s := range t.Steps {
		e := s.Event
		out.Steps[i] = TraceStep{
			At: time.UnixMilli(e.Time).UTC(), Of: s.Of, Relation: s.Relation, Depth: s.Depth, EventID: e.ID, Type: string(e.Type), Action: e.Action,
			BizStep: e.BizStep, Disposition: e.Disposition, ReadPoint: e.ReadPoint, Location: e.BizLocation,
		}
		if in.Events {
			out.Steps[i].Event = e.JSON
		}
	}
	for _, s := range t.Stays {
		stay := TraceStay{Container: s.Container, From: time.UnixMilli(s.From).UTC()}
		if s.To != 0 {
			to := time.UnixMilli(s.To).UTC()
			stay.To = &to
		}
		out.Stays = append(out.Stays, stay)
	}
	return &body[Trace]{out}, nil
}

func (a *API) affected(ctx context.Context, in *struct {
	Of    string `query:"of" required:"true" doc:"Lot, class or thing"`
	Limit int    `query:"limit" minimum:"1" maximum:"100000" default:"10000"`
},
) (*body[Affected], error) {
	items, more, err := a.deps.Chain.Affected(ctx, in.Of)
	if err != nil {
		return nil, err
	}
	if len(items) > in.Limit {
		items, more = items[:in.Limit], true
	}
	out := Affected{Of: epcis.Name(in.Of), Items: make([]Holding, 0, len(items)), Truncated: more}
	var owners []string
	for _, item := range items {
		h, err := a.deps.Holder(ctx, item)
		if err != nil {
			return nil, err
		}
		if h.Owner != "" {
			owners = append(owners, h.Owner)
		}
		out.Items = append(out.Items, h)
	}
	slices.Sort(owners)
	out.Owners = len(slices.Compact(owners))
	return &body[Affected]{out}, nil
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
