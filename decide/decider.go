package decide

import (
	"context"
	"strconv"
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
	// Random returns 64 random bits: from a secure source in production, from a
	// seed where decisions are to be repeated.
	Random func() uint64
	// Features are the inputs a model scores from, kept with each decision and
	// lesson. Nil takes [Features].
	Features func(env condition.Env, context rapport.Fields) rapport.Fields
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
	// Dry decides without consequence: nothing is reserved, recorded or given.
	Dry bool
}

// Decider decides. Its methods are safe for concurrent use.
type Decider struct {
	deps    Deps
	ledgers []*ledger // per partition of the events topic
}

// New returns a Decider.
func New(d Deps) *Decider {
	if d.Features == nil {
		d.Features = Features
	}
	s := &Decider{deps: d, ledgers: make([]*ledger, d.Log.Partitions(eventlog.Events))}
	for i := range s.ledgers {
		s.ledgers[i] = &ledger{held: map[rapport.ID][]*reservation{}}
	}
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
	var made *arbitrated
	err := s.deps.Home.View(ctx, r.Person, r.Tokens, func(v *engine.View) (err error) {
		made, err = s.arbitrate(v, &r, cause)
		return err
	})
	if err != nil {
		return nil, err
	}
	d := made.decision
	if r.Dry {
		return d, nil
	}
	e := decisionEvent(d, made.entity)
	if messageID != "" {
		e.MessageID = messageID
	}
	partition := made.entity.Partition(len(s.ledgers))
	records := []eventlog.Record{engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), int32(partition))}
	err = s.deps.Log.Submit(records).Wait(ctx)
	if err != nil && ctx.Err() != nil {
		// The caller has left, the record may still be written: what it reserved stays
		// until the log has moved on.
		made.reserved.settle(made.token.Offset + abandoned)
		return nil, err
	}
	if err != nil {
		made.reserved.drop()
		return nil, rapport.Errorf(rapport.KindOf(err), "record decision: %w", err)
	}
	made.reserved.settle(records[0].Offset)
	if s.deps.Recent != nil {
		s.deps.Recent.Add(d)
	}
	return d, nil
}

// abandoned is how many records a submission nobody waits for any more may be behind.
const abandoned = 100_000

// arbitrated is a decision on its way to the log.
type arbitrated struct {
	decision *rapport.Decision
	entity   rapport.ID
	token    engine.Token
	reserved *reservation
	moment   *moment
}

// arbitrate runs on the home's goroutine.
func (s *Decider) arbitrate(v *engine.View, r *Request, cause string) (*arbitrated, error) {
	m, err := s.moment(v, r, cause)
	if err != nil {
		return nil, err
	}
	a := &arbitrated{entity: v.ID(), token: v.Token(), moment: m}
	l := s.ledgers[a.token.Partition]
	m.uses = l.pending(v, m.uses)
	d := m.arbitrate()
	a.decision = d
	id := newID(a.token.Partition, a.token.Offset, s.deps.Random())
	d.ID = formatID(id)
	d.Config = v.Config().Version
	if r.Dry {
		return a, nil
	}
	a.reserved = l.reserve(v, m, id, chosen(d))
	return a, nil
}

// moment gathers what a decision is made from.
func (s *Decider) moment(v *engine.View, r *Request, cause string) (*moment, error) {
	cfg, _ := v.Config().Part(Part).(*Config)
	p := cfg.Placement(r.Placement)
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
		config: cfg, placement: p, person: person, env: env, now: now, scorer: s.deps.Model.Knowledge(),
		features: s.deps.Features(env, r.Context), context: r.Context, limit: r.Limit, seed: s.deps.Random(), cause: cause,
	}
	if rec, ok := v.State(FoldName).(*record); ok && rec != nil {
		m.uses = rec.uses[:len(rec.uses):len(rec.uses)] // appending copies
	}
	return m, nil
}

// Explain answers why an action would be given to a person now, or why not,
// without any consequence. action may be empty: then the whole moment is told.
func (s *Decider) Explain(ctx context.Context, r Request, action string) (*Explanation, error) {
	r.Dry = true
	var x *Explanation
	err := s.deps.Home.View(ctx, r.Person, r.Tokens, func(v *engine.View) error {
		a, err := s.arbitrate(v, &r, "explain")
		if err != nil {
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
// asked for. The decision's record cancels the effect. An error other than
// Unavailable means that the effect can never be acted on.
func (s *Decider) Trigger(ctx context.Context, e engine.Effect) (*rapport.Decision, error) {
	t, err := decodeRequest(e.Payload)
	if err != nil {
		return nil, err
	}
	r := Request{Person: e.Entity, Placement: t.placement, Context: t.context, Tokens: []engine.Token{}}
	if rapport.Millis(s.deps.Clock.Now())-t.at > staleTrigger {
		return s.tooLate(ctx, e, t)
	}
	d, err := s.decide(ctx, r, "trigger "+t.trigger, e.Key)
	if rapport.KindOf(err) == rapport.NotFound {
		return s.tooLate(ctx, e, t) // the placement was taken out since
	}
	return d, err
}

// tooLate records that nothing was given to a trigger whose moment has passed.
func (s *Decider) tooLate(ctx context.Context, e engine.Effect, t triggered) (*rapport.Decision, error) {
	d := &rapport.Decision{
		Person: e.Entity, Placement: t.placement, Time: rapport.Millis(s.deps.Clock.Now()), Cause: "trigger " + t.trigger,
		Model: s.deps.Model.Knowledge().Version(), Nothing: "the moment has passed since the event of trigger " + t.trigger, Idle: 1,
		Context: t.context,
	}
	home := int32(e.Entity.Partition(len(s.ledgers)))
	_, next := s.deps.Log.Bounds(eventlog.Events, home)
	d.ID = formatID(newID(home, next-1, s.deps.Random()))
	event := decisionEvent(d, e.Entity)
	event.MessageID = e.Key
	return d, eventlog.Append(ctx, s.deps.Log, engine.EventRecord(event, engine.Fingerprint(event.Source, event.MessageID), home))
}

// decisionEvent returns the fact that a decision was made. What people look
// for on a timeline and in conditions of webhooks stands in its properties.
func decisionEvent(d *rapport.Decision, entity rapport.ID) *rapport.Event {
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
		Body: AppendDecision(make([]byte, 0, 512+48*len(d.Candidates)), d),
	}
}

// Features are the default features: hour and weekday where the person is, and
// up to 16 plain values of the context. They go into the rewards topic, which
// knows no people and so is not reached by an erasure: a text is therefore kept
// as a 32-bit hash, and a number large enough to name somebody not at all.
func Features(env condition.Env, context rapport.Fields) rapport.Fields {
	now := env.Now()
	f := make(rapport.Fields, 0, 64)
	f = rapport.AppendField(f, "hour", rapport.NumberValue(float64(now.Hour())))
	f = rapport.AppendField(f, "weekday", rapport.NumberValue(float64(now.Weekday())))
	n := 0
	for k, v := range context.All() {
		if n == maxFeatures {
			break
		}
		if len(k) > 32 {
			continue
		}
		if text, ok := v.Text(); ok {
			v = rapport.StringValue(strconv.FormatUint(mix(hashText(string(text)))>>32, 36))
		} else if x, ok := v.Number(); ok && !(x > -maxFeature && x < maxFeature) || !ok && v.Kind() != rapport.KindTrue && v.Kind() != rapport.KindFalse {
			continue
		}
		f = rapport.AppendField(f, "context."+string(k), v)
		n++
	}
	return f
}

// Limits of the default features.
const (
	maxFeatures = 16
	maxFeature  = 1e5
)

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
