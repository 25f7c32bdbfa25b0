// Package eventlog is the durable, partitioned, append-only log of facts that
// everything else is folded from.
//
// Properties every implementation keeps (the suite eventlogtest checks them):
//
//   - Durable: when [Pending.Wait] returns nil, every record of the submission
//     survives kill -9 and power loss. When it returns an error, none, some or
//     all of it may be found later; a producer that retries gives its records
//     ids that let the fold drop the second copy.
//   - Ordered: records of one partition have offsets that rise by one, and the
//     records of one submission keep their order within a partition.
//     Submissions keep the order of their Submit calls.
//   - Timely: Record.Time never falls within a partition.
//   - Readable at once: a record is visible to readers once it is durable, never
//     before.
//   - Bounded: Submit refuses with Unavailable rather than queue without limit.
//
// A damaged record is never returned and never silently skipped: reading it is
// an error that names topic, partition, offset and file position.
package eventlog

import (
	"context"
)

// Topic names a group of partitions with one purpose.
type Topic uint8

// The topics. Their numbers are part of the log format.
const (
	Events     Topic = iota + 1 // facts of people and items, P partitions
	Control                     // config, tokens, audit: one partition
	Rewards                     // complete learning examples: one partition
	Identity                    // links between identifiers: one partition
	Quarantine                  // events kept out by the door, until fixed or aged: one partition
	Things                      // facts of many items at once (supply chain, rollouts): one partition
)

// Topics lists all topics in order.
var Topics = [...]Topic{Events, Control, Rewards, Identity, Quarantine, Things}

// String returns the topic's name.
func (t Topic) String() string {
	switch t {
	case Events:
		return "events"
	case Control:
		return "control"
	case Rewards:
		return "rewards"
	case Identity:
		return "identity"
	case Quarantine:
		return "quarantine"
	case Things:
		return "things"
	}
	return "unknown"
}

// Record is one fact in the log.
type Record struct {
	Topic     Topic
	Partition int32
	// Kind is the application's type of Data; the log keeps it and does not look.
	// Applications count from 1: a record read with Kind 0 and no Data was
	// erased from the log after it was written, its offset and time remain.
	Kind uint8
	// Offset is assigned by the log and set before Wait returns.
	Offset int64
	// Time is Unix milliseconds. The log raises it to the partition's latest
	// time if it is lower. Zero means the log's clock.
	Time int64
	// Data belongs to the log from Submit until Wait has told the outcome: the
	// caller must not change it in between. What a Reader returns must not be
	// changed either; it stays valid as long as it is referenced. It may share
	// one buffer with its neighbours, so whoever keeps a few records for long
	// keeps copies of them.
	Data []byte
}

// Pending is a submission on its way to disk.
type Pending interface {
	// Wait returns once every record of the submission is durable, with nil,
	// or with the error that kept it from being so. Kinds: Unavailable (disk
	// full, closing: may succeed later), Invalid (refused as it is), Internal.
	// A cancelled ctx ends the wait with ctx.Err(), not the submission. Any
	// number of goroutines may wait, any number of times.
	Wait(ctx context.Context) error
}

// Log is an open event log.
type Log interface {
	// Submit queues records (of any topics and partitions) to be appended
	// together in one group commit and returns at once. The order of Submit
	// calls is the order in the log. Records must not be reused until Wait has
	// told the outcome. A refusal (Unavailable: too much queued, or closed;
	// Invalid: record too large, time out of range or no such partition) shows
	// as the error of Wait. An empty submission is durable at once.
	Submit(records []Record) Pending

	// Partitions returns the number of partitions of a topic, 0 if there is no
	// such topic.
	Partitions(t Topic) int

	// Bounds returns the first offset still stored and the offset the next
	// durable record will get. first == next when empty.
	Bounds(t Topic, partition int32) (first, next int64)

	// Reader returns a reader of one partition that starts at offset from. It
	// returns NotFound if from lies below the first stored offset, Invalid if
	// it lies beyond the next one or if there is no such partition: a caller
	// who remembers more than the log holds must not go on as if nothing had
	// happened.
	Reader(t Topic, partition int32, from int64) (Reader, error)

	// Trim allows records of a partition below offset to be removed, by age
	// and size as the log is configured. It may keep more.
	Trim(t Topic, partition int32, below int64) error

	// Close makes pending submissions durable, then releases everything.
	Close() error
}

// Reader reads one partition in order. It is used by one goroutine.
type Reader interface {
	// Next returns the next records, at least one, waiting for them if need
	// be. The slice is valid until the following call. It returns ctx.Err()
	// when ctx ends, Unavailable after the log is closed, NotFound if the
	// records were trimmed away meanwhile, and Internal with the position of
	// the damage if a record cannot be trusted.
	Next(ctx context.Context) ([]Record, error)
	// Close releases the reader.
	Close() error
}

// Append submits records and waits until they are durable.
func Append(ctx context.Context, l Log, records ...Record) error {
	return l.Submit(records).Wait(ctx)
}
