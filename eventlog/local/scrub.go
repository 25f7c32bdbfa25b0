package local

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Scrub erases the records of a topic for which drop returns true: readers get
// them with Kind 0 and no Data from then on, at the same offset and time. When
// it returns nil nothing of them is left in the log's files or memory; readers
// may still hold what they were given before. It first seals the open segment,
// and covers what was durable then. drop is called once for every record not
// erased yet and must not keep its Data.
//
// After a crash in between each file is either the old or the new one, so
// Scrub is simply called again. Kinds: Invalid (no such topic), Unavailable
// (disk full: room for one more segment is needed; closed), Internal (damage:
// that segment stays as it is while the others are scrubbed), or ctx.Err().
func (l *Log) Scrub(ctx context.Context, t eventlog.Topic, drop func(eventlog.Record) bool) (erased int, err error) {
	if l.shape.of(t) == 0 {
		return 0, rapport.Errorf(rapport.Invalid, "scrub: there is no topic %d", t)
	}
	l.maintain.Lock()
	defer l.maintain.Unlock()
	if err := l.Seal(); err != nil {
		return 0, err
	}
	segments, _, err := l.all()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, s := range segments {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		l.mu.Lock()
		sealed, closed := s.sealed, l.closed
		l.mu.Unlock()
		if closed {
			errs = append(errs, closedError())
			break
		}
		if !sealed || !l.holds(s, t) {
			continue
		}
		n, err := l.rewriteSegment(s, &rewrite{topic: t, drop: drop})
		erased += n
		if err != nil {
			errs = append(errs, err)
		}
	}
	l.erased.Add(int64(erased))
	// What readers find in memory must go too. A log that is closing drops it
	// anyway.
	_ = l.do(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tail.clear()
		return nil
	})
	return erased, errors.Join(errs...)
}

// holds says whether a segment has records of a topic.
func (l *Log) holds(s *segment, t eventlog.Topic) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for slot, sp := range s.spans {
		if of, _ := l.shape.place(slot); of == t && sp.first < sp.next {
			return true
		}
	}
	return false
}

// rewrite copies a segment group by group and leaves out the frames of skipped
// partitions and the data of dropped records. The copy begins with the first
// group that changes.
type rewrite struct {
	log     *Log
	old     *segment
	oldFile File
	skip    func(slot int) bool        // nil for none
	topic   eventlog.Topic             // whose records drop sees
	drop    func(eventlog.Record) bool // nil for none

	new    *segment
	file   File // nil until something is dropped
	erased int

	// The group in hand.
	header  groupHeader
	frames  []frame
	body    []byte
	changed bool
	records []eventlog.Record
}

// rewriteSegment puts a rewritten file in the place of a sealed segment, if
// anything changes, and returns how many records lost their data. maintain is
// held.
func (l *Log) rewriteSegment(s *segment, w *rewrite) (int, error) {
	f, err := s.acquire(l.fs)
	if err != nil {
		return 0, diskError("open "+s.name(), l.dir, err)
	}
	defer s.release()
	h := s.segmentHeader
	h.rewrites++
	w.log, w.old, w.oldFile, w.new = l, s, f, l.newSegment(h)
	sc := scanner{
		file: f, size: s.end, seed: s.seed, shape: l.shape, firstSeq: s.firstSeq, limit: s.nexts, keepTail: true,
		group: w.begin, frame: w.add, lost: func(pos, end int64) error {
			return l.damageError(Damage{File: s.name(), Position: pos, Bytes: end - pos, Reason: "no readable group"})
		},
	}
	_, err = sc.run()
	if err == nil {
		err = w.flush()
	}
	path := s.path + newSuffix
	if err == nil && w.file != nil {
		err = w.file.Sync()
	}
	if w.file != nil {
		if e := w.file.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = l.fs.Rename(path, s.path)
		}
		if err != nil {
			_ = l.fs.Remove(path)
		}
	}
	switch {
	case err != nil && rapport.KindOf(err) == rapport.Internal && rapport.HintOf(err) == "":
		return 0, diskError("rewrite "+s.name(), l.dir, err)
	case err != nil || w.file == nil:
		return 0, err
	}
	w.replace()
	if err := l.fs.SyncDir(l.dir); err != nil {
		return w.erased, diskError("rewrite "+s.name(), l.dir, err)
	}
	return w.erased, nil
}

// replace has the log use the new file. Readers of the old one notice.
func (w *rewrite) replace() {
	l, s := w.log, w.new
	s.sealed, s.nexts = true, w.old.nexts
	l.mu.Lock()
	if i := slices.Index(l.segments, w.old); i >= 0 {
		l.segments[i] = s
	}
	w.old.retired.Store(true)
	l.mu.Unlock()
	l.kick()
}

func (w *rewrite) begin(h groupHeader) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.header, w.frames, w.body, w.changed = h, w.frames[:0], w.body[:0], false
	return nil
}

func (w *rewrite) add(f scannedFrame) (err error) {
	if f.err != nil {
		t, p := w.log.shape.place(f.slot)
		return w.log.damageError(Damage{
			Topic: t, Partition: p, First: f.first, Next: f.next(), File: w.old.name(),
			Position: f.pos, Bytes: int64(f.size), Reason: f.err.Error(),
		})
	}
	if w.skip != nil && w.skip(f.slot) {
		w.changed = true
		return nil
	}
	w.frames = append(w.frames, f.frame)
	if t, _ := w.log.shape.place(f.slot); t != w.topic || w.drop == nil {
		w.body = append(w.body, f.bytes...)
		return nil
	}
	if w.records, err = appendRecords(w.records[:0], f.bytes, f.frame, f.first); err != nil {
		return err
	}
	dropped := 0
	for i := range w.records {
		r := &w.records[i]
		if (r.Kind != 0 || len(r.Data) > 0) && w.drop(*r) {
			r.Kind, r.Data = 0, nil
			dropped++
		}
	}
	if dropped == 0 {
		w.body = append(w.body, f.bytes...)
		return nil
	}
	w.erased += dropped
	w.changed = true
	start := len(w.body)
	w.body = append(w.body, f.bytes...) // long enough, as nothing grows
	b := w.body[start:]
	at, prev := frameHeaderSize, f.time
	// The records refer to f.bytes, not to b.
	for _, r := range w.records {
		at += putRecord(b[at:], r.Time-prev, r.Kind, r.Data)
		prev = r.Time
	}
	f.size = uint32(at)
	f.put(b[:at], w.old.seed)
	w.body = w.body[:start+at]
	w.frames[len(w.frames)-1] = f.frame
	return nil
}

// flush writes the group in hand.
func (w *rewrite) flush() error {
	pos := w.new.end
	if len(w.frames) == 0 {
		if w.file != nil || !w.changed {
			return nil
		}
		return w.start(pos)
	}
	h := groupHeader{seq: w.header.seq, pos: uint64(pos), frames: uint32(len(w.frames))}
	h.size = uint32(h.bodyStart() + len(w.body))
	at := pos + int64(h.bodyStart())
	for _, f := range w.frames {
		w.new.add(w.log.shape.slotOfKey(f.key), entry{f.first, uint32(at), f.size}, f.next(), f.last)
		at += int64(f.size)
	}
	w.new.end = pos + int64(h.size)
	if w.file == nil && !w.changed {
		return nil
	}
	if w.file == nil {
		if err := w.start(pos); err != nil {
			return err
		}
	}
	b := make([]byte, h.bodyStart(), h.size)
	for i, f := range w.frames {
		directoryEntry{key: f.key, size: f.size, count: f.count, first: f.first}.put(b[groupHeaderSize+i*directoryEntrySize:])
	}
	h.put(b, w.old.seed)
	_, err := w.file.WriteAt(append(b, w.body...), pos)
	return err
}

// start makes the new file and copies what stays as it is.
func (w *rewrite) start(end int64) error {
	f, err := w.log.fs.Open(w.old.path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	w.file = f
	if _, err := f.WriteAt(w.new.encode(), 0); err != nil {
		return err
	}
	return copyRange(f, w.oldFile, segmentHeaderSize, end)
}

// copyRange copies the bytes from pos to end to the same place.
func copyRange(to, from File, pos, end int64) error {
	b := make([]byte, min(scanWindow, max(0, end-pos)))
	for pos < end {
		n := min(int64(len(b)), end-pos)
		if _, err := readFull(from, b[:n], pos); err != nil {
			return err
		}
		if _, err := to.WriteAt(b[:n], pos); err != nil {
			return err
		}
		pos += n
	}
	return nil
}
