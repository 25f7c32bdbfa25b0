package local

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// recovery is what Open learns of the log.
type recovery struct {
	log   *Log
	chain []int64 // by slot: the offset expected next; -1 unknown
	last  []int64 // by slot: latest time
	marks []position
	lossy *rebuild // the latest segment with a range that could not be read
}

// recover reads the folder and leaves the log ready to run.
func (l *Log) recover() error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return rapport.Errorf(rapport.Internal, "list %s: %w", l.dir, err)
	}
	if l.id, l.shape, err = openMeta(l.fs, l.dir, names, l.opts.Partitions); err != nil {
		return err
	}
	l.write = writer{done: make(chan struct{}), encoder: newEncoder(l.shape), seq: 1}
	l.parts = make([]partition, l.shape.slots())
	l.tail = newTail(l.opts.TailBytes, l.shape.slots())
	rc := &recovery{log: l, chain: make([]int64, l.shape.slots()), last: make([]int64, l.shape.slots())}
	if l.write.mark, rc.marks, err = openMark(l.fs, l.dir, l.id, l.shape); err != nil {
		return diskError("open "+markName, l.dir, err)
	}
	if l.floors, err = readFloors(l.fs, l.dir, l.id, l.shape); err != nil {
		if !isFormat(err) || rc.marks == nil {
			return rapport.WithHint(rapport.Errorf(rapport.Internal, "event log: read %s: %w", floorsName, err),
				"restore %s from a backup", filepath.Join(l.dir, floorsName))
		}
		l.log.Error("event log file damaged: what was trimmed is taken from the segments", "file", floorsName, "err", err)
		l.damaged.Add(1)
		for i := range rc.chain {
			rc.chain[i] = -1
		}
	}
	ids := l.tidy(names)
	if len(ids) == 0 && rc.marks == nil && l.opts.Begin != nil {
		if err := l.beginAt(); err != nil {
			return err
		}
	}
	if ids, err = l.dropUnborn(ids); err != nil {
		return err
	}
	for i, id := range ids {
		var follower *segmentHeader
		if i+1 < len(ids) && ids[i+1] == id+1 {
			if h, _, err := readHeader(l.fs, segmentPath(l.dir, id+1)); err == nil && h.id == id+1 && h.log == l.id {
				follower = &h
			}
		}
		s, err := rc.open(id, follower, i == len(ids)-1)
		if err != nil {
			return err
		}
		l.segments = append(l.segments, s)
		l.write.seq, l.write.lastID = s.nexts, id
	}
	rc.settle()
	return nil
}

// beginAt has the partitions of a new log begin where they should.
func (l *Log) beginAt() error {
	for slot := range l.floors {
		t, p := l.shape.place(slot)
		l.floors[slot].next = l.opts.Begin(t, p)
	}
	if err := replaceFile(l.fs, filepath.Join(l.dir, floorsName), l.floors.encode(l.id.seed(0))); err != nil {
		return diskError("write "+floorsName, l.dir, err)
	}
	return nil
}

// tidy removes files a crash left unfinished and returns the segment ids.
func (l *Log) tidy(names []string) (ids []uint64) {
	for _, name := range names {
		if id, ok := segmentID(name); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, name := range names {
		orphan := false
		if base, ok := strings.CutSuffix(name, indexSuffix); ok {
			id, isSegment := segmentID(base + segmentSuffix)
			orphan = isSegment && !slices.Contains(ids, id)
		}
		if orphan || strings.HasSuffix(name, newSuffix) {
			_ = l.fs.Remove(filepath.Join(l.dir, name))
		}
	}
	return ids
}

// dropUnborn removes newest segments whose creation was cut short: their
// header was never synced, so no group was ever written to them.
func (l *Log) dropUnborn(ids []uint64) ([]uint64, error) {
	for len(ids) > 0 {
		path := segmentPath(l.dir, ids[len(ids)-1])
		_, size, err := readHeader(l.fs, path)
		switch {
		case err == nil || isFormat(err) && size > segmentHeaderSize:
			return ids, nil
		case !isFormat(err):
			return nil, diskError("read "+filepath.Base(path), l.dir, err)
		}
		if err := l.fs.Remove(path); err != nil {
			return nil, diskError("remove "+filepath.Base(path), l.dir, err)
		}
		ids = ids[:len(ids)-1]
	}
	return ids, nil
}

// readHeader reads the header of a segment file and its size.
func readHeader(fs FS, path string) (h segmentHeader, size int64, err error) {
	f, err := fs.Open(path, os.O_RDONLY)
	if err != nil {
		return h, 0, err
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return h, 0, err
	}
	b := make([]byte, segmentHeaderSize)
	n, err := readAtMost(f, b, 0)
	if err != nil {
		return h, size, err
	}
	h, err = decodeSegmentHeader(b[:n])
	return h, size, err
}

// open opens one segment. follower is the header of the one behind, if known.
func (rc *recovery) open(id uint64, follower *segmentHeader, newest bool) (*segment, error) {
	l := rc.log
	path := segmentPath(l.dir, id)
	h, size, err := readHeader(l.fs, path)
	if err == nil && (h.log != l.id || h.id != id || int(h.partitions) != l.shape.partitions) {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Internal, "event log: %s belongs to another log or place", filepath.Base(path)),
			"move %s out of the folder", path)
	}
	trusted := err == nil
	if isFormat(err) {
		l.report(Damage{File: filepath.Base(path), Bytes: segmentHeaderSize, Reason: "segment header: " + err.Error()})
		h = segmentHeader{log: l.id, id: id, firstSeq: l.write.seq, partitions: uint32(l.shape.partitions)}
	} else if err != nil {
		return nil, diskError("read "+filepath.Base(path), l.dir, err)
	}
	s := l.newSegment(h)
	s.sealed = true
	if newest {
		return s, rc.openNewest(s, size, trusted)
	}
	if trusted {
		err := l.readSummary(s, size)
		if err == nil && follower != nil && s.nexts != follower.firstSeq {
			err = errMalformed
		}
		if err == nil {
			if size > s.end {
				l.cut(s)
			}
			rc.follow(s)
			return s, nil
		}
		if !os.IsNotExist(err) {
			l.log.Warn("event log index unusable, made again from its segment", "file", s.name(), "err", err)
		}
	}
	limit := uint64(0)
	if follower != nil {
		limit = follower.firstSeq
	}
	fresh := l.newSegment(h)
	fresh.sealed = true
	f, err := fresh.acquire(l.fs)
	if err != nil {
		return nil, diskError("open "+fresh.name(), l.dir, err)
	}
	defer fresh.release()
	b := rc.rebuild(fresh, f, size)
	b.limit, b.keepTail = limit, true
	end, err := b.scan()
	if err != nil {
		return nil, diskError("read "+fresh.name(), l.dir, err)
	}
	l.report(b.found...)
	if len(b.regions) > 0 {
		rc.lossy = b
	}
	if limit > end.seq && h.rewrites == 0 { // compacting leaves groups out
		l.report(Damage{File: fresh.name(), Position: end.pos, Bytes: size - end.pos, Reason: "the segment ends early"})
	}
	if size > end.pos {
		l.cut(fresh)
	}
	rc.follow(fresh)
	return fresh, nil
}

// openNewest opens the segment that was being written, cuts off a torn group
// and goes on writing there, unless it is damaged. trusted says whether its
// header is whole.
func (rc *recovery) openNewest(s *segment, size int64, trusted bool) error {
	l := rc.log
	f, err := l.fs.Open(s.path, os.O_RDWR)
	if err != nil {
		return diskError("open "+s.name(), l.dir, err)
	}
	s.adopt(f)
	// An index may be left from a failed sync; what is read now counts.
	if err := l.fs.Remove(indexPath(s.path)); err != nil && !os.IsNotExist(err) {
		s.release()
		return diskError("remove the index of "+s.name(), l.dir, err)
	}
	before := slices.Clone(rc.chain)
	b := rc.rebuild(s, f, size)
	end, err := b.scan()
	if err == nil && end.torn && rc.lacks(b.chain) {
		// The mark knows records that are not there: no torn group but
		// damage to acknowledged ones.
		h := s.segmentHeader
		clean := l.newSegment(h)
		s.spans, s.entries = clean.spans, clean.entries
		copy(rc.chain, before)
		b = rc.rebuild(s, f, size)
		b.keepTail = true
		end, err = b.scan()
	}
	if err != nil {
		s.release()
		return diskError("read "+s.name(), l.dir, err)
	}
	if len(b.found) > 0 || rc.lacks(b.chain) || !trusted {
		b.fill(rc.marks)
		l.report(b.found...)
		rc.follow(s)
		s.release() // stays sealed; the next group begins a new segment
		return nil
	}
	if end.torn || size > end.pos {
		l.log.Warn("event log: an unfinished group was cut off", "file", s.name(), "position", end.pos, "bytes", size-end.pos)
		if err := f.Truncate(end.pos); err != nil {
			s.release()
			return diskError("repair "+s.name(), l.dir, err)
		}
	}
	if err := l.harden(s, f, end); err != nil {
		s.release()
		return diskError("sync "+s.name(), l.dir, err)
	}
	rc.follow(s)
	s.sealed = false
	l.write.segment, l.write.file = s, f
	return nil
}

// harden makes durable what is about to be shown to readers: the process that
// wrote the last group may have ended before its sync, or the sync may have
// failed and the kernel may believe the pages clean. So they are written again.
func (l *Log) harden(s *segment, f File, end scanEnd) error {
	for _, r := range []region{{0, segmentHeaderSize}, end.last} {
		b := make([]byte, r.end-r.pos)
		if _, err := readFull(f, b, r.pos); err != nil {
			return err
		}
		if _, err := f.WriteAt(b, r.pos); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

// lacks says whether the mark knows of records beyond the chain.
func (rc *recovery) lacks(chain []int64) bool {
	for slot, m := range rc.marks {
		if m.next > max(chain[slot], rc.log.floorAt(slot).next) {
			return true
		}
	}
	return false
}

// follow checks that a segment continues the ones before and takes it in.
func (rc *recovery) follow(s *segment) {
	for slot, sp := range s.spans {
		if sp.first == sp.next {
			continue
		}
		if e := rc.expected(slot); e >= 0 && sp.first > e {
			rc.missing(slot, e, sp.first, s.name(), "the segment before is missing")
		}
		rc.chain[slot], rc.last[slot] = sp.next, max(rc.last[slot], sp.last)
	}
}

// missing reports records that no segment read so far holds. If one of them has
// an unreadable range, they are taken to have stood there.
func (rc *recovery) missing(slot int, first, next int64, file, reason string) {
	if b := rc.lossy; b != nil {
		if sp := b.segment.spans[slot]; sp.first == sp.next || sp.next == first {
			before := len(b.found)
			b.chain[slot] = first
			b.gap(slot, next)
			rc.log.report(b.found[before:]...)
			return
		}
	}
	t, p := rc.log.shape.place(slot)
	rc.log.report(Damage{Topic: t, Partition: p, First: first, Next: next, File: file, Reason: reason})
}

// expected returns the offset a slot goes on with, -1 if unknown.
func (rc *recovery) expected(slot int) int64 {
	return max(rc.chain[slot], rc.log.floorAt(slot).next)
}

// floorAt returns the floor of a slot, -1 if the floors are unknown.
func (l *Log) floorAt(slot int) position {
	if l.floors == nil {
		return position{-1, 0}
	}
	return l.floors[slot]
}

// settle derives the bounds of all partitions.
func (rc *recovery) settle() {
	l := rc.log
	for slot := range l.parts {
		p, lane := &l.parts[slot], &l.write.encoder.lanes[slot]
		fl := l.floorAt(slot)
		next, last := max(0, rc.chain[slot], fl.next), max(rc.last[slot], fl.last)
		if rc.marks != nil {
			if m := rc.marks[slot]; m.next > next {
				rc.missing(slot, next, m.next, markName, "acknowledged records are missing")
				next = m.next
			}
			last = max(last, rc.marks[slot].last)
		}
		p.first, p.next = fl.next, next
		if l.floors == nil {
			p.first = next
			for _, s := range l.segments {
				if sp := s.spans[slot]; sp.first < sp.next {
					p.first = sp.first
					break
				}
			}
		}
		lane.next, lane.last = next, last
	}
	if l.floors == nil {
		l.floors = make(floors, len(l.parts))
		for slot := range l.parts {
			l.floors[slot] = position{l.parts[slot].first, 0}
		}
	}
}

// report logs damage met without a caller to return it to.
func (l *Log) report(found ...Damage) {
	for _, d := range found {
		l.damaged.Add(1)
		l.log.Error("event log damaged", "err", error(d))
	}
}

// rebuild scans a segment and fills its spans and entries. Frames that are
// lost get an entry that points at the damage, so that reading them fails
// there.
type rebuild struct {
	scanner
	log     *Log
	segment *segment
	chain   []int64
	regions []region
	found   []Damage
}

type region struct{ pos, end int64 }

func (rc *recovery) rebuild(s *segment, f File, size int64) *rebuild {
	chain := make([]int64, len(rc.chain))
	for slot := range chain {
		chain[slot] = rc.expected(slot)
	}
	return rc.log.newRebuild(s, f, size, chain)
}

func (l *Log) newRebuild(s *segment, f File, size int64, chain []int64) *rebuild {
	b := &rebuild{log: l, segment: s, chain: chain}
	b.scanner = scanner{
		file: f, size: size, seed: s.seed, shape: l.shape, firstSeq: s.firstSeq, frame: b.add,
		lost: b.lose,
	}
	return b
}

func (b *rebuild) scan() (scanEnd, error) {
	end, err := b.run()
	b.segment.end, b.segment.nexts = end.pos, end.seq
	return end, err
}

// add takes a frame in.
func (b *rebuild) add(f scannedFrame) error {
	s := b.segment
	if f.err != nil {
		f.last = s.spans[f.slot].last
		b.note(f.slot, f.first, f.next(), f.pos, int64(f.size), f.err.Error())
	}
	sp := s.spans[f.slot]
	if e := b.chain[f.slot]; e >= 0 && f.first < e && sp.first < sp.next {
		return nil // a second copy of what is there
	}
	b.gap(f.slot, f.first)
	s.add(f.slot, entry{f.first, uint32(f.pos), f.size}, f.next(), f.last)
	b.chain[f.slot] = f.next()
	return nil
}

// gap has the records missing before offset first point at the last range
// that could not be read.
func (b *rebuild) gap(slot int, first int64) {
	e := b.chain[slot]
	if e < 0 || len(b.regions) == 0 {
		return
	}
	if e = max(e, b.log.floorAt(slot).next); e >= first {
		return
	}
	s := b.segment
	r := b.regions[len(b.regions)-1]
	b.note(slot, e, first, r.pos, r.end-r.pos, "no readable group")
	s.add(slot, entry{e, uint32(r.pos), uint32(r.end - r.pos)}, first, s.spans[slot].last)
	b.chain[slot] = first
}

func (b *rebuild) note(slot int, first, next, pos, size int64, reason string) {
	t, p := b.log.shape.place(slot)
	b.found = append(b.found, Damage{
		Topic: t, Partition: p, First: first, Next: next, File: b.segment.name(),
		Position: pos, Bytes: size, Reason: reason,
	})
}

// lose notes a range that could not be read.
func (b *rebuild) lose(pos, end int64) error {
	b.regions = append(b.regions, region{pos, end})
	b.found = append(b.found, Damage{File: b.segment.name(), Position: pos, Bytes: end - pos, Reason: "no readable group"})
	return nil
}

// fill makes records beyond the end of the scan, which the mark knows, point
// at the damage.
func (b *rebuild) fill(marks []position) {
	for slot, m := range marks {
		b.gap(slot, m.next)
	}
}

// rescan returns the entries of a sealed segment read from the segment itself.
func (l *Log) rescan(s *segment) ([][]entry, error) {
	f, err := s.acquire(l.fs)
	if err != nil {
		return nil, err
	}
	defer s.release()
	chain := make([]int64, l.shape.slots())
	for slot := range chain {
		chain[slot] = -1
		if sp := s.spans[slot]; sp.first < sp.next {
			chain[slot] = sp.first
		}
	}
	fresh := l.newSegment(s.segmentHeader)
	b := l.newRebuild(fresh, f, s.end, chain)
	b.limit, b.keepTail = s.nexts, true
	if _, err := b.scan(); err != nil {
		return nil, err
	}
	for slot, sp := range s.spans {
		b.gap(slot, sp.next)
	}
	return fresh.entries, nil
}
