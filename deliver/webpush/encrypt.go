package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"

	"github.com/rapport-engine/rapport"
)

const (
	recordSize = 4096 // what every push service takes (RFC 8291, section 4)
	saltBytes  = 16
	authBytes  = 16
	pointBytes = 65 // an uncompressed point of P-256
	headBytes  = saltBytes + 4 + 1 + pointBytes
	// MaxPayload is the most bytes of a message: one record less its header, the
	// delimiter and the tag.
	MaxPayload = recordSize - headBytes - 1 - 16
	// padTo hides how long a message is: it is filled up to a multiple of this.
	padTo = 256
)

// encrypt returns the body of a push message in the coding aes128gcm, for one
// subscription (RFC 8291 over RFC 8188). private is a key used this once, salt
// 16 random bytes, padding how many bytes are added so that the length says
// little. The error is Invalid.
func encrypt(plain []byte, s *Subscription, private *ecdh.PrivateKey, salt []byte, padding int) ([]byte, error) {
	browser, err := ecdh.P256().NewPublicKey(s.P256dh)
	if err != nil || len(s.Auth) != authBytes {
		return nil, rapport.Errorf(rapport.Invalid, "the subscription's keys are damaged")
	}
	if len(plain)+padding > MaxPayload {
		return nil, rapport.Errorf(rapport.Invalid, "a push message has at most %d bytes, this one has %d", MaxPayload, len(plain))
	}
	shared, err := private.ECDH(browser)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "the subscription's keys are damaged")
	}
	own := private.PublicKey().Bytes()
	info := append([]byte("WebPush: info\x00"), s.P256dh...)
	info = append(info, own...)
	ikm, err := derive(shared, s.Auth, string(info), 32)
	if err != nil {
		return nil, err
	}
	key, err := derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := derive(ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, headBytes+len(plain)+1+padding+seal.Overhead())
	out = append(out, salt...)
	out = binary.BigEndian.AppendUint32(out, recordSize)
	out = append(out, pointBytes)
	out = append(out, own...)
	record := append(append(make([]byte, 0, len(plain)+1+padding), plain...), 2) // 2: the last record
	record = append(record, make([]byte, padding)...)
	return seal.Seal(out, nonce, record, nil), nil
}

func derive(secret, salt []byte, info string, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, info, n)
}

// padding returns how much a message of n bytes is filled up.
func padding(n int) int { return min(MaxPayload-n, (padTo-n%padTo)%padTo) }

// newKey returns a key for one message. It reads r, so that a test may fix it.
func newKey(r io.Reader) (*ecdh.PrivateKey, []byte, error) {
	private, err := ecdh.P256().GenerateKey(r)
	if err != nil {
		return nil, nil, err
	}
	salt := make([]byte, saltBytes)
	_, err = io.ReadFull(r, salt)
	return private, salt, err
}

// decode reads base64url with or without padding, and plain base64, as browsers
// and their libraries write keys.
func decode(s string) ([]byte, error) {
	for _, e := range []*base64.Encoding{base64.RawURLEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.StdEncoding} {
		if b, err := e.DecodeString(s); err == nil {
			return b, nil
		}
	}
	return nil, rapport.Errorf(rapport.Invalid, "is not base64url")
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
