package decide

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn"
)

// What things cost is seen in every order, long before the first order that an
// action brings: so an action about a dear thing is not valued like one about
// a cheap one until it has luck, and a single lucky order of something that
// costs now this, now that, is told from what usually comes.

// Order tells what things cost: the lines of one order.
type Order struct{ Lines []Line }

// Line is what was paid for one thing, and under which keys of interest it goes.
type Line struct {
	Keys   []uint32
	Amount float64
}

const (
	maxLines = 20
	// maxPrices bounds of how many things it is known what they cost; of more
	// those seen least are forgotten (after Manku and Motwani, Approximate
	// Frequency Counts over Data Streams, 2002).
	maxPrices = 4096
	// pricesKept is how many lines a price rests on at most, so that it follows.
	pricesKept = 1000
)

// anything is the key of the lines of all things.
const anything uint32 = math.MaxUint32

// orderOf reads the lines of an order: its products, or the one thing it is about.
func orderOf(e *rapport.Event) (o Order) {
	if v, ok := e.Properties.Get("products"); ok {
		for x := range v.Elements() {
			if f, ok := x.Object(); ok && len(o.Lines) < maxLines {
				o.add(f)
			}
		}
		return o
	}
	o.add(e.Properties)
	return o
}

func (o *Order) add(f rapport.Fields) {
	l := Line{}
	quantity, product := 1.0, false
	for k, v := range f.All() {
		switch string(k) {
		case "price":
			l.Amount, _ = v.Number()
			continue
		case "quantity":
			if n, ok := v.Number(); ok {
				quantity = n
			}
			continue
		}
		kind, ok := aspect(k)
		text, isText := v.Text()
		if !ok || !isText || len(text) == 0 || kind == 1 && product {
			continue
		}
		product = product || kind == 1
		if key := likeKey(text, kind); !slices.Contains(l.Keys, key) {
			l.Keys = append(l.Keys, key)
		}
	}
	l.Amount *= quantity
	if l.Amount > 0 && l.Amount < 1e9 && len(l.Keys) > 0 {
		o.Lines = append(o.Lines, l)
	}
}

func appendOrder(b []byte, o *Order) []byte {
	w := writer{b: append(b, lessonOrder)}
	w.uint(uint64(len(o.Lines)))
	for i := range o.Lines {
		w.keys(o.Lines[i].Keys)
		w.small(o.Lines[i].Amount)
	}
	return w.b
}

func (r *reader) order() *Order {
	o := &Order{Lines: make([]Line, r.Count(5))}
	for i := range o.Lines {
		o.Lines[i] = Line{r.keys(), r.small()}
	}
	return o
}

func (w *writer) keys(keys []uint32) {
	w.uint(uint64(len(keys)))
	for _, k := range keys {
		w.b = append(w.b, byte(k>>16), byte(k>>8), byte(k))
	}
}

func (r *reader) keys() []uint32 {
	n := r.Count(3)
	if n == 0 {
		return nil
	}
	keys := make([]uint32, n)
	for i := range keys {
		if p := r.Take(3); p != nil {
			keys[i] = uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])
		}
	}
	return keys
}

// order counts what was paid for things.
func (d *draft) order(o *Order) {
	if !d.priced {
		d.prices, d.priced = maps.Clone(d.prices), true
	}
	for i := range o.Lines {
		l := &o.Lines[i]
		for _, key := range l.Keys {
			d.pay(key, l.Amount)
		}
		d.pay(anything, l.Amount)
	}
	if len(d.prices) > maxPrices {
		d.forgetPrices()
	}
}

func (d *draft) pay(key uint32, amount float64) {
	m := d.prices[key]
	m.Add(amount)
	if m.N > pricesKept {
		m.Scale(pricesKept / m.N)
	}
	d.prices[key] = m
}

// forgetPrices forgets the half that was seen least.
func (d *draft) forgetPrices() {
	keys := make([]uint32, 0, len(d.prices))
	for key := range d.prices {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(d.prices[a].N, d.prices[b].N), cmp.Compare(a, b))
	})
	for _, key := range keys[:len(keys)/2] {
		if key != anything {
			delete(d.prices, key)
		}
	}
}

// price returns what the things that keys name were sold for: of the products
// among them, else of the categories and brands, else of anything.
func (k *Knowledge) price(keys []uint32) learn.Moments {
	for _, kind := range [...]uint32{1, 0} {
		var sum learn.Moments
		for _, key := range keys {
			if key&1 == kind {
				sum.Merge(k.prices[key])
			}
		}
		if sum.N > 0 {
			return sum
		}
	}
	return k.prices[anything]
}

// dear is how much dearer than usual the things are that keys name, as a
// logarithm; 0 where nothing is known.
func (k *Knowledge) dear(keys []uint32) float32 {
	if len(keys) == 0 {
		return 0
	}
	usual := k.prices[anything]
	if usual.N == 0 {
		return 0
	}
	return float32(max(-dearest, min(dearest, math.Log(k.price(keys).Mean()/usual.Mean()))))
}

const dearest = 4

// What a success is believed to bring as a share of what its subject costs,
// before any came: between what is paid and what is earned of it. It counts
// like two successes.
const (
	priorReturn       = 0.5
	priorReturnWeight = 2
	// unlike is by which share, as a variance, what actions bring differs from
	// what their subjects cost; alike how far the same thing may vary.
	unlike = 0.25
	alike  = 0.05
	// An expectation counts for so many successes at least and at most.
	leastCredence, mostCredence = 0.5, 50
)

// expect returns what is believed of the amount of a success before the action
// had any: the price of what it is about, times what all actions together
// bring as a share of theirs. How many successes of its own outweigh that is
// Bühlmann's credibility (Experience rating and credibility, 1967): the
// variance between orders of that thing, over that between actions.
func (k *Knowledge) expect(keys []uint32, placement, kind, event string, cost float64) learn.Normal {
	price := k.price(keys)
	if price.N == 0 {
		var all tried
		if p := k.pools[poolKey{placement, event}]; p != nil {
			all = p.tried
		}
		mean := (max(priorAmount, priorMultiple*cost) + all.amounts.Sum) / (1 + all.amounts.N)
		return learn.Normal{Mean: mean, Weight: 1, Shape: 4, Scale: 2 * mean * mean}
	}
	share := priorReturn
	for _, of := range [...]string{"", kind} {
		if p := k.pools[poolKey{everywhere + of, event}]; p != nil {
			share = (priorReturnWeight*share + p.amounts.Sum) / (priorReturnWeight + p.amounts.N)
		}
	}
	mean := share * price.Mean()
	return around(mean, spreadOf(price)+alike, math.Abs(mean))
}

// around is the belief in a mean that orders differ from by the variance within,
// as a share of the square of scale.
func around(mean, within, scale float64) learn.Normal {
	return learn.Normal{
		Mean: mean, Weight: max(leastCredence, min(mostCredence, within/unlike)), Shape: 2, Scale: within * scale * scale,
	}
}

// weigh folds in what an action brought: what its own orders differ among
// themselves says, too, how many of them outweigh the expectation.
func weigh(p learn.Normal, scale float64, own learn.Moments) learn.Normal {
	if own.N > 0 && scale > 0 {
		mean := own.Sum / own.N
		within := (p.Scale + max(0, own.Squares-own.N*mean*mean)/2) / (p.Shape - 1 + own.N/2) / (scale * scale)
		p.Weight = max(leastCredence, min(mostCredence, within/unlike))
	}
	return p.Observe(own)
}

// spreadOf is the variance of prices as a share of their mean, squared.
func spreadOf(price learn.Moments) float64 {
	mean := price.Mean()
	return max(0, price.Squares/price.N-mean*mean) / (mean * mean)
}

// yield counts what a success brought as a share of what its subject costs; the
// less prices of that differ, the more it tells.
func (d *draft) yield(x *Example, at int64) {
	price := d.price(x.About)
	if price.N == 0 {
		return
	}
	m := learn.Moments{}
	if x.First {
		m.Add(x.After / price.Mean())
	} else {
		m.Replace(x.Before/price.Mean(), x.After/price.Mean())
	}
	m.Scale(1 / (1 + spreadOf(price)))
	for _, of := range [...]string{"", x.Kind} {
		d.editPool(poolKey{everywhere + of, x.Goal}, at).amounts.Merge(m)
	}
}
