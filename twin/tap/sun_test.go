package tap_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/twin/tap"
)

type vectors struct {
	AES []struct {
		Name, KMeta, KFile, PICC, Enc, MAC, UID string
		CtrHex                                  string  `json:"ctr_hex_msb"`
		MACInput                                *string `json:"mac_input"`
		Ctr                                     *int64
		FileASCII                               string `json:"file_ascii"`
		FileHex                                 string `json:"file_hex"`
		Valid                                   bool
	}
	LRP []struct {
		PICC, Enc, MAC, UID string
		Ctr                 int64
		FileASCII           string `json:"file_ascii"`
	} `json:"lrp_not_reverified"`
	KDF struct {
		Cases []struct{ Master, Undiv1, UID, Key1, Key2 string }
	}
}

func read(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "ntag424-sun", "sun_vectors.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("public test data ../shared/data/ntag424-sun is not here")
	}
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func key(t testing.TB, text string) (k tap.Key) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	copy(k[:], b)
	return k
}

func TestPublishedMessagesAreJudgedAsPublished(t *testing.T) {
	t.Parallel()
	v := read(t)
	for _, c := range v.AES {
		keys := tap.Keys{Meta: key(t, c.KMeta), File: tap.Fixed(key(t, c.KFile)), Tamper: -1}
		m := tap.Message{PICC: c.PICC, Enc: c.Enc, CMAC: c.MAC}
		if c.PICC == "" {
			m.UID, m.Counter = c.UID, c.CtrHex
		}
		for _, explicit := range []bool{false, true} {
			if explicit {
				m.Signed = c.MACInput
			}
			got, err := tap.Verify(m, keys)
			if !c.Valid {
				if rapport.KindOf(err) != rapport.Denied {
					t.Errorf("%s: %v", c.Name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			if got.UID != c.UID || c.Ctr != nil && got.Counter != *c.Ctr {
				t.Errorf("%s: %+v", c.Name, got)
			}
			if c.FileASCII != "" && string(got.File) != c.FileASCII || c.FileHex != "" && hex.EncodeToString(got.File) != c.FileHex {
				t.Errorf("%s: file %x", c.Name, got.File)
			}
		}
	}
	for _, c := range v.LRP {
		got, err := tap.Verify(tap.Message{PICC: c.PICC, Enc: c.Enc, CMAC: c.MAC}, tap.Keys{File: tap.Fixed(tap.Key{}), Tamper: -1})
		if err != nil || !strings.EqualFold(got.UID, c.UID) || got.Counter != c.Ctr || string(got.File) != c.FileASCII {
			t.Errorf("LRP %s: %+v, %v", c.PICC, got, err)
		}
	}
	for _, c := range v.KDF.Cases {
		master, err := hex.DecodeString(c.Master)
		if err != nil {
			t.Fatal(err)
		}
		uid, err := hex.DecodeString(c.UID)
		if err != nil {
			t.Fatal(err)
		}
		for slot, want := range map[byte]string{1: c.Key1, 2: c.Key2} {
			if got := tap.HMAC(master, slot)(uid); want != "" && hex.EncodeToString(got[:]) != want {
				t.Errorf("key %d of %s is %x, want %s", slot, c.UID, got, want)
			}
		}
		if got := tap.MetaKey(master); c.Undiv1 != "" && hex.EncodeToString(got[:]) != c.Undiv1 {
			t.Errorf("meta key is %x, want %s", got, c.Undiv1)
		}
	}
}

func TestKeysAreDiversifiedAsInAN10922(t *testing.T) {
	t.Parallel()
	// AN10922 section 2.2.1; the UID is followed by application and system identifiers.
	uid, _ := hex.DecodeString("04782E21801D80")
	rest, _ := hex.DecodeString("3042F54E585020416275")
	if got := tap.AN10922(key(t, "00112233445566778899AABBCCDDEEFF"), rest)(uid); got != key(t, "A8DD63A3B89D54B37CA802473FDA9175") {
		t.Errorf("%X", got)
	}
}

func TestNoPartOfAMessageCanBeChanged(t *testing.T) {
	t.Parallel()
	keys := tap.Keys{File: tap.Fixed(tap.Key{}), Tamper: -1}
	good := tap.Message{PICC: "FD91EC264309878BE6345CBE53BADF40", Enc: "CEE9A53E3E463EF1F459635736738962", CMAC: "ECC1E7F6C6C73BF6"}
	if _, err := tap.Verify(good, keys); err != nil {
		t.Fatal(err)
	}
	flip := func(s string, bit int) string {
		b, _ := hex.DecodeString(s)
		b[bit/8] ^= 1 << (bit % 8)
		return strings.ToUpper(hex.EncodeToString(b))
	}
	for bit := range 128 {
		m := good
		m.PICC = flip(good.PICC, bit)
		if got, err := tap.Verify(m, keys); err == nil {
			t.Errorf("bit %d of picc_data: %+v", bit, got)
		}
		m = good
		m.Enc = flip(good.Enc, bit)
		if _, err := tap.Verify(m, keys); err == nil {
			t.Errorf("bit %d of enc", bit)
		}
		if bit < 64 {
			m = good
			m.CMAC = flip(good.CMAC, bit)
			if _, err := tap.Verify(m, keys); err == nil {
				t.Errorf("bit %d of cmac", bit)
			}
		}
	}
	for _, m := range []tap.Message{{}, {PICC: "00"}, {PICC: "zz"}, {UID: "04", Counter: "000001", CMAC: "0011223344556677"}, {PICC: good.PICC}, {PICC: good.PICC, CMAC: "00"}, {PICC: good.PICC, CMAC: good.CMAC, Enc: "00"}} {
		if _, err := tap.Verify(m, keys); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestDocumentsNameWhatIsWrongAndNeverAKey(t *testing.T) {
	t.Parallel()
	const secret = "DEADBEEFDEADBEEFDEADBEEFDEADBEE" // one digit short
	_, err := tap.Compile([]tap.TagDoc{{ID: "coffee", FileKey: secret}})
	if rapport.KindOf(err) != rapport.Invalid || strings.Contains(err.Error(), "DEADBEEF") || !strings.Contains(err.Error(), "coffee") {
		t.Errorf("%v", err)
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("metaKey: 00000000000000000000000000000000\nfileKey: 00000000000000000000000000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	place := 0
	c, err := tap.Compile([]tap.TagDoc{{ID: "coffee", Products: []string{"9506000134352"}, KeyFile: path, Tamper: &place}})
	if err != nil {
		t.Fatal(err)
	}
	m := tap.Message{PICC: "EF963FF7828658A599F3041510671E88", CMAC: "94EED9EE65337086"}
	if got, err := c.Verify("09506000134352", m); err != nil || got.Counter != 61 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Verify("09506000134369", m); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("a product without keys: %v", err)
	}
	if err := (&tap.TagDoc{ID: "x", FileKey: "${A}", KeyFile: "b", Products: []string{"1"}, System: "xyz"}).Validate(); err == nil {
		t.Error("a document without sense is accepted")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("FD91EC264309878BE6345CBE53BADF40", "CEE9A53E3E463EF1F459635736738962", "ECC1E7F6C6C73BF6", "", "")
	f.Add("07D9CA2545881D4BFDD920BE1603268C0714420DD893A497", "", "F9481AC7D855BDB6", "", "")
	f.Add("", "", "4B00064004B0B3D3", "041E3C8A2D6B80", "000006")
	f.Fuzz(func(t *testing.T, picc, enc, mac, uid, ctr string) {
		got, err := tap.Verify(tap.Message{PICC: picc, Enc: enc, CMAC: mac, UID: uid, Counter: ctr}, tap.Keys{File: tap.Fixed(tap.Key{})})
		if err == nil && (len(got.UID) != 14 || got.Counter < 0 || got.Counter >= 1<<24) {
			t.Fatalf("%+v", got)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for name, c := range map[string]struct {
		m tap.Message
		d tap.Diversify
	}{
		"aes":         {tap.Message{PICC: "FD91EC264309878BE6345CBE53BADF40", Enc: "CEE9A53E3E463EF1F459635736738962", CMAC: "ECC1E7F6C6C73BF6"}, tap.Fixed(tap.Key{})},
		"lrp":         {tap.Message{PICC: "1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F", CMAC: "4231608BA7B02BA9"}, tap.Fixed(tap.Key{})},
		"diversified": {tap.Message{UID: "041E3C8A2D6B80", Counter: "000006", CMAC: "4B00064004B0B3D3"}, tap.AN10922(tap.Key{}, nil)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = tap.Verify(c.m, tap.Keys{File: c.d, Tamper: -1})
			}
		})
	}
}
