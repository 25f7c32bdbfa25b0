package deliver

import (
	"context"
	"log/slog"
	"strings"
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
// What waits for a destination that is not there any more goes to the dead letters.
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
	for kind, before := range old {
		if before.lane.removed() {
			d.lanes[kind] = before
			continue
		}
		d.retire(kind, before)
	}
}

// Retire moves what waits for destinations that are not there to the dead
// letters: those removed before the program was started. kinds are the kinds of
// effects that wait; those of other rooms are left alone.
func (d *Dispatcher) Retire(kinds []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, kind := range kinds {
		if d.lanes[kind] == nil && (strings.HasPrefix(kind, webhookKind) || strings.HasPrefix(kind, channelKind)) {
			d.retire(kind, nil)
		}
	}
}

// retire puts a lane in the place of one whose destination was removed. The
// partitions hear of the removal one by one, so it serves what still comes. The
// mutex is held.
func (d *Dispatcher) retire(kind string, before *running) {
	gone := Destination{Kind: kind, Channel: channelOf(kind), Sender: removed(destinationName(kind) + " was removed"), Parallel: 4}
	r := &running{lane: newLane(gone, d.deps), done: make(chan struct{})}
	if before != nil {
		r.lane.after = before.stop()
		r.lane.inherit(before.lane)
	}
	d.lanes[kind] = r
	if d.ctx != nil {
		d.start(r)
	}
}

// serves reports whether messages of a kind can be brought anywhere.
func (d *Dispatcher) serves(kind string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.lanes[kind]
	return r != nil && !r.lane.removed()
}

// removed is the sender of a destination that is not there any more: its text
// is why nothing can be delivered.
type removed string

// Send implements [Sender].
func (r removed) Send(context.Context, *Message) Result {
	return Result{Status: Failed, Detail: string(r)}
}

func (l *lane) removed() bool {
	_, is := l.Sender.(removed)
	return is
}

// channelOf is what consent is asked for on the way to a destination.
func channelOf(kind string) string {
	if id, ok := strings.CutPrefix(kind, channelKind); ok {
		return id
	}
	return "webhook"
}

// destinationName is what people call the destination of a kind.
func destinationName(kind string) string {
	if id, ok := strings.CutPrefix(kind, webhookKind); ok {
		return "the webhook " + id
	}
	if id, ok := strings.CutPrefix(kind, channelKind); ok {
		return "the channel " + id
	}
	return "the destination " + kind
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
	// (the breaker is open: one attempt at PausedUntil decides) or "removed" (its
	// document is gone: what waits for it goes to the dead letters).
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
