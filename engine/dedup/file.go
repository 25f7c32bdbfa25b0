package dedup

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"os"
	"path/filepath"
	"slices"

	"github.com/rapport-engine/rapport"
)

// A file is: a 64-byte header (magic, seq, start, count, blocks, CRC of the
// body, CRC of the Bloom filter, CRC of the header), the Bloom filter in
// blocks of 64 bytes, and the fingerprints in ascending order.
const (
	fileMagic  = "RPDEDUP1"
	headerSize = 64
	blockSize  = 64
	perBlock   = 48 // fingerprints per 512-bit block: about 10.7 bits each
	probes     = 6  // bits set per fingerprint: about 1.5 % false positives
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type file struct {
	path   string
	seq    uint64
	start  int64
	count  int
	data   []byte // the whole mapping
	bloom  []byte // kept in memory: every new event asks it
	sorted []byte
	crc    uint32
}

// writeFile writes the fingerprints durably under path and opens the result.
func writeFile(path string, seq uint64, start int64, fps []Fingerprint) (*file, error) {
	slices.SortFunc(fps, func(a, b Fingerprint) int { return bytes.Compare(a[:], b[:]) })
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

func openFile(path string) (*file, error) {
	data, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	damaged := func(what string) (*file, error) {
		unmap(data)
		return nil, rapport.Errorf(rapport.Internal, "deduplication file %s is damaged: %s", path, what)
	}
	if len(data) < headerSize || string(data[:8]) != fileMagic ||
		crc32.Checksum(data[:60], castagnoli) != binary.LittleEndian.Uint32(data[60:]) {
		return damaged("header")
	}
	count := binary.LittleEndian.Uint64(data[24:])
	blooms := binary.LittleEndian.Uint64(data[32:])
	if count > uint64(len(data)) || blooms%blockSize != 0 || headerSize+blooms+16*count != uint64(len(data)) {
		return damaged("length")
	}
	bloom := slices.Clone(data[headerSize : headerSize+blooms])
	if crc32.Checksum(bloom, castagnoli) != binary.LittleEndian.Uint32(data[44:]) {
		return damaged("filter")
	}
	return &file{
		path: path, seq: binary.LittleEndian.Uint64(data[8:]), start: int64(binary.LittleEndian.Uint64(data[16:])),
		count: int(count), data: data, bloom: bloom, sorted: data[headerSize+blooms:],
		crc: binary.LittleEndian.Uint32(data[40:]),
	}, nil
}

func (f *file) verify() error {
	if crc32.Checksum(f.sorted, castagnoli) != f.crc {
		return rapport.Errorf(rapport.Internal, "deduplication file %s is damaged: fingerprints", f.path)
	}
	return nil
}

func (f *file) close() {
	unmap(f.data)
	f.data, f.sorted, f.count = nil, nil, 0
}

// has searches by interpolation: fingerprints are uniform, so the first guess
// is nearly right.
func (f *file) has(fp Fingerprint, h uint64) bool {
	if f.count == 0 || !inBloom(f.bloom, h) {
		return false
	}
	key := binary.BigEndian.Uint64(fp[:8])
	lo, hi := 0, f.count // the answer, if any, lies in [lo, hi)
	guess, _ := bits.Mul64(key, uint64(f.count))
	at := int(guess)
	for step := 1; lo < hi; {
		at = min(max(at, lo), hi-1)
		c := bytes.Compare(f.sorted[16*at:16*at+16], fp[:])
		switch {
		case c == 0:
			return true
		case c < 0:
			lo = at + 1
			at += step
		default:
			hi = at
			at -= step
		}
		if step *= 4; step > 1024 { // the guess was poor: halve from here on
			at = (lo + hi) / 2
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
