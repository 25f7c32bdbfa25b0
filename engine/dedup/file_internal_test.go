package dedup

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFingerprintsComeInOrderHoweverTheyAreSpread(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	any16 := func() (fp Fingerprint) {
		for i := range fp {
			fp[i] = byte(r.Uint32())
		}
		return fp
	}
	alike := func() (fp Fingerprint) { // all but the last bytes are the same
		fp = Fingerprint{0xff, 0xff, 0xff, 0xff}
		fp[15] = byte(r.Uint32())
		return fp
	}
	few := func() Fingerprint { return Fingerprint{byte(r.IntN(2) * 0xff)} }
	for _, next := range []func() Fingerprint{any16, alike, few} {
		for _, n := range []int{0, 1, 2, 7, 8, 9, 500} {
			fps := make([]Fingerprint, n)
			for i := range fps {
				fps[i] = next()
			}
			given := slices.Clone(fps)
			got := inOrder(fps)
			if d := cmp.Diff(given, fps); d != "" {
				t.Fatalf("what was given changed:\n%s", d)
			}
			slices.SortFunc(given, func(a, b Fingerprint) int { return bytes.Compare(a[:], b[:]) })
			if d := cmp.Diff(given, got); d != "" {
				t.Fatalf("%d fingerprints:\n%s", n, d)
			}
		}
	}
}

func BenchmarkInOrder(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	fps := make([]Fingerprint, 128<<10)
	for i := range fps {
		for j := range fps[i] {
			fps[i][j] = byte(r.Uint32())
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		inOrder(fps)
	}
}
