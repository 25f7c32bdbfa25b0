// Package state keeps keyed state on disk: spans of keys, atomic batches,
// snapshots and checkpoints, over Pebble.
//
// Properties: a batch is applied whole or not at all; after a crash the store
// holds a prefix of the batches applied, at least up to the last Flush that
// returned; keys of a span are ordered by bytes; a reader sees every batch
// applied before it started and none later.
//
// There is no write-ahead log: whoever needs what came after the last Flush
// folds it again from the event log. Rooms share one Store; the first bytes of
// a key name its span, and a room keeps to its own.
package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rapport-engine/rapport"
)

// Options says where and how large a Store is.
type Options struct {
	// Dir is the folder of the store; it is created if missing.
	Dir string
	// CacheBytes bounds the cache of blocks read from disk. Default 128 MiB.
	CacheBytes int64
	// MemTableBytes bounds what is written but not yet sorted into a file; up
	// to three of them are in memory. Larger ones save rewriting of keys that
	// change often. Default 48 MiB.
	MemTableBytes int64
	// FS is the file system; nil is the machine's. Tests pass one that fails.
	FS vfs.FS
	// Logger hears of background errors. Required.
	Logger *slog.Logger
}

// Store is an open store. Its methods are safe for concurrent use.
type Store struct {
	db    *pebble.DB
	cache *pebble.Cache

	mu     sync.Mutex
	closed bool
}

// Open opens or creates a store. It returns Conflict when another process has
// it open and Internal when its files are damaged.
func Open(o Options) (*Store, error) {
	if o.CacheBytes <= 0 {
		o.CacheBytes = 128 << 20
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 48 << 20
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	// Pebble takes the memory of memtables out of its cache. What is left must hold
	// the indexes and filters of all files at any time: a look without them costs
	// ten times as much.
	const memTables = 3
	s := &Store{cache: pebble.NewCache(o.CacheBytes + memTables*o.MemTableBytes)}
	opts := &pebble.Options{
		FS:                          o.FS,
		Cache:                       s.cache,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: memTables,
		// A million entities are smaller than a few memtables, so each compaction
		// rewrites all of the level below: fewer of them cost less than a look into
		// more files, which the filters mostly spare.
		L0CompactionThreshold:      6,
		L0StopWritesThreshold:      48,
		LBaseMaxBytes:              max(o.MemTableBytes*4, 64<<20),
		MaxOpenFiles:               4096,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:                     logger{o.Logger},
	}
	// Values stay in the sorted files. Kept apart in files of their own they are not
	// copied by compactions, which saves 5 of 23 us for each changed entity of 1 KB
	// among a million; but such a file goes only when no table refers to it any more,
	// and then an erased person may outlive the compaction that was to remove them.
	for i := range opts.Levels {
		// A table's filter is one block. Small keys fill a table of 128 MiB with more
		// than a million of them, and its filter took half a shard of the cache and
		// was read again with every other look.
		opts.TargetFileSizes[i] = 16 << 20
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		// Of 4 KiB a block holds three people: a walk over a million then costs a quarter
		// more, and a look at one of them no less.
		opts.Levels[i].BlockSize = 8 << 10
		opts.Levels[i].IndexBlockSize = 64 << 10
		opts.Levels[i].Compression = func() *block.CompressionProfile { return block.NoCompression }
	}
	db, err := pebble.Open(o.Dir, opts)
	if err != nil {
		s.cache.Unref()
		return nil, openError(o.Dir, err)
	}
	s.db = db
	return s, nil
}

func openError(dir string, err error) error {
	kind := rapport.Internal
	if text := err.Error(); strings.Contains(text, "lock held") || strings.Contains(text, "resource temporarily unavailable") {
		kind = rapport.Conflict
	}
	return rapport.WithHint(rapport.Errorf(kind, "open state in %s: %w", dir, err),
		"stop the other process that uses this folder; if there is none, remove the folder: it is folded again from the event log")
}

// Get appends the value of key to dst. found is false if there is none.
func (s *Store) Get(key, dst []byte) (value []byte, found bool, err error) {
	return get(s.db, key, dst)
}

func get(r pebble.Reader, key, dst []byte) ([]byte, bool, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, rapport.Errorf(rapport.Internal, "read state key %x: %w", key, err)
	}
	dst = append(dst, v...)
	return dst, true, wrap("read state", closer.Close())
}

// Scan returns an iterator over lower <= key < upper. A nil upper is the end.
func (s *Store) Scan(lower, upper []byte) (*Iterator, error) { return scan(s.db, lower, upper) }

func scan(r pebble.Reader, lower, upper []byte) (*Iterator, error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, rapport.Errorf(rapport.Internal, "scan state: %w", err)
	}
	return &Iterator{it: it}, nil
}

// Snapshot is the store as it was at one moment. Close it soon: it keeps old
// versions of keys on disk.
type Snapshot struct{ s *pebble.Snapshot }

// Snapshot returns the store as it is now.
func (s *Store) Snapshot() *Snapshot { return &Snapshot{s.db.NewSnapshot()} }

// Get appends the value of key to dst, as [Store.Get].
func (s *Snapshot) Get(key, dst []byte) ([]byte, bool, error) { return get(s.s, key, dst) }

// Scan returns an iterator, as [Store.Scan].
func (s *Snapshot) Scan(lower, upper []byte) (*Iterator, error) { return scan(s.s, lower, upper) }

// Close releases the snapshot; iterators over it are closed first.
func (s *Snapshot) Close() error { return wrap("close snapshot", s.s.Close()) }

// Iterator walks keys in order. It starts before the first: call First, Last
// or Seek, then Next or Prev while it is Valid. Key and Value hold until it moves.
type Iterator struct{ it *pebble.Iterator }

// First moves to the lowest key.
func (i *Iterator) First() bool { return i.it.First() }

// Last moves to the highest key.
func (i *Iterator) Last() bool { return i.it.Last() }

// Seek moves to the lowest key not below key.
func (i *Iterator) Seek(key []byte) bool { return i.it.SeekGE(key) }

// Next moves to the following key.
func (i *Iterator) Next() bool { return i.it.Next() }

// Prev moves to the preceding key.
func (i *Iterator) Prev() bool { return i.it.Prev() }

// Valid reports whether there is a key here.
func (i *Iterator) Valid() bool { return i.it.Valid() }

// Key returns the key.
func (i *Iterator) Key() []byte { return i.it.Key() }

// Value returns the value; a damaged one shows as nil here and as the error of Close.
func (i *Iterator) Value() []byte {
	v, err := i.it.ValueAndErr()
	if err != nil {
		return nil
	}
	return v
}

// Close releases the iterator and returns the error that stopped it, if any.
func (i *Iterator) Close() error {
	err := i.it.Error()
	return wrap("scan state", errors.Join(err, i.it.Close()))
}

// Flush makes every batch committed before the call durable.
func (s *Store) Flush() error { return wrap("flush state", s.db.Flush()) }

// Checkpoint writes a copy of the store to dir, which must not exist. Files
// are shared by hard links where possible.
func (s *Store) Checkpoint(dir string) error {
	if err := s.Flush(); err != nil {
		return err
	}
	return wrap("checkpoint state to "+dir, s.db.Checkpoint(dir))
}

// Close flushes and closes the store. Iterators and snapshots are closed first.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.db.Flush()
	err = errors.Join(err, s.db.Close())
	s.cache.Unref()
	return wrap("close state", err)
}

// Metrics are figures of a store for an operator.
type Metrics struct {
	DiskBytes      uint64 // all live files
	MemTableBytes  uint64 // written, not yet in files
	CacheBytes     int64
	CacheHits      int64
	CacheMisses    int64
	Compactions    int64 // since start
	CompactionDebt uint64
	Flushes        int64
	WrittenBytes   uint64 // by flushes and compactions, since start
	ReadAmp        int    // files a read may have to look into
}

// Metrics returns the current figures.
func (s *Store) Metrics() Metrics {
	m := s.db.Metrics()
	out := Metrics{
		DiskBytes:      m.DiskSpaceUsage(),
		MemTableBytes:  m.MemTable.Size,
		CacheBytes:     m.BlockCache.Size,
		CacheHits:      m.BlockCache.Hits,
		CacheMisses:    m.BlockCache.Misses,
		Compactions:    m.Compact.Count,
		CompactionDebt: m.Compact.EstimatedDebt,
		Flushes:        m.Flush.Count,
		ReadAmp:        m.ReadAmp(),
	}
	for i := range m.Levels {
		out.WrittenBytes += m.Levels[i].TableBytesFlushed + m.Levels[i].TableBytesCompacted
	}
	return out
}

// PrefixEnd returns the lowest key above every key that starts with prefix, or
// nil if there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < math.MaxUint8 {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return rapport.Errorf(rapport.Internal, "%s: %w", what, err)
}

// logger hands Pebble's errors to slog; its chatter is dropped.
type logger struct{ *slog.Logger }

func (l logger) Infof(string, ...any) {}
func (l logger) Errorf(format string, args ...any) {
	l.LogAttrs(context.Background(), slog.LevelError, "state store", slog.String("error", fmt.Sprintf(format, args...)))
}

func (l logger) Fatalf(format string, args ...any) {
	// Pebble calls this when it can no longer keep its promises (a background
	// write failed for good); going on would lose what was folded.
	l.Errorf(format, args...)
	panic("state store: " + fmt.Sprintf(format, args...))
}

var _ io.Closer = (*Store)(nil)
