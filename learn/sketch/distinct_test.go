package sketch_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/sketch"
)

func TestTheErrorIsThatOfThePaper(t *testing.T) {
	t.Parallel()
	// Flajolet et al. 2007: relative standard error 1.04/sqrt(m) = 3.25 % at m = 1024; no bias at any size.
	for _, n := range []int{200, 1000, 3000, 10_000, 100_000} {
		r := rand.New(rand.NewPCG(uint64(n), 1))
		const runs = 200
		var sum, squares float64
		for range runs {
			var d sketch.Distinct
			for range n {
				d.Add(r.Uint64())
			}
			e := d.Count()/float64(n) - 1
			sum += e
			squares += e * e
		}
		if bias, rms := sum/runs, math.Sqrt(squares/runs); rms > 0.0325*1.2 || math.Abs(bias) > 0.0325*3/math.Sqrt(runs) {
			t.Errorf("%d values: bias %.4f, standard error %.4f", n, bias, rms)
		}
		if testing.Short() && n >= 1000 {
			return
		}
	}
}

func TestCountsAreExactWhileFew(t *testing.T) {
	t.Parallel()
	var d sketch.Distinct
	r := rand.New(rand.NewPCG(1, 1))
	for n := range sketch.Exact {
		if d.Count() != float64(n) {
			t.Fatalf("%d values are taken for %v", n, d.Count())
		}
		h := r.Uint64()
		d.Add(h)
		d.Add(h)
	}
}

func TestASketchIsAFunctionOfTheSet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		hashes := make([]uint64, r.IntN(400))
		for i := range hashes {
			hashes[i] = r.Uint64()
		}
		var want []byte
		for turn := range 4 {
			parts := make([]sketch.Distinct, 1+turn)
			for _, i := range r.Perm(len(hashes)) {
				for range 1 + r.IntN(2) {
					parts[r.IntN(len(parts))].Add(hashes[i])
				}
			}
			whole := parts[0].Clone()
			for i := range parts[1:] {
				var back sketch.Distinct
				if rest, err := back.DecodeBinary(parts[1+i].AppendBinary(nil)); err != nil || len(rest) > 0 {
					t.Fatal(err, rest)
				}
				whole.Merge(&back)
			}
			if got := whole.AppendBinary(nil); turn == 0 {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Fatalf("seed %d: %d values in %d parts", seed, len(hashes), len(parts))
			}
		}
		if len(want) > 1+1024 {
			t.Fatalf("%d bytes", len(want))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d sketch.Distinct
		rest, err := d.DecodeBinary(b)
		if err != nil {
			return
		}
		if got := d.AppendBinary(nil); !bytes.Equal(got, b[:len(b)-len(rest)]) {
			t.Fatalf("%x became %x", b, got)
		}
		if n := d.Count(); n < 0 || math.IsNaN(n) {
			t.Fatalf("count %v", n)
		}
	})
}
