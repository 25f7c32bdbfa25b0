package local

import (
	"context"
	"errors"

	"github.com/rapport-engine/rapport/eventlog"
)

// Verify reads every byte of the log that is durable when it gets there and
// returns what cannot be trusted; none means that every acknowledged record can
// be read. progress, if not nil, hears from time to time how many of how many
// bytes are done. Appending and reading go on meanwhile, Scrub and Snapshot
// wait. It ends early with ctx.Err().
func (l *Log) Verify(ctx context.Context, progress func(done, total int64)) (found []Damage, err error) {
	l.maintain.Lock()
	defer l.maintain.Unlock()
	segments, total, err := l.all()
	if err != nil {
		return nil, err
	}
	done, base := int64(0), int64(0)
	chain := make([]int64, l.shape.slots())
	for _, s := range segments {
		found = append(found, l.missingBefore(s, chain)...)
		damage, err := l.verifySegment(s, func(pos int64) error {
			done = min(base+pos, total)
			if progress != nil {
				progress(done, total)
			}
			return ctx.Err()
		})
		found = append(found, damage...)
		if err != nil {
			return found, err
		}
		base = done
	}
	if progress != nil {
		progress(total, total)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for slot, next := range chain {
		if first := l.parts[slot].first; next < first {
			next = first
		}
		// Records appended since are above; lost ones were counted in when
		// the log was opened and lie below any segment's span.
		for _, s := range l.segments {
			if sp := s.spans[slot]; sp.first <= next && sp.next > next {
				next = sp.next
			}
		}
		if end := l.parts[slot].next; next < end {
			t, p := l.shape.place(slot)
			found = append(found, Damage{Topic: t, Partition: p, First: next, Next: end, File: markName, Reason: "acknowledged records are missing"})
		}
	}
	return found, nil
}

// all returns the segments as they are now.
func (l *Log) all() (segments []*segment, total int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, 0, closedError()
	}
	for _, s := range l.segments {
		segments = append(segments, s)
		total += s.end
	}
	return segments, total, nil
}

// missingBefore says which records should stand before a segment and are in
// none, and moves chain to its end.
func (l *Log) missingBefore(s *segment, chain []int64) (found []Damage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for slot, sp := range s.spans {
		if sp.first == sp.next {
			continue
		}
		if e := max(chain[slot], l.floors[slot].next); sp.first > e {
			t, p := l.shape.place(slot)
			found = append(found, Damage{Topic: t, Partition: p, First: e, Next: sp.first, File: s.name(), Reason: "the segment before is missing"})
		}
		chain[slot] = sp.next
	}
	return found
}

// verifySegment reads one segment through and returns its damage. block, if
// not nil, hears the position before every group and may end the reading.
func (l *Log) verifySegment(s *segment, block func(pos int64) error) ([]Damage, error) {
	f, err := s.acquire(l.fs)
	if err != nil {
		return nil, diskError("open "+s.name(), l.dir, err)
	}
	defer s.release()
	l.mu.Lock()
	end, nexts, spans := s.end, s.nexts, append([]span(nil), s.spans...)
	l.mu.Unlock()
	chain := make([]int64, len(spans))
	for slot, sp := range spans {
		chain[slot] = -1
		if sp.first < sp.next {
			chain[slot] = sp.first
		}
	}
	b := l.newRebuild(l.newSegment(s.segmentHeader), f, end, chain)
	b.keepTail, b.limit, b.block = true, nexts, block
	var records []eventlog.Record
	b.frame = func(fr scannedFrame) error {
		if fr.err == nil {
			records, fr.err = appendRecords(records[:0], fr.bytes, fr.frame, fr.first)
		}
		return b.add(fr)
	}
	head := make([]byte, segmentHeaderSize)
	if _, err := readFull(f, head, 0); err != nil {
		return nil, diskError("read "+s.name(), l.dir, err)
	}
	if _, err := decodeSegmentHeader(head); err != nil {
		b.found = append(b.found, Damage{File: s.name(), Bytes: segmentHeaderSize, Reason: "segment header: " + err.Error()})
	}
	if size, err := f.Size(); err != nil {
		return nil, diskError("read "+s.name(), l.dir, err)
	} else if size < end {
		b.found = append(b.found, Damage{File: s.name(), Position: size, Bytes: end - size, Reason: "the file is too short"})
		b.regions = append(b.regions, region{size, end})
		b.size = size
	}
	if nexts > s.firstSeq { // else there is no group
		if _, err := b.scan(); err != nil {
			if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				err = diskError("read "+s.name(), l.dir, err)
			}
			return b.found, err
		}
	}
	for slot, sp := range spans {
		b.gap(slot, sp.next)
		if e := b.chain[slot]; sp.first < sp.next && e < sp.next {
			b.note(slot, e, sp.next, end, 0, "no readable group")
		}
	}
	return b.found, nil
}
