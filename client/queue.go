package client

import (
	"context"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// queue holds encoded events in order between the callers and the sender. Its
// one lock is held for a few instructions only.
type queue struct {
	mu       sync.Mutex
	events   [][]byte
	bytes    int
	size     int // events that make a full batch
	maxLen   int
	maxBytes int
	closed   bool

	added   uint64 // events ever queued
	settled uint64 // events accepted or given up
	urgent  uint64 // a flush waits for the events up to this count
	first   time.Time

	wake   chan struct{} // capacity 1: "look again" for the sender, who may be busy
	moved  chan struct{} // closed and replaced when settled grows
	inHand int           // events of the batch the sender holds
}

func (q *queue) init(size, maxLen, maxBytes int) {
	q.size, q.maxLen, q.maxBytes = size, maxLen, maxBytes
	q.wake = make(chan struct{}, 1)
	q.moved = make(chan struct{})
}

func (q *queue) add(event []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return rapport.Errorf(rapport.Unavailable, "the client is closed")
	case len(q.events)+q.inHand >= q.maxLen || q.bytes+len(event) > q.maxBytes:
		return rapport.WithHint(rapport.Errorf(rapport.Unavailable, "the queue is full with %d events", len(q.events)+q.inHand),
			"the server is slow or away; raise Options.QueueSize, or try again later")
	}
	if len(q.events) == 0 {
		q.first = time.Now()
	}
	q.events = append(q.events, event)
	q.bytes += len(event)
	q.added++
	if n := len(q.events); n == 1 || n >= q.size || q.bytes >= maxBatchBytes {
		q.nudge() // the first starts the interval, the last ends it
	}
	return nil
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for the next batch and returns nil when the queue is closed and
// empty or ctx ends. A batch is due when it is full, when its first event has
// waited for interval, or when a flush or close asks for it.
func (q *queue) take(ctx context.Context, interval time.Duration) [][]byte {
	for {
		q.mu.Lock()
		wait := time.Duration(-1)
		if n := len(q.events); n > 0 {
			wait = interval - time.Since(q.first)
			if n >= q.size || q.bytes >= maxBatchBytes || q.closed || q.urgent > q.settled || wait <= 0 {
				batch := q.cut()
				q.mu.Unlock()
				return batch
			}
		} else if q.closed {
			q.mu.Unlock()
			return nil
		}
		q.mu.Unlock()

		var timer *time.Timer
		var due <-chan time.Time
		if wait >= 0 {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		select {
		case <-q.wake:
		case <-due:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// cut removes up to one batch of events and maxBatchBytes from the front.
func (q *queue) cut() [][]byte {
	n, bytes := 0, 0
	for n < len(q.events) && n < q.size && (n == 0 || bytes+len(q.events[n]) <= maxBatchBytes) {
		bytes += len(q.events[n])
		n++
	}
	batch := make([][]byte, n)
	copy(batch, q.events)
	rest := copy(q.events, q.events[n:])
	clear(q.events[rest:])
	q.events = q.events[:rest]
	q.bytes -= bytes
	q.inHand = n
	q.first = time.Now()
	return batch
}

// settle records that the batch in hand is accepted or given up.
func (q *queue) settle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settled += uint64(q.inHand)
	q.inHand = 0
	close(q.moved)
	q.moved = make(chan struct{})
}

func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	goal := q.added
	q.urgent = max(q.urgent, goal)
	q.nudge()
	for q.settled < goal {
		moved := q.moved
		q.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
		q.mu.Lock()
	}
	q.mu.Unlock()
	return nil
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.nudge()
}

// abandon empties the queue, releases whoever flushes, and returns how many
// events were given up.
func (q *queue) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.events) + q.inHand
	q.events, q.bytes, q.inHand = nil, 0, 0
	q.settled = q.added
	close(q.moved)
	q.moved = make(chan struct{})
	return n
}
