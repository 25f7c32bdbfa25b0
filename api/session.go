package api

import (
	"context"
	"net/http"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
)

// Session tells who is signed in.
type Session struct {
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Expires time.Time   `json:"expires"`
}

type signIn struct {
	Body struct {
		Token string `json:"token" minLength:"1" maxLength:"200" doc:"An API token"`
	}
}

type sessionAnswer struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      Session
}

type cookieIn struct {
	Cookie string `cookie:"rapport_session"`
}

func (a *API) sessionOperations() {
	handle(a, operation{id: "sign-in", method: "POST", path: "/v1/session", tag: "Session", summary: "Sign in to the console with a token", audit: "session.begin"}, none[signIn],
		func(ctx context.Context, in *signIn) (*sessionAnswer, error) {
			client := remote(ctx)
			cookie, p, expires, err := a.deps.Access.SignIn(in.Body.Token)
			if err == nil && !a.guard.limits.admit(client, p.Token) || err != nil && !a.guard.limits.allowFailure(client, 1) {
				return nil, tooMany{limited(ctx, "too many failed sign-ins from this address", "wait a minute")}
			}
			if err != nil {
				return nil, err
			}
			return &sessionAnswer{a.cookie(cookie, int(access.SessionLife.Seconds())), Session{p.Name, p.Role, expires.UTC()}}, nil
		})
	handle(a, operation{id: "session", method: "GET", path: "/v1/session", tag: "Session", summary: "Who is signed in"}, nil,
		func(ctx context.Context, in *cookieIn) (*body[Session], error) {
			p, ok := principal(ctx)
			if !ok {
				return nil, rapport.Errorf(rapport.Unauthenticated, "nobody is signed in")
			}
			expires := time.Time{}
			if _, at, err := a.deps.Access.Session(in.Cookie); err == nil {
				expires = at.UTC()
			}
			return &body[Session]{Session{p.Name, p.Role, expires}}, nil
		})
	handle(a, operation{id: "sign-out", method: "DELETE", path: "/v1/session", tag: "Session", summary: "Sign out", status: 204}, nil,
		func(context.Context, *struct{}) (*struct {
			SetCookie http.Cookie `header:"Set-Cookie"`
		}, error,
		) {
			return &struct {
				SetCookie http.Cookie `header:"Set-Cookie"`
			}{a.cookie("", -1)}, nil
		})
}

// cookie makes the session cookie. It is not marked Secure on a loopback
// address, where browsers have no TLS to send it over.
func (a *API) cookie(value string, maxAge int) http.Cookie {
	return http.Cookie{
		Name: CookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: a.deps.SecureCookie,
	}
}
