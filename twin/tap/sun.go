// Package tap verifies the taps of NFC tags that sign each one anew: NTAG 424
// DNA with Secure Unique NFC (SUN) messages, in AES and LRP mode.
//
// Guarantees: verification is a pure function of the message and the keys,
// compares in constant time, and never puts a key into an error. A right message
// code proves that the tag made this message once; that it is made now and not
// copied is for the counter to say, which rises with every tap (twin.NameFold).
//
// Sources: NXP AN12196 (NTAG 424 DNA features and hints), AN12304 (LRP),
// AN12321 (LRP on NTAG 424 DNA), AN10922 (key diversification), NIST SP 800-38B.
package tap

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Key is an AES-128 key.
type Key [16]byte

// Diversify returns the key of one tag. A nil Diversify gives every tag the same.
type Diversify func(uid []byte) Key

// Keys open the messages of a set of tags.
type Keys struct {
	// Meta is K_SDMMetaRead, which hides UID and counter; the same for all tags.
	Meta Key
	// File gives K_SDMFileRead, which signs, of the tag with a UID.
	File Diversify
	// Tamper is the place of the two tamper characters in the encrypted file data; negative if there are none.
	Tamper int
}

// Message is what a tap puts into the URL, in hexadecimal as it stands there.
type Message struct {
	PICC    string // picc_data: UID and counter, encrypted
	Enc     string // enc: file data, encrypted
	CMAC    string // message authentication code
	UID     string // of the plain mirror
	Counter string // of the plain mirror, most significant byte first
	// Signed is the text the code covers; nil takes what tags are usually set up
	// with: the enc parameter's value with or without "&cmac=", or nothing.
	Signed *string
}

// Tap is a verified message.
type Tap struct {
	UID     string // 14 hexadecimal digits, upper case
	Counter int64
	File    []byte // decrypted file data, nil without enc
	// Seal is "closed", "opened", or "" if the tag does not tell.
	Seal string
}

// Verify checks a message. Errors are Invalid (not a message) or Denied (the
// code is not right); neither says more to whoever forges.
func Verify(m Message, k Keys) (Tap, error) {
	var uid, counter []byte
	lrp := false
	switch {
	case m.PICC != "":
		b, err := hex.DecodeString(m.PICC)
		if err != nil || len(b) != 16 && len(b) != 24 {
			return Tap{}, malformed("picc_data")
		}
		lrp = len(b) == 24
		plain := make([]byte, 16)
		if lrp {
			newLRP(k.Meta).decrypt(0, b[:8], plain, b[8:])
		} else {
			cipher.NewCBCDecrypter(block(k.Meta), make([]byte, 16)).CryptBlocks(plain, b)
		}
		if plain[0]&0xc0 != 0xc0 || plain[0]&0x0f != 7 {
			return Tap{}, denied()
		}
		uid, counter = plain[1:8], plain[8:11]
	case m.UID != "" && m.Counter != "":
		u, err1 := hex.DecodeString(m.UID)
		c, err2 := hex.DecodeString(m.Counter)
		if err1 != nil || err2 != nil || len(u) != 7 || len(c) != 3 {
			return Tap{}, malformed("uid and ctr")
		}
		uid, counter = u, []byte{c[2], c[1], c[0]}
	default:
		return Tap{}, malformed("picc_data, or uid and ctr,")
	}
	mac, err := hex.DecodeString(m.CMAC)
	if err != nil || len(mac) != 8 {
		return Tap{}, malformed("cmac")
	}
	enc, err := hex.DecodeString(m.Enc)
	if err != nil || len(enc)%16 != 0 || len(enc) > 256 {
		return Tap{}, malformed("enc")
	}
	s := newSession(k.File(uid), uid, counter, lrp)
	signed := []string{""}
	switch {
	case m.Signed != nil:
		signed = []string{*m.Signed}
	case m.Enc != "":
		signed = []string{m.Enc + "&cmac=", m.Enc}
	}
	right := 0
	for _, text := range signed {
		right |= subtle.ConstantTimeCompare(mac, truncate(s.mac([]byte(text))))
	}
	if right != 1 {
		return Tap{}, denied()
	}
	t := Tap{UID: strings.ToUpper(hex.EncodeToString(uid)), Counter: int64(counter[0]) | int64(counter[1])<<8 | int64(counter[2])<<16}
	if len(enc) > 0 {
		t.File = s.file(enc)
		if k.Tamper >= 0 && k.Tamper+2 <= len(t.File) {
			t.Seal = seal(t.File[k.Tamper : k.Tamper+2])
		}
	}
	return t, nil
}

// seal reads TTPermStatus and TTCurrStatus: C closed, O open.
func seal(b []byte) string {
	switch {
	case b[0] == 'O' || b[1] == 'O':
		return "opened"
	case b[0] == 'C' && b[1] == 'C':
		return "closed"
	}
	return ""
}

func malformed(what string) error {
	return rapport.Errorf(rapport.Invalid, "the %s of the tap cannot be read", what)
}

func denied() error { return rapport.Errorf(rapport.Denied, "the tap was not made by this tag") }

func block(k Key) cipher.Block {
	b, _ := aes.NewCipher(k[:]) // 16 bytes never fail
	return b
}

// session holds the keys of one tap.
type session struct {
	key     Key
	counter []byte
	uid     []byte
	lrp     *lrp
}

func newSession(file Key, uid, counter []byte, lrpMode bool) *session {
	s := &session{key: file, counter: counter, uid: uid}
	if lrpMode {
		sv := append([]byte{0x00, 0x01, 0x00, 0x80}, uid...)
		sv = append(append(sv, counter...), 0x1e, 0xe1)
		s.lrp = newLRP(newLRP(file).cmac(0, sv))
	}
	return s
}

func (s *session) derive(a, b byte) Key {
	sv := append([]byte{a, b, 0x00, 0x01, 0x00, 0x80}, s.uid...)
	return cmac(s.key, append(sv, s.counter...))
}

func (s *session) mac(text []byte) Key {
	if s.lrp != nil {
		return s.lrp.cmac(0, text)
	}
	return cmac(s.derive(0x3c, 0xc3), text)
}

func (s *session) file(enc []byte) []byte {
	out := make([]byte, len(enc))
	if s.lrp != nil {
		s.lrp.decrypt(1, append(append([]byte{}, s.counter...), 0, 0, 0), out, enc)
		return out
	}
	b := block(s.derive(0xc3, 0x3c))
	iv := make([]byte, 16)
	copy(iv, s.counter)
	b.Encrypt(iv, iv)
	cipher.NewCBCDecrypter(b, iv).CryptBlocks(out, enc)
	return out
}

// truncate takes every second byte of a code, as the tag writes it.
func truncate(k Key) []byte {
	out := make([]byte, 8)
	for i := range out {
		out[i] = k[2*i+1]
	}
	return out
}

// cmac is AES-CMAC (NIST SP 800-38B).
func cmac(key Key, text []byte) (mac Key) {
	b := block(key)
	var l Key
	b.Encrypt(l[:], l[:])
	return chain(text, double(l), func(x *Key) { b.Encrypt(x[:], x[:]) })
}

// chain is the mode of CMAC over any 128-bit function; k1 is its first subkey.
func chain(text []byte, k1 Key, f func(*Key)) (x Key) {
	for len(text) > 16 {
		subtle.XORBytes(x[:], x[:], text[:16])
		f(&x)
		text = text[16:]
	}
	var last Key
	copy(last[:], text)
	if len(text) < 16 {
		last[len(text)] = 0x80
		k1 = double(k1)
	}
	subtle.XORBytes(x[:], x[:], last[:])
	subtle.XORBytes(x[:], x[:], k1[:])
	f(&x)
	return x
}

// double multiplies by x in GF(2^128).
func double(k Key) (out Key) {
	carry := byte(0)
	for i := 15; i >= 0; i-- {
		out[i] = k[i]<<1 | carry
		carry = k[i] >> 7
	}
	out[15] ^= 0x87 * carry
	return out
}

// Fixed gives every tag the same key.
func Fixed(k Key) Diversify { return func([]byte) Key { return k } }

// AN10922 derives the key of each tag from a master key, as NXP's AN10922 does
// for AES-128; system is the constant agreed on for the deployment.
func AN10922(master Key, system []byte) Diversify {
	b := block(master)
	var l Key
	b.Encrypt(l[:], l[:])
	k1 := double(l)
	k2 := double(k1)
	return func(uid []byte) (key Key) {
		m := append(append([]byte{1}, uid...), system...)
		padded := make([]byte, 32)
		n := copy(padded, m)
		last := k1
		if n < 32 {
			padded[n] = 0x80
			last = k2
		}
		copy(key[:], padded[:16])
		b.Encrypt(key[:], key[:])
		subtle.XORBytes(key[:], key[:], padded[16:])
		subtle.XORBytes(key[:], key[:], last[:])
		b.Encrypt(key[:], key[:])
		return key
	}
}

// MetaKey derives K_SDMMetaRead from a 16-byte master secret by HMAC-SHA256.
func MetaKey(master []byte) (k Key) {
	copy(k[:], sum(master, []byte("PICCDataKey")))
	return k
}

// HMAC derives the key of each tag in a slot from a master secret: CMAC under a
// key of the slot over a pseudonym of the tag.
func HMAC(master []byte, slot byte) Diversify {
	var slotKey Key
	copy(slotKey[:], sum(master, append([]byte("SlotMasterKey"), slot)))
	base := sum(master, []byte("DivBaseKey"))
	return func(uid []byte) Key { return cmac(slotKey, append([]byte{1}, sum(base, uid)[:16]...)) }
}

func sum(key, text []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(text)
	return m.Sum(nil)
}

// Sign makes the message that a tag with these keys would make in AES mode, for
// simulated tags. uid has 7 bytes.
func Sign(k Keys, uid [7]byte, counter int64) Message {
	plain := make([]byte, 16)
	plain[0] = 0xc7
	copy(plain[1:], uid[:])
	c := []byte{byte(counter), byte(counter >> 8), byte(counter >> 16)}
	copy(plain[8:], c)
	picc := make([]byte, 16)
	cipher.NewCBCEncrypter(block(k.Meta), make([]byte, 16)).CryptBlocks(picc, plain)
	s := newSession(k.File(uid[:]), uid[:], c, false)
	return Message{PICC: strings.ToUpper(hex.EncodeToString(picc)), CMAC: strings.ToUpper(hex.EncodeToString(truncate(s.mac(nil))))}
}
