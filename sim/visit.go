package sim

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// abandons is the chance that a visit that will not buy fills a cart all the same.
const abandons = 0.12

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
	want      int     // the product an action sold, or -1
	offered   float64 // what that product costs
	discount  float64
	coupon    string // the action that gave the discount
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
	coupon    string // the action that caused the order
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
		v.buys, v.converted, v.want, v.discount, v.coupon = true, true, e.Product, e.Discount, e.Coupon
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
			v.follow(action, id)
		case u < e.Click+e.Annoy:
			v.outcome("Decision Dismissed", a.decision, id)
			if v.l.allows && v.r.Float64() < 0.15 {
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
func (v *visit) follow(a *Action, id string) {
	if a.Answers != "" {
		p := v.event("identify")
		p.object("traits")
		p.str(a.Answers, v.w.favourite(v.s))
		v.finish()
	}
	if v.buys {
		if a.Discount > v.discount {
			v.discount, v.coupon = a.Discount, id
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
		v.l.plan(errand{At: v.now + int64(float64(hour)*(0.5+24*v.r.ExpFloat64())), Kind: comesBack, Product: product, Discount: a.Discount, Coupon: id})
		return
	}
	v.buys, v.converted, v.want, v.discount, v.coupon = true, true, product, a.Discount, id
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

// takeDevice settles on which device the visit happens and whether it is logged in.
func (v *visit) takeDevice() {
	v.device = 0
	switch {
	case v.channel == app:
		v.device = 2
	case v.l.age(v.start) >= v.s.secondWeb && v.r.Float64() < 0.4:
		v.device = 1
	}
	v.anonymous = v.s.device(uint64(v.device))
	v.named = v.l.known && v.l.loggedIn[v.device]
}

// shop is a visit to the web shop or the app.
func (v *visit) shop() {
	l, r := v.l, v.r
	v.takeDevice()
	v.intent = l.intends(v.start)
	v.buys = r.Float64() < v.intent
	if v.channel == app || r.Float64() < 0.62 {
		v.see("home", "Home", "/")
		v.wait(3, 40)
	}
	if l.known && !v.named && r.Float64() < 0.5 {
		v.login()
	}
	if len(v.w.Searches) > 0 && r.Float64() < 0.22 {
		s := &v.w.Searches[r.IntN(len(v.w.Searches))]
		p := v.track("Products Searched")
		p.str("query", s.Query)
		p.num("results", s.Results)
		v.finish()
		v.wait(3, 30)
	}
	views := 1 + int(r.ExpFloat64()*(0.5+1.8*v.s.Patience))
	for range min(views, 12) {
		if v.gone {
			return
		}
		v.product(draw(v.s.choice, r.Float64()))
	}
	if !l.known && r.Float64() < v.s.Type.SignsUp*0.5 {
		v.signUp()
	}
	if v.buys || r.Float64() < abandons {
		v.checkout()
	}
}

// product looks at one product.
func (v *visit) product(i int) {
	if v.gone {
		return
	}
	pr := &v.w.Products[i]
	v.viewing = i
	v.see("product", pr.Name, pr.path)
	v.viewing = -1
	p := v.track("Product Viewed")
	v.line(i)
	p.str("currency", v.w.Currency)
	v.finish()
	v.wait(6, 90)
}

// line writes a product's members.
func (v *visit) line(i int) {
	pr := &v.w.Products[i]
	p := v.pen
	p.str("product_id", pr.SKU)
	p.str("sku", pr.SKU)
	p.str("name", pr.Name)
	p.str("category", pr.Category)
	p.money("price", pr.Price)
}

// fill puts into the cart what the shopper is going to buy or nearly buys.
func (v *visit) fill() {
	v.cart = v.cart[:0]
	if v.want >= 0 {
		v.cart = append(v.cart, v.want)
		return
	}
	category, _ := v.l.need(v.start)
	if category >= 0 && v.r.Float64() >= restocks {
		category = -1
	}
	first, _ := v.w.within(v.s, category, v.r.Float64())
	v.cart = append(v.cart, first)
	for _, more := range [2]float64{secondLine, thirdLine} {
		if v.r.Float64() < more {
			v.cart = append(v.cart, draw(v.s.choice, v.r.Float64()))
		}
	}
}

// checkout fills the cart and, unless it is abandoned, orders.
func (v *visit) checkout() {
	if v.gone {
		return
	}
	v.fill()
	for _, i := range v.cart {
		p := v.track("Product Added")
		v.line(i)
		p.str("currency", v.w.Currency)
		v.finish()
		v.wait(2, 20)
	}
	before := v.want
	v.see("cart", "Cart", "/cart")
	v.wait(4, 40)
	if !v.buys || v.gone {
		return
	}
	if v.want != before { // an action in the cart sold something: that is the order
		v.cart = append(v.cart[:0], v.want)
	}
	p := v.track("Checkout Started")
	p.money("value", v.total())
	p.str("currency", v.w.Currency)
	v.finish()
	v.wait(20, 120)
	switch {
	case v.gone:
		return
	case v.l.known && !v.named:
		v.login()
	case !v.l.known && v.r.Float64() < 0.8:
		v.signUp()
	case !v.l.known: // a guest leaves an e-mail
		p := v.event("identify")
		p.object("traits")
		p.str("email", v.s.Email)
		v.finish()
	}
	v.order()
}

func (v *visit) total() (sum float64) {
	for _, i := range v.cart {
		sum += v.w.Products[i].Price
	}
	return sum
}

// order completes the purchase of what is in the cart.
func (v *visit) order() {
	total := v.total()
	revenue := math.Round(total*(1-v.discount)*100) / 100
	id := strings.ToUpper("nb-" + strconv.FormatInt(int64(v.s.Index), 36) + "-" + strconv.FormatInt(v.now/1000, 36))
	margin := -(total - revenue)
	p := v.track("Order Completed")
	p.str("order_id", id)
	p.money("revenue", revenue)
	p.money("discount", total-revenue)
	for _, i := range v.cart {
		margin += v.w.Products[i].Price * v.w.Products[i].Margin
	}
	p.money("margin", max(margin, 0))
	p.str("currency", v.w.Currency)
	if v.discount > 0 {
		p.str("coupon", v.coupon)
	}
	p.str("store", channelNames[v.channel])
	p.array("products")
	for _, i := range v.cart {
		p.open()
		v.line(i)
		p.num("quantity", 1)
		p.end()
	}
	p.endArray()
	v.finish()
	v.l.orders++
	for _, i := range v.cart {
		v.l.bought(i, v.now, v.r)
	}
	if len(v.w.Topics) > 0 && v.r.Float64() < 0.03 {
		v.l.plan(errand{At: v.now + int64(float64(day)*(0.5+3*v.r.Float64())), Kind: opensTicket, Order: id})
	}
	v.stage.observe(v, observation{revenue: revenue, orders: 1, coupon: v.coupon})
}

// login names the shopper on this device and, once, asks for consent.
func (v *visit) login() {
	v.named = true
	v.l.loggedIn[v.device] = true
	p := v.event("identify")
	p.object("traits")
	p.str("email", v.s.Email)
	if v.s.Phone != "" {
		p.str("phone", v.s.Phone)
	}
	p.str("firstName", v.s.Given)
	p.str("lastName", v.s.Surname)
	p.str("country", v.s.Country.ID)
	p.str("city", v.s.City)
	p.str("locale", v.s.Country.Locale)
	p.str("timezone", v.s.Country.Zone)
	v.finish()
	if !v.l.asked {
		v.consent(v.s.optsIn)
	}
}

// signUp opens an account.
func (v *visit) signUp() {
	if v.gone {
		return
	}
	v.l.known = true
	v.login()
	p := v.track("Signed Up")
	p.str("method", "email")
	v.finish()
	v.wait(5, 40)
}

func (v *visit) consent(allowed bool) {
	v.l.asked, v.l.allows = true, allowed
	p := v.track("Consent Updated")
	p.str("purpose", "marketing")
	p.str("channel", "email")
	p.truth("allowed", allowed)
	v.finish()
}

// reads opens a newsletter and perhaps follows it into the shop.
func (v *visit) reads() {
	v.named = true
	name := v.w.Mailings[v.r.IntN(len(v.w.Mailings))]
	p := v.track("Email Opened")
	p.str("campaign", name)
	v.finish()
	v.wait(3, 40)
	if v.r.Float64() < 0.03 {
		v.consent(false) // the link at the foot
		return
	}
	if v.gone || v.r.Float64() > 0.55 {
		return
	}
	p = v.track("Email Link Clicked")
	p.str("campaign", name)
	v.finish()
	v.channel, v.named = web, false
	v.context = v.setting()
	v.shop()
}

// counter is a purchase at the store's till, known by the loyalty card alone.
func (v *visit) counter() {
	v.anonymous = v.s.cardID()
	if !v.l.carded {
		v.l.carded = true
		p := v.event("identify")
		p.object("traits")
		p.str("email", v.s.Email)
		p.str("loyaltyCard", v.anonymous[5:])
		v.finish()
	}
	v.fill()
	v.order()
}

// desk is one contact with support.
func (v *visit) desk(e errand) {
	if !v.l.desked {
		v.l.desked = true
		p := v.event("identify")
		p.object("traits")
		p.str("email", v.s.Email)
		v.finish()
	}
	if e.Kind == closesTicket {
		p := v.track("Support Ticket Solved")
		p.str("order_id", e.Order)
		p.num("satisfaction", 1+int(clamp(v.s.Patience*3+2*v.r.Float64(), 0, 4)))
		v.finish()
		return
	}
	p := v.track("Support Ticket Opened")
	p.str("order_id", e.Order)
	p.str("topic", v.w.Topics[v.r.IntN(len(v.w.Topics))])
	v.finish()
	v.l.plan(errand{At: v.now + int64(float64(hour)*(1+40*v.r.Float64())), Kind: closesTicket, Order: e.Order})
}
