package segment_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/state"
)

// loaded is a configuration of 20 computed traits and 200 segments over 20 events.
func loaded(t testing.TB) *engine.Config {
	var computed []profile.ComputedDoc
	for i := range 20 {
		d := profile.ComputedDoc{ID: fmt.Sprintf("t%d", i), Event: fmt.Sprintf("Event %d", i), Op: []string{"count", "sum", "since", "decayed", "average"}[i%5]}
		if d.Op == "sum" || d.Op == "average" {
			d.Property = "revenue"
		}
		if d.Op != "since" && d.Op != "decayed" && i%2 == 0 {
			d.Within = rapport.Duration(30 * 24 * time.Hour)
		}
		computed = append(computed, d)
	}
	whens := map[string]string{}
	for i := range 200 {
		event, days := fmt.Sprintf("Event %d", i%20), []int{7, 30, 90}[i%3]
		whens[fmt.Sprintf("s%d", i)] = []string{
			fmt.Sprintf(`performed("%s").within("%dd").count() >= %d`, event, days, 1+i%5),
			fmt.Sprintf(`performed("%s").within("%dd").sum("revenue") > %d`, event, days, 10*i),
			fmt.Sprintf(`computed.t%d > %d`, i%20, i%7),
			fmt.Sprintf(`traits.country == "NO" && performed("%s").count() >= %d`, event, 1+i%5),
			fmt.Sprintf(`performed("%s").count() >= 2 && performed("%s").last() < now.unix - duration("%dd")`, event, event, days),
		}[i%5]
	}
	return compile(t, whens, computed...)
}

// BenchmarkSegmentsOn folds the same events with 20 computed traits and 200
// segments and without, and tells which share of the rate is left: of events
// that come in now, and of those of a month, in which timers fire as well.
func BenchmarkSegmentsOn(b *testing.B) {
	b.Run("now", func(b *testing.B) { benchmarkSegments(b, 20) })
	b.Run("month", func(b *testing.B) { benchmarkSegments(b, 26_000) })
}

func benchmarkSegments(b *testing.B, gap int64) {
	const people, events = 10_000, 100_000
	full, bare := loaded(b), compile(b, nil)
	r := rand.New(rand.NewPCG(1, 1))
	at := rapport.Millis(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	records := engine.BarrierRecords(partitions, 1)
	for i := range records {
		records[i].Time = at // else the log's clock is ahead of all events, and no time passes
	}
	for i := range events {
		person := rapport.ID{byte(rapport.RankUserID)}
		n := r.Uint64N(people)
		for j := range 15 {
			person[1+j] = byte((n*0x9e3779b97f4a7c15 + uint64(j)*0xbf58476d1ce4e5b9) >> (8 * (j % 8)))
		}
		at += gap
		e := rapport.Event{
			Type: rapport.TypeTrack, Name: fmt.Sprintf("Event %d", r.IntN(20)), Source: "web", MessageID: fmt.Sprint(i), Timestamp: at, ReceivedAt: at,
			Entity: person, Fragment: person, Properties: rapport.FieldsOf(map[string]any{"revenue": float64(r.IntN(100)), "sku": fmt.Sprintf("sku-%d", r.IntN(50)), "page": "/products/espresso-machines"}),
			Identifiers: []rapport.Identifier{{Kind: rapport.KindUserID, Value: fmt.Sprintf("user-%d", n)}},
		}
		rec := engine.EventRecord(&e, engine.Fingerprint(e.Source, e.MessageID), int32(person.Partition(partitions)))
		rec.Time = at
		records = append(records, rec)
	}
	fold := func(c *engine.Config) (took, work time.Duration) {
		w := &world{t: b}
		log := eventlogtest.NewMemory(partitions)
		w.must(eventlog.Append(b.Context(), log, records...))
		runtime.GC()
		logger := slog.New(slog.DiscardHandler)
		store, err := state.Open(state.Options{Dir: b.TempDir(), Logger: logger})
		w.must(err)
		eng, err := engine.Open(engine.Options{
			Log: log, Store: store, Clock: &clock{now: rapport.Time(at)}, Logger: logger, EraseKey: []byte("key"), Folds: w.folds(), DedupDir: b.TempDir(),
			Configs: func(int64) (*engine.Config, error) { return c, nil },
		})
		w.must(err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		begin, worked := time.Now(), processorTime(b)
		go func() { done <- eng.Run(ctx) }()
		w.must(eng.Ready(b.Context()))
		w.must(eng.View(b.Context(), rapport.ID{}, nil, func(*engine.View) error { return nil }))
		took = time.Since(begin)
		work = processorTime(b) - worked
		cancel()
		w.must(<-done)
		w.must(store.Close())
		return took, work
	}
	var with, without, workWith, workWithout time.Duration
	b.ReportAllocs()
	for b.Loop() {
		took, work := fold(bare)
		without, workWithout = without+took, workWithout+work
		took, work = fold(full)
		with, workWith = with+took, workWith+work
	}
	b.ReportMetric(without.Seconds()/with.Seconds(), "ratio")
	b.ReportMetric(workWithout.Seconds()/workWith.Seconds(), "cpu-ratio") // whatever else the machine does
	b.ReportMetric(workWith.Seconds()*1e6/(events*float64(b.N)), "cpu-us/event-with")
	b.ReportMetric(workWithout.Seconds()*1e6/(events*float64(b.N)), "cpu-us/event-without")
	b.ReportMetric(events*float64(b.N)/with.Seconds(), "events/s-with")
	b.ReportMetric(events*float64(b.N)/without.Seconds(), "events/s-without")
}

// processorTime is what the process has used of the processors.
func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
