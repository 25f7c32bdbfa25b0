package local

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Trim allows the records of a partition below an offset to go. A segment is
// deleted once every record in it may go and retention does not keep it; the
// one being written never is. It deletes files before it returns, which may
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
		return nil // a later Trim will find the same segments
	}
	defer l.maintain.Unlock()
	return l.deleteTrimmed(now)
}

// deleteTrimmed deletes the segments that are not needed. maintain is held.
func (l *Log) deleteTrimmed(now time.Time) error {
	doomed, fl := l.doomed(now)
	if len(doomed) == 0 {
		return nil
	}
	if err := replaceFile(l.fs, filepath.Join(l.dir, floorsName), fl.encode(l.id.seed(0))); err != nil {
		return diskError("write "+floorsName, l.dir, err)
	}
	l.mu.Lock()
	l.floors = fl
	for i := range l.parts {
		l.parts[i].first = max(l.parts[i].first, fl[i].next)
	}
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
	total := int64(0)
	for _, s := range l.segments {
		total += s.end
	}
	fl = slices.Clone(l.floors)
	young := now.Add(-l.opts.RetainAge).UnixMilli()
	for _, s := range l.segments[:len(l.segments)-1] {
		large := l.opts.RetainBytes > 0 && total > l.opts.RetainBytes
		if !s.sealed || s.newest() > young && !large || !l.trimmable(s) {
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

func (l *Log) trimmable(s *segment) bool {
	for slot, sp := range s.spans {
		if sp.first < sp.next && sp.next > l.parts[slot].trim {
			return false
		}
	}
	return true
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
	st.Segments, st.Tail = len(l.segments), int64(l.tail.held)
	for _, s := range l.segments {
		st.Bytes += s.end
	}
	return st
}
