package api

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
)

// TokenInfo is a token as lists show it.
type TokenInfo struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Role      access.Role `json:"role"`
	CreatedAt time.Time   `json:"createdAt"`
	CreatedBy string      `json:"createdBy"`
	ExpiresAt *time.Time  `json:"expiresAt,omitempty"`
	RevokedAt *time.Time  `json:"revokedAt,omitempty"`
}

type newToken struct {
	Body struct {
		Name      string           `json:"name" minLength:"1" maxLength:"100"`
		Role      access.Role      `json:"role" enum:"admin,marketer,analyst,viewer,source"`
		ExpiresIn rapport.Duration `json:"expiresIn,omitempty" doc:"For how long it works, e.g. 90d; absent is for ever"`
	}
}

// TokenSecret is a new token with its secret, shown this once.
type TokenSecret struct {
	TokenInfo
	Secret string `json:"secret" doc:"Shown once and stored as a hash only"`
}

// IDPath is a path that names a thing by its id.
type IDPath struct {
	ID string `path:"id" maxLength:"200"`
}

// AuditEntry is one change.
type AuditEntry struct {
	Time    time.Time `json:"time"`
	Author  string    `json:"author"`
	Action  string    `json:"action"`
	Object  string    `json:"object"`
	Detail  string    `json:"detail,omitempty"`
	Request string    `json:"request,omitempty"`
}

func tokenInfo(t access.Token) TokenInfo {
	i := TokenInfo{ID: t.ID, Name: t.Name, Role: t.Role, CreatedAt: rapport.Time(t.CreatedAt), CreatedBy: t.CreatedBy}
	if t.ExpiresAt != 0 {
		i.ExpiresAt = new(rapport.Time(t.ExpiresAt))
	}
	if t.RevokedAt != 0 {
		i.RevokedAt = new(rapport.Time(t.RevokedAt))
	}
	return i
}

func (a *API) tokenOperations() {
	handle(a, operation{id: "list-tokens", method: "GET", path: "/v1/tokens", tag: "Access", summary: "All tokens, without secrets", role: access.Admin}, nil,
		func(context.Context, *struct{}) (*body[struct {
			Tokens []TokenInfo `json:"tokens"`
		}], error,
		) {
			out := &body[struct {
				Tokens []TokenInfo `json:"tokens"`
			}]{}
			for _, t := range a.deps.Access.Tokens() {
				out.Body.Tokens = append(out.Body.Tokens, tokenInfo(t))
			}
			return out, nil
		})
	handle(a, operation{id: "create-token", method: "POST", path: "/v1/tokens", tag: "Access", summary: "Create a token", role: access.Admin, status: 201, audit: "token.create"},
		func(in *newToken) string { return in.Body.Name },
		func(ctx context.Context, in *newToken) (*body[TokenSecret], error) {
			var expires time.Time
			if in.Body.ExpiresIn > 0 {
				expires = a.deps.Clock.Now().Add(in.Body.ExpiresIn.Std())
			}
			t, secret, err := a.deps.Access.Create(ctx, author(ctx), in.Body.Name, in.Body.Role, expires)
			if err != nil {
				return nil, err
			}
			return &body[TokenSecret]{TokenSecret{tokenInfo(t), secret}}, nil
		})
	handle(a, operation{id: "revoke-token", method: "DELETE", path: "/v1/tokens/{id}", tag: "Access", summary: "Revoke a token and its sessions", role: access.Admin, status: 204, audit: "token.revoke"},
		func(in *IDPath) string { return in.ID },
		func(ctx context.Context, in *IDPath) (*noContent, error) {
			return nil, a.deps.Access.Revoke(ctx, author(ctx), in.ID)
		})
	handle(a, operation{id: "audit", method: "GET", path: "/v1/audit", tag: "Access", summary: "Changes, newest first", role: access.Admin}, nil,
		func(_ context.Context, in *struct {
			Limit  int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
			Before time.Time `query:"before"`
		}) (*body[struct {
			Entries []AuditEntry `json:"entries"`
		}], error,
		) {
			var before int64
			if !in.Before.IsZero() {
				before = rapport.Millis(in.Before)
			}
			out := &body[struct {
				Entries []AuditEntry `json:"entries"`
			}]{}
			for _, e := range a.deps.Access.Audit(before, in.Limit) {
				out.Body.Entries = append(out.Body.Entries, AuditEntry{rapport.Time(e.Time), e.Author, e.Action, e.Object, e.Detail, e.Request})
			}
			return out, nil
		})
}
