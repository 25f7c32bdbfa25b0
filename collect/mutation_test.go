package collect_test

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

// bodies are what real clients send, the seeds of mutation.
func bodies() [][]byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(`{"batch":[` + one + `]}`))
	_ = z.Close()
	return [][]byte{
		[]byte(one),
		[]byte(`{"batch":[` + one + `,` + badOrder + `],"sentAt":"2026-03-01T11:59:30.000Z","context":{"library":{"name":"x","version":"1"},"traits":{"email":"a@b.no"}},"writeKey":"wk_web_1234"}`),
		[]byte(`{"timestamp":"2026-03-01T11:59:00.123+01:00","userId":"","anonymousId":"a-1","type":"identify","traits":{"email":"Kari@x.no","phone":"+47 22 22 55 55","n":[1,-2.5e3,{"deep":[[[null]]]}],"s":"\u00e5\ud83d\ude00\n"},"integrations":{},"messageId":"m"}`),
		[]byte(`{"type":"group","groupId":7,"userId":12345678901234567890,"traits":null,"context":{"consent":{"categoryPreferences":{"ads":false}}}}`),
		[]byte(`{"series":[{"type":"Counter","metric":"x","value":1}]}`),
		packed.Bytes(),
	}
}

// mutate changes a few bytes of b the way accidents and attackers do.
func mutate(r *rand.Rand, b []byte, other []byte) []byte {
	b = bytes.Clone(b)
	tokens := []string{"{", "}", "[", "]", `"`, "\\", ",", ":", "null", "1e999", "-", "\x00", "\xff", `"batch":[`, `"type":"system"`, `\u0000`, `{"a":`, "9999999999999999999999"}
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			return b
		}
		at := r.IntN(len(b))
		end := min(len(b), at+1+r.IntN(20))
		switch r.IntN(7) {
		case 0:
			b[at] = byte(r.IntN(256))
		case 1:
			b = append(b[:at], b[end:]...)
		case 2:
			b = append(b[:at], append([]byte(tokens[r.IntN(len(tokens))]), b[at:]...)...)
		case 3:
			b = append(b[:end], append(bytes.Clone(b[at:end]), b[end:]...)...)
		case 4:
			b = b[:at]
		case 5:
			from := r.IntN(len(other))
			b = append(b[:at], append(bytes.Clone(other[from:min(len(other), from+30)]), b[at:]...)...)
		case 6:
			b = append(b[:at], append(bytes.Repeat([]byte(tokens[r.IntN(4)]), 1+r.IntN(700)), b[at:]...)...)
		}
	}
	return b
}

func TestTenThousandMutatedBodiesAreAnsweredTakenOrRefused(t *testing.T) {
	t.Parallel()
	h := open(t, func(d *collect.Deps) { d.Options.Wire.EventBytes = 4000 })
	h.apply(collect.Documents{Sources: someSources, Schemas: []collect.SchemaDoc{order()}})
	r := rand.New(rand.NewPCG(1, 2))
	seeds := bodies()
	paths := []string{"/v1/batch", "/v1/track", "/v1/identify", "/v1/import", "/v1/m", "/beacon/v1/batch", "/v1/alias", "/v1/g"}
	codes := map[int]int{}
	for range 10_000 {
		body := mutate(r, seeds[r.IntN(len(seeds))], seeds[r.IntN(len(seeds))])
		w := h.send(paths[r.IntN(len(paths))], string(body))
		codes[w.Code]++
		if w.Code < 200 || w.Code >= 500 || w.Code/100 == 3 {
			t.Fatalf("%d %s for %q", w.Code, w.Body, body)
		}
	}
	if codes[200] < 500 || codes[400] < 500 {
		t.Errorf("the mutations are too tame or too wild: %v", codes)
	}
}

func FuzzHandler(f *testing.F) {
	for _, b := range bodies() {
		f.Add(b)
	}
	h := open(f, func(d *collect.Deps) { d.Options.Wire = segmentwire.Limits{EventBytes: 4000} })
	h.apply(collect.Documents{Sources: someSources, Schemas: []collect.SchemaDoc{order()}})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/v1/batch", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer wk_web_1234")
		w := httptest.NewRecorder()
		h.mux.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
