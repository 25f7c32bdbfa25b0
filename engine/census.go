package engine

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// alive counts an entity that begins to stand for itself, or ends to.
func (p *partition) alive(e *entity, by int64) {
	p.meta.live += by
	if e.id.Rank() == rapport.RankItem {
		p.meta.items += by
	}
}

// countItems counts the items in the store, which an earlier build did not. Ids
// begin with their rank, so that no others are looked at.
func (p *partition) countItems() {
	p.meta.items = 0
	prefix := p.key(nil, spanEntity)
	it, err := p.store.Scan(p.entityKey(nil, rapport.ID{byte(rapport.RankItem)}), state.PrefixEnd(prefix))
	if err != nil {
		p.fail(err)
		return
	}
	for ok := it.First(); ok && p.err == nil; ok = it.Next() {
		id := rapport.ID(it.Key()[len(prefix):])
		if id.Rank() != rapport.RankItem {
			break
		}
		e := p.newEntity(id)
		e.raw = append(e.raw[:0], it.Value()...)
		if p.check(p.decodeEntity(e)); e.live() {
			p.meta.items++
		}
		p.recycle(e)
	}
	p.check(it.Close())
}

// People returns how many people are known: entities that are not merged into
// another, and no items.
func (s *Stats) People() int64 { return s.Entities - s.Items }

// ListPeople is [Engine.List] of those who are no items.
func (g *Engine) ListPeople(ctx context.Context, after string, limit int, fn func(*View) error) (next string, err error) {
	return g.listRanks(ctx, 0, rapport.RankItem, after, limit, fn)
}
