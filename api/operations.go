package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/deliver"
)

func (a *API) systemOperations() {
	handle(a, operation{id: "overview", method: "GET", path: "/v1/overview", tag: "Operations", summary: "The figures of the first page", role: access.Viewer}, nil,
		func(ctx context.Context, _ *struct{}) (*body[Overview], error) {
			o, err := a.deps.System.Overview(ctx)
			return &body[Overview]{o}, err
		})
	handle(a, operation{id: "system", method: "GET", path: "/v1/system", tag: "Operations", summary: "How the program is doing", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[Status], error) {
			return &body[Status]{a.deps.System.Status()}, nil
		})
	handle(a, operation{id: "backup", method: "GET", path: "/v1/backup", tag: "Operations", summary: "Everything, as a tar stream", role: access.Admin, audit: "system.backup"}, none[struct{}],
		func(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				hc.SetHeader("Content-Type", "application/x-tar")
				if err := a.deps.System.Backup(hc.Context(), hc.BodyWriter()); err != nil {
					a.deps.Logger.Error("backup failed", "error", err)
					panic(http.ErrAbortHandler) // a cut connection is the one way left to say that it failed
				}
			}}, nil
		})
	a.actionOperations()
}

// DeliveryInfo is a message that could not be delivered, or still waits.
type DeliveryInfo struct {
	Key         string    `json:"key"`
	Status      string    `json:"status" enum:"dead,waiting"`
	Time        time.Time `json:"time"`
	Destination string    `json:"destination"`
	PersonID    string    `json:"personId"`
	Event       string    `json:"event"`
	Attempts    int       `json:"attempts" doc:"Rounds of attempts"`
	Error       string    `json:"error,omitempty" doc:"Why it could not be delivered; of a waiting one, what its destination said last"`
}

type deliveriesAnswer struct {
	Deliveries   []DeliveryInfo   `json:"deliveries"`
	Destinations []deliver.Health `json:"destinations"`
}

func (a *API) deliveryOperations() {
	handle(a, operation{id: "list-deliveries", method: "GET", path: "/v1/deliveries", tag: "Delivery", summary: "Dead letters or waiting messages, and how destinations do", role: access.Analyst}, nil,
		func(ctx context.Context, in *struct {
			Status string `query:"status" enum:"dead,waiting" default:"dead"`
			Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
		},
		) (*body[deliveriesAnswer], error) {
			out := &body[deliveriesAnswer]{deliveriesAnswer{Deliveries: []DeliveryInfo{}, Destinations: []deliver.Health{}}}
			health := a.deps.Deliver.Health()
			for _, kind := range slices.Sorted(maps.Keys(health)) {
				out.Body.Destinations = append(out.Body.Destinations, health[kind])
			}
			kinds, err := a.destinations(ctx)
			if err != nil {
				return nil, err
			}
			for _, kind := range kinds {
				list, err := a.deliveries(ctx, kind, in.Status, in.Limit-len(out.Body.Deliveries))
				if err != nil {
					return nil, err
				}
				for _, d := range list {
					reason := cmp.Or(d.Reason, health[kind].LastError)
					out.Body.Deliveries = append(out.Body.Deliveries, DeliveryInfo{d.Key, in.Status, d.Created, d.Kind, d.Person.String(), d.Event, d.Round + 1, reason})
				}
			}
			return out, nil
		})
	handle(a, operation{id: "replay-delivery", method: "POST", path: "/v1/deliveries/{id}/replay", tag: "Delivery", summary: "Send a dead letter off again", role: access.Marketer, status: 204, audit: "delivery.replay"},
		func(in *IDPath) string { return in.ID },
		func(ctx context.Context, in *IDPath) (*noContent, error) {
			kinds, err := a.destinations(ctx)
			if err != nil {
				return nil, err
			}
			for _, kind := range kinds {
				list, err := a.deliveries(ctx, kind, "dead", 10_000)
				if err != nil {
					return nil, err
				}
				for _, d := range list {
					if d.Key == in.ID {
						return nil, a.deps.Deliver.Replay(ctx, d)
					}
				}
			}
			return nil, rapport.Errorf(rapport.NotFound, "no dead letter has the key %q", in.ID)
		})
}

// destinations are the kinds of destinations there are, and those of which
// messages are left.
func (a *API) destinations(ctx context.Context) ([]string, error) {
	list := slices.Collect(maps.Keys(a.deps.Deliver.Health()))
	waiting, err := a.deps.Engine.EffectKinds(ctx)
	for _, kind := range waiting {
		if dead, ok := strings.CutPrefix(kind, deliver.DeadKind("")); ok {
			list = append(list, dead)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), err
}

// deliveries lists the messages of a destination that are dead, or wait.
func (a *API) deliveries(ctx context.Context, kind, status string, limit int) ([]deliver.DeadLetter, error) {
	kept := kind
	if status == "dead" {
		kept = deliver.DeadKind(kind)
	}
	effects, err := a.deps.Engine.Waiting(ctx, kept, limit)
	if err != nil {
		return nil, err
	}
	var list []deliver.DeadLetter
	for _, e := range effects {
		if d, err := deliver.ParseDeadLetter(kind, e); err == nil {
			list = append(list, d)
		}
	}
	return list, nil
}

type speedIn struct {
	Body struct {
		Speed float64 `json:"speed" minimum:"0.1" maximum:"10000"`
	}
}

func (a *API) demoOperations() {
	handle(a, operation{id: "demo", method: "GET", path: "/v1/demo", tag: "Demo", summary: "What the demo world does", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[DemoStatus], error) {
			return &body[DemoStatus]{a.deps.Demo.Status()}, nil
		})
	handle(a, operation{id: "start-demo", method: "POST", path: "/v1/demo", tag: "Demo", summary: "Bring the demo world to life", role: access.Admin, status: 202, audit: "demo.start"}, none[struct{}],
		func(ctx context.Context, _ *struct{}) (*body[DemoStatus], error) {
			err := a.deps.Demo.Start(ctx, author(ctx))
			return &body[DemoStatus]{a.deps.Demo.Status()}, err
		})
	handle(a, operation{id: "set-demo-speed", method: "PUT", path: "/v1/demo", tag: "Demo", summary: "Change how fast the demo world's time passes", role: access.Marketer}, nil,
		func(_ context.Context, in *speedIn) (*body[DemoStatus], error) {
			err := a.deps.Demo.SetSpeed(in.Body.Speed)
			return &body[DemoStatus]{a.deps.Demo.Status()}, err
		})
	handle(a, operation{id: "remove-demo", method: "DELETE", path: "/v1/demo", tag: "Demo", summary: "Remove the demo world and its data", role: access.Admin, status: 202, audit: "demo.remove"}, none[struct{}],
		func(ctx context.Context, _ *struct{}) (*body[DemoStatus], error) {
			err := a.deps.Demo.Remove(ctx, author(ctx))
			return &body[DemoStatus]{a.deps.Demo.Status()}, err
		})
}
