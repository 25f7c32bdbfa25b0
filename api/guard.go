package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
)

// CookieName is the console session's cookie.
const CookieName = "rapport_session"

// ConsoleHeader must stand on every change made with a session cookie. Another
// site cannot set it without a CORS preflight, which is never granted here.
const ConsoleHeader = "X-Rapport-Console"

type contextKey int

const (
	keyRequestID contextKey = iota
	keyPrincipal
	keyLogger
	keyRemote
)

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

func principal(ctx context.Context) (access.Principal, bool) {
	p, ok := ctx.Value(keyPrincipal).(access.Principal)
	return p, ok
}

func logger(ctx context.Context) *slog.Logger {
	l, _ := ctx.Value(keyLogger).(*slog.Logger)
	return l
}

func author(ctx context.Context) string {
	if p, ok := principal(ctx); ok {
		return p.Name
	}
	return "anonymous"
}

// guard puts identity, a request id and limits around the operations.
type guard struct {
	limits *limiter
}

func newGuard(c rapport.Clock) *guard { return &guard{limits: newLimiter(c)} }

// around authenticates each request: by bearer token, or by session cookie.
func (g *guard) around(store *access.Store, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer := r
		if fromPages(r.URL.Path) && crossOrigin(w, r) {
			return
		}
		id := r.Header.Get("X-Request-Id")
		if !plausibleID(id) {
			id = newID()
		}
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		ctx := context.WithValue(r.Context(), keyRequestID, id)
		ctx = context.WithValue(ctx, keyLogger, log)
		ctx = context.WithValue(ctx, keyRemote, clientAddress(r))
		r = r.WithContext(ctx)
		defer func() {
			if x := recover(); x != nil {
				if x == http.ErrAbortHandler { // the server's own way to end a response
					panic(x)
				}
				log.Error("panic in a request", "request", id, "panic", x, "stack", string(debug.Stack()))
				writeProblem(w, r, rapport.Errorf(rapport.Internal, "panic"))
			}
		}()

		client := clientAddress(r)
		secret, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch cookie, err := r.Cookie(CookieName); {
		case bearer:
			p, err := store.Authenticate(strings.TrimSpace(secret))
			if err == nil {
				r = r.WithContext(context.WithValue(ctx, keyPrincipal, p))
				if !g.limits.admit(client, p.Token) || !g.limits.allow(p.Token) {
					writeLimited(w, r)
					return
				}
			} else if !mayCarryWriteKey(r.URL.Path) {
				if !g.limits.allowFailure(client, 1) {
					writeLimited(w, r)
					return
				}
				w.Header().Set("WWW-Authenticate", `Bearer realm="rapport"`)
				writeProblem(w, r, err)
				return
			}
		case err == nil:
			if p, _, err := store.Session(cookie.Value); err == nil {
				if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get(ConsoleHeader) == "" {
					writeProblem(w, r, rapport.WithHint(rapport.Errorf(rapport.Denied, "a change with a session cookie needs the header %s", ConsoleHeader), "use an API token outside of the console"))
					return
				}
				r = r.WithContext(context.WithValue(ctx, keyPrincipal, p))
			}
		}
		next.ServeHTTP(w, r)
		outer.Pattern = r.Pattern // finer than the one that led here: traces are named by it
	})
}

// mayCarryWriteKey: decisions may be asked with a source's write key as bearer,
// and items speak with their device tokens.
func mayCarryWriteKey(path string) bool {
	return path == "/v1/decide" || path == "/v1/inapp/stream" || isDevicePath(path)
}

// fromPages reports whether pages of other origins may ask: with a write key,
// which stands in every page anyway. A session's cookie is never sent along.
func fromPages(path string) bool {
	return path == "/v1/decide" || path == "/v1/inapp/stream" || path == "/v1/push/keys"
}

// crossOrigin lets a page of any origin read the answer, and answers what its
// browser asks before. It reports whether that was all.
func crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	h, origin := w.Header(), r.Header.Get("Origin")
	h.Add("Vary", "Origin")
	if origin == "" {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return true
}

func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func plausibleID(s string) bool {
	if len(s) < 8 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return "r_" + hex.EncodeToString(b[:])
}

func writeLimited(w http.ResponseWriter, r *http.Request) {
	p := limited(r.Context(), "too many requests from this caller", "wait a second and send fewer at once")
	w.Header().Set("Retry-After", "1")
	writeProblemDocument(w, p)
}

// limited is the answer to who asks too often.
func limited(ctx context.Context, detail, hint string) *Problem {
	p := newProblem(rapport.Errorf(rapport.Unavailable, "%s", detail), requestID(ctx))
	p.Status, p.Title, p.Hint = http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests), hint
	return p
}

// limiter holds token buckets: per token for all requests, per address for
// failed sign-ins. It is bounded: when full, the fullest buckets are dropped.
type limiter struct {
	clock rapport.Clock
	mu    sync.Mutex
	rates map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

const (
	tokenRate, tokenBurst     = 20_000, 40_000 // requests a second and token: decisions come this way
	failureRate, failureBurst = 0.5, 20        // failed sign-ins a second and address
	bucketsKept               = 10_000
)

func newLimiter(c rapport.Clock) *limiter {
	return &limiter{clock: c, rates: map[string]*bucket{}}
}

func (l *limiter) allow(token string) bool { return l.take("t"+token, 1, tokenRate, tokenBurst) }

// allowFailure reports whether an address may still fail; cost 1 counts a failure.
func (l *limiter) allowFailure(addr string, cost float64) bool {
	return l.take("f"+addr, cost, failureRate, failureBurst)
}

// admit reports whether a token that proved right may be used from an address.
// After too many failures there only those may that were used there before: who
// guesses learns nothing, and who shares the address is not locked out.
func (l *limiter) admit(addr, token string) bool {
	key := "k" + addr + " " + token
	l.mu.Lock()
	known := l.rates[key]
	if known != nil {
		known.at = l.clock.Now()
	}
	l.mu.Unlock()
	return known != nil || l.allowFailure(addr, 0) && l.take(key, 1, 1, 2)
}

func (l *limiter) take(key string, cost, rate, burst float64) bool {
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.rates[key]
	if b == nil {
		if cost == 0 {
			return true
		}
		if len(l.rates) >= bucketsKept {
			for k, o := range l.rates {
				if now.Sub(o.at) > time.Minute || len(l.rates) >= bucketsKept {
					delete(l.rates, k)
				}
			}
		}
		b = &bucket{left: burst, at: now}
		l.rates[key] = b
	}
	b.left = min(burst, b.left+now.Sub(b.at).Seconds()*rate)
	b.at = now
	if b.left < max(cost, 1) {
		return false
	}
	b.left -= cost
	return true
}

// remote returns the address of a request's client.
func remote(ctx context.Context) string {
	s, _ := ctx.Value(keyRemote).(string)
	return s
}
