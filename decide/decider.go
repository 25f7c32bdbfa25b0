package decide

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Home answers on the goroutine that owns a person's home ([engine.Engine]).
type Home interface {
	View(ctx context.Context, id rapport.ID, after []engine.Token, fn func(*engine.View) error) error
}

// Deps are what a Decider needs. All but Recent and Features are required.
type Deps struct {
	Home Home
	Log  eventlog.Log
	// Env gives conditions the person of a view at a time. It is used during the view only.
	Env   func(v *engine.View, now time.Time) condition.Env
	Model *Model
	// Recent, if set, is told of every decision recorded.
	Recent *Recent
	Clock  rapport.Clock
	// Reach, if set, says why a person cannot be reached through a channel now
	// (no address is known, or it is suppressed), "" if they can. It is used
	// during the view only.
	Reach func(v *engine.View, channel string) string
	// Strict, if set, reports whether nothing may be sent to a person through a
	// channel without their consent, also not by right. It is used during the view only.
	Strict func(v *engine.View, channel string) bool
	// Random returns 64 random bits: from a secure source in production, from a
	// seed where decisions are to be repeated.
	Random func() uint64
	// Features are the inputs a model scores from, kept with each decision and
	// lesson. Nil takes [Features].
	Features func(env condition.Env, context rapport.Fields) rapport.Fields
	// Scorer, if set, values actions in place of the model.
	Scorer func() Scorer
	// Made, if set, is told of every decision right before it is recorded, and
	// how long making it took by the wall clock.
	Made func(d *rapport.Decision, took time.Duration)
}

// Request asks what is the next best thing for one person.
type Request struct {
	// Person is the entity the request was resolved to.
	Person    rapport.ID
	Placement string
	// Context is what the client says of the moment.
	Context rapport.Fields
	// Limit is the most actions wanted; 0 takes the placement's slots.
	Limit int
	// Tokens name events the decision must see ([engine.Engine.View]); nil is
	// everything acknowledged before.
	Tokens []engine.Token
	// right, if set, is what an action must have to be given.
	right string
	// Dry decides without consequence: nothing is reserved, recorded or given.
	Dry bool

	planned *plan // of a trigger's request
}

// Decider decides. Its methods are safe for concurrent use.
type Decider struct {
	deps     Deps
	ledgers  []*ledger // per partition of the events topic
	treasury *treasury
	lanes    [256]chan struct{} // by hash of the person: one decision at a time
}

// New returns a Decider.
func New(d Deps) *Decider {
	if d.Features == nil {
		d.Features = Features
	}
	if d.Scorer == nil {
		d.Scorer = func() Scorer { return d.Model.Knowledge() }
	}
	s := &Decider{deps: d, ledgers: make([]*ledger, d.Log.Partitions(eventlog.Events))}
	for i := range s.ledgers {
		s.ledgers[i] = &ledger{held: map[rapport.ID][]*reservation{}}
	}
	for i := range s.lanes {
		s.lanes[i] = make(chan struct{}, 1) // who holds the token decides
	}
	s.treasury = newTreasury(d.Log, d.Model)
	return s
}

// Decide makes one decision, records it durably, and returns it. Kinds:
// NotFound for an unknown placement, Unavailable when it could not be recorded
// (nothing was given then, and nothing counts towards caps).
func (s *Decider) Decide(ctx context.Context, r Request) (*rapport.Decision, error) {
	return s.decide(ctx, r, "request", "")
}

// decide makes a decision for a cause. messageID is set for a trigger's
// request, so that the log takes it once.
func (s *Decider) decide(ctx context.Context, r Request, cause, messageID string) (*rapport.Decision, error) {
	began := time.Now()
	made, err := s.make(ctx, &r, cause)
	if err != nil {
		return nil, err
	}
	d := made.decision
	if r.Dry {
		return d, nil
	}
	if s.deps.Made != nil {
		s.deps.Made(d, time.Since(began))
	}
	body := bodies.Get().(*[]byte)
	e := decisionEvent(d, made.entity, (*body)[:0])
	if messageID != "" {
		e.MessageID = messageID
	}
	partition := made.entity.Partition(len(s.ledgers))
	records := []eventlog.Record{engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), int32(partition))}
	*body = e.Body // the record has its own copy
	bodies.Put(body)
	err = s.deps.Log.Submit(records).Wait(ctx)
	if err != nil && ctx.Err() != nil {
		// The caller has left, the record may still be written: what it reserved stays
		// until the log has moved on.
		made.reserved.settle(made.token.Offset + abandoned)
		return nil, err
	}
	if err != nil {
		made.reserved.drop()
		made.undo()
		return nil, rapport.Errorf(rapport.KindOf(err), "record decision: %w", err)
	}
	made.reserved.settle(records[0].Offset)
	if s.deps.Recent != nil {
		s.deps.Recent.Add(d)
	}
	return d, nil
}

// bodies keep the memory that decisions are encoded in, before they are copied into their records.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// abandoned is how many records a submission nobody waits for any more may be behind.
const abandoned = 100_000

// arbitrated is a decision on its way to the log.
type arbitrated struct {
	decision *rapport.Decision
	id       [16]byte
	entity   rapport.ID
	token    engine.Token
	turn     uint32
	moment   *moment
	reserved *reservation
	undo     func() // gives back what was taken of stock and budgets
}

// make makes a decision up to the point where it is reserved. The goroutine that
// owns the person is asked what only it knows, which rules hold among it; scores
// and draws are made here. Decisions for one person take turns, and one that was
// overtaken all the same (the person was asked for by two names) looks again.
func (s *Decider) make(ctx context.Context, r *Request, cause string) (*arbitrated, error) {
	lane := s.lanes[r.Person.Hash64()%uint64(len(s.lanes))]
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		var made *arbitrated
		err := s.deps.Home.View(ctx, r.Person, r.Tokens, func(v *engine.View) (err error) {
			made, err = s.look(v, r, cause, false)
			return err
		})
		if err != nil {
			return nil, err
		}
		if err := s.choose(ctx, made, r.Dry); err != nil {
			return nil, err
		}
		if r.Dry {
			return made, nil
		}
		if made.reserved = s.ledgers[made.token.Partition].reserve(made, chosen(made.decision)); made.reserved != nil {
			return made, nil
		}
		made.undo()
	}
}

// look gathers a moment and asks the rules. It runs on the home's goroutine.
// With ahead the rules about the hour are left to when it has come.
func (s *Decider) look(v *engine.View, r *Request, cause string, ahead bool) (*arbitrated, error) {
	m, err := s.moment(v, r, cause)
	if err != nil {
		return nil, err
	}
	m.ahead = ahead
	made := &arbitrated{entity: v.ID(), token: v.Token(), moment: m, undo: func() {}}
	m.uses, made.turn = s.ledgers[made.token.Partition].pending(v, m.uses)
	made.id = newID(made.token.Partition, made.token.Offset, s.deps.Random())
	m.version = v.Config().Version
	m.screen()
	return made, nil
}

// choose draws, and takes from stock and budgets what is to be given.
func (s *Decider) choose(ctx context.Context, made *arbitrated, dry bool) error {
	m := made.moment
	for {
		d := m.contend()
		d.ID, d.Config = formatID(made.id), m.version
		made.decision = d
		if dry {
			return nil
		}
		spent, action, err := s.pay(ctx, made)
		if err != nil {
			return err
		}
		if spent == nil {
			return nil
		}
		// Others were faster: it is out, and the draw is made among the rest.
		for i := range m.candidates {
			if c := &m.candidates[i]; c.Action == action {
				c.Excluded, c.Detail = RuleQuota, spent.name+" is used up for now"
			}
		}
	}
}

// pay takes one use of every quota of what is given.
func (s *Decider) pay(ctx context.Context, made *arbitrated) (spent *quota, action string, err error) {
	made.undo = func() {}
	for i := range made.decision.Items {
		a := made.moment.config.Action(made.decision.Items[i].Action)
		if len(a.quotas) == 0 {
			continue
		}
		undo, spent, err := s.treasury.take(ctx, a, made.moment.now)
		if err != nil || spent != nil {
			made.undo()
			return spent, a.ID, err
		}
		before := made.undo
		made.undo = func() { before(); undo() }
	}
	return nil, "", nil
}

// moment gathers what a decision is made from.
func (s *Decider) moment(v *engine.View, r *Request, cause string) (*moment, error) {
	cfg, _ := v.Config().Part(Part).(*Config)
	p := cfg.Placement(r.Placement)
	if r.Placement == "" && r.right != "" {
		if p = cfg.rightful(r.right); p == nil {
			return nil, rapport.Errorf(rapport.NotFound, "no action in force has the right of a %s", r.right)
		}
	}
	if p == nil {
		return nil, rapport.Errorf(rapport.NotFound, "there is no placement %q", r.Placement)
	}
	now := max(rapport.Millis(s.deps.Clock.Now()), v.Time())
	env := &overlay{Env: s.deps.Env(v, rapport.Time(now)), context: r.Context}
	person := v.PublicID()
	if person.IsZero() {
		person = v.ID()
	}
	m := &moment{
		config: cfg, placement: p, person: person, env: env, now: now, scorer: s.deps.Scorer(),
		context: r.Context, limit: r.Limit, seed: s.deps.Random(), cause: cause, planned: r.planned, right: r.right,
	}
	if rec, ok := v.State(FoldName).(*record); ok && rec != nil {
		m.uses = slices.Clone(rec.uses) // the state goes on without us
		m.past = rec.past(now, cfg)
	}
	m.spent = func(a *Action) *quota { return s.treasury.open(a, now) }
	if s.deps.Reach != nil {
		m.reach = func(channel string) string { return s.deps.Reach(v, channel) }
	}
	m.habits = s.habits(v, env.Now())
	if s.deps.Strict != nil {
		m.strict = func(channel string) bool { return s.deps.Strict(v, channel) }
	}
	liked, _ := v.State(InterestName).(*interest)
	m.features = m.gather(s.deps.Features(env, r.Context), liked)
	return m, nil
}

// habits gathers what is known of when and how the person of a view answers.
func (s *Decider) habits(v *engine.View, now time.Time) habits {
	var own *habit
	if rec, ok := v.State(FoldName).(*record); ok && rec != nil && rec.habit.at != 0 {
		own = rec.habit.clone() // the state goes on without us
	}
	rhythm, _ := v.State(InterestName).(*interest)
	return s.deps.Model.Knowledge().habitsOf(rhythm.partOfDay(now), own)
}

// Explain answers why an action would be given to a person now, or why not,
// without any consequence. action may be empty: then the whole moment is told.
func (s *Decider) Explain(ctx context.Context, r Request, action string) (*Explanation, error) {
	r.Dry = true
	var x *Explanation
	err := s.deps.Home.View(ctx, r.Person, r.Tokens, func(v *engine.View) error {
		a, err := s.look(v, &r, "explain", false)
		if err != nil {
			return err
		}
		if err := s.choose(ctx, a, true); err != nil {
			return err
		}
		if action != "" && a.moment.config.Action(action) == nil {
			return rapport.Errorf(rapport.NotFound, "there is no action %q", action)
		}
		x = Explain(a.decision)
		if action != "" {
			x.Action = a.moment.about(a.decision, action)
		}
		return nil
	})
	return x, err
}

// Trigger acts on an effect of [EffectKind]: it makes the decision a trigger
// asked for. The decision's record cancels the effect. Where what it would give
// waits for its hour, that is recorded instead and the decision is nil. An error other than
// Unavailable means that the effect can never be acted on.
func (s *Decider) Trigger(ctx context.Context, e engine.Effect) (*rapport.Decision, error) {
	t, err := decodeRequest(e.Payload)
	if err != nil {
		return nil, err
	}
	r := Request{Person: e.Entity, Placement: t.placement, Context: t.context, Tokens: []engine.Token{}, right: t.right}
	cause := t.trigger
	if t.right == "" { // what is owed by right is neither too late nor put off
		cause = "trigger " + t.trigger
		if rapport.Millis(s.deps.Clock.Now()) > max(t.at, t.until)+staleTrigger {
			return s.nothing(ctx, e, t, cause, "the moment has passed since the event of "+cause)
		}
		at, now, err := s.plan(ctx, e, t, &r)
		switch {
		case rapport.KindOf(err) == rapport.NotFound: // deciding finds it too
		case err != nil:
			return nil, err
		case !now:
			return nil, nil // it is decided later
		}
		r.planned = at
	}
	d, err := s.decide(ctx, r, cause, e.Key)
	if rapport.KindOf(err) == rapport.NotFound { // the placement was taken out since
		return s.nothing(ctx, e, t, cause, err.Error())
	}
	return d, err
}

// nothing records that nothing was given for a request, and why.
func (s *Decider) nothing(ctx context.Context, e engine.Effect, t triggered, cause, why string) (*rapport.Decision, error) {
	d := &rapport.Decision{
		Person: e.Entity, Placement: t.placement, Time: rapport.Millis(s.deps.Clock.Now()), Cause: cause,
		Model: s.deps.Model.Knowledge().Version(), Nothing: why, Idle: 1,
		Context: t.context,
	}
	home := int32(e.Entity.Partition(len(s.ledgers)))
	_, next := s.deps.Log.Bounds(eventlog.Events, home)
	d.ID = formatID(newID(home, next-1, s.deps.Random()))
	event := decisionEvent(d, e.Entity, nil)
	event.MessageID = e.Key
	return d, eventlog.Append(ctx, s.deps.Log, engine.EventRecord(event, engine.Fingerprint(event.Source, event.MessageID), home))
}

// decisionEvent returns the fact that a decision was made. What people look
// for on a timeline and in conditions of webhooks stands in its properties. Its
// body is written behind that given.
func decisionEvent(d *rapport.Decision, entity rapport.ID, body []byte) *rapport.Event {
	p := make(rapport.Fields, 0, 192)
	p = rapport.AppendField(p, "decisionId", rapport.StringValue(d.ID))
	p = rapport.AppendField(p, "placement", rapport.StringValue(d.Placement))
	if d.Cause != "request" {
		p = rapport.AppendField(p, "cause", rapport.StringValue(d.Cause))
	}
	if d.Holdout {
		p = rapport.AppendField(p, "holdout", rapport.BoolValue(true))
	}
	if len(d.Items) > 0 {
		c := &d.Items[0]
		p = rapport.AppendField(p, "action", rapport.StringValue(c.Action))
		if c.Channel != "" {
			p = rapport.AppendField(p, "channel", rapport.StringValue(c.Channel))
		}
		if c.Purpose != "" {
			p = rapport.AppendField(p, "purpose", rapport.StringValue(c.Purpose))
		}
		if n := len(d.Items); n > 1 {
			p = rapport.AppendField(p, "actions", rapport.NumberValue(float64(n)))
		}
	} else {
		p = rapport.AppendField(p, "nothing", rapport.StringValue(d.Nothing))
	}
	return &rapport.Event{
		Type: rapport.TypeSystem, Name: rapport.SystemDecision, MessageID: d.ID, Source: "rapport", Entity: entity,
		Timestamp: d.Time, OriginalTimestamp: d.Time, ReceivedAt: d.Time, Properties: p,
		Body: AppendDecision(body, d),
	}
}

// SeededRandom returns a source of 64-bit numbers for [Deps.Random] that is
// fixed by a seed; safe for concurrent use.
func SeededRandom(seed uint64) func() uint64 {
	var mu sync.Mutex
	x := seed
	return func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		x += 0x9e3779b97f4a7c15
		return mix(x)
	}
}

// DecisionOf reads the decision out of a "Decision Made" event; ok is false for any other.
func DecisionOf(e *rapport.Event) (d *rapport.Decision, ok bool) {
	if e.Type != rapport.TypeSystem || e.Name != rapport.SystemDecision {
		return nil, false
	}
	d, err := DecodeDecision(e.Body)
	return d, err == nil
}
