package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Who is how one person is known.
type Who struct {
	Person rapport.ID `json:"person"`
	// Fragments are the identifiers and device intervals of the person, the
	// one that names it first.
	Fragments []rapport.ID `json:"fragments"`
	// Links are those that stand, oldest first.
	Links []Link `json:"links"`
	// Withdrawn are links that were taken back; one end may be a stranger now.
	Withdrawn []Link `json:"withdrawn,omitempty"`
	// Held are links that are known and do not count; see Link.Held.
	Held []Link `json:"held,omitempty"`
}

// Ref returns the entity a reference names: the public id of a person, or an
// identifier as "userId:x", "anonymousId:x", "email:x", "phone:x" or
// "kind:x". Whether anything is known of it is not said. It returns Invalid
// for anything else.
func (r *Resolver) Ref(ref string) (rapport.ID, error) {
	if strings.HasPrefix(ref, "p_") {
		id, err := rapport.ParseID(ref)
		if err != nil {
			return id, err
		}
		return r.Person(id), nil
	}
	kind, value, ok := strings.Cut(ref, ":")
	if !ok || kind == "" || !isPlain(kind) {
		return rapport.ID{}, rapport.Errorf(rapport.Invalid, "a person is named by p_..., userId:..., anonymousId:..., email:... or phone:...")
	}
	if value, ok = r.Normalize(kind, value); !ok {
		return rapport.ID{}, rapport.Errorf(rapport.Invalid, "this is no %s that names a person", kind)
	}
	return r.Identified(rapport.Identifier{Kind: kind, Value: value}), nil
}

// Identified returns the entity of an identifier in normal form; of a device,
// whoever owns the interval it is in.
func (r *Resolver) Identified(i rapport.Identifier) rapport.ID {
	id := r.mint1(&i)
	r.mu.RLock()
	defer r.mu.RUnlock()
	n, ok := r.table.find(id)
	if !ok {
		return id
	}
	if isDevice(i.Kind) {
		n = r.table.current(n)
	}
	return r.table.root(n)
}

// Who returns how a person is known, every link durable before the call
// included. A person in no link has itself as the only fragment.
func (r *Resolver) Who(ctx context.Context, person rapport.ID) (Who, error) {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if err := r.journal.wait(ctx, next); err != nil {
		return Who{}, err
	}
	r.mu.RLock()
	nodes := r.table.memberIDs(person)
	r.mu.RUnlock()
	return r.who(nodes)
}

func (r *Resolver) who(nodes []rapport.ID) (Who, error) {
	stand, withdrawn, held, err := r.journal.links(nodes)
	if err != nil {
		return Who{}, err
	}
	byAge := func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.At, b.At), slices.Compare(a.ID[:], b.ID[:]))
	}
	slices.SortFunc(stand, byAge)
	slices.SortFunc(withdrawn, byAge)
	slices.SortFunc(held, byAge)
	slices.SortFunc(nodes[1:], rapport.ID.Compare)
	return Who{Person: nodes[0], Fragments: nodes, Links: stand, Withdrawn: withdrawn, Held: held}, nil
}

// freeze stops linking and returns how a person is known at this moment, with
// the function that lets linking go on.
func (r *Resolver) freeze(ctx context.Context, person rapport.ID) (who Who, release func(), err error) {
	r.linking.Lock()
	defer func() { // release is only given to who succeeds
		if err != nil {
			r.linking.Unlock()
		}
	}()
	if r.broken {
		return who, nil, rapport.Errorf(rapport.Unavailable, "links cannot be recorded at the moment")
	}
	if err := r.durable(ctx); err != nil {
		return who, nil, err
	}
	if r.o.Settled != nil {
		if err := r.o.Settled(ctx); err != nil {
			return who, nil, rapport.Errorf(rapport.Unavailable, "the engine is behind: %w", err)
		}
	}
	who, err = r.Who(ctx, person)
	return who, r.linking.Unlock, err
}

// Unmerge withdraws a link of a person: what only it held together comes
// apart, and the states with it. A link that is held is refused by it. by names
// who asks. It returns once that is durable. The same evidence does not make the
// link again, except that a device starts a new interval, which the next sign-in
// on it may own.
//
// Kinds: NotFound (no such link), Conflict (withdrawn already), Unavailable.
func (r *Resolver) Unmerge(ctx context.Context, person rapport.ID, link LinkID, by string) error {
	who, release, err := r.freeze(ctx, person)
	if err != nil {
		return err
	}
	is := func(l Link) bool { return l.ID == link }
	c := change{r: r}
	r.mu.Lock()
	switch at, held := slices.IndexFunc(who.Links, is), slices.IndexFunc(who.Held, is); {
	case at >= 0:
		c.withdraw(who, at, by)
		c.seeds = append(c.seeds, who.Links[at].A, who.Links[at].B)
	case held >= 0:
		c.refuse(who.Held[held], by)
	default:
		r.mu.Unlock()
		release()
		if slices.ContainsFunc(who.Withdrawn, is) {
			return rapport.Errorf(rapport.Conflict, "link %s was withdrawn already", link)
		}
		return rapport.Errorf(rapport.NotFound, "person %s has no link %s", who.Person, link)
	}
	r.mu.Unlock()
	return c.submit(ctx, release)
}

// refuse withdraws a link that is held.
func (c *change) refuse(link Link, by string) {
	o := &op{kind: recordWithdraw, link: link, at: rapport.Millis(c.r.o.Clock.Now()), by: by}
	if link.Kind == Device {
		o.first = c.r.mint1(&link.Identifiers[0])
	}
	c.apply(o)
	c.seeds = append(c.seeds, link.A, link.B)
	c.leave(&link)
}

// leave makes a device enter a new interval if the one it is in was taken from
// its owner with a link.
func (c *change) leave(link *Link) {
	if link.Kind != Device {
		return
	}
	t, device := c.r.table, c.r.mint1(&link.Identifiers[0])
	c.seeds = append(c.seeds, device)
	if first, ok := t.find(device); ok && t.at(t.current(first)).id == link.A {
		epoch := t.epochs(first)
		c.enter(device, c.r.Mint(link.Identifiers[0].Kind, link.Identifiers[0].Value, epoch), epoch)
	}
}

// submit hands the change to the log, lets linking go on, and waits.
func (c *change) submit(ctx context.Context, release func()) error {
	p := c.r.o.Log.Submit(c.records)
	c.r.waiting.push(submission{pending: p, moves: c.moves})
	release()
	c.r.suspects.add(c.seeds...)
	return p.Wait(ctx)
}

func (c *change) withdraw(who Who, at int, by string) {
	t, link := c.r.table, who.Links[at]
	o := &op{kind: recordWithdraw, link: link, at: rapport.Millis(c.r.o.Clock.Now()), by: by}
	rest := slices.Delete(slices.Clone(who.Links), at, at+1)
	o.parts = components(who.Fragments, rest)
	if link.Kind == Device {
		o.first = c.r.Mint(link.Identifiers[0].Kind, link.Identifiers[0].Value, 0)
	}
	c.apply(o)
	c.leave(&link)
	partitions := c.r.o.Log.Partitions(eventlog.Events)
	for _, part := range o.parts {
		target := t.person(part[0])
		if target == who.Person {
			continue
		}
		for _, fragment := range part {
			c.move(move{from: who.Person, to: target, split: true, fragments: []rapport.ID{fragment}},
				engine.SplitRecords(partitions, who.Person, fragment, target, link.ID.String())...)
		}
	}
}

// components returns the parts into which links join nodes, in the order of nodes.
func components(nodes []rapport.ID, links []Link) [][]rapport.ID {
	up := make(map[rapport.ID]rapport.ID, len(nodes))
	root := func(id rapport.ID) rapport.ID {
		for up[id] != id {
			up[id] = up[up[id]]
			id = up[id]
		}
		return id
	}
	for _, n := range nodes {
		up[n] = n
	}
	for _, l := range links {
		up[root(l.A)] = root(l.B)
	}
	var parts [][]rapport.ID
	place := make(map[rapport.ID]int, len(nodes))
	for _, n := range nodes {
		p, ok := place[root(n)]
		if !ok {
			p = len(parts)
			place[root(n)] = p
			parts = append(parts, nil)
		}
		parts[p] = append(parts[p], n)
	}
	return parts
}
