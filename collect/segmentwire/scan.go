package segmentwire

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/rapport-engine/rapport"
)

// scanner reads JSON (RFC 8259) from a body. It is strict about grammar and,
// like browsers, lenient about broken Unicode, which becomes U+FFFD. After a
// syntax error it stays failed, so that callers may check once.
type scanner struct {
	b    []byte
	i    int
	fail string // what was expected; empty while all is well
}

// bodyDepth is the nesting beyond which a body is refused as a whole.
const bodyDepth = 512

func (s *scanner) broken(want string) bool {
	if s.fail == "" {
		s.fail = want
	}
	return false
}

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\n', '\t', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) literal(word string) bool {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.broken("a value")
	}
	s.i += len(word)
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// quoted reads a string whose opening quote is next and returns what stands
// between the quotes. plain is false if that must go through [unescape].
func (s *scanner) quoted() (raw []byte, plain, ok bool) {
	start := s.i + 1
	i, ascii, escaped := start, true, false
	b := s.b
	for {
		// Eight bytes at a time: the lowest flagged byte of the word is a
		// quote, a backslash, a control character or not ASCII.
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			quote, slash := x^(ones*'"'), x^(ones*'\\')
			flagged := ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*0x20)&^x | x) & highs
			if flagged == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(flagged) / 8
			break
		}
		if i >= len(b) {
			return nil, false, s.broken("the end of a string")
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			raw = b[start:i:i]
			return raw, !escaped && (ascii || utf8.Valid(raw)), true
		case c == '\\':
			escaped = true
			n := escapeLength(b[i:])
			if n == 0 {
				s.i = i
				return nil, false, s.broken("a valid escape")
			}
			i += n
		case c < 0x20:
			s.i = i
			return nil, false, s.broken("no control character in a string")
		default:
			if c >= utf8.RuneSelf {
				ascii = false
			}
			i++
		}
	}
}

func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape appends the text of a quoted string whose escapes are well formed.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			if c < utf8.RuneSelf {
				dst = append(dst, c)
				i++
				continue
			}
			r, n := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		c = raw[i+1]
		i += 2
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(raw[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(raw)-i >= 6 && raw[i] == '\\' && raw[i+1] == 'u' {
					low, _ := hex4(raw[i+2:])
					pair = utf16.DecodeRune(r, low)
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number reads a number and returns its text, and its value if exact is true.
// Up to 15 characters without an exponent are an integer below 2^53 divided by
// a power of ten below 10^15: both are exact, so one division rounds right.
func (s *scanner) number() (raw []byte, f float64, exact, ok bool) {
	b, start := s.b, s.i
	i := start
	if i < len(b) && b[i] == '-' {
		i++
	}
	digits := i
	var mantissa uint64
	for i < len(b) && b[i]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		i++
	}
	if i == digits || (b[digits] == '0' && i > digits+1) {
		return nil, 0, false, s.broken("a number")
	}
	fraction := 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && b[i]-'0' <= 9 {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			i++
		}
		if fraction = i - point; fraction == 0 {
			return nil, 0, false, s.broken("a digit after the point")
		}
	}
	exact = i-start <= 15
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		exact = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		power := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		if i == power {
			return nil, 0, false, s.broken("a digit in the exponent")
		}
	}
	s.i = i
	raw = b[start:i:i]
	if exact {
		f = float64(mantissa)
		if fraction > 0 {
			f /= pow10[fraction]
		}
		if raw[0] == '-' {
			f = -f
		}
	}
	return raw, f, exact, true
}

// skip reads one value and forgets it.
func (s *scanner) skip(depth int) bool {
	if depth > bodyDepth {
		return s.broken("less than " + strconv.Itoa(bodyDepth) + " levels of nesting")
	}
	switch c := s.peek(); c {
	case '{':
		for more := s.open('}'); more; more = s.next('}') {
			if _, _, ok := s.key(); !ok || !s.skip(depth+1) {
				return false
			}
		}
		return s.fail == ""
	case '[':
		for more := s.open(']'); more; more = s.next(']') {
			if !s.skip(depth + 1) {
				return false
			}
		}
		return s.fail == ""
	case '"':
		_, _, ok := s.quoted()
		return ok
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		_, _, _, ok := s.number()
		return ok
	}
}

// open steps into an object or array and reports whether it has a first member.
func (s *scanner) open(end byte) bool {
	s.i++
	if s.peek() == end {
		s.i++
		return false
	}
	return true
}

// next steps past a member and reports whether another follows.
func (s *scanner) next(end byte) bool {
	switch c := s.peek(); c {
	case ',':
		s.i++
		return true
	case end:
		s.i++
		return false
	}
	return s.broken("a comma or the end of the list")
}

// key reads a member's name and the colon.
func (s *scanner) key() (raw []byte, plain, ok bool) {
	if s.peek() != '"' {
		return nil, false, s.broken("a name in quotes")
	}
	raw, plain, ok = s.quoted()
	if ok && s.peek() != ':' {
		return nil, false, s.broken("a colon")
	}
	s.i++
	return raw, plain, ok
}

// err returns the syntax error, or nil.
func (s *scanner) err() error {
	if s.fail == "" {
		return nil
	}
	return rapport.WithHint(
		rapport.Errorf(rapport.Invalid, "the body is not JSON: expected %s at byte %d", s.fail, s.i),
		"send one JSON object, plain or compressed with gzip")
}

// alias returns b as a string that shares its memory.
func alias(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
