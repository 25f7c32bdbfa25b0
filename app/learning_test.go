package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rapport-engine/rapport/app"
)

// What was learned is kept in a file so that a start is quick. One of an
// earlier version, a damaged one and none at all are the same: everything is
// learned from the log anew, and nobody has to do anything about it.
func TestWhatWasLearnedIsReadFromTheLogAnewWhereItsFileIsOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := folderOf(t, "kind: placement\nid: home\n---\nkind: action\nid: hello\ntype: content\nplacements: [home]\npriority: 1\n---\nkind: policy\nid: default\nholdout: 0\n")
	change := func(o *app.Options) { o.Config = folder }
	s := open(t, dir, change)
	for i := range 12 {
		s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": fmt.Sprint("u", i)}, "placement": "home"})
	}
	shown := func() (n float64) {
		t.Helper()
		for _, a := range s.must("GET", "/v1/actions", nil)["actions"].([]any) {
			n += a.(map[string]any)["stats"].(map[string]any)["shown"].(float64)
		}
		return n
	}
	// settled waits until as much is learned as was.
	settled := func(want float64) {
		t.Helper()
		await(t, fmt.Sprintf("%v are learned of", want), func() bool { return shown() == want })
	}
	given := 0.0
	for _, d := range s.must("GET", "/v1/decisions?limit=100", nil)["decisions"].([]any) {
		if d := d.(map[string]any); d["holdout"] != true {
			given += float64(len(d["items"].([]any)))
		}
	}
	if given == 0 {
		t.Fatal("nothing was given")
	}
	settled(given)
	path := filepath.Join(dir, "model.snapshot")
	for name, spoil := range map[string]func(b []byte) []byte{
		"an earlier codec": func(b []byte) []byte { b[0]--; return b },
		"a later codec":    func(b []byte) []byte { b[0]++; return b },
		"half of it":       func(b []byte) []byte { return b[:len(b)/2] },
		"nothing":          func([]byte) []byte { return nil },
	} {
		s.end()
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			t.Fatalf("before %s: %d bytes, %v", name, len(b), err)
		}
		if err := os.WriteFile(path, spoil(b), 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, change)
		settled(given)
	}
}
