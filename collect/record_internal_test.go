package collect

import (
	"bytes"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

// FuzzHeld holds that no record crashes the quarantine, and that what decodes
// encodes to a record that means the same.
func FuzzHeld(f *testing.F) {
	h := held{
		Held: Held{Source: "web", Type: rapport.TypeTrack, Event: "x", MessageID: "m", ReceivedAt: 1, Bytes: 2, Problems: []segmentwire.Problem{{Code: "name", Why: "w", Fix: "f"}}},
		raw:  []byte("{}"), context: rapport.FieldsOf(map[string]any{"a": 1}), history: true,
	}
	f.Add(h.append(nil))
	f.Add(settledRecord(settledDeleted, 1, 300).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		decodeSettled(data)
		h, err := decodeHeld(data)
		if err != nil {
			return
		}
		h.index()
		again, err := decodeHeld(h.append(nil))
		if err != nil || !bytes.Equal(again.append(nil), h.append(nil)) {
			t.Fatalf("%+v came back as %+v, %v", h, again, err)
		}
	})
}

func FuzzHeaderKey(f *testing.F) {
	f.Add("Basic d2tfd2ViOg==")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, s string) {
		if key := headerKey(map[string][]string{"Authorization": {s}}); len(key) > len(s) {
			t.Fatalf("%q from %q", key, s)
		}
	})
}
