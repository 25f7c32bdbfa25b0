package local

import (
	"encoding/binary"
	"math"
	"os"

	"github.com/rapport-engine/rapport"
)

// The index of a sealed segment: a summary, which is read when the log opens,
// and the positions of the frames of each partition, read by whoever reads
// there. It can always be made again from its segment, so it is written
// without sync and checksummed.
const (
	indexMagic      = "RAPIDX01"
	indexHeaderSize = 72
	indexRowSize    = 48
	indexEntrySize  = 12
)

// encodeIndex returns the index of a segment that has its entries in memory.
func encodeIndex(s *segment, shape geometry) []byte {
	rows, n := 0, 0
	for slot, sp := range s.spans {
		if sp.first < sp.next {
			rows++
			n += len(s.entries[slot])
		}
	}
	at := indexHeaderSize + rows*indexRowSize
	b := make([]byte, at+n*indexEntrySize)
	copy(b, indexMagic)
	le := binary.LittleEndian
	le.PutUint32(b[12:], uint32(rows))
	copy(b[16:], s.log[:])
	le.PutUint64(b[32:], s.id)
	le.PutUint64(b[40:], s.firstSeq)
	le.PutUint64(b[48:], s.nexts)
	le.PutUint64(b[56:], uint64(s.end))
	le.PutUint32(b[64:], s.rewrites)
	row := indexHeaderSize
	for slot, sp := range s.spans {
		if sp.first == sp.next {
			continue
		}
		start := at
		for _, e := range s.entries[slot] {
			le.PutUint32(b[at:], uint32(e.first-sp.first))
			le.PutUint32(b[at+4:], e.pos)
			le.PutUint32(b[at+8:], e.size)
			at += indexEntrySize
		}
		le.PutUint32(b[row:], shape.key(slot))
		le.PutUint32(b[row+4:], uint32(len(s.entries[slot])))
		le.PutUint64(b[row+8:], uint64(sp.first))
		le.PutUint64(b[row+16:], uint64(sp.next))
		le.PutUint64(b[row+24:], uint64(sp.last))
		le.PutUint64(b[row+32:], uint64(start))
		le.PutUint32(b[row+40:], checksum(s.seed, b[start:at]))
		le.PutUint32(b[row+44:], uint32(sp.bytes))
		row += indexRowSize
	}
	le.PutUint32(b[8:], checksum(s.seed, b[12:row]))
	return b
}

// indexRow is what an index says of one partition.
type indexRow struct {
	slot    int
	span    span
	entries int
	start   int64
	sum     uint32
}

// decodeIndex reads the summary of an index into s, which knows its header,
// and returns the rows.
func decodeIndex(b []byte, s *segment, shape geometry) ([]indexRow, error) {
	le := binary.LittleEndian
	if len(b) < indexHeaderSize {
		return nil, errTruncated
	}
	n := int64(le.Uint32(b[12:]))
	end := indexHeaderSize + n*indexRowSize
	switch {
	case string(b[:8]) != indexMagic || n > int64(shape.slots()):
		return nil, errMalformed
	case end > int64(len(b)):
		return nil, errTruncated
	case le.Uint32(b[8:]) != checksum(s.seed, b[12:end]):
		return nil, errChecksum
	case logID(b[16:32]) != s.log || le.Uint64(b[32:]) != s.id || le.Uint64(b[40:]) != s.firstSeq || le.Uint32(b[64:]) != s.rewrites:
		return nil, errMalformed
	}
	rows := make([]indexRow, 0, n)
	for row := int64(indexHeaderSize); row < end; row += indexRowSize {
		r := indexRow{
			slot:    shape.slotOfKey(le.Uint32(b[row:])),
			entries: int(le.Uint32(b[row+4:])),
			span: span{
				int64(le.Uint64(b[row+8:])), int64(le.Uint64(b[row+16:])),
				int64(le.Uint64(b[row+24:])), int64(le.Uint32(b[row+44:])),
			},
			start: int64(le.Uint64(b[row+32:])),
			sum:   le.Uint32(b[row+40:]),
		}
		if r.slot < 0 || r.span.first < 0 || r.span.first >= r.span.next || r.entries < 1 || r.start < end || r.start > math.MaxInt32 {
			return nil, errMalformed
		}
		rows = append(rows, r)
	}
	s.nexts, s.end = le.Uint64(b[48:]), int64(le.Uint64(b[56:]))
	return rows, nil
}

// readSummary fills end and spans of s from its index file.
func (l *Log) readSummary(s *segment, size int64) error {
	rows, f, err := l.openIndex(s)
	if err != nil {
		return err
	}
	_ = f.Close()
	if s.end < segmentHeaderSize || s.end > size {
		return errMalformed
	}
	s.spans, s.entries = make([]span, l.shape.slots()), nil
	for _, r := range rows {
		s.spans[r.slot] = r.span
	}
	return nil
}

func (l *Log) openIndex(s *segment) (rows []indexRow, f File, err error) {
	if f, err = l.fs.Open(indexPath(s.path), os.O_RDONLY); err != nil {
		return nil, nil, err
	}
	b := make([]byte, indexHeaderSize+l.shape.slots()*indexRowSize)
	n, err := readAtMost(f, b, 0)
	if err == nil {
		rows, err = decodeIndex(b[:n], s, l.shape)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return rows, f, nil
}

// readEntries returns where the frames of one partition stand in a sealed
// segment, from its index file. spans are those of the segment.
func (l *Log) readEntries(s *segment, slot int, sp span) ([]entry, error) {
	probe := segment{segmentHeader: s.segmentHeader, path: s.path, seed: s.seed}
	rows, f, err := l.openIndex(&probe)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, r := range rows {
		if r.slot != slot {
			continue
		}
		size, err := f.Size()
		if err != nil {
			return nil, err
		}
		if r.span != sp || r.start+int64(r.entries)*indexEntrySize > size {
			return nil, errMalformed
		}
		b := make([]byte, r.entries*indexEntrySize)
		if _, err := readFull(f, b, r.start); err != nil {
			return nil, err
		}
		if checksum(s.seed, b) != r.sum {
			return nil, errChecksum
		}
		entries := make([]entry, r.entries)
		for i := range entries {
			e := b[i*indexEntrySize:]
			entries[i] = entry{
				first: sp.first + int64(binary.LittleEndian.Uint32(e)),
				pos:   binary.LittleEndian.Uint32(e[4:]),
				size:  binary.LittleEndian.Uint32(e[8:]),
			}
		}
		return entries, nil
	}
	return nil, errMalformed
}

// writeIndex writes the index file of a sealed segment that has its entries in
// memory. It is not synced: a torn one is noticed and made again.
func (l *Log) writeIndex(s *segment) error {
	path := indexPath(s.path)
	f, err := l.fs.Open(path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encodeIndex(s, l.shape), 0)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = l.fs.Rename(path+newSuffix, path)
	}
	if err != nil {
		_ = l.fs.Remove(path + newSuffix)
	}
	return err
}

// keep looks after sealed segments beside the writer until the log closes: it
// writes the index files of those that have none and lets go of their entries,
// deletes what Trim found no time for, and compacts those of which little is
// needed.
func (l *Log) keep() {
	defer l.running.Done()
	for stopped := false; !stopped; {
		select {
		case <-l.toKeep:
		case <-l.stop:
			stopped = true
		}
		for s := l.unindexed(); s != nil; s = l.unindexed() {
			l.indexOne(s)
		}
		if stopped {
			break
		}
		l.maintain.Lock()
		err := l.deleteTrimmed(l.clock.Now())
		l.maintain.Unlock()
		if err != nil {
			l.log.Warn("event log segments not deleted", "err", err)
		}
		for l.compactOne() {
			l.kick() // it needs an index
		}
	}
}

// unindexed returns a sealed segment whose entries are still in memory.
func (l *Log) unindexed() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.sealed && s.entries != nil && !s.noIndex {
			return s
		}
	}
	return nil
}

func (l *Log) indexOne(s *segment) {
	l.maintain.Lock()
	defer l.maintain.Unlock()
	if s.retired.Load() {
		return
	}
	if s.suspect {
		l.verifySuspect(s)
	}
	err := l.writeIndex(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		s.noIndex = true // the entries stay in memory, which serves as well
		l.log.Warn("event log index not written", "file", s.name(), "err", err)
		return
	}
	s.entries = nil
}

// verifySuspect reads a segment again whose last sync failed, and reports what
// the disk does not give back.
func (l *Log) verifySuspect(s *segment) {
	found, err := l.verifySegment(s, nil)
	if err != nil {
		l.log.Error("event log segment unreadable after a failed sync", "file", s.name(), "err", err)
	}
	l.report(found...)
	s.suspect = false
	l.cut(s)
}

// cut removes what follows the last whole group of a sealed segment, durably,
// if it can.
func (l *Log) cut(s *segment) {
	f, err := l.fs.Open(s.path, os.O_RDWR)
	if err == nil {
		if err = f.Truncate(s.end); err == nil {
			err = f.Sync()
		}
		if e := f.Close(); err == nil {
			err = e
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.residue = err != nil
}

// kick wakes the goroutine that runs keep.
func (l *Log) kick() {
	select {
	case l.toKeep <- struct{}{}:
	default:
	}
}

// entriesOf returns the positions of the frames of one partition in a segment
// and, while the segment is open, they only reach as far as what is durable.
func (l *Log) entriesOf(s *segment, slot int) ([]entry, error) {
	l.mu.Lock()
	sp := s.spans[slot]
	if s.entries != nil {
		entries := s.entries[slot]
		l.mu.Unlock()
		return entries, nil
	}
	l.mu.Unlock()
	entries, err := l.readEntries(s, slot, sp)
	if err == nil {
		return entries, nil
	}
	l.log.Warn("event log index unusable, made again from its segment", "file", s.name(), "err", err)
	fresh, err := l.rescan(s)
	if err != nil {
		return nil, rapport.Errorf(rapport.Internal, "scan %s: %w", s.name(), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.entries == nil {
		s.entries = fresh
		l.kick()
	}
	return fresh[slot], nil
}
