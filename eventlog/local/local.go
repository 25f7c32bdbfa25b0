// Package local is the event log in segment files of its own, for one process
// on one machine.
//
// It keeps the promises of [eventlog.Log]: a record is acknowledged after
// fdatasync of its whole group and visible to readers from then on; a group
// torn by a crash disappears as a whole; every byte read is checked, and
// damage is reported with its place and never skipped. A full disk fails the
// groups that found no room and nothing else, and the log goes on by itself
// when room returns. Not promised: use by two processes (the folder is locked),
// network file systems, Windows. DESIGN.md has the format and the reasons.
package local

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

const (
	defaultPartitions     = 16
	defaultSegmentBytes   = 64 << 20
	defaultMaxQueuedBytes = 64 << 20
	defaultTailBytes      = 32 << 20
	defaultSegmentAge     = 24 * time.Hour

	// MaxRecordBytes is the largest Data of one record.
	MaxRecordBytes = 16 << 20
	// maxTime, in the year 9999, keeps one wrong clock from stopping a
	// partition's time for good.
	maxTime = 253_402_300_799_999

	lockName = "lock"
)

// Options say where and how large a log is. Only Dir is required.
type Options struct {
	// Dir is the folder, made if missing. Nothing else may live in it.
	Dir string
	// Partitions of topic Events, 1 to 4096, fixed when the log is made.
	// Zero means 16 for a new log and whatever it has for an old one.
	Partitions int
	// Begin returns the offset the first record of a partition gets, and is asked
	// only when the log is made. Nil: 0.
	Begin func(t eventlog.Topic, partition int32) int64
	// SegmentBytes is the size at which a new segment file begins, at most
	// 1 GiB. Default 64 MiB.
	SegmentBytes int64
	// SegmentAge is the age at which a segment with records is sealed even if
	// it is small, so that it can be trimmed. Default 24 h.
	SegmentAge time.Duration
	// MaxQueuedBytes bounds what Submit holds that is not durable yet. A
	// single submission must fit. Default 64 MiB, at most 128 MiB.
	MaxQueuedBytes int64
	// TailBytes bounds the memory for records committed last, from which
	// readers are served without touching a file. Default 32 MiB.
	TailBytes int
	// RetainAge keeps segments whose latest record is younger although their
	// records may be trimmed. Default 0: trimmed records go at once.
	RetainAge time.Duration
	// RetainBytes, if positive, lets trimmed segments go before RetainAge
	// while the log is larger than this.
	RetainBytes int64
	// Clock gives time to records that bring none. Default the system's.
	Clock rapport.Clock
	// FS is the file system. Default the operating system's.
	FS FS
	// Logger hears of damage, full disks and recovery. Default none.
	Logger *slog.Logger
}

// Log is an open log. Its methods may be called by any number of goroutines.
//
// Locks, in the order they are taken: maintain, mu, segment.mu; queue.mu stands
// alone.
type Log struct {
	dir   string
	fs    FS
	log   *slog.Logger
	clock rapport.Clock
	id    logID
	shape geometry
	opts  Options
	lock  io.Closer

	queue   queue
	write   writer
	toKeep  chan struct{} // capacity 1: one wake-up is enough
	stop    chan struct{} // closed by Close once nothing is written any more
	running sync.WaitGroup

	// maintain keeps Trim, Scrub, Snapshot and indexing apart.
	maintain sync.Mutex

	mu       sync.Mutex // guards what readers see
	closed   bool
	segments []*segment  // by id; the last may be open for writing
	parts    []partition // by slot
	tail     *tail
	floors   floors

	counts
}

// partition is what readers see of one partition.
type partition struct {
	first, next int64
	trim        int64 // records below may go
	waiting     []*reader
}

type counts struct {
	records, groups, syncs, failed, damaged, erased atomic.Int64
}

var _ eventlog.Log = (*Log)(nil)

// Open opens the log in a folder, or makes it. It repairs a torn end, and
// reports damage to the Logger without failing. Kinds: Invalid (options do not
// fit, another number of partitions), Unavailable (locked by another process,
// disk full), Internal.
func Open(o Options) (*Log, error) {
	if o.Dir == "" {
		return nil, rapport.Errorf(rapport.Invalid, "event log: no folder given")
	}
	if o.Partitions < 0 || o.Partitions > maxPartitions {
		return nil, rapport.Errorf(rapport.Invalid, "event log: %d partitions, want 1 to %d", o.Partitions, maxPartitions)
	}
	o.SegmentBytes = min(orDefault(o.SegmentBytes, defaultSegmentBytes), maxSegmentBytes)
	o.MaxQueuedBytes = min(orDefault(o.MaxQueuedBytes, defaultMaxQueuedBytes), maxGroupBytes/2)
	o.TailBytes = orDefault(o.TailBytes, defaultTailBytes)
	o.SegmentAge = orDefault(o.SegmentAge, defaultSegmentAge)
	if o.Clock == nil {
		o.Clock = rapport.SystemClock{}
	}
	if o.FS == nil {
		o.FS = OSFS{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.FS.MakeDir(o.Dir); err != nil {
		return nil, rapport.Errorf(rapport.Internal, "make the event log folder: %w", err)
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, lockName))
	if err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Unavailable, "open the event log: %w", err),
			"another process has %s open: stop it first, or give this one its own folder", o.Dir)
	}
	l := &Log{
		dir: o.Dir, fs: o.FS, log: o.Logger, clock: o.Clock, opts: o, lock: lock,
		toKeep: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	l.queue.init(o.MaxQueuedBytes)
	if err := l.recover(); err != nil {
		l.release()
		return nil, err
	}
	l.running.Add(2)
	go l.run()
	go l.keep()
	l.kick()
	return l, nil
}

func orDefault[T int | int64 | time.Duration](v, preset T) T {
	if v <= 0 {
		return preset
	}
	return v
}

// release closes the files of a log without running goroutines.
func (l *Log) release() {
	if l.write.segment != nil {
		l.write.segment.release()
		l.write.segment = nil
	}
	if l.write.mark != nil {
		_ = l.write.mark.file.Close()
	}
	_ = l.lock.Close()
}

// Partitions returns the number of partitions of a topic.
func (l *Log) Partitions(t eventlog.Topic) int { return l.shape.of(t) }

// Bounds returns the first stored offset and the next one; zeros for a
// partition that does not exist.
func (l *Log) Bounds(t eventlog.Topic, p int32) (first, next int64) {
	slot := l.shape.slot(t, p)
	if slot < 0 {
		return 0, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parts[slot].first, l.parts[slot].next
}

// Close makes pending submissions durable, ends all readers with Unavailable
// and releases the folder. Later calls do nothing.
func (l *Log) Close() error {
	if !l.queue.close() {
		return nil
	}
	<-l.write.done
	l.mu.Lock()
	l.closed = true
	for i := range l.parts {
		l.wake(&l.parts[i])
	}
	l.mu.Unlock()
	close(l.stop)
	l.running.Wait()
	l.maintain.Lock() // Trim, Scrub and Snapshot end first
	defer l.maintain.Unlock()
	l.release()
	return nil
}

// Damage is a place in the log that cannot be trusted. It is the cause in the
// errors of readers, found with [errors.AsType].
type Damage struct {
	Topic     eventlog.Topic // 0 if no record is known to be lost
	Partition int32
	First     int64 // first lost offset
	Next      int64 // first offset behind the loss; a Reader from here goes on
	File      string
	Position  int64 // byte in File
	Bytes     int64
	Reason    string
}

// Error says what is lost and where.
func (d Damage) Error() string {
	if d.Topic == 0 {
		return fmt.Sprintf("damaged: %s at byte %d (%d bytes): %s", d.File, d.Position, d.Bytes, d.Reason)
	}
	return fmt.Sprintf("damaged: topic %s partition %d offsets %d to %d, in %s at byte %d (%d bytes): %s",
		d.Topic, d.Partition, d.First, d.Next-1, d.File, d.Position, d.Bytes, d.Reason)
}

// damageError wraps a Damage for a caller.
func (l *Log) damageError(d Damage) error {
	return rapport.WithHint(rapport.Errorf(rapport.Internal, "event log: %w", d),
		"run rapport doctor for the extent, then restore %s from a backup", l.dir)
}

func closedError() error {
	return rapport.Errorf(rapport.Unavailable, "the event log is closed")
}

// diskError gives an error of the file system the kind it deserves.
func diskError(op, dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return rapport.WithHint(rapport.Errorf(rapport.Unavailable, "event log: %s: %w", op, err),
			"free space on the volume of %s or shorten the retention; the log goes on by itself when there is room", dir)
	}
	return rapport.WithHint(rapport.Errorf(rapport.Internal, "event log: %s: %w", op, err),
		"check the disk of %s (kernel log, smartctl), then run rapport doctor", dir)
}
