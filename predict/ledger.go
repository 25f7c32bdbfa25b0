package predict

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
)

const (
	// maxNames bounds a ledger: the names whose hashes are lowest stay, so that
	// what is kept is whole whatever the order of events.
	maxNames = 96
	// maxLines bounds a name: the newest stay.
	maxLines = 16
	// leastLine is the least bytes a line takes when it is stored.
	leastLine = 3
	maxName   = 64 // bytes
)

// ledger counts what happened to names (attributes, products) over time. It is
// a commutative monoid under merge.
type ledger []account // by name

type account struct {
	name  string
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

// add counts x under a name and returns the name, or "" if it is put out.
func (l *ledger) add(name []byte, x line) string {
	i, found := find(*l, name)
	if !found {
		text := string(name)
		if len(*l) == maxNames {
			out, highest := 0, uint64(0)
			for k := range *l {
				if h := hashName((*l)[k].name); h > highest {
					out, highest = k, h
				}
			}
			if hashName(text) > highest {
				return ""
			}
			*l = slices.Delete(*l, out, out+1)
			if out < i {
				i--
			}
		}
		*l = slices.Insert(*l, i, account{name: text})
	}
	a := &(*l)[i]
	k, same := slices.BinarySearchFunc(a.lines, x, line.compare)
	switch {
	case same:
		a.lines[k].n = addBounded(a.lines[k].n, x.n)
	case len(a.lines) < maxLines:
		a.lines = slices.Insert(a.lines, k, x)
	case k > 0:
		copy(a.lines, a.lines[1:k])
		a.lines[k-1] = x
	}
	return a.name
}

// find returns the place of a name.
func find[T string | []byte](l ledger, name T) (int, bool) {
	low, high := 0, len(l)
	for low < high {
		if mid := int(uint(low+high) / 2); l[mid].name < string(name) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(l) && l[low].name == string(name)
}

func (l *ledger) merge(o ledger) {
	for _, a := range o {
		name := []byte(a.name)
		for _, x := range a.lines {
			l.add(name, x)
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
	b    []byte
	all  string // everything, of which texts are pieces
	bad  bool
	line []line // room for those of many names
}

func newDecoder(b []byte) *decoder { return &decoder{b: b, all: string(b)} }

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
	at := len(d.all) - len(d.b)
	d.b = d.b[n:]
	return d.all[at : at+n]
}

// ledger reads a ledger, in the memory of one that is not needed any more.
func (d *decoder) ledger(l ledger) ledger {
	l = l[:0]
	for range d.uint(maxNames) {
		a := account{name: d.text(d.uint(maxName))}
		at := int64(0)
		lines := d.uint(maxLines)
		if cap(d.line)-len(d.line) < lines {
			d.line = make([]line, 0, max(lines, min(len(d.b)/leastLine, 64)))
		}
		a.lines = d.line[len(d.line) : len(d.line) : len(d.line)+lines]
		d.line = d.line[:len(d.line)+lines]
		for range lines {
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
