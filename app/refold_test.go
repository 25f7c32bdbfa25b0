package app_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/state"
)

// What an earlier build kept cannot be read by this one: it is folded again
// from the log, by itself, and everybody is who they were.
func TestAStateOfAnotherBuildIsFoldedAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	for i := range 40 {
		h.send(fmt.Sprintf(`{"type":"track","userId":"u%d","messageId":"o%d","event":"Order Completed","properties":{"revenue":%d}}`, i%7, i, i))
	}
	h.erase("userId:u6")
	look := func() map[string]any {
		t.Helper()
		told := map[string]any{}
		for _, of := range []string{"people/userId:anna", "people/userId:u0", "people/userId:u5", "people/userId:u0/timeline", "people/userId:anna/identity", "decisions", "portfolio"} {
			var got map[string]any
			if code := h.call("GET", "/v1/"+of, "", &got); code != http.StatusOK {
				t.Fatal(of, code)
			}
			delete(got, "version") // a place in the log, which now says more
			told[of] = got
		}
		told["erased"] = h.call("GET", "/v1/people/userId:u6", "", nil)
		return told
	}
	before := look()
	h.stop()
	s, err := state.Open(state.Options{Dir: filepath.Join(h.dir, "state"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b := s.Batch()
	for _, err := range []error{b.Set([]byte("Egformat"), binary.AppendUvarint(nil, 1)), b.Commit(), s.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h.start()
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Error(diff)
	}
	// A retry of what was folded again is still known.
	h.send(`{"type":"track","userId":"u0","messageId":"o0","event":"Order Completed","properties":{"revenue":0}}`)
	if diff := cmp.Diff(before["people/userId:u0"], look()["people/userId:u0"]); diff != "" {
		t.Error(diff)
	}
	h.stop()
	h.replays()
}
