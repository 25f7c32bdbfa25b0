package state_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rapport-engine/rapport/state"
)

func TestCompactionLeavesNothingOfDeletedKeysInTheFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, state.Options{Dir: dir, MemTableBytes: 1 << 20})
	secret := "anna@example.com"
	put(t, s, "k1", secret, "k2", "old "+secret, "row/1", secret, "row/2", secret)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 { // files of several levels around them
		put(t, s, fmt.Sprintf("k%d", i+3), string(bytes.Repeat([]byte{'x'}, 1000)))
	}
	if err := s.Compact(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if !holds(t, dir, secret) {
		t.Fatal("the test does not look where values are")
	}
	b := s.Batch()
	for _, err := range []error{b.Delete([]byte("k1")), b.Set([]byte("k2"), []byte("new")), b.DeleteRange([]byte("row/"), []byte("row0")), b.Commit()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if holds(t, dir, secret) {
		t.Error("a deleted value is still on disk")
	}
	if v, found, err := s.Get([]byte("k2"), nil); err != nil || !found || string(v) != "new" {
		t.Errorf("k2 is %q, %v, %v", v, found, err)
	}
}

func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil && bytes.Contains(data, []byte(text)) {
			return true
		}
	}
	return false
}
