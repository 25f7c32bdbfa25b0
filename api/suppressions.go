package api

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/deliver/suppression"
	"github.com/rapport-engine/rapport/engine"
)

// Suppression is an address that nothing is sent to.
type Suppression struct {
	ID       string    `json:"id" doc:"Keyed hash of the address"`
	Kind     string    `json:"kind" enum:"email,phone"`
	Address  string    `json:"address,omitempty" doc:"The address, as long as a person has it; the list itself keeps none"`
	PersonID string    `json:"personId,omitempty"`
	Reason   string    `json:"reason" enum:"bounce,complaint,manual,import"`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
}

type suppressionPage struct {
	Suppressions []Suppression `json:"suppressions"`
	Next         string        `json:"next,omitempty" doc:"Give it as after for the next page"`
	Total        int           `json:"total" doc:"Addresses on the list in all"`
}

// SuppressedAddress is an address to put on the list.
type SuppressedAddress struct {
	Kind    string `json:"kind,omitempty" enum:"email,phone" doc:"email if the address holds an @, else phone"`
	Address string `json:"address" minLength:"3" maxLength:"320"`
}

type suppressIn struct {
	Body struct {
		Addresses []SuppressedAddress `json:"addresses" minItems:"1" maxItems:"10000"`
		Reason    string              `json:"reason,omitempty" enum:"bounce,complaint,manual,import" default:"manual"`
		Detail    string              `json:"detail,omitempty" maxLength:"200" doc:"Why, in a few words; no address"`
	}
}

type suppressedAnswer struct {
	Added int `json:"added" doc:"How many were not on the list before"`
	Total int `json:"total"`
}

func (a *API) suppressionOperations() {
	handle(a, operation{id: "list-suppressions", method: "GET", path: "/v1/suppressions", tag: "Delivery", summary: "Addresses that nothing is sent to, newest first", role: access.Analyst}, nil,
		func(ctx context.Context, in *struct {
			Kind    string `query:"kind" enum:"email,phone"`
			Reason  string `query:"reason" enum:"bounce,complaint,manual,import"`
			Address string `query:"address" maxLength:"320" doc:"Is this one on the list?"`
			After   string `query:"after" maxLength:"40"`
			Limit   int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
		},
		) (*body[suppressionPage], error) {
			l := a.deps.Suppressed
			out := &body[suppressionPage]{suppressionPage{Suppressions: []Suppression{}, Total: l.Len()}}
			if in.Address != "" {
				if e, ok := l.Find(cmp.Or(in.Kind, kindOf(in.Address)), in.Address); ok {
					s := suppressed(&e)
					s.Address = in.Address
					out.Body.Suppressions = append(out.Body.Suppressions, s)
				}
				return out, nil
			}
			list, next, err := l.Page(in.Kind, in.Reason, in.After, in.Limit)
			if err != nil {
				return nil, err
			}
			out.Body.Next = next
			for i := range list {
				s := suppressed(&list[i])
				if s.Address, err = a.addressOf(ctx, &list[i]); err != nil {
					return nil, err
				}
				out.Body.Suppressions = append(out.Body.Suppressions, s)
			}
			return out, nil
		})
	handle(a, operation{id: "suppress", method: "POST", path: "/v1/suppressions", tag: "Delivery", summary: "Send nothing to addresses any more", role: access.Marketer, audit: "suppression.add", maxBody: 4 << 20}, none[suppressIn],
		func(ctx context.Context, in *suppressIn) (*body[suppressedAnswer], error) {
			list := make([]suppression.Address, len(in.Body.Addresses))
			for i, x := range in.Body.Addresses {
				list[i] = suppression.Address{Kind: cmp.Or(x.Kind, kindOf(x.Address)), Value: x.Address, Reason: cmp.Or(in.Body.Reason, suppression.Manual), Detail: in.Body.Detail}
				if id, err := a.known(ctx, list[i].Kind+":"+x.Address); err == nil {
					list[i].Person = id
				}
			}
			added, err := a.deps.Suppressed.Add(ctx, author(ctx), list)
			return &body[suppressedAnswer]{suppressedAnswer{len(added), a.deps.Suppressed.Len()}}, err
		})
	handle(a, operation{id: "unsuppress", method: "DELETE", path: "/v1/suppressions/{ref}", tag: "Delivery", summary: "Let an address be written to again", role: access.Marketer, status: 204, audit: "suppression.remove"}, none[suppressionPath],
		func(ctx context.Context, in *suppressionPath) (*noContent, error) {
			id := in.Ref
			if kind, value, named := strings.Cut(in.Ref, ":"); named {
				var err error
				if id, err = a.deps.Suppressed.ID(kind, value); err != nil {
					return nil, err
				}
			}
			n, err := a.deps.Suppressed.Remove(ctx, author(ctx), []string{id})
			if err == nil && n == 0 {
				err = rapport.Errorf(rapport.NotFound, "that address is not on the list")
			}
			return nil, err
		})
}

// suppressionPath names an entry of the list.
type suppressionPath struct {
	Ref string `path:"ref" maxLength:"600" doc:"Id of the entry, or email:x, phone:x"`
}

func suppressed(e *suppression.Entry) Suppression {
	return Suppression{ID: e.ID, Kind: e.Kind, PersonID: e.Person, Reason: e.Reason, Detail: e.Detail, At: rapport.Time(e.At), By: e.By}
}

func kindOf(address string) string {
	if strings.Contains(address, "@") {
		return rapport.KindEmail
	}
	return rapport.KindPhone
}

// addressOf returns the address of an entry if the person it came from still has it.
func (a *API) addressOf(ctx context.Context, e *suppression.Entry) (string, error) {
	if e.Person == "" {
		return "", nil
	}
	id, err := a.deps.Identity.Ref(e.Person)
	if err != nil {
		return "", nil // of a person whose id is not read any more
	}
	p, err := a.readID(ctx, id, []engine.Token{})
	if rapport.KindOf(err) == rapport.NotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	value := p.Trait(e.Kind).Str()
	if own, err := a.deps.Suppressed.ID(e.Kind, value); err != nil || own != e.ID {
		return "", nil
	}
	return value, nil
}
