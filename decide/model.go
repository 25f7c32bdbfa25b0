package decide

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// Model learns what actions are worth by folding the rewards topic. Reading is
// lock-free: Knowledge is replaced, never changed. Two models that folded the
// same records know the same, whatever the batches.
type Model struct {
	current atomic.Pointer[Knowledge]
}

// NewModel returns a model that knows nothing yet.
func NewModel() *Model {
	m := &Model{}
	m.current.Store(newKnowledge())
	return m
}

// Knowledge returns what is known now.
func (m *Model) Knowledge() *Knowledge { return m.current.Load() }

// learnEvery is how long lessons are gathered that are learned at once. What a
// new state takes (copies of what changed, a board for each placement) is more
// than a lesson does, and a few lessons come of every decision.
const learnEvery = 50 * time.Millisecond

// Run folds the rewards topic from where the model stands until ctx ends, a
// moment's lessons at a time. It returns the error that stopped it, or nil when
// ctx did.
func (m *Model) Run(ctx context.Context, log eventlog.Log) error {
	r, err := log.Reader(eventlog.Rewards, 0, m.Knowledge().version+1)
	if err != nil {
		return rapport.Errorf(rapport.KindOf(err), "read rewards: %w", err)
	}
	defer r.Close()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		if err := m.round(ctx, log, r); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return rapport.Errorf(rapport.KindOf(err), "learn from rewards: %w", err)
		}
		rest.Reset(learnEvery)
		select {
		case <-rest.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// round waits for lessons, learns all there are and publishes the result.
func (m *Model) round(ctx context.Context, log eventlog.Log, r eventlog.Reader) error {
	records, err := r.Next(ctx)
	if err != nil {
		return err
	}
	_, next := log.Bounds(eventlog.Rewards, 0)
	k := m.current.Load().edit()
	for {
		if err := k.foldAll(records); err != nil {
			return err
		}
		if k.version+1 >= next {
			break
		}
		if records, err = r.Next(ctx); err != nil {
			return err
		}
	}
	m.publish(k)
	return nil
}

// Fold learns from records of the rewards topic, in order, and publishes the
// result. Records already folded are passed over.
func (m *Model) Fold(records []eventlog.Record) error {
	k := m.current.Load().edit()
	if err := k.foldAll(records); err != nil {
		return err
	}
	m.publish(k)
	return nil
}

func (m *Model) publish(k *draft) {
	k.judge(k.judged)
	m.current.Store(k.Knowledge)
}

func (d *draft) foldAll(records []eventlog.Record) error {
	for i := range records {
		if records[i].Offset <= d.version {
			continue
		}
		if err := d.fold(&records[i]); err != nil {
			return err
		}
		d.version = records[i].Offset
	}
	return nil
}

// Snapshot returns the state in a binary form, for [Model.Restore].
func (m *Model) Snapshot() []byte { return m.Knowledge().Snapshot() }

// Restore replaces the state. The error is Internal if b does not read.
func (m *Model) Restore(b []byte) error {
	k, err := decodeKnowledge(b)
	if err == nil {
		m.current.Store(k)
	}
	return err
}

// How fast the model forgets, so that it follows a change of taste.
const (
	halfLife = 90 * 24 * time.Hour
	// memory is how many exposures of one action in one placement count at most.
	memory = 4000
)

// What is believed of an action's worth before it was tried, where money comes
// from the event: an amount generous enough to be tried.
const (
	priorAmount   = 10
	priorMultiple = 40 // of the cost
)

// Knowledge is one immutable state of a [Model]. It is a [Scorer].
type Knowledge struct {
	version int64 // offset in the rewards topic, -1 before the first
	arms    map[armKey]*arm
	pools   map[poolKey]*pool
	prices  map[uint32]learn.Moments // of one line of an order, by key of interest
	shared  map[beliefKey]*shared
	effects map[string]*effect // by action; "" is everything together
	leases  map[string]lease   // by quota
	// suspects are the actions that seem to harm; it follows from effects.
	suspects map[string]struct{}
	marks    map[int32]origin // highest lesson taken from each source partition
	// examples were seen in all; scatter is what their features look like, and
	// basis the axes found in that (nil before the first).
	examples int64
	scatter  *bandit.Scatter
	basis    *bandit.Basis
	relief   *bandit.Relief // along the axes, of clicks
	crowds   *crowds
	boards   boards // made of the above
}

var _ Scorer = (*Knowledge)(nil)

type armKey struct{ placement, action string }

type poolKey struct{ placement, event string }

// arm is what is known of one action in one placement.
type arm struct {
	at      int64   // to which time the figures are discounted
	exposed float64 // exposures
	seen    int64   // exposures, not discounted
	goals   []reached
	widened int64 // to which time the beliefs are made less sure
	beliefs []belief
}

// reached sums up one goal of an arm.
type reached struct {
	event string
	tried
}

// pool sums up one goal of all actions of a placement: what is believed of an
// action before it was tried.
type pool struct {
	at int64
	tried
}

// tried sums up attempts: how many worked and what they brought.
type tried struct {
	exposed float64
	hits    float64
	amounts learn.Moments
}

// effect compares people who were treated with those held out.
type effect struct {
	treated, held learn.Paired
}

func newKnowledge() *Knowledge {
	return &Knowledge{
		version: -1, arms: map[armKey]*arm{}, pools: map[poolKey]*pool{}, shared: map[beliefKey]*shared{},
		effects: map[string]*effect{}, prices: map[uint32]learn.Moments{}, leases: map[string]lease{}, marks: map[int32]origin{}, crowds: &crowds{},
	}
}

// Version implements [Scorer]: the offset in the rewards topic up to which was learned.
func (k *Knowledge) Version() int64 { return k.version }

func (a *arm) goal(event string) int {
	return slices.IndexFunc(a.goals, func(r reached) bool { return r.event == event })
}

func (a *arm) goalOrNew(event string) int {
	i := a.goal(event)
	if i < 0 {
		i = len(a.goals)
		a.goals = append(a.goals, reached{event: event})
	}
	return i
}

// draft is a Knowledge under construction: entries are copied when first touched.
type draft struct {
	*Knowledge
	judged  []string     // actions whose comparison changed
	editing map[any]bool // pointers of the entries that are ours to change
	priced  bool         // prices are
}

func (k *Knowledge) edit() *draft {
	return &draft{
		Knowledge: &Knowledge{
			version: k.version, arms: maps.Clone(k.arms), pools: maps.Clone(k.pools), prices: k.prices, shared: maps.Clone(k.shared),
			effects: maps.Clone(k.effects), leases: maps.Clone(k.leases), suspects: k.suspects, marks: maps.Clone(k.marks),
			examples: k.examples, scatter: k.scatter, basis: k.basis, relief: k.relief, crowds: k.crowds,
		},
		editing: map[any]bool{},
	}
}

func (d *draft) fold(r *eventlog.Record) error {
	o, data, err := readOrigin(r)
	if err != nil || o.partition != LeaseOrigin && !d.pass(o) {
		return err
	}
	l, err := DecodeLesson(data)
	if err != nil {
		return rapport.Errorf(rapport.Internal, "rewards record %d: %w", r.Offset, err)
	}
	if l.Example != nil {
		d.example(l.Example, r.Time)
	}
	if l.Measure != nil {
		d.measure(l.Measure)
	}
	if l.Lease != nil {
		d.lease(l.Lease)
	}
	if l.Order != nil {
		d.order(l.Order)
	}
	if l.Send != nil {
		d.send(l.Send, r.Time)
	}
	return nil
}

// pass reports whether a lesson is new: its source may have sent it twice.
func (d *draft) pass(o origin) bool {
	last, known := d.marks[o.partition]
	if known && (o.offset < last.offset || o.offset == last.offset && o.n <= last.n) {
		return false
	}
	d.marks[o.partition] = o
	return true
}

func (d *draft) example(x *Example, at int64) {
	a := d.editArm(armKey{x.Placement, x.Action}, at)
	own := a
	if x.Action != "" {
		own = d.editArm(armKey{everywhere, x.Action}, at)
		own.tally(x)
	}
	d.learn(a, own, x, at)
	a.tally(x)
	switch {
	case x.Action == "":
	case x.Goal == "":
		for _, event := range x.Goals {
			d.editPool(poolKey{x.Placement, event}, at).exposed++
		}
	case x.Goal == clicked:
		d.editPool(poolKey{x.Placement, clicked}, at).hits++
	default:
		count(&d.editPool(poolKey{x.Placement, x.Goal}, at).tried, x)
		d.yield(x, at)
		if x.First && !x.Via {
			d.editPool(poolKey{x.Placement, unclicked(x.Goal)}, at).hits++
		}
	}
}

// tally counts an example.
func (a *arm) tally(x *Example) {
	switch x.Goal {
	case "":
		a.exposed++
		a.seen++
		for _, event := range x.Goals {
			a.goals[a.goalOrNew(event)].exposed++
		}
		if a.exposed > memory {
			a.scale(memory / a.exposed)
		}
	case clicked:
	default:
		count(&a.goals[a.goalOrNew(x.Goal)].tried, x)
	}
}

func count(t *tried, x *Example) {
	if x.First {
		t.hits++
		t.amounts.Add(x.After)
	} else {
		t.amounts.Replace(x.Before, x.After)
	}
}

// editArm returns the arm to write to, discounted to the time at.
func (d *draft) editArm(key armKey, at int64) *arm {
	a := d.arms[key]
	if a == nil {
		a = &arm{at: at, widened: at}
	} else if !d.editing[a] {
		c := *a
		c.goals = slices.Clone(a.goals)
		c.beliefs = slices.Clone(a.beliefs)
		for i := range c.beliefs {
			c.beliefs[i].weights = a.beliefs[i].weights.Clone()
		}
		a = &c
	}
	d.editing[a] = true
	d.arms[key] = a
	a.scale(decay(&a.at, at))
	if at-a.widened > widenEvery {
		f := decay(&a.widened, at)
		for i := range a.beliefs {
			a.beliefs[i].weights.Fade(f, key.prior(a.beliefs[i].outcome, d.relief))
		}
	}
	return a
}

// editPool returns the pool to write to, discounted to the time at.
func (d *draft) editPool(key poolKey, at int64) *pool {
	p := d.pools[key]
	if p == nil {
		p = &pool{at: at}
	} else if !d.editing[p] {
		c := *p
		p = &c
	}
	d.editing[p] = true
	d.pools[key] = p
	p.scale(decay(&p.at, at))
	return p
}

func (d *draft) measure(m *Measure) {
	e := d.editEffect(m.Action)
	if m.Entered {
		e.side(m.Holdout).Enter(m.Covariate)
	} else {
		e.side(m.Holdout).Change(m.Covariate, m.Before, m.After)
	}
	for _, x := range m.Actions {
		d.editEffect(x.Action).side(x.Held).Change(m.Covariate, x.Before, x.After)
	}
}

// editEffect returns the comparison of an action, to write to.
func (d *draft) editEffect(action string) *effect {
	e := d.effects[action]
	if e != nil && d.editing[e] {
		return e
	}
	own := &effect{}
	if e != nil {
		*own = *e
	}
	d.editing[own] = true
	d.effects[action] = own
	d.judged = append(d.judged, action)
	return own
}

// judge notes which of the comparisons that changed look like harm.
func (k *Knowledge) judge(actions []string) {
	if len(actions) == 0 {
		return
	}
	k.suspects = maps.Clone(k.suspects)
	for _, action := range actions {
		if action != "" && k.effects[action].harmed() {
			if k.suspects == nil {
				k.suspects = map[string]struct{}{}
			}
			k.suspects[action] = struct{}{}
		} else {
			delete(k.suspects, action)
		}
	}
}

func (e *effect) side(held bool) *learn.Paired {
	if held {
		return &e.held
	}
	return &e.treated
}

// decay moves the reference time forward and returns by what older figures shrink.
func decay(at *int64, now int64) float64 {
	if now <= *at {
		return 1
	}
	f := math.Exp2(-float64(now-*at) / float64(halfLife.Milliseconds()))
	*at = now
	return f
}

func (a *arm) scale(f float64) {
	if f == 1 {
		return
	}
	a.exposed *= f
	for i := range a.goals {
		a.goals[i].scale(f)
	}
}

func (t *tried) scale(f float64) {
	t.exposed *= f
	t.hits *= f
	t.amounts.Scale(f)
}
