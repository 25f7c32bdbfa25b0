package local

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Trim allows the records of a partition below an offset to go. A segment is
// deleted once every record in it may go and retention does not keep it, and
// compacted in the background once three quarters may; the one being written
// never is. It deletes files before it returns, which may
// take some milliseconds. What may go is not remembered across restarts: who
// trims, trims again. Kinds: Invalid (no such partition), Unavailable (disk
// full), Internal.
func (l *Log) Trim(t eventlog.Topic, p int32, below int64) error {
	slot := l.shape.slot(t, p)
	if slot < 0 {
		return rapport.Errorf(rapport.Invalid, "trim: there is no partition %d of topic %d", p, t)
	}
	now := l.clock.Now()
	l.mu.Lock()
	part := &l.parts[slot]
	part.trim = max(part.trim, min(below, part.next))
	aged := false
	if n := len(l.segments); n > 0 && !l.closed {
		s := l.segments[n-1]
		aged = !s.sealed && !s.empty() && now.UnixMilli()-s.created > l.opts.SegmentAge.Milliseconds()
	}
	l.mu.Unlock()
	if aged {
		if err := l.Seal(); err != nil {
			return err
		}
	}
	if !l.maintain.TryLock() {
		l.kick() // whoever is at work is followed by keep
		return nil
	}
	defer l.maintain.Unlock()
	if err := l.deleteTrimmed(now); err != nil {
		return err
	}
	if s, _ := l.mostlyTrimmed(now); s != nil {
		l.kick()
	}
	return nil
}

// deleteTrimmed deletes the segments that are not needed. maintain is held.
func (l *Log) deleteTrimmed(now time.Time) error {
	doomed, fl := l.doomed(now)
	if len(doomed) == 0 {
		return nil
	}
	if err := l.raise(fl); err != nil {
		return err
	}
	l.mu.Lock()
	for _, s := range doomed {
		s.retired.Store(true)
	}
	l.segments = slices.DeleteFunc(l.segments, func(s *segment) bool { return s.retired.Load() })
	l.mu.Unlock()
	for _, s := range doomed {
		_ = l.fs.Remove(indexPath(s.path)) // it may not have been written yet
		if err := l.fs.Remove(s.path); err != nil {
			return diskError("remove "+s.name(), l.dir, err)
		}
	}
	return nil
}

// doomed returns the segments to delete and the floors that follow.
func (l *Log) doomed(now time.Time) (doomed []*segment, fl floors) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.segments) == 0 {
		return nil, nil
	}
	total := l.size()
	fl = slices.Clone(l.floors)
	bounding := false // the segment before relies on this one's first group
	for _, s := range l.segments[:len(l.segments)-1] {
		if !s.sealed || bounding || l.retained(s, now, total) || l.needed(s) > 0 {
			bounding = s.residue
			continue
		}
		total -= s.end
		doomed = append(doomed, s)
		for slot, sp := range s.spans {
			if sp.next > fl[slot].next {
				fl[slot] = position{sp.next, sp.last}
			}
		}
	}
	return doomed, fl
}

// raise makes floors durable, then valid.
func (l *Log) raise(fl floors) error {
	if err := replaceFile(l.fs, filepath.Join(l.dir, floorsName), fl.encode(l.id.seed(0))); err != nil {
		return diskError("write "+floorsName, l.dir, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floors = fl
	for i := range l.parts {
		l.parts[i].first = max(l.parts[i].first, fl[i].next)
	}
	return nil
}

// size returns the bytes of all segments. mu is held.
func (l *Log) size() (total int64) {
	for _, s := range l.segments {
		total += s.end
	}
	return total
}

// retained says whether the options keep a segment although its records may
// go. mu is held.
func (l *Log) retained(s *segment, now time.Time, total int64) bool {
	large := l.opts.RetainBytes > 0 && total > l.opts.RetainBytes
	return s.newest() > now.Add(-l.opts.RetainAge).UnixMilli() && !large
}

// needed returns the bytes of a segment in partitions that still need some of
// them. mu is held.
func (l *Log) needed(s *segment) (bytes int64) {
	for slot, sp := range s.spans {
		if sp.first < sp.next && sp.next > l.parts[slot].trim {
			bytes += sp.bytes
		}
	}
	return bytes
}

// mostlyTrimmed returns a segment of which at most a quarter is needed, and the
// floors that hold once the rest has gone. Without compacting those, one record
// of a topic that is kept for years would keep each segment.
func (l *Log) mostlyTrimmed(now time.Time) (*segment, floors) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.segments) == 0 {
		return nil, nil
	}
	total := l.size()
	for _, s := range l.segments[:len(l.segments)-1] {
		if !s.sealed || s.noCompact || l.retained(s, now, total) {
			continue
		}
		if n := l.needed(s); n == 0 || n > s.end/4 { // with none it will be deleted
			continue
		}
		fl := slices.Clone(l.floors)
		for slot, sp := range s.spans {
			if sp.next > fl[slot].next && sp.next <= l.parts[slot].trim {
				fl[slot] = position{sp.next, sp.last}
			}
		}
		return s, fl
	}
	return nil, nil
}

// compactOne rewrites one segment without the partitions nobody needs.
func (l *Log) compactOne() bool {
	l.maintain.Lock()
	defer l.maintain.Unlock()
	s, fl := l.mostlyTrimmed(l.clock.Now())
	if s == nil {
		return false
	}
	err := l.raise(fl)
	if err == nil {
		_, err = l.rewriteSegment(s, &rewrite{skip: func(slot int) bool { return s.spans[slot].next <= fl[slot].next }})
	}
	if err == nil {
		l.log.Info("event log segment compacted", "file", s.name(), "bytes", s.end)
		return true
	}
	l.log.Warn("event log segment not compacted", "file", s.name(), "err", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	s.noCompact = true // until the log is opened again
	return true
}

// Since returns about when the oldest record stored of a topic was appended: it
// is not older. The zero time if there is none.
func (l *Log) Since(t eventlog.Topic) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		for p := range int32(l.shape.of(t)) {
			slot := l.shape.slot(t, p)
			if sp := s.spans[slot]; sp.first < sp.next && sp.next > l.parts[slot].first {
				return rapport.Time(s.created)
			}
		}
	}
	return time.Time{}
}

// Stats are figures of a log since it was opened, except sizes, which are of
// now.
type Stats struct {
	Bytes    int64 // of all segments
	Segments int
	Queued   int64 // bytes submitted and not durable yet
	Tail     int64 // bytes of records in memory

	Records int64 // appended
	Groups  int64 // group commits that succeeded
	Failed  int64 // group commits that failed
	Syncs   int64
	Damaged int64 // damage met, by readers or when opening
	Erased  int64 // records erased by Scrub
}

// Stats returns the figures.
func (l *Log) Stats() Stats {
	st := Stats{
		Queued: l.queue.queued(), Records: l.records.Load(), Groups: l.groups.Load(), Failed: l.failed.Load(),
		Syncs: l.syncs.Load(), Damaged: l.damaged.Load(), Erased: l.erased.Load(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	st.Segments, st.Bytes, st.Tail = len(l.segments), l.size(), int64(l.tail.held)
	return st
}
