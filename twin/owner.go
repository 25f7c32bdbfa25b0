package twin

import (
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// own folds what concerns whose the item is. Only facts that the item's state
// allows take effect; the door reads the outcome from the twin.
func (s *Item) own(c *engine.Context, e *rapport.Event) {
	person, _ := rapport.ParseID(str(e.Properties, "person"))
	switch e.Name {
	case EventClaimed:
		s.claim(c, e, person)
	case EventOffered:
		s.Offer = Offer{Hash: []byte(clip(str(e.Properties, "hash"), 64)), Kind: clip(str(e.Properties, "kind"), 16), Expires: num(e.Properties, "expires"), At: e.Timestamp}
	case EventWithdrawn:
		s.Offer = Offer{}
	case EventReleased:
		if s.Owner.Person.IsZero() {
			return
		}
		s.pass(c, e, ProductReleased, nil)
		s.let(c, e)
	case EventMember:
		s.member(c, e, person)
	}
}

// claim makes a person the owner. A claim of an owned item takes effect only as
// a transfer, with the code of the standing offer.
func (s *Item) claim(c *engine.Context, e *rapport.Event, person rapport.ID) {
	if person.IsZero() || person == s.Owner.Person {
		return
	}
	proof := clip(str(e.Properties, "proof"), 32)
	transfer := !s.Owner.Person.IsZero()
	if transfer {
		hash := str(e.Properties, "offer")
		if hash == "" || hash != string(s.Offer.Hash) || e.ReceivedAt > s.Offer.Expires {
			return
		}
		proof = clip(s.Offer.Kind, 16)
		s.pass(c, e, ProductReleased, nil)
		s.let(c, e)
	}
	s.Epoch++
	s.Offer = Offer{}
	s.ClaimCode = nil // a code is good for one claim
	s.Owner = Owner{Person: person, Since: e.Timestamp, Proof: proof}
	if s.OwnedAt == 0 {
		s.OwnedAt = e.Timestamp
	}
	if transfer {
		s.enter(Transferred, e.Timestamp)
	} else {
		s.enter(Owned, e.Timestamp)
	}
	p := rapport.AppendField(nil, "proof", rapport.StringValue(proof))
	s.tell(c, e)
	s.pass(c, e, ProductClaimed, p)
	s.warnNew(c, e, person)
}

// let ends the present ownership: owner and household are told that the item is
// gone, and what their use left behind goes.
func (s *Item) let(c *engine.Context, e *rapport.Event) {
	s.Version++
	s.hold(c, e, s.Owner.Person, "")
	for _, m := range s.Members {
		s.hold(c, e, m.Person, "")
	}
	s.Owner, s.Members, s.Offer = Owner{}, nil, Offer{}
	s.Epoch++
	s.forget(e.Timestamp)
	for _, kind := range []string{"d", "h", "s"} {
		c.DeleteRows([]byte(kind), []byte{kind[0] + 1})
	}
	for i := range s.Commands {
		c.SetTimer(0, commandTimer+s.Commands[i].ID)
	}
	s.Commands = nil
}

// forget removes what the use by an owner left on the item.
func (s *Item) forget(at int64) {
	s.EpochAt = max(s.EpochAt, at)
	s.Readings, s.Fired, s.Moments, s.Rejected, s.Scores = nil, nil, nil, nil, nil
	s.answers = profile.Aggregates{}
	s.Reported, s.Desired = Shadow{Version: s.Reported.Version + 1, At: at}, Shadow{Version: s.Desired.Version + 1, At: at}
	s.Place = Place{}
	for _, stage := range []Stage{Low, InUse, NeedsService} {
		s.leave(stage)
	}
	s.ClaimCode = nil
}

func (s *Item) member(c *engine.Context, e *rapport.Event, person rapport.ID) {
	role := str(e.Properties, "role")
	i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Person == person })
	if person.IsZero() || person == s.Owner.Person || s.Owner.Person.IsZero() {
		return
	}
	joins := false
	switch {
	case role == "" && i >= 0:
		s.Members = slices.Delete(s.Members, i, i+1)
		s.hold(c, e, person, "")
		return
	case role != "member" && role != "guest":
		return
	case i >= 0:
		s.Members[i].Role = clip(role, 16)
	case len(s.Members) < maxMembers:
		s.Members = append(s.Members, Member{person, clip(role, 16), e.Timestamp})
		joins = true
	}
	if s.tell(c, e); joins {
		s.warnNew(c, e, person)
	}
}

// pass makes an item's moment an event of its owner, or of the relationship the
// item keeps while it is nobody's.
func (s *Item) pass(c *engine.Context, e *rapport.Event, name string, properties rapport.Fields) {
	target := s.Owner.Person
	if target.IsZero() {
		if s.mint == nil {
			return
		}
		h := Holder(s.ID, s.Epoch)
		target = s.mint(h.Kind, h.Value)
	}
	p := append(s.about(c.Config), properties...)
	out := rapport.Event{
		Type: rapport.TypeTrack, Name: name, MessageID: e.MessageID + "/" + name, Source: Source, Fragment: target,
		Timestamp: e.Timestamp, OriginalTimestamp: e.OriginalTimestamp, ReceivedAt: e.ReceivedAt, Properties: p, Context: e.Context, History: e.History,
	}
	if s.Owner.Person.IsZero() {
		out.Identifiers = []rapport.Identifier{Holder(s.ID, s.Epoch)}
		out.AnonymousID = out.Identifiers[0].Value
	}
	c.Emit(target, &out)
}

// about are the properties that say which item an event is about.
func (s *Item) about(config *engine.Config) rapport.Fields {
	k := s.Key()
	f := rapport.AppendField(nil, "item", rapport.StringValue(s.ID))
	if g := k.GTIN(); g != "" {
		f = rapport.AppendField(f, "gtin", rapport.StringValue(g))
	}
	if p := s.product(config); p.ProductDoc != nil {
		f = rapport.AppendField(f, "product_id", rapport.StringValue(p.ID))
		f = rapport.AppendField(f, "product", rapport.StringValue(p.Name))
		if p.Category != "" {
			f = rapport.AppendField(f, "category", rapport.StringValue(p.Category))
		}
	}
	return f
}

// tell brings what conditions may read of the item to those who hold it. It
// comes before what happened is passed on: a decision that this asks for may be
// made between the two, and must not be made on what the item was like before.
func (s *Item) tell(c *engine.Context, e *rapport.Event) {
	s.hold(c, e, s.Owner.Person, "owner")
	for _, m := range s.Members {
		s.hold(c, e, m.Person, m.Role)
	}
}

// hold sends a person what the item is like now, or with no role that they hold it no more.
func (s *Item) hold(c *engine.Context, e *rapport.Event, person rapport.ID, role string) {
	if person.IsZero() {
		return
	}
	f := s.about(c.Config)
	f = rapport.AppendField(f, "version", rapport.NumberValue(float64(s.Version)))
	f = rapport.AppendField(f, "role", rapport.StringValue(role))
	if role != "" {
		f = rapport.AppendField(f, "state", rapport.StringValue(string(s.Stage())))
		f = rapport.AppendField(f, "since", rapport.NumberValue(float64(s.Owner.Since)))
		for _, x := range s.Scores {
			f = rapport.AppendField(f, x.Name, rapport.NumberValue(x.Value))
		}
		if s.Firmware != "" {
			f = rapport.AppendField(f, "firmware", rapport.StringValue(s.Firmware))
		}
		f = rapport.AppendField(f, "readings", rapport.ObjectValue(s.shared(c.Config)))
	}
	c.Emit(person, &rapport.Event{
		Type: rapport.TypeSystem, Name: EventHeld, MessageID: e.MessageID + "/held", Source: Source, Fragment: person,
		Timestamp: e.Timestamp, OriginalTimestamp: e.OriginalTimestamp, ReceivedAt: e.ReceivedAt, Properties: f, History: e.History,
	})
}

// shared are the readings conditions of those who hold the item may use.
func (s *Item) shared(config *engine.Config) rapport.Fields {
	var names []string
	if p := s.product(config); p.ProductDoc != nil {
		names = p.Share
	}
	var f rapport.Fields
	for i := range s.Readings {
		if r := &s.Readings[i]; names == nil || slices.Contains(names, r.Name) {
			f = rapport.AppendField(f, r.Name, r.Value())
		}
	}
	return f
}
