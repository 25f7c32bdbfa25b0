package deliver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// Destination is one place messages go, with an outbox of its own.
type Destination struct {
	// Kind is the kind of its effects: [WebhookKind] or [KindInApp].
	Kind string
	// Channel is what consent is given for: "webhook", "inapp".
	Channel string
	Sender  Sender
	// Parallel is the most attempts at once, >= 1.
	Parallel int
	// GiveUp is how long after its creation a message is tried; 0 is one attempt.
	GiveUp time.Duration
}

// Deps are what a Dispatcher needs.
type Deps struct {
	// Outbox returns the engine's outbox of a kind.
	Outbox func(kind string) Outbox
	// Append makes an event durable in its person's home log.
	Append  func(ctx context.Context, e *rapport.Event) error
	Consent Consenter
	Clock   rapport.Clock
	Logger  *slog.Logger
}

// Dispatcher runs one lane per destination.
type Dispatcher struct {
	deps Deps

	mu    sync.Mutex
	lanes map[string]*running
	ctx   context.Context // of Run; nil before and after
	wait  sync.WaitGroup
}

type running struct {
	lane   *lane
	cancel context.CancelFunc // nil until Run
	done   chan struct{}
}

// New returns a Dispatcher without destinations.
func New(d Deps) *Dispatcher { return &Dispatcher{deps: d, lanes: map[string]*running{}} }

// Run serves the destinations until ctx ends and every attempt under way has
// been given up or recorded.
func (d *Dispatcher) Run(ctx context.Context) error {
	d.mu.Lock()
	d.ctx = ctx
	for _, r := range d.lanes {
		d.start(r)
	}
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	d.ctx = nil
	d.mu.Unlock()
	d.wait.Wait()
	return nil
}

// start runs a lane. The mutex is held.
func (d *Dispatcher) start(r *running) {
	ctx, cancel := context.WithCancel(d.ctx)
	r.cancel = cancel
	d.wait.Add(1)
	go func() {
		defer d.wait.Done()
		defer close(r.done)
		r.lane.run(ctx)
	}()
}

// Set replaces the destinations. A lane whose destination changed ends its
// attempts under way before the new one begins; messages wait in the outbox.
func (d *Dispatcher) Set(destinations []Destination) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.lanes
	d.lanes = make(map[string]*running, len(destinations))
	for _, x := range destinations {
		r := &running{lane: newLane(x, d.deps), done: make(chan struct{})}
		if before := old[x.Kind]; before != nil {
			r.lane.after = before.stop()
			r.lane.inherit(before.lane)
			delete(old, x.Kind)
		}
		d.lanes[x.Kind] = r
		if d.ctx != nil {
			d.start(r)
		}
	}
	for _, r := range old {
		r.stop()
	}
}

// stop ends a lane and returns the channel that closes when it has.
func (r *running) stop() <-chan struct{} {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	return r.done
}

// Health is the state of one destination, for people to look at.
type Health struct {
	Kind string `json:"kind"`
	// State is "working", "failing" (attempts fail, still trying) or "paused"
	// (the breaker is open: one attempt at PausedUntil decides).
	State       string     `json:"state"`
	PausedUntil *time.Time `json:"pausedUntil,omitempty"`
	UnderWay    int        `json:"underWay"`
	Retrying    int        `json:"retrying"`
	Delivered   int64      `json:"delivered"` // since start, as are those below
	Failed      int64      `json:"failed"`
	Attempts    int64      `json:"attempts"`
	LastError   string     `json:"lastError,omitempty"`
	LastSuccess *time.Time `json:"lastSuccess,omitempty"`
}

// Health returns the state of every destination, by kind.
func (d *Dispatcher) Health() map[string]Health {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]Health, len(d.lanes))
	for kind, r := range d.lanes {
		out[kind] = r.lane.state()
	}
	return out
}
