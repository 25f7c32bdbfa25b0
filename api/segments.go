package api

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// Segment is a segment and how many people are in it now.
type Segment struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	When string `json:"when" doc:"Condition in force"`
	// Pending is what the condition will be once history was read for it.
	Pending string `json:"pending,omitempty" doc:"Condition that comes into force when what it asks of the past is known"`
	Size    int64  `json:"size" doc:"People in it, by every acknowledged event"`
	State   string `json:"state" enum:"live,filling,building" doc:"filling: people are still being found in a new definition; building: the past is still being read for it"`
	// Building tells how far that is.
	Building *Building `json:"building,omitempty"`
}

// SegmentSize is how many people were in a segment at a time.
type SegmentSize struct {
	At   time.Time `json:"at"`
	Size int64     `json:"size"`
}

// SegmentPast tells how the sizes from before a segment was defined are known:
// the lives of people were gone through again.
type SegmentPast struct {
	Since   time.Time `json:"since,omitzero" doc:"Set where the log was trimmed: what people did before is not part of it"`
	Until   time.Time `json:"until,omitzero" doc:"Sizes from before were told afterwards; later ones were counted while they were so"`
	Sampled int64     `json:"sampled" doc:"People whose past was gone through"`
	Total   int64     `json:"total" doc:"People in all; if more than sampled, the sizes are estimates"`
	Unknown string    `json:"unknown,omitempty" doc:"Why the past cannot be told"`
	// Building tells how far it is while it is being told.
	Building *Building `json:"building,omitempty"`
}

type segmentHistory struct {
	Sizes []SegmentSize `json:"sizes"`
	Past  *SegmentPast  `json:"past,omitempty"`
}

// SegmentMember is one person in a segment.
type SegmentMember struct {
	PersonSummary
	Since time.Time `json:"since"`
}

// SegmentPreview tells how many people a condition holds for.
type SegmentPreview struct {
	// Value of Total people, with the bounds of a 95 % interval.
	Value   int64           `json:"value"`
	Low     int64           `json:"low"`
	High    int64           `json:"high"`
	Exact   bool            `json:"exact"`
	Total   int64           `json:"total" doc:"People in all"`
	Sampled int64           `json:"sampled" doc:"People looked at"`
	People  []PersonSummary `json:"people" doc:"Some for whom it holds"`
	Millis  float64         `json:"millis" doc:"How long it took"`
	// History is set if the condition asks what is not kept yet: then fewer
	// people are looked at, each from their timeline.
	History bool `json:"history,omitempty" doc:"The condition asks what is not kept yet; people were looked at from their timelines"`
}

type segmentPage struct {
	People []SegmentMember `json:"people"`
	Next   string          `json:"next,omitempty" doc:"Give it as after for the next page"`
	Size   int64           `json:"size"`
}

type segmentList struct {
	Segments []Segment `json:"segments"`
	Building *Building `json:"building,omitempty"`
}

type segmentOverlap struct {
	A       Segment `json:"a"`
	B       Segment `json:"b"`
	Both    int64   `json:"both"`
	Jaccard float64 `json:"jaccard" doc:"Both, divided by those in either"`
}

type previewIn struct {
	Body struct {
		When  json.RawMessage `json:"when" doc:"Condition: text, or its tree"`
		Exact bool            `json:"exact,omitempty" doc:"Count everybody instead of a sample"`
	}
}

func (a *API) segmentOperations() {
	handle(a, operation{id: "segments", method: "GET", path: "/v1/segments", tag: "Segments", summary: "Segments and their sizes", role: access.Viewer}, nil,
		func(ctx context.Context, _ *struct{}) (*body[segmentList], error) {
			list, err := a.segments(ctx)
			out := &body[segmentList]{segmentList{Segments: list}}
			if b := a.deps.System.Building(); b.Phase != "" {
				out.Body.Building = &b
			}
			return out, err
		})
	handle(a, operation{id: "segment", method: "GET", path: "/v1/segments/{id}", tag: "Segments", summary: "A segment and its size", role: access.Viewer}, nil,
		func(ctx context.Context, in *IDPath) (*body[Segment], error) {
			s, err := a.segment(ctx, in.ID)
			return &body[Segment]{s}, err
		})
	handle(a, operation{id: "segment-people", method: "GET", path: "/v1/segments/{id}/people", tag: "Segments", summary: "Who is in a segment", role: access.Viewer}, nil, a.segmentPeople)
	handle(a, operation{id: "segment-history", method: "GET", path: "/v1/segments/{id}/history", tag: "Segments", summary: "How large a segment was", role: access.Viewer}, nil,
		func(ctx context.Context, in *IDPath) (*body[segmentHistory], error) {
			s, err := a.segment(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			out := &body[segmentHistory]{}
			if out.Body.Sizes, err = a.deps.System.SegmentHistory(in.ID); err != nil {
				return nil, err
			}
			out.Body.Sizes = append(out.Body.Sizes, SegmentSize{a.deps.Clock.Now(), s.Size})
			out.Body.Past, err = a.deps.System.SegmentPast(in.ID)
			return out, err
		})
	handle(a, operation{id: "segment-overlap", method: "GET", path: "/v1/segments/{id}/overlap/{other}", tag: "Segments", summary: "Who is in both of two segments", role: access.Viewer}, nil,
		func(ctx context.Context, in *struct {
			IDPath
			Other string `path:"other" maxLength:"100"`
		},
		) (out *body[segmentOverlap], err error) {
			out = &body[segmentOverlap]{}
			if out.Body.A, err = a.segment(ctx, in.ID); err != nil {
				return nil, err
			}
			if out.Body.B, err = a.segment(ctx, in.Other); err != nil {
				return nil, err
			}
			out.Body.Both, err = a.deps.Engine.Overlap(ctx, segment.Key(in.ID), segment.Key(in.Other))
			if either := out.Body.A.Size + out.Body.B.Size - out.Body.Both; either > 0 {
				out.Body.Jaccard = float64(out.Body.Both) / float64(either)
			}
			return out, err
		})
	handle(a, operation{id: "preview-segment", method: "POST", path: "/v1/segments/preview", tag: "Segments", summary: "How many people a condition holds for", role: access.Analyst, status: 200}, nil,
		func(ctx context.Context, in *previewIn) (*body[SegmentPreview], error) {
			var when condition.Condition
			if err := when.UnmarshalJSON(in.Body.When); err != nil {
				return nil, rapport.Errorf(rapport.Invalid, "when: %w", err)
			}
			doc := segment.Doc{ID: "preview", When: &when}
			if err := doc.Validate(); err != nil {
				return nil, err
			}
			p, err := a.deps.System.PreviewSegment(ctx, &when, in.Body.Exact)
			return &body[SegmentPreview]{p}, err
		})
}

// segments lists the segments of the configuration with their sizes.
func (a *API) segments(ctx context.Context) ([]Segment, error) {
	counts, err := a.deps.Engine.Counts(ctx)
	if err != nil {
		return nil, err
	}
	var inForce *segment.Config
	if err := a.deps.Engine.View(ctx, rapport.ID{}, nil, func(v *engine.View) error {
		inForce, _ = v.Config().Part(segment.Part).(*segment.Config)
		return nil
	}); err != nil {
		return nil, err
	}
	list := []Segment{}
	set, _ := a.deps.Config.Current()
	building := a.deps.System.Building()
	for _, doc := range set.Of("segment") {
		spec, ok := doc.Spec.(*segment.Doc)
		if !ok {
			continue
		}
		s := Segment{ID: spec.ID, Name: spec.Name, When: spec.When.Text(), State: "live"}
		switch d := inForce.Definition(spec.ID); {
		case d == nil:
			s.State = "building"
		case !d.When.Equal(spec.When):
			s.State, s.When, s.Pending = "building", d.When.Text(), s.When
			s.Size = counts[d.Key]
		default:
			if s.Size = counts[d.Key]; d.Quiet || a.deps.System.Unfilled(spec.ID) {
				s.State = "filling"
			}
		}
		if s.State != "live" && building.Phase != "" {
			s.Building = &building
		}
		list = append(list, s)
	}
	return list, nil
}

func (a *API) segment(ctx context.Context, id string) (Segment, error) {
	list, err := a.segments(ctx)
	if err != nil {
		return Segment{}, err
	}
	var ids []string
	for _, s := range list {
		if s.ID == id {
			return s, nil
		}
		ids = append(ids, s.ID)
	}
	msg := "there is no segment " + id
	if near := condition.Nearest(id, ids); near != "" {
		msg += "; did you mean " + near + "?"
	}
	return Segment{}, rapport.Errorf(rapport.NotFound, "%s", msg)
}

func (a *API) segmentPeople(ctx context.Context, in *struct {
	IDPath
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
	After string `query:"after" maxLength:"100"`
},
) (*body[segmentPage], error) {
	s, err := a.segment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &body[segmentPage]{segmentPage{People: []SegmentMember{}, Size: s.Size}}
	now := rapport.Millis(a.deps.Clock.Now())
	out.Body.Next, err = a.deps.Engine.Listed(ctx, segment.Key(in.ID), in.After, in.Limit, func(v *engine.View) error {
		p, ok := profile.Read(v)
		if !ok {
			return nil
		}
		m := SegmentMember{PersonSummary: summary(&p)}
		m.foretell(v, now)
		for _, x := range segment.Of(v) {
			if x.ID == in.ID {
				m.Since = rapport.Time(x.Since)
			}
		}
		out.Body.People = append(out.Body.People, m)
		return nil
	})
	return out, err
}

// Interval fills the bounds of an estimate: hits of sampled people of Total, by
// Wilson's interval with 95 % (Wilson, "Probable inference", 1927), narrowed by
// what of the whole was looked at.
func (p *SegmentPreview) Interval(hits int64) {
	if p.Sampled == 0 {
		p.High = p.Total
		return
	}
	n, total := float64(p.Sampled), float64(p.Total)
	const z = 1.959963984540054
	share := float64(hits) / n
	spread := z / (1 + z*z/n) * math.Sqrt(share*(1-share)/n+z*z/(4*n*n)) * math.Sqrt(max(1-n/total, 0))
	middle := (share + z*z/(2*n)) / (1 + z*z/n)
	if n >= total {
		middle, spread = share, 0
	}
	p.Value = int64(math.Round(share * total))
	p.Low = max(min(int64(math.Floor((middle-spread)*total)), p.Value), hits)
	p.High = min(max(int64(math.Ceil((middle+spread)*total)), p.Value), p.Total)
}

// Summary returns the line of a list for the person of a view; ok is false if
// nothing is known of them.
func Summary(v *engine.View) (s PersonSummary, ok bool) {
	p, ok := profile.Read(v)
	if !ok {
		return s, false
	}
	return summary(&p), true
}
