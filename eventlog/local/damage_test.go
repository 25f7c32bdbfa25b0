package local_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

func open(t testing.TB, o local.Options) *local.Log {
	t.Helper()
	l, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func event(p int32, data string) eventlog.Record {
	return eventlog.Record{Topic: eventlog.Events, Partition: p, Kind: 1, Time: 1_700_000_000_000, Data: []byte(data)}
}

func add(t testing.TB, l eventlog.Log, records ...eventlog.Record) {
	t.Helper()
	if err := eventlog.Append(t.Context(), l, records...); err != nil {
		t.Fatal(err)
	}
}

// read returns the data of a partition's records from an offset on, and the
// error that ended it early.
func read(t testing.TB, l *local.Log, topic eventlog.Topic, p int32, from int64) (data []string, err error) {
	t.Helper()
	_, next := l.Bounds(topic, p)
	r, err := l.Reader(topic, p, from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for at := from; at < next; {
		records, err := r.Next(t.Context())
		if err != nil {
			return data, err
		}
		for _, rec := range records {
			data = append(data, string(rec.Data))
		}
		at = records[len(records)-1].Offset + 1
	}
	return data, nil
}

func readAllOf(t testing.TB, l *local.Log, topic eventlog.Topic, p int32) []string {
	t.Helper()
	first, _ := l.Bounds(topic, p)
	data, err := read(t, l, topic, p, first)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// diskOf returns a disk with these files in folder "log".
func diskOf(files map[string][]byte) *disk {
	d := newDisk(1)
	for name, b := range files {
		n := &inode{data: slices.Clone(b), safe: slices.Clone(b)}
		d.names[filepath.Join("log", name)], d.safe[filepath.Join("log", name)] = n, n
	}
	return d
}

// openFiles opens the log that has these files.
func openFiles(t testing.TB, files map[string][]byte) *local.Log {
	t.Helper()
	l, err := local.Open(local.Options{Dir: "log", FS: diskOf(files).start()})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func takeFiles(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// sample is a small closed log of two segments.
type sample struct {
	files map[string][]byte
	want  map[int32][]string // events by partition
	// before are the files before the last group was appended.
	before map[string][]byte
	last   string // name of the newest segment
}

func makeSample(t *testing.T) sample {
	t.Helper()
	s := sample{want: map[int32][]string{}}
	dir := t.TempDir()
	o := local.Options{Dir: dir, Partitions: 3}
	l := open(t, o)
	group := func(n int) {
		var records []eventlog.Record
		for i := range 4 {
			p := int32((n + i) % 3)
			data := fmt.Sprintf("group %d record %d %s", n, i, strings.Repeat("x", n*i%7))
			records = append(records, event(p, data))
			s.want[p] = append(s.want[p], data)
		}
		add(t, l, records...)
	}
	for n := range 3 {
		group(n)
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	group(3)
	group(4)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.before = takeFiles(t, dir)
	l = open(t, o)
	group(5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.files = takeFiles(t, dir)
	for name := range s.files {
		if strings.HasSuffix(name, ".seg") && name > s.last {
			s.last = name
		}
	}
	return s
}

// with returns a copy of the files with one of them replaced.
func with(files map[string][]byte, name string, b []byte) map[string][]byte {
	files = maps.Clone(files)
	if files[name] = b; b == nil {
		delete(files, name)
	}
	return files
}

// A group cut off at any byte by a crash disappears as a whole, and the log
// goes on.
func TestTornTailIsDroppedAsAWholeAtEveryByte(t *testing.T) {
	t.Parallel()
	s := makeSample(t)
	whole, start := s.files[s.last], len(s.before[s.last])
	for cut := start; cut < len(whole); cut++ {
		for _, fill := range []string{"", "zeros", "garbage"} {
			torn := slices.Clone(whole[:cut])
			switch fill {
			case "zeros":
				torn = append(torn, make([]byte, len(whole)-cut)...)
			case "garbage":
				torn = append(torn, bytes.Repeat([]byte{0xa5}, len(whole)-cut)...)
			}
			if bytes.Equal(torn, whole) {
				continue
			}
			// The mark is as it was before the group, or gone.
			files := with(with(s.files, s.last, torn), "mark", s.before["mark"])
			if cut%2 == 0 {
				files = with(files, "mark", nil)
			}
			d := diskOf(files)
			o := local.Options{Dir: "log", FS: d.start()}
			l := open(t, o)
			if n := l.Stats().Damaged; n > 0 {
				t.Fatalf("cut at %d: a torn group counts as damage", cut)
			}
			add(t, l, event(0, "after"))
			checkWithoutLastGroup(t, s, l, cut)
			_ = l.Close()
			l = open(t, o)
			checkWithoutLastGroup(t, s, l, cut)
			_ = l.Close()
		}
	}
}

func checkWithoutLastGroup(t *testing.T, s sample, l *local.Log, cut int) {
	t.Helper()
	for p := range int32(3) {
		want := slices.DeleteFunc(slices.Clone(s.want[p]), func(d string) bool { return strings.HasPrefix(d, "group 5") })
		if p == 0 {
			want = append(want, "after")
		}
		if got := readAllOf(t, l, eventlog.Events, p); !slices.Equal(got, want) {
			t.Fatalf("cut at %d: partition %d holds %q, want %q", cut, p, got, want)
		}
	}
}

// Whatever bit of a segment flips, no wrong record is read, what is lost is
// named, and the rest can be read.
func TestBitFlipAnywhereInASegmentIsDetectedAndLocated(t *testing.T) {
	t.Parallel()
	s := makeSample(t)
	for name, b := range s.files {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		for at := range b {
			flipped := slices.Clone(b)
			flipped[at] ^= 1 << (at % 8)
			for _, index := range []bool{true, false} {
				files := with(s.files, name, flipped)
				if !index {
					files = with(files, strings.TrimSuffix(name, ".seg")+".idx", nil)
				}
				l := openFiles(t, files)
				checkDamaged(t, s, l, name, at, at+1)
				_ = l.Close()
			}
		}
	}
}

// The same holds for lost ranges of any size, as of a bad sector.
func TestLostRangeInASegmentIsDetectedAndLocated(t *testing.T) {
	t.Parallel()
	s := makeSample(t)
	random := rand.New(rand.NewPCG(7, 7))
	for name, b := range s.files {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		for range 1000 {
			from := random.IntN(len(b))
			to := min(len(b), from+1+random.IntN(600))
			spoiled := slices.Clone(b)
			clear(spoiled[from:to])
			if bytes.Equal(spoiled, b) {
				continue
			}
			files := with(s.files, name, spoiled)
			if random.IntN(2) == 0 {
				files = with(files, strings.TrimSuffix(name, ".seg")+".idx", nil)
			}
			l := openFiles(t, files)
			checkDamaged(t, s, l, name, from, to)
			_ = l.Close()
		}
	}
}

// checkDamaged checks a log whose segment name is damaged between two bytes.
func checkDamaged(t *testing.T, s sample, l *local.Log, name string, at, end int) {
	t.Helper()
	found, err := l.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("%s byte %d flipped: Verify found nothing", name, at)
	}
	for _, d := range found {
		if d.File != name {
			t.Fatalf("%s byte %d flipped: Verify blames %v", name, at, d)
		}
	}
	for p := range int32(3) {
		want := s.want[p]
		if _, next := l.Bounds(eventlog.Events, p); next != int64(len(want)) {
			t.Fatalf("%s byte %d flipped: partition %d ends at %d, want %d", name, at, p, next, len(want))
		}
		for from := int64(0); from < int64(len(want)); {
			got, err := read(t, l, eventlog.Events, p, from)
			if !slices.Equal(got, want[from:from+int64(len(got))]) {
				t.Fatalf("%s byte %d flipped: read %q from %d on, want %q", name, at, got, from, want[from:])
			}
			from += int64(len(got))
			if err == nil {
				break
			}
			d, ok := errors.AsType[local.Damage](err)
			if !ok || rapport.KindOf(err) != rapport.Internal || rapport.HintOf(err) == "" {
				t.Fatalf("%s byte %d flipped: error %v without place, kind or hint", name, at, err)
			}
			if d.Topic != eventlog.Events || d.Partition != p || d.First > from || d.Next <= from || d.File != name {
				t.Fatalf("%s byte %d flipped: reading %d of partition %d blames %v", name, at, from, p, d)
			}
			if end < int(d.Position)-200 || at > int(d.Position+d.Bytes)+200 {
				t.Fatalf("%s byte %d flipped, but %v is blamed", name, at, d)
			}
			from = d.Next
		}
	}
	// The log goes on behind the damage.
	add(t, l, event(1, "after"))
	_, next := l.Bounds(eventlog.Events, 1)
	if got, err := read(t, l, eventlog.Events, 1, next-1); err != nil || !slices.Equal(got, []string{"after"}) {
		t.Fatalf("%s byte %d flipped: appended after damage, read %q, %v", name, at, got, err)
	}
}

// Flipped bits in the files beside the segments cost nothing but time.
func TestBitFlipInAnIndexIsHealed(t *testing.T) {
	t.Parallel()
	s := makeSample(t)
	for name, b := range s.files {
		if strings.HasSuffix(name, ".seg") || name == "lock" {
			continue
		}
		for at := 0; at < len(b); at += 1 + len(b)/300 {
			flipped := slices.Clone(b)
			flipped[at] ^= 1 << (at % 8)
			l := openFiles(t, with(s.files, name, flipped))
			for p := range int32(3) {
				if got := readAllOf(t, l, eventlog.Events, p); !slices.Equal(got, s.want[p]) {
					t.Fatalf("%s byte %d flipped: read %q, want %q", name, at, got, s.want[p])
				}
			}
			if n := l.Stats().Damaged; n > 0 {
				t.Fatalf("%s byte %d flipped: %d places damaged", name, at, n)
			}
			_ = l.Close()
		}
	}
}

// A segment that was deleted behind our back is missed, not skipped.
func TestMissingSegmentIsReported(t *testing.T) {
	t.Parallel()
	s := makeSample(t)
	for name := range s.files {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		l := openFiles(t, with(s.files, name, nil))
		lost := int64(0)
		for p := range int32(3) {
			got := int64(0)
			for from := int64(0); from < int64(len(s.want[p])); {
				data, err := read(t, l, eventlog.Events, p, from)
				got += int64(len(data))
				if err == nil {
					break
				}
				d, ok := errors.AsType[local.Damage](err)
				if !ok {
					t.Fatal(err)
				}
				from = d.Next
			}
			lost += int64(len(s.want[p])) - got
			if _, next := l.Bounds(eventlog.Events, p); next != int64(len(s.want[p])) {
				t.Fatalf("partition %d ends at %d, want %d", p, next, len(s.want[p]))
			}
		}
		if found, err := l.Verify(t.Context(), nil); err != nil || len(found) == 0 {
			t.Errorf("%s deleted: Verify found %v, %v", name, found, err)
		}
		if lost != 12 || l.Stats().Damaged == 0 {
			t.Errorf("%s deleted: %d records missed and %d places damaged, want 12 and some", name, lost, l.Stats().Damaged)
		}
	}
}
