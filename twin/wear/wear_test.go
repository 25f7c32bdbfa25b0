package wear_test

import (
	"testing"

	"github.com/rapport-engine/rapport/twin/wear"
)

func FuzzDecodingALifeNeverPanicsAndKeepsWhatItTakes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l wear.Life
		if l.DecodeBinary(b) != nil {
			return
		}
		var again wear.Life
		text := l.AppendBinary(nil)
		if err := again.DecodeBinary(text); err != nil || string(again.AppendBinary(nil)) != string(text) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func TestADamagedModelIsRefused(t *testing.T) {
	t.Parallel()
	for _, d := range []wear.ModelDoc{
		{Made: "now", Asked: "1", Data: ""},
		{Made: "2026-01-02T03:04:05Z", Asked: "x", Data: ""},
		{Made: "2026-01-02T03:04:05Z", Asked: "1", Data: "!"},
		{Made: "2026-01-02T03:04:05Z", Asked: "1", Data: "AAAA"},
	} {
		if d.Validate() == nil {
			t.Errorf("%+v is taken", d)
		}
	}
}
