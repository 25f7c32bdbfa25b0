package sim

import (
	"math/rand/v2"
	"strconv"
)

// abandons is the chance that a visit that will not buy fills a cart all the same.
const abandons = 0.12

// leaves is the chance that somebody annoyed withdraws the consent they gave.
const leaves = 0.15

// visit is one stretch of attention: a browser session, an app session, a
// minute at the till. It is written once and played on both stages.
type visit struct {
	l     *life
	w     *World
	s     *Shopper
	r     *rand.Rand
	stage stage
	pen   *pen

	channel channel
	start   int64
	now     int64
	seq     int
	context []byte // the context object of every event

	anonymous string // anonymousId of the device at hand
	device    int    // index into life.loggedIn, or -1
	named     bool   // events carry the userId

	intent    float64 // chance of an order of its own accord
	buys      bool    // and how that fell out
	converted bool    // an action made it so
	seller    string  // which, in which decision
	sold      string
	want      int     // the product an action sold, or -1
	offered   float64 // what that product costs
	discount  float64
	gone      bool
	cart      []int // products
	path      string
	viewing   int // the product on the page, or -1
}

// observation is a decision met by a shopper, for the ledger.
type observation struct {
	placement string
	answer    answer
	moment    Moment
	seen      []int    // how often each action had been seen this week, before
	clicked   []string // the actions followed
	revenue   float64  // of an order, whatever led to it
	orders    int
	seller    string // the action that made the order, if one did
}

func (l *life) begin(st stage, r *rand.Rand, p *pen, at int64, c channel) *visit {
	v := &visit{l: l, w: l.w, s: l.s, r: r, stage: st, pen: p, channel: c, start: at, now: at, device: -1, want: -1, viewing: -1}
	v.context = v.setting()
	return v
}

// visit lives through one visit.
func (l *life) visit(st stage, r *rand.Rand, p *pen, at int64, c channel) {
	v := l.begin(st, r, p, at, c)
	switch c {
	case mail:
		v.reads()
	case till:
		v.counter()
	default:
		v.shop()
	}
	l.busy = v.now
}

// errand does what was planned.
func (l *life) errand(st stage, r *rand.Rand, p *pen, e errand) {
	at := max(e.At, l.busy+minute)
	switch e.Kind {
	case comesBack:
		v := l.begin(st, r, p, at, web)
		v.buys, v.converted, v.seller, v.sold, v.want, v.discount = true, true, e.Action, e.Decision, e.Product, e.Discount
		v.offered = l.w.Products[e.Product].Price
		v.takeDevice()
		v.product(e.Product)
		v.checkout()
		l.busy = v.now
	case opensTicket, closesTicket:
		v := l.begin(st, r, p, at, support)
		v.anonymous = l.s.deskID()
		v.desk(e)
		l.busy = v.now
	}
}

// setting writes the context object the visit's events share.
func (v *visit) setting() []byte {
	p := pen{b: make([]byte, 0, 256)}
	p.open()
	p.truth("demo", true)
	p.object("library")
	p.str("name", v.w.Name+"-"+channelNames[v.channel])
	p.str("version", "4.2.0")
	p.end()
	if v.channel == web || v.channel == app {
		p.str("locale", v.s.Country.Locale)
		p.str("timezone", v.s.Country.Zone)
	}
	switch {
	case v.channel == app:
		p.object("device")
		p.str("type", [2]string{"ios", "android"}[v.s.key&1])
		p.end()
	case v.channel == web && !v.l.landed:
		v.l.landed = true
		a := v.s.from
		p.object("campaign")
		p.str("source", a.Source)
		p.str("medium", a.Medium)
		if a.Campaign != "" {
			p.str("name", a.Campaign)
		}
		p.end()
	}
	p.end()
	return p.b
}

// event begins an event of a type; what follows are its other members, and finish.
func (v *visit) event(kind string) *pen {
	p := v.pen
	p.reset()
	p.open()
	p.str("type", kind)
	p.key("messageId")
	p.b = append(p.b, '"')
	p.b = strconv.AppendUint(p.b, v.w.Seed, 36)
	for _, n := range [3]int64{int64(v.s.Index), v.start, int64(v.seq)} {
		p.b = append(p.b, '-')
		p.b = strconv.AppendInt(p.b, n, 36)
	}
	p.b = append(p.b, '"')
	v.seq++
	if v.anonymous != "" {
		p.str("anonymousId", v.anonymous)
	}
	if v.named {
		p.str("userId", v.s.UserID)
	}
	p.when("timestamp", v.now)
	return p
}

func (v *visit) track(name string) *pen {
	p := v.event("track")
	p.str("event", name)
	p.object("properties")
	return p
}

// close ends an event whose properties or traits are open.
func (v *visit) close() []byte {
	v.pen.end()
	v.pen.key("context")
	v.pen.b = append(v.pen.b, v.context...)
	v.pen.end()
	return v.pen.b
}

func (v *visit) finish() { v.stage.say(v.channel, v.close()) }

// wait lets between low and high seconds pass, more often few than many.
func (v *visit) wait(low, high float64) {
	u := v.r.Float64()
	v.now += int64((low + (high-low)*u*u) * 1000)
	if !v.stage.until(v.now) {
		v.gone = true
	}
}

// see views a page or screen, asks what to show there, and meets it.
func (v *visit) see(at, name, path string) {
	if v.gone {
		return
	}
	kind, spot := "page", at
	if v.channel == app {
		kind = "screen"
		if at == "home" {
			spot = "app"
		} else {
			spot = "" // the app asks on its home screen only
		}
	}
	v.path = path
	p := v.event(kind)
	p.str("name", name)
	p.object("properties")
	p.str("path", path)
	p.str("title", name)
	event := v.close()
	for i := range v.w.Placements {
		if pl := &v.w.Placements[i]; pl.At == spot {
			a := v.stage.ask(v, pl, event)
			event = nil // it has been told with the first question
			v.meet(pl, a)
		}
	}
	if event != nil {
		v.stage.say(v.channel, event)
	}
}

// meet lets the shopper react to a decision by the hidden truth.
func (v *visit) meet(pl *Placement, a answer) {
	if a.decision == "" {
		return
	}
	o := observation{placement: pl.ID, answer: a, moment: v.moment(pl.At)}
	for i := range v.w.Actions {
		o.seen = append(o.seen, v.l.timesSeen(i, v.now))
	}
	truth := v.w.Oracle()
	for _, id := range a.actions {
		if v.gone {
			break
		}
		action, index := truth.action(id)
		m := v.moment(pl.At)
		m.Seen = v.l.timesSeen(index, v.now)
		e := truth.effect(v.s, m, action)
		v.outcome("Decision Shown", a.decision, id)
		v.l.noteSeen(index, v.now)
		v.wait(2, 15)
		switch u := v.r.Float64(); {
		case u < e.Click:
			o.clicked = append(o.clicked, id)
			v.outcome("Decision Clicked", a.decision, id)
			v.follow(action, id, a.decision)
		case u < e.Click+e.Annoy:
			v.outcome("Decision Dismissed", a.decision, id)
			if v.l.allows && v.r.Float64() < leaves {
				v.consent(false)
			}
		}
	}
	v.stage.observe(v, o)
}

func (v *visit) outcome(name, decision, action string) {
	p := v.track(name)
	p.str("decisionId", decision)
	p.str("action", action)
	v.finish()
}

// follow is what a click leads to.
func (v *visit) follow(a *Action, id, decision string) {
	if a.Answers != "" {
		p := v.event("identify")
		p.object("traits")
		p.str(a.Answers, v.w.favourite(v.s))
		v.finish()
	}
	if v.buys {
		if a.Discount > v.discount {
			v.discount = a.Discount
			if !v.converted {
				v.sold = decision
			}
		}
		return
	}
	if v.r.Float64() >= a.Buy {
		return
	}
	product := a.product
	if product < 0 {
		product, _ = v.w.within(v.s, a.category, v.r.Float64())
	}
	if v.r.Float64() < 0.25 { // sleeps on it
		v.l.plan(errand{At: v.now + int64(float64(hour)*(0.5+24*v.r.ExpFloat64())), Kind: comesBack, Product: product, Discount: a.Discount, Action: id, Decision: decision})
		return
	}
	v.buys, v.converted, v.seller, v.sold, v.want, v.discount = true, true, id, decision, product, a.Discount
	v.offered = v.w.Products[product].Price
}

// favourite names the taste the shopper has most of.
func (w *World) favourite(s *Shopper) string {
	best := 0
	for i := range w.Tastes {
		if s.Tastes[i] > s.Tastes[best] {
			best = i
		}
	}
	if len(w.Tastes) == 0 {
		return "none"
	}
	return w.Tastes[best]
}
