package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/twin/epcis"
)

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
	Place       string          `json:"place,omitempty" doc:"Name of the location or read point, as master data has it"`
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
	// Master is what documents told of the places named here and of the thing's class.
	Master map[string]ChainElement `json:"master" doc:"What documents told of the places named here and of the class of the thing, by id as it stands here"`
}

// ChainElement is what documents told of a place, a class of things or a party.
type ChainElement struct {
	ID         string            `json:"id"`
	Vocabulary string            `json:"vocabulary"`
	Attributes map[string]string `json:"attributes" doc:"Names of the Core Business Vocabulary are short, such as name and countryCode"`
	Children   []string          `json:"children" doc:"What is below it"`
}

func elementOf(e *epcis.Element) ChainElement {
	out := ChainElement{e.ID, e.Vocabulary, e.Attributes, list(e.Children)}
	if out.Attributes == nil {
		out.Attributes = map[string]string{}
	}
	return out
}

// TraceStay is an interval within a container.
type TraceStay struct {
	Container string     `json:"container"`
	From      time.Time  `json:"from"`
	To        *time.Time `json:"to" doc:"null: still in it"`
}

type traceInput struct {
	Item   string `path:"item" doc:"Item id, Digital Link URI or EPC URN; a lot or container too"`
	Way    string `query:"direction" enum:"both,up,down,self" default:"both"`
	Events bool   `query:"events" doc:"With the captured events"`
}

// chainOperations mounts tracing, and recalls, beside the standard's interface.
func (a *API) chainOperations() {
	if a.deps.Chain == nil {
		return
	}
	handle(a, operation{
		id: "trace-item", method: http.MethodGet, path: "/v1/items/{item}/trace", tag: "products", role: access.Viewer,
		summary: "Follow a thing through the supply chain, up and down through packing and making",
	}, nil, a.trace)
	handle(a, operation{
		id: "vocabulary", method: http.MethodGet, path: "/v1/vocabulary", tag: "products", role: access.Viewer,
		summary: "What captured documents told of places, classes of things and parties (master data)",
	}, nil, a.vocabulary)
	a.recallOperations()
}

type vocabularyPage struct {
	Elements  []ChainElement `json:"elements"`
	Truncated bool           `json:"truncated"`
}

func (a *API) vocabulary(ctx context.Context, in *struct {
	Type  string `query:"type" maxLength:"200" doc:"Only of this vocabulary: its URI, or the last word of it, such as BusinessLocation"`
	Limit int    `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
},
) (*body[vocabularyPage], error) {
	out := vocabularyPage{Elements: []ChainElement{}}
	err := a.deps.Chain.Vocabulary(ctx, in.Type, func(e *epcis.Element) bool {
		if out.Truncated = len(out.Elements) >= in.Limit; !out.Truncated {
			out.Elements = append(out.Elements, elementOf(e))
		}
		return !out.Truncated
	})
	return &body[vocabularyPage]{out}, err
}

// tellPlaces adds what master data says of what a trace names.
func (a *API) tellPlaces(ctx context.Context, t *Trace) error {
	names := []string{t.Item}
	if k, err := gs1.Parse(t.Item); err == nil && k.GTIN() != "" {
		names = append(names, "01_"+k.GTIN())
	}
	for _, s := range t.Steps {
		names = append(names, s.ReadPoint, s.Location)
	}
	known, err := a.deps.Chain.Elements(ctx, names...)
	if err != nil {
		return err
	}
	t.Master = map[string]ChainElement{}
	for name, e := range known {
		t.Master[name] = elementOf(e)
	}
	for i := range t.Steps {
		for _, place := range []string{t.Steps[i].ReadPoint, t.Steps[i].Location} {
			if e := known[place]; e != nil && e.Attributes["name"] != "" {
				t.Steps[i].Place = e.Attributes["name"]
			}
		}
	}
	return nil
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
	err = a.tellPlaces(ctx, &out)
	return &body[Trace]{out}, err
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
