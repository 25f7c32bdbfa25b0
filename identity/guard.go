package identity

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

const topicEvents = eventlog.Events

// suspects are nodes whose evidence is to be weighed anew.
type suspects struct {
	mu    sync.Mutex
	queue []rapport.ID
	known map[rapport.ID]bool
	busy  bool
	rules []*Rules      // former ones, from which the present differ in ways not weighed yet
	more  chan struct{} // capacity 1: a wake-up is not lost
	idle  chan struct{} // closed when there is nothing to do
}

func (s *suspects) open() {
	s.known, s.more, s.idle = make(map[rapport.ID]bool), make(chan struct{}, 1), make(chan struct{})
	s.more <- struct{}{} // what a former process left is looked at first
}

// rescan asks to look for what other rules than the former treat otherwise.
func (s *suspects) rescan(former *Rules) {
	s.mu.Lock()
	s.rules = append(s.rules, former)
	s.wake()
	s.mu.Unlock()
}

// former returns rules given to rescan.
func (s *suspects) former() []*Rules {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.rules
	s.rules = nil
	return list
}

func (s *suspects) add(ids ...rapport.ID) {
	if len(ids) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if !s.known[id] {
			s.known[id] = true
			s.queue = append(s.queue, id)
		}
	}
	s.wake()
}

// wake is called with mu held.
func (s *suspects) wake() {
	select {
	case <-s.idle:
		s.idle = make(chan struct{})
	default:
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// take returns what is to be weighed next; done must follow.
func (s *suspects) take(n int) []rapport.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.queue))
	out := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	for _, id := range out {
		delete(s.known, id)
	}
	s.busy = n > 0
	return out
}

func (s *suspects) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	if len(s.queue)+len(s.rules) > 0 {
		select {
		case s.more <- struct{}{}:
		default:
		}
		return
	}
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// Weighed returns once all evidence known before the call has been weighed. Run must be running.
func (r *Resolver) Weighed(ctx context.Context) error {
	r.suspects.mu.Lock()
	idle := r.suspects.idle
	r.suspects.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return rapport.Errorf(rapport.Unavailable, "evidence is still being weighed: %w", ctx.Err())
	}
}

// weighBatch is the most suspects weighed while linking waits.
const weighBatch = 64

// guard weighs the evidence of suspects.
func (r *Resolver) guard(ctx context.Context) error {
	if err := r.unfinished(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.suspects.more:
		}
		var err error
		var seeds, again []rapport.ID
		former := r.suspects.former()
		for _, rules := range former {
			err = errors.Join(err, r.adopt(ctx, rules))
		}
		if err == nil {
			seeds = r.suspects.take(weighBatch)
			again, err = r.weighAll(ctx, seeds)
			former = nil
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			r.suspects.add(again...)
			r.suspects.done()
			continue
		case rapport.KindOf(err) == rapport.Internal:
			r.suspects.done()
			return err
		}
		r.o.Logger.WarnContext(ctx, "evidence could not be weighed; trying again", slog.Any("error", err))
		r.suspects.add(seeds...)
		for _, rules := range former {
			r.suspects.rescan(rules)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.o.Clock.After(time.Second):
			r.suspects.done()
		}
	}
}

// unfinished finds the evidence a former process may not have weighed yet: held
// links without a verdict, whoever is in doubt, users united by somebody, values
// and devices that are shared by many, and who has many values.
func (r *Resolver) unfinished() error {
	it, err := r.o.State.Scan(key('r'), key('r'+1))
	if err != nil {
		return err
	}
	var seeds []rapport.ID
	for it.First(); it.Valid(); it.Next() {
		if v := it.Value(); len(v) == 17 {
			seeds = append(seeds, rapport.ID(v[:16]))
		}
	}
	least := r.Rules().least()
	r.mu.RLock()
	t := r.table
	for i := range t.n {
		x := t.at(i)
		switch rank := x.id.Rank(); {
		case t.contested[i], rank == rapport.RankUserID && x.root != i,
			rank > rapport.RankUserID && rank < rapport.RankDevice && int(x.owner) > least.people && t.junk[i] == free,
			x.root == i && t.crowded(i, least.values):
			seeds = append(seeds, x.id)
		}
	}
	var devices []rapport.ID
	for at, n := range t.intervals {
		if first := uint32(at >> 32); t.epochs(first) > least.devices && t.junk[first] == free {
			devices = append(devices, t.at(n).id)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(devices, rapport.ID.Compare)
	r.suspects.add(append(seeds, devices...)...)
	return it.Close()
}

// pause stops linking once everything known is durable and folded. Of its
// results release lets linking go on.
func (r *Resolver) pause(ctx context.Context) (release func(), err error) {
	r.linking.Lock()
	defer func() {
		if err != nil {
			r.linking.Unlock()
		}
	}()
	if r.broken {
		return nil, rapport.Errorf(rapport.Unavailable, "links cannot be recorded at the moment")
	}
	if err := r.durable(ctx); err != nil {
		return nil, err
	}
	if r.o.Settled != nil {
		if err := r.o.Settled(ctx); err != nil {
			return nil, rapport.Errorf(rapport.Unavailable, "the engine is behind: %w", err)
		}
	}
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	return r.linking.Unlock, r.journal.wait(ctx, next)
}

// weighAll weighs the evidence around some nodes, and returns those that must
// wait for what was decided.
func (r *Resolver) weighAll(ctx context.Context, seeds []rapport.ID) (again []rapport.ID, err error) {
	release, err := r.pause(ctx)
	if err != nil {
		return nil, err
	}
	c := change{r: r}
	weighed := make(map[rapport.ID]bool)
	for _, seed := range seeds {
		if weighed[seed] {
			continue
		}
		g, err := r.evidence([]rapport.ID{seed}, nil, r.Rules())
		if err != nil {
			release()
			return nil, err
		}
		if slices.ContainsFunc(g.nodes, func(id rapport.ID) bool { return weighed[id] }) {
			again = append(again, seed)
			continue
		}
		for _, id := range g.nodes {
			weighed[id] = true
		}
		again = append(again, g.left...)
		r.mu.Lock()
		c.settle(g, nil, nil, byRules)
		r.mu.Unlock()
	}
	if len(c.records) == 0 {
		release()
		return again, nil
	}
	// Nobody links until the verdict is durable, so that none rests on one that failed.
	p := r.o.Log.Submit(c.records)
	r.waiting.push(submission{pending: p, moves: c.moves})
	if err = p.Wait(ctx); err != nil && ctx.Err() == nil {
		r.broken = true // until watch has undone it
	}
	release()
	return again, err
}

// settle weighs evidence and, where the verdict differs from what is, makes it
// take effect. put and release are values somebody puts into quarantine or
// takes out of it. It is called with linking and mu held.
func (c *change) settle(g *graph, put []Quarantine, release []rapport.ID, by string) {
	t := c.r.table
	o := &op{kind: recordVerdict, at: rapport.Millis(c.r.o.Clock.Now()), by: by, release: release}
	for _, q := range put {
		g.junk[q.Node] = true
		q.By, q.final = by, true
		o.junk = append(o.junk, q)
	}
	is := func(id rapport.ID) bool {
		return slices.ContainsFunc(put, func(q Quarantine) bool { return q.Node == id })
	}
	for _, q := range g.found {
		if t.standing(q.Node) < q.standing() && !is(q.Node) {
			o.junk = append(o.junk, q)
		}
	}
	for _, id := range g.clear {
		if !is(id) && !slices.Contains(release, id) {
			o.release = append(o.release, id)
		}
	}
	v := c.r.Rules().weigh(g)
	o.parts = v.parts
	contested := make(map[rapport.ID]bool)
	for i := range g.links {
		l := &g.links[i]
		h := ref{a: l.A, b: l.B, kind: l.Kind, link: l.ID, first: g.first[l.ID]}
		if !v.counts[l.ID] {
			if l.Kind != Probable || c.r.Rules().resembling().counts(l) {
				contested[l.A], contested[l.B] = true, true
			}
			if !l.Held {
				o.hold = append(o.hold, h)
			}
		} else if l.Held {
			o.resume = append(o.resume, h)
		}
	}
	for _, id := range g.nodes {
		if contested[id] {
			o.contested = append(o.contested, id)
		}
	}
	if len(o.hold)+len(o.resume)+len(o.junk)+len(o.release) == 0 && !c.marks(o) {
		return
	}
	for i := range o.junk {
		o.junk[i].At = o.at
		if t.standing(o.junk[i].Node) == free {
			c.r.quarantined.Add(1)
		}
	}
	c.count++
	// The end of the topic, at which this will stand, tells it from any other verdict.
	_, next := c.r.o.Log.Bounds(eventlog.Identity, 0)
	o.node = c.r.sum("", "regroup "+strconv.FormatInt(next, 10)+"/"+strconv.Itoa(c.count), 0)
	c.regroup(o)
	for i := range o.junk { // what such a device does from now on is nobody's
		q := &o.junk[i]
		if n, ok := t.find(q.Node); ok && q.final && isDevice(q.Identifier.Kind) {
			epoch := t.epochs(n)
			c.enter(q.Node, c.r.Mint(q.Identifier.Kind, q.Identifier.Value, epoch), epoch)
		}
	}
}

// marks reports whether a verdict changes which nodes are contested.
func (c *change) marks(o *op) bool {
	t, n := c.r.table, 0
	for _, part := range o.parts {
		for _, id := range part {
			if i, ok := t.find(id); ok && t.contested[i] {
				n++
			}
		}
	}
	for _, id := range o.contested {
		if i, ok := t.find(id); !ok || !t.contested[i] {
			return true
		}
	}
	return n != len(o.contested)
}

// each calls yield for every key of a span of the journal.
func (j *journal) each(kind byte, yield func(key, value []byte) error) error {
	it, err := j.s.Scan(key(kind), state.PrefixEnd(key(kind)))
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		err = yield(it.Key()[len(span)+1:], it.Value())
	}
	if closed := it.Close(); err == nil {
		err = closed
	}
	return err
}
