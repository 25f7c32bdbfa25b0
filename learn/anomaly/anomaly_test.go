package anomaly_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn/anomaly"
)

const minute = 60_000

func TestScoresAndPValuesStayWithinTheirBounds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(i int) float64{
		"constant":  func(int) float64 { return 4 },
		"huge":      func(i int) float64 { return math.MaxFloat64 * float64(i%3-1) },
		"tiny":      func(i int) float64 { return math.SmallestNonzeroFloat64 * float64(i%2) },
		"noise":     func(int) float64 { return r.NormFloat64() },
		"gaps":      func(i int) float64 { return []float64{1, math.NaN(), math.Inf(1)}[i%3] },
		"staircase": func(i int) float64 { return float64(i / 100) },
	} {
		var d anomaly.Detector
		for i := range 3000 {
			got := d.Next(int64(i-100)*minute, next(i))
			if !(got.Score >= 0 && got.Score <= 1) || !(got.P > 0 && got.P <= 1) || math.IsNaN(got.Expected) || math.IsNaN(got.Typical) {
				t.Fatalf("%s, reading %d: %+v", name, i, got)
			}
		}
	}
}

func TestASpikeAShiftAndABrokenDayStandOut(t *testing.T) {
	t.Parallel()
	day := func(i int) float64 { return 10 + 5*math.Sin(2*math.Pi*float64(i)/288) }
	for name, change := range map[string]func(i int, x float64) float64{
		"spike":      func(i int, x float64) float64 { return x + 20 },
		"shift":      func(i int, x float64) float64 { return x + 4 },
		"broken day": func(i int, x float64) float64 { return 20 - x },
	} {
		r := rand.New(rand.NewPCG(3, 4))
		var d anomaly.Detector
		before, within := 0.0, 0.0
		const start = 288 * 14
		for i := range start + 150 {
			x := day(i) + 0.3*r.NormFloat64()
			if i >= start {
				x = change(i, x)
			}
			s := d.Next(int64(i)*5*minute, x).Score
			if i >= 288*3 && i < start {
				before = max(before, s)
			} else if i >= start {
				within = max(within, s)
			}
		}
		if within < before+0.1 {
			t.Errorf("%s: %.3f, the strangest before it %.3f", name, within, before)
		}
	}
}

func TestPValuesOfExchangeableScoresAreNotTooSmall(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	var c anomaly.Calibration
	const n = 50_000
	for _, a := range []float64{0.1, 0.02} {
		alarms := 0
		for range n {
			if c.Next(r.Float64()*r.Float64()) <= a {
				alarms++
			}
		}
		if rate := float64(alarms) / n; rate > a*1.1 {
			t.Errorf("at %v: %v", a, rate)
		}
	}
}

func TestADetectorContinuesFromItsBytesAsIfNothingHadHappened(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	var a, b anomaly.Detector
	if got := a.AppendBinary(nil); len(got) != 0 {
		t.Errorf("an untaught detector has %d bytes", len(got))
	}
	for i := range 5000 {
		x := r.NormFloat64()
		if got, want := b.Next(int64(i)*minute, x), a.Next(int64(i)*minute, x); got != want {
			t.Fatalf("reading %d: %+v, want %+v", i, got, want)
		}
		if i%500 == 0 {
			data := b.AppendBinary(nil)
			b = anomaly.Detector{}
			if err := b.DecodeBinary(data); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func FuzzDecodingADetectorNeverPanicsAndKeepsWhatItTakes(f *testing.F) {
	var d anomaly.Detector
	d.Next(0, 1)
	f.Add(d.AppendBinary(nil))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d anomaly.Detector
		if d.DecodeBinary(b) != nil {
			return
		}
		again := d.AppendBinary(nil)
		var e anomaly.Detector
		if err := e.DecodeBinary(again); err != nil || e != d {
			t.Fatalf("%x decodes to something else than it was made from: %v", again, err)
		}
		d.Next(1, 1)
	})
}

func BenchmarkNext(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = r.NormFloat64()
	}
	var d anomaly.Detector
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d.Next(int64(i)*minute, values[i&4095])
		i++
	}
}
