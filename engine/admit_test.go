package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

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
	hold, release := make(chan struct{}), make(chan struct{})
	go func() {
		_ = w.eng.View(t.Context(), id(1), []engine.Token{}, func(*engine.View) error {
			close(hold)
			<-release
			return nil
		})
	}()
	<-hold
	var batch []eventlog.Record
	for range 200 {
		batch = append(batch, w.record(w.event(id(1), id(1), "a")))
	}
	w.submit(batch...)
	for w.eng.Admit(1) == nil {
		time.Sleep(time.Millisecond)
	}
	close(release)
	for w.eng.Admit(1) != nil {
		time.Sleep(time.Millisecond)
	}
	if got := w.total(id(1)); got != 200 {
		t.Errorf("counted %d", got)
	}
}

func TestCallersArePacedUntilFoldingHasCaughtUp(t *testing.T) {
	w := newWorld(t, 2, counts{})
	w.opts.Limits.PaceLag, w.opts.Limits.MaxLag = 50, 150
	w.start()
	w.eng.Pace(t.Context(), 1000) // nothing waits
	hold, release := make(chan struct{}), make(chan struct{})
	go func() {
		_ = w.eng.View(t.Context(), id(1), []engine.Token{}, func(*engine.View) error {
			close(hold)
			<-release
			return nil
		})
	}()
	<-hold
	var batch []eventlog.Record
	for range 200 {
		batch = append(batch, w.record(w.event(id(1), id(1), "a")))
	}
	w.submit(batch...)
	for w.eng.Admit(1) == nil { // until the lag is measured
		time.Sleep(time.Millisecond)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	w.eng.Pace(gone, 1) // who has gone does not wait
	begin, after := time.Now(), make(chan int64, 3)
	for range cap(after) {
		go func() {
			w.eng.Pace(t.Context(), 10)
			lag := int64(0)
			for _, p := range w.eng.Stats().Partitions {
				lag += p.Lag
			}
			after <- lag
		}()
	}
	close(release)
	for range cap(after) {
		if lag := <-after; lag >= 50 && time.Since(begin) < time.Second {
			t.Errorf("let on with %d waiting", lag)
		}
	}
}
