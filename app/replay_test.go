package app_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/state"
)

func TestReplayFindsAStateThatIsNotWhatTheLogSays(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	h.apply("kind: action\nid: later\ntype: offer\nplacements: [hero]\n")
	h.someone("bob", "bob@example.com", "+4798765432")
	if code, _, errs := run(t, nil, "replay", "--data", h.dir); code != 1 || !strings.Contains(errs, "stop the server") {
		t.Errorf("while it runs: %d %s", code, errs)
	}
	h.stop()
	h.replays()
	s, err := state.Open(state.Options{Dir: filepath.Join(h.dir, "state"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.Scan([]byte("Ee"), []byte("Ef")) // the people
	if err != nil || !it.First() {
		t.Fatal(err)
	}
	b := s.Batch()
	for _, err := range []error{b.Delete(it.Key()), b.Commit(), it.Close(), s.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := run(t, nil, "replay", "--data", h.dir)
	if code != 1 || strings.Count(out, "UNEQUAL") != 1 || !strings.Contains(errs, "is not what the log says") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "replay.tmp*")); len(left) > 0 {
		t.Errorf("%v stayed", left)
	}
}
