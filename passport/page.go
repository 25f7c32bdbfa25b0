package passport

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/tap"
)

// cookieName is the cookie of somebody who holds an item.
const cookieName = "rapport_holder"

// verdict is what is known of whether the item at hand is what it says.
type verdict string

const (
	scanned  verdict = "scanned"  // a code anybody can copy
	fresh    verdict = "fresh"    // a tap made now by the item's own tag
	copied   verdict = "copied"   // a tap that was used before
	forged   verdict = "forged"   // not made by a tag of the brand
	unproven verdict = "unproven" // a tap nobody here has the keys for
)

// visit is one look at an item.
type visit struct {
	key     gs1.Key
	id      string // item id; "" for a class of products
	product *catalog.ProductDoc
	item    *twin.Item // nil if nothing is known
	verdict verdict
	tap     tap.Tap
	// viewer is who looks, if the browser says; role is what they are to the item.
	viewer rapport.Identifier
	role   string
	// person is whom the next best thing is decided for.
	person   rapport.ID
	decision *rapport.Decision
	notice   string
	problem  string
	code     string // of an offer just made
}

// tapped answers a tap: it is verified and recorded, and the page is the answer.
func (s *Server) tapped(w http.ResponseWriter, r *http.Request, link gs1.Link, product *catalog.ProductDoc) {
	ctx := r.Context()
	v := &visit{key: link.Key, product: product, verdict: forged}
	name, err := twin.Name(link.Key)
	if err != nil {
		s.problem(w, r, err)
		return
	}
	v.id = name.Value
	var m tap.Message
	m.PICC, m.Enc, m.CMAC, m.UID, m.Counter = message(r.URL.Query())
	v.tap, err = s.config.Load().Tags.Verify(link.Key.GTIN(), m)
	switch rapport.KindOf(err) {
	case rapport.Denied:
	case rapport.NotFound:
		v.verdict = unproven
	default:
		if err != nil {
			s.problem(w, r, err)
			return
		}
		if v.verdict, err = s.record(ctx, v); err != nil {
			s.problem(w, r, err)
			return
		}
	}
	code := http.StatusOK
	if v.verdict == copied || v.verdict == forged {
		code = http.StatusForbidden
	}
	s.answer(w, r, v, code)
}

// record notes a tap and asks the tag's fold whether it was the first of its copies.
func (s *Server) record(ctx context.Context, v *visit) (verdict, error) {
	if _, err := s.deps.Items.Item(ctx, v.id); rapport.KindOf(err) == rapport.NotFound {
		// The tag proves that the item is the brand's; a twin begins.
		if err := s.deps.Items.Know(ctx, v.id); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	wasFresh, err := s.deps.Items.Tap(ctx, v.id, v.tap.UID, v.tap.Counter, v.tap.Seal)
	if err != nil {
		return "", err
	}
	if !wasFresh {
		return copied, nil
	}
	return fresh, nil
}

// show serves the page of an item, or of a product.
func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	v, err := s.visit(r)
	if err != nil {
		s.problem(w, r, err)
		return
	}
	v.notice = notices[r.URL.Query().Get("done")]
	s.answer(w, r, v, http.StatusOK)
}

// notices are what the page says after something was done.
var notices = map[string]string{
	"claim": "It is yours. Welcome.", "report": "Thank you. We have noted the problem.", "answer": "Thank you, we will remember.",
	"note":    "Thank you. We have noted that you know of the recall.",
	"release": "It is no longer yours, and what it knew of you is gone.", "withdraw": "The code does not work any more.",
}

func (s *Server) visit(r *http.Request) (*visit, error) {
	link, err := parse(r, "/passport")
	if err != nil {
		return nil, err
	}
	v := &visit{key: link.Key, verdict: scanned, product: s.config.Load().Products.Product(link.Key.GTIN())}
	if i, ok := link.Key.Item(); ok {
		v.id = i.ID()
	}
	return v, nil
}

// complete looks up the item and who looks at it.
func (s *Server) complete(r *http.Request, v *visit) error {
	if v.id != "" {
		item, err := s.deps.Items.Item(r.Context(), v.id)
		if err != nil && rapport.KindOf(err) != rapport.NotFound {
			return err
		}
		v.item = item
	}
	if v.item == nil && v.product == nil {
		return rapport.Errorf(rapport.NotFound, "%s is not known here", v.key.Path())
	}
	if c, err := r.Cookie(cookieName); err == nil {
		v.viewer, _ = s.deps.Items.Unseal(c.Value)
	}
	if v.item == nil {
		return nil
	}
	if v.viewer.Value != "" {
		me := s.deps.Identity.Identified(v.viewer)
		switch {
		case !v.item.Owner.Person.IsZero() && (s.deps.Identity.Person(v.item.Owner.Person) == me):
			v.role = "owner"
		default:
			for _, m := range v.item.Members {
				if s.deps.Identity.Person(m.Person) == me {
					v.role = m.Role
				}
			}
		}
		v.person = me
	}
	// Whoever holds the item in their hand now is dealt with as its owner, but
	// sees nothing the item itself would not tell; anybody else as a stranger.
	if v.person.IsZero() || v.role == "" && v.verdict == fresh {
		owner := v.item.Owner.Person
		if owner.IsZero() || v.verdict != fresh {
			owner = s.deps.Identity.Identified(twin.Holder(v.id, v.item.Epoch))
		}
		if v.item.Owner.Person.IsZero() || v.verdict == fresh {
			v.person = s.deps.Identity.Person(owner)
		}
	}
	return nil
}

// decide asks for the next best thing of this moment.
func (s *Server) decide(ctx context.Context, v *visit) error {
	if v.person.IsZero() || v.item == nil || v.verdict == copied || v.verdict == forged {
		return nil
	}
	f := rapport.AppendField(nil, "item", rapport.StringValue(v.id))
	f = rapport.AppendField(f, "gtin", rapport.StringValue(v.key.GTIN()))
	f = rapport.AppendField(f, "state", rapport.StringValue(string(v.item.Stage())))
	f = rapport.AppendField(f, "verdict", rapport.StringValue(string(v.verdict)))
	d, err := s.deps.Decider.Decide(ctx, decide.Request{Person: v.person, Placement: Placement, Context: f, Limit: 1})
	if rapport.KindOf(err) == rapport.NotFound {
		return nil // no such placement: nothing is offered here
	}
	if err != nil {
		return err
	}
	v.decision = d
	if len(d.Items) == 0 {
		return nil
	}
	return s.tell(ctx, v.person, rapport.EventDecisionShown, rapport.AppendField(nil, "decisionId", rapport.StringValue(d.ID)), nil)
}

// tell records an event of a person.
func (s *Server) tell(ctx context.Context, person rapport.ID, name string, properties, traits rapport.Fields) error {
	now := rapport.Millis(s.deps.Clock.Now())
	e := rapport.Event{
		Type: rapport.TypeTrack, Name: name, MessageID: random(), Source: twin.Source, Entity: person, Timestamp: now, OriginalTimestamp: now,
		ReceivedAt: now, Properties: properties,
	}
	if name == "" {
		e.Type, e.Traits = rapport.TypeIdentify, traits
	}
	return s.deps.Record(ctx, &e)
}

func random() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// answer serves a visit as a page, or as JSON to a program that asks for it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v *visit, code int) {
	if err := s.complete(r, v); err != nil {
		s.problem(w, r, err)
		return
	}
	if err := s.decide(r.Context(), v); err != nil {
		s.problem(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the URL of a tap is nobody else's business
	h.Set("X-Content-Type-Options", "nosniff")
	if accepts(r, "application/json") {
		body, err := json.Marshal(s.json(v))
		if err != nil {
			s.problem(w, r, err)
			return
		}
		h.Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write(body)
		return
	}
	var b bytes.Buffer
	if err := s.page.Execute(&b, s.model(v)); err != nil {
		s.problem(w, r, err)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' https:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// json is the visit for programs, such as the brand's own app.
func (s *Server) json(v *visit) map[string]any {
	out := map[string]any{"id": v.id, "gtin": v.key.GTIN(), "verdict": string(v.verdict), "authentic": v.verdict == fresh, "decision": nil}
	if v.item != nil {
		out["state"], out["owned"], out["seal"] = string(v.item.Stage()), !v.item.Owner.Person.IsZero(), v.item.Seal
		if r := v.item.Recalled(); r != nil {
			out["recall"], out["recallId"], out["recallInstructions"], out["recallUrl"] = r.Reason, r.ID, r.Instructions, r.URL
		}
	}
	if v.verdict == fresh {
		out["tap"] = map[string]any{"counter": v.tap.Counter, "seal": v.tap.Seal}
		out["ticket"] = s.deps.Items.Ticket(v.id)
	}
	if v.role != "" {
		out["role"] = v.role
	}
	if d := v.decision; d != nil {
		items := []map[string]any{}
		for i := range d.Items {
			items = append(items, map[string]any{"action": d.Items[i].Action, "kind": string(d.Items[i].Type), "content": d.Items[i].Content.Map()})
		}
		out["decision"] = map[string]any{"decisionId": d.ID, "holdout": d.Holdout, "items": items}
	}
	return out
}

// step is one line of the provenance.
type step struct{ Name, Place, When string }

// notice is a recall as the page shows it; whoever holds the item can take note of it.
type notice struct {
	ID, Reason, Instructions, URL string
	Mine                          bool
}

// offer is the next best thing as the page shows it.
type offer struct{ Title, Body, Label, Link string }

// model is what the template shows.
type model struct {
	Path, Title, Brand, Image, Description, GTIN, Serial, Lot, Expiry string
	Verdict                                                           verdict
	Seal, Notice, Problem                                             string
	Recalls                                                           []notice
	Offer                                                             *offer
	State, Firmware                                                   string
	Level                                                             int // percent, -1 if unknown
	Steps                                                             []step
	Passport                                                          catalog.PassportDoc
	Attributes                                                        map[string]string
	Warranty, Terms                                                   string
	Known, Owned, Mine                                                bool
	Role, Ticket, Code, OfferKind                                     string
	Offered                                                           bool
	Questions                                                         []catalog.QuestionDoc
	Shop                                                              string
}

var stageNames = map[twin.Stage]string{
	twin.Registered: "Registered", twin.Commissioned: "Made", twin.Packed: "Packed", twin.Shipped: "Shipped", twin.Received: "Received",
	twin.OnShelf: "On the shelf", twin.Sold: "Sold", twin.Owned: "Yours to use", twin.Opened: "Opened", twin.InUse: "In use", twin.Low: "Running low",
	twin.NeedsService: "Needs care", twin.Serviced: "Serviced", twin.Transferred: "Passed on", twin.Recalled: "Recalled", twin.Ended: "At its end",
}

func (s *Server) model(v *visit) model {
	m := model{
		Path: "/passport" + v.key.Path(), Title: v.key.GTIN(), GTIN: v.key.GTIN(), Serial: v.key.Serial(), Lot: v.key.Value("10"),
		Verdict: v.verdict, Notice: v.notice, Problem: v.problem, Code: v.code, Level: -1,
	}
	if p := v.product; p != nil {
		m.Title, m.Brand, m.Image, m.Description, m.Passport, m.Attributes, m.Questions, m.Shop, m.Terms = p.Name, p.Brand, p.Image, p.Description, p.Passport, p.Attributes, p.Questions, p.URL, p.Warranty.Terms
	}
	if v.decision != nil && len(v.decision.Items) > 0 {
		m.Offer = s.offer(v)
	}
	x := v.item
	if x == nil {
		return m
	}
	m.Known, m.Owned, m.Mine, m.Role, m.State = true, !x.Owner.Person.IsZero(), v.role == "owner", v.role, stageNames[x.Stage()]
	m.Seal, m.Offered = x.Seal, len(x.Offer.Hash) > 0
	if m.Lot == "" {
		m.Lot = x.Fact("lot")
	}
	m.Expiry = x.Fact("expiry")
	for i := range x.Recalls {
		r := x.Recalls[i]
		if r.Instructions == "" && r.URL == "" {
			r.Instructions = "Please stop using it and contact us."
		}
		m.Recalls = append(m.Recalls, notice{r.ID, r.Reason, r.Instructions, r.URL, v.role != ""})
	}
	if v.verdict == fresh {
		m.Ticket = s.deps.Items.Ticket(v.id)
	}
	for _, c := range x.Steps {
		if name := stageNames[c.Stage]; name != "" && (len(m.Steps) == 0 || m.Steps[len(m.Steps)-1].Name != name) {
			m.Steps = append(m.Steps, step{name, c.Location, rapport.Time(c.At).Format("2 January 2006")})
		}
	}
	if v.product != nil {
		if _, until, ok := x.Warranty(v.product.Warranty.For.Millis()); ok {
			m.Warranty = rapport.Time(until).Format("2 January 2006")
		}
	}
	if v.role != "" { // what the item measures is for those who hold it
		m.Firmware = x.Firmware
		if r := x.Reading("level"); r != nil {
			if n, ok := r.Number(); ok && n >= 0 && n <= 1 {
				m.Level = int(n*100 + 0.5)
			}
		}
	} else if slices.Contains([]twin.Stage{twin.Low, twin.InUse, twin.NeedsService}, x.Stage()) {
		m.State = "In use"
	}
	return m
}

func (s *Server) offer(v *visit) *offer {
	c := v.decision.Items[0].Content
	text := func(names ...string) string {
		for _, n := range names {
			if x, ok := c.Get(n); ok && x.Str() != "" {
				return x.Str()
			}
		}
		return ""
	}
	o := &offer{Title: text("title", "headline", "name"), Body: text("body", "text", "subtitle", "description"), Label: text("label", "cta", "button")}
	if o.Label == "" {
		o.Label = "Show me"
	}
	if to := text("url", "href", "link"); to != "" {
		until := rapport.Millis(s.deps.Clock.Now()) + (24 * time.Hour).Milliseconds()
		word := s.deps.Items.Seal(rapport.Identifier{Kind: "go", Value: v.decision.ID + " " + v.person.String() + " " + to}, until)
		o.Link = "/passport/go?to=" + url.QueryEscape(word)
	}
	return o
}
