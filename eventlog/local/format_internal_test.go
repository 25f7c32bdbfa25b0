package local

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/eventlog"
)

var testShape = geometry{partitions: 3}

// encodeGroup returns the bytes of one group at a position.
func encodeGroup(records []eventlog.Record, seq uint64, pos int64, seed uint32) []byte {
	e := newEncoder(testShape)
	subs := [][]eventlog.Record{records}
	b := make([]byte, e.layout(subs, 1))
	e.encode(b, subs, seq, pos, seed)
	return b
}

func testRecords() []eventlog.Record {
	return []eventlog.Record{
		{Topic: eventlog.Events, Partition: 1, Kind: 1, Time: 1000, Data: []byte("one")},
		{Topic: eventlog.Control, Kind: 2, Time: 5, Data: []byte{}},
		{Topic: eventlog.Events, Partition: 1, Kind: 3, Time: 900, Data: bytes.Repeat([]byte("x"), 300)},
		{Topic: eventlog.Events, Partition: 1, Kind: 4, Time: 9_000_000_000, Data: []byte("far")},
	}
}

func TestSlotsArePlacesAndBack(t *testing.T) {
	t.Parallel()
	for slot := range testShape.slots() {
		topic, p := testShape.place(slot)
		if got := testShape.slot(topic, p); got != slot {
			t.Errorf("slot %d is %s/%d is slot %d", slot, topic, p, got)
		}
		if got := testShape.slotOfKey(testShape.key(slot)); got != slot {
			t.Errorf("slot %d comes back from its key as %d", slot, got)
		}
	}
	for _, key := range []uint32{0, 1 << 24 * 0, 1<<24 | 3, 2<<24 | 1, 99 << 24, 1<<24 - 1} {
		if got := testShape.slotOfKey(key); got != -1 {
			t.Errorf("key %x is slot %d, want none", key, got)
		}
	}
}

// A frame's checksum depends on its log and segment, so that bytes from
// elsewhere do not pass.
func TestFramesOfAnotherLogOrSegmentDoNotPass(t *testing.T) {
	t.Parallel()
	mine, other := logID{1}, logID{2}
	b := encodeGroup(testRecords(), 1, segmentHeaderSize, mine.seed(7))
	h, err := decodeGroupHeader(b, segmentHeaderSize, testShape.slots())
	if err != nil {
		t.Fatal(err)
	}
	if err := checkGroup(b, h, mine.seed(7)); err != nil {
		t.Error(err)
	}
	for _, seed := range []uint32{other.seed(7), mine.seed(8), 0} {
		if checkGroup(b, h, seed) == nil {
			t.Error("a group passes under another seed")
		}
		if _, err := checkFrame(b[h.bodyStart():], seed); err == nil {
			t.Error("a frame passes under another seed")
		}
	}
	if _, err := decodeGroupHeader(b, segmentHeaderSize+1, testShape.slots()); err == nil {
		t.Error("a group passes in another place")
	}
}

func TestEncodedRecordsComeBack(t *testing.T) {
	t.Parallel()
	records := testRecords()
	b := encodeGroup(records, 1, segmentHeaderSize, 9)
	var got []eventlog.Record
	err := scanBytes(b, 9, func(f scannedFrame) error {
		var err error
		got, err = appendRecords(got, bytes.Clone(f.bytes), f.frame, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []eventlog.Record{records[0], records[2], records[3], records[1]}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("records differ (-want +got):\n%s", d)
	}
	if records[2].Time != 1000 {
		t.Errorf("time %d, want that of the record before", records[2].Time)
	}
}

// scanBytes scans groups that begin behind a segment header.
func scanBytes(groups []byte, seed uint32, visit func(scannedFrame) error) error {
	file := append(make([]byte, segmentHeaderSize), groups...)
	sc := scanner{
		file: bytes.NewReader(file), size: int64(len(file)), seed: seed, shape: testShape, firstSeq: 1,
		frame: visit, lost: func(int64, int64) error { return nil },
	}
	_, err := sc.run()
	return err
}

// FuzzFrame decodes anything as a frame: no crash, no unbounded memory, and
// what decodes encodes to the same bytes' worth of records.
func FuzzFrame(f *testing.F) {
	b := encodeGroup(testRecords(), 1, segmentHeaderSize, 0)
	f.Add(b[groupHeaderSize+2*directoryEntrySize:])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, frameHeaderSize+20))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := decodeFrame(b)
		if err != nil {
			return
		}
		records, err := appendRecords(nil, b, fr, 0)
		if err != nil {
			return
		}
		if len(records) != int(fr.count) {
			t.Fatalf("%d records, the header says %d", len(records), fr.count)
		}
		size, time := frameHeaderSize, fr.time
		for i, r := range records {
			if r.Offset != fr.first+int64(i) || r.Time < time {
				t.Fatalf("record %d has offset %d and time %d after %d", i, r.Offset, r.Time, time)
			}
			size += recordSize(r.Time-time, len(r.Data))
			time = r.Time
		}
		if size > int(fr.size) { // overlong varints may be longer, never shorter
			t.Fatalf("records of %d bytes came from a frame of %d", size, fr.size)
		}
	})
}

// FuzzScan scans anything as the groups of a segment.
func FuzzScan(f *testing.F) {
	one := encodeGroup(testRecords(), 1, segmentHeaderSize, 9)
	two := append(bytes.Clone(one), encodeGroup(testRecords(), 2, segmentHeaderSize+int64(len(one)), 9)...)
	f.Add(one, false)
	f.Add(two, true)
	f.Add(two[:len(two)-9], false)
	f.Add(two[9:], true)
	f.Fuzz(func(t *testing.T, b []byte, keep bool) {
		file := append(make([]byte, segmentHeaderSize), b...)
		at := int64(0)
		sc := scanner{
			file: bytes.NewReader(file), size: int64(len(file)), seed: 9, shape: testShape, firstSeq: 1, keepTail: keep,
			frame: func(f scannedFrame) error {
				if f.slot < 0 || f.pos < at || f.pos+int64(f.size) > int64(len(file)) || len(f.bytes) != int(f.size) {
					t.Fatalf("frame %+v out of place after %d", f.frame, at)
				}
				at = f.pos + int64(f.size)
				return nil
			},
			lost: func(pos, end int64) error {
				if pos < at || end > int64(len(file)) || pos >= end {
					t.Fatalf("lost %d to %d after %d", pos, end, at)
				}
				return nil
			},
		}
		end, err := sc.run()
		if err != nil || end.pos > int64(len(file)) || keep && (end.torn || end.pos != int64(len(file))) {
			t.Fatalf("the scan ended with %+v, %v", end, err)
		}
	})
}

// FuzzIndex decodes anything as the files beside a segment.
func FuzzIndex(f *testing.F) {
	l := &Log{shape: testShape}
	s := l.newSegment(segmentHeader{log: logID{1}, id: 3, firstSeq: 1, partitions: 3})
	s.add(0, entry{5, 64, 100}, 9, 1000)
	s.add(3, entry{0, 164, 80}, 1, 1000)
	s.nexts = 2
	f.Add(encodeIndex(s, testShape))
	f.Add(floors(make([]position, testShape.slots())).encode(s.seed))
	f.Add(s.encode())
	f.Add([]byte(`{"format":1,"id":"00","partitions":3,"check":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		probe := segment{segmentHeader: s.segmentHeader, seed: s.seed}
		if rows, err := decodeIndex(b, &probe, testShape); err == nil {
			for _, r := range rows {
				if r.slot < 0 || r.slot >= testShape.slots() || r.entries < 1 || r.span.first >= r.span.next {
					t.Fatalf("row %+v", r)
				}
			}
		}
		if _, p := decodeMark(b, s.seed, testShape); p != nil && len(p) != testShape.slots() {
			t.Fatalf("%d positions", len(p))
		}
		_, _ = decodeSegmentHeader(b)
		_, _ = decodeMeta(b)
	})
}
