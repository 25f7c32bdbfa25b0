package api

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/twin/wear"
)

// Lives is what is learned of how long items last.
type Lives interface {
	Pages() []wear.Page
	// Reason returns why nothing can be told of a product's lives, or "".
	Reason(gtin string) string
	// Learn learns anew. Kinds: NotFound; Conflict, too few lives; Unavailable.
	Learn(ctx context.Context, gtin string) error
}

type lifeList struct {
	Products []wear.Page `json:"products"`
}

func (a *API) lifeOperations(tag string) {
	handle(a, operation{id: "life-models", method: "GET", path: "/v1/lives", tag: tag, summary: "What is learned of how long items last, by product", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[lifeList], error) {
			return &body[lifeList]{lifeList{a.deps.Lives.Pages()}}, nil
		})
	type path struct {
		GTIN string `path:"gtin" maxLength:"20"`
	}
	handle(a, operation{id: "learn-lives", method: "POST", path: "/v1/lives/{gtin}/learn", tag: tag, summary: "Learn from the lives of a product now", role: access.Marketer, audit: "lives.learn"},
		func(in *path) string { return in.GTIN },
		func(ctx context.Context, in *path) (*body[wear.Page], error) {
			gtin, err := gs1.ParseGTIN(in.GTIN)
			if err != nil {
				return nil, err
			}
			if err := a.deps.Lives.Learn(ctx, gtin); err != nil {
				return nil, err
			}
			for _, p := range a.deps.Lives.Pages() {
				if p.GTIN == gtin {
					return &body[wear.Page]{p}, nil
				}
			}
			return nil, rapport.Errorf(rapport.NotFound, "the lives of %s are not followed", gtin)
		})
}

// lastsOf is how long an item still lasts, or why that cannot be told; nil for
// what is not followed.
func (a *API) lastsOf(v *engine.View, gtin string) map[string]any {
	r, why, ok := wear.Read(v)
	if ok {
		at := func(ms int64) time.Time { return rapport.Time(ms) }
		return map[string]any{
			"days": r.Days, "at": at(r.At), "low": at(r.EarliestAt), "high": at(r.LatestAt), "coverage": 0.9, "learnedAt": r.Made, "lives": r.Lives,
		}
	}
	if why == "" {
		why = a.deps.Lives.Reason(gtin)
	}
	if why == "" {
		return nil
	}
	return map[string]any{"reason": why}
}
