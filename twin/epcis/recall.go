package epcis

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"
)

// Recall calls things back: a lot, a class or single things.
type Recall struct {
	ID     string `json:"id"`
	Of     string `json:"of" doc:"Lot, class or thing, as a name, Digital Link URI or EPC URN"`
	Reason string `json:"reason"`
	// Instructions and URL tell owners what to do.
	Instructions string `json:"instructions"`
	URL          string `json:"url"`
	// Placement is where the message to owners is decided; "" is the first that
	// has an action with the right of a recall.
	Placement string `json:"placement,omitempty"`
	// Round counts how often owners were to be told: a reminder begins the next.
	Round     int64     `json:"round"`
	By        string    `json:"by"`
	CreatedAt time.Time `json:"createdAt"`
	ChangedAt time.Time `json:"changedAt"`
	Lifted    bool      `json:"lifted"`
	// Told says that every item known so far and its owner was told of the present state.
	Told  bool `json:"told"`
	Items int  `json:"items"`
}

// StartRecall writes a recall down; whoever carries it out follows
// [Chain.OpenRecalls]. Things that join the lot later are told when it is
// started again under the same id.
func (c *Chain) StartRecall(ctx context.Context, r Recall) (*Recall, error) {
	if r.Of == "" || r.Reason == "" {
		return nil, Raise(ValidationException, "a recall says what is called back (of) and why (reason)")
	}
	r.Of = Name(r.Of)
	if r.ID == "" {
		r.ID = "rc_" + newHex()
	}
	if len(r.Placement) > 128 || len(r.ID) > 64 || len(r.Reason) > 1024 || len(r.Instructions) > 4096 || len(r.URL) > 1024 {
		return nil, Raise(ValidationException, "id, reason, instructions, url or placement is too long (64, 1024, 4096, 1024, 128 bytes)")
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	now := c.Clock.Now().UTC()
	if known, err := c.RecallOf(ctx, r.ID); err == nil {
		if known.Of != r.Of {
			return nil, Raise(ResourceAlreadyExistsException, "the recall %s calls back %s", r.ID, known.Of)
		}
		r.CreatedAt, r.Round, r.Items = known.CreatedAt, max(1, known.Round), known.Items
		if known.Lifted {
			r.Round++
		}
	} else {
		r.CreatedAt, r.Round = now, 1
	}
	r.ChangedAt, r.Told = now, false
	if err := c.append(ctx, recordRecall, r); err != nil {
		return nil, err
	}
	c.recalled()
	return &r, nil
}

// RemindRecall has everybody told once more who did not take note. Exceptions:
// NoSuchResource, Validation for one that was lifted.
func (c *Chain) RemindRecall(ctx context.Context, id, by string) (*Recall, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	r, err := c.RecallOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.Lifted {
		return nil, Raise(ValidationException, "the recall %s was lifted", id)
	}
	r.By, r.Told, r.ChangedAt, r.Round = by, false, c.Clock.Now().UTC(), max(1, r.Round)+1
	if err := c.append(ctx, recordRecall, r); err != nil {
		return nil, err
	}
	c.recalled()
	return r, nil
}

// LiftRecall ends a recall; items and owners are told. Exception: NoSuchResource.
func (c *Chain) LiftRecall(ctx context.Context, id, by string) (*Recall, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	r, err := c.RecallOf(ctx, id)
	if err != nil {
		return nil, err
	}
	r.By, r.Lifted, r.Told, r.ChangedAt = by, true, false, c.Clock.Now().UTC()
	if err := c.append(ctx, recordRecall, r); err != nil {
		return nil, err
	}
	c.recalled()
	return r, nil
}

// RecallTold writes down that everybody was told of a recall as it was then;
// one that was changed since is left as it is.
func (c *Chain) RecallTold(ctx context.Context, told Recall, items int) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	r, err := c.RecallOf(ctx, told.ID)
	if err != nil || !r.ChangedAt.Equal(told.ChangedAt) || r.Told && r.Items == items {
		return err
	}
	r.Told, r.Items = true, items
	return c.append(ctx, recordRecall, r)
}

// RecallOf returns a recall. Exception: NoSuchResource.
func (c *Chain) RecallOf(ctx context.Context, id string) (*Recall, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	data, found, err := c.Store.Get(key('r', []byte(id)), nil)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, Raise(NoSuchResourceException, "there is no recall %s", id)
	}
	r := &Recall{}
	return r, json.Unmarshal(data, r)
}

// Recalls lists all recalls.
func (c *Chain) Recalls(ctx context.Context) ([]Recall, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	return decodeAll[Recall](c.Store, key('r'))
}

// OpenRecalls lists the recalls that not everybody was told of.
func (c *Chain) OpenRecalls(ctx context.Context) ([]Recall, error) {
	all, err := c.Recalls(ctx)
	return slices.DeleteFunc(all, func(r Recall) bool { return r.Told }), err
}

// RecallsChanged receives after a recall began or was lifted.
func (c *Chain) RecallsChanged() <-chan struct{} { return c.recalls }

func (c *Chain) recalled() {
	select {
	case c.recalls <- struct{}{}:
	default:
	}
}

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
