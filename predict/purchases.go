package predict

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
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
// is cold: only purchases touch it. While the definition of a purchase changes,
// both are kept.
type PurchasesFold struct{}

// Name implements engine.Fold.
func (PurchasesFold) Name() string { return FoldPurchases }

// Version implements engine.Fold.
func (PurchasesFold) Version() uint32 { return 2 }

// Scope implements engine.Fold.
func (PurchasesFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (PurchasesFold) Rowless() {}

// New implements engine.Fold.
func (PurchasesFold) New() engine.State { return &Purchases{} }

// Wants implements engine.Cold.
func (PurchasesFold) Wants(c *engine.Context, e *rapport.Event) bool {
	if e.Type != rapport.TypeTrack {
		return e.Type == rapport.TypeSystem && e.Name == profile.SystemBuilt
	}
	for _, d := range configOf(c.Config).purchased {
		if d.doc.Event == e.Name {
			return true
		}
	}
	return false
}

// Purchases are the newest days on which one fragment, or one person, bought,
// by what counts as a purchase.
type Purchases struct{ of []purchaseDays } // by key

type purchaseDays struct {
	key  key
	days []day // rising
}

type day struct {
	day    int32
	orders uint32
	value  int64 // in 1/valueUnit; returns lessen it
}

// in returns the days under a definition; nil if there are none.
func (p *Purchases) in(k key) *purchaseDays {
	for i := range p.of {
		if p.of[i].key == k {
			return &p.of[i]
		}
	}
	return nil
}

// under returns the days under a definition to add to.
func (p *Purchases) under(k key) *purchaseDays {
	i, found := slices.BinarySearchFunc(p.of, k, func(d purchaseDays, k key) int { return d.key.compare(k) })
	if !found {
		p.of = slices.Insert(p.of, i, purchaseDays{key: k})
	}
	return &p.of[i]
}

// Apply implements engine.State.
func (p *Purchases) Apply(c *engine.Context, e *rapport.Event) {
	counts := configOf(c.Config).purchased
	if len(p.of) > 1 {
		p.of = slices.DeleteFunc(p.of, func(d purchaseDays) bool { return !known(counts, d.key) })
	}
	if e.Type == rapport.TypeSystem {
		if k, body, _, ok := readBuilt(e); ok && known(counts, k) {
			var built purchaseDays
			if d := (&decoder{b: body}); built.decode(d) && len(d.b) == 0 {
				p.under(k).merge(built)
			}
		}
		return
	}
	for _, d := range counts {
		if e.Type == rapport.TypeTrack && e.Name == d.doc.Event && !engine.Later(d.key.since, c.Accepted) {
			p.under(d.key).take(d.doc, e, c.Time)
		}
	}
}

// take counts one purchase.
func (p *purchaseDays) take(s *PredictionDoc, e *rapport.Event, now int64) {
	at := dayOf(e.Timestamp)
	if today := dayOf(now); at > today+ahead {
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

func (p *purchaseDays) add(d day) {
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

func (p *purchaseDays) merge(o purchaseDays) {
	for _, d := range o.days {
		p.add(d)
	}
}

// Merge implements engine.State.
func (p *Purchases) Merge(other engine.State) {
	for _, o := range other.(*Purchases).of {
		p.under(o.key).merge(o)
	}
}

// AppendBinary implements engine.State.
func (p *Purchases) AppendBinary(b []byte) []byte {
	for i := range p.of {
		if d := &p.of[i]; len(d.days) > 0 {
			b = d.append(d.key.append(b))
		}
	}
	return b
}

func (p *purchaseDays) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(p.days)))
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
	p.of = nil
	d := decoder{b: b}
	for len(d.b) > 0 {
		days := purchaseDays{key: d.key()}
		if !days.decode(&d) || len(days.days) == 0 || len(p.of) > 0 && p.of[len(p.of)-1].key.compare(days.key) >= 0 {
			d.fail()
			break
		}
		p.of = append(p.of, days)
	}
	return d.done("purchases")
}

func (p *purchaseDays) decode(d *decoder) bool {
	n, last := d.uint(maxDays), int64(0)
	p.days = make([]day, 0, min(n, len(d.b)/3))
	for range n {
		step := d.int()
		last += step
		x := day{int32(last), uint32(d.uint(math.MaxUint32)), d.int()}
		if last > math.MaxInt32 || last < math.MinInt32 || len(p.days) > 0 && step <= 0 {
			d.fail()
		}
		if d.bad {
			return false
		}
		p.days = append(p.days, x)
	}
	return !d.bad
}
