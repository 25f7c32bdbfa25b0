package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// SessionLife is how long a console session lasts after sign-in.
const SessionLife = 12 * time.Hour

// A session is a signed statement (token id, expiry, nonce), so that it
// outlives a restart and needs no store; it ends with its token.

// SignIn checks a secret and returns the value of the session cookie. Kind:
// Unauthenticated; Denied for a source token, which has no pages to see.
func (s *Store) SignIn(secret string) (cookie string, p Principal, expires time.Time, err error) {
	p, err = s.Authenticate(secret)
	if err != nil {
		return "", Principal{}, time.Time{}, err
	}
	if p.Role == Source {
		return "", Principal{}, time.Time{}, rapport.Errorf(rapport.Denied, "a source token cannot sign in to the console")
	}
	expires = s.deps.Clock.Now().Add(SessionLife)
	body := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	var nonce [8]byte
	_, _ = rand.Read(nonce[:])
	body = append(body, nonce[:]...)
	body = append(body, p.Token...)
	enc := base64.RawURLEncoding
	return enc.EncodeToString(body) + "." + enc.EncodeToString(s.sign(body)), p, expires, nil
}

// Session returns the holder of a session cookie. Kind: Unauthenticated.
func (s *Store) Session(cookie string) (Principal, time.Time, error) {
	bad := rapport.Errorf(rapport.Unauthenticated, "the session has ended")
	left, right, ok := strings.Cut(cookie, ".")
	if !ok || len(cookie) > 512 {
		return Principal{}, time.Time{}, bad
	}
	body, err1 := base64.RawURLEncoding.DecodeString(left)
	mac, err2 := base64.RawURLEncoding.DecodeString(right)
	if err1 != nil || err2 != nil || len(body) < 16 || !hmac.Equal(mac, s.sign(body)) {
		return Principal{}, time.Time{}, bad
	}
	now := s.deps.Clock.Now()
	expires := time.Unix(int64(binary.BigEndian.Uint64(body)), 0)
	if !now.Before(expires) {
		return Principal{}, time.Time{}, bad
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.byID[string(body[16:])]
	if t == nil || !t.active(rapport.Millis(now)) {
		return Principal{}, time.Time{}, bad
	}
	return Principal{Token: t.ID, Name: t.Name, Role: t.Role}, expires, nil
}

func (s *Store) sign(body []byte) []byte {
	m := hmac.New(sha256.New, s.deps.Key)
	m.Write([]byte("session\x00"))
	m.Write(body)
	return m.Sum(nil)
}
