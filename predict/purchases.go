package predict

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// FoldPurchases is the fold that keeps the days a person bought on.
const FoldPurchases = "purchases"

const (
	// maxDays bounds a fragment: eleven years of buying every day.
	maxDays = 4096
	// valueUnit makes values whole numbers, so that they add up the same in any order.
	valueUnit = 1e4
	maxValue  = 1e12
	// ahead is how far a client's clock may run before ours, in days.
	ahead = 2
)

// PurchasesFold keeps, per fragment, on which days what was bought for how
// much: all that the models of purchases need, whatever the order of events. It
// is cold: only purchases touch it.
type PurchasesFold struct{}

// Name implements engine.Fold.
func (PurchasesFold) Name() string { return FoldPurchases }

// Version implements engine.Fold.
func (PurchasesFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (PurchasesFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (PurchasesFold) Rowless() {}

// New implements engine.Fold.
func (PurchasesFold) New() engine.State { return &Purchases{} }

// Wants implements engine.Cold.
func (PurchasesFold) Wants(c *engine.Context, e *rapport.Event) bool {
	return e.Type == rapport.TypeTrack && e.Name == configOf(c.Config).settings.Event
}

// Purchases are the newest days on which one fragment, or one person, bought.
type Purchases struct{ days []day } // rising

type day struct {
	day    int32
	orders uint32
	value  int64 // in 1/valueUnit; returns lessen it
}

// Apply implements engine.State.
func (p *Purchases) Apply(c *engine.Context, e *rapport.Event) {
	s := &configOf(c.Config).settings
	if e.Type != rapport.TypeTrack || e.Name != s.Event {
		return
	}
	at := dayOf(e.Timestamp)
	if today := dayOf(c.Time); at > today+ahead {
		at = today // a clock that is wrong by days says nothing
	}
	x := value(e.Properties, s.Value)
	d := day{day: at, orders: 1, value: int64(math.Round(x * valueUnit))}
	if x < 0 {
		d.orders = 0 // a return
	}
	p.add(d)
}

// value reads what a purchase is worth; the usual other names stand in where
// the property is missing.
func value(f rapport.Fields, property string) float64 {
	for _, name := range []string{property, "revenue", "total", "value"} {
		v, ok := f.Get(name)
		if !ok {
			continue
		}
		x, ok := v.Number()
		if !ok {
			if text, isText := v.Text(); isText {
				x, ok = rapport.NumberText(string(text)).Number()
			}
		}
		if ok && !math.IsNaN(x) {
			return min(max(x, -maxValue), maxValue)
		}
	}
	return 0
}

func (p *Purchases) add(d day) {
	i, found := slices.BinarySearchFunc(p.days, d.day, func(a day, b int32) int { return int(a.day) - int(b) })
	switch {
	case found:
		p.days[i].orders = add32(p.days[i].orders, d.orders)
		p.days[i].value = addBounded(p.days[i].value, d.value)
	case len(p.days) < maxDays:
		p.days = slices.Insert(p.days, i, d)
	case i > 0: // the oldest day goes; older ones never come back in
		copy(p.days, p.days[1:i])
		p.days[i-1] = d
	}
}

func add32(a, b uint32) uint32 { return uint32(min(uint64(a)+uint64(b), math.MaxUint32)) }

// addBounded adds amounts. The bound lies beyond what 2^20 orders of the
// largest value come to; sums under it are exact in any order.
func addBounded(a, b int64) int64 {
	s := a + b
	if b > 0 && s < a {
		return math.MaxInt64
	}
	if b < 0 && s > a {
		return math.MinInt64
	}
	return s
}

// Merge implements engine.State.
func (p *Purchases) Merge(other engine.State) {
	for _, d := range other.(*Purchases).days {
		p.add(d)
	}
}

// AppendBinary implements engine.State.
func (p *Purchases) AppendBinary(b []byte) []byte {
	last := int32(0)
	for _, d := range p.days {
		b = binary.AppendVarint(b, int64(d.day-last))
		b = binary.AppendUvarint(b, uint64(d.orders))
		b = binary.AppendVarint(b, d.value)
		last = d.day
	}
	return b
}

// DecodeBinary implements engine.State.
func (p *Purchases) DecodeBinary(b []byte) error {
	p.days = p.days[:0]
	last := int64(0)
	for len(b) > 0 {
		step, n := binary.Varint(b)
		orders, m := binary.Uvarint(b[max(n, 0):])
		value, k := binary.Varint(b[max(n, 0)+max(m, 0):])
		last += step
		if n <= 0 || m <= 0 || k <= 0 || last > 1<<31-1 || last < -1<<31 || orders > math.MaxUint32 || len(p.days) == maxDays || len(p.days) > 0 && step <= 0 {
			return rapport.Errorf(rapport.Internal, "stored purchases of a person are damaged")
		}
		p.days = append(p.days, day{int32(last), uint32(orders), value})
		b = b[n+m+k:]
	}
	return nil
}
