package gbdt

import (
	"encoding/binary"
	"errors"
	"math"
)

// codecVersion begins every encoding.
const codecVersion = 1

var errCorrupt = errors.New("gbdt: not the encoding of a model")

// AppendBinary appends a canonical encoding of the model.
func (m *Model) AppendBinary(b []byte) []byte {
	b = append(b, codecVersion, byte(m.Objective))
	b = binary.AppendUvarint(b, uint64(len(m.Columns)))
	for _, c := range m.Columns {
		b = binary.AppendUvarint(b, uint64(c.Levels))
		b = binary.AppendUvarint(b, uint64(len(c.Name)))
		b = append(b, c.Name...)
	}
	b = appendFloat(b, m.base)
	b = binary.AppendUvarint(b, uint64(len(m.trees)))
	for _, t := range m.trees {
		b = binary.AppendUvarint(b, uint64(len(t)))
		for i := range t {
			b = t[i].append(b, m.Columns)
		}
	}
	return b
}

func (n *node) append(b []byte, columns []Column) []byte {
	b = binary.AppendUvarint(b, uint64(n.left))
	b = appendFloat(b, n.value)
	b = appendFloat(b, n.cover)
	if n.left == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(n.right))
	b = binary.AppendUvarint(b, uint64(n.column))
	b = appendFloat(b, n.gain)
	if n.missingLeft {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	if columns[n.column].Levels == 0 {
		return appendFloat(b, n.threshold)
	}
	for _, bits := range n.levels {
		b = binary.LittleEndian.AppendUint64(b, bits)
	}
	return b
}

func appendFloat(b []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
}

// reader reads an encoding; after a fault everything reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint(most uint64) int {
	x, n := binary.Uvarint(r.b)
	if n <= 0 || x > most {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(x)
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) float() float64 {
	x := math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
	if math.IsNaN(x) || math.IsInf(x, 0) {
		r.bad = true
	}
	return x
}

// Decode reads a model written by AppendBinary. It refuses anything that could
// not be walked.
func Decode(b []byte) (*Model, error) {
	r := &reader{b: b}
	head := r.take(2)
	if head[0] != codecVersion || head[1] > byte(Quantile) {
		return nil, errCorrupt
	}
	m := &Model{Objective: Objective(head[1])}
	for range r.uint(uint64(len(r.b))) {
		levels := r.uint(MaxLevels)
		m.Columns = append(m.Columns, Column{Levels: levels, Name: string(r.take(min(r.uint(uint64(len(r.b))), len(r.b))))})
	}
	m.base = r.float()
	for range r.uint(uint64(len(r.b))) {
		size := r.uint(uint64(len(r.b)))
		t := make(tree, 0, min(size, len(r.b)/16))
		for i := 0; i < size && !r.bad; i++ {
			t = append(t, r.node(i, size, m.Columns))
		}
		if size == 0 {
			r.bad = true
		}
		m.trees = append(m.trees, t)
		if r.bad {
			break
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errCorrupt
	}
	return m, nil
}

func (r *reader) node(at, size int, columns []Column) node {
	n := node{left: int32(r.uint(uint64(size))), value: r.float(), cover: r.float()}
	if n.left == 0 {
		return n
	}
	n.right = int32(r.uint(uint64(size)))
	n.column = int32(r.uint(uint64(len(columns))))
	n.gain = r.float()
	n.missingLeft = r.take(1)[0] == 1
	// Children stand after their parent, so that every walk ends.
	if int(n.left) <= at || int(n.right) <= at || int(n.left) >= size || int(n.right) >= size || int(n.column) >= len(columns) {
		r.bad = true
		return n
	}
	if columns[n.column].Levels == 0 {
		n.threshold = r.float()
		return n
	}
	for i := range n.levels {
		n.levels[i] = binary.LittleEndian.Uint64(r.take(8))
	}
	return n
}
