package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// backlog holds the home of an entity, submits n events of it, and returns when
// the engine has noticed that it cannot fold them.
func (w *world) backlog(n int) (release func()) {
	w.t.Helper()
	release = w.hold(id(1))
	var batch []eventlog.Record
	for range n {
		batch = append(batch, w.record(w.event(id(1), id(1), "a")))
	}
	w.submit(batch...)
	w.await("the engine to be behind", func() bool { return w.eng.Admit(1) != nil })
	return release
}

func TestAdmissionIsRefusedWhileFoldingIsBehind(t *testing.T) {
	w := newWorld(t, 2, counts{})
	w.opts.Limits.MaxLag = 100
	w.start()
	if err := w.eng.Admit(50); err != nil {
		t.Errorf("refused with nothing to do: %v", err)
	}
	if err := w.eng.Admit(101); rapport.KindOf(err) != rapport.Unavailable {
		t.Errorf("admitted more than may wait: %v", err)
	}
	release := w.backlog(200)
	release()
	w.await("the backlog to be folded", func() bool { return w.eng.Admit(1) == nil })
	if got := w.total(id(1)); got != 200 {
		t.Errorf("counted %d", got)
	}
}

func TestCallersArePacedUntilFoldingHasCaughtUp(t *testing.T) {
	w := newWorld(t, 2, counts{})
	w.opts.Limits.PaceLag, w.opts.Limits.MaxLag = 50, 150
	w.start()
	w.eng.Pace(t.Context(), 1000) // nothing waits
	release := w.backlog(200)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	w.eng.Pace(gone, 1) // who has gone does not wait
	begin, after := time.Now(), make(chan int64, 3)
	for range cap(after) {
		go func() {
			w.eng.Pace(t.Context(), 10)
			after <- w.lag()
		}()
	}
	release()
	for range cap(after) {
		if lag := <-after; lag >= 50 && time.Since(begin) < time.Second {
			t.Errorf("let on with %d waiting", lag)
		}
	}
}
