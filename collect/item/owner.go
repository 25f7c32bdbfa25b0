package item

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

// Proof says why somebody may claim an item: one of its fields.
type Proof struct {
	// Ticket is what a fresh tap gave ([Door.Ticket]).
	Ticket string
	// Code was packed with the item.
	Code string
	// Receipt is the number of the sale the item was in.
	Receipt string
	// Offer is the code of the present owner's offer.
	Offer string
	// Trusted is set by a caller that vouches for the person, with its name.
	Trusted string
}

// Claim makes a person the owner of an item and joins what the item has learned
// while it was nobody's with that person. A person without identifier claims as
// the item's own anonymous relationship. Claiming again what one owns is no
// error. Kinds: NotFound, Denied (no proof), Conflict (somebody else's).
func (d *Door) Claim(ctx context.Context, item string, who rapport.Identifier, p Proof) (*twin.Item, error) {
	s, err := d.Item(ctx, item)
	if err != nil {
		return nil, err
	}
	holder := twin.Holder(item, s.Epoch)
	if who.Value == "" {
		who = holder
	}
	person := d.ID(who)
	if _, mine := s.Holds(d.all(ctx, person)...); mine && d.same(person, s.Owner.Person) {
		return s, d.stitched(ctx, s, who)
	}
	proof, offer, err := d.prove(s, p)
	if err != nil {
		return nil, err
	}
	if !s.Owner.Person.IsZero() && offer == "" {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Conflict, "the item belongs to somebody"), "its owner can pass it on, which gives a code")
	}
	f := rapport.AppendField(nil, "item", rapport.StringValue(item))
	f = rapport.AppendField(f, "person", rapport.StringValue(person.String()))
	f = rapport.AppendField(f, "proof", rapport.StringValue(proof))
	if offer != "" {
		f = rapport.AppendField(f, "offer", rapport.StringValue(offer))
	}
	if err := d.Moment(ctx, item, twin.EventClaimed, "", f); err != nil {
		return nil, err
	}
	if s, err = d.Item(ctx, item); err != nil {
		return nil, err
	}
	if s.Owner.Person != person {
		return nil, rapport.Errorf(rapport.Conflict, "somebody else was faster")
	}
	return s, d.stitched(ctx, s, who)
}

// stitched is stitch and reflected.
func (d *Door) stitched(ctx context.Context, s *twin.Item, who rapport.Identifier) error {
	if err := d.stitch(ctx, s, who); err != nil {
		return err
	}
	return d.reflected(ctx, d.ID(who))
}

// reflected waits until a person knows what the items were told of them: that
// reaches a person by way of the items, so that who reads the person afterwards
// and waits for the person's own events alone finds it.
func (d *Door) reflected(ctx context.Context, person rapport.ID) error {
	return d.deps.Engine.View(ctx, d.deps.Resolver.Person(person), nil, func(*engine.View) error { return nil })
}

// same reports whether two ids are one person.
func (d *Door) same(a, b rapport.ID) bool {
	return a == b || d.deps.Resolver.Person(a) == d.deps.Resolver.Person(b)
}

// all returns every id a person is known by.
func (d *Door) all(ctx context.Context, person rapport.ID) []rapport.ID {
	ids := []rapport.ID{person, d.deps.Resolver.Person(person)}
	who, err := d.deps.Resolver.Who(ctx, ids[1])
	if err != nil {
		return ids
	}
	return append(ids, who.Fragments...)
}

// prove checks a proof and returns its name, and the hash of an offer.
func (d *Door) prove(s *twin.Item, p Proof) (name, offer string, err error) {
	switch {
	case p.Offer != "":
		hash := hashCode(p.Offer)
		if subtle.ConstantTimeCompare([]byte(hash), s.Offer.Hash) == 1 && d.now() <= s.Offer.Expires {
			return "transfer", hash, nil
		}
		return "", "", rapport.Errorf(rapport.Denied, "the code is wrong or has expired")
	case p.Trusted != "":
		return "api", "", nil
	case p.Ticket != "":
		if d.checkTicket(s.ID, p.Ticket) {
			return "tap", "", nil
		}
		return "", "", rapport.WithHint(rapport.Errorf(rapport.Denied, "the tap is too long ago"), "hold the phone to the product again")
	case p.Code != "":
		if len(s.ClaimCode) > 0 && subtle.ConstantTimeCompare([]byte(hashCode(p.Code)), s.ClaimCode) == 1 {
			return "code", "", nil
		}
		return "", "", rapport.Errorf(rapport.Denied, "the code is not the one that came with this item")
	case p.Receipt != "":
		for _, step := range s.Steps {
			if step.Stage == twin.Sold && step.Reference != "" && subtle.ConstantTimeCompare([]byte(step.Reference), []byte(p.Receipt)) == 1 {
				return "receipt", "", nil
			}
		}
		return "", "", rapport.Errorf(rapport.Denied, "the receipt is not of a sale of this item")
	}
	return "", "", rapport.WithHint(rapport.Errorf(rapport.Denied, "a claim needs a proof"), "tap the product, or give the code that came with it or the number of the receipt")
}

// stitch joins the relationship the item built while it was nobody's with its owner.
func (d *Door) stitch(ctx context.Context, s *twin.Item, who rapport.Identifier) error {
	if rapport.RankOf(who.Kind) >= rapport.RankDevice || s.Epoch == 0 {
		return nil // an anonymous owner is that relationship
	}
	holder := twin.Holder(s.ID, s.Epoch-1)
	now := d.now()
	e := rapport.Event{
		Type: rapport.TypeIdentify, MessageID: "stitch:" + s.ID + ":" + strconv.Itoa(int(s.Epoch)), Source: twin.Source,
		AnonymousID: holder.Value, Timestamp: now, OriginalTimestamp: now, ReceivedAt: now,
		Identifiers: []rapport.Identifier{who, holder},
	}
	if who.Kind == rapport.KindUserID {
		e.UserID = who.Value
	}
	return d.append(ctx, e)
}

// Identify ties an item's anonymous owner to a known person: they signed in.
func (d *Door) Identify(ctx context.Context, holder, who rapport.Identifier) error {
	now := d.now()
	e := rapport.Event{
		Type: rapport.TypeIdentify, MessageID: random(), Source: twin.Source, AnonymousID: holder.Value, Timestamp: now, OriginalTimestamp: now,
		ReceivedAt: now, Identifiers: []rapport.Identifier{who, holder},
	}
	if who.Kind == rapport.KindUserID {
		e.UserID = who.Value
	}
	return d.append(ctx, e)
}

// OfferValid is how long an owner's offer stands.
const OfferValid = 7 * 24 * time.Hour

// Offer lets an owner pass an item on: whoever shows the code within a week
// becomes its owner. kind is transfer or gift. The code is returned once. An
// earlier offer ends. Kinds: NotFound, Denied (not the owner), Invalid.
func (d *Door) Offer(ctx context.Context, item string, by rapport.ID, kind string) (code string, expires int64, err error) {
	if kind != "transfer" && kind != "gift" {
		return "", 0, rapport.Errorf(rapport.Invalid, "an offer is a transfer or a gift, not %q", clip(kind))
	}
	if _, err := d.owned(ctx, item, by); err != nil {
		return "", 0, err
	}
	code = typedCode()
	expires = d.now() + OfferValid.Milliseconds()
	f := rapport.AppendField(nil, "hash", rapport.StringValue(hashCode(code)))
	f = rapport.AppendField(f, "kind", rapport.StringValue(kind))
	f = rapport.AppendField(f, "expires", rapport.NumberValue(float64(expires)))
	return code, expires, d.Moment(ctx, item, twin.EventOffered, "", f)
}

// Withdraw ends an owner's offer. Kinds: NotFound, Denied.
func (d *Door) Withdraw(ctx context.Context, item string, by rapport.ID) error {
	if _, err := d.owned(ctx, item, by); err != nil {
		return err
	}
	return d.Moment(ctx, item, twin.EventWithdrawn, "", nil)
}

// Release makes an item nobody's; what the owner's use left on it goes. A zero
// by is the operator. Kinds: NotFound, Denied.
func (d *Door) Release(ctx context.Context, item string, by rapport.ID) error {
	if _, err := d.owned(ctx, item, by); err != nil {
		return err
	}
	return d.Moment(ctx, item, twin.EventReleased, "", nil)
}

// Member gives somebody a role in the household of an item: member or guest, or
// "" for none any more. A zero by is the operator. Kinds: NotFound, Denied, Invalid.
func (d *Door) Member(ctx context.Context, item string, by rapport.ID, who rapport.Identifier, role string) error {
	if role != "" && role != "member" && role != "guest" {
		return rapport.Errorf(rapport.Invalid, "a role is member or guest, not %q", clip(role))
	}
	s, err := d.owned(ctx, item, by)
	if err != nil {
		return err
	}
	if s.Owner.Person.IsZero() {
		return rapport.Errorf(rapport.Conflict, "the item belongs to nobody, so there is no household")
	}
	person := d.ID(who)
	f := rapport.AppendField(nil, "person", rapport.StringValue(person.String()))
	f = rapport.AppendField(f, "role", rapport.StringValue(role))
	if err := d.Moment(ctx, item, twin.EventMember, "", f); err != nil {
		return err
	}
	return d.reflected(ctx, person)
}

func (d *Door) owned(ctx context.Context, item string, by rapport.ID) (*twin.Item, error) {
	s, err := d.Item(ctx, item)
	if err != nil || by.IsZero() {
		return s, err
	}
	if s.Owner.Person.IsZero() || !d.same(by, s.Owner.Person) {
		return nil, rapport.Errorf(rapport.Denied, "only the owner may do this")
	}
	return s, nil
}

// LetGo releases everything a person holds, before they are erased.
func (d *Door) LetGo(ctx context.Context, person rapport.ID) error {
	var things []twin.Thing
	err := d.deps.Engine.View(ctx, d.deps.Resolver.Person(person), nil, func(v *engine.View) error {
		things = twin.ReadThings(v)
		return nil
	})
	if err != nil {
		return err
	}
	ids := d.all(ctx, person)
	for _, t := range things {
		if t.Role == "owner" {
			if err := d.Release(ctx, t.Item, rapport.ID{}); err != nil {
				return err
			}
			continue
		}
		s, err := d.Item(ctx, t.Item)
		if err != nil {
			return err
		}
		for _, m := range s.Members {
			for _, id := range ids {
				if m.Person != id {
					continue
				}
				f := rapport.AppendField(nil, "person", rapport.StringValue(id.String()))
				if err := d.Moment(ctx, t.Item, twin.EventMember, "", rapport.AppendField(f, "role", rapport.StringValue(""))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// TicketValid is how long a fresh tap serves as proof.
const TicketValid = 15 * time.Minute

// Ticket returns the proof that somebody just tapped an item.
func (d *Door) Ticket(item string) string {
	until := strconv.FormatInt(d.now()+TicketValid.Milliseconds(), 36)
	return until + "." + d.sign("ticket", item, until)
}

func (d *Door) checkTicket(item, ticket string) bool {
	until, mac, ok := strings.Cut(ticket, ".")
	at, err := strconv.ParseInt(until, 36, 64)
	return ok && err == nil && d.now() <= at && hmac.Equal([]byte(mac), []byte(d.sign("ticket", item, until)))
}

// Seal returns a signed word that says who somebody is, for a cookie; Unseal reads it.
func (d *Door) Seal(who rapport.Identifier, until int64) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%d %s %s", until, who.Kind, who.Value)))
	return text + "." + d.sign("holder", text)
}

// Unseal returns who a sealed word says somebody is; ok is false if it is not ours or too old.
func (d *Door) Unseal(word string) (who rapport.Identifier, ok bool) {
	text, mac, _ := strings.Cut(word, ".")
	if !hmac.Equal([]byte(mac), []byte(d.sign("holder", text))) {
		return who, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	parts := strings.SplitN(string(b), " ", 3)
	if err != nil || len(parts) != 3 {
		return who, false
	}
	until, err := strconv.ParseInt(parts[0], 10, 64)
	return rapport.Identifier{Kind: parts[1], Value: parts[2]}, err == nil && d.now() <= until
}

func (d *Door) sign(parts ...string) string {
	m := hmac.New(sha256.New, d.deps.Key)
	for _, p := range parts {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:18])
}

// Know makes sure that an item has a twin.
func (d *Door) Know(ctx context.Context, item string) error {
	return d.Register(ctx, []Registration{{Item: item}})
}

// Tap records a tap whose code was right and reports whether it is fresh: the
// tag is the item's own and no tap with this or a higher counter came before.
// What is asked next sees the tap and all it caused.
func (d *Door) Tap(ctx context.Context, item, uid string, counter int64, seal string) (fresh bool, err error) {
	tag := twin.TagName(uid)
	id, now := random(), d.now()
	p := rapport.AppendField(nil, "item", rapport.StringValue(item))
	p = rapport.AppendField(p, "counter", rapport.NumberValue(float64(counter)))
	if seal != "" {
		p = rapport.AppendField(p, "tamper", rapport.StringValue(seal))
	}
	if err := d.append(ctx, twin.Fact(tag, twin.EventTapped, id, now, now, p)); err != nil {
		return false, err
	}
	l, err := d.Label(ctx, tag)
	if err != nil {
		return false, err
	}
	return l.Fresh(id), nil
}
