package predict

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/btyd"
)

// What is needed before a model of purchases says anything.
const (
	leastPeople = 100
	leastRepeat = 30
	leastDays   = 28
	// mostPeople are fitted to; a uniform sample of more.
	mostPeople = 10_000
)

const (
	refitAfter = 24 * time.Hour
	firstWait  = time.Minute
	longWait   = time.Hour
)

// Home is where people's statistics are.
type Home interface {
	Scan(ctx context.Context, o engine.ScanOptions, fn func(worker int, v *engine.View) error) error
}

// Deps are what a Fitter needs.
type Deps struct {
	Home    Home
	Clock   rapport.Clock
	Logger  *slog.Logger
	Config  func() *engine.Config // in force now
	Publish func(ctx context.Context, m ModelDoc) error
	// History calls fn with the newest events accepted, each once, those of one
	// partition after those of another. The event is valid during the call.
	History func(ctx context.Context, fn func(e *rapport.Event) error) error
}

// Fitter fits models to what is known of everybody, off the hot path, and
// publishes them. One fit runs at a time.
type Fitter struct {
	d Deps

	wake    chan struct{} // one word is enough
	fitting sync.Mutex
	mu      sync.Mutex
	tries   map[string]try // by model
	running string         // the model being fitted
	seen    ModelHealth

	seenIntent IntentHealth
}

// try is the last try to fit a model.
type try struct {
	at     time.Time
	of     key    // what was declared then
	reason string // why there is no model, or why the fit failed
}

// NewFitter returns a Fitter; Run makes it work by itself.
func NewFitter(d Deps) *Fitter {
	return &Fitter{d: d, tries: map[string]try{}, wake: make(chan struct{}, 1)}
}

// Models lists the ids of the models.
func Models() []string { return []string{ModelPurchases, ModelTastes, ModelIntent} }

// made returns when the model in force was fitted; ok is false if there is none.
func (c *Config) made(id string) (at int64, ok bool) {
	switch {
	case id == ModelPurchases && c.purchases != nil:
		return c.purchases.Made, true
	case id == ModelTastes && c.liking != nil:
		return c.liking.Made, true
	case id == ModelIntent && c.intent != nil:
		return c.intent.Made, true
	}
	return 0, false
}

// Run fits where there is no model of what is declared yet, less and less often
// while there is not enough to learn from, and again every day.
func (f *Fitter) Run(ctx context.Context) error {
	wait := firstWait
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.d.Clock.After(wait):
			wait = min(2*wait, longWait)
		case <-f.wake:
		}
		for _, id := range Models() {
			config := configOf(f.d.Config())
			at, ok := config.made(id)
			if ok && !config.changing(id) && f.d.Clock.Now().Sub(rapport.Time(at)) < refitAfter || config.building && id != ModelIntent {
				continue
			}
			if err := f.Fit(ctx, id); err != nil && rapport.KindOf(err) != rapport.Conflict && ctx.Err() == nil {
				f.d.Logger.Warn("a model was not fitted", "model", id, "error", err)
			}
		}
	}
}

// Wake has what is declared anew fitted at once.
func (f *Fitter) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// errNotEnough is why a fit found nothing.
type errNotEnough struct{ reason string }

func (e errNotEnough) Error() string { return e.reason }

// Fit fits a model to everything acknowledged so far and publishes it. Kinds:
// NotFound, Conflict if there is not enough to learn from, Unavailable.
func (f *Fitter) Fit(ctx context.Context, id string) error {
	f.fitting.Lock()
	defer f.fitting.Unlock()
	f.set(func() { f.running = id })
	config := configOf(f.d.Config())
	now := f.d.Clock.Now()
	var m any
	var err error
	switch {
	case config.building && id != ModelIntent:
		err = rapport.Errorf(rapport.Unavailable, "history is still being read for what counts as a purchase now; the model is fitted right after")
	default:
		m, err = f.make(ctx, id, config, now)
	}
	if err == nil {
		var data []byte
		if data, err = json.Marshal(m); err == nil {
			err = f.d.Publish(ctx, ModelDoc{ID: id, Made: now.UTC().Format(time.RFC3339), Data: string(data)})
		}
	}
	f.set(func() {
		last := try{at: now, of: config.key}
		if err != nil {
			last.reason = err.Error()
		}
		f.running, f.tries[id] = "", last
	})
	var few errNotEnough
	if errors.As(err, &few) {
		return rapport.Errorf(rapport.Conflict, "not enough data: %s", few.reason)
	}
	return err
}

func (f *Fitter) make(ctx context.Context, id string, config *Config, now time.Time) (m any, err error) {
	switch id {
	case ModelPurchases:
		m, err = f.fit(ctx, config, now)
	case ModelTastes:
		m, err = f.fitTastes(ctx, config, now)
	case ModelIntent:
		m, err = f.fitIntent(ctx, config, now)
	default:
		err = rapport.Errorf(rapport.NotFound, "there is no model %s", id)
	}
	return m, err
}

func (f *Fitter) set(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// crowd is a uniform sample of the people who bought, the same for the same people.
type crowd struct {
	mu     sync.Mutex
	people []member
	below  uint64 // hashes of those who are in
}

type member struct {
	id   rapport.ID
	hash uint64
	days []btyd.DayOrders
}

func (c *crowd) wants(hash uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hash <= c.below
}

func (c *crowd) add(m member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.hash > c.below {
		return
	}
	c.people = append(c.people, m)
	if len(c.people) > mostPeople {
		c.below /= 2
		c.people = slices.DeleteFunc(c.people, func(m member) bool { return m.hash > c.below })
	}
}

// hashOf spreads people evenly: their ids are hashes behind the first byte.
func hashOf(id rapport.ID) uint64 { return binary.BigEndian.Uint64(id[4:12]) * 0x9e3779b97f4a7c15 }

// gather reads everybody's purchases under a definition up to a day.
func (f *Fitter) gather(ctx context.Context, k key, end int32) (*crowd, error) {
	c := &crowd{below: math.MaxUint64}
	err := f.d.Home.Scan(ctx, engine.ScanOptions{Background: true}, func(_ int, v *engine.View) error {
		hash := hashOf(v.ID())
		if !c.wants(hash) {
			return nil
		}
		if p, _ := v.State(FoldPurchases).(*Purchases); p != nil {
			if of := p.in(k); of != nil {
				if days := of.orders(end); len(days) > 0 {
					c.add(member{v.ID(), hash, days})
				}
			}
		}
		return nil
	})
	slices.SortFunc(c.people, func(a, b member) int { return slices.Compare(a.id[:], b.id[:]) })
	return c, err
}

func (f *Fitter) fit(ctx context.Context, config *Config, now time.Time) (*Purchasing, error) {
	end := dayOf(now.UnixMilli())
	c, err := f.gather(ctx, config.key, end)
	if err != nil {
		return nil, err
	}
	var people [][]btyd.DayOrders
	health := ModelHealth{People: len(c.people), Sampled: int(math.Round(float64(c.below) / math.MaxUint64 * 1000))}
	first := end
	var spent []btyd.Purchases
	var value, repeats float64
	for _, m := range c.people {
		people = append(people, m.days)
		first = min(first, m.days[0].Day)
		health.Orders += len(m.days)
		if _, p, _, _ := btyd.Until(m.days, end, week); p.X > 0 {
			health.Repeat++
			spent = append(spent, p)
			value += p.X * p.Mean
			repeats += p.X
		}
	}
	f.set(func() { f.seen = health })
	if health.People < leastPeople || health.Repeat < leastRepeat || end-first < leastDays {
		return nil, errNotEnough{"it takes " + count(leastPeople) + " buyers, " + count(leastRepeat) + " of them twice, over " + count(leastDays) + " days; there are " +
			count(health.People) + ", " + count(health.Repeat) + " and " + count(int(end-first))}
	}
	models, chosen := btyd.FitAll(people, end, week, nil)
	if err := ctx.Err(); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "the fit was interrupted: %w", err)
	}
	if chosen < 0 {
		return nil, errNotEnough{"no model fits: " + models[0].Err.Error()}
	}
	out := &Purchasing{
		Settings: config.key.digest, Since: config.key.since, Definition: config.settings, Made: now.UnixMilli(), End: end, Kind: models[chosen].Kind.String(), Model: *models[chosen].Model, Each: value / repeats,
	}
	for _, m := range models {
		if m.Err != nil {
			continue
		}
		k := FittedKind{Kind: m.Kind.String(), Params: m.Model.Params(), LogLikelihood: m.Model.LogLikelihood}
		if !math.IsNaN(m.Backtest) {
			k.Backtest = &m.Backtest
		}
		out.Fitted = append(out.Fitted, k)
	}
	if s, err := btyd.FitSpend(spent); err == nil {
		out.Spend = s
	} else if !errors.Is(err, btyd.ErrConstant) && !errors.Is(err, btyd.ErrTooFew) {
		return nil, err
	}
	judge(&health, people, out.Model.Kind, first, end)
	if old := config.purchases; old != nil && !config.changing(ModelPurchases) && end > old.End {
		health.Tracking = tracking(people, old, end)
	}
	out.Health = health
	return out, nil
}

func count(n int) string { return strconv.Itoa(n) }

// judge fits to two thirds of the time and compares the last third with what
// was foretold.
func judge(h *ModelHealth, people [][]btyd.DayOrders, kind btyd.Kind, first, end int32) {
	cut := first + (end-first)*2/3
	var before []btyd.History
	var gaps [][2]float64
	var made []float64
	for _, days := range people {
		past, _, g, seen := btyd.Until(days, cut, week)
		if !seen {
			continue
		}
		before = append(before, past)
		if past.X > 1 {
			gaps = append(gaps, g)
		}
		n := 0.0
		for _, d := range days {
			if d.Day > cut && d.Day <= end {
				n++
			}
		}
		made = append(made, n)
	}
	m, err := btyd.Fit(kind, before, btyd.Regularity(gaps))
	if err != nil {
		return
	}
	t := float64(end-cut) / week
	h.Coverage80, h.Calibration = m.Coverage(before, made, t), []Point{}
	for _, b := range m.Calibration(before, made, t, 10) {
		h.Calibration = append(h.Calibration, Point{round(b.Predicted), round(b.Actual), b.Count})
	}
}

// tracking compares what a model foretold since its fit with what happened.
func tracking(people [][]btyd.DayOrders, old *Purchasing, end int32) *float64 {
	var predicted, made float64
	for _, days := range people {
		h, _, _, seen := btyd.Until(days, old.End, week)
		if !seen {
			continue
		}
		predicted += old.Model.Expected(h, float64(end-old.End)/week)
		for _, d := range days {
			if d.Day > old.End && d.Day <= end {
				made++
			}
		}
	}
	if made == 0 {
		return nil
	}
	off := round((predicted - made) / made)
	return &off
}

// ModelPage is the health page of a model.
type ModelPage struct {
	ID      string        `json:"id"`
	Status  string        `json:"status" enum:"good,poor,stale,not enough data,waiting"`
	Reason  string        `json:"reason" doc:"Why the status is what it is"`
	Fitting bool          `json:"fitting"`
	Tried   *time.Time    `json:"tried" doc:"When it was last fitted, or tried to"`
	Made    *time.Time    `json:"made" doc:"When the model in force was fitted"`
	Model   *Purchasing   `json:"model,omitempty" doc:"The model of purchases"`
	Tastes  *TastesPage   `json:"tastes,omitempty" doc:"The model of tastes, its numbers left out"`
	Seen    ModelHealth   `json:"seen" doc:"What the last try to fit purchases found"`
	Intent  *IntentHealth `json:"intent,omitempty" doc:"The model of intent, its numbers left out; without a model what the last try found"`
}

// TastesPage is what people may want to know of the model of tastes.
type TastesPage struct {
	People   int           `json:"people"`
	Words    int           `json:"words"`
	Products int           `json:"products" doc:"With a pace of their own"`
	Soft     []SoftSegment `json:"softSegments"`
}

// SoftSegment is one soft segment and what makes it.
type SoftSegment struct {
	Topic int        `json:"topic"`
	ID    string     `json:"id" doc:"For segments.degree()"`
	Name  string     `json:"name"`
	Share float64    `json:"share" doc:"Of all that people do"`
	Tells []WordLift `json:"tells" doc:"What lifts it"`
}

// WordLift is how much more often something comes up in a soft segment than in all.
type WordLift struct {
	Word  string  `json:"word"`
	Lift  float64 `json:"lift"`
	Share float64 `json:"share"`
}

func (l *Liking) page(c *Config) *TastesPage {
	out := &TastesPage{People: l.People, Words: len(l.Vocabulary), Products: len(l.Products), Soft: []SoftSegment{}}
	if l.Topics == nil {
		return out
	}
	for k, id := range l.Topics.IDs {
		s := SoftSegment{Topic: id, ID: softID(id), Name: l.Names[k], Share: round(l.Topics.Share[k]), Tells: []WordLift{}}
		if d := c.soft(id); d != nil {
			s.ID, s.Name = d.ID, cmp.Or(d.Name, d.ID)
		}
		for _, t := range l.Topics.Tells(k, 5) {
			s.Tells = append(s.Tells, WordLift{l.Vocabulary[t.Word], round(t.Lift), round(t.Share)})
		}
		out.Soft = append(out.Soft, s)
	}
	return out
}

// Pages returns the health of every model.
func (f *Fitter) Pages() []ModelPage {
	config := configOf(f.d.Config())
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []ModelPage
	for _, id := range Models() {
		p := ModelPage{ID: id, Fitting: f.running == id}
		last := f.tries[id]
		if !last.at.IsZero() {
			at := last.at.UTC()
			p.Tried = &at
		}
		at, ok := config.made(id)
		switch age := f.d.Clock.Now().Sub(rapport.Time(at)); {
		case !ok && last.reason != "":
			p.Status, p.Reason = "not enough data", last.reason
		case !ok:
			p.Status, p.Reason = "waiting", "the first fit comes a minute after the start"
		case config.changing(id) && config.building:
			p.Status, p.Reason = "good", "what counts as a purchase was changed; history is being read for that, and until then the scores are what they were"
		case config.changing(id) && last.of == config.key && last.reason != "":
			p.Status, p.Reason = "stale", "what counts as a purchase was changed; the scores are what they were, because there is not enough of the new: "+last.reason
		case config.changing(id):
			p.Status, p.Reason = "good", "what counts as a purchase was changed; a model of that is being fitted, and until then the scores are what they were"
		case age > 3*refitAfter:
			p.Status, p.Reason = "stale", "it was fitted more than three days ago"
		case id == ModelPurchases:
			p.Status, p.Reason = grade(config.purchases)
		case id == ModelIntent:
			p.Status, p.Reason = gradeIntent(&config.intent.Health)
		default:
			p.Status, p.Reason = "good", "fresh"
		}
		if ok {
			made := rapport.Time(at)
			p.Made = &made
		}
		switch {
		case id == ModelPurchases:
			p.Model, p.Seen = config.purchases, f.seen
		case id == ModelTastes && config.liking != nil:
			p.Tastes = config.liking.page(config)
		case id == ModelIntent && config.intent != nil:
			h := config.intent.Health
			p.Intent = &h
		case id == ModelIntent && !last.at.IsZero():
			h := f.seenIntent
			h.Calibration, h.Inputs = []Point{}, []IntentInput{}
			p.Intent = &h
		}
		if p.Seen.Calibration == nil {
			p.Seen.Calibration = []Point{}
		}
		out = append(out, p)
	}
	return out
}

func grade(m *Purchasing) (status, reason string) {
	switch {
	case m.Health.Tracking != nil && math.Abs(*m.Health.Tracking) > 0.3:
		return "poor", "the model before it missed the purchases since its fit by more than 30 %"
	case m.Health.Coverage80 < 0.7 || m.Health.Coverage80 > 0.9:
		return "poor", "its 80 % intervals do not hold between 70 and 90 % in the backtest"
	}
	return "good", "fresh, and its intervals hold what they say"
}
