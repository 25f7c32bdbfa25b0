package segment_test

import (
	"bytes"
	"testing"

	"github.com/rapport-engine/rapport/segment"
)

// FuzzStoredMembershipsAreReadOrRefused: whatever bytes stand in the store, they
// are refused or say the same when they are written again.
func FuzzStoredMembershipsAreReadOrRefused(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0})
	f.Add([]byte("\x01\x00\x00\x00\x00\x01abcdefgh\x03\x00abcdefgh\x05"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fold := segment.NewFold(nil)
		m, again := fold.New(), fold.New()
		if m.DecodeBinary(b) != nil {
			return
		}
		once := m.AppendBinary(nil)
		if err := again.DecodeBinary(once); err != nil {
			t.Fatalf("%x was read, %x was not: %v", b, once, err)
		}
		if twice := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%x became %x", once, twice)
		}
	})
}
