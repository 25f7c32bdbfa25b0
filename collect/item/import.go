package item

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

// Entry is an item that comes from elsewhere: a factory's list, a warranty
// register, the device registry of before.
type Entry struct {
	Registration
	// At is when it came into the world, Unix milliseconds; 0 is now.
	At int64
	// Owner, if it has a value, is whose it is since OwnedAt, Unix milliseconds; 0
	// is now. It takes effect only while the item is nobody's.
	Owner   rapport.Identifier
	OwnedAt int64
	// Token asks for a device token, NewCode for a claim code if ClaimCode is empty.
	Token, NewCode bool
}

// Entered is what became of an Entry. Token and ClaimCode are told this once.
type Entered struct {
	Item, Token, ClaimCode string
	// Problem says why the owner did not become it; "" if all is well.
	Problem string
}

// Import makes many items known at once, with their devices, codes and owners,
// and returns what became of each, in order. revoke ends earlier tokens of those
// that get one. Kinds: Unavailable.
func (d *Door) Import(ctx context.Context, list []Entry, revoke bool) ([]Entered, error) {
	var events []rapport.Event
	out := make([]Entered, len(list))
	known := make([]bool, len(list)) // had a relationship of its own before
	now := d.now()
	for i := range list {
		x := &list[i]
		out[i] = Entered{Item: x.Item, ClaimCode: x.ClaimCode}
		if x.ClaimCode == "" && x.NewCode {
			x.ClaimCode = typedCode()
			out[i].ClaimCode = x.ClaimCode
		}
		if x.Owner.Value != "" {
			var err error
			if known[i], err = d.related(ctx, x.Item); err != nil {
				return nil, err
			}
		}
		at := now
		if x.At > 0 {
			at = min(x.At, now)
		}
		first := len(events)
		events = registered(events, &x.Registration, at, now)
		if x.Token {
			token, credential := newToken(x.Item, revoke, now)
			out[i].Token = token
			events = append(events, credential)
		}
		if x.Owner.Value != "" {
			owned := now
			if x.OwnedAt > 0 {
				owned = min(max(x.OwnedAt, at), now)
			}
			p := rapport.AppendField(nil, "item", rapport.StringValue(x.Item))
			p = rapport.AppendField(p, "person", rapport.StringValue(d.ID(x.Owner).String()))
			p = rapport.AppendField(p, "proof", rapport.StringValue("api"))
			events = append(events, twin.Fact(rapport.Identifier{Kind: rapport.KindItem, Value: x.Item}, twin.EventClaimed, random(), owned, now, p))
		}
		for j := first; j < len(events); j++ {
			events[j].History = now-events[j].Timestamp > historyAfter
		}
	}
	if err := d.append(ctx, events...); err != nil {
		return nil, err
	}
	for i := range list {
		x := &list[i]
		if x.Token && revoke && d.Revoked != nil {
			d.Revoked(x.Item)
		}
		if x.Owner.Value == "" {
			continue
		}
		s, err := d.Item(ctx, x.Item)
		if err != nil {
			return nil, err
		}
		switch mine := d.same(d.ID(x.Owner), s.Owner.Person); {
		case !mine:
			out[i].Problem = "the item belongs to somebody else already"
		case known[i]:
			if err := d.stitch(ctx, s, x.Owner); err != nil {
				return nil, err
			}
		}
	}
	if i := slices.IndexFunc(list, func(x Entry) bool { return x.Owner.Value != "" }); i >= 0 { // one of them waits for all
		return out, d.reflected(ctx, d.ID(list[i].Owner))
	}
	return out, nil
}

// related reports whether an item built a relationship while it was nobody's.
func (d *Door) related(ctx context.Context, item string) (yes bool, err error) {
	err = d.View(ctx, item, func(_ *engine.View, s *twin.Item) error {
		yes = s.Owner.Person.IsZero() && len(s.Moments) > 0
		return nil
	})
	if rapport.KindOf(err) == rapport.NotFound {
		err = nil
	}
	return yes, err
}

// registered appends the facts that make an item known.
func registered(events []rapport.Event, r *Registration, at, now int64) []rapport.Event {
	name := rapport.Identifier{Kind: rapport.KindItem, Value: r.Item}
	p := rapport.AppendField(nil, "item", rapport.StringValue(r.Item))
	for _, k := range sortedKeys(r.Facts) {
		p = rapport.AppendField(p, k, rapport.StringValue(r.Facts[k]))
	}
	if r.Stage != "" {
		p = rapport.AppendField(p, "stage", rapport.StringValue(string(r.Stage)))
	}
	if r.ClaimCode != "" {
		p = rapport.AppendField(p, "claimHash", rapport.StringValue(hashCode(r.ClaimCode)))
	}
	events = append(events, twin.Fact(name, twin.EventRegistered, random(), at, now, p))
	bound := rapport.AppendField(nil, "item", rapport.StringValue(r.Item))
	if r.Tag != "" {
		events = append(events, twin.Fact(twin.TagName(strings.ToUpper(r.Tag)), twin.EventBound, random(), at, now, bound))
	}
	if r.Device != "" {
		events = append(events, twin.Fact(twin.DeviceName(r.Device), twin.EventBound, random(), at, now, bound))
	}
	return events
}

// newToken makes a device token and the fact that keeps its hash.
func newToken(item string, revoke bool, now int64) (token string, credential rapport.Event) {
	var secret [20]byte
	_, _ = rand.Read(secret[:])
	token = TokenPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(secret[:]))
	p := rapport.AppendField(nil, "hash", rapport.StringValue(hashToken(token)))
	if revoke {
		p = rapport.AppendField(p, "revoke", rapport.BoolValue(true))
	}
	return token, twin.Fact(rapport.Identifier{Kind: rapport.KindItem, Value: item}, twin.EventCredential, random(), now, now, p)
}

// typedCode returns a code that people type: twelve letters and digits, none of
// which look alike, 60 bits.
func typedCode() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	code := make([]byte, 0, 14)
	for i, x := range b {
		if i > 0 && i%4 == 0 {
			code = append(code, '-')
		}
		code = append(code, letters[x&31])
	}
	return string(code)
}
