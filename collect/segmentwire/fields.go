package segmentwire

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/rapport-engine/rapport"
)

// parser turns values into the binary form of [rapport.Fields], which it
// appends to the arena. What is wrong with one event is noted in problem and
// does not stop the reading of the body.
type parser struct {
	scanner
	arena   []byte
	limits  Limits
	values  int // of the event at hand
	problem Problem
}

func (p *parser) note(code, path, why, fix string) {
	if p.problem.Code == "" {
		p.problem = Problem{Code: code, Path: path, Why: why, Fix: fix}
	}
}

// fields reads an object into Fields. null is the empty object, and so is an
// empty array, which is what PHP makes of one.
func (p *parser) fields(path string) (rapport.Fields, bool) {
	switch p.peek() {
	case '{':
		start := len(p.arena)
		if !p.members(2) {
			return nil, false
		}
		return rapport.Fields(p.arena[start:len(p.arena):len(p.arena)]), true
	case 'n':
		return nil, p.literal("null")
	}
	from := p.i
	if !p.skip(2) {
		return nil, false
	}
	if p.b[from] != '[' || p.i-from > 2 {
		p.note(CodeShape, path, "is not an object", "send "+path+" as a JSON object")
	}
	return nil, true
}

// members appends the members of the object that is next.
func (p *parser) members(depth int) bool {
	for more := p.open('}'); more; more = p.next('}') {
		raw, plain, ok := p.key()
		if !ok {
			return false
		}
		p.text(raw, plain)
		if !p.value(depth) {
			return false
		}
	}
	return p.fail == ""
}

// text appends a string with its length before it.
func (p *parser) text(raw []byte, plain bool) {
	if plain {
		p.arena = binary.AppendUvarint(p.arena, uint64(len(raw)))
		p.arena = append(p.arena, raw...)
		return
	}
	p.arena = append(p.arena, 0)
	start := len(p.arena)
	p.arena = unescape(p.arena, raw)
	p.arena = closeLength(p.arena, start)
}

// closeLength writes the length of b[start:] into the byte before start, and
// makes room if it takes more than that byte.
func closeLength(b []byte, start int) []byte {
	n := len(b) - start
	if n < 0x80 {
		b[start-1] = byte(n)
		return b
	}
	var length [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(length[:], uint64(n))
	b = append(b, length[1:k]...)
	copy(b[start+k-1:], b[start:start+n])
	copy(b[start-1:], length[:k])
	return b
}

// value appends the binary form of the value that is next; see [rapport.AppendValue].
func (p *parser) value(depth int) bool {
	p.values++
	c := p.peek()
	if p.values > p.limits.Values || ((c == '{' || c == '[') && depth >= p.limits.Depth) {
		if p.values > p.limits.Values {
			p.note(CodeValues, "", "has more than "+strconv.Itoa(p.limits.Values)+" values", "split the event, or send less detail")
		} else {
			p.note(CodeDepth, "", "is nested deeper than "+strconv.Itoa(p.limits.Depth)+" levels", "flatten the event")
		}
		p.arena = append(p.arena, byte(rapport.KindNull))
		return p.skip(depth)
	}
	switch c {
	case '"':
		raw, plain, ok := p.quoted()
		if !ok {
			return false
		}
		p.arena = append(p.arena, byte(rapport.KindString))
		p.text(raw, plain)
		return true
	case '{':
		p.arena = append(p.arena, byte(rapport.KindObject), 0)
		start := len(p.arena)
		if !p.members(depth + 1) {
			return false
		}
		p.arena = closeLength(p.arena, start)
		return true
	case '[':
		p.arena = append(p.arena, byte(rapport.KindArray), 0)
		start := len(p.arena)
		for more := p.open(']'); more; more = p.next(']') {
			if !p.value(depth + 1) {
				return false
			}
		}
		if p.fail != "" {
			return false
		}
		p.arena = closeLength(p.arena, start)
		return true
	case 't':
		p.arena = append(p.arena, byte(rapport.KindTrue))
		return p.literal("true")
	case 'f':
		p.arena = append(p.arena, byte(rapport.KindFalse))
		return p.literal("false")
	case 'n':
		p.arena = append(p.arena, byte(rapport.KindNull))
		return p.literal("null")
	}
	raw, f, exact, ok := p.number()
	if !ok {
		return false
	}
	if exact {
		p.arena = append(p.arena, byte(rapport.KindNumber))
		p.arena = binary.LittleEndian.AppendUint64(p.arena, math.Float64bits(f))
		return true
	}
	v := rapport.NumberText(alias(raw))
	if v.IsNull() {
		p.note(CodeNumber, "", "holds the number "+clip(raw)+", which is out of range", "send it as text")
	}
	p.arena = rapport.AppendValue(p.arena, v)
	return true
}

// clip returns the beginning of b for a message.
func clip(b []byte) string {
	if len(b) > 40 {
		return string(b[:40]) + "..."
	}
	return string(b)
}
