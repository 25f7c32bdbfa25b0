package dedup

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/rapport-engine/rapport"
)

// A file is: a 64-byte header (magic, seq, start, count, blocks, CRC of the
// body, CRC of the Bloom filter, CRC of the header), the Bloom filter in
// blocks of 64 bytes, and the fingerprints in ascending order.
const (
	fileMagic  = "RPDEDUP1"
	headerSize = 64
	blockSize  = 64
	perBlock   = 32  // fingerprints per 512-bit block: 16 bits each
	probes     = 6   // bits set per fingerprint: about 0.3 % false positives
	window     = 512 // fingerprints read at once: most guesses are that near
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type file struct {
	path   string
	seq    uint64
	start  int64
	count  int
	bloom  []byte // kept in memory: every new event asks it
	sorted int64  // where the fingerprints begin
	crc    uint32
	f      *os.File
}

// inOrder returns the fingerprints in ascending order. They are uniform, so that
// their first bits say nearly where each belongs.
func inOrder(fps []Fingerprint) []Fingerprint {
	const each = 3 // about 8 begin with the same bits
	shift := 64 - max(bits.Len(uint(len(fps)))-each, 0)
	first := func(fp *Fingerprint) uint64 { return binary.BigEndian.Uint64(fp[:8]) >> shift }
	ends := make([]int, 1<<(64-shift)+1) // of those that begin with less
	for i := range fps {
		ends[first(&fps[i])+1]++
	}
	for i := range ends[1:] {
		ends[i+1] += ends[i]
	}
	out := make([]Fingerprint, len(fps))
	for i := range fps {
		at := &ends[first(&fps[i])]
		out[*at] = fps[i]
		*at++
	}
	begin := 0
	for _, end := range ends[:len(ends)-1] {
		slices.SortFunc(out[begin:end], func(a, b Fingerprint) int { return bytes.Compare(a[:], b[:]) })
		begin = end
	}
	return out
}

// writeFile writes the fingerprints durably under path and opens the result.
func writeFile(path string, seq uint64, start int64, fps []Fingerprint) (*file, error) {
	fps = inOrder(fps)
	body := bytesOf(fps)
	bloom := make([]byte, blockSize*(len(fps)/perBlock+1))
	for _, fp := range fps {
		addBloom(bloom, hash(fp))
	}
	head := make([]byte, headerSize)
	copy(head, fileMagic)
	binary.LittleEndian.PutUint64(head[8:], seq)
	binary.LittleEndian.PutUint64(head[16:], uint64(start))
	binary.LittleEndian.PutUint64(head[24:], uint64(len(fps)))
	binary.LittleEndian.PutUint64(head[32:], uint64(len(bloom)))
	binary.LittleEndian.PutUint32(head[40:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(head[44:], crc32.Checksum(bloom, castagnoli))
	binary.LittleEndian.PutUint32(head[60:], crc32.Checksum(head[:60], castagnoli))

	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	for _, part := range [][]byte{head, bloom, body} {
		if _, err = f.Write(part); err != nil {
			break
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(tmp)
		return nil, err
	}
	return openFile(path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// openFile opens a file. Fingerprints are read, not mapped: what was mapped of
// all files came to stay in memory, though hardly any event asks for it.
func openFile(path string) (_ *file, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	damaged := func(what string) (*file, error) {
		return nil, rapport.Errorf(rapport.Internal, "deduplication file %s is damaged: %s", path, what)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := uint64(info.Size())
	head := make([]byte, headerSize)
	if _, err := f.ReadAt(head, 0); err != nil || string(head[:8]) != fileMagic ||
		crc32.Checksum(head[:60], castagnoli) != binary.LittleEndian.Uint32(head[60:]) {
		return damaged("header")
	}
	count := binary.LittleEndian.Uint64(head[24:])
	blooms := binary.LittleEndian.Uint64(head[32:])
	if count > size || blooms > size || blooms%blockSize != 0 || headerSize+blooms+16*count != size {
		return damaged("length")
	}
	bloom := make([]byte, blooms)
	if _, err := f.ReadAt(bloom, headerSize); err != nil || crc32.Checksum(bloom, castagnoli) != binary.LittleEndian.Uint32(head[44:]) {
		return damaged("filter")
	}
	return &file{
		path: path, seq: binary.LittleEndian.Uint64(head[8:]), start: int64(binary.LittleEndian.Uint64(head[16:])),
		count: int(count), bloom: bloom, sorted: int64(headerSize + blooms), crc: binary.LittleEndian.Uint32(head[40:]), f: f,
	}, nil
}

func (f *file) verify() error {
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.NewSectionReader(f.f, f.sorted, 16*int64(f.count)))
	if err != nil || n != 16*int64(f.count) || sum.Sum32() != f.crc {
		return rapport.Errorf(rapport.Internal, "deduplication file %s is damaged: fingerprints", f.path)
	}
	return nil
}

func (f *file) close() {
	_ = f.f.Close()
	f.count = 0
}

// has searches by interpolation: fingerprints are uniform, so the first guess
// is nearly right.
func (f *file) has(fp Fingerprint, h uint64) bool {
	if f.count == 0 || !inBloom(f.bloom, h) {
		return false
	}
	key := binary.BigEndian.Uint64(fp[:8])
	guess, _ := bits.Mul64(key, uint64(f.count))
	lo, hi := 0, f.count // the answer, if any, lies in [lo, hi)
	var buf [16 * window]byte
	for at := int(guess) - window/2; lo < hi; {
		from := min(max(at, lo), max(hi-window, lo))
		to := min(from+window, hi)
		b := buf[:16*(to-from)]
		if _, err := f.f.ReadAt(b, f.sorted+16*int64(from)); err != nil {
			// Not to know is not an answer: an event would be lost, or counted twice.
			panic("read " + f.path + ": " + err.Error())
		}
		switch {
		case bytes.Compare(fp[:], b[:16]) < 0:
			hi, at = from, from-window
		case bytes.Compare(fp[:], b[len(b)-16:]) > 0:
			lo, at = to, to
		default:
			n := len(b) / 16
			i := sort.Search(n, func(i int) bool { return bytes.Compare(b[16*i:16*i+16], fp[:]) >= 0 })
			return i < n && Fingerprint(b[16*i:]) == fp
		}
	}
	return false
}

func addBloom(bloom []byte, h uint64) {
	block := bloomBlock(bloom, h)
	for i := range probes {
		bit := (h >> (9 * i)) & 511
		block[bit>>3] |= 1 << (bit & 7)
	}
}

func inBloom(bloom []byte, h uint64) bool {
	block := bloomBlock(bloom, h)
	for i := range probes {
		bit := (h >> (9 * i)) & 511
		if block[bit>>3]&(1<<(bit&7)) == 0 {
			return false
		}
	}
	return true
}

// bloomBlock picks a block with bits independent of those set within it.
func bloomBlock(bloom []byte, h uint64) []byte {
	n, _ := bits.Mul64(h*0xd6e8feb86659fd93, uint64(len(bloom)/blockSize))
	return bloom[n*blockSize:][:blockSize:blockSize]
}
