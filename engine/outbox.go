package engine

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// Outbox hands the waiting effects of one kind to a sender.
//
// An effect is offered once it is caused by a durable record, after replay is
// done, and not before its NotBefore. It stays in the outbox until a fold
// cancels it, usually because the sender appended the event that tells the
// result; after a restart it is offered again. A sender that cannot act on one
// gives it back with Release.
type Outbox struct {
	eng  *Engine
	kind string

	mu    sync.Mutex
	used  bool              // someone asked for effects of this kind
	ready []string          // keys of due effects, oldest first
	known map[string]*offer // due, or with a sender
	later []int64           // per partition: when the earliest effect not in ready is due
	wake  chan struct{}
}

type offer struct {
	effect Effect
	taken  bool
}

const outboxReady = 4096

func newOutbox(eng *Engine, kind string) *Outbox {
	o := &Outbox{
		eng: eng, kind: kind, known: map[string]*offer{}, later: make([]int64, len(eng.parts)),
		wake: make(chan struct{}, 1), // one pending wake is enough
	}
	return o // later is all zero: look everywhere first
}

// offer takes note of an effect just caused. It runs on owners and never blocks.
func (o *Outbox) offer(p *partition, e Effect) {
	if !o.eng.live.Load() {
		return // the first look finds it
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.used {
		return
	}
	if e.NotBefore > rapport.Millis(o.eng.clock.Now()) || !o.add(e) {
		o.later[p.id] = min(o.later[p.id], e.NotBefore)
	}
	o.signal()
}

// add makes a due effect ready unless there are too many.
func (o *Outbox) add(e Effect) bool {
	if f := o.known[e.Key]; f != nil {
		if !f.taken {
			f.effect = e
		}
		return true
	}
	if len(o.ready) >= outboxReady {
		return false
	}
	o.known[e.Key] = &offer{effect: e}
	o.ready = append(o.ready, e.Key)
	return true
}

func (o *Outbox) cancel(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, key)
}

// leave takes note that an effect moves to another partition, which offers it
// unless a sender has it.
func (o *Outbox) leave(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.known[key]; f != nil && !f.taken {
		delete(o.known, key)
	}
}

func (o *Outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Next returns the next effect that is due, waiting for one. It returns
// ctx.Err(), or Unavailable when the engine stops.
func (o *Outbox) Next(ctx context.Context) (Effect, error) {
	if err := o.eng.Ready(ctx); err != nil {
		return Effect{}, err
	}
	for {
		o.mu.Lock()
		o.used = true
		for len(o.ready) > 0 {
			f := o.known[o.ready[0]]
			o.ready = o.ready[1:]
			if f != nil && !f.taken {
				f.taken = true
				o.mu.Unlock()
				o.signal() // another sender may be waiting
				return f.effect, nil
			}
		}
		due := slices.Min(o.later)
		o.mu.Unlock()
		now := rapport.Millis(o.eng.clock.Now())
		if due <= now {
			if err := o.look(ctx, now); err != nil {
				return Effect{}, err
			}
			continue
		}
		var timer <-chan time.Time
		if due != math.MaxInt64 {
			timer = o.eng.clock.After(time.Duration(due-now) * time.Millisecond)
		}
		select {
		case <-o.wake:
		case <-timer:
		case <-o.eng.done:
			return Effect{}, errStopped()
		case <-ctx.Done():
			return Effect{}, ctx.Err()
		}
	}
}

// look finds due effects in the outbox of the partitions.
func (o *Outbox) look(ctx context.Context, now int64) error {
	for i, p := range o.eng.parts {
		o.mu.Lock()
		due := o.later[i]
		o.mu.Unlock()
		if p == nil || due > now {
			if p == nil {
				o.mu.Lock()
				o.later[i] = math.MaxInt64
				o.mu.Unlock()
			}
			continue
		}
		err := p.call(ctx, func() error {
			// Nothing is offered by this partition meanwhile: it is its owner.
			o.mu.Lock()
			defer o.mu.Unlock()
			o.later[i] = math.MaxInt64
			return p.waiting(o.kind, nil, math.MaxInt64, func(e Effect) bool {
				if e.NotBefore > now {
					o.later[i] = e.NotBefore
					return false
				}
				if o.known[e.Key] != nil || o.add(e) {
					return true
				}
				o.later[i] = now
				return false
			})
		})
		if err != nil {
			return err
		}
		o.mu.Lock()
		full := len(o.ready) >= outboxReady
		o.mu.Unlock()
		if full {
			return nil
		}
	}
	return nil
}

// Release gives an effect back that Next returned: it is offered again. A
// sender that wants a delay appends an event and lets its fold replace the
// effect with a later one.
func (o *Outbox) Release(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.known[key]; f != nil && f.taken {
		f.taken = false
		o.ready = append(o.ready, key)
		o.signal()
	}
}
