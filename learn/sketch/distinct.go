// Package sketch summarises many values in little space, so that summaries of
// parts can be put together into that of the whole.
//
// Every sketch here is a function of the set of values alone: order, repetition
// and grouping change nothing, so equal histories give equal bytes. Size is
// bounded and stated; so is the error.
package sketch

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
)

// Parameters of [Distinct].
const (
	// Exact is up to how many different values the count is exact.
	Exact = 128
	// precision: 2^10 registers give a relative standard error of
	// 1.04/sqrt(1024) = 3.25 % (Flajolet et al. 2007).
	precision = 10
	registers = 1 << precision
)

// Distinct estimates how many different 64-bit hashes were added: exactly up
// to [Exact], then as HyperLogLog with 1024 registers (Flajolet, Fusy, Gandouet
// and Meunier, "HyperLogLog", 2007), read with the estimator of Ertl, "New
// cardinality estimation algorithms for HyperLogLog sketches", 2017, which needs
// no tables and has no bias in between. It takes at most 1 KiB. The zero
// Distinct is empty and ready.
type Distinct struct {
	hashes []uint64 // sorted, at most Exact; nil once registers are in use
	reg    []byte   // nil, or registers of them
}

// Add adds a hash, whose bits must be uniform.
func (d *Distinct) Add(hash uint64) {
	if d.reg != nil {
		d.register(hash)
		return
	}
	i, found := slices.BinarySearch(d.hashes, hash)
	if found {
		return
	}
	if len(d.hashes) < Exact {
		d.hashes = slices.Insert(d.hashes, i, hash)
		return
	}
	d.spread()
	d.register(hash)
}

func (d *Distinct) spread() {
	d.reg = make([]byte, registers)
	for _, h := range d.hashes {
		d.register(h)
	}
	d.hashes = nil
}

func (d *Distinct) register(hash uint64) {
	i := hash >> (64 - precision)
	rank := byte(bits.LeadingZeros64(hash<<precision|1<<(precision-1)) + 1)
	d.reg[i] = max(d.reg[i], rank)
}

// Merge adds what other has seen. other is not kept.
func (d *Distinct) Merge(other *Distinct) {
	if other.reg == nil {
		for _, h := range other.hashes {
			d.Add(h)
		}
		return
	}
	if d.reg == nil {
		d.spread()
	}
	for i, r := range other.reg {
		d.reg[i] = max(d.reg[i], r)
	}
}

// Reset empties d and keeps its memory.
func (d *Distinct) Reset() { d.hashes, d.reg = d.hashes[:0], nil }

// Clone returns a copy that shares nothing.
func (d *Distinct) Clone() Distinct {
	return Distinct{slices.Clone(d.hashes), slices.Clone(d.reg)}
}

// Count returns the number of different hashes: exact up to [Exact], a whole
// number always.
func (d *Distinct) Count() float64 {
	if d.reg == nil {
		return float64(len(d.hashes))
	}
	const q = 64 - precision
	var counts [q + 2]int
	for _, r := range d.reg {
		counts[r]++
	}
	m := float64(registers)
	z := m * tau(1-float64(counts[q+1])/m)
	for k := q; k >= 1; k-- {
		z = 0.5 * (z + float64(counts[k]))
	}
	z += m * sigma(float64(counts[0])/m)
	return math.Round(m * m / (2 * math.Ln2 * z))
}

// sigma and tau are those of Ertl 2017, algorithms 5 and 6.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		before := z
		z += x * y
		y += y
		if z == before {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
		if z == before {
			return z / 3
		}
	}
}

// AppendBinary appends a canonical form: equal sketches, equal bytes.
func (d *Distinct) AppendBinary(b []byte) []byte {
	if d.reg != nil {
		return append(append(b, 0xff), d.reg...)
	}
	b = append(b, byte(len(d.hashes)))
	for _, h := range d.hashes {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

var errDamaged = errors.New("the sketch is damaged")

// DecodeBinary replaces d by what b begins with and returns the rest.
func (d *Distinct) DecodeBinary(b []byte) (rest []byte, err error) {
	d.hashes, d.reg = d.hashes[:0], nil
	if len(b) == 0 {
		return nil, errDamaged
	}
	n := int(b[0])
	b = b[1:]
	if n == 0xff {
		if len(b) < registers {
			return nil, errDamaged
		}
		d.hashes, d.reg = nil, slices.Clone(b[:registers])
		for _, r := range d.reg {
			if r > 64-precision+1 {
				return nil, errDamaged
			}
		}
		return b[registers:], nil
	}
	if n > Exact || len(b) < 8*n {
		return nil, errDamaged
	}
	for i := range n {
		h := binary.LittleEndian.Uint64(b[8*i:])
		if i > 0 && h <= d.hashes[i-1] {
			return nil, errDamaged
		}
		d.hashes = append(d.hashes, h)
	}
	return b[8*n:], nil
}
