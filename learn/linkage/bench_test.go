package linkage_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/learn/linkage"
)

// synthetic returns n records of people, a third of them mistyped duplicates of
// earlier ones, with names from pools of the given sizes.
func synthetic(seed uint64, n, givens, surnames int) (records []linkage.Record, truth []string) {
	r := rand.New(rand.NewPCG(seed, 7))
	syllables := []string{"an", "ber", "cor", "da", "el", "fri", "gun", "ha", "in", "jo", "kar", "li", "mo", "na", "ol", "per", "ro", "si", "tor", "ul", "vi", "wen", "ya", "zo"}
	word := func(i, n int) (s string) {
		for range n {
			s += syllables[i%len(syllables)]
			i /= len(syllables)
			i = i*7 + 3
		}
		return s
	}
	slip := func(s string) string {
		if len(s) < 3 {
			return s
		}
		b := []byte(s)
		i := r.IntN(len(b) - 1)
		switch r.IntN(4) {
		case 0:
			b[i], b[i+1] = b[i+1], b[i]
		case 1:
			b = slices.Delete(b, i, i+1)
		case 2:
			b[i] = byte('a' + r.IntN(26))
		default:
			b = slices.Insert(b, i, byte('a'+r.IntN(26)))
		}
		return string(b)
	}
	zipfGiven, zipfSurname := rand.NewZipf(r, 1.2, 20, uint64(givens-1)), rand.NewZipf(r, 1.2, 20, uint64(surnames-1))
	s := linkage.Person()
	var people [][]string
	for len(records) < n {
		if len(people) > 10 && r.IntN(3) == 0 {
			p := r.IntN(len(people))
			v := slices.Clone(people[p])
			for range 1 + r.IntN(3) {
				i := r.IntN(len(v))
				if v[i] = slip(v[i]); r.IntN(4) == 0 {
					v[i] = ""
				}
			}
			records, truth = append(records, s.Record(v)), append(truth, fmt.Sprint(p))
			continue
		}
		g, f := word(int(zipfGiven.Uint64()), 3), word(int(zipfSurname.Uint64()), 4)
		city := r.IntN(2000)
		p := []string{
			g, f, fmt.Sprintf("%s.%s%d@mail%d.com", g, f, r.IntN(10000), r.IntN(20)), fmt.Sprintf("47%08d", r.IntN(1e8)),
			fmt.Sprintf("%04d-%02d-%02d", 1930+r.IntN(80), 1+r.IntN(12), 1+r.IntN(28)),
			fmt.Sprintf("%d %s street", 1+r.IntN(200), word(r.IntN(20000), 4)), fmt.Sprintf("%04d", 1000+city*4), word(city, 3),
		}
		truth = append(truth, fmt.Sprint(len(people)))
		people = append(people, p)
		records = append(records, s.Record(p))
	}
	return records, truth
}

// BenchmarkStreaming: one op is one record grouped among 500,000, on one core.
func BenchmarkStreaming(b *testing.B) {
	for _, pools := range []struct {
		name             string
		givens, surnames int
	}{{"many names", 5000, 50000}, {"few names", 40, 60}} {
		b.Run(pools.name, func(b *testing.B) {
			const n = 500_000
			records, truth := synthetic(1, n, pools.givens, pools.surnames)
			began := time.Now()
			m, err := linkage.Train(linkage.Person(), records, nil)
			if err != nil {
				b.Fatal(err)
			}
			trained := time.Since(began)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			took := make([]time.Duration, 0, n)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			b.ReportAllocs()
			x := linkage.NewIndex(m, linkage.Options{})
			i := 0
			for b.Loop() {
				if i == n {
					x, i = linkage.NewIndex(m, linkage.Options{}), 0
				}
				at := time.Now()
				x.Add(records[i])
				if i++; len(took) < n {
					took = append(took, time.Since(at))
				}
			}
			alone, spent := len(took), cpuTime()
			for ; i < n; i++ {
				at := time.Now()
				x.Add(records[i])
				took = append(took, time.Since(at))
			}
			used, cpu := len(took)-alone, cpuTime()-spent
			runtime.GC()
			runtime.ReadMemStats(&after)
			slices.Sort(took)
			total := time.Duration(0)
			for _, d := range took {
				total += d
			}
			if cpu > 0 { // of this thread, so that other programs do not count
				b.ReportMetric(float64(used)/cpu.Seconds(), "records/cpu-s")
			}
			b.ReportMetric(float64(len(took))/total.Seconds(), "records/s")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-us")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20)/(float64(n)/1e6), "MB/million")
			b.ReportMetric(trained.Seconds(), "training-s")
			j := judge(x, truth)
			b.ReportMetric(j.f1, "F1")
			runtime.KeepAlive(x)
		})
	}
}
