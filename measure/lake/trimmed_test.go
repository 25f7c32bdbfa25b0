package lake_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/measure/lake"
)

// trim lets the log go as far as it is in the files, and returns how many records went.
func (w *world) trim() (gone int64) {
	w.t.Helper()
	for p := range int32(w.log.Partitions(eventlog.Events)) {
		w.must(w.log.Trim(eventlog.Events, p, w.lake.Position(p)))
		first, _ := w.log.Bounds(eventlog.Events, p)
		gone += first
	}
	return gone
}

// refuses expects the lake not to be opened, and nothing to be touched.
func (w *world) refuses(why string) {
	w.t.Helper()
	err := w.try()
	if rapport.KindOf(err) != rapport.Conflict || !strings.Contains(err.Error(), "was trimmed") || !strings.Contains(rapport.HintOf(err), "--partial-history") {
		w.t.Errorf("%s: %v", why, err)
	}
}

func TestALakeIsNotWrittenAnewFromATrimmedLog(t *testing.T) {
	w := newWorld(t, 2).open()
	for i := range 40 {
		w.append(w.event(i%5, i%3))
	}
	w.must(w.lake.Sync(t.Context()))
	if w.trim() == 0 {
		t.Fatal("nothing was trimmed")
	}
	w.append(w.event(1, 1))
	w.must(w.lake.Sync(t.Context()))
	w.stop()
	w.open().check() // it goes on
	w.stop()

	manifest := filepath.Join(w.opts.Dir, "manifest.json")
	text, err := os.ReadFile(manifest)
	w.must(err)
	files := w.paths(lake.Events)
	w.must(os.WriteFile(manifest, []byte(strings.Replace(string(text), `"format":`, `"format":1`, 1)), 0o600))
	w.refuses("another format")
	if got := w.paths(lake.Events); !slices.Equal(got, files) {
		t.Errorf("files %v became %v", files, got)
	}
	w.must(os.WriteFile(manifest, text, 0o600))
	w.open().check()
	w.stop()

	elsewhere := w.opts.Dir
	w.opts.Dir = t.TempDir()
	w.refuses("another folder")
	w.opts.Partial = true
	w.open()
	w.must(w.lake.Sync(t.Context()))
	if rows := read[lake.EventRow](w, lake.Events); len(rows) != 1 {
		t.Errorf("%d rows of what the log still holds", len(rows))
	}
	w.stop()
	w.opts.Dir, w.opts.Partial = elsewhere, false
	w.open().check()
}

// shorter is a log as it was when it ended earlier.
type shorter struct {
	eventlog.Log
	ends []int64
}

func (l shorter) Bounds(t eventlog.Topic, p int32) (first, next int64) {
	if first, next = l.Log.Bounds(t, p); t == eventlog.Events {
		next = min(next, l.ends[p])
	}
	return first, next
}

func TestALakeNewerThanATrimmedLogIsCutWhereTheLogEnds(t *testing.T) {
	w := newWorld(t, 2).open()
	for i := range 40 {
		w.append(w.event(i%5, i%3))
	}
	w.must(w.lake.Sync(t.Context()))
	w.trim()
	for i := range 3 {
		w.append(w.event(i, 1))
	}
	w.must(w.lake.Sync(t.Context()))
	ends := []int64{w.lake.Position(0), w.lake.Position(1)}
	before := filepath.Join(t.TempDir(), "copy")
	w.must(w.lake.Copy(t.Context(), before))
	for i := range 20 {
		w.append(w.event(i%5, i%4))
	}
	w.must(w.lake.Sync(t.Context()))
	w.stop()

	whole := w.opts.Log
	w.opts.Log = shorter{whole, ends}
	w.open()
	w.must(w.lake.Sync(t.Context()))
	rows := read[lake.EventRow](w, lake.Events)
	if len(rows) != 43 || w.lake.Position(0) != ends[0] || w.lake.Position(1) != ends[1] {
		t.Errorf("%d rows are left, up to %d and %d", len(rows), w.lake.Position(0), w.lake.Position(1))
	}
	for _, r := range rows {
		if r.Offset >= ends[r.Partition] {
			t.Errorf("offset %d of partition %d stays, the log ends at %d", r.Offset, r.Partition, ends[r.Partition])
		}
	}
	w.stop()
	w.opts.Log = whole // which has grown again
	w.open()
	w.must(w.lake.Sync(t.Context()))
	w.check()
	w.stop()
	w.opts.Dir = before // so does a copy made while it was written
	w.open()
	w.must(w.lake.Sync(t.Context()))
	w.check()
}
