package engine

import (
	"encoding/binary"

	"github.com/rapport-engine/rapport"
)

// reader takes a binary form apart. After a failure it stays bad and returns
// zeros, so that a caller checks once.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); len(p) == 1 {
		return p[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) varint() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

// uint64 reads eight bytes, high ones first.
func (r *reader) uint64() uint64 {
	if p := r.take(8); len(p) == 8 {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// count reads a number of things that take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) id() (id rapport.ID) {
	copy(id[:], r.take(16))
	return id
}

// done reports whether all was read and nothing was missing.
func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }

func appendBytes[T []byte | string](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func damaged(what string) error {
	return rapport.WithHint(rapport.Errorf(rapport.Internal, "%s is damaged", what),
		"run rapport doctor; rapport serve --refold folds state again from the event log")
}
