package rapport_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/rapport-engine/rapport"
)

func TestADecoderReadsWhatWasAppended(t *testing.T) {
	t.Parallel()
	id := rapport.ID{1, 2, 3}
	b := append([]byte{7, 1}, id[:]...)
	b = binary.AppendVarint(binary.AppendUvarint(b, math.MaxUint64), math.MinInt64)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, 9), 10)
	b = rapport.AppendText(rapport.AppendText(rapport.AppendFloat(b, -.5), "roast"), []byte(nil))
	b = append(binary.AppendUvarint(b, 3), 1, 2, 3)
	d := rapport.NewDecoder(b)
	if c, yes, got := d.Byte(), d.Bool(), d.ID(); c != 7 || !yes || got != id {
		t.Error(c, yes, got)
	}
	if u, i := d.Uvarint(), d.Varint(); u != math.MaxUint64 || i != math.MinInt64 {
		t.Error(u, i)
	}
	if a, b, f := d.Uint32(), d.Uint64(), d.Float(); a != 9 || b != 10 || f != -.5 {
		t.Error(a, b, f)
	}
	if s, none := d.Text(), d.Bytes(); s != "roast" || none != nil {
		t.Errorf("%q %v", s, none)
	}
	if n := d.Count(1); n != 3 || d.Len() != 3 || d.Done() {
		t.Error(n, d.Len(), d.Done())
	}
	if p := d.Take(3); len(p) != 3 || !d.Done() {
		t.Error(p, d.Done())
	}
	// Beyond the end everything is zero, and stays so.
	if d.Uint64() != 0 || d.Text() != "" || d.ID() != (rapport.ID{}) || !d.Failed() || d.Done() {
		t.Error("something was read beyond the end")
	}
	d = rapport.NewDecoder(binary.AppendUvarint(nil, 1<<40))
	if n := d.Count(1); n != 0 || !d.Failed() {
		t.Error("a count of more things than there are bytes:", n)
	}
}

// A script of reads over any bytes ends, in bounds, and never heals.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{5, 'h', 'e', 'l', 'l', 'o', 1})
	f.Fuzz(func(t *testing.T, script, b []byte) {
		d := rapport.NewDecoder(b)
		reads := []func() int{
			func() int { d.Byte(); return 1 },
			func() int { d.Uvarint(); return 1 },
			func() int { d.Varint(); return 1 },
			func() int { d.Uint32(); return 4 },
			func() int { d.Float(); return 8 },
			func() int { d.ID(); return 16 },
			func() int { return 1 + len(d.Text()) },
			func() int { return 1 + d.Count(2)*0 },
		}
		for _, op := range script {
			left, failed := d.Len(), d.Failed()
			least := reads[int(op)%len(reads)]()
			if failed && !d.Failed() || d.Len() > left || !d.Failed() && left-d.Len() < least {
				t.Fatalf("from %d bytes (%t) to %d (%t)", left, failed, d.Len(), d.Failed())
			}
		}
	})
}
