package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

// manual is a clock that a test sets.
type manual struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manual) After(time.Duration) <-chan time.Time { return nil }

func (c *manual) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newManual() *manual { return &manual{now: time.UnixMilli(1_700_000_000_000)} }

// anywhere says whether a file below dir holds the text.
func anywhere(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) { // an index was just renamed: look again
		return anywhere(t, dir, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestScrubLeavesNothingOfWhatItDropsAndAllElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := local.Options{Dir: dir, Partitions: 3, SegmentBytes: 3000, TailBytes: 8000}
	l := open(t, o)
	want := make([][]string, 3)
	for n := range 200 {
		var batch []eventlog.Record
		for p := range int32(3) {
			data := fmt.Sprintf("fact %d of somebody %d", n, p)
			if n%7 == 3 {
				data = fmt.Sprintf("fact %d of ada@example.org", n)
			}
			batch = append(batch, event(p, data))
			if n%7 == 3 {
				data = ""
			}
			want[p] = append(want[p], data)
		}
		batch = append(batch, eventlog.Record{Topic: eventlog.Control, Kind: 2, Data: []byte("audit of ada@example.org")})
		add(t, l, batch...)
	}
	drop := func(r eventlog.Record) bool { return strings.Contains(string(r.Data), "ada@example.org") }
	behind, err := l.Reader(eventlog.Events, 1, 0) // reads while files change
	if err != nil {
		t.Fatal(err)
	}
	head, err := behind.Next(t.Context())
	if err != nil || len(head) == 200 {
		t.Fatalf("%d records read before erasing, %v", len(head), err)
	}
	before := l.Stats()
	n, err := l.Scrub(t.Context(), eventlog.Events, drop)
	if err != nil || n != 3*29 {
		t.Fatalf("Scrub: %d, %v, want 87", n, err)
	}
	check := func() {
		t.Helper()
		for p := range int32(3) {
			if got := readAllOf(t, l, eventlog.Events, p); !slices.Equal(got, want[p]) {
				t.Fatalf("partition %d: read %q, want %q", p, got, want[p])
			}
		}
		if found, err := l.Verify(t.Context(), nil); err != nil || len(found) > 0 {
			t.Fatalf("Verify: %v, %v", found, err)
		}
	}
	check()
	if s := l.Stats(); s.Bytes >= before.Bytes || s.Erased != 87 || s.Tail != 0 {
		t.Errorf("stats %+v after erasing from %+v", s, before)
	}
	for at := int64(len(head)); at < 200; {
		records, err := behind.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at = records[len(records)-1].Offset + 1
	}
	_ = behind.Close()
	if !anywhere(t, dir, "audit of ada@example.org") {
		t.Error("another topic was scrubbed too")
	}
	if anywhere(t, dir, "of ada@example.org\x00") || anywhere(t, dir, "fact 3 of ada") || anywhere(t, dir, "fact 199 of ada") {
		t.Error("dropped data is still in the folder")
	}
	if n, err := l.Scrub(t.Context(), eventlog.Control, drop); err != nil || n != 200 {
		t.Fatalf("Scrub of control: %d, %v", n, err)
	}
	if anywhere(t, dir, "ada@example.org") {
		t.Error("dropped data is still in the folder")
	}
	if n, err := l.Scrub(t.Context(), eventlog.Events, drop); err != nil || n != 0 {
		t.Fatalf("a second Scrub: %d, %v", n, err)
	}
	add(t, l, event(0, "more"))
	want[0] = append(want[0], "more")
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, o)
	check()
	records := record(t, l, eventlog.Events, 2, 3)
	if records.Kind != 0 || len(records.Data) != 0 || records.Offset != 3 || records.Time != 1_700_000_000_000 {
		t.Errorf("an erased record is read as %+v", records)
	}
	if _, err := l.Scrub(t.Context(), 99, drop); rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("Scrub of a topic that does not exist: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Scrub(ctx, eventlog.Events, drop); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Scrub: %v", err)
	}
}

// record returns one record.
func record(t *testing.T, l *local.Log, topic eventlog.Topic, p int32, at int64) eventlog.Record {
	t.Helper()
	r, err := l.Reader(topic, p, at)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	records, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return records[0]
}

func TestSnapshotIsAConsistentCopyOfARunningLog(t *testing.T) {
	t.Parallel()
	l := open(t, local.Options{Dir: t.TempDir(), Partitions: 2, SegmentBytes: 20_000})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	started := make(chan struct{})
	for who := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				// One group: either both records are in a copy or neither.
				data := fmt.Sprintf("%d/%d", who, n)
				if err := eventlog.Append(t.Context(), l, event(0, data), event(1, data)); err != nil {
					t.Error(err)
					return
				}
				if who == 0 && n == 20 {
					close(started)
				}
			}
		})
	}
	<-started
	for i := range 5 {
		dir := filepath.Join(t.TempDir(), "copy", fmt.Sprint(i))
		_, before := l.Bounds(eventlog.Events, 0)
		if err := l.Snapshot(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		copied := open(t, local.Options{Dir: dir})
		if found, err := copied.Verify(t.Context(), nil); err != nil || len(found) > 0 || copied.Stats().Damaged > 0 {
			t.Fatalf("Verify of a copy: %v, %v", found, err)
		}
		a, b := readAllOf(t, copied, eventlog.Events, 0), readAllOf(t, copied, eventlog.Events, 1)
		if int64(len(a)) < before || !slices.Equal(a, b) {
			t.Fatalf("the copy has %d and %d records, %d were durable before", len(a), len(b), before)
		}
		if original, err := read(t, l, eventlog.Events, 0, 0); err != nil || !slices.Equal(original[:len(a)], a) {
			t.Fatalf("the copy differs: %v", err)
		}
		add(t, copied, event(0, "goes on"))
		_ = copied.Close()
		if err := l.Snapshot(t.Context(), dir); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("a snapshot into a full folder: %v", err)
		}
	}
	stop()
	wg.Wait()
}

func TestTrimmedSegmentsGoByAgeAndSize(t *testing.T) {
	t.Parallel()
	clock := newManual()
	o := local.Options{
		Dir: t.TempDir(), Partitions: 2, SegmentBytes: 1000, Clock: clock,
		RetainAge: 10 * time.Hour, RetainBytes: 20_000, SegmentAge: time.Hour,
	}
	l := open(t, o)
	data := strings.Repeat("x", 400)
	fill := func(n int) {
		for range n {
			r := event(0, data)
			r.Time = clock.Now().UnixMilli()
			add(t, l, r)
		}
	}
	trim := func(p int32, below int64) {
		t.Helper()
		if err := l.Trim(eventlog.Events, p, below); err != nil {
			t.Fatal(err)
		}
	}
	first := func() int64 {
		// Scrub waits for what goes on in the background.
		if _, err := l.Scrub(t.Context(), eventlog.Identity, nil); err != nil {
			t.Fatal(err)
		}
		if err := l.Trim(eventlog.Events, 0, 0); err != nil {
			t.Fatal(err)
		}
		f, _ := l.Bounds(eventlog.Events, 0)
		return f
	}
	fill(20)
	trim(0, 20)
	if first() != 0 {
		t.Fatalf("the first offset is %d: retention by age was not kept", first())
	}
	clock.pass(11 * time.Hour)
	trim(0, 9)
	if f := first(); f < 6 || f > 20 { // the highest mark counts
		t.Fatalf("the first offset is %d after the records aged", f)
	}
	was := first()
	fill(60) // above RetainBytes, all young
	trim(0, 40)
	if f := first(); f <= was || f > 40 {
		t.Fatalf("the first offset is %d: the log is too large and 40 may go", f)
	}
	if s := l.Stats(); s.Bytes > 27_000 {
		t.Errorf("%d bytes kept", s.Bytes)
	}
	// A quiet log's segment is sealed by age, so that it can go too.
	clock.pass(12 * time.Hour)
	_, next := l.Bounds(eventlog.Events, 0)
	trim(0, next)
	fill(1)
	trim(0, next)
	if first() != next {
		t.Errorf("the first offset is %d, want %d", first(), next)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, o)
	if f, n := l.Bounds(eventlog.Events, 0); f != next || n != next+1 || l.Stats().Damaged > 0 {
		t.Errorf("bounds %d and %d after reopening, want %d and %d", f, n, next, next+1)
	}
}

// One record that must stay does not keep its whole segment.
func TestMostlyTrimmedSegmentsAreCompacted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logged := &notices{wanted: "event log segment compacted", seen: make(chan struct{}, 100)} // more than come
	o := local.Options{Dir: dir, Partitions: 2, SegmentBytes: 10_000, Logger: slog.New(logged)}
	l := open(t, o)
	var control []string
	for n := range 100 {
		if n%20 == 0 {
			control = append(control, fmt.Sprint("config ", n))
			add(t, l, eventlog.Record{Topic: eventlog.Control, Kind: 1, Data: []byte(control[len(control)-1])})
		}
		add(t, l, event(0, strings.Repeat("a", 500)), event(1, "short"))
	}
	before := l.Stats()
	behind, err := l.Reader(eventlog.Events, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Trim(eventlog.Events, 0, 100); err != nil {
		t.Fatal(err)
	}
	for range 4 { // segments before the last
		<-logged.seen
	}
	after := l.Stats()
	if after.Segments != before.Segments || after.Bytes > before.Bytes*6/10 {
		t.Errorf("%+v after compacting %+v", after, before)
	}
	check := func() {
		t.Helper()
		if got := readAllOf(t, l, eventlog.Control, 0); !slices.Equal(got, control) {
			t.Errorf("control holds %q, want %q", got, control)
		}
		if got := readAllOf(t, l, eventlog.Events, 1); len(got) != 100 {
			t.Errorf("%d records in the other partition, want 100", len(got))
		}
		if first, next := l.Bounds(eventlog.Events, 0); first < 50 || next != 100 {
			t.Errorf("bounds %d and %d", first, next)
		}
		readAllOf(t, l, eventlog.Events, 0)
		if found, err := l.Verify(t.Context(), nil); err != nil || len(found) > 0 || l.Stats().Damaged > 0 {
			t.Errorf("Verify: %v, %v", found, err)
		}
	}
	check()
	if _, err := behind.Next(t.Context()); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("a reader overtaken by trimming: %v", err)
	}
	_ = behind.Close()
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, o)
		check()
		for _, name := range []string{"*.idx", "mark"} { // and without any help
			files, _ := filepath.Glob(filepath.Join(dir, name))
			for _, f := range files {
				_ = os.Remove(f)
			}
		}
	}
}

// notices counts log lines with a wanted message.
type notices struct {
	wanted string
	seen   chan struct{}
}

func (n *notices) Enabled(context.Context, slog.Level) bool { return true }
func (n *notices) WithAttrs([]slog.Attr) slog.Handler       { return n }
func (n *notices) WithGroup(string) slog.Handler            { return n }
func (n *notices) Handle(_ context.Context, r slog.Record) error {
	if r.Message == n.wanted {
		n.seen <- struct{}{}
	}
	return nil
}

// Readers in memory and files, trimming, scrubbing, sealing and copying do not
// get into each other's way.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	const records = 6000
	l := open(t, local.Options{Dir: t.TempDir(), Partitions: 2, SegmentBytes: 30_000, TailBytes: 20_000})
	var writers, others sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for p := range int32(2) {
		writers.Go(func() {
			for n := 0; n < records; n += 10 {
				var batch []eventlog.Record
				for i := range 10 {
					batch = append(batch, event(p, fmt.Sprintf("%d %s", n+i, strings.Repeat("x", n%100))))
				}
				if err := eventlog.Append(t.Context(), l, batch...); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for range 3 {
			writers.Go(func() { follow(t, l, p, records) })
		}
	}
	others.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, next := l.Bounds(eventlog.Events, 0)
			_ = l.Trim(eventlog.Events, 0, next/4)
			switch i % 4 {
			case 0:
				_, err := l.Scrub(ctx, eventlog.Events, func(r eventlog.Record) bool { return strings.HasPrefix(string(r.Data), "77") })
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			case 1:
				if err := l.Seal(); err != nil {
					t.Error(err)
				}
			case 2:
				if err := l.Snapshot(ctx, filepath.Join(t.TempDir(), "s")); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			case 3:
				if found, err := l.Verify(ctx, func(done, total int64) {}); len(found) > 0 || err != nil && ctx.Err() == nil {
					t.Error(found, err)
				}
			}
		}
	})
	writers.Wait()
	stop()
	others.Wait()
	if n := l.Stats().Damaged; n > 0 {
		t.Errorf("%d places damaged", n)
	}
}

// follow reads a partition to its end, beginning again where trimming overtakes.
func follow(t *testing.T, l *local.Log, p int32, records int64) {
	at := int64(0)
	for at < records {
		first, _ := l.Bounds(eventlog.Events, p)
		at = max(at, first)
		r, err := l.Reader(eventlog.Events, p, at)
		if rapport.KindOf(err) == rapport.NotFound {
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		for at < records {
			batch, err := r.Next(t.Context())
			if rapport.KindOf(err) == rapport.NotFound && err != nil {
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
			for _, rec := range batch {
				erased := rec.Kind == 0 && len(rec.Data) == 0
				if rec.Offset != at || !erased && !strings.HasPrefix(string(rec.Data), fmt.Sprint(at, " ")) {
					t.Errorf("read %q at offset %d, want %d", rec.Data, rec.Offset, at)
					return
				}
				at++
			}
		}
		_ = r.Close()
	}
}
