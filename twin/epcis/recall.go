package epcis

import (
	"context"
	"errors"
	"math"
	"slices"
)

// recallMost bounds the things one recall returns.
const recallMost = 1_000_000

// Affected returns the name of every single thing that a recall of a lot,
// class or thing concerns: what belongs to it, and what was made of it, however
// many makings later. more is true when there are too many to return.
func (c *Chain) Affected(ctx context.Context, of string) (things []string, more bool, err error) {
	if err := c.Settle(ctx); err != nil {
		return nil, false, err
	}
	snap := c.Store.Snapshot()
	t, err := c.tracer(snap)
	if err != nil {
		return nil, false, errors.Join(err, snap.Close())
	}
	defer func() { err = errors.Join(err, t.it.Close(), snap.Close()) }()
	begin := Name(of)
	queue, seen := []string{begin}, map[string]bool{begin: true}
	for len(queue) > 0 {
		if len(seen) > recallMost || ctx.Err() != nil {
			return things, true, ctx.Err()
		}
		n := queue[0]
		queue = queue[1:]
		x := idOf(n)
		members := t.list(key('l', x[:]))
		single := len(members) == 0
		for _, r := range []role{asInput, asInputClass} {
			var rows []row
			if err := t.rows(x, r, span64{math.MinInt64, math.MaxInt64}, func(y row) bool { rows = append(rows, y); return len(rows) < traceSteps }); err != nil {
				return nil, false, err
			}
			for _, y := range rows {
				made, err := t.other(y, Downstream)
				if err != nil {
					return nil, false, err
				}
				for _, uri := range made {
					members = append(members, Name(uri))
				}
			}
		}
		if single && isThing(n) {
			things = append(things, n)
		}
		for _, m := range members {
			if !seen[m] {
				seen[m] = true
				queue = append(queue, m)
			}
		}
	}
	slices.Sort(things)
	return things, false, nil
}
