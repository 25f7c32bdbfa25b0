package local

import (
	"context"
	"errors"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

const (
	// readBytes bounds what one Next returns, one frame excepted.
	readBytes = 256 << 10
	// readGap is how many bytes of other partitions a read may take along:
	// copying them costs less than another call of the system.
	readGap = 4 << 10
)

// errMoved says that a segment was deleted or rewritten meanwhile: look again.
var errMoved = errors.New("segment has gone")

// reader follows one partition: from memory while it keeps up, from the files
// while it does not.
type reader struct {
	log  *Log
	slot int
	at   int64 // offset of the next record to return

	records []eventlog.Record // returned last
	tail    []tailFrame

	segment *segment // held open while reading files
	file    File
	entries []entry // of a sealed segment
	damage  error   // met behind the records returned last

	wake    chan struct{} // capacity 1: one wake-up is enough
	waiting bool          // listed in its partition; guarded by Log.mu
	closed  bool
}

// Reader returns a reader of one partition from an offset on.
func (l *Log) Reader(t eventlog.Topic, p int32, from int64) (eventlog.Reader, error) {
	slot := l.shape.slot(t, p)
	if slot < 0 {
		return nil, rapport.Errorf(rapport.Invalid, "read: there is no partition %d of topic %d", p, t)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	part := &l.parts[slot]
	switch {
	case l.closed:
		return nil, closedError()
	case from < part.first:
		return nil, trimmedError(t, p, from, part.first)
	case from > part.next:
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "read: topic %s partition %d ends at offset %d, before %d", t, p, part.next, from),
			"what remembers this offset is newer than the event log in %s: restore both from one backup", l.dir)
	}
	return &reader{log: l, slot: slot, at: from, wake: make(chan struct{}, 1)}, nil
}

func trimmedError(t eventlog.Topic, p int32, at, first int64) error {
	return rapport.Errorf(rapport.NotFound, "read: topic %s partition %d begins at offset %d, after %d", t, p, first, at)
}

// Next returns the next records.
func (r *reader) Next(ctx context.Context) ([]eventlog.Record, error) {
	if r.closed {
		return nil, rapport.Errorf(rapport.Invalid, "read: the reader is closed")
	}
	// A record left behind here would keep the memory of all its neighbours.
	clear(r.records)
	r.records = r.records[:0]
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ready, err := r.look()
		switch {
		case err != nil:
			r.leave()
			return nil, err
		case !ready:
			select {
			case <-r.wake:
			case <-ctx.Done():
				r.unlist()
				return nil, ctx.Err()
			}
		case len(r.tail) > 0:
			r.leave()
			return r.fromMemory()
		default:
			if records, err := r.fromFile(); !errors.Is(err, errMoved) {
				return records, err
			}
		}
	}
}

// look says whether there are records to return and takes their frames if they
// are in memory. If there are none it lists the reader as waiting.
func (r *reader) look() (ready bool, err error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.parts[r.slot]
	switch {
	case l.closed:
		return false, closedError()
	case r.at < p.first:
		t, partition := l.shape.place(r.slot)
		return false, trimmedError(t, partition, r.at, p.first)
	case r.at == p.next:
		if !r.waiting {
			r.waiting = true
			p.waiting = append(p.waiting, r)
		}
		return false, nil
	}
	clear(r.tail)
	r.tail = r.tail[:0]
	size := 0
	for _, f := range l.tail.from(r.slot, r.at) {
		if size += len(f.bytes); size > readBytes && len(r.tail) > 0 {
			break
		}
		r.tail = append(r.tail, f)
	}
	return true, nil
}

func (r *reader) unlist() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.waiting {
		p := &r.log.parts[r.slot]
		p.waiting = slices.DeleteFunc(p.waiting, func(o *reader) bool { return o == r })
		r.waiting = false
	}
}

func (r *reader) fromMemory() (_ []eventlog.Record, err error) {
	for _, t := range r.tail {
		f, err := decodeFrame(t.bytes)
		if err == nil {
			r.records, err = appendRecords(r.records, t.bytes, f, r.at)
		}
		if err != nil { // our own memory: a defect
			return nil, rapport.Errorf(rapport.Internal, "event log: decode from memory at offset %d: %w", t.first, err)
		}
	}
	return r.deliver()
}

// deliver moves on behind the records found.
func (r *reader) deliver() ([]eventlog.Record, error) {
	r.at = r.records[len(r.records)-1].Offset + 1
	return r.records, nil
}

func (r *reader) fromFile() ([]eventlog.Record, error) {
	if err := r.damage; err != nil {
		r.damage = nil // asked again, it is read again
		return nil, err
	}
	if err := r.enter(); err != nil {
		return nil, err
	}
	l, s := r.log, r.segment
	l.mu.Lock()
	entries, next, sealed := r.entries, s.spans[r.slot].next, s.sealed
	if entries == nil && s.entries != nil {
		entries = s.entries[r.slot]
	}
	l.mu.Unlock()
	if entries == nil {
		var err error
		if entries, err = l.entriesOf(s, r.slot); err != nil {
			return nil, err
		}
	}
	if sealed {
		r.entries = entries
	}
	return r.readRun(entries, lookup(entries, r.at), next)
}

// readRun reads the frames from entry i on that lie close together, in one go.
func (r *reader) readRun(entries []entry, i int, next int64) ([]eventlog.Record, error) {
	if i < 0 {
		return nil, r.missing(next)
	}
	start := int64(entries[i].pos)
	end := start + int64(entries[i].size)
	n := i + 1
	for ; n < len(entries); n++ {
		e := entries[n]
		from, to := int64(e.pos), int64(e.pos)+int64(e.size)
		if from < end || from-end > readGap || to-start > readBytes {
			break
		}
		end = to
	}
	buf := make([]byte, end-start)
	got, err := readAtMost(r.file, buf, start)
	if err != nil {
		t, p := r.log.shape.place(r.slot)
		r.log.damaged.Add(1)
		return nil, r.log.damageError(Damage{
			Topic: t, Partition: p, First: entries[i].first, Next: entries[i].first + 1, File: r.segment.name(),
			Position: start, Bytes: end - start, Reason: err.Error(),
		})
	}
	for ; i < n; i++ {
		e := entries[i]
		after := next
		if i+1 < len(entries) {
			after = entries[i+1].first
		}
		b := buf[int64(e.pos)-start:]
		b = b[:min(int(e.size), max(0, got-int(int64(e.pos)-start)))]
		if err := r.decode(b, e, after); err != nil {
			t, p := r.log.shape.place(r.slot)
			r.log.damaged.Add(1)
			err = r.log.damageError(Damage{
				Topic: t, Partition: p, First: e.first, Next: after, File: r.segment.name(),
				Position: int64(e.pos), Bytes: int64(e.size), Reason: err.Error(),
			})
			if len(r.records) == 0 {
				return nil, err
			}
			r.damage = err
			break
		}
	}
	return r.deliver()
}

// decode appends the records of the frame an entry names.
func (r *reader) decode(b []byte, e entry, next int64) error {
	f, err := checkFrame(b, r.segment.seed)
	if err != nil {
		return err
	}
	if f.key != r.log.shape.key(r.slot) || f.first != e.first || f.next() != next {
		return errMalformed
	}
	r.records, err = appendRecords(r.records, b, f, r.at)
	return err
}

// enter opens the segment that holds the next record.
func (r *reader) enter() error {
	l := r.log
	l.mu.Lock()
	if s := r.segment; s != nil {
		if sp := s.spans[r.slot]; !s.retired.Load() && sp.first <= r.at && r.at < sp.next {
			l.mu.Unlock()
			return nil
		}
	}
	var found *segment
	for _, s := range slices.Backward(l.segments) {
		if sp := s.spans[r.slot]; sp.first <= r.at && r.at < sp.next {
			found = s
			break
		}
	}
	next := l.parts[r.slot].next
	l.mu.Unlock()
	r.leave()
	if found == nil {
		return r.missing(next)
	}
	f, err := found.acquire(l.fs)
	if err != nil && found.retired.Load() {
		return errMoved
	}
	if err != nil {
		return diskError("open "+found.name(), l.dir, err)
	}
	r.segment, r.file = found, f
	if p, ok := f.(prefetcher); ok {
		p.Prefetch(0, l.opts.SegmentBytes)
	}
	return nil
}

// missing reports that no segment holds the next record.
func (r *reader) missing(next int64) error {
	l := r.log
	t, p := l.shape.place(r.slot)
	d := Damage{Topic: t, Partition: p, First: r.at, Next: next, Reason: "no segment holds these records"}
	l.mu.Lock()
	for _, s := range l.segments {
		switch sp := s.spans[r.slot]; {
		case sp.first == sp.next:
		case sp.next <= r.at:
			d.File, d.Position = s.name(), s.end
		case sp.first > r.at:
			d.Next = min(d.Next, sp.first)
		}
	}
	l.mu.Unlock()
	l.damaged.Add(1)
	return l.damageError(d)
}

// leave gives the open segment back.
func (r *reader) leave() {
	if r.segment != nil {
		r.segment.release()
		r.segment, r.file, r.entries = nil, nil, nil
	}
}

// Close releases the reader.
func (r *reader) Close() error {
	if !r.closed {
		r.closed = true
		r.unlist()
		r.leave()
	}
	return nil
}
