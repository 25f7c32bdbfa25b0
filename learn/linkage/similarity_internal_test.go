package linkage

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The figures are Winkler's own (1990), as tabled in many later papers.
func TestJaroWinklerGivesThePublishedFigures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"martha", "marhta", 0.961},
		{"dwayne", "duane", 0.840},
		{"dixon", "dicksonx", 0.813},
		{"shackleford", "shackelford", 0.982},
		{"nichleson", "nichulson", 0.956},
		{"jones", "johnson", 0.832},
		{"massey", "massie", 0.933},
		{"abroms", "abrams", 0.922},
		{"itman", "smith", 0.467},
		{"hardin", "martinez", 0.722},
		{"abc", "", 0},
	} {
		if got := JaroWinkler(c.a, c.b); math.Abs(got-c.want) > 0.0015 {
			t.Errorf("%s and %s: %.4f, want %.3f", c.a, c.b, got, c.want)
		}
	}
}

// plainOSA is the distance by its definition.
func plainOSA(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0:
				d[i][j] = j
			case j == 0:
				d[i][j] = i
			default:
				cost := 1
				if a[i-1] == b[j-1] {
					cost = 0
				}
				d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					d[i][j] = min(d[i][j], d[i-2][j-2]+1)
				}
			}
		}
	}
	return d[len(a)][len(b)]
}

func TestTheBandedDistanceIsTheDistance(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	word := func() string {
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = byte('a' + r.IntN(3))
		}
		return string(b)
	}
	for range 100_000 {
		a, b, limit := word(), word(), 1+r.IntN(3)
		want := min(plainOSA(a, b), limit+1)
		if got := edits(a, b, limit); got != want {
			t.Fatalf("%q and %q within %d: %d, want %d", a, b, limit, got, want)
		}
	}
}

func TestMasksNeverHideALikeness(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 1))
	word := func() string {
		b := make([]byte, 1+r.IntN(10))
		for i := range b {
			b[i] = byte('a' + r.IntN(6))
		}
		return string(b)
	}
	for range 100_000 {
		a, b := word(), word()
		mine, theirs := maskOf(a).alone(maskOf(b))
		if s, most := JaroWinkler(a, b), likeliest(a, b, mine, theirs); s > most+1e-9 {
			t.Fatalf("%q and %q are alike by %v, bounded by %v", a, b, s, most)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"Ångström-O'Neil", "1960-4-9", "31/12/1999", "12/31/1999T10:00", "+47 22 12 34 56", "A@B.no", "\xff\xfe", "n/a", "000"} {
		f.Add(s)
	}
	s := Person()
	f.Fuzz(func(t *testing.T, value string) {
		values := make([]string, len(s))
		for i := range values {
			values[i] = value
		}
		r := s.Record(values)
		again := r.Values(len(s))
		for i, v := range again {
			if len(v) > maxValue {
				t.Fatalf("%s keeps %d bytes", s[i].Name, len(v))
			}
		}
		var v view
		v.open(r, len(s))
		var c comparison
		s.compare(&v, &v, &c)
		for i := range s {
			if c[i] != Missing && c[i] != Equal {
				t.Fatalf("%s differs from itself", s[i].Name)
			}
		}
		var ks keys
		k := newKeyer(s)
		k.keys(&v, &ks)
	})
}
