package identity

import (
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Stamped is what stamping a batch of events asks of the door.
type Stamped struct {
	// Records go into the same submission as the events, after them. They are
	// the new links and what these change; usually there are none.
	Records []eventlog.Record

	r     *Resolver
	moves []move
	seeds []rapport.ID
}

// Submitted tells that the records were handed to the log in submission p. It
// must follow Stamp at once, or Cancel must: until then nobody else can link.
func (s *Stamped) Submitted(p eventlog.Pending) {
	if s.r == nil {
		return
	}
	s.r.waiting.push(submission{pending: p, moves: s.moves})
	s.r.linking.Unlock()
	s.r.suspects.add(s.seeds...)
	s.r = nil
}

// Cancel tells that the records will not be submitted.
func (s *Stamped) Cancel() {
	if s.r == nil {
		return
	}
	r := s.r
	s.r = nil
	r.broken = true
	r.waiting.push(submission{pending: cancelled{}, moves: s.moves})
	r.linking.Unlock()
}

// Stamp fills Entity and Fragment of events accepted together, in order. When
// an event brings a link that is new, the link takes effect at once and its
// records are in the result. Events must have their Identifiers. Without a new
// link Stamp takes no exclusive lock and allocates nothing.
//
// It returns Unavailable while a failed submission is being undone and a link
// would have to be made; the door answers that the client should come again.
func (r *Resolver) Stamp(events []rapport.Event) (Stamped, error) {
	if r.stampKnown(events) {
		return Stamped{}, nil
	}
	r.linking.Lock()
	if r.broken {
		r.linking.Unlock()
		return Stamped{}, rapport.Errorf(rapport.Unavailable, "links cannot be recorded at the moment")
	}
	c := change{r: r}
	r.mu.Lock()
	for i := range events {
		e := &events[i]
		c.link(e)
		r.resolve(e)
	}
	for i := range events { // links of later events count for earlier ones of the batch
		events[i].Entity = r.table.person(events[i].Fragment)
	}
	r.mu.Unlock()
	if len(c.records) == 0 {
		r.linking.Unlock()
		return Stamped{}, nil
	}
	return c.stamped(), nil
}

func (r *Resolver) stampKnown(events []rapport.Event) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := range events {
		if !r.resolve(&events[i]) {
			return false
		}
	}
	return true
}

// resolve stamps an event by what is known and reports whether it brings nothing new.
func (r *Resolver) resolve(e *rapport.Event) bool {
	if len(e.Identifiers) == 0 {
		e.Entity, e.Fragment = rapport.ID{}, rapport.ID{}
		return true
	}
	t := r.table
	ids := e.Identifiers
	if len(t.junk) > 0 {
		var names [16]rapport.Identifier
		ids = r.useful(names[:0], ids)
	}
	strong := r.mint1(&ids[0])
	at, linked := t.find(strong)
	e.Fragment, e.Entity = strong, strong
	if isDevice(ids[0].Kind) {
		if linked {
			n := t.current(at)
			e.Fragment, e.Entity = t.at(n).id, t.root(n)
		}
		return true
	}
	if linked {
		e.Entity = t.root(at)
	}
	for i := range ids[1:] {
		other := &ids[1+i]
		id := r.mint1(other)
		if isDevice(other.Kind) {
			first, ok := t.find(id)
			if !ok || !linked || t.at(t.current(first)).owner != at+1 {
				return false
			}
		} else if id != strong && !t.pairs.has(pair(Verified, id, strong)) {
			return false
		}
	}
	if e.Type == rapport.TypeAlias {
		prev, ok := previous(e)
		return !ok || t.pairs.has(pair(Alias, r.mint1(&prev), strong))
	}
	return true
}

// useful returns the identifiers that name somebody; if none does, the
// strongest alone, which then is a person of its own.
func (r *Resolver) useful(out, ids []rapport.Identifier) []rapport.Identifier {
	for i := range ids {
		if !r.nameless(&ids[i]) {
			out = append(out, ids[i])
		}
	}
	if len(out) == 0 {
		return ids[:1]
	}
	return out
}

// nameless reports whether an identifier names nobody, so that an event with it
// is stamped by its others. What is in quarantine provisionally does name
// somebody: only so is the evidence the same whenever it is weighed. But if the
// verdict lags behind, it is not recorded without end.
func (r *Resolver) nameless(i *rapport.Identifier) bool {
	t := r.table
	n, ok := t.find(r.mint1(i))
	if !ok {
		return false
	}
	switch t.junk[n] {
	case provisional:
		limit := r.Rules().of(i.Kind).people
		return limit > 0 && t.seenWith(n) > 2*enough(limit)
	case final:
		return true
	}
	return false
}

func (r *Resolver) mint1(i *rapport.Identifier) rapport.ID { return r.Mint(i.Kind, i.Value, 0) }

// isDevice reports whether a kind names a device, which owns intervals, rather than a person.
func isDevice(kind string) bool { return rapport.RankOf(kind) >= rapport.RankDevice }

// previous returns the user an alias call names beside the user it is for.
func previous(e *rapport.Event) (rapport.Identifier, bool) {
	prev, ok := Normalize(rapport.KindUserID, e.PreviousID)
	if !ok || slices.ContainsFunc(e.Identifiers, func(i rapport.Identifier) bool { return i.Value == prev }) {
		return rapport.Identifier{}, false // of itself, or of the device it was sent from
	}
	return rapport.Identifier{Kind: rapport.KindUserID, Value: prev}, true
}

// change collects ops that were applied to the table and their records. Its
// methods are called with linking and mu held.
type change struct {
	r       *Resolver
	records []eventlog.Record
	moves   []move
	seeds   []rapport.ID // whose evidence is to be weighed
	count   int          // verdicts so far
}

func (c *change) stamped() Stamped {
	return Stamped{Records: c.records, r: c.r, moves: c.moves, seeds: c.seeds}
}

// apply makes an op take effect, and asks the engine to bring the states together.
func (c *change) apply(o *op) {
	var ending []rapport.ID
	if o.kind == recordLink {
		ending = c.r.table.ending(o.link.A, o.link.B)
	}
	from, to, merged := c.r.table.apply(o)
	c.records = append(c.records, eventlog.Record{Topic: eventlog.Identity, Kind: o.kind, Data: appendOp(make([]byte, 0, 256), o)})
	if merged {
		c.move(move{from: from, to: to, fragments: ending},
			engine.MergeRecord(c.r.o.Log.Partitions(eventlog.Events), from, to, o.link.ID.String()))
	}
}

func (c *change) move(m move, records ...eventlog.Record) {
	m.record = records[0]
	_, m.after = c.r.o.Log.Bounds(eventlog.Events, m.record.Partition)
	c.moves = append(c.moves, m)
	c.records = append(c.records, records...)
}

// link makes the links an event brings.
func (c *change) link(e *rapport.Event) {
	ids := e.Identifiers
	if len(c.r.table.junk) > 0 && len(ids) > 0 {
		ids = c.r.useful(nil, ids)
	}
	if len(ids) == 0 || isDevice(ids[0].Kind) {
		return
	}
	strong := end{&ids[0], c.r.mint1(&ids[0])}
	for i := range ids[1:] {
		other := end{&ids[1+i], c.r.mint1(&ids[1+i])}
		if isDevice(other.name.Kind) {
			c.signIn(e, other, strong)
		} else {
			c.unite(e, Verified, other, strong)
		}
	}
	if e.Type != rapport.TypeAlias {
		return
	}
	if prev, ok := previous(e); ok {
		user := end{&prev, c.r.mint1(&prev)}
		if c.r.table.pairs.has(pair(Alias, user.id, strong.id)) {
			return
		}
		c.unite(e, Alias, user, strong)
		// The call does not say which kind of id the previous one is. If it is a
		// device's, what was done there joins, unless it is somebody's already.
		device := rapport.Identifier{Kind: rapport.KindAnonymousID, Value: prev.Value}
		first := c.r.mint1(&device)
		if n, ok := c.r.table.find(first); !ok || c.r.table.at(c.r.table.current(n)).owner == 0 {
			c.signIn(e, end{&device, first}, strong)
		}
	}
}

// end is one end of a link.
type end struct {
	name *rapport.Identifier
	id   rapport.ID
}

func (c *change) unite(e *rapport.Event, kind Kind, a, b end) {
	t := c.r.table
	if a.id == b.id || t.pairs.has(pair(kind, a.id, b.id)) {
		return
	}
	c.connect(c.r.newLink(e, kind, a, b))
}

// connect makes a link. Evidence that would unite two who are known to be
// different, or that is weak, is held; whatever is in doubt is weighed.
func (c *change) connect(link Link) {
	t, o, rules := c.r.table, &op{kind: recordLink, link: link}, c.r.Rules()
	rule := rules.of(link.Identifiers[0].Kind)
	weak := link.Kind == Probable && !rules.resembling().counts(&link)
	switch {
	case weak, link.Kind == Verified && rule.weak, t.standing(link.A) != free, t.standing(link.B) != free, !rules.unites(&link) && t.different(link.A, link.B):
		o.kind = recordHeld
	case !c.fits(link.A, link.B):
		return
	}
	doubt := o.kind == recordHeld && !weak || len(t.contested) > 0 && (t.inDoubt(link.A) || t.inDoubt(link.B))
	c.apply(o)
	c.r.linked.Add(1)
	n, _ := t.find(link.A)
	if m, _ := t.find(link.B); link.Kind == Verified {
		owners := t.seenWith(n)
		doubt = doubt || rule.people > 0 && owners > rule.people || rule.window > 0 && owners > 1 || t.crowded(m, rule.values)
	}
	if doubt {
		c.seeds = append(c.seeds, link.A)
	}
}

// signIn gives the device's running interval to who signed in, if it is
// nobody's; else the device enters the interval that is theirs, or a new one.
func (c *change) signIn(e *rapport.Event, device, who end) {
	t := c.r.table
	node, epoch, busy := device.id, uint32(0), false
	if first, ok := t.find(device.id); ok {
		running := t.current(first)
		owner, known := t.find(who.id)
		if known && t.at(running).owner == owner+1 {
			return
		}
		node, epoch, busy = t.at(running).id, t.epochs(first)-1, t.at(running).owner != 0
		if n, theirs := t.owned(first, owner); busy && known && theirs {
			c.enter(device.id, t.at(n).id, 0)
			return
		}
		if busy {
			epoch++
			node = c.r.Mint(device.name.Kind, device.name.Value, epoch)
		}
	}
	held := t.standing(device.id) != free || t.standing(who.id) != free
	if !held && !c.fits(node, who.id) {
		if busy { // what follows is not the one's who was signed in before
			c.enter(device.id, node, epoch)
		}
		return
	}
	link := c.r.newLink(e, Device, end{device.name, node}, who)
	link.Epoch = epoch
	people := c.r.Rules().of(device.name.Kind).people
	doubt := held || people > 0 && epoch >= uint32(people) || len(t.contested) > 0 && t.inDoubt(who.id)
	o := &op{kind: recordLink, link: link, first: device.id}
	if held {
		o.kind = recordHeld
	}
	c.apply(o)
	c.r.linked.Add(1)
	if doubt {
		c.seeds = append(c.seeds, who.id)
	}
}

// enter makes a device enter an interval.
func (c *change) enter(first, node rapport.ID, epoch uint32) {
	n, _ := c.r.table.find(first)
	c.apply(&op{kind: recordInterval, first: first, node: node, epoch: epoch, turn: c.r.table.turn(n) + 1})
}

// fits reports whether two people are together within the limit.
func (c *change) fits(a, b rapport.ID) bool {
	t, size := c.r.table, 0
	na, oka := t.find(a)
	nb, okb := t.find(b)
	if oka && okb && t.at(na).root == t.at(nb).root {
		return true
	}
	for _, n := range []struct {
		at uint32
		ok bool
	}{{na, oka}, {nb, okb}} {
		if n.ok {
			size += t.size(n.at, c.r.o.MaxIdentifiers)
		} else {
			size++
		}
	}
	if size > c.r.o.MaxIdentifiers {
		c.r.refused.Add(1)
		return false
	}
	return true
}

func (r *Resolver) newLink(e *rapport.Event, kind Kind, a, b end) Link {
	return Link{
		ID: r.link(kind, a.id, b.id), Kind: kind,
		Evidence: e.Type.String() + " " + e.MessageID, At: e.ReceivedAt, By: e.Source,
		A: a.id, B: b.id, Identifiers: [2]rapport.Identifier{*a.name, *b.name},
	}
}
