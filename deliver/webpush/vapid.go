package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"net/url"
	"time"

	"github.com/rapport-engine/rapport"
)

// Key is the pair by which push services know this deployment (VAPID, RFC
// 8292). Browsers subscribe to the public half; a subscription is worth nothing
// without the private one.
type Key struct {
	private *ecdsa.PrivateKey
	public  string
}

// keyLife is how long a signature is good for; RFC 8292 allows a day.
const keyLife = 12 * time.Hour

// NewKey makes a key pair.
func NewKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return keyOf(private)
}

// ParseKey reads a private key as Private writes it: 32 bytes in base64url. The
// error is Invalid and does not show the key.
func ParseKey(text string) (*Key, error) {
	b, err := decode(text)
	if err != nil || len(b) != 32 {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the private key is not 32 bytes of base64url"), "make one with rapport keys webpush")
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	if err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the private key is no key of P-256"), "make one with rapport keys webpush")
	}
	return keyOf(private)
}

func keyOf(private *ecdsa.PrivateKey) (*Key, error) {
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return &Key{private, encode(point)}, nil
}

// Public is the half that pages subscribe with (applicationServerKey): an
// uncompressed point in base64url.
func (k *Key) Public() string { return k.public }

// Private is the secret half, 32 bytes in base64url.
func (k *Key) Private() (string, error) {
	b, err := k.private.Bytes()
	return encode(b), err
}

// authorization returns the header that lets a message in at the push service of
// an endpoint (RFC 8292, section 3). subject is a mailto: or https: address at
// which the operator of the service reaches ours.
func (k *Key) authorization(endpoint *url.URL, subject string, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"aud": endpoint.Scheme + "://" + endpoint.Host, "exp": now.Add(keyLife).Unix(), "sub": subject,
	})
	if err != nil {
		return "", err
	}
	token := encode([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(token))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, digest[:])
	if err != nil {
		return "", err
	}
	return "vapid t=" + token + "." + encode(joined(r, s)) + ", k=" + k.public, nil
}

// joined is a signature in the form of JSON Web Signatures: both numbers in 32 bytes each.
func joined(r, s *big.Int) []byte {
	b := make([]byte, 64)
	r.FillBytes(b[:32])
	s.FillBytes(b[32:])
	return b
}
