package local

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	segmentSuffix = ".seg"
	indexSuffix   = ".idx"
	newSuffix     = ".new"
)

// segment is one file of the log. Its identity never changes; end, spans and
// entries are guarded by the lock of the Log and only grow until it is sealed.
type segment struct {
	segmentHeader
	path  string
	seed  uint32
	nexts uint64 // sequence number after its last group

	end     int64     // valid bytes
	spans   []span    // by slot
	entries [][]entry // by slot; nil while only the index file has them
	sealed  bool
	suspect bool // a sync failed: read it again before its index is written
	residue bool // bytes of a failed group may follow; the next segment says where they begin
	noIndex bool // writing the index failed; the entries stay in memory

	noCompact bool // compacting failed

	retired atomic.Bool // deleted, or replaced by a rewritten file

	mu   sync.Mutex // guards file and refs
	file File
	refs int
}

// span says which offsets of a partition a segment holds; none if first == next.
type span struct {
	first, next int64
	last        int64 // time of the latest record
	bytes       int64 // of its frames
}

// entry says where the frame that begins with offset first stands. An entry
// may name bytes that are no frame: then its records are lost, and reading
// finds that out.
type entry struct {
	first     int64
	pos, size uint32
}

func (l *Log) newSegment(h segmentHeader) *segment {
	return &segment{
		segmentHeader: h,
		path:          segmentPath(l.dir, h.id),
		seed:          h.log.seed(h.id),
		nexts:         h.firstSeq,
		end:           segmentHeaderSize,
		spans:         make([]span, l.shape.slots()),
		entries:       make([][]entry, l.shape.slots()),
	}
}

func segmentPath(dir string, id uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x", id)+segmentSuffix)
}

// indexPath returns the path of the index of a segment file.
func indexPath(segment string) string {
	return strings.TrimSuffix(segment, segmentSuffix) + indexSuffix
}

// segmentID returns the id in a file name.
func segmentID(name string) (uint64, bool) {
	base, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(base) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(base, 16, 64)
	return id, err == nil
}

func (s *segment) name() string { return filepath.Base(s.path) }

// empty says whether it holds no record.
func (s *segment) empty() bool { return s.nexts == s.firstSeq }

// add appends a frame to the entries of a slot.
func (s *segment) add(slot int, e entry, next, last int64) {
	sp := &s.spans[slot]
	if sp.first == sp.next {
		sp.first = e.first
	}
	sp.next, sp.last = next, last
	sp.bytes += int64(e.size)
	s.entries[slot] = append(s.entries[slot], e)
}

// newest returns the time of the latest record.
func (s *segment) newest() (ms int64) {
	for _, sp := range s.spans {
		if sp.first < sp.next {
			ms = max(ms, sp.last)
		}
	}
	return ms
}

// acquire returns the open file, which stays open until release.
func (s *segment) acquire(fs FS) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		f, err := fs.Open(s.path, os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		s.file = f
	}
	s.refs++
	return s.file, nil
}

// adopt hands the segment its open file and takes one reference.
func (s *segment) adopt(f File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = f
	s.refs++
}

// release gives back a reference and closes the file with the last.
func (s *segment) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs--; s.refs == 0 {
		_ = s.file.Close()
		s.file = nil
	}
}

// lookup returns the index of the entry whose frame holds offset at.
func lookup(entries []entry, at int64) int {
	return sort.Search(len(entries), func(i int) bool { return entries[i].first > at }) - 1
}
