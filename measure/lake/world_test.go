package lake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/measure/lake"
	"github.com/rapport-engine/rapport/state"
)

// world is an engine over a log in memory, and a lake beside it.
type world struct {
	t    testing.TB
	log  *eventlogtest.Memory
	eng  *engine.Engine
	opts lake.Options
	lake *lake.Lake
	stop func()
	want map[string]bool // message ids that count
	n    int
}

func newWorld(t testing.TB, partitions int) *world {
	t.Helper()
	w := &world{t: t, log: eventlogtest.NewMemory(partitions), want: map[string]bool{}}
	logger := slog.New(slog.DiscardHandler)
	store, err := state.Open(state.Options{Dir: t.TempDir(), Logger: logger, MemTableBytes: 4 << 20})
	w.must(err)
	w.eng, err = engine.Open(engine.Options{Log: w.log, Store: store, Clock: rapport.SystemClock{}, Logger: logger, Folds: []engine.Fold{counting{}}, DedupDir: t.TempDir(), EraseKey: []byte("key of a test")})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.eng.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.must(w.eng.Ready(t.Context()))
	w.opts = lake.Options{Dir: t.TempDir(), Log: w.log, Dropped: w.eng, Clock: rapport.SystemClock{}, Logger: logger, Every: time.Hour}.Loose()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open opens the lake and runs it.
func (w *world) open() *world {
	w.t.Helper()
	w.must(w.try())
	return w
}

func (w *world) try() error {
	l, err := lake.Open(context.Background(), w.opts)
	if err != nil {
		return err
	}
	w.lake = l
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
	w.t.Cleanup(w.stop)
	return nil
}

func id(n int) (id rapport.ID) {
	id[0] = byte(rapport.RankUserID)
	for i := range 8 {
		id[8+i] = byte(uint64(n+1) * 0x9e3779b97f4a7c15 >> (8 * i))
	}
	id[7] = byte(n)
	return id
}

var day0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// event returns the n-th event of a test, of a person on a day.
func (w *world) event(person, day int) rapport.Event {
	w.n++
	at := day0.AddDate(0, 0, day).UnixMilli() + int64(w.n)
	return rapport.Event{
		Type: rapport.TypeTrack, Name: "Order Completed", MessageID: fmt.Sprintf("m%d", w.n), Source: "web", UserID: fmt.Sprintf("user-%d", person),
		Timestamp: at, ReceivedAt: at, OriginalTimestamp: at, Entity: id(person), Fragment: id(person),
		Identifiers: []rapport.Identifier{{Kind: rapport.KindUserID, Value: fmt.Sprintf("user-%d", person)}, {Kind: rapport.KindEmail, Value: fmt.Sprintf("p%d@example.org", person)}},
		Properties:  rapport.FieldsOf(map[string]any{"revenue": float64(w.n) / 4, "phone": fmt.Sprintf("+4790000%03d", person)}),
	}
}

// append makes events durable; the same event again is a retry.
func (w *world) append(events ...rapport.Event) {
	w.t.Helper()
	var records []eventlog.Record
	for i := range events {
		e := &events[i]
		w.want[e.MessageID] = true
		records = append(records, engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), int32(e.Entity.Partition(w.log.Partitions(eventlog.Events)))))
	}
	w.must(eventlog.Append(w.t.Context(), w.log, records...))
}

// paths returns the Parquet files of a table that lie in the folder, named by the manifest or not.
func (w *world) paths(table string) (list []string) {
	w.must(filepath.WalkDir(filepath.Join(w.opts.Dir, table), func(p string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && strings.HasSuffix(p, ".parquet") {
			list = append(list, p)
		}
		return err
	}))
	return list
}

// read returns the rows of a table, from files that stay meanwhile: others are
// put together and go.
func read[T any](w *world, table string) (rows []T) {
	w.t.Helper()
	s := w.snapshot()
	defer s.Release()
	for _, f := range s.Files {
		if f.Table != table {
			continue
		}
		part, err := parquet.ReadFile[T](filepath.Join(w.opts.Dir, f.Path()))
		w.must(err)
		rows = append(rows, part...)
	}
	return rows
}

// check compares the files with what counts.
func (w *world) check() {
	w.t.Helper()
	var got []string
	for _, r := range read[lake.EventRow](w, lake.Events) {
		got = append(got, r.MessageID)
	}
	slices.Sort(got)
	var want []string
	for m := range w.want {
		want = append(want, m)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Fatalf("the files hold %d rows, %d events count\n got %v\nwant %v", len(got), len(want), short(got), short(want))
	}
}

func short(s []string) []string { return s[:min(len(s), 40)] }

// counting is a fold that counts.
type counting struct{}

func (counting) Name() string        { return "count" }
func (counting) Version() uint32     { return 1 }
func (counting) Scope() engine.Scope { return engine.PerFragment }
func (counting) New() engine.State   { return &count{} }

type count struct{ n byte }

func (c *count) Apply(*engine.Context, *rapport.Event) { c.n++ }
func (c *count) Merge(o engine.State)                  { c.n += o.(*count).n }
func (c *count) AppendBinary(b []byte) []byte {
	if c.n == 0 {
		return b
	}
	return append(b, c.n)
}

func (c *count) DecodeBinary(b []byte) error {
	c.n = 0
	if len(b) > 0 {
		c.n = b[0]
	}
	return nil
}
