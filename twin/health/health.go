// Package health folds an item's telemetry into how it fares: what is not usual
// for it, when what is in it runs out, and when a line is crossed at which it
// needs service.
//
// Guarantees: a health is a pure fold of the item's readings, of bounded size;
// a reading is judged by that item's own past alone; one story alarms once; a
// forecast that cannot be made is absent, not guessed.
package health

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/anomaly"
	"github.com/rapport-engine/rapport/learn/survival"
	"github.com/rapport-engine/rapport/twin"
)

// FoldHealth is the name of the fold.
const FoldHealth = "health"

// Moments of an item that this room makes. They reach its owner as events.
const (
	ProductAnomaly    = "Product Anomaly"
	ProductServiceDue = "Product Service Due"
	ProductRunsOut    = "Product Runs Out Soon"
)

// Limits and settings.
const (
	maxSeries  = 16 // readings followed per item, the first by name of those that come first
	day        = float64(24 * 3600_000)
	memoryDays = 21.0          // over which the rate of a level fades
	quiet      = 24 * 3600_000 // an alarm of a reading is not repeated within, ms
	settle     = 200           // readings before a series alarms
	horizon    = 14.0          // days ahead at which service is called due
	soon       = 7.0           // days ahead at which running out is told
	refill     = 0.1           // of the range seen: a rise of that much is a refill
	maxName    = twin.MaxName
)

// Fold is the engine fold. It comes after the twin's.
type Fold struct{}

var (
	_ engine.Fold  = Fold{}
	_ engine.Cold  = Fold{}
	_ engine.State = (*Health)(nil)
)

// Name implements engine.Fold.
func (Fold) Name() string { return FoldHealth }

// Version implements engine.Fold.
func (Fold) Version() uint32 { return 3 }

// Scope implements engine.Fold.
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements engine.Rowless.
func (Fold) Rowless() {}

// New implements engine.Fold.
func (Fold) New() engine.State { return &Health{} }

// Wants implements engine.Cold: telemetry of items, and a change of owner.
func (Fold) Wants(c *engine.Context, e *rapport.Event) bool {
	return e.Type == rapport.TypeSystem && c.Entity.Rank() == rapport.RankItem &&
		(e.Name == twin.EventTelemetry || e.Name == twin.EventReleased || e.Name == twin.EventClaimed)
}

// Health is how one item fares.
type Health struct {
	Series []Series // by name
	Alarms int64
	// tenure counts the owners whose time is over.
	tenure uint32
}

// Series is one reading of an item.
type Series struct {
	Name      string
	detector  anomaly.Detector
	Rate      survival.Rate // days, units of the reading
	Low, High float64
	// Last alarm: when, how strange, what was expected and what came.
	AlarmAt  int64
	Score    float64
	Expected float64
	Value    float64
	Alarms   int64
	// Told are the times at which a forecast was told, by kind, so that it is
	// told once until it moves away again.
	ToldService, ToldOut bool
	// SharedOut is when it runs out as the owner was last told, SharedAt when that was.
	SharedAt, SharedOut int64
}

// Apply implements engine.State.
func (h *Health) Apply(c *engine.Context, e *rapport.Event) {
	item, _ := c.State(twin.FoldItem).(*twin.Item)
	var product *catalog.ProductDoc
	if item != nil {
		known, _ := c.Config.Part(catalog.Part).(*catalog.Catalog)
		product = known.Product(item.Key().GTIN())
		// An even epoch is nobody's time after an owner's: how the item fared under
		// that owner goes with them.
		if tenure := item.Epoch / 2; tenure != h.tenure {
			*h = Health{tenure: tenure}
		}
	}
	if e.Name != twin.EventTelemetry {
		for i := range h.Series { // whoever has it now was told nothing
			h.Series[i].SharedAt, h.Series[i].SharedOut = 0, 0
		}
		return
	}
	if item != nil && item.Former(e.Timestamp) {
		return
	}
	for k, v := range e.Properties.All() {
		x, ok := v.Number()
		if !ok || len(k) > maxName || !twin.CheckReading(string(k), v) {
			continue
		}
		s := h.series(string(k))
		if s == nil {
			continue
		}
		s.take(e.Timestamp, x, c, e, h)
		s.foresee(product, c, e)
		if product != nil && product.Replenish.Reading == s.Name && !item.Owner.Person.IsZero() {
			s.share(item, product, c, e)
		}
	}
}

func (h *Health) series(name string) *Series {
	i, found := slices.BinarySearchFunc(h.Series, name, func(s Series, name string) int { return cmp.Compare(s.Name, name) })
	if found {
		return &h.Series[i]
	}
	if len(h.Series) >= maxSeries {
		return nil
	}
	h.Series = slices.Insert(h.Series, i, Series{Name: string([]byte(name)), Low: math.Inf(1), High: math.Inf(-1)})
	return &h.Series[i]
}

func (s *Series) take(at int64, x float64, c *engine.Context, e *rapport.Event, h *Health) {
	r := s.detector.Next(at, x)
	if r.Alarm() && s.detector.Seen() > settle && at >= s.AlarmAt+quiet {
		s.AlarmAt, s.Score, s.Expected, s.Value = at, r.Score, r.Expected, x
		s.Alarms++
		h.Alarms++
		moment(c, e, ProductAnomaly, s.Name, map[string]any{"reading": s.Name, "value": x, "expected": r.Expected, "typicalError": r.Typical, "score": r.Score})
	}
	s.Low, s.High = min(s.Low, x), max(s.High, x)
	days := float64(at) / day
	if s.Rate.Seen && math.Abs(x-s.Rate.Level) > refill*(s.High-s.Low) && s.against(x) {
		s.Rate.Jump(days, x) // filled up, or a part was replaced
		s.ToldService, s.ToldOut = false, false
		return
	}
	s.Rate.Add(days, x, memoryDays)
}

// against reports whether a step goes against the way the level usually goes.
func (s *Series) against(x float64) bool {
	drift, ok := s.Rate.Drift()
	return ok && (x-s.Rate.Level)*drift < 0
}

// foresee tells of service that comes due and of running out, once each.
func (s *Series) foresee(product *catalog.ProductDoc, c *engine.Context, e *rapport.Event) {
	for _, f := range s.forecasts(product) {
		told := &s.ToldService
		name, within := ProductServiceDue, horizon
		if f.Kind == RunOut {
			told, name, within = &s.ToldOut, ProductRunsOut, soon
		}
		left := (float64(f.At) - float64(e.Timestamp)) / day
		switch {
		case !*told && left <= within && s.Rate.Count >= 5:
			*told = true
			moment(c, e, name, s.Name, map[string]any{"reading": s.Name, "at": rapport.Time(f.At).Format("2006-01-02T15:04:05Z"), "days": left, "limit": f.Limit})
		case *told && left > 2*within:
			*told = false
		}
	}
}

// moment makes something happen to the item, as if it had told so itself.
func moment(c *engine.Context, e *rapport.Event, name, series string, properties map[string]any) {
	out := twin.Fact(e.Identifiers[0], name, e.MessageID+"/"+name+"/"+series, e.Timestamp, e.ReceivedAt, rapport.FieldsOf(properties))
	out.Fragment, out.History = c.Entity, e.History
	c.Emit(c.Entity, &out)
}

// Kind says what a forecast is of.
type Kind string

// The kinds of forecasts.
const (
	RunOut  Kind = "runOut"  // what is in it is used up
	Service Kind = "service" // a line is crossed at which it needs service
)

// Forecast is when something is expected, with the interval in which it comes
// with a chance of 80 %. Unix milliseconds.
type Forecast struct {
	Kind          Kind
	Reading       string
	Limit         float64
	At, Low, High int64
}

// Forecasts returns what can be foreseen of an item, by reading.
func (h *Health) Forecasts(product *catalog.ProductDoc) []Forecast {
	var out []Forecast
	for i := range h.Series {
		out = append(out, h.Series[i].forecasts(product)...)
	}
	return out
}

func (s *Series) forecasts(product *catalog.ProductDoc) []Forecast {
	if product == nil || s.Rate.Count < 3 {
		return nil
	}
	var out []Forecast
	add := func(kind Kind, limit float64) {
		p, ok := s.Rate.To(limit)
		if !ok {
			return
		}
		const farthest = 3650 // days; beyond, nobody knows
		at := func(q float64) int64 { return int64((s.Rate.At + min(farthest, p.Quantile(q))) * day) }
		if f := (Forecast{Kind: kind, Reading: s.Name, Limit: limit, At: at(0.5), Low: at(0.1), High: at(0.9)}); p.Mean() < farthest {
			out = append(out, f)
		}
	}
	if product.Replenish.Reading == s.Name {
		add(RunOut, 0)
	}
	for _, d := range product.Signals {
		if d.Reading != s.Name || d.Event != twin.ProductNeedsService {
			continue
		}
		if d.Above != nil && s.Rate.Level < *d.Above {
			add(Service, *d.Above)
		}
		if d.Below != nil && s.Rate.Level > *d.Below {
			add(Service, *d.Below)
		}
	}
	return out
}

// Merge implements engine.State: items never become one.
func (h *Health) Merge(other engine.State) {
	if o := other.(*Health); len(h.Series) == 0 && h.tenure == 0 {
		_ = h.DecodeBinary(o.AppendBinary(nil))
	}
}

// AppendBinary implements engine.State.
func (h *Health) AppendBinary(b []byte) []byte {
	if len(h.Series) == 0 && h.tenure == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(h.Series)))
	b = binary.AppendUvarint(b, uint64(h.tenure))
	b = binary.AppendVarint(b, h.Alarms)
	for i := range h.Series {
		s := &h.Series[i]
		b = rapport.AppendText(b, s.Name)
		b = rapport.AppendText(b, s.detector.AppendBinary(nil))
		for _, p := range s.numbers() {
			b = rapport.AppendFloat(b, *p)
		}
		for _, x := range []int64{s.AlarmAt, s.Alarms, s.SharedAt, s.SharedOut} {
			b = binary.AppendVarint(b, x)
		}
		b = append(b, flags(s.Rate.Seen, s.ToldService, s.ToldOut))
	}
	return b
}

func (s *Series) numbers() []*float64 {
	r := &s.Rate
	return []*float64{&r.At, &r.Level, &r.Time, &r.Way, &r.Square, &r.Count, &s.Low, &s.High, &s.Score, &s.Expected, &s.Value}
}

func flags(bits ...bool) (f byte) {
	for i, b := range bits {
		if b {
			f |= 1 << i
		}
	}
	return f
}

// DecodeBinary implements engine.State.
func (h *Health) DecodeBinary(b []byte) error {
	*h = Health{}
	if len(b) == 0 {
		return nil
	}
	d := rapport.NewDecoder(b)
	n, tenure := d.Uvarint(), d.Uvarint()
	if n > maxSeries || tenure > math.MaxUint32 || n == 0 && tenure == 0 {
		d.Fail()
	}
	h.tenure, h.Alarms = uint32(tenure), d.Varint()
	if n > 0 && !d.Failed() {
		h.Series = make([]Series, n)
	}
	for i := range h.Series {
		s := &h.Series[i]
		s.Name = d.Text()
		if err := s.detector.DecodeBinary(d.Bytes()); err != nil || s.Name == "" {
			d.Fail()
		}
		for _, x := range s.numbers() {
			*x = d.Float()
		}
		for _, x := range []*int64{&s.AlarmAt, &s.Alarms, &s.SharedAt, &s.SharedOut} {
			*x = d.Varint()
		}
		flags := d.Byte()
		s.Rate.Seen, s.ToldService, s.ToldOut = flags&1 != 0, flags&2 != 0, flags&4 != 0
	}
	if !d.Done() {
		*h = Health{}
		return rapport.Errorf(rapport.Internal, "stored health is damaged")
	}
	return nil
}

// Read copies an item's health out of a view; nil if there is none.
func Read(v *engine.View) *Health {
	s, _ := v.State(FoldHealth).(*Health)
	if s == nil || len(s.Series) == 0 {
		return nil
	}
	out := &Health{}
	if out.DecodeBinary(s.AppendBinary(nil)) != nil {
		return nil
	}
	return out
}
