package collect

import (
	"context"

	"github.com/rapport-engine/rapport/eventlog"
)

// Left returns a test for records of the quarantine topic: whether the event one
// holds is no longer in quarantine (let in, deleted, forgotten or aged out) by
// everything that was durable at the call. Nothing reads such a record again, so
// that it may be scrubbed from the log, and must be where it left because its
// person was erased. What is appended later is not reported.
func (q *Quarantine) Left(ctx context.Context) (func(eventlog.Record) bool, error) {
	if err := q.current(ctx); err != nil {
		return nil, err
	}
	q.mu.Lock()
	position := q.position
	q.mu.Unlock()
	return func(r eventlog.Record) bool {
		if r.Topic != eventlog.Quarantine || r.Kind != kindHeld || r.Offset >= position {
			return false
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.entries[r.Offset] == nil
	}, nil
}
