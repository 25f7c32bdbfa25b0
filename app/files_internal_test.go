package app

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode"

	"github.com/rapport-engine/rapport"
)

// FuzzRowsReadAsCSVReadersDo holds the reader of rows against the standard
// library's for every file that one accepts.
func FuzzRowsReadAsCSVReadersDo(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a\n\"x\"\"y\"\n", "a,b\r\n\"1\n2\",\r\n", "a\n\"open\n", "a,a\n", "\xef\xbb\xbfa\n1\n", "a,b\n1\n\n1,2"} {
		f.Add(s)
	}
	m, err := parseMapping([]byte("format: csv\nevent: {value: X}\nuserId: {value: u}\ntimestamp: {value: 2026-01-01}\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := openRows(bytes.NewReader([]byte(text)), m)
		if err != nil {
			return
		}
		var got [][]string
		clean := true
		for {
			_, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if _, bad := errors.AsType[*rowError](err); bad {
				clean = false
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, slices.Clone(r.fields))
		}
		c := csv.NewReader(bytes.NewReader(bytes.TrimPrefix([]byte(text), []byte("\xef\xbb\xbf"))))
		want, err := c.ReadAll()
		// Lone carriage returns, bare quotation marks and rows of blanks are
		// matters of taste.
		if err != nil || !clean || len(want) == 0 || bytes.ContainsFunc([]byte(text), func(r rune) bool { return r != '\n' && unicode.IsSpace(r) }) {
			return
		}
		if !slices.EqualFunc(got, want[1:], slices.Equal) {
			t.Errorf("%q reads as %q, want %q", text, got, want[1:])
		}
	})
}

func FuzzAMappingIsReadOrRefused(f *testing.F) {
	f.Add([]byte("event: X\nuserId: u\ntimestamp: {column: t, layouts: [unix]}\nproperties: {a: {column: b, type: number, map: {x: \"1\"}}}\n"), "1,5")
	f.Add([]byte("event: {value: {a: [1]}}\nemail: e\ntimestamp: t\nwhere: properties.a > 1\n"), "2026-01-01")
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		m, err := parseMapping(text)
		if err != nil {
			return
		}
		b, err := m.event(&row{line: 1, text: []byte(value), get: func(string) any { return value }}, "id")
		if err == nil && b != nil && !bytes.HasPrefix(b, []byte("{")) {
			t.Errorf("%s", b)
		}
	})
}

func FuzzABackupIsReadOrRefused(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "deployment.key"), []byte("00"), 0o600); err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeBackup(f.Context(), &b, dir, backupInfo{Format: backupFormat}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		err := func() error {
			_, err := readBackup(bytes.NewReader(data), func(name string, r io.Reader) error {
				if !filepath.IsLocal(name) {
					t.Errorf("%q leads out of the folder", name)
				}
				_, err := io.Copy(io.Discard, r)
				return err
			})
			return err
		}()
		if err != nil && rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%v is of kind %v", err, rapport.KindOf(err))
		}
	})
}

func TestATornListOfErasuresIsMendedAndADamagedOneRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ledgerName)
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	node := rapport.ID{10, 1}
	for _, e := range []erasure{{Job: "a", At: 5, Nodes: []rapport.ID{node}}, {Job: "b", At: 6, Nodes: []rapport.ID{{10, 2}}}, {Job: "a", Scrubbed: 9}} {
		if err := l.write(e); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openLedger(path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if err := l.write(erasure{Job: "c", At: 7, Nodes: []rapport.ID{node}}); err != nil {
			t.Fatal(err)
		}
		again, err := openLedger(path)
		if err != nil || len(again.list()) != len(l.list()) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if err := os.WriteFile(path, append([]byte("{}\n"), whole...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openLedger(path); err == nil {
		t.Error("a damaged line was passed over")
	}
}

func TestRestoringKeepsEveryErasureAndScrubsAgainWhatTheBackupMayHold(t *testing.T) {
	t.Parallel()
	a, b, c := erasure{Job: "a", At: 1}, erasure{Job: "b", At: 2}, erasure{Job: "c", At: 3}
	done := func(e erasure) erasure { e.Scrubbed = 9; return e }
	again := erasure{Job: "b", At: 8, Scrubbed: 9}
	got := mergeLedgers([]erasure{done(a), again, done(c)}, []erasure{done(a), done(b)})
	want := []erasure{done(a), {Job: "b", At: 8}, c}
	if !slices.EqualFunc(got, want, func(x, y erasure) bool { return x.Job == y.Job && x.At == y.At && x.Scrubbed == y.Scrubbed }) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
