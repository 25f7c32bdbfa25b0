package lake_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/measure/lake"
)

func TestEveryEventStandsOnceInTheFileOfItsDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4).open()
	var events []rapport.Event
	for i := range 200 {
		events = append(events, w.event(i%17, i%3))
	}
	events[7].Traits = rapport.FieldsOf(map[string]any{"city": "Oslo"})
	events[7].Context = rapport.FieldsOf(map[string]any{"timezone": "Europe/Oslo"})
	w.append(events...)
	w.must(w.lake.Sync(t.Context()))
	w.append(events[10:60]...) // retries
	w.append(w.event(3, 0))
	w.must(w.lake.Sync(t.Context()))
	w.check()
	for _, table := range lake.Tables {
		for _, p := range w.paths(table) {
			if day := filepath.Base(filepath.Dir(p)); !strings.HasPrefix(day, "day=2026-03-0") {
				t.Errorf("%s lies in %s", p, day)
			}
		}
	}
	e := events[7]
	for _, r := range read[lake.EventRow](w, lake.Events) {
		if r.MessageID != e.MessageID {
			continue
		}
		want := lake.EventRow{
			Partition: r.Partition, Offset: r.Offset, LoggedAt: r.LoggedAt, Time: e.Timestamp, ReceivedAt: e.ReceivedAt, OriginalTime: e.OriginalTimestamp,
			Type: "track", Event: "Order Completed", Source: "web", MessageID: e.MessageID, UserID: e.UserID, Entity: e.Entity.String(), Fragment: e.Fragment.String(), Kind: "person",
			Identifiers: []string{"userId:user-7", "email:p7@example.org"}, Properties: []byte(`{"phone":"+4790000007","revenue":2}`),
			Traits: `{"city":"Oslo"}`, Context: `{"timezone":"Europe/Oslo"}`,
		}
		if d := cmp.Diff(want, r); d != "" {
			t.Errorf("row (-want +got):\n%s", d)
		}
	}
}

func TestWhatTheEngineMakesAndPassesOnStandsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4).open()
	a, b := 1, 2
	for id(a).Partition(4) == id(b).Partition(4) {
		b++
	}
	w.append(w.event(a, 0))
	w.must(eventlog.Append(t.Context(), w.log, engine.MergeRecord(4, id(a), id(b), "link")))
	// Accepted in the partition of one and folded in that of the other.
	w.append(w.event(a, 0), w.event(b, 0))
	w.must(w.lake.Sync(t.Context()))
	w.check()
}

func TestALakeGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3).open()
	for range 5 {
		w.append(w.event(1, 0), w.event(2, 1), w.event(3, 0))
		w.must(w.lake.Sync(t.Context()))
		w.stop()
		w.open()
	}
	w.must(w.lake.Sync(t.Context()))
	w.check()
	if got := w.lake.Position(0) + w.lake.Position(1) + w.lake.Position(2); got < 15 {
		t.Errorf("the positions add up to %d", got)
	}
}

func TestManySmallFilesBecomeFewAndNothingIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2).open()
	for range 100 {
		w.append(w.event(1, 0), w.event(2, 1))
		w.must(w.lake.Sync(t.Context()))
	}
	w.stop()
	w.open()
	for { // compaction goes on until there is nothing to put together
		w.must(w.lake.Sync(t.Context()))
		if n := len(w.paths(lake.Events)); n <= 2*8*3 {
			break
		}
	}
	w.stop()
	w.check()
	for _, p := range w.paths(lake.Events) { // what is not there is null, however often it was written anew
		f, err := os.Open(p)
		w.must(err)
		info, err := f.Stat()
		w.must(err)
		file, err := parquet.OpenFile(f, info.Size())
		w.must(err)
		for _, name := range []string{"traits", "context", "name", "anonymous_id", "item"} {
			column, ok := file.Schema().Lookup(name)
			if !ok {
				t.Fatal(name)
			}
			for _, g := range file.RowGroups() {
				index, err := g.ColumnChunks()[column.ColumnIndex].ColumnIndex()
				w.must(err)
				for i := range index.NumPages() {
					if !index.NullPage(i) {
						t.Errorf("%s: %s is not null", p, name)
					}
				}
			}
		}
		w.must(f.Close())
	}
}

func TestSomebodyErasedIsInNoFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	var mu sync.Mutex
	erased := map[rapport.ID]int64{}
	w.opts.Gone = func() func(lake.Trace) bool {
		return func(x lake.Trace) bool {
			mu.Lock()
			defer mu.Unlock()
			return x.At <= erased[x.Entity] || x.At <= erased[x.Fragment]
		}
	}
	w.open()
	var kept []rapport.Event
	for i := range 300 {
		e := w.event(i%10, i%4)
		kept = append(kept, e)
		w.append(e)
		if i%40 == 0 {
			w.must(w.lake.Sync(t.Context()))
		}
	}
	w.must(w.lake.Sync(t.Context()))
	snapshot := w.snapshot()
	mu.Lock()
	erased[id(4)] = 1 << 60
	mu.Unlock()
	w.must(w.lake.Erase("erase-1", []rapport.ID{id(4)}))
	if s := w.snapshot(); !slices.Contains(s.Erased, id(4)) {
		t.Error("a snapshot made before the files were written anew does not name who was erased")
	} else {
		s.Release()
	}
	w.append(w.event(4, 0)) // late
	snapshot.Release()
	w.must(w.lake.Erased(t.Context()))
	w.stop() // files nobody reads any more have gone
	for _, e := range kept {
		if e.Entity == id(4) {
			delete(w.want, e.MessageID)
		}
	}
	delete(w.want, fmt.Sprintf("m%d", w.n))
	w.check()
	w.scan("p4@example.org", "+4790000004", "user-4", id(4).String())

	w.open()
	w.must(w.lake.Erase("erase-1", []rapport.ID{id(4)})) // as at every start
	w.must(w.lake.Erased(t.Context()))
	w.check()
}

// scan looks for texts in every file of the lake, as they are and unpacked.
func (w *world) scan(texts ...string) {
	w.t.Helper()
	look := func(name string, b []byte) {
		for _, x := range texts {
			if bytes.Contains(b, []byte(x)) {
				w.t.Errorf("%s holds %q", name, x)
			}
		}
	}
	w.must(filepath.WalkDir(w.opts.Dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		look(p, b)
		return err
	}))
	for _, r := range read[lake.EventRow](w, lake.Events) {
		look("a row of events", fmt.Append(nil, r.Identifiers, r.UserID, string(r.Properties), string(r.Traits), string(r.Context), r.Entity, r.Fragment))
	}
	for _, r := range read[lake.DecisionRow](w, lake.Decisions) {
		look("a row of decisions", fmt.Append(nil, r.Entity, string(r.Features), string(r.Context)))
	}
}

func TestALakeOfAnotherLogIsBegunAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2).open()
	w.append(w.event(1, 0), w.event(2, 0), w.event(3, 0))
	w.must(w.lake.Sync(t.Context()))
	w.stop()
	dir := w.opts.Dir
	w = newWorld(t, 2)
	w.opts.Dir = dir
	w.append(w.event(1, 0))
	w.open()
	w.must(w.lake.Sync(t.Context()))
	w.check()
}

func TestFilesBeingReadStayUntilTheyAreReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1).open()
	for range 7 {
		w.append(w.event(1, 0))
		w.must(w.lake.Sync(t.Context()))
	}
	s := w.snapshot()
	for range 20 {
		w.append(w.event(1, 0))
		w.must(w.lake.Sync(t.Context()))
	}
	rows := int64(0)
	for _, f := range s.Files {
		if _, err := os.Stat(filepath.Join(w.opts.Dir, f.Path())); err != nil {
			t.Error(err)
		}
		rows += f.Rows
	}
	if rows != 7 {
		t.Errorf("the snapshot has %d rows", rows)
	}
	s.Release()
	w.stop()
	w.open()
	w.must(w.lake.Sync(t.Context()))
	w.check()
}

func (w *world) snapshot() *lake.Snapshot {
	w.t.Helper()
	s, err := w.lake.Snapshot()
	w.must(err)
	return s
}
