package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
)

// Without predictions nothing is kept of what people like; with them again it is
// made from the log, also of what happened meanwhile.
func TestPredictionsSwitchedOnAgainKnowWhatHappenedWithoutThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	off := func(o *app.Options) { o.NoPredictions = true }
	viewed := func(category string) map[string]any {
		return map[string]any{"type": "track", "event": "Product Viewed", "userId": "anna", "messageId": category, "properties": map[string]any{"category": category}}
	}
	liked := func(s *shop) string {
		scores, _ := s.must("GET", "/v1/people/userId:anna", nil)["scores"].(map[string]any)
		return fmt.Sprint(scores["affinities"])
	}
	s := open(t, dir, nil)
	s.send(viewed("espresso"))
	if got := liked(s); !strings.Contains(got, "espresso") {
		t.Errorf("anna likes %s", got)
	}
	s.end()
	s = open(t, dir, off)
	s.send(viewed("grinders"))
	if got := liked(s); strings.Contains(got, "grinders") || strings.Contains(got, "espresso") {
		t.Errorf("without predictions anna likes %s", got)
	}
	s.end()
	s = open(t, dir, nil)
	for { // while history is read
		if got := liked(s); strings.Contains(got, "espresso") && strings.Contains(got, "grinders") {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("what happened without predictions is not known")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
