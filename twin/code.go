package twin

import (
	"encoding/binary"
	"math"

	"github.com/rapport-engine/rapport"
)

// coder writes a state, or reads what it wrote: one list of fields serves both,
// so that they cannot disagree. After a failure reads give zeros.
type coder struct {
	b       []byte
	reading bool
	bad     bool
}

func (c *coder) int(v *int64) {
	if !c.reading {
		c.b = binary.AppendVarint(c.b, *v)
		return
	}
	x, n := binary.Varint(c.b)
	*v = x
	c.skip(n)
}

func (c *coder) uint(v *uint32) {
	x := int64(*v)
	c.int(&x)
	*v = uint32(x)
}

func (c *coder) bool(v *bool) {
	x := int64(0)
	if *v {
		x = 1
	}
	c.int(&x)
	*v = x != 0
}

func (c *coder) float(v *float64) {
	if !c.reading {
		c.b = binary.LittleEndian.AppendUint64(c.b, math.Float64bits(*v))
		return
	}
	if len(c.b) < 8 {
		c.skip(-1)
		*v = 0
		return
	}
	*v = math.Float64frombits(binary.LittleEndian.Uint64(c.b))
	c.b = c.b[8:]
}

func (c *coder) bytes(v *[]byte) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, uint64(len(*v)))
		c.b = append(c.b, *v...)
		return
	}
	*v = append([]byte(nil), c.take()...)
}

func (c *coder) take() []byte {
	n, k := binary.Uvarint(c.b)
	if k <= 0 || n > uint64(len(c.b)-k) {
		c.skip(-1)
		return nil
	}
	p := c.b[k : k+int(n)]
	c.b = c.b[k+int(n):]
	return p
}

func (c *coder) fields(v *rapport.Fields) { c.bytes((*[]byte)(v)) }

func (c *coder) text(v *string) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, uint64(len(*v)))
		c.b = append(c.b, *v...)
		return
	}
	*v = string(c.take())
}

func (c *coder) id(v *rapport.ID) {
	if !c.reading {
		if v.IsZero() {
			c.b = append(c.b, 0)
			return
		}
		c.b = append(append(c.b, 1), v[:]...)
		return
	}
	*v = rapport.ID{}
	if len(c.b) == 0 {
		c.skip(-1)
		return
	}
	has := c.b[0] == 1
	c.b = c.b[1:]
	if !has {
		return
	}
	if len(c.b) < len(v) {
		c.skip(-1)
		return
	}
	c.b = c.b[copy(v[:], c.b):]
}

func (c *coder) skip(n int) {
	if n <= 0 {
		c.bad, c.b = true, nil
		return
	}
	c.b = c.b[n:]
}

// list codes the elements of a list; each takes at least one byte.
func list[T any](c *coder, v *[]T, one func(*T)) {
	n := int64(len(*v))
	c.int(&n)
	if c.reading {
		if n < 0 || n > int64(len(c.b)) {
			c.skip(-1)
			n = 0
		}
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		one(&(*v)[i])
	}
}

func (c *coder) done(what string) error {
	if c.bad || len(c.b) > 0 {
		return rapport.Errorf(rapport.Internal, "stored %s is damaged", what)
	}
	return nil
}

// str reads a text property.
func str(f rapport.Fields, key string) string {
	v, _ := f.Get(key)
	return v.Str()
}

func num(f rapport.Fields, key string) int64 {
	v, _ := f.Get(key)
	x, _ := v.Number()
	return int64(x)
}

// clip copies a text out of the record buffer, at most so many bytes of it.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return string(append([]byte(nil), s...))
}
