package local

import (
	"encoding/binary"
	"os"
	"path/filepath"
)

// mark remembers what was acknowledged: the next offset and latest time of
// each partition, written without sync after every group. After kill -9 it is
// exact, after power loss it may lag behind or be gone, and it is never ahead
// of what was synced. So records it knows and the segments lack were lost to
// damage, not torn off. Two copies are written in turn.
type mark struct {
	file File
	seed uint32
	turn uint64
	buf  []byte
}

const (
	markName       = "mark"
	markHeaderSize = 24
	markRowSize    = 16
	markAlign      = 4096
)

// position is a place in a partition.
type position struct {
	next int64 // offset
	last int64 // time before it
}

func markSize(slots int) int {
	n := markHeaderSize + slots*markRowSize
	return (n + markAlign - 1) / markAlign * markAlign
}

// openMark opens or makes the mark file and returns what it remembers, nil if
// nothing usable.
func openMark(fs FS, dir string, id logID, shape geometry) (*mark, []position, error) {
	f, err := fs.Open(filepath.Join(dir, markName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, nil, err
	}
	size := markSize(shape.slots())
	m := &mark{file: f, seed: id.seed(0), buf: make([]byte, size)}
	both := make([]byte, 2*size)
	n, err := readAtMost(f, both, 0)
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	var known []position
	for i := 0; i < n; i += size { // the second copy ends with its last row
		if turn, p := decodeMark(both[i:min(i+size, n)], m.seed, shape); p != nil && turn >= m.turn {
			m.turn, known = turn, p
		}
	}
	return m, known, nil
}

// decodeMark returns a position for every slot. A log written before a topic
// was added has fewer rows: topics are added at the end.
func decodeMark(b []byte, seed uint32, shape geometry) (turn uint64, p []position) {
	if len(b) < markHeaderSize {
		return 0, nil
	}
	rows := int64(binary.LittleEndian.Uint32(b[4:]))
	n := markHeaderSize + rows*markRowSize
	if rows > int64(shape.slots()) || n > int64(len(b)) || binary.LittleEndian.Uint32(b) != checksum(seed, b[4:n]) {
		return 0, nil
	}
	p = make([]position, shape.slots())
	for i := range rows {
		row := b[markHeaderSize+i*markRowSize:]
		p[i] = position{int64(binary.LittleEndian.Uint64(row)), int64(binary.LittleEndian.Uint64(row[8:]))}
		if p[i].next < 0 || p[i].next > maxOffset {
			return 0, nil
		}
	}
	return binary.LittleEndian.Uint64(b[8:]), p
}

// write notes the state of all lanes.
func (m *mark) write(lanes []lane) error {
	m.turn++
	n := markHeaderSize + len(lanes)*markRowSize
	b := m.buf[:n]
	binary.LittleEndian.PutUint32(b[4:], uint32(len(lanes)))
	binary.LittleEndian.PutUint64(b[8:], m.turn)
	for i := range lanes {
		row := b[markHeaderSize+i*markRowSize:]
		binary.LittleEndian.PutUint64(row, uint64(lanes[i].next))
		binary.LittleEndian.PutUint64(row[8:], uint64(lanes[i].last))
	}
	binary.LittleEndian.PutUint32(b, checksum(m.seed, b[4:]))
	_, err := m.file.WriteAt(b, int64(m.turn%2)*int64(len(m.buf)))
	return err
}

// floors say up to where each partition was trimmed away. They are synced
// before a segment goes, so that an emptied partition keeps counting and a
// missing segment is told from a deleted one.
type floors []position

const floorsName = "trimmed"

func (fl floors) encode(seed uint32) []byte {
	b := make([]byte, markHeaderSize+len(fl)*markRowSize)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(fl)))
	for i, p := range fl {
		row := b[markHeaderSize+i*markRowSize:]
		binary.LittleEndian.PutUint64(row, uint64(p.next))
		binary.LittleEndian.PutUint64(row[8:], uint64(p.last))
	}
	binary.LittleEndian.PutUint32(b, checksum(seed, b[4:]))
	return b
}

// readFloors returns the floors, all zero if there is no file, or an error for
// which isFormat holds if they cannot be trusted.
func readFloors(fs FS, dir string, id logID, shape geometry) (floors, error) {
	b, err := readFile(fs, filepath.Join(dir, floorsName))
	if err != nil || b == nil {
		return make(floors, shape.slots()), err
	}
	_, p := decodeMark(b, id.seed(0), shape)
	if p == nil {
		return nil, errChecksum
	}
	return p, nil
}

// readFile returns the content of a small file, nil if it does not exist.
func readFile(fs FS, name string) ([]byte, error) {
	f, err := fs.Open(name, os.O_RDONLY)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = readFull(f, b, 0)
	return b, err
}

// replaceFile writes a small file so that after a crash the old or the new
// content stands there.
func replaceFile(fs FS, name string, b []byte) (err error) {
	f, err := fs.Open(name+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fs.Rename(name+newSuffix, name)
	}
	if err != nil {
		_ = fs.Remove(name + newSuffix)
		return err
	}
	return fs.SyncDir(filepath.Dir(name))
}
