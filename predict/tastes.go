package predict

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/affinity"
	"github.com/rapport-engine/rapport/profile"
)

// FoldTastes is the fold that keeps what a person looked at, bought and liked.
const FoldTastes = "tastes"

const (
	// bucketDays is how fine the time of a sign is kept.
	bucketDays = 15
	// maxRecent is how many of the newest signs tell what a running session is about.
	maxRecent = 16
	// sessionGap ends a session.
	sessionGap = 30 * 60 * 1000
	// quantityUnit makes quantities whole numbers.
	quantityUnit = 1000
)

// TastesFold keeps, per fragment, which attributes of products the person gave
// which signs to, which products they bought when and how much of, and the
// newest signs one by one. Events without products do not touch it.
type TastesFold struct{}

// Name implements engine.Fold.
func (TastesFold) Name() string { return FoldTastes }

// Version implements engine.Fold.
func (TastesFold) Version() uint32 { return 3 }

// Scope implements engine.Fold.
func (TastesFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (TastesFold) Rowless() {}

// New implements engine.Fold.
func (TastesFold) New() engine.State { return &Tastes{} }

// Wants implements engine.Cold.
func (TastesFold) Wants(c *engine.Context, e *rapport.Event) bool {
	if e.Type == rapport.TypeSystem {
		return e.Name == profile.SystemBuilt
	}
	for _, d := range configOf(c.Config).tasted {
		if _, ok := signOf(d.doc, e); ok {
			return true
		}
	}
	return false
}

// Tastes are the signs of one fragment, or one person, by what counts as a
// purchase and which attributes count.
type Tastes struct {
	of    []taste // by key
	lines []line  // memory of the last decoding
}

// taste are the signs under one definition.
type taste struct {
	key    key
	signs  ledger // attribute=value: bucket, sign, count
	bought ledger // product: day, 0, quantity
	recent []recentSign
}

func (t *taste) empty() bool { return len(t.signs)+len(t.bought)+len(t.recent) == 0 }

// in returns the signs under a definition; nil if there are none.
func (t *Tastes) in(k key) *taste {
	for i := range t.of {
		if t.of[i].key == k {
			return &t.of[i]
		}
	}
	return nil
}

// under returns the signs under a definition to add to.
func (t *Tastes) under(k key) *taste {
	i, found := slices.BinarySearchFunc(t.of, k, func(x taste, k key) int { return x.key.compare(k) })
	if !found {
		t.of = slices.Insert(t.of, i, taste{key: k})
	}
	return &t.of[i]
}

// recentSign is one sign, for what a session is about.
type recentSign struct {
	at   int64
	name string
	sign uint8
}

func (r recentSign) compare(o recentSign) int {
	return cmp.Or(cmp.Compare(r.at, o.at), cmp.Compare(r.name, o.name), cmp.Compare(r.sign, o.sign))
}

// signs are what the events of the usual tracking plan say of a product.
var signs = map[string]affinity.Sign{
	"Product Viewed": affinity.Viewed, "Product List Viewed": affinity.Viewed, "Product Clicked": affinity.Clicked,
	"Product Added": affinity.Added, "Product Added to Wishlist": affinity.Added,
	"Product Returned": affinity.Returned, "Order Refunded": affinity.Returned,
}

// eventAnswered is the event of an answer: {attribute, value, liked}.
const eventAnswered = "Preference Answered"

func signOf(s *PredictionDoc, e *rapport.Event) (affinity.Sign, bool) {
	if e.Type != rapport.TypeTrack {
		return 0, false
	}
	switch e.Name {
	case s.Event:
		return affinity.Bought, true
	case eventAnswered:
		if liked, ok := get(e.Properties, "liked").Bool(); ok && !liked {
			return affinity.Disliked, true
		}
		return affinity.Liked, true
	}
	sign, ok := signs[e.Name]
	return sign, ok
}

func get(f rapport.Fields, key string) rapport.Value {
	v, _ := f.Get(key)
	return v
}

// Apply implements engine.State.
func (t *Tastes) Apply(c *engine.Context, e *rapport.Event) {
	counts := configOf(c.Config).tasted
	if len(t.of) > 1 {
		t.of = slices.DeleteFunc(t.of, func(x taste) bool { return !known(counts, x.key) })
	}
	if e.Type == rapport.TypeSystem {
		if k, _, body, ok := readBuilt(e); ok && known(counts, k) {
			var built taste
			if d := newDecoder(body); built.decode(d) && len(d.b) == 0 {
				t.under(k).merge(&built)
			}
		}
		return
	}
	for _, d := range counts {
		if !engine.Later(d.key.since, c.Accepted) {
			if sign, ok := signOf(d.doc, e); ok {
				t.under(d.key).take(d.doc, sign, e, c.Time)
			}
		}
	}
}

// take counts what one event says.
func (t *taste) take(s *PredictionDoc, sign affinity.Sign, e *rapport.Event, now int64) {
	day, at := dayOf(e.Timestamp), e.Timestamp
	if today := dayOf(now); day > today+ahead {
		day, at = today, now
	}
	if e.Name == eventAnswered {
		var buf [2 * maxName]byte
		if name, ok := tokenOf(buf[:0], get(e.Properties, "attribute").Str(), get(e.Properties, "value")); ok {
			t.sign(name, day, at, sign)
		}
		return
	}
	products := t.product(s, e.Properties, day, at, sign)
	for p := range products.Elements() {
		if f, ok := p.Object(); ok {
			t.product(s, f, day, at, sign)
		}
	}
}

// maxAttributes bounds the attributes of products.
const maxAttributes = 8

// product counts what one product's properties say and returns the products
// listed in them. It reads them once, for all it asks.
func (t *taste) product(s *PredictionDoc, f rapport.Fields, day int32, at int64, sign affinity.Sign) (products rapport.Value) {
	var attributes [maxAttributes]rapport.Value
	var id, sku, quantity rapport.Value
	for key, v := range f.All() {
		for i, attribute := range s.Attributes[:min(len(s.Attributes), maxAttributes)] {
			if string(key) == attribute {
				attributes[i] = v
			}
		}
		switch string(key) {
		case "product_id":
			id = v
		case "sku":
			sku = v
		case "quantity":
			quantity = v
		case "products":
			products = v
		}
	}
	var buf [2 * maxName]byte
	for i, attribute := range s.Attributes[:min(len(s.Attributes), maxAttributes)] {
		if name, ok := tokenOf(buf[:0], attribute, attributes[i]); ok {
			t.sign(name, day, at, sign)
		}
	}
	if sign != affinity.Bought {
		return products
	}
	product, ok := id.Text()
	if len(product) == 0 {
		product, ok = sku.Text()
	}
	if !ok || len(product) == 0 || len(product) > maxName {
		return products
	}
	n, ok := quantity.Number()
	if !ok || !(n > 0) {
		n = 1
	}
	t.bought.add(product, line{at: day, n: int64(math.Ceil(min(n, 1e6) * quantityUnit))})
	return products
}

// tokenOf appends the name of an attribute's value to b.
func tokenOf(b []byte, attribute string, v rapport.Value) ([]byte, bool) {
	text, _ := v.Text()
	if attribute == "" || len(text) == 0 || len(attribute)+1+len(text) > maxName {
		return nil, false
	}
	return append(append(append(b, attribute...), '='), text...), true
}

func (t *taste) sign(name []byte, day int32, at int64, sign affinity.Sign) {
	bucket := day / bucketDays
	if day%bucketDays < 0 {
		bucket--
	}
	known := t.signs.add(name, line{at: bucket, sign: uint8(sign), n: 1})
	if known == "" {
		known = string(name)
	}
	t.remember(recentSign{at, known, uint8(sign)})
}

func (t *taste) remember(r recentSign) {
	i := len(t.recent) // most are the newest
	if i > 0 && (r.at < t.recent[i-1].at || r.at == t.recent[i-1].at && r.compare(t.recent[i-1]) <= 0) {
		i, _ = slices.BinarySearchFunc(t.recent, r, recentSign.compare)
	}
	switch {
	case len(t.recent) < maxRecent:
		t.recent = slices.Insert(t.recent, i, r)
	case i > 0:
		copy(t.recent, t.recent[1:i])
		t.recent[i-1] = r
	}
}

func (t *taste) merge(o *taste) {
	t.signs.merge(o.signs)
	t.bought.merge(o.bought)
	for _, r := range o.recent {
		t.remember(r)
	}
}

// Merge implements engine.State.
func (t *Tastes) Merge(other engine.State) {
	for i := range other.(*Tastes).of {
		o := &other.(*Tastes).of[i]
		t.under(o.key).merge(o)
	}
}

// AppendBinary implements engine.State.
func (t *Tastes) AppendBinary(b []byte) []byte {
	for i := range t.of {
		if x := &t.of[i]; !x.empty() {
			b = x.append(x.key.append(b))
		}
	}
	return b
}

func (t *taste) append(b []byte) []byte {
	b = t.bought.append(t.signs.append(b))
	b = binary.AppendUvarint(b, uint64(len(t.recent)))
	last := int64(0)
	for i := range t.recent {
		r := &t.recent[i]
		b = binary.AppendVarint(b, r.at-last)
		b = append(b, r.sign)
		if place, ok := find(t.signs, r.name); ok { // nearly always
			b = binary.AppendUvarint(b, uint64(place)+1)
		} else {
			b = binary.AppendUvarint(append(b, 0), uint64(len(r.name)))
			b = append(b, r.name...)
		}
		last = r.at
	}
	return b
}

// DecodeBinary implements engine.State.
func (t *Tastes) DecodeBinary(b []byte) error {
	t.of = t.of[:0]
	if len(b) == 0 {
		return nil
	}
	d := newDecoder(b)
	d.line = t.lines[:0]
	for len(d.b) > 0 {
		var x taste
		if n := len(t.of); n < cap(t.of) {
			x = t.of[:n+1][n] // its memory is used again
		}
		x.key = d.key()
		if !x.decode(d) || x.empty() || len(t.of) > 0 && t.of[len(t.of)-1].key.compare(x.key) >= 0 {
			d.fail()
			break
		}
		t.of = append(t.of, x)
	}
	t.lines = d.line
	return d.done("tastes")
}

// decode reads what append wrote, in the memory of what is not needed any more.
func (t *taste) decode(d *decoder) bool {
	t.signs, t.bought, t.recent = d.ledger(t.signs), d.ledger(t.bought), t.recent[:0]
	last := int64(0)
	for range d.uint(maxRecent) {
		last += d.int()
		r := recentSign{at: last, sign: d.byte()}
		if place := d.uint(uint64(len(t.signs))); place > 0 {
			r.name = t.signs[place-1].name
		} else if r.name = d.text(d.uint(maxName)); !d.bad {
			if _, ok := find(t.signs, r.name); ok {
				d.fail() // it would be written otherwise
			}
		}
		if n := len(t.recent); n > 0 && t.recent[n-1].compare(r) > 0 {
			d.fail()
		}
		t.recent = append(t.recent, r)
	}
	return !d.bad
}

// session returns the signs of the session that runs at a moment, oldest first.
func (t *taste) session(at int64) []recentSign {
	from := len(t.recent)
	for from > 0 && t.recent[from-1].at > at {
		from-- // what lies ahead has not happened yet
	}
	end, next := from, at
	for from > 0 && next-t.recent[from-1].at <= sessionGap {
		from--
		next = t.recent[from].at
	}
	return t.recent[from:end]
}
