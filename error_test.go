package rapport_test

import (
	"errors"
	"io"
	"testing"

	"github.com/rapport-engine/rapport"
)

func TestErrorKeepsKindCauseAndHint(t *testing.T) {
	t.Parallel()
	err := rapport.Errorf(rapport.NotFound, "read profile %s: %w", "p_1", io.EOF)
	if got, want := err.Error(), "read profile p_1: EOF"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if !errors.Is(err, io.EOF) {
		t.Error("the cause is not reachable")
	}
	hinted := rapport.WithHint(err, "run %s", "rapport doctor")
	if rapport.KindOf(hinted) != rapport.NotFound || rapport.HintOf(hinted) != "run rapport doctor" {
		t.Errorf("kind %v hint %q", rapport.KindOf(hinted), rapport.HintOf(hinted))
	}
	if hinted.Error() != err.Error() || !errors.Is(hinted, io.EOF) {
		t.Errorf("a hint changed the message to %q", hinted)
	}
	if rapport.KindOf(io.EOF) != rapport.Internal {
		t.Error("a foreign error is internal")
	}
}
