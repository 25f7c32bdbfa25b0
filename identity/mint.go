package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/rapport-engine/rapport"
)

// Minter makes the ids of identifiers and of the intervals of a device: the
// first 16 bytes of HMAC-SHA256 under the deployment's key, the first replaced
// by the rank of the kind. Any node with the key mints the same id without
// asking another, and nobody without the key can tell an identifier from its
// id or try guesses. A Minter is safe for concurrent use and allocates nothing.
type Minter struct {
	macs sync.Pool // of *mac

	// seeds are the process's own: nobody outside can make identifiers that
	// meet in the cache.
	seeds [2]maphash.Seed
	cache []cached // power of two
}

// cached is one remembered mint: a 128-bit fingerprint of the identifier, and
// the id. Reading and writing take no lock; check binds the words together, so
// that a line torn between two writers is not recognised.
type cached struct{ check, high, low atomic.Uint64 }

type mac struct {
	hash hash.Hash
	buf  []byte
	sum  [sha256.Size]byte
}

// MinKey is the fewest bytes of a deployment key.
const MinKey = 16

const cacheLines = 1 << 17 // 3 MB

// NewMinter returns a minter for a deployment key of at least [MinKey] bytes.
// It returns an Invalid error if the key is shorter.
func NewMinter(key []byte) (*Minter, error) {
	if len(key) < MinKey {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the deployment key has %d bytes, want at least %d", len(key), MinKey),
			"restore the key file of this deployment; without it nobody known is recognised")
	}
	key = append([]byte(nil), key...)
	m := &Minter{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, cache: make([]cached, cacheLines)}
	m.macs.New = func() any { return &mac{hash: hmac.New(sha256.New, key), buf: make([]byte, 0, 128)} }
	return m, nil
}

// Mint returns the id of an identifier in normal form (epoch 0), or of an
// interval of the device it names (epoch 1 and up).
func (m *Minter) Mint(kind, value string, epoch uint32) rapport.ID {
	if epoch != 0 {
		return m.mint(kind, value, epoch)
	}
	a := maphash.String(m.seeds[0], value) ^ bits(maphash.String(m.seeds[0], kind))
	b := maphash.String(m.seeds[1], value) ^ bits(maphash.String(m.seeds[1], kind))
	line := &m.cache[a&(cacheLines-1)]
	high, low := line.high.Load(), line.low.Load()
	if line.check.Load() == check(a, b, high, low) && (high|low) != 0 {
		return join(high, low)
	}
	id := m.mint(kind, value, 0)
	high, low = split(id)
	line.high.Store(high)
	line.low.Store(low)
	line.check.Store(check(a, b, high, low))
	return id
}

func (m *Minter) mint(kind, value string, epoch uint32) rapport.ID {
	id := m.sum(kind, value, epoch)
	id[0] = byte(rapport.RankOf(kind))
	return id
}

// link returns the id of a link: the same evidence between the same two is the same link.
func (m *Minter) link(kind Kind, a, b rapport.ID) LinkID {
	// A kind of identifier is never empty, so links and identifiers do not meet.
	return LinkID(m.sum("", string([]byte{byte(kind)})+string(a[:])+string(b[:]), 0))
}

func (m *Minter) sum(kind, value string, epoch uint32) (id rapport.ID) {
	c := m.macs.Get().(*mac)
	c.buf = binary.AppendUvarint(c.buf[:0], uint64(len(kind)))
	c.buf = append(c.buf, kind...)
	c.buf = binary.AppendUvarint(c.buf, uint64(len(value)))
	c.buf = append(c.buf, value...)
	if epoch != 0 {
		c.buf = binary.AppendUvarint(c.buf, uint64(epoch))
	}
	c.hash.Reset()
	c.hash.Write(c.buf)
	copy(id[:], c.hash.Sum(c.sum[:0]))
	m.macs.Put(c)
	return id
}

// bits sets the hash of a kind apart from that of an equal value.
func bits(h uint64) uint64 { return h*0x9e3779b97f4a7c15 + 1 }

// check mixes a fingerprint with the id it stands for; whoever wants to be
// taken for another identifier must meet 64 bits here and 17 in the line.
func check(a, b, high, low uint64) uint64 {
	x := (a ^ high) * 0xff51afd7ed558ccd
	x ^= x >> 32
	x = (x ^ b ^ low) * 0xc4ceb9fe1a85ec53
	return x ^ x>>29
}

func split(id rapport.ID) (high, low uint64) {
	return binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
}

func join(high, low uint64) (id rapport.ID) {
	binary.LittleEndian.PutUint64(id[:8], high)
	binary.LittleEndian.PutUint64(id[8:], low)
	return id
}
