package predict

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/replenish"
	"github.com/rapport-engine/rapport/profile"
)

// FoldSensed is the fold that keeps what the sensors in a person's items foretell.
const FoldSensed = "sensed"

// maxSensed bounds the items of a fragment: those whose names sort first.
const maxSensed = 64

// SensedFold keeps, per fragment, the newest forecast of each item the person
// owns of when what is in it runs out.
type SensedFold struct{}

// Name implements engine.Fold.
func (SensedFold) Name() string { return FoldSensed }

// Version implements engine.Fold.
func (SensedFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (SensedFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (SensedFold) Rowless() {}

// New implements engine.Fold.
func (SensedFold) New() engine.State { return &Sensed{} }

// Wants implements engine.Cold.
func (SensedFold) Wants(_ *engine.Context, e *rapport.Event) bool {
	return e.Type == rapport.TypeSystem && e.Name == rapport.SystemForecast
}

// Sensed are the forecasts of a person's items.
type Sensed struct{ of []sensed } // by item

type sensed struct {
	item, product   string
	at              int64 // when it was made, Unix ms
	days, low, high float64
}

// left returns the forecast as of a moment.
func (s *sensed) left(at int64) replenish.Forecast {
	passed := float64(max(at-s.at, 0)) / 86_400_000
	const least = 0.02 // half an hour: it may be empty already
	f := replenish.Forecast{Low: max(s.low-passed, least)}
	f.Time = max(s.days-passed, f.Low)
	f.High = max(s.high-passed, f.Time)
	return f
}

// Apply implements engine.State.
func (s *Sensed) Apply(_ *engine.Context, e *rapport.Event) {
	if e.Type != rapport.TypeSystem || e.Name != rapport.SystemForecast {
		return
	}
	x := sensed{item: get(e.Properties, "item").Str(), product: get(e.Properties, "product").Str(), at: e.Timestamp}
	for name, p := range map[string]*float64{"days": &x.days, "low": &x.low, "high": &x.high} {
		*p, _ = get(e.Properties, name).Number()
	}
	if x.item == "" || x.product == "" || len(x.item) > 2*maxName || len(x.product) > maxName || !(x.low <= x.days && x.days <= x.high && x.high < 1e6) {
		return
	}
	x.item, x.product = strings.Clone(x.item), strings.Clone(x.product)
	s.learn(x)
}

// learn keeps the newer of two forecasts of an item.
func (s *Sensed) learn(x sensed) {
	i, found := slices.BinarySearchFunc(s.of, x.item, func(a sensed, item string) int { return strings.Compare(a.item, item) })
	switch {
	case found && (s.of[i].at < x.at || s.of[i].at == x.at && (s.of[i].days > x.days || s.of[i].days == x.days && s.of[i].product > x.product)):
		s.of[i] = x
	case !found && i < maxSensed:
		if s.of = slices.Insert(s.of, i, x); len(s.of) > maxSensed {
			s.of = s.of[:maxSensed]
		}
	}
}

// Merge implements engine.State.
func (s *Sensed) Merge(other engine.State) {
	for _, x := range other.(*Sensed).of {
		s.learn(x)
	}
}

// AppendBinary implements engine.State.
func (s *Sensed) AppendBinary(b []byte) []byte {
	for i := range s.of {
		x := &s.of[i]
		for _, text := range [...]string{x.item, x.product} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
		b = binary.AppendVarint(b, x.at)
		for _, f := range [...]float64{x.days, x.low, x.high} {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
		}
	}
	return b
}

// DecodeBinary implements engine.State.
func (s *Sensed) DecodeBinary(b []byte) error {
	s.of = nil
	d := newDecoder(b)
	for len(d.b) > 0 {
		x := sensed{item: d.text(d.uint(2 * maxName)), product: d.text(d.uint(maxName)), at: d.int()}
		for _, f := range [...]*float64{&x.days, &x.low, &x.high} {
			if len(d.b) < 8 {
				d.fail()
				break
			}
			*f = math.Float64frombits(binary.LittleEndian.Uint64(d.b))
			d.b = d.b[8:]
		}
		if d.bad || len(s.of) == maxSensed || len(s.of) > 0 && s.of[len(s.of)-1].item >= x.item || !(x.low <= x.days && x.days <= x.high) {
			d.fail()
			break
		}
		s.of = append(s.of, x)
	}
	return d.done("forecasts of items")
}

// seeSensors takes the forecasts of the items the person still holds.
func (p *Person) seeSensors(state func(fold string) engine.State) {
	s, _ := state(FoldSensed).(*Sensed)
	if s == nil || len(s.of) == 0 {
		return
	}
	things, _ := state(profile.FoldThings).(condition.Owner)
	if things == nil {
		return
	}
	for i := range things.NumItems() {
		item, role := things.ItemValue(i, []string{"item"}).Str(), things.ItemValue(i, []string{"role"}).Str()
		k, found := slices.BinarySearchFunc(s.of, item, func(a sensed, item string) int { return strings.Compare(a.item, item) })
		if found && role == "owner" {
			p.sensors = append(p.sensors, s.of[k])
		}
	}
}
