package local

import "github.com/rapport-engine/rapport/eventlog"

// encoder lays the records of a group out as one frame per partition. Only the
// writer uses it.
type encoder struct {
	shape   geometry
	lanes   []lane  // by slot
	touched []int32 // slots of the group in hand, in order of first record
}

// lane is what the encoder knows of one partition.
type lane struct {
	next int64 // offset of the next record
	last int64 // time of the latest record

	// The frame in hand.
	count int
	size  int   // header included
	start int   // where it begins in the group
	time  int64 // of its first record
	newer int64 // of its last record
	at    int   // where the next record goes
	prev  int64 // time of the record encoded last
}

func newEncoder(shape geometry) *encoder {
	return &encoder{shape: shape, lanes: make([]lane, shape.slots())}
}

// layout gives every record its offset and time and returns the size of the
// group.
func (e *encoder) layout(submissions [][]eventlog.Record, now int64) int {
	for _, s := range e.touched {
		e.lanes[s].count = 0
	}
	e.touched = e.touched[:0]
	for _, records := range submissions {
		for i := range records {
			r := &records[i]
			slot := e.shape.slot(r.Topic, r.Partition)
			l := &e.lanes[slot]
			t := r.Time
			if t == 0 {
				t = now
			}
			if l.count == 0 {
				e.touched = append(e.touched, int32(slot))
				l.size = frameHeaderSize
				t = max(t, l.last)
				l.time, l.newer = t, t
			} else {
				t = max(t, l.newer)
			}
			l.size += recordSize(t-l.newer, len(r.Data))
			r.Time, r.Offset = t, l.next+int64(l.count)
			l.newer = t
			l.count++
		}
	}
	size := groupHeaderSize + len(e.touched)*directoryEntrySize
	for _, s := range e.touched {
		l := &e.lanes[s]
		l.start, l.at, l.prev = size, size+frameHeaderSize, l.time
		size += l.size
	}
	return size
}

// encode writes the group that was laid out; len(b) is its size.
func (e *encoder) encode(b []byte, submissions [][]eventlog.Record, seq uint64, pos int64, seed uint32) {
	for _, records := range submissions {
		for i := range records {
			r := &records[i]
			l := &e.lanes[e.shape.slot(r.Topic, r.Partition)]
			l.at += putRecord(b[l.at:], r.Time-l.prev, r.Kind, r.Data)
			l.prev = r.Time
		}
	}
	for i, s := range e.touched {
		l := &e.lanes[s]
		f := frame{
			key: e.shape.key(int(s)), size: uint32(l.size), count: uint32(l.count),
			first: l.next, time: l.time, last: l.newer,
		}
		f.put(b[l.start:l.start+l.size], seed)
		directoryEntry{key: f.key, size: f.size, count: f.count, first: f.first}.put(b[groupHeaderSize+i*directoryEntrySize:])
	}
	groupHeader{seq: seq, pos: uint64(pos), size: uint32(len(b)), frames: uint32(len(e.touched))}.put(b, seed)
}

// accept makes the group in hand part of the log: what is laid out next comes
// after it.
func (e *encoder) accept() {
	for _, s := range e.touched {
		l := &e.lanes[s]
		l.next += int64(l.count)
		l.last = l.newer
	}
}
