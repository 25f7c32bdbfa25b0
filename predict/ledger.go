package predict

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

const (
	// maxNames bounds a ledger: the names whose hashes are lowest stay, so that
	// what is kept is whole whatever the order of events.
	maxNames = 96
	// maxLines bounds a name: the newest stay.
	maxLines = 16
	maxName  = 64 // bytes
)

// ledger counts what happened to names (attributes, products) over time. It is
// a commutative monoid under merge.
type ledger []account // by name

type account struct {
	name  string
	hash  uint64
	lines []line // by at, then sign
}

type line struct {
	at   int32
	sign uint8
	n    int64
}

func (l line) compare(o line) int {
	return cmp.Or(cmp.Compare(l.at, o.at), cmp.Compare(l.sign, o.sign))
}

// hashName is FNV-1a with a final mix, so that names alike are spread.
func hashName(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15
}

func (l *ledger) add(name string, x line) {
	i, found := slices.BinarySearchFunc(*l, name, func(a account, name string) int { return strings.Compare(a.name, name) })
	if !found {
		hash := hashName(name)
		if len(*l) == maxNames {
			out := 0
			for k, a := range *l {
				if a.hash > (*l)[out].hash {
					out = k
				}
			}
			if hash > (*l)[out].hash {
				return
			}
			*l = slices.Delete(*l, out, out+1)
			if out < i {
				i--
			}
		}
		*l = slices.Insert(*l, i, account{name: strings.Clone(name), hash: hash})
	}
	a := &(*l)[i]
	k, found := slices.BinarySearchFunc(a.lines, x, line.compare)
	switch {
	case found:
		a.lines[k].n = addBounded(a.lines[k].n, x.n)
	case len(a.lines) < maxLines:
		a.lines = slices.Insert(a.lines, k, x)
	case k > 0:
		copy(a.lines, a.lines[1:k])
		a.lines[k-1] = x
	}
}

func (l *ledger) merge(o ledger) {
	for _, a := range o {
		for _, x := range a.lines {
			l.add(a.name, x)
		}
	}
}

func (l ledger) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for _, a := range l {
		b = binary.AppendUvarint(b, uint64(len(a.name)))
		b = append(b, a.name...)
		b = binary.AppendUvarint(b, uint64(len(a.lines)))
		last := int32(0)
		for _, x := range a.lines {
			b = binary.AppendVarint(b, int64(x.at)-int64(last))
			b = append(b, x.sign)
			b = binary.AppendVarint(b, x.n)
			last = x.at
		}
	}
	return b
}

// decoder reads what append wrote; after a fault everything reads as zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) uint(most uint64) int {
	x, n := binary.Uvarint(d.b)
	if n <= 0 || x > most {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return int(x)
}

func (d *decoder) int() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) text(n int) string {
	if n > len(d.b) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) ledger() ledger {
	var l ledger
	for range d.uint(maxNames) {
		a := account{name: d.text(d.uint(maxName))}
		a.hash = hashName(a.name)
		at := int64(0)
		for range d.uint(maxLines) {
			at += d.int()
			x := line{at: int32(at), sign: d.byte(), n: d.int()}
			if at > math.MaxInt32 || at < math.MinInt32 || len(a.lines) > 0 && a.lines[len(a.lines)-1].compare(x) >= 0 {
				d.fail()
			}
			a.lines = append(a.lines, x)
		}
		if d.bad || len(a.lines) == 0 || len(l) > 0 && l[len(l)-1].name >= a.name {
			d.fail()
			return nil
		}
		l = append(l, a)
	}
	return l
}

func (d *decoder) done(what string) error {
	if d.bad || len(d.b) > 0 {
		return rapport.Errorf(rapport.Internal, "stored %s of a person are damaged", what)
	}
	return nil
}
