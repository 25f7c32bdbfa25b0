package local_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

// world runs random operations on a log on a bad disk beside a model of what
// the log must hold.
type world struct {
	*testing.T
	random *rand.Rand
	disk   *disk
	opts   local.Options
	log    *local.Log
	trace  []string
	logged bytes.Buffer

	lanes  []*lane
	number uint32             // of the next record
	failed map[uint32]attempt // by record: submissions since the last acknowledged one that failed
	copies int
	dying  bool // the power fails within the next operations
}

type lane struct {
	topic     eventlog.Topic
	partition int32
	trim      int64
	records   []fact // by offset
}

type fact struct {
	number uint32
	kind   uint8
	data   []byte
	erased int // 0 no, 1 perhaps, 2 yes
}

// attempt is a submission that failed.
type attempt struct {
	records []eventlog.Record
	numbers []uint32
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{T: t, random: rand.New(rand.NewPCG(seed, 2)), disk: newDisk(seed), failed: map[uint32]attempt{}}
	w.opts = local.Options{
		Dir: "log", Partitions: 3,
		SegmentBytes: []int64{600, 3000, 20_000}[w.random.IntN(3)],
		TailBytes:    []int{1, 5000, 1 << 20}[w.random.IntN(3)],
		Logger:       slog.New(slog.NewTextHandler(&w.logged, nil)),
	}
	for p := range int32(3) {
		w.lanes = append(w.lanes, &lane{topic: eventlog.Events, partition: p})
	}
	w.lanes = append(w.lanes, &lane{topic: eventlog.Control}, &lane{topic: eventlog.Rewards})
	w.open()
	return w
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) die(format string, args ...any) {
	w.Helper()
	trace := w.trace[max(0, len(w.trace)-25):]
	w.Fatalf("%s\nlast operations:\n%s\nlog:\n%s", fmt.Sprintf(format, args...), bytes.Join(toBytes(trace), []byte("\n")), w.logged.String())
}

func toBytes(in []string) (out [][]byte) {
	for _, s := range in {
		out = append(out, []byte(s))
	}
	return out
}

func (w *world) open() {
	w.Helper()
	w.opts.FS = w.disk.start()
	l, err := local.Open(w.opts)
	if err != nil {
		w.die("open: %v", err)
	}
	w.log = l
	if n := l.Stats().Damaged; n > 0 {
		w.die("%d places damaged after opening", n)
	}
}

// append submits a few submissions at once.
func (w *world) append() {
	type sent struct {
		attempt
		pending eventlog.Pending
	}
	var all []sent
	for range 1 + w.random.IntN(4) {
		var s sent
		for range 1 + w.random.IntN(8) {
			l := w.lanes[w.random.IntN(len(w.lanes))]
			data := binary.BigEndian.AppendUint32(nil, w.number)
			data = append(data, bytes.Repeat([]byte{byte(w.number)}, w.random.IntN(120))...)
			s.records = append(s.records, eventlog.Record{
				Topic: l.topic, Partition: l.partition, Kind: uint8(1 + w.number%100), Data: data,
			})
			s.numbers = append(s.numbers, w.number)
			w.number++
		}
		s.pending = w.log.Submit(s.records)
		all = append(all, s)
	}
	for _, s := range all {
		err := s.pending.Wait(w.Context())
		w.note("append %d..%d: %v", s.numbers[0], s.numbers[len(s.numbers)-1], err)
		if err != nil {
			for _, n := range s.numbers {
				w.failed[n] = s.attempt
			}
			continue
		}
		clear(w.failed)
		w.accept(s.attempt)
	}
}

// accept adds a submission to the model.
func (w *world) accept(a attempt) {
	w.Helper()
	for i, r := range a.records {
		l := w.lane(r.Topic, r.Partition)
		if r.Offset != int64(len(l.records)) {
			w.die("record %d has offset %d, want %d", a.numbers[i], r.Offset, len(l.records))
		}
		l.records = append(l.records, fact{number: a.numbers[i], kind: r.Kind, data: r.Data})
	}
}

func (w *world) lane(t eventlog.Topic, p int32) *lane {
	return w.lanes[slices.IndexFunc(w.lanes, func(l *lane) bool { return l.topic == t && l.partition == p })]
}

// check reads partitions and compares.
func (w *world) check(log *local.Log) {
	w.Helper()
	for _, l := range w.lanes {
		first, next := log.Bounds(l.topic, l.partition)
		if next != int64(len(l.records)) || first > l.trim || first < 0 {
			w.die("bounds of %s/%d are %d and %d, want at most %d and %d", l.topic, l.partition, first, next, l.trim, len(l.records))
		}
		from := first
		if next > first && w.random.IntN(2) == 0 {
			from += w.random.Int64N(next - first)
		}
		w.read(log, l, from, next)
	}
}

func (w *world) read(log *local.Log, l *lane, from, to int64) {
	w.Helper()
	r, err := log.Reader(l.topic, l.partition, from)
	if rapport.KindOf(err) == rapport.NotFound && from < l.trim {
		return // trimmed meanwhile
	}
	if err != nil {
		w.die("reader: %v", err)
	}
	defer r.Close()
	last := int64(0)
	for at := from; at < to; {
		records, err := r.Next(w.Context())
		if rapport.KindOf(err) == rapport.NotFound && at < l.trim {
			return
		}
		if err != nil {
			w.die("read %s/%d at %d: %v", l.topic, l.partition, at, err)
		}
		for _, rec := range records {
			if rec.Offset != at || rec.Topic != l.topic || rec.Partition != l.partition || rec.Time < last {
				w.die("read %+v at %s/%d offset %d after time %d", rec, l.topic, l.partition, at, last)
			}
			last = rec.Time
			want := &l.records[at]
			erased := rec.Kind == 0 && len(rec.Data) == 0
			switch {
			case erased && want.erased > 0:
			case want.erased < 2 && rec.Kind == want.kind && bytes.Equal(rec.Data, want.data):
			default:
				w.die("read %+v at %s/%d offset %d, want %+v", rec, l.topic, l.partition, at, *want)
			}
			at++
		}
	}
}

// comeback opens the log after the process ended, and takes in what may have
// survived of failed submissions.
func (w *world) comeback() {
	w.Helper()
	w.open()
	w.note("reopened")
	var found []uint32
	for _, l := range w.lanes {
		_, next := w.log.Bounds(l.topic, l.partition)
		have := int64(len(l.records))
		if next < have {
			w.die("%s/%d ends at %d, but %d records were acknowledged", l.topic, l.partition, next, have)
		}
		r, err := w.log.Reader(l.topic, l.partition, have)
		if err != nil {
			w.die("reader: %v", err)
		}
		for have < next {
			records, err := r.Next(w.Context())
			if err != nil {
				w.die("read: %v", err)
			}
			for _, rec := range records {
				n := binary.BigEndian.Uint32(rec.Data)
				if _, ok := w.failed[n]; !ok {
					w.die("record %d at %s/%d offset %d was never submitted, or was acknowledged elsewhere", n, l.topic, l.partition, rec.Offset)
				}
				found = append(found, n)
				l.records = append(l.records, fact{number: n, kind: rec.Kind, data: bytes.Clone(rec.Data)})
				have++
			}
		}
		_ = r.Close()
	}
	for _, n := range found {
		for _, m := range w.failed[n].numbers {
			if !slices.Contains(found, m) {
				w.die("record %d of a torn group is there, but %d is not", n, m)
			}
		}
	}
	clear(w.failed)
	w.check(w.log)
}

// down ends the process, at once or within the next operations.
func (w *world) down() {
	power := w.random.IntN(3) > 0
	if w.random.IntN(4) > 0 {
		w.disk.mu.Lock()
		w.disk.left = 1 + w.random.IntN(40)
		w.disk.mu.Unlock()
		w.dying = true
		for w.alive() {
			w.operate()
		}
		w.dying = false
	}
	if power {
		w.note("power failure")
		w.disk.crash()
	} else {
		w.note("kill")
		w.disk.kill()
	}
	_ = w.log.Close()
	w.comeback()
}

func (w *world) alive() bool {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	return w.disk.left > 0
}

func (w *world) scrub() {
	div, rest := uint32(2+w.random.IntN(5)), uint32(0)
	topic := eventlog.Events
	drop := func(n uint32) bool { return n%div == rest }
	_, err := w.log.Scrub(w.Context(), topic, func(r eventlog.Record) bool { return drop(binary.BigEndian.Uint32(r.Data)) })
	w.note("scrub %d: %v", div, err)
	for _, l := range w.lanes {
		for i := range l.records {
			if f := &l.records[i]; l.topic == topic && drop(f.number) && f.erased < 2 {
				f.erased = 1
				if err == nil {
					f.erased = 2
				}
			}
		}
	}
}

func (w *world) trim() {
	l := w.lanes[w.random.IntN(len(w.lanes))]
	below := w.random.Int64N(int64(len(l.records)) + 1)
	l.trim = max(l.trim, below)
	err := w.log.Trim(l.topic, l.partition, below)
	w.note("trim %s/%d below %d: %v", l.topic, l.partition, below, err)
}

func (w *world) snapshot() {
	w.copies++
	dir := fmt.Sprintf("copy%d", w.copies)
	w.disk.mu.Lock()
	w.disk.noLinks = w.random.IntN(2) == 0
	w.disk.mu.Unlock()
	err := w.log.Snapshot(w.Context(), dir)
	w.note("snapshot: %v", err)
	if err != nil {
		return
	}
	o := w.opts
	o.Dir = dir
	l, err := local.Open(o)
	if err != nil {
		w.die("open snapshot: %v", err)
	}
	if n := l.Stats().Damaged; n > 0 {
		w.die("snapshot has %d damaged places", n)
	}
	w.check(l)
	_ = l.Close()
}

// operate does one random thing.
func (w *world) operate() {
	w.Helper()
	switch n := w.random.IntN(100); {
	case n < 60:
		w.append()
	case n < 64:
		w.note("seal: %v", w.log.Seal())
	case n < 72:
		w.trim()
	case n < 76:
		w.scrub()
	case n < 80 && !w.dying:
		w.snapshot()
	case n < 86 && !w.dying:
		w.check(w.log)
		found, err := w.log.Verify(context.Background(), nil)
		if err != nil || len(found) > 0 {
			w.die("verify: %v %v", found, err)
		}
	case n < 90:
		w.disk.mu.Lock()
		w.disk.room = w.random.Int64N(3000)
		w.note("room for %d bytes", w.disk.room)
		w.disk.mu.Unlock()
		w.append()
		w.append()
		w.disk.mu.Lock()
		w.disk.room = -1
		w.disk.mu.Unlock()
	case n < 94:
		w.disk.mu.Lock()
		w.disk.failSyncs = 1 + w.random.IntN(2)
		w.disk.failCuts = w.random.IntN(2) == 0
		w.note("%d syncs will fail, cuts too: %v", w.disk.failSyncs, w.disk.failCuts)
		w.disk.mu.Unlock()
		w.append()
		w.disk.mu.Lock()
		w.disk.failSyncs, w.disk.failCuts = 0, false
		w.disk.mu.Unlock()
	case n < 97 && !w.dying:
		if err := w.log.Close(); err != nil {
			w.die("close: %v", err)
		}
		w.note("closed")
		w.comeback()
	case !w.dying:
		w.down()
	}
}

// Whatever happens to disk and process, every acknowledged record is there, in
// order, once, with its data, and nothing else is but whole groups of failed
// submissions.
func TestLogAgreesWithItsModelOnABadDisk(t *testing.T) {
	t.Parallel()
	worlds := 150
	if testing.Short() {
		worlds = 30
	}
	for seed := range uint64(worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			for range 150 {
				w.operate()
			}
			w.check(w.log)
			w.down()
			if err := w.log.Close(); err != nil {
				w.die("close: %v", err)
			}
		})
	}
}
