package local_test

import (
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

// FuzzOpen opens a folder in which a segment's bytes were changed from some
// point on: no crash, what can be read is right, and the log goes on.
func FuzzOpen(f *testing.F) {
	d := newDisk(1)
	l, err := local.Open(local.Options{Dir: "log", FS: d.start(), Partitions: 2})
	if err != nil {
		f.Fatal(err)
	}
	want := []string{"a", "bb", strings.Repeat("c", 200), "d", "e"}
	for i, data := range want {
		add(f, l, event(0, data), event(1, data))
		if i == 2 {
			if err := l.Seal(); err != nil {
				f.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	files := map[string][]byte{}
	for name, n := range d.names {
		files[strings.TrimPrefix(name, "log/")] = n.data
	}
	f.Add(true, 100, []byte("garbage"), true)
	f.Add(false, 0, []byte{}, true)
	f.Add(false, 300, []byte("RAPG"), false)
	f.Add(true, 64, make([]byte, 500), false)
	f.Fuzz(func(t *testing.T, oldest bool, at int, b []byte, mark bool) {
		name := "0000000000000002.seg"
		if oldest {
			name = "0000000000000001.seg"
		}
		file := append([]byte{}, files[name]...)
		if at < 0 || at > len(file) || len(b) > 10_000 {
			return
		}
		if end := at + len(b); end > len(file) {
			file = append(file, make([]byte, end-len(file))...)
		}
		copy(file[at:], b)
		changed := with(with(files, name, file), strings.TrimSuffix(name, ".seg")+".idx", nil)
		if !mark {
			changed = with(changed, "mark", nil)
		}
		l, err := local.Open(local.Options{Dir: "log", FS: diskOf(changed).start()})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for p := range int32(2) {
			_, next := l.Bounds(eventlog.Events, p)
			if next > int64(len(want)) || mark && next != int64(len(want)) {
				t.Fatalf("partition %d ends at %d, want %d", p, next, len(want))
			}
			for from := int64(0); from < next; from++ {
				got, _ := read(t, l, eventlog.Events, p, from)
				for i, data := range got {
					if data != want[from+int64(i)] {
						t.Fatalf("read %q at offset %d, want %q", data, from+int64(i), want[from+int64(i)])
					}
				}
			}
		}
		if _, err := l.Verify(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		add(t, l, event(0, "after"))
	})
}
