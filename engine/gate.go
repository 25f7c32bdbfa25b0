package engine

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/rapport-engine/rapport"
)

// gate is a number that only rises and that others wait for.
type gate struct {
	at      atomic.Int64
	lowest  atomic.Int64 // of those waited for
	mu      sync.Mutex
	waiters []waiter
	closed  bool
}

type waiter struct {
	at   int64
	done chan struct{}
}

func newGate(at int64) *gate {
	g := &gate{}
	g.at.Store(at)
	g.lowest.Store(math.MaxInt64)
	return g
}

func (g *gate) get() int64 { return g.at.Load() }

// set raises the number. One goroutine calls it.
func (g *gate) set(at int64) {
	g.at.Store(at)
	if at >= g.lowest.Load() {
		g.wake()
	}
}

func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	lowest := int64(math.MaxInt64)
	kept := g.waiters[:0]
	for _, w := range g.waiters {
		if w.at <= g.at.Load() || g.closed {
			close(w.done)
			continue
		}
		lowest = min(lowest, w.at)
		kept = append(kept, w)
	}
	clear(g.waiters[len(kept):])
	g.waiters = kept
	g.lowest.Store(lowest)
}

// close lets everyone waiting go, with an error.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wake()
}

// wait returns once the number is at least at. It returns ctx.Err() or, when
// the engine stops first, Unavailable.
func (g *gate) wait(ctx context.Context, at int64) error {
	if err := g.waitOr(ctx.Done(), at); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// waitOr is wait until quit is closed; then it returns Unavailable.
func (g *gate) waitOr(quit <-chan struct{}, at int64) error {
	if g.at.Load() >= at {
		return nil
	}
	w := waiter{at, make(chan struct{})}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return errStopped()
	}
	g.waiters = append(g.waiters, w)
	if at < g.lowest.Load() {
		g.lowest.Store(at)
	}
	g.mu.Unlock()
	// The number may have passed at before lowest was stored.
	if g.at.Load() >= at {
		g.wake()
	}
	select {
	case <-w.done:
		if g.at.Load() < at {
			return errStopped()
		}
		return nil
	case <-quit:
		g.leave(w.done)
		return errStopped()
	}
}

func (g *gate) leave(done chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiters {
		if w.done == done {
			last := len(g.waiters) - 1
			g.waiters[i] = g.waiters[last]
			g.waiters = g.waiters[:last]
			return
		}
	}
}

func errStopped() error {
	return rapport.Errorf(rapport.Unavailable, "the engine is stopping")
}
