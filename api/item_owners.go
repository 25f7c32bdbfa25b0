package api

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/collect/item"
)

type claimIn struct {
	ItemPath
	Authorization string `header:"Authorization"`
	Body          struct {
		Person   decidePerson `json:"person"`
		WriteKey string       `json:"writeKey,omitempty"`
		Tap      string       `json:"tap,omitempty" maxLength:"100" doc:"Ticket of a fresh tap, from its answer"`
		Code     string       `json:"code,omitempty" maxLength:"64" doc:"Code that came with the item"`
		Receipt  string       `json:"receipt,omitempty" maxLength:"128" doc:"Number of the receipt of its sale"`
		Offer    string       `json:"offer,omitempty" maxLength:"64" doc:"Code its owner passed on"`
	}
}

type personIn struct {
	ItemPath
	Body struct {
		Person decidePerson `json:"person"`
		Role   string       `json:"role,omitempty" enum:"member,guest" doc:"Left out: no role any more"`
	}
}

type offerIn struct {
	ItemPath
	Body struct {
		Kind string `json:"kind,omitempty" enum:"transfer,gift" default:"transfer"`
	}
}

type offerAnswer struct {
	Code    string    `json:"code" doc:"Whoever shows it becomes the owner; shown once"`
	Expires time.Time `json:"expires"`
}

func (a *API) itemOwners(tag string) {
	handle(a, operation{id: "claim-item", method: "POST", path: "/v1/items/{item}/claim", tag: tag, summary: "Make a person the owner: a trusted token vouches, a write key needs a proof"}, nil, a.claim)
	handle(a, operation{id: "offer-item", method: "POST", path: "/v1/items/{item}/offer", tag: tag, summary: "Pass an item on: gives the code its next owner shows", role: access.Marketer, audit: "item.offer"},
		func(in *offerIn) string { return objectItem(&in.ItemPath) },
		func(ctx context.Context, in *offerIn) (*body[offerAnswer], error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			code, expires, err := a.deps.Items.Offer(ctx, id, rapport.ID{}, in.Body.Kind)
			return &body[offerAnswer]{offerAnswer{code, rapport.Time(expires)}}, err
		})
	handle(a, operation{id: "release-item", method: "POST", path: "/v1/items/{item}/release", tag: tag, summary: "Make an item nobody's; what its owner's use left on it goes", role: access.Marketer, status: 204, audit: "item.release"}, objectItem,
		func(ctx context.Context, in *ItemPath) (*noContent, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Items.Release(ctx, id, rapport.ID{})
		})
	handle(a, operation{id: "item-member", method: "POST", path: "/v1/items/{item}/members", tag: tag, summary: "Give somebody a role in the item's household", role: access.Marketer, status: 204, audit: "item.member"},
		func(in *personIn) string { return objectItem(&in.ItemPath) },
		func(ctx context.Context, in *personIn) (*noContent, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			who, err := identifierOf(&in.Body.Person)
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Items.Member(ctx, id, rapport.ID{}, who, in.Body.Role)
		})
}

func identifierOf(p *decidePerson) (rapport.Identifier, error) {
	switch {
	case p.UserID != "":
		return rapport.Identifier{Kind: rapport.KindUserID, Value: p.UserID}, nil
	case p.AnonymousID != "":
		return rapport.Identifier{Kind: rapport.KindAnonymousID, Value: p.AnonymousID}, nil
	}
	return rapport.Identifier{}, rapport.Errorf(rapport.Invalid, "person names nobody: give userId or anonymousId")
}

func (a *API) claim(ctx context.Context, in *claimIn) (*body[Item], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	c, err := a.caller(ctx, in.Authorization, in.Body.WriteKey)
	if err != nil {
		return nil, err
	}
	if err := c.mayAsk(&in.Body.Person); err != nil {
		return nil, err
	}
	who, err := identifierOf(&in.Body.Person)
	if err != nil {
		return nil, err
	}
	proof := item.Proof{Ticket: in.Body.Tap, Code: in.Body.Code, Receipt: in.Body.Receipt, Offer: in.Body.Offer}
	if c.source == nil && proof == (item.Proof{}) {
		proof.Trusted = author(ctx)
	}
	s, err := a.deps.Items.Claim(ctx, id, who, proof)
	if err != nil {
		return nil, err
	}
	out := a.itemOf(a.config(ctx), s)
	if c.source != nil {
		out.Owner = "" // a write key reads no people
	}
	return &body[Item]{out}, nil
}
