// Package eventlogtest checks that an event log keeps the promises of
// [eventlog.Log], and brings logs for the tests of those who use one.
//
// [Run] is the conformance suite every implementation passes. [Memory] is a
// log without files that passes it too. [Chaos] wraps any log and does what a
// distributed log may do to its users and a file does not: it loses
// acknowledgements, appends a retried batch twice and delivers again after a
// partition was reassigned, all from one seed.
package eventlogtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Run checks an implementation. open opens the log kept under dir, with at
// least two partitions of topic Events, and opens it again after it was closed.
// The suite closes what it opens.
func Run(t *testing.T, open func(t testing.TB, dir string) eventlog.Log) {
	tests := []struct {
		name string
		test func(*suite)
	}{
		{"acknowledged records are there after reopening", (*suite).durable},
		{"records keep order and get offsets that rise by one", (*suite).ordered},
		{"records keep everything they carry", (*suite).faithful},
		{"partitions do not disturb each other", (*suite).isolated},
		{"time never falls within a partition", (*suite).timely},
		{"a reader waits for what comes", (*suite).tailing},
		{"a reader can begin anywhere between the bounds", (*suite).positioned},
		{"a cancelled context ends a wait and nothing else", (*suite).cancelled},
		{"records returned stay as they are", (*suite).stable},
		{"what is wrong is refused as invalid", (*suite).refused},
		{"an empty submission is durable at once", (*suite).empty},
		{"concurrent submitters lose and double nothing", (*suite).concurrent},
		{"a burst is taken or refused, never lost", (*suite).burst},
		{"trimming keeps what it must", (*suite).trimmed},
		{"closing makes pending records durable and ends the rest", (*suite).closing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, open: open, dir: t.TempDir()}
			s.reopen()
			defer func() { s.must(s.log.Close()) }()
			tt.test(s)
		})
	}
}

// suite is one test's view of the log.
type suite struct {
	*testing.T
	open func(testing.TB, string) eventlog.Log
	dir  string
	log  eventlog.Log
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) reopen() {
	s.Helper()
	if s.log != nil {
		s.must(s.log.Close())
	}
	s.log = s.open(s.T, s.dir)
	if n := s.log.Partitions(eventlog.Events); n < 2 {
		s.Fatalf("%d partitions of events, the suite needs 2", n)
	}
}

// event returns a record whose data says who and which it is.
func event(partition int32, who, n int) eventlog.Record {
	data := binary.BigEndian.AppendUint32(nil, uint32(who))
	data = binary.BigEndian.AppendUint32(data, uint32(n))
	data = append(data, bytes.Repeat([]byte{byte(n)}, n%50)...)
	return eventlog.Record{Topic: eventlog.Events, Partition: partition, Kind: uint8(1 + n%200), Data: data}
}

func (s *suite) append(records ...eventlog.Record) []eventlog.Record {
	s.Helper()
	s.must(eventlog.Append(s.Context(), s.log, records...))
	return records
}

// read returns the records of a partition from an offset to its end.
func (s *suite) read(t eventlog.Topic, p int32, from int64) []eventlog.Record {
	s.Helper()
	_, next := s.log.Bounds(t, p)
	return s.readTo(t, p, from, next)
}

func (s *suite) readTo(t eventlog.Topic, p int32, from, to int64) (all []eventlog.Record) {
	s.Helper()
	r, err := s.log.Reader(t, p, from)
	s.must(err)
	defer func() { s.must(r.Close()) }()
	for at := from; at < to; {
		records, err := r.Next(s.Context())
		s.must(err)
		if len(records) == 0 {
			s.Fatal("Next returned no record and no error")
		}
		for _, rec := range records {
			if rec.Offset != at {
				s.Fatalf("offset %d follows %d", rec.Offset, at-1)
			}
			at++
			all = append(all, rec)
		}
	}
	return all
}

// same compares records without times.
func (s *suite) same(got, want []eventlog.Record) {
	s.Helper()
	if len(got) != len(want) {
		s.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if !bytes.Equal(g.Data, w.Data) {
			s.Fatalf("record %d has data %.60q (%d bytes), want %.60q (%d bytes)", i, g.Data, len(g.Data), w.Data, len(w.Data))
		}
		g.Time, g.Data, w.Time, w.Data = 0, nil, 0, nil
		if d := cmp.Diff(w, g); d != "" {
			s.Fatalf("record %d differs (-want +got):\n%s", i, d)
		}
	}
}

func (s *suite) bounds(t eventlog.Topic, p int32, first, next int64) {
	s.Helper()
	if f, n := s.log.Bounds(t, p); f != first || n != next {
		s.Fatalf("bounds of %s/%d are %d and %d, want %d and %d", t, p, f, n, first, next)
	}
}

func (s *suite) kind(err error, want rapport.Kind) {
	s.Helper()
	if err == nil || rapport.KindOf(err) != want {
		s.Fatalf("error %v of kind %v, want kind %v", err, rapport.KindOf(err), want)
	}
}

func (s *suite) durable() {
	var want []eventlog.Record
	for round := range 3 {
		for n := range 20 {
			want = append(want, s.append(event(0, round, n), event(0, round, n+1000))...)
		}
		s.reopen()
		s.bounds(eventlog.Events, 0, 0, int64(len(want)))
		s.same(s.read(eventlog.Events, 0, 0), want)
	}
}

func (s *suite) ordered() {
	var all []eventlog.Record
	var pending []eventlog.Pending
	for n := range 200 {
		batch := []eventlog.Record{event(0, 0, 3*n), event(1, 0, n), event(0, 0, 3*n+1), event(0, 0, 3*n+2)}
		pending = append(pending, s.log.Submit(batch))
		all = append(all, event(0, 0, 3*n), event(0, 0, 3*n+1), event(0, 0, 3*n+2))
	}
	for _, p := range pending {
		s.must(p.Wait(s.Context()))
	}
	for i := range all {
		all[i].Offset = int64(i)
	}
	s.same(s.read(eventlog.Events, 0, 0), all)

	last := s.append(event(0, 1, 1), event(1, 1, 1), event(0, 1, 2))
	if last[0].Offset != 600 || last[1].Offset != 200 || last[2].Offset != 601 {
		s.Fatalf("offsets %d, %d, %d set by the log, want 600, 200, 601", last[0].Offset, last[1].Offset, last[2].Offset)
	}
}

func (s *suite) faithful() {
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	var want []eventlog.Record
	for i, data := range [][]byte{{}, {0}, []byte("x"), big, bytes.Repeat([]byte{0xff}, 127), make([]byte, 128), make([]byte, 70_000)} {
		for _, kind := range []uint8{1, 127, 255} {
			want = append(want, s.append(eventlog.Record{
				Topic: eventlog.Events, Partition: 1, Kind: kind, Time: 1_700_000_000_000 + int64(i), Data: data,
			})...)
		}
	}
	check := func() {
		s.Helper()
		got := s.read(eventlog.Events, 1, 0)
		s.same(got, want)
		for i := range got {
			if got[i].Time != want[i].Time {
				s.Fatalf("record %d has time %d, want %d", i, got[i].Time, want[i].Time)
			}
		}
	}
	check()
	s.reopen()
	check()
}

func (s *suite) isolated() {
	want := map[string][]eventlog.Record{}
	add := func(r eventlog.Record) {
		key := fmt.Sprint(r.Topic, r.Partition)
		want[key] = append(want[key], s.append(r)...)
	}
	each := func(do func(t eventlog.Topic, p int32)) {
		for _, topic := range eventlog.Topics {
			for p := range int32(s.log.Partitions(topic)) {
				do(topic, p)
			}
		}
	}
	for n := range 5 {
		each(func(t eventlog.Topic, p int32) {
			for k := range (int(t) + int(p) + n) % 3 {
				r := event(p, n, k)
				r.Topic = t
				add(r)
			}
		})
	}
	for range 2 {
		each(func(t eventlog.Topic, p int32) {
			all := want[fmt.Sprint(t, p)]
			s.bounds(t, p, 0, int64(len(all)))
			s.same(s.read(t, p, 0), all)
		})
		s.reopen()
	}
}

func (s *suite) timely() {
	at := func(ms int64) eventlog.Record {
		r := event(0, 0, 0)
		r.Time = ms
		return r
	}
	const base = 4_000_000_000_000 // later than any clock of a test
	got := s.append(at(base+5), at(base+3), at(base+9))
	got = append(got, s.append(at(base+8))...)
	s.reopen()
	got = append(got, s.append(at(base+2), at(0), at(base+10))...)
	want := []int64{5, 5, 9, 9, 9, 9, 10}
	stored := s.read(eventlog.Events, 0, 0)
	for i, w := range want {
		if got[i].Time != base+w || stored[i].Time != base+w {
			s.Fatalf("record %d has time base+%d when appended and base+%d when read, want base+%d", i, got[i].Time-base, stored[i].Time-base, w)
		}
	}
	before := time.Now().Add(-48 * time.Hour).UnixMilli()
	other := event(1, 0, 0)
	if r := s.append(other)[0]; r.Time < before || r.Time >= base {
		s.Fatalf("a record without time got %d, which is not the log's clock", r.Time)
	}
}

func (s *suite) tailing() {
	const n = 300
	var wg sync.WaitGroup
	got := make([][]eventlog.Record, 2)
	for i := range got {
		wg.Go(func() { got[i] = s.readTo(eventlog.Events, int32(i), 0, n) })
	}
	want := make([][]eventlog.Record, 2)
	for k := range n {
		want[k%2] = append(want[k%2], s.append(event(int32(k%2), 0, k))...)
		want[1-k%2] = append(want[1-k%2], s.append(event(int32(1-k%2), 1, k))...)
	}
	wg.Wait()
	s.same(got[0], want[0])
	s.same(got[1], want[1])
}

func (s *suite) positioned() {
	var batch []eventlog.Record
	for n := range 50 {
		batch = append(batch, event(0, 0, n))
	}
	want := s.append(batch...)
	for n := range 30 {
		want = append(want, s.append(event(0, 1, n))...)
	}
	for range 2 {
		for from := range int64(81) {
			s.same(s.read(eventlog.Events, 0, from), want[from:])
		}
		_, err := s.log.Reader(eventlog.Events, 0, 81)
		s.kind(err, rapport.Invalid)
		_, err = s.log.Reader(eventlog.Events, 0, -1)
		s.kind(err, rapport.NotFound)
		s.reopen()
	}
	// A reader at the end sees the next record.
	r, err := s.log.Reader(eventlog.Events, 0, 80)
	s.must(err)
	next := s.append(event(0, 2, 0))
	records, err := r.Next(s.Context())
	s.must(err)
	s.same(records, next)
	s.must(r.Close())
}

func (s *suite) cancelled() {
	r, err := s.log.Reader(eventlog.Events, 0, 0)
	s.must(err)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		s.Fatalf("error %v of a cancelled Next, want context.Canceled", err)
	}
	ctx, cancel = context.WithCancel(s.Context())
	done := make(chan error, 1) // the result may come before anyone waits
	go func() {
		_, err := r.Next(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		s.Fatalf("error %v of a cancelled Next, want context.Canceled", err)
	}
	record := []eventlog.Record{event(0, 0, 1)}
	p := s.log.Submit(record)
	if err := p.Wait(ctx); err != nil && !errors.Is(err, context.Canceled) {
		s.Fatalf("error %v of a cancelled Wait, want context.Canceled or none", err)
	}
	s.must(p.Wait(s.Context()))
	s.must(p.Wait(s.Context()))
	records, err := r.Next(s.Context())
	s.must(err)
	s.same(records, record)
	s.must(r.Close())
}

func (s *suite) stable() {
	r, err := s.log.Reader(eventlog.Events, 0, 0)
	s.must(err)
	defer func() { s.must(r.Close()) }()
	var kept []eventlog.Record
	var want []eventlog.Record
	buf := make([]byte, 0, 100)
	for n := range 200 {
		rec := event(0, 0, n)
		buf = append(buf[:0], rec.Data...)
		want = append(want, rec)
		want[n].Offset = int64(n)
		rec.Data = buf // the submitter's memory is its own again after Wait
		s.append(rec)
		records, err := r.Next(s.Context())
		s.must(err)
		kept = append(kept, records...)
	}
	s.same(kept, want)
}

func (s *suite) refused() {
	wrong := []eventlog.Record{
		{Topic: eventlog.Events, Partition: int32(s.log.Partitions(eventlog.Events)), Kind: 1},
		{Topic: eventlog.Events, Partition: -1, Kind: 1},
		{Topic: eventlog.Control, Partition: 1, Kind: 1},
		{Topic: 0, Kind: 1},
		{Topic: 200, Kind: 1},
	}
	for _, r := range wrong {
		s.kind(eventlog.Append(s.Context(), s.log, event(0, 0, 0), r), rapport.Invalid)
		if _, err := s.log.Reader(r.Topic, r.Partition, 0); rapport.KindOf(err) != rapport.Invalid {
			s.Fatalf("error %v of a reader of a partition that does not exist, want kind invalid", err)
		}
		s.kind(s.log.Trim(r.Topic, r.Partition, 0), rapport.Invalid)
	}
	if n := s.log.Partitions(200); n != 0 {
		s.Fatalf("a topic that does not exist has %d partitions", n)
	}
	s.bounds(eventlog.Events, 0, 0, 0) // a submission is refused as a whole
	s.append(event(0, 0, 0))
	s.bounds(eventlog.Events, 0, 0, 1)
}

func (s *suite) empty() {
	s.must(s.log.Submit(nil).Wait(s.Context()))
	s.must(eventlog.Append(s.Context(), s.log))
	s.bounds(eventlog.Events, 0, 0, 0)
}

func (s *suite) concurrent() {
	const writers, each = 16, 60
	var wg sync.WaitGroup
	for who := range writers {
		wg.Go(func() {
			for n := range each {
				if err := eventlog.Append(s.Context(), s.log, event(0, who, n), event(1, who, n)); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.reopen()
	for p := range int32(2) {
		seen := make([]int, writers)
		for _, r := range s.read(eventlog.Events, p, 0) {
			who, n := binary.BigEndian.Uint32(r.Data), binary.BigEndian.Uint32(r.Data[4:])
			if int(n) != seen[who] {
				s.Fatalf("record %d of writer %d where %d is due", n, who, seen[who])
			}
			seen[who]++
		}
		for who, n := range seen {
			if n != each {
				s.Fatalf("%d records of writer %d, want %d", n, who, each)
			}
		}
	}
}

func (s *suite) burst() {
	const n = 600
	data := make([]byte, 64<<10)
	var pending []eventlog.Pending
	records := make([][]eventlog.Record, n)
	for i := range n {
		records[i] = []eventlog.Record{{Topic: eventlog.Events, Kind: 1, Data: data}}
		pending = append(pending, s.log.Submit(records[i]))
	}
	accepted := int64(0)
	for i, p := range pending {
		switch err := p.Wait(s.Context()); {
		case err == nil:
			if records[i][0].Offset != accepted {
				s.Fatalf("offset %d, want %d", records[i][0].Offset, accepted)
			}
			accepted++
		case rapport.KindOf(err) != rapport.Unavailable:
			s.Fatalf("a burst was refused with %v, want kind unavailable", err)
		}
	}
	if accepted == 0 {
		s.Fatal("nothing of a burst was accepted")
	}
	s.append(event(0, 0, 0)) // the queue has room again
	s.bounds(eventlog.Events, 0, 0, accepted+1)
}

func (s *suite) trimmed() {
	var want []eventlog.Record
	for n := range 100 {
		want = append(want, s.append(event(0, 0, n))...)
		s.append(event(1, 0, n))
	}
	s.must(s.log.Trim(eventlog.Events, 0, 40))
	s.must(s.log.Trim(eventlog.Events, 0, 10)) // a lower mark changes nothing
	for range 2 {
		first, next := s.log.Bounds(eventlog.Events, 0)
		if first < 0 || first > 40 || next != 100 {
			s.Fatalf("bounds %d and %d after trimming below 40 of 100", first, next)
		}
		s.same(s.read(eventlog.Events, 0, first), want[first:])
		if first > 0 {
			_, err := s.log.Reader(eventlog.Events, 0, first-1)
			s.kind(err, rapport.NotFound)
		}
		s.bounds(eventlog.Events, 1, 0, 100)
		s.reopen()
	}
	s.must(s.log.Trim(eventlog.Events, 0, 1<<40))
	s.must(s.log.Trim(eventlog.Events, 1, 1<<40))
	s.reopen()
	if r := s.append(event(0, 0, 0)); r[0].Offset != 100 {
		s.Fatalf("offset %d after trimming everything, want 100", r[0].Offset)
	}
}

func (s *suite) closing() {
	r, err := s.log.Reader(eventlog.Events, 1, 0)
	s.must(err)
	done := make(chan error, 1) // the result may come before anyone waits
	go func() {
		_, err := r.Next(s.Context())
		done <- err
	}()
	var pending []eventlog.Pending
	for n := range 50 {
		pending = append(pending, s.log.Submit([]eventlog.Record{event(0, 0, n)}))
	}
	s.must(s.log.Close())
	for _, p := range pending {
		s.must(p.Wait(s.Context()))
	}
	s.kind(<-done, rapport.Unavailable)
	_, err = r.Next(s.Context())
	s.kind(err, rapport.Unavailable)
	s.must(r.Close())
	s.kind(eventlog.Append(s.Context(), s.log, event(0, 0, 0)), rapport.Unavailable)
	_, err = s.log.Reader(eventlog.Events, 0, 0)
	s.kind(err, rapport.Unavailable)
	s.must(s.log.Close())
	s.reopen()
	s.bounds(eventlog.Events, 0, 0, 50)
}
