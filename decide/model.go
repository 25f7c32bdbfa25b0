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

// Run folds the rewards topic from where the model stands until ctx ends. It
// returns the error that stopped it, or nil when ctx did.
func (m *Model) Run(ctx context.Context, log eventlog.Log) error {
	r, err := log.Reader(eventlog.Rewards, 0, m.Knowledge().version+1)
	if err != nil {
		return rapport.Errorf(rapport.KindOf(err), "read rewards: %w", err)
	}
	defer r.Close()
	for {
		records, err := r.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = m.Fold(records)
		}
		if err != nil {
			return rapport.Errorf(rapport.KindOf(err), "learn from rewards: %w", err)
		}
	}
}

// Fold learns from records of the rewards topic, in order, and publishes the
// result. Records already folded are passed over.
func (m *Model) Fold(records []eventlog.Record) error {
	k := m.current.Load().edit()
	for i := range records {
		if records[i].Offset <= k.version {
			continue
		}
		if err := k.fold(&records[i]); err != nil {
			return err
		}
		k.version = records[i].Offset
	}
	m.current.Store(k.Knowledge)
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
	halfLife = 30 * 24 * time.Hour
	// memory is how many exposures of one action in one placement count at most.
	memory = 4000
)

// What is believed of an action before it was tried: a rate of 5 %, worth 20
// exposures of evidence, shared with the other actions of the placement; and,
// where money comes from the event, an amount generous enough to be tried.
const (
	priorHits     = 1
	priorWeight   = 20
	priorAmount   = 10
	priorMultiple = 40 // of the cost
)

// Knowledge is one immutable state of a [Model]. It is a [Scorer].
type Knowledge struct {
	version int64 // offset in the rewards topic, -1 before the first
	arms    map[armKey]*arm
	pools   map[poolKey]*pool
	effects map[string]*effect // by action; "" is everything together
	marks   map[int32]origin   // highest lesson taken from each source partition
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
type effect struct{ treated, held learn.Moments }

func newKnowledge() *Knowledge {
	return &Knowledge{
		version: -1, arms: map[armKey]*arm{}, pools: map[poolKey]*pool{}, effects: map[string]*effect{}, marks: map[int32]origin{},
	}
}

// Version implements [Scorer]: the offset in the rewards topic up to which was learned.
func (k *Knowledge) Version() int64 { return k.version }

// Gain implements [Scorer]: for every goal the belief about its rate times the
// belief about its amount.
func (k *Knowledge) Gain(q Query, terms []rapport.Term) (learn.Estimate, []rapport.Term) {
	a := k.arms[armKey{q.Placement, q.Action.ID}]
	var mean, variance, floor float64
	for i := range q.Action.Goals {
		g := &q.Action.Goals[i]
		rate, amount, spread := k.belief(a, q.Placement, g, q.Action.Cost)
		p, vp := rate.Mean(), rate.Variance()
		mean += p * amount
		variance += vp*spread + vp*amount*amount + spread*p*p
		if amount < 0 {
			floor = math.Inf(-1)
		}
		terms = append(terms, rapport.Term{Name: g.Event, Value: p * amount})
	}
	return learn.Estimate{Mean: mean, SD: math.Sqrt(variance), Floor: floor}, terms
}

// belief returns what is believed of one goal: its rate, its amount and the
// variance of that.
func (k *Knowledge) belief(a *arm, placement string, g *Goal, cost float64) (rate learn.Beta, amount, spread float64) {
	var all, own tried
	if p := k.pools[poolKey{placement, g.Event}]; p != nil {
		all = p.tried
	}
	if a != nil {
		if i := a.goal(g.Event); i >= 0 {
			own = a.goals[i].tried
		}
	}
	prior := (priorHits + all.hits) / (priorWeight + max(all.exposed, all.hits))
	hits := min(own.hits, own.exposed)
	rate = learn.Beta{A: priorWeight*prior + hits, B: priorWeight*(1-prior) + own.exposed - hits}
	if len(g.Value.Path) == 0 {
		return rate, g.Value.Fixed, 0
	}
	mean := (max(priorAmount, priorMultiple*cost) + all.amounts.Sum) / (1 + all.amounts.N)
	value := learn.Normal{Mean: mean, Weight: 2, Shape: 2, Scale: mean * mean / 2}.Observe(own.amounts)
	return rate, value.Mean, value.Variance()
}

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
	editing map[any]bool // pointers of the entries that are ours to change
}

func (k *Knowledge) edit() *draft {
	return &draft{
		Knowledge: &Knowledge{
			version: k.version, arms: maps.Clone(k.arms), pools: maps.Clone(k.pools), effects: maps.Clone(k.effects), marks: maps.Clone(k.marks),
		},
		editing: map[any]bool{},
	}
}

func (d *draft) fold(r *eventlog.Record) error {
	o, data, err := readOrigin(r)
	if err != nil || !d.pass(o) {
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
	if x.Goal == "" {
		a.exposed++
		a.seen++
		for _, event := range x.Goals {
			d.editPool(poolKey{x.Placement, event}, at).exposed++
			a.goals[a.goalOrNew(event)].exposed++
		}
		if a.exposed > memory {
			a.scale(memory / a.exposed)
		}
		return
	}
	for _, t := range [...]*tried{&a.goals[a.goalOrNew(x.Goal)].tried, &d.editPool(poolKey{x.Placement, x.Goal}, at).tried} {
		if x.First {
			t.hits++
			t.amounts.Add(x.After)
		} else {
			t.amounts.Replace(x.Before, x.After)
		}
	}
}

// editArm returns the arm to write to, discounted to the time at.
func (d *draft) editArm(key armKey, at int64) *arm {
	a := d.arms[key]
	if a == nil {
		a = &arm{at: at}
	} else if !d.editing[a] {
		c := *a
		c.goals = slices.Clone(a.goals)
		a = &c
	}
	d.editing[a] = true
	d.arms[key] = a
	a.scale(decay(&a.at, at))
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
	side := d.editSide(m.Action, m.Holdout)
	if m.Entered {
		side.Add(0)
	} else {
		side.Replace(m.Before, m.After)
	}
	for _, x := range m.Actions {
		d.editSide(x.Action, m.Holdout).Replace(x.Before, x.After)
	}
}

// editSide returns one side of the comparison of an action, to write to.
func (d *draft) editSide(action string, held bool) *learn.Moments {
	e := d.effects[action]
	if e == nil {
		e = &effect{}
	} else if !d.editing[e] {
		c := *e
		e = &c
	}
	d.editing[e] = true
	d.effects[action] = e
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
