package api

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/decide"
)

// PersonSending is when and through which channel one person answers, and what
// waits to be sent to them.
type PersonSending struct {
	PersonID string                `json:"personId"`
	Zone     string                `json:"zone" doc:"Where the hours are counted"`
	Alike    string                `json:"alike,omitempty" doc:"Whom the person is taken for while little is known of themselves; empty if that is not known either"`
	Hours    []decide.HourHabit    `json:"hours" doc:"The 24 hours of the day: what was sent to them and answered, fading, and the rate believed with its 80 % interval"`
	Channels []decide.ChannelHabit `json:"channels"`
	Waiting  []WaitingSend         `json:"waiting" doc:"What triggers asked for and waits for its hour"`
}

// WaitingSend is a trigger's request that waits for its hour.
type WaitingSend struct {
	Trigger   string    `json:"trigger"`
	Placement string    `json:"placement"`
	At        time.Time `json:"at"`
	Reason    string    `json:"reason"`
}

func (a *API) sendingOperations() {
	handle(a, operation{id: "person-sending", method: "GET", path: "/v1/people/{ref}/sending", tag: "People", summary: "When and through which channel a person answers, as it was learned", role: access.Viewer}, nil,
		func(ctx context.Context, in *RefPath) (*body[PersonSending], error) {
			id, err := a.known(ctx, in.Ref)
			if err != nil {
				return nil, err
			}
			h, err := a.deps.Decider.Habits(ctx, id)
			if err != nil {
				return nil, err
			}
			out := PersonSending{PersonID: id.String(), Zone: h.Zone, Alike: h.Alike, Hours: h.Hours, Channels: h.Channels, Waiting: []WaitingSend{}}
			for _, w := range h.Waiting {
				out.Waiting = append(out.Waiting, WaitingSend{w.Trigger, w.Placement, time.UnixMilli(w.At).UTC(), w.Reason})
			}
			return &body[PersonSending]{out}, nil
		})
}
