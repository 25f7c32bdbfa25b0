package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/collect"
)

// SourceInfo is one sender of events.
type SourceInfo struct {
	ID              string     `json:"id"`
	Key             string     `json:"key" doc:"Write key; its beginning only, unless the caller is an administrator"`
	Name            string     `json:"name"`
	Enabled         bool       `json:"enabled"`
	Events          int64      `json:"events" doc:"Accepted since start"`
	Quarantined     int64      `json:"quarantined" doc:"Held since start"`
	LastEventAt     *time.Time `json:"lastEventAt"`
	EventsPerMinute float64    `json:"eventsPerMinute" doc:"Mean since start, or since the first event if that is later"`
}

// QuarantineItem is one event that was kept out.
type QuarantineItem struct {
	ID        string          `json:"id"`
	Time      time.Time       `json:"time"`
	Source    string          `json:"source"`
	Event     string          `json:"event"`
	Reason    string          `json:"reason"`
	Path      string          `json:"path,omitempty"`
	Hint      string          `json:"hint,omitempty"`
	Schema    string          `json:"schema,omitempty"`
	Truncated bool            `json:"truncated,omitempty"`
	Raw       json.RawMessage `json:"raw,omitempty" doc:"The event's JSON; a text if it is not JSON"`
}

type quarantinePage struct {
	Items []QuarantineItem `json:"items"`
	Next  string           `json:"next,omitempty"`
	Total int              `json:"total"`
}

type quarantineReplay struct {
	IDPath
	Body *struct {
		Raw json.RawMessage `json:"raw,omitempty" doc:"The corrected event; absent lets it in as it is"`
	}
}

func (a *API) sourceOperations() {
	handle(a, operation{id: "list-sources", method: "GET", path: "/v1/sources", tag: "Sources", summary: "Who sends events", role: access.Viewer}, nil,
		func(ctx context.Context, _ *struct{}) (*body[struct {
			Sources []SourceInfo `json:"sources"`
		}], error,
		) {
			out := &body[struct {
				Sources []SourceInfo `json:"sources"`
			}]{}
			out.Body.Sources = []SourceInfo{}
			p, _ := principal(ctx)
			for _, s := range a.deps.Door.Config().Sources() {
				out.Body.Sources = append(out.Body.Sources, a.sourceInfo(s, p.Role.Includes(access.Admin)))
			}
			return out, nil
		})
	handle(a, operation{id: "list-quarantine", method: "GET", path: "/v1/quarantine", tag: "Sources", summary: "Events that were kept out, newest first", role: access.Analyst}, nil, a.listQuarantine)
	handle(a, operation{id: "replay-quarantined", method: "POST", path: "/v1/quarantine/{id}/replay", tag: "Sources", summary: "Let an event in, as it is or corrected", role: access.Marketer, status: 204, audit: "quarantine.replay"},
		func(in *quarantineReplay) string { return in.ID },
		func(ctx context.Context, in *quarantineReplay) (*noContent, error) {
			if in.Body != nil && len(in.Body.Raw) > 0 {
				return nil, a.deps.Door.Quarantine().Fix(ctx, in.ID, in.Body.Raw)
			}
			return nil, a.deps.Door.Quarantine().Replay(ctx, in.ID)
		})
	handle(a, operation{id: "replay-quarantine", method: "POST", path: "/v1/quarantine/replay", tag: "Sources", summary: "Let all in that now fit the plan", role: access.Marketer, audit: "quarantine.replayAll"},
		func(in *QuarantineFilter) string { return in.Source + " " + in.Event },
		func(ctx context.Context, in *QuarantineFilter) (*body[collect.ReplayResult], error) {
			r, err := a.deps.Door.Quarantine().ReplayAll(ctx, collect.HeldFilter{Source: in.Source, Event: in.Event, Reason: in.Reason, Limit: 1000})
			return &body[collect.ReplayResult]{r}, err
		})
	handle(a, operation{id: "delete-quarantined", method: "DELETE", path: "/v1/quarantine/{id}", tag: "Sources", summary: "Drop an event for good", role: access.Marketer, status: 204, audit: "quarantine.delete"},
		func(in *IDPath) string { return in.ID },
		func(ctx context.Context, in *IDPath) (*noContent, error) {
			n, err := a.deps.Door.Quarantine().Delete(ctx, in.ID)
			if err == nil && n == 0 {
				err = rapport.Errorf(rapport.NotFound, "no event %q is in quarantine", in.ID)
			}
			return nil, err
		})
}

// QuarantineFilter selects events in quarantine.
type QuarantineFilter struct {
	Source string `query:"source" maxLength:"200"`
	Event  string `query:"event" maxLength:"1024"`
	Reason string `query:"reason" maxLength:"64"`
}

func (a *API) sourceInfo(s *collect.Source, whole bool) SourceInfo {
	st := a.deps.Door.Stats().Source(s.ID)
	i := SourceInfo{ID: s.ID, Key: s.Key, Name: s.Name, Enabled: !s.Disabled, Events: st.Accepted.Load(), Quarantined: st.Held.Load()}
	if !whole && len(i.Key) > 4 {
		i.Key = i.Key[:4] + "…"
	}
	if at := st.LastAt.Load(); at > 0 {
		i.LastEventAt = new(rapport.Time(at))
	}
	if up := a.deps.System.Status().UptimeSeconds; up > 0 {
		i.EventsPerMinute = float64(i.Events) / max(up/60, 1.0/60)
	}
	return i
}

func (a *API) listQuarantine(ctx context.Context, in *struct {
	QuarantineFilter
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"200"`
	After string `query:"after" maxLength:"100"`
},
) (*body[quarantinePage], error) {
	q := a.deps.Door.Quarantine()
	page, err := q.List(ctx, collect.HeldFilter{Source: in.Source, Event: in.Event, Reason: in.Reason, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &body[quarantinePage]{quarantinePage{Items: []QuarantineItem{}, Next: page.Next, Total: page.Total}}
	for _, h := range page.Events {
		item := QuarantineItem{ID: h.ID, Time: rapport.Time(h.ReceivedAt), Source: h.Source, Event: h.Event, Schema: h.Schema, Truncated: h.Truncated}
		if item.Event == "" {
			item.Event = h.Type.String()
		}
		if len(h.Problems) > 0 {
			p := h.Problems[0]
			item.Reason, item.Path, item.Hint = p.Why, p.Path, p.Fix
		}
		if detail, err := q.Get(ctx, h.ID); err == nil {
			item.Raw = rawJSON(detail.Raw)
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}

// rawJSON returns text as JSON: itself if it is, else as a JSON text.
func rawJSON(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	b, _ := json.Marshal(text)
	return b
}
