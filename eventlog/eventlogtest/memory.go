package eventlogtest

import (
	"bytes"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Memory is a log without files: a record is "durable" at once. What was
// appended outlives Close and is there again after Reopen, so a test can stop
// and start its program.
type Memory struct {
	// Clock gives time to records that bring none; the system's if nil. Set
	// it before the first Submit.
	Clock rapport.Clock

	store  *store
	mu     sync.Mutex
	closed chan struct{}
}

// store is what outlives a Memory.
type store struct {
	mu         sync.Mutex
	partitions int
	lanes      map[place]*lane
}

type place struct {
	topic     eventlog.Topic
	partition int32
}

type lane struct {
	first   int64
	last    int64 // time
	records []eventlog.Record
	grown   chan struct{} // closed when records are added
}

var _ eventlog.Log = (*Memory)(nil)

// NewMemory returns an empty log with that many partitions of topic Events and
// one of each other topic.
func NewMemory(partitions int) *Memory {
	s := &store{partitions: partitions, lanes: map[place]*lane{}}
	for _, t := range eventlog.Topics {
		n := int32(1)
		if t == eventlog.Events {
			n = int32(partitions)
		}
		for p := range n {
			s.lanes[place{t, p}] = &lane{grown: make(chan struct{})}
		}
	}
	return &Memory{store: s, closed: make(chan struct{})}
}

// Reopen returns a log with the same records. m is closed first if it is not.
func (m *Memory) Reopen() *Memory {
	_ = m.Close()
	return &Memory{Clock: m.Clock, store: m.store, closed: make(chan struct{})}
}

func (m *Memory) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

func errClosed() error { return rapport.Errorf(rapport.Unavailable, "the event log is closed") }

func noPartition(t eventlog.Topic, p int32) error {
	return rapport.Errorf(rapport.Invalid, "there is no partition %d of topic %d", p, t)
}

// answer is a Pending whose outcome is known.
type answer struct{ err error }

func (a answer) Wait(context.Context) error { return a.err }

// Submit appends the records.
func (m *Memory) Submit(records []eventlog.Record) eventlog.Pending {
	now := int64(0)
	if m.Clock != nil {
		now = m.Clock.Now().UnixMilli()
	} else {
		now = rapport.SystemClock{}.Now().UnixMilli()
	}
	s := m.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.isClosed() {
		return answer{errClosed()}
	}
	for _, r := range records {
		if s.lanes[place{r.Topic, r.Partition}] == nil {
			return answer{noPartition(r.Topic, r.Partition)}
		}
	}
	for i := range records {
		r := &records[i]
		l := s.lanes[place{r.Topic, r.Partition}]
		if r.Time == 0 {
			r.Time = now
		}
		l.last = max(l.last, r.Time)
		r.Time, r.Offset = l.last, l.next()
		kept := *r
		kept.Data = bytes.Clone(r.Data)
		l.records = append(l.records, kept)
		close(l.grown)
		l.grown = make(chan struct{})
	}
	return answer{}
}

func (l *lane) next() int64 { return l.first + int64(len(l.records)) }

// Partitions returns the number of partitions of a topic.
func (m *Memory) Partitions(t eventlog.Topic) int {
	switch {
	case t == eventlog.Events:
		return m.store.partitions
	case slices.Contains(eventlog.Topics[:], t):
		return 1
	}
	return 0
}

// Bounds returns the first stored offset and the next one.
func (m *Memory) Bounds(t eventlog.Topic, p int32) (first, next int64) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	l := m.store.lanes[place{t, p}]
	if l == nil {
		return 0, 0
	}
	return l.first, l.next()
}

// Reader returns a reader of one partition.
func (m *Memory) Reader(t eventlog.Topic, p int32, from int64) (eventlog.Reader, error) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	l := m.store.lanes[place{t, p}]
	switch {
	case l == nil:
		return nil, noPartition(t, p)
	case m.isClosed():
		return nil, errClosed()
	case from < l.first:
		return nil, rapport.Errorf(rapport.NotFound, "topic %s partition %d begins at offset %d", t, p, l.first)
	case from > l.next():
		return nil, rapport.Errorf(rapport.Invalid, "topic %s partition %d ends at offset %d", t, p, l.next())
	}
	return &memoryReader{log: m, lane: l, at: from}, nil
}

// Trim removes the records of a partition below an offset at once.
func (m *Memory) Trim(t eventlog.Topic, p int32, below int64) error {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	l := m.store.lanes[place{t, p}]
	if l == nil {
		return noPartition(t, p)
	}
	if n := min(below, l.next()) - l.first; n > 0 {
		l.records = slices.Clone(l.records[n:])
		l.first += n
	}
	return nil
}

// Close ends all readers.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isClosed() {
		close(m.closed)
	}
	return nil
}

type memoryReader struct {
	log  *Memory
	lane *lane
	at   int64
}

// batch is how many records a Next returns at most.
const batch = 64

func (r *memoryReader) Next(ctx context.Context) ([]eventlog.Record, error) {
	for {
		records, grown, err := r.take()
		if err != nil || len(records) > 0 {
			return records, err
		}
		select {
		case <-grown:
		case <-r.log.closed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (r *memoryReader) take() ([]eventlog.Record, chan struct{}, error) {
	r.log.store.mu.Lock()
	defer r.log.store.mu.Unlock()
	switch {
	case r.log.isClosed():
		return nil, nil, errClosed()
	case r.at < r.lane.first:
		return nil, nil, rapport.Errorf(rapport.NotFound, "the partition begins at offset %d", r.lane.first)
	}
	records := r.lane.records[r.at-r.lane.first:]
	records = slices.Clone(records[:min(len(records), batch)])
	r.at += int64(len(records))
	return records, r.lane.grown, nil
}

func (r *memoryReader) Close() error {
	r.at = math.MinInt64
	return nil
}
