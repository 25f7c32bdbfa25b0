package local_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func openBench(b *testing.B, o local.Options) *local.Log {
	b.Helper()
	o.Dir = b.TempDir()
	l, err := local.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

func reportRate(b *testing.B, records int) {
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// reportCPU reports the processor time of the whole process since start, the
// kernel's share of writing and syncing included.
func reportCPU(b *testing.B, start time.Duration, records int) {
	b.ReportMetric(float64(cpuTime()-start)/float64(records)/float64(b.N), "cpu-ns/record")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// 64 goroutines append one record each and wait for it to be durable.
func BenchmarkAppendSingle64Writers(b *testing.B) {
	l := openBench(b, local.Options{})
	data := payload(350)
	b.SetParallelism(32) // times GOMAXPROCS
	var writer atomic.Int32
	b.SetBytes(350)
	b.ReportAllocs()
	start := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		p := writer.Add(1) % 16
		ctx := context.Background()
		one := make([]eventlog.Record, 1)
		for pb.Next() {
			one[0] = eventlog.Record{Topic: eventlog.Events, Partition: p, Kind: 1, Data: data}
			if err := l.Submit(one).Wait(ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
	reportRate(b, 1)
	reportCPU(b, start, 1)
	s := l.Stats()
	b.ReportMetric(float64(s.Records)/float64(s.Groups), "records/group")
}

// Batches of 100 over 16 partitions, from as many goroutines as named.
func BenchmarkAppendBatch100(b *testing.B) {
	for _, writers := range []int{2, 8, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l := openBench(b, local.Options{})
			data := payload(350)
			b.SetParallelism(writers / 2)
			b.SetBytes(350 * 100)
			b.ReportAllocs()
			start := cpuTime()
			b.RunParallel(func(pb *testing.PB) {
				ctx := context.Background()
				batch := make([]eventlog.Record, 100)
				for pb.Next() {
					for i := range batch {
						batch[i] = eventlog.Record{Topic: eventlog.Events, Partition: int32(i*7) % 16, Kind: 1, Data: data}
					}
					if err := l.Submit(batch).Wait(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			})
			reportRate(b, 100)
			reportCPU(b, start, 100)
			s := l.Stats()
			b.ReportMetric(float64(s.Records)/float64(s.Groups), "records/group")
		})
	}
}

// fill appends n records in submissions of 100 over the partitions.
func fill(b *testing.B, l *local.Log, n int) {
	b.Helper()
	data := payload(350)
	var pending []eventlog.Pending
	for at := 0; at < n; at += 100 {
		batch := make([]eventlog.Record, 100)
		for i := range batch {
			batch[i] = eventlog.Record{Topic: eventlog.Events, Partition: int32(i*7) % 16, Kind: 1, Data: data}
		}
		if pending = append(pending, l.Submit(batch)); len(pending) == 200 {
			for _, p := range pending {
				if err := p.Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			pending = pending[:0]
		}
	}
	for _, p := range pending {
		if err := p.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// readAll reads every record of topic events and returns their number.
func readAll(b *testing.B, l *local.Log) (n int) {
	b.Helper()
	for p := range int32(16) {
		first, next := l.Bounds(eventlog.Events, p)
		r, err := l.Reader(eventlog.Events, p, first)
		if err != nil {
			b.Fatal(err)
		}
		for at := first; at < next; {
			records, err := r.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += len(records)
			at = records[len(records)-1].Offset + 1
		}
		_ = r.Close()
	}
	return n
}

func BenchmarkReadFromMemory(b *testing.B) {
	l := openBench(b, local.Options{TailBytes: 128 << 20})
	fill(b, l, 100_000)
	b.SetBytes(350 * 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if n := readAll(b, l); n != 100_000 {
			b.Fatal(n)
		}
	}
	reportRate(b, 100_000)
}

func BenchmarkReadFromFiles(b *testing.B) {
	l := openBench(b, local.Options{TailBytes: 1})
	fill(b, l, 500_000)
	b.SetBytes(350 * 500_000)
	b.ReportAllocs()
	for b.Loop() {
		if n := readAll(b, l); n < 490_000 {
			b.Fatal(n)
		}
	}
	reportRate(b, 500_000)
}

// A log of 5 million records opens within the time of a scan of its newest
// segment.
func BenchmarkOpen5Million(b *testing.B) {
	if testing.Short() {
		b.Skip("writes 2 GB")
	}
	dir := b.TempDir()
	l, err := local.Open(local.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, l, 5_000_000)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l, err := local.Open(local.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
