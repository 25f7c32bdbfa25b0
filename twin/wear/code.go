package wear

import (
	"encoding/binary"
	"math"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/learn/survival"
)

// whole lists the numbers of a life without those of its lists.
func (l *Life) whole() []*int64 {
	return []*int64{&l.began, &l.last, &l.rows, &l.stride, &l.looked, &l.toldAt}
}

func floats(r *survival.Running) []*float64 {
	return []*float64{&r.N, &r.Begin, &r.Fast, &r.Slow, &r.Long, &r.Sq, &r.Wear}
}

// AppendBinary implements engine.State.
func (l *Life) AppendBinary(b []byte) []byte {
	if l.asked == 0 {
		return b
	}
	b = binary.LittleEndian.AppendUint64(b, l.asked)
	flags := uint64(0)
	if l.middle {
		flags |= 1
	}
	if l.warned {
		flags |= 2
	}
	for _, x := range []uint64{uint64(l.tenure), uint64(l.number), flags, uint64(len(l.running)), uint64(len(l.ended))} {
		b = binary.AppendUvarint(b, x)
	}
	for _, x := range l.whole() {
		b = binary.AppendVarint(b, *x)
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(l.told))
	for i := range l.running {
		for _, x := range floats(&l.running[i]) {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(*x))
		}
	}
	for _, x := range l.ended {
		b = binary.AppendUvarint(b, uint64(x.number))
		b = binary.AppendVarint(binary.AppendVarint(b, x.At), x.Rows)
	}
	return b
}

// DecodeBinary implements engine.State.
func (l *Life) DecodeBinary(b []byte) error {
	*l = Life{}
	if len(b) == 0 {
		return nil
	}
	bad := false
	fixed := func() uint64 {
		if len(b) < 8 {
			bad, b = true, nil
			return 0
		}
		x := binary.LittleEndian.Uint64(b)
		b = b[8:]
		return x
	}
	natural := func(most uint64) uint64 {
		x, n := binary.Uvarint(b)
		if n <= 0 || x > most {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return x
	}
	whole := func() int64 {
		x, n := binary.Varint(b)
		if n <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return x
	}
	l.asked = fixed()
	l.tenure, l.number = uint32(natural(math.MaxUint32)), uint32(natural(math.MaxUint32))
	flags := natural(3)
	l.middle, l.warned = flags&1 != 0, flags&2 != 0
	running, ended := natural(catalog.MaxLifeReadings), natural(kept)
	for _, x := range l.whole() {
		*x = whole()
	}
	l.told = math.Float64frombits(fixed())
	if running > 0 {
		l.running = make([]survival.Running, running)
	}
	for i := range l.running {
		for _, x := range floats(&l.running[i]) {
			*x = math.Float64frombits(fixed())
		}
	}
	for range ended {
		l.ended = append(l.ended, Ended{uint32(natural(math.MaxUint32)), whole(), whole()})
	}
	if bad || len(b) > 0 || l.asked == 0 {
		*l = Life{}
		return rapport.Errorf(rapport.Internal, "the stored life of an item is damaged")
	}
	return nil
}
