package engine

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// List calls fn with a page of entities, in the order of partitions and ids:
// at most limit, those behind the position after, which is "" at first. It
// returns the position of the next page, "" at the end. Entities that became
// known within the last commit may be missing. fn is called on the owners'
// goroutines, one at a time, and keeps the rules of View.
func (g *Engine) List(ctx context.Context, after string, limit int, fn func(*View) error) (next string, err error) {
	return g.ListFrom(ctx, 0, after, limit, fn)
}

// ListFrom is List of the entities whose ids have a rank or a weaker one.
func (g *Engine) ListFrom(ctx context.Context, rank rapport.Rank, after string, limit int, fn func(*View) error) (next string, err error) {
	return g.listRanks(ctx, rank, 255, after, limit, fn)
}

// listRanks lists the entities whose ids have a rank, or a weaker one below another.
func (g *Engine) listRanks(ctx context.Context, rank, below rapport.Rank, after string, limit int, fn func(*View) error) (next string, err error) {
	first, from, err := parsePosition(after)
	if err != nil {
		return "", err
	}
	if from.Rank() < rank {
		from = rapport.ID{byte(rank)}
	}
	left := limit
	var last rapport.ID
	for i, p := range g.parts {
		if i < first {
			continue
		}
		if p == nil {
			return "", rapport.Errorf(rapport.Unavailable, "partition %d is not here", i)
		}
		if i > first {
			from = rapport.ID{byte(rank)}
		}
		err := p.call(ctx, func() error {
			return p.list(from, func(id rapport.ID) (bool, error) {
				if left == 0 || id.Rank() >= below {
					return false, nil
				}
				e := p.peek(id)
				if !e.redirect.IsZero() || !e.exists {
					return true, nil
				}
				left, last = left-1, id
				return true, fn(&View{p, e})
			})
		})
		if err != nil {
			return "", err
		}
		if left == 0 {
			return strconv.Itoa(i) + "." + hex.EncodeToString(last[:]), nil
		}
	}
	return "", nil
}

func parsePosition(s string) (partition int, id rapport.ID, err error) {
	if s == "" {
		return 0, id, nil
	}
	left, right, ok := strings.Cut(s, ".")
	partition, perr := strconv.Atoi(left)
	b, herr := hex.DecodeString(right)
	if !ok || perr != nil || herr != nil || len(b) != len(id) || partition < 0 {
		return 0, id, rapport.Errorf(rapport.Invalid, "%q is no position of a list; give what the page before it returned", s)
	}
	return partition, rapport.ID(b), nil
}

// list calls fn with the ids of stored entities above from, in order, until it returns false.
func (p *partition) list(from rapport.ID, fn func(rapport.ID) (bool, error)) error {
	prefix := p.key(nil, spanEntity)
	lower := prefix
	if !from.IsZero() {
		lower = append(p.entityKey(nil, from), 0)
	}
	it, err := p.store.Scan(lower, state.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		more, err := fn(rapport.ID(it.Key()[len(prefix):]))
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

// EffectKinds returns the kinds of which effects wait in the outbox, sorted.
func (g *Engine) EffectKinds(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	for _, p := range g.parts {
		if p == nil {
			continue
		}
		if err := p.call(ctx, func() error { return p.effectKinds(found) }); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Waiting returns effects of a kind that wait in the outbox, whether due or
// not, at most limit: for people to look at. Senders use Effects.
func (g *Engine) Waiting(ctx context.Context, kind string, limit int) ([]Effect, error) {
	var out []Effect
	for _, p := range g.parts {
		if p == nil || len(out) >= limit {
			continue
		}
		err := p.call(ctx, func() error {
			return p.waiting(kind, nil, 1<<63-1, func(e Effect) bool {
				if len(out) >= limit {
					return false
				}
				e.Payload = append([]byte(nil), e.Payload...)
				out = append(out, e)
				return true
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
