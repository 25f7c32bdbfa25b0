package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// outbound carries what a partition derives to the log, in order. One
// submission is on its way at a time and is repeated until it is durable, so
// that a later record is never durable without the earlier ones.
type outbound struct {
	log    eventlog.Log
	logger *slog.Logger

	mu     sync.Mutex
	queue  []eventlog.Record
	bytes  int
	queued int64 // records ever queued
	room   *sync.Cond
	closed bool

	durable *gate // records ever made durable
	wake    chan struct{}
	id      int32
	flights *flights
}

const outboundBytes = 16 << 20

func newOutbound(id int32, log eventlog.Log, flights *flights, logger *slog.Logger) *outbound {
	o := &outbound{
		id: id, log: log, logger: logger, flights: flights, durable: newGate(0),
		wake: make(chan struct{}, 1), // one pending wake is enough
	}
	o.room = sync.NewCond(&o.mu)
	return o
}

// push queues a record caused by the one at offset origin; it blocks while too
// much is queued.
func (o *outbound) push(origin int64, r eventlog.Record) {
	o.mu.Lock()
	for o.bytes > outboundBytes && !o.closed {
		o.room.Wait()
	}
	o.queue = append(o.queue, r)
	o.bytes += len(r.Data)
	o.queued++
	if r.Topic == eventlog.Events {
		o.flights.leave(o.id, flight{origin, o.queued, r.Partition, -1})
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// last returns the number of records queued so far.
func (o *outbound) last() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queued
}

// run submits until ctx ends and then, as long as grace allows, what is left.
func (o *outbound) run(ctx, grace context.Context) error {
	defer o.stop()
	for {
		batch := o.next()
		if len(batch) == 0 {
			select {
			case <-o.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := o.submit(grace, batch); err != nil {
			if grace.Err() != nil {
				return nil
			}
			return rapport.Errorf(rapport.Internal, "append derived records: %w", err)
		}
		done := o.durable.get()
		o.flights.land(o.id, done+1, batch)
		o.durable.set(done + int64(len(batch)))
	}
}

func (o *outbound) next() []eventlog.Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch := o.queue
	o.queue, o.bytes = nil, 0
	o.room.Broadcast()
	return batch
}

// submit repeats a submission until it is durable. What was durable already
// stands twice in the log then, and the receiving marks drop the copy.
func (o *outbound) submit(ctx context.Context, batch []eventlog.Record) error {
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := o.log.Submit(batch).Wait(ctx)
		if err == nil || rapport.KindOf(err) != rapport.Unavailable || ctx.Err() != nil {
			return err
		}
		o.logger.LogAttrs(ctx, slog.LevelWarn, "derived records wait for the event log", slog.Any("error", err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *outbound) stop() {
	o.mu.Lock()
	o.closed = true
	o.room.Broadcast()
	o.mu.Unlock()
	o.durable.close()
}
