package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// scanner walks the groups of a segment file and tells a torn end, which was
// never acknowledged, from damage, which was.
//
// Only the last group of the last segment can be torn, because a group is
// written after the one before it was synced. So what cannot be read is damage
// if a whole group follows, if the segment is known to go on (limit), or if
// the caller knows better (keepTail).
type scanner struct {
	file  io.ReaderAt
	size  int64 // of the file
	seed  uint32
	shape geometry

	firstSeq uint64
	limit    uint64 // groups from this sequence number on do not count; 0 for none
	keepTail bool   // what cannot be read at the end is damage as well

	group func(h groupHeader) error   // optional: a group begins
	frame func(f scannedFrame) error  // every frame that is whole or at least known by name
	lost  func(pos, end int64) error  // a range that cannot be read; frames found in it follow
	block func(pos int64) (err error) // optional: progress, and a chance to stop

	window    []byte // bytes of the file from windowPos on
	windowPos int64
}

// scannedFrame is a frame in a file. bytes are valid during the call.
type scannedFrame struct {
	frame
	slot  int
	pos   int64
	bytes []byte
	err   error // why it cannot be trusted; then only key, count, first and size are known
}

// scanEnd is where the readable part of a segment ends.
type scanEnd struct {
	pos  int64  // after the last group
	seq  uint64 // of the group that would come next
	torn bool   // bytes that are no whole group follow
	last region // the last whole group, empty if there is none
}

const scanWindow = 1 << 20

// at returns n bytes of the file from pos on, or fewer at its end.
func (sc *scanner) at(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), sc.size-pos))
	if n <= 0 {
		return nil, nil
	}
	if off := pos - sc.windowPos; off >= 0 && off+int64(n) <= int64(len(sc.window)) {
		return sc.window[off : off+int64(n)], nil
	}
	want := int(min(int64(max(n, scanWindow)), sc.size-pos))
	if cap(sc.window) < want {
		sc.window = make([]byte, want)
	}
	got, err := readAtMost(sc.file, sc.window[:want], pos)
	sc.window, sc.windowPos = sc.window[:got], pos
	if err != nil {
		return nil, err
	}
	return sc.window[:min(n, got)], nil
}

func (sc *scanner) run() (end scanEnd, err error) {
	if sc.limit == 0 {
		sc.limit = math.MaxUint64
	}
	end = scanEnd{pos: segmentHeaderSize, seq: sc.firstSeq}
	for end.pos < sc.size && end.seq < sc.limit {
		if sc.block != nil {
			if err := sc.block(end.pos); err != nil {
				return end, err
			}
		}
		h, err := sc.header(end.pos, end.seq)
		if err == nil {
			ok, err := sc.frames(end.pos, h)
			if err != nil || !ok {
				end.torn = !ok
				return end, err
			}
			end.last = region{end.pos, end.pos + int64(h.size)}
			end.pos, end.seq = end.last.end, h.seq+1
			continue
		}
		if !isFormat(err) {
			return end, err
		}
		next, err := sc.search(end.pos+1, end.seq)
		if err != nil {
			return end, err
		}
		if next == sc.size && !sc.certain() {
			end.torn = true
			return end, nil
		}
		if err := sc.salvage(end.pos, next); err != nil {
			return end, err
		}
		end.pos = next
		if next == sc.size {
			end.seq++ // at least one group was there
			break
		}
		if h, err = sc.header(next, end.seq); err != nil {
			return end, err
		}
		end.seq = h.seq // the groups lost before are not known one by one
	}
	return end, nil
}

// certain says whether unreadable bytes at the end are damage.
func (sc *scanner) certain() bool { return sc.keepTail || sc.limit != math.MaxUint64 }

// header reads and verifies a group's header and directory, and that the file
// is long enough for its frames.
func (sc *scanner) header(pos int64, seq uint64) (h groupHeader, err error) {
	b, err := sc.at(pos, groupHeaderSize)
	if err != nil {
		return h, err
	}
	if h, err = decodeGroupHeader(b, pos, sc.shape.slots()); err != nil {
		return h, err
	}
	if h.seq < seq || h.seq >= sc.limit {
		return h, errMalformed
	}
	if pos+int64(h.size) > sc.size {
		return h, errTruncated
	}
	if b, err = sc.at(pos, h.bodyStart()); err != nil {
		return h, err
	}
	return h, checkGroup(b, h, sc.seed)
}

// frames visits the frames of a group. It returns false without visiting any
// if some are unreadable and that may be because the group is torn.
func (sc *scanner) frames(pos int64, h groupHeader) (ok bool, err error) {
	b, err := sc.at(pos, int(h.size))
	if err != nil {
		return false, err
	}
	if len(b) < int(h.size) {
		return false, io.ErrUnexpectedEOF
	}
	frames := make([]scannedFrame, h.frames)
	intact := true
	at := h.bodyStart()
	for i := range frames {
		d := decodeDirectoryEntry(b[groupHeaderSize+i*directoryEntrySize:])
		body := b[at : at+int(d.size)]
		f, err := checkFrame(body, sc.seed)
		slot := sc.shape.slotOfKey(d.key)
		if err == nil && (f.key != d.key || f.size != d.size || f.count != d.count || f.first != d.first || slot < 0) {
			err = errMalformed
		}
		if err != nil {
			intact = false
			f = frame{key: d.key, size: d.size, count: d.count, first: d.first}
		}
		frames[i] = scannedFrame{f, slot, pos + int64(at), body, err}
		at += int(d.size)
	}
	if !intact && !sc.certain() {
		// Another group behind proves that this one was synced whole.
		kept := bytes.Clone(b)
		next, err := sc.search(pos+int64(h.size), h.seq+1)
		if err != nil {
			return false, err
		}
		if next == sc.size {
			return false, nil
		}
		at = h.bodyStart()
		for i := range frames { // the window has moved
			frames[i].bytes = kept[at : at+len(frames[i].bytes)]
			at += len(frames[i].bytes)
		}
	}
	if sc.group != nil {
		if err := sc.group(h); err != nil {
			return true, err
		}
	}
	for _, f := range frames {
		if f.slot < 0 {
			continue // a directory that names no partition of ours cannot pass its checksum
		}
		if err := sc.frame(f); err != nil {
			return true, err
		}
	}
	return true, nil
}

// search returns the position of the next group header at or after pos, or the
// size of the file.
func (sc *scanner) search(pos int64, seq uint64) (int64, error) {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], groupMagic)
	for pos < sc.size {
		b, err := sc.at(pos, scanWindow)
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, magic[:])
		if i < 0 {
			pos += int64(max(len(b)-len(magic)+1, 1))
			continue
		}
		pos += int64(i)
		switch _, err := sc.header(pos, seq); {
		case err == nil:
			return pos, nil
		case !isFormat(err):
			return 0, err
		}
		pos++
	}
	return sc.size, nil
}

// salvage visits the whole frames in a range whose group header is lost.
func (sc *scanner) salvage(pos, end int64) error {
	if err := sc.lost(pos, end); err != nil {
		return err
	}
	for pos+frameHeaderSize <= end {
		b, err := sc.at(pos, frameHeaderSize)
		if err != nil {
			return err
		}
		size := int64(binary.LittleEndian.Uint32(b[4:]))
		slot := sc.shape.slotOfKey(binary.LittleEndian.Uint32(b[8:]))
		if slot < 0 || size < frameHeaderSize || pos+size > end {
			pos++
			continue
		}
		if b, err = sc.at(pos, int(size)); err != nil {
			return err
		}
		f, err := checkFrame(b, sc.seed)
		if err != nil {
			pos++
			continue
		}
		if err := sc.frame(scannedFrame{f, slot, pos, b, nil}); err != nil {
			return err
		}
		pos += size
	}
	return nil
}

// isFormat says whether err is about what the bytes say, not about reading them.
func isFormat(err error) bool {
	return errors.Is(err, errTruncated) || errors.Is(err, errChecksum) || errors.Is(err, errMalformed)
}

// readAtMost fills b from off on as far as the file reaches.
func readAtMost(f io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := f.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// readFull fills all of b.
func readFull(f io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := readAtMost(f, b, off)
	if err == nil && n < len(b) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
