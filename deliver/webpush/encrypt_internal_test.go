package webpush

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// The example of RFC 8291, section 5 and appendix A.
const (
	rfcPlain      = "When I grow up, I want to be a watermelon"
	rfcBrowserKey = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
	rfcBrowser    = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	rfcAuth       = "BTBZMqHH6r4Tts7J_aSIgg"
	rfcServerKey  = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
	rfcSalt       = "DGv6ra1nlYgDCS1FRnbzlw"
	rfcBody       = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)

func mustDecode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := decode(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAMessageIsEncryptedAsTheExampleOfRFC8291(t *testing.T) {
	t.Parallel()
	private, err := ecdh.P256().NewPrivateKey(mustDecode(t, rfcServerKey))
	if err != nil {
		t.Fatal(err)
	}
	s := &Subscription{P256dh: mustDecode(t, rfcBrowser), Auth: mustDecode(t, rfcAuth)}
	body, err := encrypt([]byte(rfcPlain), s, private, mustDecode(t, rfcSalt), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(body); got != rfcBody {
		t.Errorf("got  %s\nwant %s", got, rfcBody)
	}
}

func TestAnotherImplementationDecryptsWhateverTheLength(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	private, err := ecdh.P256().NewPrivateKey(mustDecode(t, rfcBrowserKey))
	if err != nil {
		t.Fatal(err)
	}
	s := &Subscription{P256dh: private.PublicKey().Bytes(), Auth: mustDecode(t, rfcAuth)}
	for _, n := range []int{0, 1, 255, 256, 1000, MaxPayload} {
		plain := []byte(strings.Repeat("ø", n))[:n]
		own, salt, err := newKey(&chain{seed: byte(n)})
		if err != nil {
			t.Fatal(err)
		}
		body, err := encrypt(plain, s, own, salt, padding(n))
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 4096 || n > 0 && n < MaxPayload && (len(body)-headBytes-17)%padTo != 0 && len(body) != 4096 {
			t.Errorf("%d bytes become %d", n, len(body))
		}
		cmd := exec.CommandContext(t.Context(), node, "testdata/decrypt.mjs")
		in, _ := json.Marshal(map[string]string{"private": rfcBrowserKey, "public": encode(s.P256dh), "auth": rfcAuth, "body": encode(body)})
		cmd.Stdin = bytes.NewReader(in)
		var problem bytes.Buffer
		cmd.Stderr = &problem
		got, err := cmd.Output()
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %v %s", n, err, problem.String())
		}
	}
	if _, err := encrypt(make([]byte, MaxPayload+1), s, private, make([]byte, 16), 0); err == nil {
		t.Error("a message that is too long is encrypted")
	}
}

// chain is a source of bytes that are the same every time.
type chain struct{ seed byte }

func (c *chain) Read(b []byte) (int, error) {
	for i := range b {
		c.seed = c.seed*5 + 17
		b[i] = c.seed
	}
	return len(b), nil
}
