// Package access knows who may do what: tokens with roles, console sessions
// and the audit trail.
//
// Guarantees: secrets are stored as hashes only and shown once; a revoked or
// expired token stops working with the next request, and so do the sessions
// begun with it; every change is an audit fact in the control log before it is
// answered. State is a fold of those facts.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// Role is a set of permissions. Each role but Source includes those below it.
type Role string

// The roles, strongest first.
const (
	Admin    Role = "admin"    // tokens, config of sources and webhooks, erasure, system
	Marketer Role = "marketer" // actions, placements, policies, segments; replays
	Analyst  Role = "analyst"  // reads everything, exports, explains
	Viewer   Role = "viewer"   // reads aggregates, lists and people
	Source   Role = "source"   // sends events and asks for decisions, reads nothing
)

var order = []Role{Viewer, Analyst, Marketer, Admin}

// Includes reports whether a holder of r may do what needs the role other.
func (r Role) Includes(other Role) bool {
	if r == Source || other == Source {
		return r == other || r == Admin
	}
	have, need := slices.Index(order, r), slices.Index(order, other)
	return have >= 0 && need >= 0 && have >= need
}

// Principal is who makes a request.
type Principal struct {
	Token string `json:"token"` // id of the token, not its secret
	Name  string `json:"name"`
	Role  Role   `json:"role"`
}

// Token is an API token without its secret.
type Token struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Role      Role   `json:"role"`
	CreatedAt int64  `json:"createdAt"` // Unix ms
	CreatedBy string `json:"createdBy"`
	ExpiresAt int64  `json:"expiresAt,omitempty"` // Unix ms; 0 is never
	RevokedAt int64  `json:"revokedAt,omitempty"`
	// Hash is SHA-256 of the secret: the secret has 160 random bits, so a fast hash is enough.
	Hash []byte `json:"hash,omitempty"`
}

func (t *Token) active(now int64) bool {
	return t.RevokedAt == 0 && (t.ExpiresAt == 0 || now < t.ExpiresAt)
}

// Journal appends one access fact to the control log and returns once it is
// durable and has been given back to [Store.Fold].
type Journal interface {
	Append(ctx context.Context, kind, author string, body []byte) error
}

// The kinds of facts this room writes.
const (
	FactTokenCreated = "access.token.created"
	FactTokenRevoked = "access.token.revoked"
	FactAudit        = "access.audit"
)

// auditKept is how many audit entries stay readable without the log.
const auditKept = 10_000

// Deps are what a Store needs.
type Deps struct {
	Journal Journal
	Clock   rapport.Clock
	// Key signs sessions; 32 bytes that outlive restarts.
	Key []byte
}

// Store answers who a request comes from. It is safe for concurrent use.
type Store struct {
	deps Deps

	revoking sync.Mutex // of two at once the second sees what the first left

	mu     sync.RWMutex
	byID   map[string]*Token
	byHash map[[32]byte]*Token
	audit  []Entry // oldest first, at most auditKept
}

// New returns an empty store; the control log's facts are folded in next.
func New(d Deps) *Store {
	return &Store{deps: d, byID: map[string]*Token{}, byHash: map[[32]byte]*Token{}}
}

// Fold applies one fact of the control log. Facts of other rooms are ignored.
func (s *Store) Fold(kind string, at int64, author string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind {
	case FactTokenCreated:
		var t Token
		if err := json.Unmarshal(body, &t); err != nil || len(t.Hash) != 32 {
			return rapport.Errorf(rapport.Internal, "token fact is damaged: %v", err)
		}
		t.CreatedAt, t.CreatedBy = at, author
		s.byID[t.ID] = &t
		s.byHash[[32]byte(t.Hash)] = &t
	case FactTokenRevoked:
		if t := s.byID[string(body)]; t != nil && t.RevokedAt == 0 {
			t.RevokedAt = at
		}
	case FactAudit:
		var e Entry
		if err := json.Unmarshal(body, &e); err != nil {
			return rapport.Errorf(rapport.Internal, "audit fact is damaged: %v", err)
		}
		e.Time, e.Author = at, author
		s.audit = append(s.audit, e)
		if len(s.audit) > auditKept+auditKept/4 {
			s.audit = slices.Clone(s.audit[len(s.audit)-auditKept:])
		}
	}
	return nil
}

// NewSecret returns a fresh secret: "rp_" and 32 characters, 160 random bits.
func NewSecret() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return "rp_" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// Create makes a token and returns it with its secret, which is not kept.
// Kinds: Invalid (unknown role, empty or over-long name), Unavailable.
func (s *Store) Create(ctx context.Context, author, name string, role Role, expires time.Time) (Token, string, error) {
	secret := NewSecret()
	t, err := s.CreateWithSecret(ctx, author, name, role, expires, secret)
	return t, secret, err
}

// CreateWithSecret makes a token with a secret chosen by the operator, who
// answers for its strength. If a token with this secret is active already, that
// one is returned.
func (s *Store) CreateWithSecret(ctx context.Context, author, name string, role Role, expires time.Time, secret string) (Token, error) {
	if !slices.Contains(order, role) && role != Source {
		return Token{}, rapport.Errorf(rapport.Invalid, "role %q is unknown (admin, marketer, analyst, viewer or source)", role)
	}
	if name == "" || len(name) > 100 {
		return Token{}, rapport.Errorf(rapport.Invalid, "a token needs a name of 1 to 100 bytes")
	}
	if secret == "" {
		return Token{}, rapport.Errorf(rapport.Invalid, "a token needs a secret")
	}
	hash := sha256.Sum256([]byte(secret))
	now := rapport.Millis(s.deps.Clock.Now())
	s.mu.RLock()
	if have := s.byHash[hash]; have != nil && have.active(now) {
		found := *have
		s.mu.RUnlock()
		return found, nil
	}
	s.mu.RUnlock()
	t := Token{ID: "t_" + strings.ToLower(base32.StdEncoding.EncodeToString(hash[:10])), Name: name, Role: role, Hash: hash[:]}
	if !expires.IsZero() {
		t.ExpiresAt = rapport.Millis(expires)
	}
	body, err := json.Marshal(t)
	if err != nil {
		return Token{}, err
	}
	if err := s.deps.Journal.Append(ctx, FactTokenCreated, author, body); err != nil {
		return Token{}, fmt.Errorf("create token: %w", err)
	}
	t.CreatedAt, t.CreatedBy = now, author
	return t, nil
}

// Revoke ends a token and the sessions begun with it. Kinds: NotFound,
// Conflict (it is the last active admin token), Unavailable.
func (s *Store) Revoke(ctx context.Context, author, id string) error {
	s.revoking.Lock()
	defer s.revoking.Unlock()
	now := rapport.Millis(s.deps.Clock.Now())
	s.mu.RLock()
	t, admins := s.byID[id], 0
	for _, o := range s.byID {
		if o.Role == Admin && o.ID != id && o.active(now) {
			admins++
		}
	}
	known := t != nil && t.active(now)
	last := known && t.Role == Admin && admins == 0
	s.mu.RUnlock()
	if !known {
		return rapport.Errorf(rapport.NotFound, "no active token %q", id)
	}
	if last {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "token %q is the last admin token", id), "create another admin token first")
	}
	return s.deps.Journal.Append(ctx, FactTokenRevoked, author, []byte(id))
}

// Tokens lists all tokens, newest first, without hashes.
func (s *Store) Tokens() []Token {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]Token, 0, len(s.byID))
	for _, t := range s.byID {
		c := *t
		c.Hash = nil
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Token) int {
		if a.CreatedAt != b.CreatedAt {
			return int(b.CreatedAt - a.CreatedAt)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// Authenticate returns the holder of a secret. The comparison is a look-up by
// hash, so its time tells nothing about the secrets stored. Kind: Unauthenticated.
func (s *Store) Authenticate(secret string) (Principal, error) {
	hash := sha256.Sum256([]byte(secret))
	now := rapport.Millis(s.deps.Clock.Now())
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.byHash[hash]; t != nil && t.active(now) {
		return Principal{Token: t.ID, Name: t.Name, Role: t.Role}, nil
	}
	return Principal{}, rapport.Errorf(rapport.Unauthenticated, "the token is unknown, revoked or expired")
}

// HasAdmin reports whether any active admin token exists.
func (s *Store) HasAdmin() bool {
	now := rapport.Millis(s.deps.Clock.Now())
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.byID {
		if t.Role == Admin && t.active(now) {
			return true
		}
	}
	return false
}
