package rapport

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Decoder takes one of our binary forms apart, primitive by primitive. After a
// failure it stays failed and returns zeros, so that a caller checks once, at
// the end, with Done. No input makes it panic or read beyond its bytes.
type Decoder struct {
	b      []byte
	failed bool
}

// NewDecoder returns a decoder of b, which must stay unchanged while what Take
// and Bytes return is used.
func NewDecoder(b []byte) Decoder { return Decoder{b: b} }

// Fail marks the form as damaged: a value was read that cannot be.
func (d *Decoder) Fail() { d.failed, d.b = true, nil }

// Failed reports whether something was missing or Fail was called.
func (d *Decoder) Failed() bool { return d.failed }

// Done reports whether all was read and nothing was missing.
func (d *Decoder) Done() bool { return !d.failed && len(d.b) == 0 }

// Len returns how many bytes are left.
func (d *Decoder) Len() int { return len(d.b) }

// Take returns the next n bytes, a piece of the input, or nil if there are fewer.
func (d *Decoder) Take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.Fail()
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if len(d.b) == 0 {
		d.Fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// Bool reads one byte, of which 1 is true.
func (d *Decoder) Bool() bool { return d.Byte() == 1 }

// Uvarint reads what binary.AppendUvarint wrote.
func (d *Decoder) Uvarint() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.b = d.b[n:]
	return x
}

// Varint reads what binary.AppendVarint wrote.
func (d *Decoder) Varint() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.b = d.b[n:]
	return x
}

// Uint32 reads four bytes, low ones first.
func (d *Decoder) Uint32() uint32 {
	if p := d.Take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// Uint64 reads eight bytes, low ones first.
func (d *Decoder) Uint64() uint64 {
	if p := d.Take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// Float reads what AppendFloat wrote.
func (d *Decoder) Float() float64 { return math.Float64frombits(d.Uint64()) }

// ID reads the sixteen bytes of an ID.
func (d *Decoder) ID() (id ID) {
	copy(id[:], d.Take(uint64(len(id))))
	return id
}

// Bytes reads what AppendText wrote as a piece of the input; nil if it is empty.
func (d *Decoder) Bytes() []byte {
	if p := d.Take(d.Uvarint()); len(p) > 0 {
		return p
	}
	return nil
}

// Text reads what AppendText wrote, copied.
func (d *Decoder) Text() string { return string(d.Bytes()) }

// view is Text without the copy: a piece of the input.
func (d *Decoder) view() string {
	p := d.Bytes()
	return unsafe.String(unsafe.SliceData(p), len(p))
}

// Count reads the number of things to come, each of at least size bytes, so
// that a damaged number makes nobody reserve more memory than the form is long.
func (d *Decoder) Count(size int) int {
	n := d.Uvarint()
	if n > uint64(len(d.b)/size) {
		d.Fail()
		return 0
	}
	return int(n)
}

// AppendText appends the length and the bytes of s.
func AppendText[T ~[]byte | ~string](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendFloat appends the eight bytes of x, low ones first.
func AppendFloat(b []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
}
