package local

import (
	"context"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

const (
	// joinBytes is the size from which on a group takes no more submissions.
	joinBytes = 4 << 20
	// recordOverhead is what a queued record counts beyond its data.
	recordOverhead = 64
)

// queue holds the groups on their way to the writer. Submissions join the last
// group, and share its fate and its Pending.
type queue struct {
	mu     sync.Mutex
	filled sync.Cond // the writer waits for it
	groups []*group
	bytes  int64 // of groups and of the one being written
	limit  int64
	closed bool
	spare  [][]eventlog.Record // a list of submissions to use again
}

// group is what one group commit writes.
type group struct {
	submissions [][]eventlog.Record
	records     int
	bytes       int64
	task        func() error // instead of submissions: something for the writer to do

	done chan struct{}
	err  error // set before done is closed
}

// Wait returns the fate of the group.
func (g *group) Wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	default:
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refused is a submission that never was queued; nil for an empty one.
type refused struct{ err error }

func (r refused) Wait(context.Context) error { return r.err }

func (q *queue) init(limit int64) {
	q.limit = limit
	q.filled.L = &q.mu
}

// Submit queues records for the next group commit.
func (l *Log) Submit(records []eventlog.Record) eventlog.Pending {
	size := int64(0)
	for i := range records {
		r := &records[i]
		switch {
		case l.shape.slot(r.Topic, r.Partition) < 0:
			return refused{rapport.Errorf(rapport.Invalid, "append: there is no partition %d of topic %d", r.Partition, r.Topic)}
		case len(r.Data) > MaxRecordBytes:
			return refused{rapport.Errorf(rapport.Invalid, "append: a record of %d bytes, at most %d are allowed", len(r.Data), MaxRecordBytes)}
		case r.Time > maxTime:
			return refused{rapport.Errorf(rapport.Invalid, "append: record time %d lies beyond the year 9999", r.Time)}
		}
		size += int64(len(r.Data)) + recordOverhead
	}
	if len(records) == 0 {
		return refused{}
	}
	q := &l.queue
	if size > q.limit {
		return refused{rapport.Errorf(rapport.Invalid, "append: a submission of %d bytes, at most %d are allowed", size, q.limit)}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return refused{closedError()}
	case q.bytes+size > q.limit:
		return refused{rapport.WithHint(rapport.Errorf(rapport.Unavailable, "append: the event log has %d bytes queued, at most %d are allowed", q.bytes, q.limit),
			"send again after a moment; if it lasts, the disk is slower than what comes in")}
	}
	q.bytes += size
	g := q.last()
	if g == nil || g.task != nil || g.bytes+size > joinBytes {
		g = &group{done: make(chan struct{}), submissions: q.spare}
		q.spare = nil
		q.push(g)
	}
	g.submissions = append(g.submissions, records)
	g.records += len(records)
	g.bytes += size
	return g
}

func (q *queue) last() *group {
	if len(q.groups) == 0 {
		return nil
	}
	return q.groups[len(q.groups)-1]
}

func (q *queue) push(g *group) {
	q.groups = append(q.groups, g)
	if len(q.groups) == 1 {
		q.filled.Signal()
	}
}

// do has the writer run a task between two groups and waits for it.
func (l *Log) do(task func() error) error {
	q := &l.queue
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return closedError()
	}
	g := &group{done: make(chan struct{}), task: task}
	q.push(g)
	q.mu.Unlock()
	<-g.done
	return g.err
}

// wait blocks until there is a group or the queue is closed.
func (q *queue) wait() {
	q.mu.Lock()
	for len(q.groups) == 0 && !q.closed {
		q.filled.Wait()
	}
	q.mu.Unlock()
}

// take returns the next group, nil once the queue is closed and empty.
func (q *queue) take() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.groups) == 0 {
		return nil
	}
	g := q.groups[0]
	q.groups = slices.Delete(q.groups, 0, 1)
	return g
}

// finish tells a group's fate. The records are the submitters' again.
func (q *queue) finish(g *group, err error) {
	submissions := g.submissions
	clear(submissions)
	g.submissions, g.err = nil, err
	q.mu.Lock()
	q.bytes -= g.bytes
	q.spare = submissions[:0]
	q.mu.Unlock()
	close(g.done)
}

// close refuses what comes from now on; false if that was so already.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.closed = true
	q.filled.Signal()
	return true
}

func (q *queue) queued() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
