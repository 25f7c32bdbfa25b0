package group_test

import (
	"testing"

	"github.com/rapport-engine/rapport/twin/group"
)

func FuzzDecodingSegmentsOfAnItemNeverPanicsAndKeepsWhatItTakes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 3, 'l', 'o', 'w', 1, 2, 3, 4, 5, 6, 7, 8, 2, 20, 30})
	f.Fuzz(func(t *testing.T, b []byte) {
		var g group.Groups
		if g.DecodeBinary(b) != nil {
			return
		}
		var again group.Groups
		text := g.AppendBinary(nil)
		if err := again.DecodeBinary(text); err != nil || string(again.AppendBinary(nil)) != string(text) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func TestADocumentWithoutAConditionIsRefused(t *testing.T) {
	t.Parallel()
	if err := (&group.Doc{ID: "x"}).Validate(); err == nil {
		t.Error("it is taken")
	}
}
