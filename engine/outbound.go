package engine

import (
	"context"
	"log/slog"
	"slices"
	"sort"
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
	// flights are the records that may not be folded yet, in order.
	flights []flight
	folded  func(partition int32) int64 // position of a partition of the events topic
}

// flight is a derived record on its way to its target.
type flight struct {
	origin    int64 // offset of the record that caused it
	seq       int64 // its number among those queued
	partition int32
	offset    int64 // -1 until durable
}

const outboundBytes = 16 << 20

func newOutbound(log eventlog.Log, folded func(int32) int64, logger *slog.Logger) *outbound {
	o := &outbound{
		log: log, logger: logger, folded: folded, durable: newGate(0),
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
		o.flights = append(o.flights, flight{origin, o.queued, r.Partition, -1})
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
		o.land(batch)
		o.durable.set(o.durable.get() + int64(len(batch)))
	}
}

// land notes where the records of a durable batch stand in the log.
func (o *outbound) land(batch []eventlog.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.durable.get() + 1
	i := sort.Search(len(o.flights), func(i int) bool { return o.flights[i].seq >= first })
	for ; i < len(o.flights) && o.flights[i].seq < first+int64(len(batch)); i++ {
		o.flights[i].offset = batch[o.flights[i].seq-first].Offset
	}
	n := 0
	for n < len(o.flights) && o.flights[n].offset >= 0 && o.flights[n].offset < o.folded(o.flights[n].partition) {
		n++
	}
	o.flights = slices.Delete(o.flights, 0, n)
}

// caused returns the positions of the records that were caused by records up
// to offset and are not folded yet, once all of them are durable.
func (o *outbound) caused(ctx context.Context, offset int64) ([]Token, error) {
	upTo := func() int {
		return sort.Search(len(o.flights), func(i int) bool { return o.flights[i].origin > offset })
	}
	o.mu.Lock()
	n := upTo()
	if n == 0 {
		o.mu.Unlock()
		return nil, nil
	}
	seq := o.flights[n-1].seq
	o.mu.Unlock()
	if err := o.durable.wait(ctx, seq); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []Token
	for _, f := range o.flights[:upTo()] {
		if f.offset < o.folded(f.partition) {
			continue
		}
		if i := slices.IndexFunc(out, func(t Token) bool { return t.Partition == f.partition }); i >= 0 {
			out[i].Offset = max(out[i].Offset, f.offset)
		} else {
			out = append(out, Token{f.partition, f.offset})
		}
	}
	return out, nil
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
