package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// admission keeps what waits to be folded within bounds. Callers are first kept
// waiting for a moment, which slows clients that await their answers down to the
// rate of folding, and refused only when that does not help: clients sent away
// stay away for seconds, and meanwhile the machine stands still.
type admission struct {
	mu      sync.Mutex
	waiting []paced // who came first is first
}

type paced struct {
	n    int64
	pass chan struct{} // closed when it may go on
}

// longestPace is how long a caller is kept waiting at most.
const longestPace = 2 * time.Second

// Pace returns when n more events would be folded soon: at once unless PaceLag
// records wait to be, and at the latest after two seconds or when ctx ends. It
// promises nothing: Admit is still to be asked.
func (g *Engine) Pace(ctx context.Context, n int) {
	a := &g.admission
	a.mu.Lock()
	if len(a.waiting) == 0 && g.lag.Load()+g.admitted.Load() < g.limits.PaceLag {
		a.mu.Unlock()
		return
	}
	pass := make(chan struct{})
	a.waiting = append(a.waiting, paced{int64(n), pass})
	a.mu.Unlock()
	timer := time.NewTimer(longestPace)
	defer timer.Stop()
	select {
	case <-pass:
		return
	case <-timer.C:
	case <-ctx.Done():
	case <-g.stopping:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = slices.DeleteFunc(a.waiting, func(p paced) bool { return p.pass == pass })
}

// pass lets those go on for whom there is room.
func (a *admission) pass(room int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gone := 0
	for ; gone < len(a.waiting) && room > 0; gone++ {
		room -= a.waiting[gone].n
		close(a.waiting[gone].pass)
	}
	a.waiting = slices.Delete(a.waiting, 0, gone)
}

// Admit asks to accept n more records. It returns Unavailable when folding has
// fallen behind: the caller refuses its client (429), who comes again.
func (g *Engine) Admit(n int) error {
	if g.lag.Load()+g.admitted.Add(int64(n)) > g.limits.MaxLag {
		g.admitted.Add(-int64(n))
		return rapport.WithHint(rapport.Errorf(rapport.Unavailable, "%d records wait to be folded", g.lag.Load()),
			"send again in a moment; if this lasts, the machine is too small for the load")
	}
	return nil
}

// measureLag keeps the figure Admit and Pace work with: what is in the log and
// not folded, plus what was admitted since it was taken.
func (g *Engine) measureLag(ctx context.Context) error {
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	for {
		admitted := g.admitted.Load()
		var lag int64
		for _, p := range g.parts {
			_, next := g.log.Bounds(eventlog.Events, p.id)
			lag += max(next-p.pos.get(), 0)
		}
		g.lag.Store(lag)
		g.admission.pass(g.limits.PaceLag - lag - admitted)
		// What was admitted in the last round may not be in the log yet; it
		// counts once more.
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		g.admitted.Add(-admitted)
	}
}

// lagEvery is how often the lag is measured.
const lagEvery = 5 * time.Millisecond
