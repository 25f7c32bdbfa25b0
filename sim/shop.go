package sim

import (
	"math"
	"strconv"
	"strings"
)

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
	earned := margin
	p.money("margin", max(margin, 0))
	p.str("currency", v.w.Currency)
	if v.converted {
		// The shop's own attribution: what a suggestion put into the cart.
		p.str("decisionId", v.sold)
		p.str("promotion", v.seller)
		p.money("promoted", revenue)
		p.money("earned", earned)
	} else if v.discount > 0 {
		// A discount on what would have been bought anyway earns nothing and costs itself.
		p.str("decisionId", v.sold)
		p.money("earned", revenue-total)
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
		if home, ok := v.stage.(buys); ok {
			home.bought(i, v.now, v.l.out[v.w.Products[i].category])
		}
	}
	if len(v.w.Topics) > 0 && v.r.Float64() < 0.03 {
		v.l.plan(errand{At: v.now + int64(float64(day)*(0.5+3*v.r.Float64())), Kind: opensTicket, Order: id})
	}
	v.stage.observe(v, observation{revenue: revenue, orders: 1, seller: v.seller})
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
