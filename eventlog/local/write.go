package local

import (
	"os"
	"runtime"
)

// writer is the state of the goroutine that appends.
type writer struct {
	done    chan struct{} // closed when it has ended
	encoder *encoder
	mark    *mark
	segment *segment // open for writing; nil after a failed sync or before the first group
	file    File
	seq     uint64 // of the next group
	lastID  uint64 // of the newest segment
	busy    bool   // the group before had several submissions
	ragged  bool   // bytes of a failed group were cut off, perhaps not durably
}

// run writes groups until the queue is closed and empty.
func (l *Log) run() {
	defer l.running.Done()
	defer close(l.write.done)
	for {
		l.queue.wait()
		if l.write.busy {
			// Those just acknowledged are about to submit again: let
			// them, so that one sync serves all. This costs no time when
			// nobody is ready to run.
			runtime.Gosched()
		}
		g := l.queue.take()
		if g == nil {
			break
		}
		if g.task != nil {
			l.queue.finish(g, g.task())
			continue
		}
		l.write.busy = len(g.submissions) > 1
		err := l.commit(g)
		if err != nil {
			l.failed.Add(1)
		}
		l.queue.finish(g, err)
	}
	_ = l.write.mark.file.Sync() // only sharpens the next recovery
}

// commit makes a group durable and visible, or fails and leaves the log as it
// was.
func (l *Log) commit(g *group) error {
	w := &l.write
	now := l.clock.Now()
	size := w.encoder.layout(g.submissions, now.UnixMilli())
	if s := w.segment; s != nil && !s.empty() &&
		(s.end+int64(size) > l.opts.SegmentBytes || now.UnixMilli()-s.created > l.opts.SegmentAge.Milliseconds()) {
		l.seal(false)
	}
	if w.segment == nil {
		if err := l.begin(now.UnixMilli()); err != nil {
			return diskError("begin a segment", l.dir, err)
		}
	}
	s := w.segment
	b := l.tail.reserve(size)
	w.encoder.encode(b, g.submissions, w.seq, s.end, s.seed)
	if _, err := w.file.WriteAt(b, s.end); err != nil {
		l.tail.undo(size)
		w.ragged = true
		if w.file.Truncate(s.end) != nil {
			l.abandon()
		}
		return diskError("append", l.dir, err)
	}
	l.syncs.Add(1)
	if err := w.file.Sync(); err != nil {
		l.tail.undo(size)
		l.abandon()
		return diskError("sync", l.dir, err)
	}
	w.encoder.accept()
	w.ragged = false
	w.seq++
	if err := w.mark.write(w.encoder.lanes); err != nil {
		l.log.Debug("event log mark not written", "err", err)
	}
	l.publish(b)
	l.groups.Add(1)
	l.records.Add(int64(g.records))
	return nil
}

// publish shows the group just synced to the readers.
func (l *Log) publish(b []byte) {
	w := &l.write
	s := w.segment
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail.settle(b)
	for _, slot := range w.encoder.touched {
		lane := &w.encoder.lanes[slot]
		p := &l.parts[slot]
		s.add(int(slot), entry{p.next, uint32(s.end) + uint32(lane.start), uint32(lane.size)}, lane.next, lane.last)
		l.tail.push(int(slot), p.next, b[lane.start:lane.start+lane.size:lane.start+lane.size])
		p.next = lane.next
		l.wake(p)
	}
	s.end += int64(len(b))
	s.nexts = w.seq
}

// wake tells the readers waiting for a partition to look again.
func (l *Log) wake(p *partition) {
	for i, r := range p.waiting {
		p.waiting[i] = nil
		r.waiting = false
		select {
		case r.wake <- struct{}{}:
		default: // it has a wake-up already
		}
	}
	p.waiting = p.waiting[:0]
}

// begin makes the next segment file, durable with its name.
func (l *Log) begin(now int64) (err error) {
	w := &l.write
	s := l.newSegment(segmentHeader{
		log: l.id, id: w.lastID + 1, firstSeq: w.seq, partitions: uint32(l.shape.partitions), created: now,
	})
	f, err := l.fs.Open(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = l.fs.Remove(s.path)
		}
	}()
	if _, err = f.WriteAt(s.encode(), 0); err != nil {
		return err
	}
	l.syncs.Add(1)
	if err = f.Sync(); err != nil {
		return err
	}
	if err = l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	s.adopt(f)
	w.segment, w.file, w.lastID = s, f, s.id
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	return nil
}

// seal ends the open segment. A suspect one is read again and cut to its end
// before its index is written.
func (l *Log) seal(suspect bool) {
	w := &l.write
	s := w.segment
	if s == nil {
		return
	}
	suspect = suspect || w.ragged
	w.segment, w.file, w.ragged = nil, nil, false
	l.mu.Lock()
	s.sealed, s.suspect, s.residue = true, suspect, suspect
	l.mu.Unlock()
	s.release()
	l.kick()
}

// abandon ends the open segment after a sync failed: what the kernel then
// keeps of the group is unknown, and syncing again would prove nothing. Groups
// synced before stay; the next segment's first sequence number says that
// nothing behind them counts.
func (l *Log) abandon() {
	s := l.write.segment
	if err := l.write.file.Truncate(s.end); err != nil {
		l.log.Warn("event log segment not cut to its last whole group", "file", s.name(), "err", err)
	}
	l.log.Error("event log segment closed after a failed write or sync", "file", s.name(), "position", s.end)
	l.seal(true)
}

// Seal ends the open segment, if it holds any record, so that the next group
// begins a new file.
func (l *Log) Seal() error { return l.sealThen(nil) }

// sealThen seals and runs a task of the writer.
func (l *Log) sealThen(task func()) error {
	return l.do(func() error {
		if s := l.write.segment; s != nil && !s.empty() {
			l.seal(false)
		}
		if task != nil {
			task()
		}
		return nil
	})
}
