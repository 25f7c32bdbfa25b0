package access_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
)

// journal keeps facts in memory and folds them back at once.
type journal struct {
	clock *clock
	store *access.Store
	facts []string
	fail  error
	// before is called with every fact before it is durable, if set.
	before func()
}

func (j *journal) Append(_ context.Context, kind, author string, body []byte) error {
	if j.fail != nil {
		return j.fail
	}
	if j.before != nil {
		j.before()
	}
	j.facts = append(j.facts, kind+" "+string(body))
	return j.store.Fold(kind, rapport.Millis(j.clock.now), author, body)
}

type clock struct{ now time.Time }

func (c *clock) Now() time.Time                       { return c.now }
func (c *clock) After(time.Duration) <-chan time.Time { return nil }

func newStore(t *testing.T) (*access.Store, *journal) {
	t.Helper()
	j := &journal{clock: &clock{now: time.UnixMilli(1_700_000_000_000)}}
	j.store = access.New(access.Deps{Journal: j, Clock: j.clock, Key: []byte("0123456789abcdef0123456789abcdef")})
	return j.store, j
}

func TestATokenOpensUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	s, j := newStore(t)
	tok, secret, err := s.Create(t.Context(), "test", "ci", access.Marketer, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Authenticate(secret)
	if err != nil || p.Role != access.Marketer || p.Name != "ci" {
		t.Fatalf("%+v %v", p, err)
	}
	cookie, _, _, err := s.SignIn(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range j.facts {
		if strings.Contains(f, secret) {
			t.Error("the secret was stored")
		}
	}
	if err := s.Revoke(t.Context(), "test", tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(secret); rapport.KindOf(err) != rapport.Unauthenticated {
		t.Errorf("revoked token: %v", err)
	}
	if _, _, err := s.Session(cookie); rapport.KindOf(err) != rapport.Unauthenticated {
		t.Errorf("session of a revoked token: %v", err)
	}
}

// TestTwoAdminsWhoRevokeEachOtherLeaveOne lets both decide before either is durable.
func TestTwoAdminsWhoRevokeEachOtherLeaveOne(t *testing.T) {
	t.Parallel()
	s, j := newStore(t)
	var ids []string
	for _, name := range []string{"ada", "bo"} {
		tok, _, err := s.Create(t.Context(), "test", name, access.Admin, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, tok.ID)
	}
	second := make(chan error, 1)
	var once sync.Once
	j.before = func() { // the other one begins while the first is on its way to the log
		once.Do(func() {
			go func() { second <- s.Revoke(t.Context(), "ada", ids[1]) }()
			for range 1000 { // it is let run, and may not decide before this one is known
				runtime.Gosched()
			}
		})
	}
	if err := s.Revoke(t.Context(), "bo", ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := <-second; rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("the last admin's token was revoked: %v", err)
	}
}

func TestTheLastAdminTokenStays(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	first, _, _ := s.Create(t.Context(), "test", "one", access.Admin, time.Time{})
	err := s.Revoke(t.Context(), "test", first.ID)
	if rapport.KindOf(err) != rapport.Conflict || rapport.HintOf(err) == "" {
		t.Errorf("revoke the last: %v", err)
	}
	if _, _, err := s.Create(t.Context(), "test", "two", access.Admin, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), "test", first.ID); err != nil {
		t.Errorf("with another admin: %v", err)
	}
}

func TestTokensAndSessionsExpire(t *testing.T) {
	t.Parallel()
	s, j := newStore(t)
	_, secret, _ := s.Create(t.Context(), "test", "short", access.Viewer, j.clock.now.Add(24*time.Hour))
	cookie, _, _, err := s.SignIn(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Session(cookie); err != nil {
		t.Fatal(err)
	}
	j.clock.now = j.clock.now.Add(access.SessionLife)
	if _, _, err := s.Session(cookie); err == nil {
		t.Error("the session did not end")
	}
	j.clock.now = j.clock.now.Add(24 * time.Hour)
	if _, err := s.Authenticate(secret); err == nil {
		t.Error("the token did not expire")
	}
}

func TestAForgedSessionIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	_, secret, _ := s.Create(t.Context(), "test", "x", access.Viewer, time.Time{})
	cookie, _, _, _ := s.SignIn(secret)
	for i := range cookie {
		b := []byte(cookie)
		b[i] ^= 1
		if p, _, err := s.Session(string(b)); err == nil && string(b) != cookie {
			// The last character of a base 64 group may carry unused bits.
			t.Logf("byte %d is not significant (%v)", i, p.Name)
			if i < len(cookie)-1 {
				t.Errorf("a session changed at byte %d was taken", i)
			}
		}
	}
	if _, _, err := s.Session(""); err == nil {
		t.Error("an empty cookie is no session")
	}
}

func TestAFailedJournalChangesNothing(t *testing.T) {
	t.Parallel()
	s, j := newStore(t)
	j.fail = rapport.Errorf(rapport.Unavailable, "disk full")
	if _, _, err := s.Create(t.Context(), "test", "x", access.Viewer, time.Time{}); rapport.KindOf(err) != rapport.Unavailable {
		t.Errorf("create: %v", err)
	}
	if len(s.Tokens()) != 0 {
		t.Error("a token appeared")
	}
}

func TestRolesIncludeTheWeakerOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have, need access.Role
		want       bool
	}{
		{access.Admin, access.Viewer, true},
		{access.Admin, access.Source, true},
		{access.Marketer, access.Admin, false},
		{access.Viewer, access.Analyst, false},
		{access.Source, access.Viewer, false},
		{access.Viewer, access.Source, false},
		{access.Source, access.Source, true},
		{"", access.Viewer, false},
		{"root", access.Viewer, false},
	} {
		if got := c.have.Includes(c.need); got != c.want {
			t.Errorf("%s includes %s = %v", c.have, c.need, got)
		}
	}
}

func TestTheAuditTrailIsBoundedAndNewestFirst(t *testing.T) {
	t.Parallel()
	s, j := newStore(t)
	for i := range 13_000 {
		j.clock.now = j.clock.now.Add(time.Millisecond)
		if err := s.Record(t.Context(), access.Entry{Author: "a", Action: "x", Object: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	page := s.Audit(0, 3)
	if len(page) != 3 || page[0].Object != "12999" || page[2].Object != "12997" {
		t.Fatalf("%+v", page)
	}
	if next := s.Audit(page[2].Time, 1); next[0].Object != "12996" {
		t.Errorf("next page begins with %+v", next)
	}
}
