package identity

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn/linkage"
)

// byLikeness is the author of probable links.
const byLikeness = "likeness"

// Bounds on the work of following source records.
const (
	followBatch = 256  // records looked at, or links written, at once
	sameBits    = 0.05 // a weight that moved less is the same
)

// follower compares source records as they come, off the hot path, and keeps
// who lives together. What it finds enters the log as links, held or counting,
// and as new weights of links; nobody folds anything else of it. What it has in
// memory is built anew from the people at every start.
type follower struct {
	r      *Resolver
	rules  *Rules // those the index was built under
	schema linkage.Schema
	index  *linkage.Index // nil: nobody is compared
	at     map[rapport.ID]int
	nodes  []rapport.ID         // by record; zero: removed
	names  []rapport.Identifier // by record
	known  map[LinkID]scored
	round  uint32
	todo   []scored
}

// scored is a probable link as it stands in the log, or is about to.
type scored struct {
	a, b    rapport.ID // the greater first
	names   [2]rapport.Identifier
	bits    float64
	steps   []Step
	model   int64
	guarded bool
	made    bool // it stands in the log, and counted if counted is set
	counted bool
	round   uint32
}

// follow keeps up with source records until ctx ends.
func (r *Resolver) follow(ctx context.Context) error {
	f := follower{r: r, schema: linkage.Person()}
	r.changes.watched.Store(true)
	for all := true; ; {
		r.changes.noticed()
		if rules := r.Rules(); !f.rules.resembling().follows(rules.resembling()) || f.index != nil && f.index.Gone() > 10_000+f.index.Len()/2 {
			all = true
		}
		err := f.look(ctx, &all)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			continue
		case rapport.KindOf(err) == rapport.Internal:
			return err
		}
		r.o.Logger.WarnContext(ctx, "source records could not be compared; beginning anew", slog.Any("error", err))
		all = true
		select {
		case <-ctx.Done():
			return nil
		case <-r.o.Clock.After(time.Second):
		}
	}
}

// look looks at everybody, or at who changed, and waits if nobody did.
func (f *follower) look(ctx context.Context, all *bool) error {
	if *all {
		if err := f.everybody(ctx); err != nil {
			return err
		}
		*all = false
		return nil
	}
	nodes, erased, everybody := f.r.changes.take(followBatch)
	switch {
	case everybody:
		*all = true
		return nil
	case len(nodes) == 0:
		f.r.changes.rest()
		select {
		case <-ctx.Done():
		case <-f.r.changes.more:
		}
		return nil
	}
	if erased && f.r.o.Settled != nil { // or what they said is still there
		if err := f.r.o.Settled(ctx); err != nil {
			return err
		}
	}
	for _, node := range nodes {
		s, ok, err := f.r.o.Sources.Source(ctx, node)
		if err != nil {
			return err
		}
		if !ok {
			s = Source{Node: node}
		}
		if err := f.take(ctx, &s); err != nil {
			return err
		}
	}
	return f.flush(ctx)
}

// everybody builds the index from all source records there are.
func (f *follower) everybody(ctx context.Context) error {
	rules := f.r.Rules()
	f.rules, f.index, f.at, f.nodes, f.names, f.known, f.todo = rules, nil, nil, nil, nil, nil, nil
	f.r.alike.records.Store(0)
	l := rules.resembling()
	if l.on() {
		f.at = make(map[rapport.ID]int)
		f.index = linkage.NewIndex(l.model, linkage.Options{Threshold: l.review})
		if err := f.load(ctx); err != nil {
			return err
		}
	}
	// All first: comparing them takes longer than the people may wait.
	var nodes []rapport.ID
	var names []rapport.Identifier
	var records []linkage.Record
	if err := f.r.o.Sources.Each(ctx, func(s Source) error {
		if err := f.r.live(&s); err != nil {
			return err
		}
		if l.on() {
			if rec := f.schema.Record(s.Values); !rec.Empty(len(f.schema)) {
				nodes, names, records = append(nodes, s.Node), append(names, s.Name), append(records, rec)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if !l.on() {
		return nil
	}
	f.round++
	for i := range nodes {
		f.r.alike.progress("comparing", i, len(nodes))
		f.add(nodes[i], names[i], records[i])
		if len(f.todo) >= followBatch {
			if err := f.flush(ctx); err != nil {
				return err
			}
		}
		if i%1024 == 0 && (ctx.Err() != nil || !f.rules.resembling().follows(f.r.Rules().resembling())) {
			return ctx.Err() // other rules: anew
		}
	}
	for _, id := range f.stale() {
		k := f.known[id]
		i, a := f.at[k.a]
		j, b := f.at[k.b]
		switch {
		case a && b:
			f.weaken(id, f.index.Record(i), f.index.Record(j))
		default:
			f.weaken(id, "", "")
		}
		if len(f.todo) >= followBatch {
			if err := f.flush(ctx); err != nil {
				return err
			}
		}
	}
	f.r.alike.progress("", 0, 0)
	return f.flush(ctx)
}

// stale returns the links that were not found again, in order.
func (f *follower) stale() (ids []LinkID) {
	for id, k := range f.known {
		if k.round != f.round {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b LinkID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// load reads the probable links there are. Those of which a verdict may be
// missing are weighed.
func (f *follower) load(ctx context.Context) error {
	_, next := f.r.o.Log.Bounds(eventlog.Identity, 0)
	if err := f.r.journal.wait(ctx, next); err != nil {
		return err
	}
	f.known = make(map[LinkID]scored)
	var doubt []rapport.ID
	err := f.r.journal.each('n', func(k, value []byte) error {
		if Kind(value[0]) != Probable {
			return nil
		}
		l, err := decodeEntry(rapport.ID(k[:16]), LinkID(k[16:32]), value)
		if err != nil || l.Withdrawn != nil {
			return err
		}
		f.known[l.ID] = scored{a: l.A, b: l.B, bits: l.Bits, model: l.Model, guarded: l.Guarded, made: true, counted: f.rules.resembling().counts(&l)}
		if f.rules.resembling().counts(&l) == l.Held {
			doubt = append(doubt, l.A)
		}
		return nil
	})
	f.r.suspects.add(doubt...)
	return err
}

// take looks at one source record that may have changed.
func (f *follower) take(ctx context.Context, s *Source) error {
	if err := f.r.live(s); err != nil || f.index == nil {
		return err
	}
	rec := f.schema.Record(s.Values)
	before := make(map[LinkID]int)
	i, had := f.at[s.Node]
	if had && f.index.Record(i) == rec || !had && rec.Empty(len(f.schema)) {
		return nil
	}
	f.round++
	if had {
		f.index.Pairs(i, func(j int, _ float64, _ bool) {
			id, _, _ := f.link(i, j)
			before[id] = j
		})
		f.index.Remove(i)
		delete(f.at, s.Node)
		f.nodes[i], f.names[i] = rapport.ID{}, rapport.Identifier{}
	}
	f.add(s.Node, s.Name, rec)
	gone := make([]LinkID, 0, len(before))
	for id := range before {
		if k, ok := f.known[id]; ok && k.round != f.round {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(gone, func(a, b LinkID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range gone {
		f.weaken(id, rec, f.index.Record(before[id]))
	}
	if len(f.todo) < followBatch {
		return nil
	}
	return f.flush(ctx)
}

// add adds a record and finds out what changes by it.
func (f *follower) add(node rapport.ID, name rapport.Identifier, rec linkage.Record) {
	if !rec.Empty(len(f.schema)) {
		f.at[node] = f.index.Add(rec)
		f.nodes, f.names = append(f.nodes, node), append(f.names, name)
	}
	f.r.alike.records.Store(int64(len(f.at)))
	for _, i := range f.index.Touched() {
		if !f.nodes[i].IsZero() {
			f.index.Pairs(i, func(j int, bits float64, together bool) { f.pair(i, j, bits, !together || f.between(i, j)) })
		}
	}
}

// mostAround is how many records of a cluster are looked at for strangers.
const mostAround = 32

// between reports whether a pair is part of what would make one person of two
// who are certainly strangers: whoever could be either is for somebody to decide.
func (f *follower) between(i, j int) bool {
	around := f.index.Members(i)
	if len(around) < 3 {
		return false
	}
	for _, k := range around[:min(len(around), mostAround)] {
		if k != i && f.index.Strangers(k, i) || k != j && f.index.Strangers(k, j) {
			return true
		}
	}
	return false
}

// link returns the link between two records: its id and ends, the greater first.
func (f *follower) link(i, j int) (id LinkID, a, b int) {
	if f.nodes[i].Compare(f.nodes[j]) < 0 {
		i, j = j, i
	}
	return f.r.link(Probable, f.nodes[i], f.nodes[j]), i, j
}

// pair notes what two records that resemble each other say now.
func (f *follower) pair(i, j int, bits float64, guarded bool) {
	version := f.rules.resembling().version
	id, a, b := f.link(i, j)
	k, known := f.known[id]
	if known && k.guarded == guarded && k.model == version && math.Abs(k.bits-bits) < sameBits {
		k.round = f.round
		f.known[id] = k
		return
	}
	if !known {
		f.r.mu.RLock()
		refused := f.r.table.pairs.has(pair(Probable, f.nodes[a], f.nodes[b]))
		f.r.mu.RUnlock()
		if refused { // somebody took it back
			return
		}
	}
	total, steps := f.steps(f.index.Record(a), f.index.Record(b))
	s := scored{
		a: f.nodes[a], b: f.nodes[b], names: [2]rapport.Identifier{f.names[a], f.names[b]},
		bits: total, steps: steps, model: version, guarded: guarded, made: k.made, counted: k.counted, round: f.round,
	}
	f.note(id, s)
}

// note queues a link to be written. What was known of it before is kept until then.
func (f *follower) note(id LinkID, s scored) {
	f.todo = append(f.todo, s)
	s.steps, s.names = nil, [2]rapport.Identifier{}
	f.known[id] = s
}

// weaken notes that two who resembled each other do not any more.
func (f *follower) weaken(id LinkID, a, b linkage.Record) {
	k := f.known[id]
	f.todo = slices.DeleteFunc(f.todo, func(s scored) bool { return s.a == k.a && s.b == k.b })
	if !k.made {
		delete(f.known, id)
		return
	}
	l := f.rules.resembling()
	bits, steps := l.model.Prior, []Step(nil)
	if !a.Empty(len(f.schema)) && !b.Empty(len(f.schema)) {
		bits, steps = f.steps(a, b)
	}
	same := k.model == l.version && math.Abs(k.bits-bits) < sameBits
	k.bits, k.steps, k.round, k.guarded, k.model = bits, steps, f.round, false, l.version
	if f.known[id] = k; !same {
		f.note(id, k)
	}
}

// steps scores two records and tells the parts, the odds of two strangers first.
func (f *follower) steps(a, b linkage.Record) (float64, []Step) {
	m := f.rules.resembling().model
	total, parts := linkage.Score(m, a, b)
	out := append(make([]Step, 0, len(parts)+1), Step{Field: "prior", Bits: m.Prior})
	for _, p := range parts {
		out = append(out, Step{p.Field, p.Level.String(), p.Bits, p.Rarity})
	}
	return total, out
}

// flush writes what was noted.
func (f *follower) flush(ctx context.Context) error {
	if len(f.todo) == 0 {
		return nil
	}
	todo := f.todo
	f.todo = nil
	r := f.r
	r.linking.Lock()
	if r.broken {
		r.linking.Unlock()
		return rapport.Errorf(rapport.Unavailable, "links cannot be recorded at the moment")
	}
	c := change{r: r}
	now := rapport.Millis(r.o.Clock.Now())
	alike := r.Rules().resembling()
	r.mu.Lock()
	for i := range todo {
		s := &todo[i]
		if r.changes.erased(s.a) || r.changes.erased(s.b) {
			continue
		}
		l := Link{
			ID: r.link(Probable, s.a, s.b), Kind: Probable, Evidence: "likeness " + strconv.FormatInt(s.model, 10), At: now, By: byLikeness,
			A: s.a, B: s.b, Identifiers: s.names, Bits: s.bits, Model: s.model, Steps: s.steps, Guarded: s.guarded,
		}
		counts := alike.counts(&l)
		if s.made || c.r.table.pairs.has(pair(Probable, s.a, s.b)) {
			c.apply(&op{kind: recordScore, link: l})
			if counts != s.counted {
				c.seeds = append(c.seeds, l.A, l.B)
			}
		} else {
			c.connect(l)
		}
		if k, ok := f.known[l.ID]; ok {
			k.made, k.counted = c.r.table.pairs.has(pair(Probable, s.a, s.b)), counts
			f.known[l.ID] = k
		}
	}
	r.alike.links.Store(int64(len(f.known)))
	r.mu.Unlock()
	if len(c.records) == 0 {
		r.linking.Unlock()
		return nil
	}
	return c.submit(ctx, r.linking.Unlock)
}
