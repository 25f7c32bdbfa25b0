package evaluate

import (
	"context"
	bigendian "encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/glm"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/sim"
	"github.com/rapport-engine/rapport/state"
)

// host decides as a server does: engine, folds, model and decider over a log in
// memory, in virtual time.
type host struct {
	ctx     context.Context
	log     *eventlogtest.Memory
	clock   *playClock
	engine  *engine.Engine
	model   *decide.Model
	decider *decide.Decider
	batch   segmentwire.Batch
	events  int
	asked   int
	err     error
	stop    func()
}

// playClock stands where the play is.
type playClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *playClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *playClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.now) {
		c.now = t
	}
}

// After implements rapport.Clock: nothing here waits for time to pass.
func (c *playClock) After(time.Duration) <-chan time.Time { return nil }

// teachEvery is after how many decisions the model folds what it was taught.
const teachEvery = 50

// worldDocuments is the configuration that a world's file implies: its actions
// with what a click is worth in itself, what they cost and that being annoying costs.
func worldDocuments(w *sim.World) decide.Documents {
	docs := decide.Documents{Policies: []decide.PolicyDoc{{
		ID: "default", Holdout: 0.05,
		Goals:    []decide.GoalDoc{{Event: rapport.EventDecisionDismissed, Within: rapport.Duration(time.Hour), Value: decide.FixedAmount(-w.Annoyance)}},
		Features: []string{"traits.country", "traits.locale"},
	}}}
	for _, p := range w.Placements {
		docs.Placements = append(docs.Placements, decide.PlacementDoc{ID: p.ID, Exposure: "shown"})
	}
	for i := range w.Actions {
		a := &w.Actions[i]
		var earned decide.Amount
		_ = earned.UnmarshalText([]byte("properties.earned")) // it is a path
		kind := rapport.ActionRecommendation
		switch {
		case a.Answers != "":
			kind = rapport.ActionQuestion
			docs.Policies[0].Features = append(docs.Policies[0].Features, "traits."+a.Answers)
		case a.Discount > 0:
			kind = rapport.ActionOffer
		}
		docs.Actions = append(docs.Actions, decide.ActionDoc{
			ID: a.ID, Type: kind, Placements: slices.Clone(a.Placements), Cost: a.Cost, About: subjects(w, a),
			Goals: []decide.GoalDoc{
				{Event: "Order Completed", Within: rapport.Duration(3 * 24 * time.Hour), Value: earned},
				{Event: rapport.EventDecisionClicked, Within: rapport.Duration(time.Hour), Value: decide.FixedAmount(a.Worth)},
			},
		})
	}
	return docs
}

// subjects names what an action is about, as a shop knows it: its product and
// the category of that, or its category.
func subjects(w *sim.World, a *sim.Action) (names []string) {
	if a.Category != "" {
		names = append(names, a.Category)
	}
	for i := range w.Products {
		if p := &w.Products[i]; p.SKU == a.SKU {
			names = append(names, p.SKU, p.Category)
		}
	}
	return names
}

func newHost(ctx context.Context, w *sim.World, seed uint64) (*host, error) {
	return newHostWith(ctx, worldDocuments(w), seed, nil)
}

func newHostWith(ctx context.Context, docs decide.Documents, seed uint64, scorer func() decide.Scorer) (h *host, err error) {
	compiled, err := decide.Compile(docs)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rapport-world-")
	if err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "make a temporary folder: %w", err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := state.Open(state.Options{Dir: dir, Logger: quiet})
	if err != nil {
		return nil, err
	}
	h = &host{ctx: ctx, log: eventlogtest.NewMemory(1), clock: &playClock{now: playBegin}, model: decide.NewModel()}
	h.log.Clock = h.clock
	zones := &profile.Zones{}
	config := engine.NewConfig(1, map[string]any{decide.Part: compiled, profile.Part: profile.Compile(compiled.Conditions())})
	env := func(c *engine.Context, e *rapport.Event) condition.Env { return profile.EventEnv(c, zones, e) }
	h.engine, err = engine.Open(engine.Options{
		Log: h.log, Store: store, Clock: h.clock, Logger: quiet,
		Folds: []engine.Fold{
			profile.ActivityFold{},
			profile.ConsentFold{},
			profile.AboutFold{},
			profile.AggregateFold{},
			decide.InterestFold{},
			decide.Fold{Env: env},
		},
		Configs: func(int64) (*engine.Config, error) { return config, nil },
		Limits:  engine.Limits{CacheBytes: 256 << 20},
	})
	if err != nil {
		return nil, err
	}
	h.decider = decide.New(decide.Deps{
		Home: h.engine, Log: h.log, Model: h.model, Clock: h.clock, Random: decide.SeededRandom(seed + 1), Scorer: scorer,
		Env: func(v *engine.View, now time.Time) condition.Env {
			return profile.ViewEnv(v, zones, rapport.Millis(now), nil)
		},
	})
	run, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.engine.Run(run) // a failure shows in the next view
	}()
	h.stop = func() {
		cancel()
		<-done
		_ = store.Close()
		_ = os.RemoveAll(dir)
	}
	if err := eventlog.Append(ctx, h.log, engine.BarrierRecords(1, 1)...); err != nil {
		h.stop()
		return nil, err
	}
	if err := h.engine.Ready(ctx); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

func (h *host) close() { h.stop() }

// entity is who a shopper is to the engine.
func entity(s *sim.Shopper) (id rapport.ID) {
	id[0] = byte(rapport.RankUserID)
	bigendian.BigEndian.PutUint64(id[8:], uint64(s.Index)+1)
	r := rand.New(rand.NewPCG(uint64(s.Index), 5))
	bigendian.BigEndian.PutUint32(id[1:], r.Uint32())
	return id
}

// Collect implements sim.Host.
func (h *host) Collect(s *sim.Shopper, event []byte, history bool) {
	if h.err != nil {
		return
	}
	now := rapport.Millis(h.clock.Now())
	h.batch.Reset()
	err := segmentwire.Parse(event, &segmentwire.Options{ReceivedAt: now, Now: now, History: history, HistoryAfter: 1 << 50}, &h.batch)
	if err != nil || len(h.batch.Events) != 1 {
		h.err = rapport.Errorf(rapport.Internal, "an event of the world does not read: %v", err)
		return
	}
	e := &h.batch.Events[0]
	if !history && e.Timestamp > now {
		h.clock.set(rapport.Time(e.Timestamp))
		e.ReceivedAt = e.Timestamp
	}
	e.Source, e.Entity, e.Fragment = "world", entity(s), entity(s)
	h.events++
	h.err = eventlog.Append(h.ctx, h.log, engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), 0))
}

// Decide implements sim.Host.
func (h *host) Decide(q *sim.Question) sim.Answer {
	if h.err != nil {
		return sim.Answer{}
	}
	h.clock.set(q.Time)
	if h.asked++; h.asked%teachEvery == 0 {
		h.teach()
	}
	context := rapport.AppendField(nil, "page", rapport.StringValue(q.Page))
	context = rapport.AppendField(context, "channel", rapport.StringValue(q.Channel))
	if q.SKU != "" {
		context = rapport.AppendField(context, "category", rapport.StringValue(q.Category))
		context = rapport.AppendField(context, "sku", rapport.StringValue(q.SKU))
	}
	d, err := h.decider.Decide(h.ctx, decide.Request{Person: entity(q.Shopper), Placement: q.Placement, Context: context})
	if err != nil {
		h.err = err
		return sim.Answer{}
	}
	a := sim.Answer{Decision: d.ID, Holdout: d.Holdout}
	for _, x := range d.Items {
		a.Actions = append(a.Actions, x.Action)
		a.Explored = a.Explored || x.Explored
	}
	return a
}

// teach lets the model fold every lesson caused so far, so that what is known
// at a decision does not depend on how fast this machine is.
func (h *host) teach() {
	if h.err = h.engine.View(h.ctx, rapport.ID{}, nil, func(*engine.View) error { return nil }); h.err != nil {
		return
	}
	if h.err = h.engine.Flush(h.ctx); h.err != nil {
		return
	}
	from := h.model.Knowledge().Version() + 1
	_, next := h.log.Bounds(eventlog.Rewards, 0)
	if from >= next {
		return
	}
	r, err := h.log.Reader(eventlog.Rewards, 0, from)
	if err != nil {
		h.err = err
		return
	}
	defer r.Close()
	for h.err == nil && h.model.Knowledge().Version() < next-1 {
		records, err := r.Next(h.ctx)
		if err != nil {
			h.err = err
			return
		}
		h.err = h.model.Fold(records)
	}
}

// onlooker is a scorer that knows the truth of the moment at hand, for what is
// fitted to it, and once fitted scores by what can be observed alone.
type onlooker struct {
	truth    *watcher
	question *sim.Question
	rows     map[string]*glm.Matrix // by placement and action
	values   map[string][]float64
	fitted   map[string]*glm.Model
	r        *rand.Rand
}

func (o *onlooker) Version() int64 { return 0 }

func (o *onlooker) Harm(string, *decide.PauseDoc) string { return "" }

func (o *onlooker) Terms(*decide.Query, *decide.Action, decide.Sight, []rapport.Term) []rapport.Term {
	return nil
}

// Score implements decide.Scorer.
func (o *onlooker) Score(q *decide.Query, actions []*decide.Action, seen []decide.Sight, out []learn.Estimate) {
	for i, a := range actions {
		key := q.Placement + "/" + a.ID
		inputs := decide.Inputs(q.Features, seen[i].Seen)
		row := make([]glm.Feature, 0, len(inputs))
		for _, f := range inputs {
			row = append(row, glm.Feature{Index: int32(f.Slot), Value: float64(f.Value)})
		}
		if o.fitted != nil {
			out[i] = exactly(o.fitted[key].Predict(row))
			continue
		}
		if o.rows[key] == nil {
			o.rows[key] = &glm.Matrix{}
		}
		o.rows[key].Append(row...)
		o.values[key] = append(o.values[key], o.truth.value(o.question, a.ID))
		out[i] = exactly(o.r.Float64()) // shown at random meanwhile
	}
}

// fit fits what can be observed to the truth.
func (o *onlooker) fit() {
	o.fitted = map[string]*glm.Model{}
	for _, key := range byName(o.rows) {
		x, y := o.rows[key], o.values[key]
		rows := make([]int, x.Len())
		for i := range rows {
			rows[i] = i
		}
		o.fitted[key] = glm.Fit(x, y, rows, glm.Options{})
	}
	o.rows, o.values = nil, nil
}

// onlookerHost tells the onlooker which question is asked.
type onlookerHost struct {
	*host
	onlooker *onlooker
}

func (h onlookerHost) Decide(q *sim.Question) sim.Answer {
	h.onlooker.question = q
	return h.host.Decide(q)
}

// observable returns what the best policy brings that sees no more than a
// server does: for every action the truth itself is regressed, without noise,
// on all features a decision has, as noted in one play of some decisions at
// random, and then it plays itself.
func (w WorldOptions) observable(ctx context.Context, seed uint64, noted int) (*sim.Played, error) {
	o := &onlooker{truth: newWatcher(w.World, seed), rows: map[string]*glm.Matrix{}, values: map[string][]float64{}, r: rand.New(rand.NewPCG(seed, 23))}
	docs := worldDocuments(w.World)
	none := 0.0
	docs.Policies[0].Exploration, docs.Policies[0].Holdout = &none, 0
	var out *sim.Played
	for _, decisions := range [2]int{noted, w.Decisions} {
		h, err := newHostWith(ctx, docs, seed, func() decide.Scorer { return o })
		if err != nil {
			return nil, err
		}
		out = w.World.Play(sim.PlayOptions{Host: onlookerHost{h, o}, Decisions: decisions, Seed: seed, Begin: playBegin})
		h.close()
		if h.err != nil {
			return nil, h.err
		}
		if o.fitted == nil {
			o.fit()
		}
	}
	return out, nil
}
