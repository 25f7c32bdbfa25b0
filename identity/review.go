package identity

import (
	"cmp"
	"context"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Review is a link somebody has to decide on.
type Review struct {
	Link Link `json:"link"`
	// Why it does not count by itself.
	Why string `json:"why"`
	// A and B are the persons at its ends now.
	A rapport.ID `json:"a"`
	B rapport.ID `json:"b"`
}

// Reviews returns up to limit links that wait for somebody, the surest first,
// then the oldest, and how many there are. Links through quarantined values are
// not among them: the value is what is to be decided on.
func (r *Resolver) Reviews(ctx context.Context, limit int) (list []Review, total int, err error) {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if err := r.journal.wait(ctx, next); err != nil {
		return nil, 0, err
	}
	err = r.journal.each('r', func(id, value []byte) error {
		l, found, err := r.journal.link(rapport.ID(value[:16]), LinkID(id[:16]))
		if err != nil || !found || !l.Held {
			return err
		}
		if review, ok := r.review(l); ok {
			list = append(list, review)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b Review) int {
		return cmp.Or(-cmp.Compare(a.Link.Bits, b.Link.Bits), cmp.Compare(a.Link.At, b.Link.At), slices.Compare(a.Link.ID[:], b.Link.ID[:]))
	})
	total = len(list)
	return list[:min(total, limit)], total, err
}

func (r *Resolver) review(l Link) (Review, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := Review{Link: l, A: r.table.person(l.A), B: r.table.person(l.B)}
	for _, id := range [...]rapport.ID{l.A, l.B, r.mint1(&l.Identifiers[0])} {
		if r.table.standing(id) != free {
			return out, false
		}
	}
	alike := r.Rules().resembling()
	switch {
	case l.Kind == Probable && (!alike.on() || l.Bits < alike.review || out.A == out.B):
		return out, false
	case l.Kind == Probable && l.Guarded:
		out.Why = "they resemble each other, those around them do not"
	case l.Kind == Probable && !alike.counts(&l):
		out.Why = "they resemble each other, not enough to be united by themselves"
	case l.Kind == Verified && r.Rules().of(l.Identifiers[0].Kind).weak:
		out.Why = "identifiers of kind " + l.Identifiers[0].Kind + " are weak evidence"
	default:
		out.Why = "it would unite people who are known by different user ids"
	}
	return out, true
}

// held returns a link that is held, or why there is none.
func (r *Resolver) held(id LinkID) (Link, error) {
	value, found, err := r.o.State.Get(key('r', id[:]), nil)
	if err != nil {
		return Link{}, err
	}
	if !found {
		return Link{}, rapport.Errorf(rapport.NotFound, "no link %s waits for a decision", id)
	}
	l, found, err := r.journal.link(rapport.ID(value[:16]), id)
	if err == nil && !found {
		err = rapport.Errorf(rapport.NotFound, "no link %s waits for a decision", id)
	}
	return l, err
}

// Accept decides that the ends of a held link are one person, on the word of
// by. It returns once that took effect. Kinds: NotFound, Unavailable.
func (r *Resolver) Accept(ctx context.Context, id LinkID, by string) error {
	defer r.reviewing.forget()
	release, err := r.pause(ctx)
	if err != nil {
		return err
	}
	l, err := r.held(id)
	if err != nil {
		release()
		return err
	}
	c := change{r: r}
	r.mu.Lock()
	c.refuse(l, by) // the evidence gives way to the word
	word := r.manual(l.A, l.B, l.Identifiers, l.Kind.String()+" link "+l.ID.String(), by)
	word.Bits = l.Bits
	c.connect(word)
	r.mu.Unlock()
	if err := c.submit(ctx, release); err != nil {
		return err
	}
	return r.Weighed(ctx)
}

// Refuse decides that a held link is none. Kinds: NotFound, Unavailable.
func (r *Resolver) Refuse(ctx context.Context, id LinkID, by string) error {
	defer r.reviewing.forget()
	release, err := r.pause(ctx)
	if err != nil {
		return err
	}
	l, err := r.held(id)
	if err != nil {
		release()
		return err
	}
	c := change{r: r}
	r.mu.Lock()
	c.refuse(l, by)
	r.mu.Unlock()
	if err := c.submit(ctx, release); err != nil {
		return err
	}
	return r.Weighed(ctx)
}

// manual is a link on somebody's word.
func (r *Resolver) manual(a, b rapport.ID, names [2]rapport.Identifier, evidence, by string) Link {
	return Link{
		ID: r.link(Manual, a, b), Kind: Manual, Evidence: evidence, At: rapport.Millis(r.o.Clock.Now()), By: by,
		A: a, B: b, Identifiers: names,
	}
}

// Unite decides that two identifiers, in normal form, are one person's. It
// returns once that took effect. Kinds: Invalid (a device, one identifier
// twice), Conflict (somebody said so and took it back), Unavailable.
func (r *Resolver) Unite(ctx context.Context, a, b rapport.Identifier, by string) error {
	x, y := r.mint1(&a), r.mint1(&b)
	if isDevice(a.Kind) || isDevice(b.Kind) || x == y {
		return rapport.Errorf(rapport.Invalid, "two different identifiers of people are needed; devices are owned by who signs in on them")
	}
	if x.Compare(y) < 0 {
		a, b, x, y = b, a, y, x
	}
	release, err := r.pause(ctx)
	if err != nil {
		return err
	}
	c := change{r: r}
	r.mu.Lock()
	known := r.table.pairs.has(pair(Manual, x, y))
	if !known {
		c.connect(r.manual(x, y, [2]rapport.Identifier{a, b}, "united by hand", by))
	}
	r.mu.Unlock()
	if known {
		release()
		if r.Person(x) == r.Person(y) {
			return nil
		}
		return rapport.Errorf(rapport.Conflict, "they were united before and taken apart; unite them by other identifiers of theirs")
	}
	if len(c.records) == 0 {
		release()
		return rapport.Errorf(rapport.Conflict, "together they would have more than %d identifiers", r.o.MaxIdentifiers)
	}
	if err := c.submit(ctx, release); err != nil {
		return err
	}
	return r.Weighed(ctx)
}

// Quarantined returns the values in quarantine, newest first.
func (r *Resolver) Quarantined(ctx context.Context) (list []Quarantine, err error) {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if err := r.journal.wait(ctx, next); err != nil {
		return nil, err
	}
	err = r.journal.each('q', func(node, value []byte) error {
		q, err := decodeQuarantine(rapport.ID(node), value)
		list = append(list, q)
		return err
	})
	slices.SortFunc(list, func(a, b Quarantine) int { return cmp.Or(-cmp.Compare(a.At, b.At), a.Node.Compare(b.Node)) })
	return list, err
}

// Block puts a value into quarantine: the links through it cease to count, and
// it names nobody until it is released. Kinds: Conflict (it is there already),
// Unavailable.
func (r *Resolver) Block(ctx context.Context, value rapport.Identifier, reason, by string) error {
	node := r.mint1(&value)
	return r.decide(ctx, end{&value, node}, by, func(g *graph) ([]Quarantine, []rapport.ID, error) {
		if r.table.standing(node) == final {
			return nil, nil, rapport.Errorf(rapport.Conflict, "the value is in quarantine already")
		}
		return []Quarantine{{Node: node, Identifier: value, Reason: reason, People: len(g.links)}}, nil, nil
	})
}

// Release takes a value out of quarantine. What it linked counts again, if the
// rules allow it: a value still above its limit goes back at once, so that the
// limit of its kind must be raised first. Kinds: NotFound, Conflict, Unavailable.
func (r *Resolver) Release(ctx context.Context, value rapport.Identifier, by string) error {
	node := r.mint1(&value)
	return r.decide(ctx, end{&value, node}, by, func(g *graph) ([]Quarantine, []rapport.ID, error) {
		if r.table.standing(node) == free {
			return nil, nil, rapport.Errorf(rapport.NotFound, "the value is not in quarantine")
		}
		if at := slices.IndexFunc(g.found, func(q Quarantine) bool { return q.Node == node }); at >= 0 {
			return nil, nil, rapport.WithHint(rapport.Errorf(rapport.Conflict, "by the rules it would go back at once: %s", g.found[at].Reason),
				"raise peoplePerValue or valuesPerPerson of identifier %s", value.Kind)
		}
		return nil, []rapport.ID{node}, nil
	})
}

// decide weighs the evidence around a value as if it were not in quarantine,
// with what somebody says about it. say is called with mu held.
func (r *Resolver) decide(ctx context.Context, value end, by string, say func(*graph) (put []Quarantine, release []rapport.ID, err error)) error {
	release, err := r.pause(ctx)
	if err != nil {
		return err
	}
	seeds, err := r.around(value)
	var g *graph
	if err == nil {
		g, err = r.evidence(seeds, []rapport.ID{value.id}, r.Rules())
	}
	if err != nil {
		release()
		return err
	}
	c := change{r: r, seeds: seeds} // others may be junk without it, or be so no more
	r.mu.Lock()
	put, free, err := say(g)
	if err == nil {
		c.settle(g, put, free, by)
	}
	r.mu.Unlock()
	if err != nil || len(c.records) == 0 {
		release()
		return err
	}
	return c.submit(ctx, release)
}
