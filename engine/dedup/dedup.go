// Package dedup remembers which events a partition has already accepted, so
// that a client's retry is counted once.
//
// A [Set] holds 128-bit fingerprints in time order: the newest in a hash table,
// older ones in sorted files behind a blocked Bloom filter.
// Guarantees: an answer is exact for every fingerprint younger than the window
// (7 days by default) as long as no more than Max are held; beyond that the
// oldest bucket is forgotten first and [Set.Window] says how far memory reaches.
// Answers depend only on the sequence of Seen calls, never on when files are
// written. Memory is about 2 bytes per held fingerprint plus 48 bytes for each
// of the newest BucketMax.
//
// The set keeps no log of its own. The owner stores what Drain yields in the
// same atomic batch as its state, gives it back through Restore after a crash,
// and calls Durable once those batches are safe on disk; only then are files
// written and old ones deleted, so files never know more than the state does.
package dedup

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// Fingerprint names one (source, messageId). It must be a uniformly distributed hash.
type Fingerprint = [16]byte

// Options configure a Set. Zero fields take the defaults named.
type Options struct {
	// Dir holds the files of this partition alone. It is created if absent.
	Dir string
	// Window is how long a fingerprint is remembered, in record time (7 days).
	Window time.Duration
	// Max is the most fingerprints held (4 Mi).
	Max int
	// BucketMax is the most fingerprints in the hash table (128 Ki).
	BucketMax int
}

// Set is the deduplication memory of one partition. Its methods are called by
// one goroutine, the partition's owner.
type Set struct {
	opts     Options
	span     int64     // longest time one bucket covers, ms
	buckets  []*bucket // oldest first; the last is the open one
	ids      int       // fingerprints over all buckets
	evicted  []*bucket // forgotten, their files and chunks still there
	gone     []uint64  // buckets whose stored chunks may be deleted
	building chan built
	restored bool // not yet forgotten what the crash kept from being deleted
}

// bucket is a run of fingerprints that were new in one stretch of time.
type bucket struct {
	seq   uint64
	start int64 // record time of the first, ms
	count int

	fresh   table // open bucket and closed ones without a file
	drained int   // fresh.log entries already handed out by Drain
	safe    bool  // closed, wholly drained, and known durable
	file    *file // nil until built
}

type built struct {
	b    *bucket
	file *file
	err  error
}

// Open returns the set stored in o.Dir. Damaged or half-written files are
// reported as an Internal error with a hint: deleting one shortens the memory
// and nothing else.
func Open(o Options) (*Set, error) {
	if o.Window <= 0 {
		o.Window = 7 * 24 * time.Hour
	}
	if o.Max <= 0 {
		o.Max = 4 << 20
	}
	if o.BucketMax <= 0 {
		o.BucketMax = 128 << 10
	}
	o.BucketMax = min(o.BucketMax, max(o.Max/4, 1), tableMax)
	s := &Set{opts: o, span: max(o.Window.Milliseconds()/16, 1)}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open deduplication memory: %w", err)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open deduplication memory: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(o.Dir, e.Name())
		switch filepath.Ext(e.Name()) {
		case ".tmp": // a crash in the middle of writing; its chunks are still stored
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("open deduplication memory: %w", err)
			}
		case ".dup":
			f, err := openFile(path)
			if err != nil {
				s.closeFiles()
				return nil, rapport.WithHint(err, "delete %s; retries older than its hours may then be counted twice", path)
			}
			s.buckets = append(s.buckets, &bucket{seq: f.seq, start: f.start, count: f.count, file: f, safe: true})
			s.ids += f.count
		}
	}
	slices.SortFunc(s.buckets, func(a, b *bucket) int { return cmp.Compare(a.seq, b.seq) })
	s.restored = true
	return s, nil
}

// Seen reports whether fp was seen before and remembers it otherwise. now is
// the record time in Unix milliseconds and never falls.
func (s *Set) Seen(fp Fingerprint, now int64) bool {
	s.rotate(now)
	h := hash(fp)
	for i := len(s.buckets) - 1; i >= 0; i-- {
		if s.buckets[i].has(fp, h) {
			return true
		}
	}
	open := s.buckets[len(s.buckets)-1]
	open.fresh.add(fp, h)
	open.count++
	s.ids++
	return false
}

func (b *bucket) has(fp Fingerprint, h uint64) bool {
	if b.file != nil {
		return b.file.has(fp, h)
	}
	return b.fresh.has(fp, h)
}

// rotate closes the open bucket when it is full or old and forgets what lies
// beyond the window. It depends on the sequence of Seen alone.
func (s *Set) rotate(now int64) {
	n := len(s.buckets)
	if n > 0 {
		open := s.buckets[n-1]
		if open.file == nil && open.count < s.opts.BucketMax && now-open.start < s.span {
			if s.restored {
				s.forget()
			}
			return
		}
	}
	seq := uint64(1)
	if n > 0 {
		seq = s.buckets[n-1].seq + 1
	}
	s.buckets = append(s.buckets, &bucket{seq: seq, start: now})
	s.forget()
}

// forget drops what lay beyond the window, or was too much, when the open
// bucket began. What it drops follows from the buckets alone, so that a set
// restored after a crash knows exactly as much as it did before.
func (s *Set) forget() {
	open := s.buckets[len(s.buckets)-1]
	horizon := open.start - s.opts.Window.Milliseconds()
	for len(s.buckets) > 1 && (s.buckets[1].start <= horizon || s.ids-open.count > s.opts.Max) {
		old := s.buckets[0]
		s.buckets = s.buckets[1:]
		s.ids -= old.count
		s.evicted = append(s.evicted, old)
	}
	s.restored = false
}

// Drain yields the fingerprints added since the last call, by bucket, for the
// owner to store under (bucket, anything unique). The bytes are valid during
// the call.
func (s *Set) Drain(store func(bucket uint64, fingerprints []byte)) {
	for _, list := range [][]*bucket{s.evicted, s.buckets} {
		for _, b := range list {
			if b.file == nil && b.drained < len(b.fresh.log) {
				store(b.seq, bytesOf(b.fresh.log[b.drained:]))
				b.drained = len(b.fresh.log)
			}
		}
	}
}

// Restore puts back what Drain once yielded, in the order of buckets. start is
// the record time the bucket began with, as [Set.Start] told when it was stored.
// Fingerprints of a bucket that has its file already are ignored.
func (s *Set) Restore(seq uint64, start int64, fingerprints []byte) error {
	if len(fingerprints)%16 != 0 {
		return rapport.Errorf(rapport.Internal, "stored deduplication chunk of %d bytes is damaged", len(fingerprints))
	}
	i, found := slices.BinarySearchFunc(s.buckets, seq, func(b *bucket, seq uint64) int { return cmp.Compare(b.seq, seq) })
	if !found {
		s.buckets = slices.Insert(s.buckets, i, &bucket{seq: seq, start: start})
	}
	b := s.buckets[i]
	if b.file != nil {
		return nil
	}
	for fp := range slices.Chunk(fingerprints, 16) {
		f := Fingerprint(fp)
		if h := hash(f); !b.fresh.has(f, h) {
			b.fresh.add(f, h)
			b.count++
			s.ids++
		}
	}
	b.drained = len(b.fresh.log)
	return nil
}

// Start returns the record time bucket seq began with.
func (s *Set) Start(seq uint64) int64 {
	for _, list := range [][]*bucket{s.buckets, s.evicted} {
		for _, b := range list {
			if b.seq == seq {
				return b.start
			}
		}
	}
	return 0
}

// Mark returns a token for Durable: everything drained before it.
func (s *Set) Mark() uint64 {
	var mark uint64
	for _, b := range s.buckets[:max(len(s.buckets)-1, 0)] {
		if b.drained == len(b.fresh.log) {
			mark = b.seq
		} else {
			break
		}
	}
	for _, b := range s.evicted {
		mark = max(mark, b.seq)
	}
	return mark
}

// Durable tells the set that every batch holding what was drained before mark
// was taken is on disk. Closed buckets up to mark are then written to files in
// the background, forgotten ones deleted. It returns the buckets whose stored
// chunks the owner may delete with its next batch, and the error of an earlier
// write, if any (the bucket stays in memory and is tried again).
func (s *Set) Durable(mark uint64) (obsolete []uint64, err error) {
	err = s.collect(false)
	for _, b := range s.buckets {
		if b.seq <= mark && b != s.buckets[len(s.buckets)-1] {
			b.safe = true
		}
	}
	s.evicted = slices.DeleteFunc(s.evicted, func(b *bucket) bool {
		if b.seq > mark {
			return false
		}
		if b.file != nil {
			b.file.close()
			_ = os.Remove(b.file.path) // a leftover is found and forgotten again at the next start
		}
		s.gone = append(s.gone, b.seq)
		return true
	})
	if s.building == nil {
		for _, b := range s.buckets {
			if b.safe && b.file == nil {
				s.building = make(chan built, 1) // the builder never waits for us
				go func(done chan<- built, fps []Fingerprint, path string) {
					f, err := writeFile(path, b.seq, b.start, fps)
					done <- built{b, f, err}
				}(s.building, b.fresh.log, filepath.Join(s.opts.Dir, fmt.Sprintf("%012d.dup", b.seq)))
				break
			}
		}
	}
	obsolete, s.gone = s.gone, nil
	return obsolete, err
}

// collect takes over a finished file.
func (s *Set) collect(wait bool) error {
	if s.building == nil {
		return nil
	}
	var done built
	if wait {
		done = <-s.building
	} else {
		select {
		case done = <-s.building:
		default:
			return nil
		}
	}
	s.building = nil
	if done.err != nil {
		return fmt.Errorf("write deduplication file: %w", done.err)
	}
	done.b.file = done.file
	done.b.fresh = table{}
	done.b.drained = 0
	s.gone = append(s.gone, done.b.seq)
	return nil
}

// Window returns how far back answers are exact at record time now.
func (s *Set) Window(now int64) time.Duration {
	if len(s.buckets) == 0 || s.buckets[0].seq == 1 {
		return s.opts.Window
	}
	return min(s.opts.Window, time.Duration(now-s.buckets[0].start)*time.Millisecond)
}

// Len returns the number of fingerprints held.
func (s *Set) Len() int { return s.ids }

// Close waits for a file being written and releases the files.
func (s *Set) Close() error {
	err := s.collect(true)
	s.closeFiles()
	return err
}

func (s *Set) closeFiles() {
	for _, list := range [][]*bucket{s.buckets, s.evicted} {
		for _, b := range list {
			if b.file != nil {
				b.file.close()
			}
		}
	}
}

// Verify checks every file of dir against its checksum, for `rapport doctor`.
func Verify(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".dup") {
			continue
		}
		f, err := openFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		err = f.verify()
		f.close()
		if err != nil {
			return err
		}
	}
	return nil
}
