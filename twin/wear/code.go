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
	b = rapport.AppendFloat(b, l.told)
	for i := range l.running {
		for _, x := range floats(&l.running[i]) {
			b = rapport.AppendFloat(b, *x)
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
	d := rapport.NewDecoder(b)
	atMost := func(most uint64) uint64 {
		x := d.Uvarint()
		if x > most {
			d.Fail()
			return 0
		}
		return x
	}
	l.asked = d.Uint64()
	l.tenure, l.number = uint32(atMost(math.MaxUint32)), uint32(atMost(math.MaxUint32))
	flags := atMost(3)
	l.middle, l.warned = flags&1 != 0, flags&2 != 0
	running, ended := atMost(catalog.MaxLifeReadings), atMost(kept)
	for _, x := range l.whole() {
		*x = d.Varint()
	}
	l.told = d.Float()
	if running > 0 {
		l.running = make([]survival.Running, running)
	}
	for i := range l.running {
		for _, x := range floats(&l.running[i]) {
			*x = d.Float()
		}
	}
	for range ended {
		l.ended = append(l.ended, Ended{uint32(atMost(math.MaxUint32)), d.Varint(), d.Varint()})
	}
	if !d.Done() || l.asked == 0 {
		*l = Life{}
		return rapport.Errorf(rapport.Internal, "the stored life of an item is damaged")
	}
	return nil
}
