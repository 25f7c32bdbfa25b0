package sim

import (
	"math"
	"slices"
	"time"
)

// Moment is what matters, besides the shopper, for what an action does.
type Moment struct {
	// Hour is the local hour, 0 to 23.
	Hour int
	// Buys is the chance that the visit ends in an order anyway, and Basket
	// what that order is worth before any discount.
	Buys, Basket float64
	// Owns is whether the shopper has a machine.
	Owns bool
	// Seen is how often the action was shown to this shopper this week.
	Seen int
}

// Effect is what an action truly does to a shopper at a moment.
type Effect struct {
	Click float64 // probability that it is followed
	Buy   float64 // probability that a click makes an order which would not have come
	Order float64 // expected worth of that order, after discount
	Annoy float64 // probability that it is minded
	// Value is the expected gain over showing nothing, in the currency.
	Value float64
	// Margin is the same with orders counted by what they earn, not by what is
	// paid: the price's margin less the discount.
	Margin float64
}

// Oracle knows the hidden truth of a world: what each action would do to each
// shopper, and so what the best one is. It is what regret and lift are
// measured against. An Oracle is safe for concurrent use.
type Oracle struct{ w *World }

// Oracle returns the truth about the world.
func (w *World) Oracle() Oracle { return Oracle{w} }

// action returns the truth about an action, and its index or -1.
func (o Oracle) action(id string) (*Action, int) {
	if i, ok := o.w.actionIndex[id]; ok {
		return &o.w.Actions[i], i
	}
	return &o.w.Unknown, -1
}

// Effect returns what the action would do. An id the world does not know has
// the effect of the world's unknown action.
func (o Oracle) Effect(s *Shopper, m Moment, id string) Effect {
	a, _ := o.action(id)
	return o.effect(s, m, a)
}

func (o Oracle) effect(s *Shopper, m Moment, a *Action) Effect {
	if a.Click == 0 {
		return Effect{Value: -a.Cost, Margin: -a.Cost}
	}
	odds := math.Log(a.Click/(1-a.Click)) + a.tastes.dot(s.Tastes) + 2*a.Deal*(s.PriceSensitivity-0.5)
	if a.Hours != nil && m.Hour >= a.Hours.From && m.Hour < a.Hours.To {
		odds += a.Hours.Lift
	}
	if a.Machine == "needs" && !m.Owns || a.Machine == "lacks" && m.Owns {
		odds -= 2
	}
	if a.Weary > 0 {
		odds -= a.Weary * float64(m.Seen)
	}
	e := Effect{Click: 1 / (1 + math.Exp(-odds)), Buy: a.Buy}
	price, margin := 0.0, 0.0
	if a.product >= 0 {
		price = o.w.Products[a.product].Price
		margin = price * o.w.Products[a.product].Margin
	} else {
		_, price = o.w.within(s, a.category, 0)
		margin = o.w.marginWithin(s, a.category)
	}
	e.Order = price * (1 - a.Discount)
	e.Annoy = (1 - e.Click) * a.Annoys * (1 - s.Patience)
	gain := (1-m.Buys)*e.Buy*e.Order - m.Buys*a.Discount*m.Basket
	e.Value = e.Click*(a.Worth+gain) - e.Annoy*o.w.Annoyance - a.Cost
	earned := (1-m.Buys)*e.Buy*(margin-price*a.Discount) - m.Buys*a.Discount*m.Basket
	e.Margin = e.Click*(a.Worth+earned) - e.Annoy*o.w.Annoyance - a.Cost
	return e
}

// Ranked is one action with its effect.
type Ranked struct {
	Action string
	Effect Effect
}

// Rank returns the world's actions of a placement, best first. seen says how
// often each was shown this week and may be nil. When even the first is worth
// less than 0, nothing is the best action.
func (o Oracle) Rank(s *Shopper, m Moment, placement string, seen func(action string) int) []Ranked {
	var all []Ranked
	for i := range o.w.Actions {
		a := &o.w.Actions[i]
		if !slices.Contains(a.Placements, placement) {
			continue
		}
		if seen != nil {
			m.Seen = seen(a.ID)
		}
		all = append(all, Ranked{a.ID, o.effect(s, m, a)})
	}
	slices.SortStableFunc(all, func(a, b Ranked) int {
		switch {
		case a.Effect.Value > b.Effect.Value:
			return -1
		case a.Effect.Value < b.Effect.Value:
			return 1
		}
		return 0
	})
	return all
}

// Typical returns the moment in which a shopper who has just arrived for the
// first time finds himself at a local hour.
func (o Oracle) Typical(s *Shopper, hour int) Moment {
	return Moment{Hour: hour, Buys: s.Type.Convert, Basket: s.basket * (1 + secondLine + thirdLine), Owns: s.ownsFirst}
}

// Ceiling returns the mean value per decision on a placement, over a sample of
// shoppers weighted by how often they visit, of four policies: the best action
// for each shopper; the best one for each group that observe tells apart
// (which is as far as a decider can get that sees no more than observe); the
// best one for all; and a random one.
func (o Oracle) Ceiling(placement string, sample int, observe func(*Shopper) string) (best, observed, single, random float64) {
	groups := map[string]map[string]float64{}
	all := map[string]float64{}
	weight := 0.0
	for i := range min(sample, o.w.Shoppers) {
		s := o.w.Shopper(i)
		ranked := o.Rank(s, o.Typical(s, 12), placement, nil)
		if len(ranked) == 0 {
			return 0, 0, 0, 0
		}
		weight += s.Rate
		best += s.Rate * max(ranked[0].Effect.Value, 0)
		g := groups[observe(s)]
		if g == nil {
			g = map[string]float64{}
			groups[observe(s)] = g
		}
		for _, x := range ranked {
			v := s.Rate * x.Effect.Value
			g[x.Action] += v
			all[x.Action] += v
			random += v / float64(len(ranked))
		}
	}
	most := func(m map[string]float64) (v float64) {
		for _, x := range m {
			v = max(v, x)
		}
		return v
	}
	keys := make([]string, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.Sort(keys) // floating point sums depend on their order
	for _, k := range keys {
		observed += most(groups[k])
	}
	return best / weight, observed / weight, most(all) / weight, random / weight
}

// moment returns what matters to an action met on this visit.
func (v *visit) moment(at string) Moment {
	m := Moment{Hour: time.UnixMilli(v.now).In(v.l.s.Country.zone).Hour(), Buys: v.intent, Basket: v.l.ownBasket(v.start), Owns: v.l.owns}
	switch {
	case v.converted:
		m.Buys, m.Basket = 1, v.offered
	case at == "cart":
		// Whoever reached the cart is likelier to buy: Bayes.
		m.Buys = v.intent / (v.intent + (1-v.intent)*abandons)
	}
	return m
}
