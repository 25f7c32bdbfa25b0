package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/state"
)

// windows is a fold like a profile's: thirty counters in daily windows, some
// statistics and texts, 900 bytes in all, and a row of a timeline per event.
type windows struct{}

func (windows) Name() string        { return "windows" }
func (windows) Version() uint32     { return 1 }
func (windows) Scope() engine.Scope { return engine.PerFragment }
func (windows) New() engine.State   { return &windowState{} }

type windowState struct {
	last   int64
	counts [30][3]int64
	texts  [160]byte
}

func (s *windowState) Apply(c *engine.Context, e *rapport.Event) {
	s.last = max(s.last, e.Timestamp)
	for i := range s.counts {
		w := &s.counts[i]
		day := e.Timestamp / 86_400_000
		if w[0] != day {
			w[0], w[2] = day, w[1]
			w[1] = 0
		}
		w[1]++
	}
	if v, ok := e.Properties.Get("sku"); ok {
		copy(s.texts[:], v.Str())
	}
	var key [16]byte
	binary.BigEndian.PutUint64(key[:], uint64(e.Timestamp))
	binary.BigEndian.PutUint64(key[8:], uint64(c.Offset))
	c.PutRow(key[:], key[:1])
}

func (s *windowState) Merge(other engine.State) {
	o := other.(*windowState)
	s.last = max(s.last, o.last)
	for i := range s.counts {
		s.counts[i][1] += o.counts[i][1]
	}
}

func (s *windowState) AppendBinary(b []byte) []byte {
	if s.last == 0 {
		return b
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(s.last))
	for _, w := range s.counts {
		for _, v := range w {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	}
	return append(b, s.texts[:]...)
}

func (s *windowState) DecodeBinary(b []byte) error {
	if *s = (windowState{}); len(b) == 0 {
		return nil
	}
	if len(b) != 8+30*3*8+160 {
		return fmt.Errorf("windows: %d bytes", len(b))
	}
	s.last = int64(binary.LittleEndian.Uint64(b))
	for i := range s.counts {
		for j := range s.counts[i] {
			s.counts[i][j] = int64(binary.LittleEndian.Uint64(b[8+(i*3+j)*8:]))
		}
	}
	copy(s.texts[:], b[8+30*3*8:])
	return nil
}

// small is a second hot fold, per entity.
type small struct{}

func (small) Name() string        { return "small" }
func (small) Version() uint32     { return 1 }
func (small) Scope() engine.Scope { return engine.PerEntity }
func (small) New() engine.State   { return &smallState{} }

type smallState struct{ n [12]uint64 }

func (s *smallState) Apply(_ *engine.Context, e *rapport.Event) { s.n[uint64(e.Timestamp)%12]++ }
func (s *smallState) Merge(other engine.State) {
	for i, v := range other.(*smallState).n {
		s.n[i] += v
	}
}

func (s *smallState) AppendBinary(b []byte) []byte {
	for _, v := range s.n {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func (s *smallState) DecodeBinary(b []byte) error {
	for i := range s.n {
		v, k := binary.Uvarint(b)
		s.n[i] = v
		b = b[max(k, 0):]
	}
	return nil
}

// bench is an engine on disk over people who all have a profile.
type bench struct {
	b       *testing.B
	people  int
	log     eventlog.Log
	store   *state.Store
	eng     *engine.Engine
	message int
	perm    []int
	zipf    *rand.Zipf
	fields  [2]rapport.Fields
}

func newBench(b *testing.B) *bench {
	people := 1_000_000
	if testing.Short() {
		people = 20_000
	}
	if s := os.Getenv("RAPPORT_BENCH_PEOPLE"); s != "" {
		people, _ = strconv.Atoi(s)
	}
	return newBenchOf(b, people)
}

func newBenchOf(b *testing.B, people int) *bench {
	w := &bench{b: b, people: people}
	dir := b.TempDir()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	log, err := local.Open(local.Options{Dir: filepath.Join(dir, "log"), Partitions: 16, MaxQueuedBytes: 128 << 20})
	must(err)
	logger := slog.New(slog.DiscardHandler)
	w.store, err = state.Open(state.Options{Dir: filepath.Join(dir, "state"), Logger: logger})
	must(err)
	w.log = log
	w.eng, err = engine.Open(engine.Options{
		Log: log, Store: w.store, Clock: rapport.SystemClock{}, Logger: logger,
		Folds: []engine.Fold{windows{}, small{}}, DedupDir: filepath.Join(dir, "dedup"),
	})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.eng.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		must(<-done)
		must(w.store.Close())
		must(log.Close())
	})
	w.fields = [2]rapport.Fields{
		rapport.FieldsOf(map[string]any{"sku": "espresso-beans-1kg", "price": 18.9, "currency": "EUR", "quantity": 2.0, "category": "coffee"}),
		rapport.FieldsOf(map[string]any{"locale": "nb-NO", "timezone": "Europe/Oslo", "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "page": map[string]any{"path": "/products/espresso", "title": "Espresso"}}),
	}
	w.perm = rand.New(rand.NewPCG(3, 4)).Perm(w.people)
	w.zipf = rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.05, 20, uint64(w.people-1))
	next := -1
	for range w.people / 1000 {
		w.accept(1000, func() int { next++; return next })
	}
	w.read(0)
	return w
}

func (w *bench) anyone() int { return w.perm[w.zipf.Uint64()] }

// accept appends a batch of events as a door does, and returns once it is durable.
func (w *bench) accept(n int, pick func() int) {
	records := make([]eventlog.Record, 0, n)
	now := time.Now().UnixMilli()
	for range n {
		w.message++
		who := id(pick())
		e := rapport.Event{
			Type: rapport.TypeTrack, Name: "Product Viewed", MessageID: "message-" + strconv.Itoa(w.message), Source: "web", UserID: "user",
			Timestamp: now, ReceivedAt: now, OriginalTimestamp: now, Entity: who, Fragment: who, Properties: w.fields[0], Context: w.fields[1],
			Identifiers: []rapport.Identifier{{Kind: "userId", Value: "user"}},
		}
		records = append(records, engine.EventRecord(&e, engine.Fingerprint("web", e.MessageID), int32(who.Partition(16))))
	}
	for w.eng.Admit(n) != nil {
		time.Sleep(time.Millisecond)
	}
	if err := w.log.Submit(records).Wait(w.b.Context()); err != nil {
		w.b.Fatal(err)
	}
}

func (w *bench) read(who int) {
	if err := w.eng.View(w.b.Context(), id(who), nil, func(v *engine.View) error { _ = v.State("windows"); return nil }); err != nil {
		w.b.Fatal(err)
	}
}

// BenchmarkFoldOverWarmPeople folds events of Zipf-chosen people who all have
// a profile already: one million of them, or RAPPORT_BENCH_PEOPLE.
//
//	go test ./engine -run '^$' -bench Warm -benchtime 2000000x
func BenchmarkFoldOverWarmPeople(b *testing.B) {
	w := newBench(b)
	start, cpu := w.eng.Stats(), cpuSeconds()
	b.ReportAllocs()
	b.ResetTimer()
	begin := time.Now()
	for left := b.N; left > 0; left -= 1000 {
		w.accept(min(left, 1000), w.anyone)
	}
	w.read(0)
	b.StopTimer()
	seconds := time.Since(begin).Seconds()
	end, m := w.eng.Stats(), w.store.Metrics()
	b.ReportMetric(float64(b.N)/seconds, "events/s")
	b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(b.N), "cpu-us/event")
	hits, misses := end.CacheHits-start.CacheHits, end.CacheMiss-start.CacheMiss
	b.ReportMetric(100*float64(hits)/max(float64(hits+misses), 1), "hit%")
	b.ReportMetric(residentMB(), "rss-MB")
	b.Logf("disk %d MB, debt %d MB, read amplification %d, %d compactions, %d commits", m.DiskBytes>>20, m.CompactionDebt>>20, m.ReadAmp, m.Compactions, end.Commits-start.Commits)
}

// BenchmarkFoldNewPeople folds the first event of people nothing is known of, a
// thousand an iteration: none of them may cost a look into the store.
func BenchmarkFoldNewPeople(b *testing.B) {
	w := newBenchOf(b, 1000)
	next := w.people
	cpu, folded := cpuSeconds(), 0
	b.ReportAllocs()
	for b.Loop() {
		w.accept(1000, func() int { next++; return next })
		folded += 1000
	}
	w.read(0)
	b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(folded), "cpu-us/event")
}

// BenchmarkReadAfterAcceptance reads one person right after an event of theirs
// was acknowledged, while 20,000 events come in per second.
//
//	go test ./engine -run '^$' -bench Acceptance -benchtime 4000x
func BenchmarkReadAfterAcceptance(b *testing.B) {
	w := newBench(b)
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range b.N {
		<-tick.C
		who := 0
		w.accept(100, func() int { who = w.anyone(); return who })
		begin := time.Now()
		w.read(who)
		took = append(took, time.Since(begin))
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-us")
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func residentMB() float64 {
	b, _ := os.ReadFile("/proc/self/statm")
	var size, resident float64
	_, _ = fmt.Sscan(string(b), &size, &resident)
	return resident * float64(os.Getpagesize()) / (1 << 20)
}
