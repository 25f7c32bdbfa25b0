package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/twin/epcis"
	"github.com/rapport-engine/rapport/twin/recall"
)

// Recalls says whom recalls concern and how far they came.
type Recalls interface {
	// Affected returns every single thing of a lot, class or thing, and what was
	// made of it, by name; more is true when there are too many.
	Affected(ctx context.Context, of string) (items []string, more bool, err error)
	// Holder returns an item with whose it is.
	Holder(ctx context.Context, item string) (Holding, error)
	// Progress tells how far a recall came. Kind: NotFound.
	Progress(ctx context.Context, id string) (RecallProgress, error)
	// People lists whom a recall concerns by person id, those in a state if it is
	// not "": at most limit behind after. next is "" at the end. Kind: NotFound.
	People(ctx context.Context, id string, state recall.State, after string, limit int) (people []RecallPerson, next string, err error)
	// Acknowledge notes that a person took note. Kind: NotFound.
	Acknowledge(ctx context.Context, id string, person rapport.ID, by string) error
}

// Holding is an item with whom it belongs to.
type Holding struct {
	Item   string `json:"item"`
	Known  bool   `json:"known" doc:"Whether it has a twin"`
	Stage  string `json:"state,omitempty"`
	Owner  string `json:"owner,omitempty" doc:"Person id"`
	Recall string `json:"recall,omitempty" doc:"Recall it is under"`
}

// Affected are the things a recall concerns.
type Affected struct {
	Of        string    `json:"of"`
	Items     []Holding `json:"items"`
	Owners    int       `json:"owners"`
	Truncated bool      `json:"truncated"`
}

// RecallProgress says how far a recall came.
type RecallProgress struct {
	At           time.Time `json:"at" doc:"When this was counted"`
	Items        int       `json:"items" doc:"Items it concerns"`
	Marked       int       `json:"marked" doc:"Items whose record says so"`
	Unowned      int       `json:"unowned" doc:"Items that are nobody's yet: whoever claims one is told then"`
	People       int       `json:"people" doc:"Owners and their households"`
	Waiting      int       `json:"waiting" doc:"People for whom nothing is decided yet"`
	Sent         int       `json:"sent" doc:"People to whom a message is on its way, or shown where they look next"`
	Reached      int       `json:"reached" doc:"People whose channel took the message, or who saw it"`
	Acknowledged int       `json:"acknowledged" doc:"People who said that they took note"`
	Unreachable  int       `json:"unreachable" doc:"People to whom no channel leads; the list says why"`
}

// RecallPerson is somebody a recall concerns.
type RecallPerson struct {
	Person         string       `json:"person"`
	Name           string       `json:"name" doc:"What to call them, or the id"`
	Items          []string     `json:"items"`
	State          recall.State `json:"state" enum:"waiting,unreachable,sent,reached,acknowledged"`
	Why            string       `json:"why,omitempty" doc:"Why they cannot be reached"`
	Channel        string       `json:"channel,omitempty"`
	Decision       string       `json:"decisionId,omitempty" doc:"The decision that gave the message, or nothing; /v1/decisions/{id}/explain says why"`
	ToldAt         *time.Time   `json:"toldAt,omitempty"`
	DecidedAt      *time.Time   `json:"decidedAt,omitempty"`
	DeliveredAt    *time.Time   `json:"deliveredAt,omitempty"`
	SeenAt         *time.Time   `json:"seenAt,omitempty"`
	AcknowledgedAt *time.Time   `json:"acknowledgedAt,omitempty"`
}

// RecallStatus is a recall with its progress.
type RecallStatus struct {
	epcis.Recall
	Progress RecallProgress `json:"progress"`
}

// mostNamed is how many people of a page are called by their names.
const mostNamed = 500

type recallBody struct {
	ID           string `json:"id,omitempty" doc:"Given, the same recall can be changed, or begun again after it was lifted"`
	Of           string `json:"of" doc:"Lot, class or thing: item id, Digital Link URI or EPC URN"`
	Reason       string `json:"reason" doc:"Why; stands in the message and on the item's page"`
	Instructions string `json:"instructions,omitempty" doc:"What owners are to do"`
	URL          string `json:"url,omitempty" doc:"Where they learn more"`
	Placement    string `json:"placement,omitempty" doc:"Where the message is decided; left out, the first by id that has an action with right: recall"`
}

type recallPeople struct {
	People []RecallPerson `json:"people"`
	Next   string         `json:"next,omitempty"`
}

// RecallPath is a path that names a recall.
type RecallPath struct {
	ID string `path:"id" maxLength:"64"`
}

func objectRecall(in *RecallPath) string { return in.ID }

// recallOperations mounts recalls.
func (a *API) recallOperations() {
	chain := a.deps.Chain
	const tag = "products"
	handle(a, operation{
		id: "recall-preview", method: http.MethodGet, path: "/v1/recalls/affected", tag: tag, role: access.Analyst,
		summary: "Find every item of a lot, class or thing and of what was made of it, with its owner",
	}, nil, a.affected)
	handle(a, operation{
		id: "start-recall", method: http.MethodPost, path: "/v1/recalls", tag: tag, role: access.Marketer, status: http.StatusAccepted, audit: "recall.start",
		summary: "Call things back: every item is marked, and a message to every owner is decided by the right of a recall",
	}, func(in *body[recallBody]) string { return in.Body.Of }, func(ctx context.Context, in *body[recallBody]) (*body[epcis.Recall], error) {
		if p := in.Body.Placement; p != "" {
			if c, _ := a.config(ctx).Part(decide.Part).(*decide.Config); c.Placement(p) == nil {
				return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "there is no placement %q", p), "name a placement that has an action with right: recall, or leave it out")
			}
		}
		r, err := chain.StartRecall(ctx, epcis.Recall{
			ID: in.Body.ID, Of: in.Body.Of, Reason: in.Body.Reason, Instructions: in.Body.Instructions, URL: in.Body.URL, Placement: in.Body.Placement, By: author(ctx),
		})
		return answer(r, err)
	})
	handle(a, operation{id: "list-recalls", method: http.MethodGet, path: "/v1/recalls", tag: tag, role: access.Viewer, summary: "List recalls"},
		nil, func(ctx context.Context, _ *struct{}) (*body[struct {
			Recalls []epcis.Recall `json:"recalls"`
		}], error,
		) {
			list, err := chain.Recalls(ctx)
			out := &body[struct {
				Recalls []epcis.Recall `json:"recalls"`
			}]{}
			out.Body.Recalls = list
			return out, err
		})
	handle(a, operation{id: "get-recall", method: http.MethodGet, path: "/v1/recalls/{id}", tag: tag, role: access.Viewer, summary: "Read a recall and how far it came"},
		nil, func(ctx context.Context, in *RecallPath) (*body[RecallStatus], error) {
			r, err := chain.RecallOf(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			p, err := a.deps.Recalls.Progress(ctx, in.ID)
			return &body[RecallStatus]{RecallStatus{*r, p}}, err
		})
	handle(a, operation{id: "recall-people", method: http.MethodGet, path: "/v1/recalls/{id}/people", tag: tag, role: access.Analyst, summary: "List whom a recall concerns: who was reached, took note, or cannot be reached and why"},
		nil, func(ctx context.Context, in *struct {
			RecallPath
			State recall.State `query:"state" enum:",waiting,unreachable,sent,reached,acknowledged"`
			After string       `query:"after" maxLength:"64"`
			Limit int          `query:"limit" minimum:"1" maximum:"10000" default:"100"`
		},
		) (*body[recallPeople], error) {
			people, next, err := a.deps.Recalls.People(ctx, in.ID, in.State, in.After, in.Limit)
			if people == nil {
				people = []RecallPerson{}
			}
			for i := range people {
				people[i].Name = people[i].Person
				if id, err := rapport.ParseID(people[i].Person); err == nil && i < mostNamed {
					people[i].Name = a.label(ctx, id)
				}
			}
			return &body[recallPeople]{recallPeople{people, next}}, err
		})
	handle(a, operation{id: "remind-recall", method: http.MethodPost, path: "/v1/recalls/{id}/remind", tag: tag, role: access.Marketer, status: http.StatusAccepted, audit: "recall.remind", summary: "Tell everybody once more who did not take note"},
		objectRecall, func(ctx context.Context, in *RecallPath) (*body[epcis.Recall], error) {
			return answer(chain.RemindRecall(ctx, in.ID, author(ctx)))
		})
	type acknowledgement struct {
		RecallPath
		Body struct {
			Person string `json:"person" minLength:"1" maxLength:"256" doc:"Person id, or userId:x, email:x, phone:x"`
		}
	}
	handle(a, operation{id: "acknowledge-recall", method: http.MethodPost, path: "/v1/recalls/{id}/acknowledgements", tag: tag, role: access.Marketer, status: http.StatusNoContent, audit: "recall.acknowledge", summary: "Note that somebody took note, as by telephone"},
		func(in *acknowledgement) string { return in.ID }, func(ctx context.Context, in *acknowledgement) (*noContent, error) {
			if _, err := chain.RecallOf(ctx, in.ID); err != nil {
				return nil, err
			}
			person, err := a.known(ctx, in.Body.Person)
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Recalls.Acknowledge(ctx, in.ID, person, author(ctx))
		})
	handle(a, operation{id: "lift-recall", method: http.MethodDelete, path: "/v1/recalls/{id}", tag: tag, role: access.Marketer, status: http.StatusAccepted, audit: "recall.lift", summary: "End a recall; items and owners are told"},
		objectRecall, func(ctx context.Context, in *RecallPath) (*body[epcis.Recall], error) {
			return answer(chain.LiftRecall(ctx, in.ID, author(ctx)))
		})
}

// answer wraps what a room returned.
func answer[T any](v *T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{*v}, nil
}

func (a *API) affected(ctx context.Context, in *struct {
	Of    string `query:"of" required:"true" doc:"Lot, class or thing"`
	Limit int    `query:"limit" minimum:"1" maximum:"100000" default:"10000"`
},
) (*body[Affected], error) {
	items, more, err := a.deps.Recalls.Affected(ctx, in.Of)
	if err != nil {
		return nil, err
	}
	if len(items) > in.Limit {
		items, more = items[:in.Limit], true
	}
	out := Affected{Of: epcis.Name(in.Of), Items: make([]Holding, 0, len(items)), Truncated: more}
	var owners []string
	for _, item := range items {
		h, err := a.deps.Recalls.Holder(ctx, item)
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
