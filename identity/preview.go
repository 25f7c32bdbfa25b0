package identity

import (
	"context"
	"log/slog"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Preview is what a change of the rules would do to the people who are known.
type Preview struct {
	// Links is how many known links were looked at, People how many persons they make now.
	Links  int `json:"links"`
	People int `json:"people"`
	// Apart is the number of persons that would come apart, Together of those that would be united.
	Apart    int `json:"apart"`
	Together int `json:"together"`
	// Hold and Resume are links that would cease to count, or count again.
	Hold   int `json:"hold"`
	Resume int `json:"resume"`
	// Quarantine and Release are values that would go into quarantine or out of it, up to 100 each.
	Quarantine []Quarantine `json:"quarantine"`
	Release    []Quarantine `json:"release"`
	// Examples are links that would change, up to 20.
	Examples []PreviewLink `json:"examples"`
}

// PreviewLink is a link a change of the rules would change.
type PreviewLink struct {
	Link   Link `json:"link"`
	Counts bool `json:"counts"` // it would count, else it would not any more
}

const (
	previewValues   = 100
	previewExamples = 20
)

// same reports whether two rules treat values alike.
func (k *rule) same(o *rule) bool {
	if k == o {
		return true
	}
	if k.weak != o.weak || k.people != o.people || k.values != o.values || k.window != o.window || len(k.block) != len(o.block) || len(k.patterns) != len(o.patterns) {
		return false
	}
	for v := range k.block {
		if !o.block[v] {
			return false
		}
	}
	for i, p := range k.patterns {
		if p.String() != o.patterns[i].String() {
			return false
		}
	}
	return true
}

// affected calls yield for a node of every link that two sets of rules may treat
// in different ways.
func (r *Resolver) affected(before, after *Rules, yield func(rapport.ID) error) error {
	kinds := make(map[string]bool)
	differs := func(kind string) bool {
		d, known := kinds[kind]
		if !known {
			d = !before.of(kind).same(after.of(kind))
			kinds[kind] = d
		}
		return d
	}
	alike := before.resembling().same(after.resembling())
	return r.journal.each('n', func(k, value []byte) error {
		l, err := decodeEntry(rapport.ID(k[:16]), LinkID(k[16:32]), value)
		if err != nil || l.Withdrawn != nil {
			return err
		}
		if l.Kind == Probable && !alike || differs(l.Identifiers[0].Kind) || differs(l.Identifiers[1].Kind) {
			return yield(l.A)
		}
		return nil
	})
}

// Preview tells what other rules would do, without doing it. Kind: Unavailable.
func (r *Resolver) Preview(ctx context.Context, rules *Rules) (p Preview, err error) {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if err := r.journal.wait(ctx, next); err != nil {
		return p, err
	}
	p.Quarantine, p.Release, p.Examples = []Quarantine{}, []Quarantine{}, []PreviewLink{}
	seen := make(map[rapport.ID]bool)
	free, err := r.freed(ctx, rules)
	if err != nil {
		return p, err
	}
	for _, q := range free {
		if len(p.Release) < previewValues {
			p.Release = append(p.Release, q)
		}
	}
	ids := make([]rapport.ID, len(free))
	for i := range free {
		ids[i] = free[i].Node
	}
	look := func(seeds ...rapport.ID) error {
		if seeds = slices.DeleteFunc(seeds, func(id rapport.ID) bool { return seen[id] }); len(seeds) == 0 {
			return ctx.Err()
		}
		g, err := r.evidence(seeds, ids, rules)
		if err != nil {
			return err
		}
		for _, id := range g.nodes {
			seen[id] = true
		}
		p.add(r, g, rules)
		return nil
	}
	for i := range free {
		seeds, err := r.around(end{&free[i].Identifier, free[i].Node})
		if err != nil {
			return p, err
		}
		if err := look(seeds...); err != nil {
			return p, err
		}
	}
	err = r.affected(r.Rules(), rules, func(id rapport.ID) error { return look(id) })
	return p, err
}

func (p *Preview) add(r *Resolver, g *graph, rules *Rules) {
	v := rules.weigh(g)
	for _, q := range g.found {
		if r.standing(q.Node) == free && len(p.Quarantine) < previewValues {
			p.Quarantine = append(p.Quarantine, q)
		}
	}
	for _, l := range g.links {
		p.Links++
		if v.counts[l.ID] != l.Held {
			continue
		}
		if l.Held {
			p.Resume++
		} else {
			p.Hold++
		}
		if len(p.Examples) < previewExamples {
			p.Examples = append(p.Examples, PreviewLink{l, l.Held})
		}
	}
	now := make(map[rapport.ID]map[int]bool)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i, part := range v.parts {
		persons := make(map[rapport.ID]bool)
		for _, id := range part {
			person := r.table.person(id)
			persons[person] = true
			if now[person] == nil {
				now[person] = make(map[int]bool)
			}
			now[person][i] = true
		}
		if len(persons) > 1 {
			p.Together++
		}
	}
	p.People += len(now)
	for _, parts := range now {
		if len(parts) > 1 {
			p.Apart++
		}
	}
}

// freed returns the values rules had put into quarantine that other rules would not.
func (r *Resolver) freed(ctx context.Context, rules *Rules) (out []Quarantine, err error) {
	list, err := r.Quarantined(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range list {
		if q.By != byRules {
			continue
		}
		junk, err := newReading(r, rules, []rapport.ID{q.Node}).junk(end{&q.Identifier, q.Node})
		if err != nil {
			return nil, err
		}
		if !junk {
			out = append(out, q)
		}
	}
	return out, nil
}

// byRules is the author of what the rules decide.
const byRules = "rules"

// SetRules puts rules in force: for what comes at once, for what is known as soon
// as it has been weighed anew; see Weighed. Values the former rules had put into
// quarantine and these would not are released. Rules that say the same change nothing.
func (r *Resolver) SetRules(rules *Rules) {
	before := r.rules.Swap(rules)
	if !before.same(rules) {
		r.suspects.rescan(before)
	}
	if !before.resembling().follows(rules.resembling()) {
		r.changes.again()
	}
}

// same reports whether two sets of rules treat all identifiers alike.
func (r *Rules) same(o *Rules) bool {
	if !r.resembling().same(o.resembling()) {
		return false
	}
	for _, x := range [...]*Rules{r, o} {
		if x == nil {
			continue
		}
		for kind := range x.kinds {
			if !r.of(kind).same(o.of(kind)) {
				return false
			}
		}
	}
	return true
}

// adopt finds what is to be weighed anew because the rules changed.
func (r *Resolver) adopt(ctx context.Context, before *Rules) error {
	rules := r.Rules()
	free, err := r.freed(ctx, rules)
	if err != nil {
		return err
	}
	for _, q := range free {
		if err := r.Release(ctx, q.Identifier, byRules); err != nil && rapport.KindOf(err) == rapport.Unavailable {
			return err
		} else if err != nil {
			r.o.Logger.Warn("a value stays in quarantine", slog.Any("error", err))
		}
	}
	var last rapport.ID
	return r.affected(before, rules, func(id rapport.ID) error {
		if id != last {
			r.suspects.add(id)
		}
		last = id
		return nil
	})
}
