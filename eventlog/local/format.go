package local

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/rapport-engine/rapport/eventlog"
)

// Sizes of the parts of a segment file; see DESIGN.md for their fields.
const (
	segmentHeaderSize  = 64
	groupHeaderSize    = 32
	directoryEntrySize = 20
	frameHeaderSize    = 40

	formatVersion = 1
	segmentMagic  = "RAPLOG01"
	groupMagic    = 0x47504152 // "RAPG"

	// maxGroupBytes bounds one group, so that a position fits in 32 bits.
	maxGroupBytes = 256 << 20
	// maxSegmentBytes leaves room for one group beyond it.
	maxSegmentBytes = 1 << 30
	maxPartitions   = 1 << 12
	// maxOffset keeps sums of offsets and counts from overflowing.
	maxOffset = 1 << 62
)

var (
	errTruncated = errors.New("cut short")
	errChecksum  = errors.New("checksum does not match")
	errMalformed = errors.New("malformed")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// logID is random per log. It seeds every checksum, so that neither bytes
// of another log nor bytes somebody else sent as data pass for a frame.
type logID [16]byte

// seed returns the checksum seed of one segment.
func (id logID) seed(segment uint64) uint32 {
	var b [24]byte
	copy(b[:], id[:])
	binary.LittleEndian.PutUint64(b[16:], segment)
	return crc32.Checksum(b[:], castagnoli)
}

func checksum(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

// geometry numbers the partitions of all topics: a slot is one of them.
type geometry struct{ partitions int }

func (g geometry) slots() int { return g.partitions + len(eventlog.Topics) - 1 }

// of returns the number of partitions of a topic.
func (g geometry) of(t eventlog.Topic) int {
	switch {
	case t == eventlog.Events:
		return g.partitions
	case slices.Contains(eventlog.Topics[:], t):
		return 1
	}
	return 0
}

// slot returns the slot of a partition, or -1 if there is none.
func (g geometry) slot(t eventlog.Topic, partition int32) int {
	switch {
	case t == eventlog.Events && partition >= 0 && int(partition) < g.partitions:
		return int(partition)
	case t > eventlog.Events && int(t) <= len(eventlog.Topics) && partition == 0:
		return g.partitions + int(t) - 2
	}
	return -1
}

// place is the inverse of slot.
func (g geometry) place(slot int) (eventlog.Topic, int32) {
	if slot < g.partitions {
		return eventlog.Events, int32(slot)
	}
	return eventlog.Topic(slot - g.partitions + 2), 0
}

// key is a slot as it stands in files, independent of the number of partitions.
func (g geometry) key(slot int) uint32 {
	t, p := g.place(slot)
	return uint32(t)<<24 | uint32(p)
}

func (g geometry) slotOfKey(key uint32) int {
	return g.slot(eventlog.Topic(key>>24), int32(key&(1<<24-1)))
}

// segmentHeader is the head of a segment file.
type segmentHeader struct {
	log        logID
	id         uint64
	firstSeq   uint64 // sequence number of its first group
	partitions uint32
	rewrites   uint32 // how often Scrub wrote it anew
	created    int64  // Unix milliseconds
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[12:], formatVersion)
	copy(b[16:], h.log[:])
	binary.LittleEndian.PutUint64(b[32:], h.id)
	binary.LittleEndian.PutUint64(b[40:], h.firstSeq)
	binary.LittleEndian.PutUint32(b[48:], h.partitions)
	binary.LittleEndian.PutUint32(b[52:], h.rewrites)
	binary.LittleEndian.PutUint64(b[56:], uint64(h.created))
	binary.LittleEndian.PutUint32(b[8:], checksum(0, b[12:]))
	return b
}

func decodeSegmentHeader(b []byte) (h segmentHeader, err error) {
	switch {
	case len(b) < segmentHeaderSize:
		return h, errTruncated
	case string(b[:8]) != segmentMagic || binary.LittleEndian.Uint32(b[12:]) != formatVersion:
		return h, errMalformed
	case binary.LittleEndian.Uint32(b[8:]) != checksum(0, b[12:segmentHeaderSize]):
		return h, errChecksum
	}
	copy(h.log[:], b[16:])
	h.id = binary.LittleEndian.Uint64(b[32:])
	h.firstSeq = binary.LittleEndian.Uint64(b[40:])
	h.partitions = binary.LittleEndian.Uint32(b[48:])
	h.rewrites = binary.LittleEndian.Uint32(b[52:])
	h.created = int64(binary.LittleEndian.Uint64(b[56:]))
	return h, nil
}

// groupHeader precedes the frames of one group commit and lists them, so that
// a damaged frame is known by name.
type groupHeader struct {
	seq    uint64
	pos    uint64 // where it stands in the file
	size   uint32 // whole group, header and directory included
	frames uint32
}

// directoryEntry names one frame of a group.
type directoryEntry struct {
	key   uint32
	size  uint32
	count uint32
	first int64
}

func (h groupHeader) bodyStart() int {
	return groupHeaderSize + int(h.frames)*directoryEntrySize
}

// put writes the header in front of a directory that is already in place.
func (h groupHeader) put(b []byte, seed uint32) {
	binary.LittleEndian.PutUint32(b, groupMagic)
	binary.LittleEndian.PutUint64(b[8:], h.seq)
	binary.LittleEndian.PutUint64(b[16:], h.pos)
	binary.LittleEndian.PutUint32(b[24:], h.size)
	binary.LittleEndian.PutUint32(b[28:], h.frames)
	binary.LittleEndian.PutUint32(b[4:], checksum(seed, b[8:h.bodyStart()]))
}

func (d directoryEntry) put(b []byte) {
	binary.LittleEndian.PutUint32(b, d.key)
	binary.LittleEndian.PutUint32(b[4:], d.size)
	binary.LittleEndian.PutUint32(b[8:], d.count)
	binary.LittleEndian.PutUint64(b[12:], uint64(d.first))
}

func decodeDirectoryEntry(b []byte) directoryEntry {
	return directoryEntry{
		key:   binary.LittleEndian.Uint32(b),
		size:  binary.LittleEndian.Uint32(b[4:]),
		count: binary.LittleEndian.Uint32(b[8:]),
		first: int64(binary.LittleEndian.Uint64(b[12:])),
	}
}

// decodeGroupHeader reads the fixed part only; the checksum covers the
// directory too, which checkGroup verifies.
func decodeGroupHeader(b []byte, pos int64, slots int) (h groupHeader, err error) {
	if len(b) < groupHeaderSize {
		return h, errTruncated
	}
	h = groupHeader{
		seq:    binary.LittleEndian.Uint64(b[8:]),
		pos:    binary.LittleEndian.Uint64(b[16:]),
		size:   binary.LittleEndian.Uint32(b[24:]),
		frames: binary.LittleEndian.Uint32(b[28:]),
	}
	if binary.LittleEndian.Uint32(b) != groupMagic || h.pos != uint64(pos) || h.size > maxGroupBytes ||
		h.frames == 0 || int64(h.frames) > int64(slots) || int(h.size) < h.bodyStart() {
		return h, errMalformed
	}
	return h, nil
}

// checkGroup verifies header and directory, of which b must hold all.
func checkGroup(b []byte, h groupHeader, seed uint32) error {
	if len(b) < h.bodyStart() {
		return errTruncated
	}
	if binary.LittleEndian.Uint32(b[4:]) != checksum(seed, b[8:h.bodyStart()]) {
		return errChecksum
	}
	size := h.bodyStart()
	for i := range int(h.frames) {
		d := decodeDirectoryEntry(b[groupHeaderSize+i*directoryEntrySize:])
		if d.size < frameHeaderSize || d.count == 0 || d.first < 0 || d.first > maxOffset {
			return errMalformed
		}
		size += int(d.size)
	}
	if size != int(h.size) {
		return errMalformed
	}
	return nil
}

// frame is the head of the records one group has for one partition.
type frame struct {
	key   uint32
	size  uint32 // header included
	count uint32
	first int64 // offset of its first record
	time  int64 // of its first record, Unix milliseconds
	last  int64 // time of its last record
}

func (f frame) next() int64 { return f.first + int64(f.count) }

// put writes the header in front of records that are already in place.
func (f frame) put(b []byte, seed uint32) {
	binary.LittleEndian.PutUint32(b[4:], f.size)
	binary.LittleEndian.PutUint32(b[8:], f.key)
	binary.LittleEndian.PutUint32(b[12:], f.count)
	binary.LittleEndian.PutUint64(b[16:], uint64(f.first))
	binary.LittleEndian.PutUint64(b[24:], uint64(f.time))
	binary.LittleEndian.PutUint64(b[32:], uint64(f.last))
	binary.LittleEndian.PutUint32(b, checksum(seed, b[4:f.size]))
}

// decodeFrame reads a header without verifying the checksum.
func decodeFrame(b []byte) (f frame, err error) {
	if len(b) < frameHeaderSize {
		return f, errTruncated
	}
	f = frame{
		size:  binary.LittleEndian.Uint32(b[4:]),
		key:   binary.LittleEndian.Uint32(b[8:]),
		count: binary.LittleEndian.Uint32(b[12:]),
		first: int64(binary.LittleEndian.Uint64(b[16:])),
		time:  int64(binary.LittleEndian.Uint64(b[24:])),
		last:  int64(binary.LittleEndian.Uint64(b[32:])),
	}
	switch {
	case f.size < frameHeaderSize || f.count == 0 || f.first < 0 || f.first > maxOffset || f.last < f.time ||
		int64(f.count) > int64(f.size-frameHeaderSize)/minRecordSize:
		return f, errMalformed
	case int(f.size) > len(b):
		return f, errTruncated
	}
	return f, nil
}

// checkFrame reads a header and verifies the checksum of the whole frame.
func checkFrame(b []byte, seed uint32) (frame, error) {
	f, err := decodeFrame(b)
	if err != nil {
		return f, err
	}
	if binary.LittleEndian.Uint32(b) != checksum(seed, b[4:f.size]) {
		return f, errChecksum
	}
	return f, nil
}

// minRecordSize is that of a record without data: time step, kind and length.
const minRecordSize = 3

// uvarintLen returns how many bytes [binary.PutUvarint] takes.
func uvarintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// recordSize returns the encoded size of a record that comes step
// milliseconds after the one before.
func recordSize(step int64, data int) int {
	return uvarintLen(uint64(step)) + 1 + uvarintLen(uint64(data)) + data
}

// putRecord encodes a record and returns its size.
func putRecord(b []byte, step int64, kind uint8, data []byte) int {
	n := binary.PutUvarint(b, uint64(step))
	b[n] = kind
	n++
	n += binary.PutUvarint(b[n:], uint64(len(data)))
	return n + copy(b[n:], data)
}

// appendRecords decodes the records of frame b from offset on and appends
// them to dst. Their Data refers to b. On an error dst comes back unchanged.
func appendRecords(dst []eventlog.Record, b []byte, f frame, from int64) ([]eventlog.Record, error) {
	topic, partition := eventlog.Topic(f.key>>24), int32(f.key&(1<<24-1))
	out := slices.Grow(dst, int(f.count))
	time, offset := f.time, f.first
	at, end := frameHeaderSize, int(f.size)
	for range f.count {
		var step, size uint64
		var n int
		if at < end && b[at] < 0x80 {
			step, n = uint64(b[at]), 1
		} else if step, n = binary.Uvarint(b[at:end]); n <= 0 {
			return dst, errMalformed
		}
		at += n
		if at >= end || step > uint64(f.last-time) {
			return dst, errMalformed
		}
		kind := b[at]
		at++
		if size, n = binary.Uvarint(b[at:end]); n <= 0 || size > uint64(end-at-n) {
			return dst, errMalformed
		}
		at += n
		time += int64(step)
		if offset >= from {
			out = append(out, eventlog.Record{
				Topic: topic, Partition: partition, Kind: kind, Offset: offset, Time: time,
				Data: b[at : at+int(size) : at+int(size)],
			})
		}
		at += int(size)
		offset++
	}
	if at != end || time != f.last {
		return dst, errMalformed
	}
	return out, nil
}
