package api

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/group"
)

// ItemMembership is a segment of items an item is in.
type ItemMembership struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// ItemSegment is a segment of items and how many are in it now.
type ItemSegment struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	When string `json:"when"`
	Size int64  `json:"size"`
}

type itemSegmentsAnswer struct {
	Segments []ItemSegment `json:"segments"`
	Items    int64         `json:"items" doc:"Items in all"`
}

// groupsOf returns the segments of items of a configuration.
func groupsOf(c *engine.Config) *group.Config {
	groups, _ := c.Part(group.Part).(*group.Config)
	return groups
}

func (a *API) itemSegments(tag string) {
	handle(a, operation{id: "item-segments", method: "GET", path: "/v1/item-segments", tag: tag, summary: "Segments of items with their sizes; GET /v1/items?segment= lists who is in one", role: access.Viewer}, nil,
		func(ctx context.Context, _ *struct{}) (*body[itemSegmentsAnswer], error) {
			config := a.config(ctx)
			docs := groupsOf(config).All()
			out := itemSegmentsAnswer{Segments: make([]ItemSegment, len(docs))}
			for i := range docs {
				out.Segments[i] = ItemSegment{ID: docs[i].ID, Name: docs[i].Name, When: docs[i].When.String()}
			}
			now := a.deps.Clock.Now()
			for after := ""; ; {
				next, err := a.deps.Items.List(ctx, after, 500, func(s *twin.Item) error {
					out.Items++
					env := twin.ItemEnv(s, config, now)
					for i := range docs {
						if docs[i].When.Holds(env) {
							out.Segments[i].Size++
						}
					}
					return nil
				})
				if err != nil {
					return nil, err
				}
				if next == "" {
					return &body[itemSegmentsAnswer]{out}, nil
				}
				after = next
			}
		})
}
