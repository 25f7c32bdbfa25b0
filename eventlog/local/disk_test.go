package local_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

// A full disk fails what found no room, says what to do, and is over when room
// returns; nothing acknowledged is lost.
func TestFullDiskFailsCleanlyAndRecoversByItself(t *testing.T) {
	t.Parallel()
	for room := range int64(300) {
		d := newDisk(uint64(room))
		l := open(t, local.Options{Dir: "log", FS: d.start(), Partitions: 2, SegmentBytes: 700})
		var want []string
		write := func(n int) error {
			data := fmt.Sprintf("record %d %s", n, strings.Repeat("x", 60))
			err := eventlog.Append(t.Context(), l, event(0, data))
			if err == nil {
				want = append(want, data)
			}
			return err
		}
		for n := range 5 {
			if err := write(n); err != nil {
				t.Fatal(err)
			}
		}
		d.mu.Lock()
		d.room = room * 5
		d.mu.Unlock()
		failed := false
		for n := range 20 {
			err := write(100 + n)
			if err == nil {
				if failed && room*5 < 200 {
					t.Fatalf("room for %d bytes: succeeded on a full disk", room*5)
				}
				continue
			}
			failed = true
			if rapport.KindOf(err) != rapport.Unavailable || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(rapport.HintOf(err), "free space") {
				t.Fatalf("error %v, kind %v, hint %q", err, rapport.KindOf(err), rapport.HintOf(err))
			}
		}
		if !failed {
			t.Fatalf("room for %d bytes was enough", room*5)
		}
		if got := readAllOf(t, l, eventlog.Events, 0); !slices.Equal(got, want) {
			t.Fatalf("read %q on a full disk, want %q", got, want)
		}
		if room%3 == 0 { // or the process ends before there is room
			d.kill()
			_ = l.Close()
			d.mu.Lock()
			d.room = -1
			d.mu.Unlock()
			l = open(t, local.Options{Dir: "log", FS: d.start()})
		}
		d.mu.Lock()
		d.room = -1
		d.mu.Unlock()
		if err := write(200); err != nil {
			t.Fatalf("the disk has room again: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, local.Options{Dir: "log", FS: d.start()})
		if got := readAllOf(t, l, eventlog.Events, 0); !slices.Equal(got, want) {
			t.Fatalf("read %q after all, want %q", got, want)
		}
		if found, err := l.Verify(t.Context(), nil); err != nil || len(found) > 0 {
			t.Fatalf("Verify: %v, %v", found, err)
		}
		_ = l.Close()
	}
}

// After a failed sync nothing of that group is taken for durable, even though
// it can still be read from the cache and the next sync succeeds.
func TestFailedSyncSealsTheSegment(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		d := newDisk(seed)
		l := open(t, local.Options{Dir: "log", FS: d.start(), Partitions: 2})
		add(t, l, event(0, "before"))
		d.mu.Lock()
		d.failSyncs, d.failCuts = 1, seed%2 == 0
		d.mu.Unlock()
		err := eventlog.Append(t.Context(), l, event(0, "failed"))
		if rapport.KindOf(err) != rapport.Internal || !errors.Is(err, syscall.EIO) || rapport.HintOf(err) == "" {
			t.Fatalf("error %v, kind %v, hint %q", err, rapport.KindOf(err), rapport.HintOf(err))
		}
		d.mu.Lock()
		d.failCuts = false
		d.mu.Unlock()
		add(t, l, event(0, "after"))
		want := []string{"before", "after"}
		if got := readAllOf(t, l, eventlog.Events, 0); !slices.Equal(got, want) {
			t.Fatalf("read %q, want %q", got, want)
		}
		if n := l.Stats().Segments; n != 2 {
			t.Fatalf("%d segments after a failed sync, want 2", n)
		}
		d.crash()
		_ = l.Close()
		l = open(t, local.Options{Dir: "log", FS: d.start()})
		if got := readAllOf(t, l, eventlog.Events, 0); !slices.Equal(got, want) {
			t.Fatalf("read %q after a power failure, want %q", got, want)
		}
		if n := l.Stats().Damaged; n > 0 {
			t.Fatalf("%d places damaged", n)
		}
		_ = l.Close()
	}
}

// What readers saw after a restart is still there after the power failure that
// follows, even if the process before ended between write and sync, or its
// sync failed.
func TestWhatARestartShowsIsDurable(t *testing.T) {
	t.Parallel()
	shown := 0
	for seed := range uint64(200) {
		d := newDisk(seed)
		start := func() *local.Log { return open(t, local.Options{Dir: "log", FS: d.start(), Partitions: 2}) }
		l := start()
		if seed%3 > 0 {
			add(t, l, event(0, "before"))
		}
		d.mu.Lock()
		if d.left = 2 + int(seed%5); seed%2 == 0 {
			d.left, d.failSyncs, d.failCuts = 0, 2, true
		}
		d.mu.Unlock()
		if eventlog.Append(t.Context(), l, event(0, "perhaps")) == nil {
			shown--
		}
		d.kill()
		_ = l.Close()
		l = start()
		want := readAllOf(t, l, eventlog.Events, 0)
		d.crash()
		_ = l.Close()
		l = start()
		if got := readAllOf(t, l, eventlog.Events, 0); !slices.Equal(got, want) {
			t.Fatalf("seed %d: read %q after a power failure, %q before", seed, got, want)
		}
		if slices.Contains(want, "perhaps") {
			shown++
		}
		_ = l.Close()
	}
	if shown < 20 {
		t.Errorf("only %d failed groups came back: the test proves little", shown)
	}
}

// A record is neither readable nor acknowledged before its sync has returned,
// and what waits meanwhile is bounded.
func TestNothingIsVisibleBeforeItIsSyncedAndTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	d := newDisk(1)
	l := open(t, local.Options{Dir: "log", FS: d.start(), Partitions: 2, MaxQueuedBytes: 10_000})
	add(t, l, event(0, "first"))
	arrived, release := make(chan struct{}), make(chan struct{})
	d.mu.Lock()
	d.beforeSync = func(name string) {
		if strings.HasSuffix(name, ".seg") {
			arrived <- struct{}{}
			<-release
		}
	}
	d.mu.Unlock()
	held := l.Submit([]eventlog.Record{event(0, "held")})
	<-arrived
	if _, next := l.Bounds(eventlog.Events, 0); next != 1 {
		t.Errorf("the partition ends at %d before the sync, want 1", next)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := held.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait returned %v before the sync", err)
	}
	var queued []eventlog.Pending
	var refused error
	for refused == nil {
		p := l.Submit([]eventlog.Record{event(1, strings.Repeat("x", 1000))})
		if refused = p.Wait(ctx); errors.Is(refused, context.Canceled) {
			queued, refused = append(queued, p), nil
		}
		if len(queued) > 10 {
			t.Fatal("the queue takes more than its bound")
		}
	}
	if rapport.KindOf(refused) != rapport.Unavailable || rapport.HintOf(refused) == "" || len(queued) < 8 {
		t.Errorf("%d submissions queued, then %v, kind %v", len(queued), refused, rapport.KindOf(refused))
	}
	if q := l.Stats().Queued; q > 10_000 || q < 8000 {
		t.Errorf("%d bytes queued", q)
	}
	d.mu.Lock()
	d.beforeSync = nil
	d.mu.Unlock()
	close(release)
	for _, p := range append(queued, held) {
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if s := l.Stats(); s.Queued != 0 || s.Groups != 3 || s.Records != int64(2+len(queued)) {
		t.Errorf("%+v: want an empty queue and three groups, one for all that waited", s)
	}
	if err := eventlog.Append(t.Context(), l, event(0, strings.Repeat("x", 20_000))); rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("a submission larger than the queue: %v", err)
	}
}

func TestFolderIsLockedAndKeepsItsNumberOfPartitions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, local.Options{Dir: dir, Partitions: 5})
	if _, err := local.Open(local.Options{Dir: dir}); rapport.KindOf(err) != rapport.Unavailable || rapport.HintOf(err) == "" {
		t.Errorf("a second Open: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(local.Options{Dir: dir, Partitions: 6}); rapport.KindOf(err) != rapport.Invalid || !strings.Contains(rapport.HintOf(err), "set it to 5") {
		t.Errorf("Open with another number of partitions: %v, hint %q", err, rapport.HintOf(err))
	}
	l = open(t, local.Options{Dir: dir})
	if n := l.Partitions(eventlog.Events); n != 5 {
		t.Errorf("%d partitions, want 5", n)
	}
	for _, o := range []local.Options{{}, {Dir: dir, Partitions: -1}, {Dir: dir, Partitions: 5000}} {
		if _, err := local.Open(o); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("Open(%+v): %v", o, err)
		}
	}
}
