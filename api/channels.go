package api

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"mime"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/feedback"
	"github.com/rapport-engine/rapport/engine"
)

// Channels is what the program knows of the ways to reach people.
type Channels interface {
	// PushKey returns the key that pages subscribe browsers with. Kind: Invalid.
	PushKey(c *deliver.ChannelDoc) (string, error)
	// Report acts on what was said about messages of a channel. marked says that
	// only reports that return the mark of a message of ours are believed.
	Report(ctx context.Context, c *deliver.ChannelDoc, author string, list []feedback.Report, marked bool) (ReportsAnswer, error)
}

// ChannelInfo is one way to reach people.
type ChannelInfo struct {
	ID        string          `json:"id"`
	Type      string          `json:"type" enum:"smtp,sms,webpush"`
	From      string          `json:"from,omitempty"`
	PublicKey string          `json:"publicKey,omitempty" doc:"webpush: applicationServerKey of the pages that subscribe"`
	Health    *deliver.Health `json:"health,omitempty"`
}

type channelsAnswer struct {
	Channels   []ChannelInfo `json:"channels"`
	Suppressed int           `json:"suppressed" doc:"Addresses that nothing is sent to"`
}

// PushKeyInfo is the public key of a channel of type webpush.
type PushKeyInfo struct {
	Channel   string `json:"channel"`
	PublicKey string `json:"publicKey" doc:"applicationServerKey, in base64url"`
}

type pushKeysAnswer struct {
	Keys []PushKeyInfo `json:"keys"`
}

// DeliveryReport is what a relay or provider says about a message it was given.
type DeliveryReport struct {
	Type      string `json:"type" enum:"bounce,complaint" doc:"bounce: it was not delivered. complaint: its reader called it spam"`
	Address   string `json:"address" minLength:"3" maxLength:"320" doc:"Mail address or phone number it went to"`
	Permanent bool   `json:"permanent,omitempty" doc:"Of a bounce: the address takes nothing for good"`
	Status    string `json:"status,omitempty" maxLength:"100" doc:"Why, such as 5.1.1"`
	MessageID string `json:"messageId,omitempty" maxLength:"998" doc:"Message-ID of the mail; a report that comes twice counts once"`
}

// ReportsAnswer says what became of reports.
type ReportsAnswer struct {
	Taken      int `json:"taken" doc:"Reports that were believed"`
	Ignored    int `json:"ignored" doc:"Reports about no message of ours"`
	Suppressed int `json:"suppressed" doc:"Addresses new on the suppression list"`
}

type reportsIn struct {
	IDPath
	ContentType string `header:"Content-Type" doc:"message/rfc822 for a mail as it came back (a delivery status of RFC 3464, a complaint of RFC 5965), application/json for reports"`
	RawBody     []byte `contentType:"application/json" doc:"A mail, or {reports: [{type, address, permanent, status, messageId}]}"`
}

// maxReports is the most reports in one request.
const maxReports = 1000

func (a *API) channelOperations() {
	handle(a, operation{id: "list-channels", method: "GET", path: "/v1/channels", tag: "Delivery", summary: "The ways to reach people, and how they do", role: access.Viewer}, nil,
		func(ctx context.Context, _ *struct{}) (*body[channelsAnswer], error) {
			out := &body[channelsAnswer]{channelsAnswer{Channels: []ChannelInfo{}, Suppressed: a.deps.Suppressed.Len()}}
			channels, err := a.channels(ctx)
			if err != nil {
				return nil, err
			}
			health := a.deps.Deliver.Health()
			for _, id := range slices.Sorted(maps.Keys(channels)) {
				c := ChannelInfo{ID: id, Type: channels[id].Type, From: channels[id].From}
				if h, ok := health[deliver.ChannelKind(id)]; ok {
					c.Health = &h
				}
				if c.Type == deliver.ChannelPush {
					if c.PublicKey, err = a.deps.Channels.PushKey(channels[id]); err != nil {
						return nil, err
					}
				}
				out.Body.Channels = append(out.Body.Channels, c)
			}
			return out, nil
		})
	handle(a, operation{id: "push-keys", method: "GET", path: "/v1/push/keys", tag: "Delivery", summary: "The keys that pages subscribe browsers with"}, nil,
		func(ctx context.Context, _ *struct{}) (*body[pushKeysAnswer], error) {
			out := &body[pushKeysAnswer]{pushKeysAnswer{Keys: []PushKeyInfo{}}}
			channels, err := a.channels(ctx)
			if err != nil {
				return nil, err
			}
			for _, id := range slices.Sorted(maps.Keys(channels)) {
				if channels[id].Type != deliver.ChannelPush {
					continue
				}
				key, err := a.deps.Channels.PushKey(channels[id])
				if err != nil {
					return nil, err
				}
				out.Body.Keys = append(out.Body.Keys, PushKeyInfo{id, key})
			}
			return out, nil
		})
	handle(a, operation{
		id: "report-delivery", method: "POST", path: "/v1/channels/{id}/reports", tag: "Delivery", maxBody: feedback.MaxMessage, raw: true,
		summary: "What a relay says about messages: bounces and complaints. Needs the role source or marketer",
	}, nil, a.report)
}

// channels returns the channels in force.
func (a *API) channels(ctx context.Context) (out map[string]*deliver.ChannelDoc, err error) {
	err = a.deps.Engine.View(ctx, rapport.ID{1}, []engine.Token{}, func(v *engine.View) error {
		sends, _ := v.Config().Part(deliver.Part).(*deliver.Config)
		out = sends.Channels()
		return nil
	})
	return out, err
}

func (a *API) report(ctx context.Context, in *reportsIn) (*body[ReportsAnswer], error) {
	p, ok := principal(ctx)
	switch {
	case !ok:
		return nil, rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "this needs a token"), "send Authorization: Bearer TOKEN")
	case !p.Role.Includes(access.Source) && !p.Role.Includes(access.Marketer):
		return nil, rapport.Errorf(rapport.Denied, "the role %s may not report; it needs source or marketer", p.Role)
	}
	channels, err := a.channels(ctx)
	if err != nil {
		return nil, err
	}
	channel := channels[in.ID]
	if channel == nil {
		return nil, rapport.Errorf(rapport.NotFound, "no channel in force has the id %q", in.ID)
	}
	var list []feedback.Report
	kind, _, _ := mime.ParseMediaType(cmp.Or(in.ContentType, "application/json"))
	mail := kind == "message/rfc822"
	if mail {
		list, err = feedback.Parse(in.RawBody)
	} else {
		list, err = reports(in.RawBody)
	}
	if err != nil {
		return nil, err
	}
	out, err := a.deps.Channels.Report(ctx, channel, author(ctx), list, mail)
	return &body[ReportsAnswer]{out}, err
}

// reports reads reports as JSON.
func reports(raw []byte) (list []feedback.Report, err error) {
	var in struct {
		Reports []DeliveryReport `json:"reports"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the body is neither JSON nor, by its Content-Type, a mail: %w", err), "send {\"reports\": [...]}, or a mail as message/rfc822")
	}
	if len(in.Reports) == 0 || len(in.Reports) > maxReports {
		return nil, rapport.Errorf(rapport.Invalid, "reports holds %d, from 1 to %d are taken", len(in.Reports), maxReports)
	}
	for i := range in.Reports {
		r := &in.Reports[i]
		if kind := feedback.Kind(r.Type); kind != feedback.Bounce && kind != feedback.Complaint {
			return nil, rapport.Errorf(rapport.Invalid, "reports[%d].type %q is neither bounce nor complaint", i, r.Type)
		}
		if r.Address == "" || len(r.Address) > 320 || len(r.Status) > 100 || len(r.MessageID) > 998 {
			return nil, rapport.Errorf(rapport.Invalid, "reports[%d] names no address, or a field is too long", i)
		}
		list = append(list, feedback.Report{Kind: feedback.Kind(r.Type), Address: r.Address, Permanent: r.Permanent, Status: r.Status, MessageID: r.MessageID})
	}
	return list, nil
}
