package tap

import (
	"bytes"
	"crypto/aes"
)

// lrp is the leakage resilient primitive of AN12304 with 4-bit steps: secret
// plaintexts and updated keys made from one key.
type lrp struct {
	plain [16]Key
	keys  [2]Key // updated keys 0 and 1
}

func newLRP(key Key) *lrp {
	low, high := Key(bytes.Repeat([]byte{0x55}, 16)), Key(bytes.Repeat([]byte{0xaa}, 16))
	l := &lrp{}
	h := encrypt(key, low)
	for i := range l.plain {
		l.plain[i] = encrypt(h, high)
		h = encrypt(h, low)
	}
	h = encrypt(key, high)
	for i := range l.keys {
		l.keys[i] = encrypt(h, high)
		h = encrypt(h, low)
	}
	return l
}

func encrypt(key, text Key) Key {
	block(key).Encrypt(text[:], text[:])
	return text
}

// eval runs the primitive over the nibbles of x under updated key n.
func (l *lrp) eval(n int, x []byte) Key {
	y := l.keys[n]
	for _, b := range x {
		y = encrypt(y, l.plain[b>>4])
		y = encrypt(y, l.plain[b&15])
	}
	return encrypt(y, Key{})
}

// cmac is CMAC with the primitive in place of AES.
func (l *lrp) cmac(n int, text []byte) Key {
	return chain(text, double(l.eval(n, make([]byte, 16))), func(x *Key) { *x = l.eval(n, x[:]) })
}

// decrypt undoes LRICB: each block has its own key, the primitive of a counter.
func (l *lrp) decrypt(n int, counter []byte, out, text []byte) {
	counter = bytes.Clone(counter)
	for i := 0; i < len(text); i += aes.BlockSize {
		block(l.eval(n, counter)).Decrypt(out[i:], text[i:])
		for j := len(counter) - 1; j >= 0; j-- {
			if counter[j]++; counter[j] != 0 {
				break
			}
		}
	}
}
