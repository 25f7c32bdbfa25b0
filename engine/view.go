package engine

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// View is one entity as its home knows it, between two records. It is valid
// during the function it was given to.
type View struct {
	p *partition
	e *entity
}

// Exists reports whether anything is known of the entity.
func (v *View) Exists() bool { return v.e.exists }

// ID returns the id of the entity, after following merges.
func (v *View) ID() rapport.ID { return v.e.id }

// PublicID returns the id the entity is shown by: that of its oldest part. It
// stays the same when the entity is merged into a younger one.
func (v *View) PublicID() rapport.ID {
	id, _ := v.e.publicID()
	return id
}

// FirstSeen returns when the first event of the entity was received, in Unix
// milliseconds; 0 if there is none.
func (v *View) FirstSeen() int64 {
	_, first := v.e.publicID()
	return first
}

// Fragments returns the fragments of the entity, ordered.
func (v *View) Fragments() []rapport.ID {
	ids := make([]rapport.ID, len(v.e.frags))
	for i := range v.e.frags {
		ids[i] = v.e.frags[i].id
	}
	return ids
}

// Merged returns the entities that were merged into this one, ordered.
func (v *View) Merged() []rapport.ID { return append([]rapport.ID(nil), v.e.aliases...) }

// State returns the state of a fold, merged over fragments, for reading only.
// It is nil for a fold the engine does not have.
func (v *View) State(fold string) State {
	s := v.p.layout.byName(fold)
	if s == nil {
		return nil
	}
	return v.p.merged(v.e, s)
}

// Encoded returns the state of a fold as it is stored, for who needs little of
// it; it is valid until the view is asked for anything else. It is not ok where
// that is not at hand: then there is State.
func (v *View) Encoded(fold string) (b []byte, ok bool) {
	s := v.p.layout.byName(fold)
	if s == nil || s.dark || s.perEntity || len(v.e.frags) != 1 {
		return nil, false
	}
	f := &v.e.frags[0]
	switch sec := &f.secs[s.at]; {
	case sec.st != nil || sec.apart && v.p.frozen == nil:
		return nil, false
	case sec.apart:
		return v.p.coldState(s, f.id), true
	default:
		return v.e.raw[sec.off : sec.off+sec.len], true
	}
}

// Part returns the state one fragment has of a fold, for reading only. It is
// nil if the entity has no such fragment, or the fold keeps none.
func (v *View) Part(fragment rapport.ID, fold string) State {
	s := v.p.layout.byName(fold)
	if s == nil || s.perEntity || s.dark {
		return nil
	}
	for i := range v.e.frags {
		if f := &v.e.frags[i]; f.id == fragment {
			return v.p.stateOf(v.e, f.id, s, &f.secs[s.at])
		}
	}
	return nil
}

// Rows returns the rows of a fold. The caller closes them; it may walk them
// after the view's function has returned. It is nil, and empty, for a fold the
// engine does not have.
func (v *View) Rows(fold string) *Rows {
	s := v.p.layout.byName(fold)
	if s == nil || s.dark {
		return nil
	}
	owners := []rapport.ID{v.e.id}
	if !s.perEntity {
		owners = v.Fragments()
	}
	return v.p.rows(s, owners)
}

// Effects returns the effects that wait for this entity.
func (v *View) Effects() []Effect {
	var out []Effect
	for _, ref := range v.e.effects {
		if e, ok := v.p.effectOf(ref); ok {
			out = append(out, e)
		}
	}
	return out
}

// Config returns the configuration the partition has adopted; nil before the first.
func (v *View) Config() *Config { return v.p.config }

// Time returns partition time: that of the last record folded, Unix milliseconds.
func (v *View) Time() int64 { return v.p.meta.time }

// Token names the last record the view reflects.
func (v *View) Token() Token { return Token{v.p.id, v.p.meta.pos - 1} }

// View runs fn with the entity on its home's goroutine, between two records.
// fn must be quick, must not keep anything of the view (except [Rows]) and must
// not call the engine.
//
// The view reflects every event that was acknowledged before the call, if
// after is nil. A caller that knows which partitions the entity's events
// arrive in may pass [Engine.Ends] of those, or the token of one event,
// instead: then it reflects the records up to after with all they caused.
// An entity merged away is viewed as what it became. View returns Unavailable
// while the engine stops.
func (g *Engine) View(ctx context.Context, id rapport.ID, after []Token, fn func(*View) error) error {
	if after == nil {
		after = g.Ends()
	}
	if err := g.reach(ctx, after); err != nil {
		return err
	}
	for range maxFollows {
		p, err := g.owner(id)
		if err != nil {
			return err
		}
		next := rapport.ID{}
		err = p.call(ctx, func() error {
			e := p.peek(id)
			for n := 0; !e.redirect.IsZero(); n++ {
				if next = e.redirect; int32(next.Partition(p.count)) != p.id || n > maxFollows {
					return nil
				}
				e, next = p.peek(next), rapport.ID{}
			}
			err := fn(&View{p, e})
			if p.cache.byID[e.id] == e && e.clean() {
				p.releaseCold(e)
			}
			if err == nil {
				err = p.err
			}
			return err
		})
		if err != nil || next.IsZero() {
			return err
		}
		id = next
	}
	return rapport.Errorf(rapport.Internal, "redirects of entity %s run in a circle", id)
}

// peek returns an entity for reading.
func (p *partition) peek(id rapport.ID) *entity {
	e := p.load(id)
	if !e.exists && e.clean() {
		p.cache.remove(e) // do not keep what is not there
	}
	return e
}

// Ends returns the present ends of partitions of the events topic: everything
// acknowledged so far. Without arguments it is all partitions.
func (g *Engine) Ends(partitions ...int32) []Token {
	if len(partitions) == 0 {
		for i := range g.parts {
			partitions = append(partitions, int32(i))
		}
	}
	out := make([]Token, len(partitions))
	for i, id := range partitions {
		_, next := g.log.Bounds(eventlog.Events, id)
		out[i] = Token{id, next - 1}
	}
	return out
}
