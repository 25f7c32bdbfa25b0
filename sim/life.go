package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	maxCategories = 12
	second        = int64(1000) // in Unix milliseconds, as all times of a life are
	minute        = 60 * second
	hour          = 60 * minute
	day           = 24 * hour
	week          = 7 * day
)

// life is what changes about a shopper as time passes. It is a function of the
// seed up to the end of history, and of what the server answered from then on.
type life struct {
	w   *World
	s   *Shopper
	end int64 // of history

	known    bool    // has an account
	loggedIn [3]bool // by device: first browser, second browser, app
	landed   bool    // the acquisition has been told
	carded   bool    // the loyalty card has been linked
	desked   bool    // the help desk knows the e-mail
	asked    bool    // consent has been asked
	allows   bool    // and given
	owns     bool    // a machine
	out      [maxCategories]int64
	orders   int
	busy     int64 // until when the shopper is in a visit

	agenda []errand // what is going to happen, soonest first
	seen   []uint8  // times each action was seen in the running week
	seenIn int64    // which week that is
}

// errand is something a life has coming: a thought-over order, a ticket.
type errand struct {
	At       int64      `json:"at"`
	Kind     errandKind `json:"kind"`
	Product  int        `json:"product,omitempty"`
	Discount float64    `json:"discount,omitempty"`
	Action   string     `json:"action,omitempty"` // that sold it, in Decision
	Decision string     `json:"decision,omitempty"`
	Order    string     `json:"order,omitempty"`
}

type errandKind uint8

const (
	comesBack    errandKind = iota // to buy Product after thinking it over
	opensTicket                    // about Order
	closesTicket                   // about Order
)

// stage is where a life takes place: in the past, where it is written down, or
// now, where a server is asked.
type stage interface {
	// say takes one event. The bytes are only valid during the call.
	say(c channel, event []byte)
	// ask takes a page view that comes with a question, and answers it; an
	// answer without a decision id means that nobody was there to ask.
	ask(v *visit, p *Placement, event []byte) answer
	// until waits for a moment and reports false when the show is over.
	until(at int64) bool
	// observe tells what a decision met, and what came of a later order.
	observe(v *visit, o observation)
}

// answer is the part of a decision a shopper meets.
type answer struct {
	decision string
	holdout  bool
	actions  []string
}

func (w *World) birth(s *Shopper, end int64) *life {
	return &life{w: w, s: s, end: end, known: s.knownFirst, owns: s.ownsFirst, landed: s.arrives < 0, seen: make([]uint8, len(w.Actions))}
}

func (l *life) plan(e errand) {
	at, _ := slices.BinarySearchFunc(l.agenda, e, func(a, b errand) int { return cmp.Compare(a.At, b.At) })
	l.agenda = slices.Insert(l.agenda, at, e)
}

// need returns the category that has run out the longest (-1 if none) and how
// that moves the chance of an order.
func (l *life) need(now int64) (category int, factor float64) {
	category, factor = -1, 1
	oldest := int64(math.MaxInt64)
	for i := range l.w.Categories {
		switch out := l.out[i]; {
		case out == 0:
		case out > now && category < 0:
			factor = 0.45 // the shelf is full
		case out <= now && out < oldest:
			oldest, category, factor = out, i, 2
		}
	}
	return category, factor
}

// intends returns the chance that a visit now ends in an order by itself.
func (l *life) intends(now int64) float64 {
	_, factor := l.need(now)
	return min(l.s.Type.Convert*factor, 0.9)
}

// secondLine and thirdLine are the chances that a basket has a second and a third product.
const secondLine, thirdLine = 0.35, 0.15

// ownBasket returns the expected worth of an order of the shopper's own making.
func (l *life) ownBasket(now int64) float64 {
	first := l.s.basket
	if c, _ := l.need(now); c >= 0 {
		_, price := l.w.within(l.s, c, 0)
		first = restocks*price + (1-restocks)*l.s.basket
	}
	return first + (secondLine+thirdLine)*l.s.basket
}

// restocks is the chance that the first thing in a basket is what ran out.
const restocks = 0.8

func (l *life) bought(product int, now int64, r *rand.Rand) {
	c := l.w.Products[product].category
	if l.w.Categories[c].Machine {
		l.owns = true
	}
	if lasts := l.w.Categories[c].Lasts; lasts > 0 {
		l.out[c] = max(l.out[c], now) + int64(float64(day)*lasts/pace(l.s)*(0.7+0.6*r.Float64()))
	}
}

// pace is how fast a shopper uses things up: whoever comes often drinks more.
func pace(s *Shopper) float64 { return clamp(math.Sqrt(s.Rate*7), 0.5, 2) }

func (l *life) timesSeen(action int, now int64) int {
	if action < 0 || now/week != l.seenIn {
		return 0
	}
	return int(l.seen[action])
}

func (l *life) noteSeen(action int, now int64) {
	if now/week != l.seenIn {
		clear(l.seen)
		l.seenIn = now / week
	}
	if action >= 0 && l.seen[action] < 255 {
		l.seen[action]++
	}
}

// era is the time history covers, and where each country's days lie in it.
type era struct {
	end      int64
	midnight [][]int64 // by country and day: local midnight
	weight   [][]float64
}

func (w *World) era(end int64) *era {
	e := &era{end: end}
	first := time.UnixMilli(end).AddDate(0, 0, -w.Days)
	for i := range w.Countries {
		local := first.In(w.Countries[i].zone)
		midnights, weights := make([]int64, w.Days+1), make([]float64, w.Days+1)
		for d := range midnights {
			at := time.Date(local.Year(), local.Month(), local.Day()+d, 0, 0, 0, 0, local.Location())
			midnights[d] = at.UnixMilli()
			weights[d] = w.weight(at)
		}
		e.midnight = append(e.midnight, midnights)
		e.weight = append(e.weight, weights)
	}
	return e
}

// weight is how busy a day is against the average day.
func (w *World) weight(at time.Time) float64 {
	return w.Weekdays[(int(at.Weekday())+6)%7] * w.Months[at.Month()-1]
}

// history lives a shopper's life up to the end of the era.
func (w *World) history(index int, e *era, st stage, p *pen) *life {
	l := w.birth(w.Shopper(index), e.end)
	if index >= w.Shoppers {
		return l
	}
	s := l.s
	r := w.dice(streamHistory, uint64(index))
	country := 0
	for ; &w.Countries[country] != s.Country; country++ {
	}
	last := e.end - hour
	for d := int(max(s.arrives, 0)); d <= w.Days && float64(d) < s.leaves; d++ {
		rate := s.Rate * e.weight[country][d]
		visits := int(rate)
		if r.Float64() < rate-float64(visits) {
			visits++
		}
		midnight := e.midnight[country][d]
		var starts [8]int64
		visits = min(visits, len(starts))
		for i := range visits {
			starts[i] = midnight + int64(draw(s.Type.hours, r.Float64()))*hour + r.Int64N(hour)
		}
		slices.Sort(starts[:visits])
		for _, at := range starts[:visits] {
			l.errands(st, r, p, at)
			if at = max(at, l.busy+10*minute); at < last {
				l.visit(st, r, p, at, l.channel(r, at))
			}
		}
		if len(l.agenda) > 0 {
			l.errands(st, r, p, min(midnight+day, last))
		}
	}
	l.errands(st, r, p, last)
	return l
}

// errands does what is due before a moment.
func (l *life) errands(st stage, r *rand.Rand, p *pen, before int64) {
	for len(l.agenda) > 0 && l.agenda[0].At < before {
		e := l.agenda[0]
		l.agenda = slices.Delete(l.agenda, 0, 1)
		l.errand(st, r, p, e)
	}
}

// channel decides through which door the shopper comes.
func (l *life) channel(r *rand.Rand, at int64) channel {
	s := l.s
	hasApp := l.age(at) >= s.appFrom
	switch c := channel(draw(s.Type.channels[:], r.Float64())); {
	case c == app && !hasApp, c == till && !s.card, c == mail && (!l.known || !l.allows || len(l.w.Mailings) == 0):
		return web
	case c == web && hasApp && r.Float64() < 0.3:
		return app // whoever has the app uses it instead of the site now and then
	default:
		return c
	}
}

// age returns the day of history a moment falls on, with fractions; it goes on
// counting after history has ended.
func (l *life) age(at int64) float64 {
	return float64(l.w.Days) + float64(at-l.end)/float64(day)
}
