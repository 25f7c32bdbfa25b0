package app

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/identity"
)

// arrivals is the engine for those who are in a hurry: a view waits for the
// partitions in which the person's own events arrive, not for all. What
// something else caused for the person, say a product of theirs, may then show
// a moment later.
type arrivals struct {
	engine     *engine.Engine
	identity   *identity.Resolver
	partitions int
}

// View implements [decide.Home].
func (a arrivals) View(ctx context.Context, id rapport.ID, after []engine.Token, fn func(*engine.View) error) error {
	if after == nil {
		if in := a.identity.Arrivals(id, a.partitions); in != nil {
			after = a.engine.Ends(in...)
		}
	}
	return a.engine.View(ctx, id, after, fn)
}
