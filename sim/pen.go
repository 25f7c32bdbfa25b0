package sim

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// pen writes events as JSON by hand: history has more than a million of them.
// Every method appends; the caller writes members in the order they should stand.
type pen struct {
	b     []byte
	comma bool
	day   int64 // the day whose date is in date
	date  [11]byte
}

func (p *pen) reset() { p.b, p.comma = p.b[:0], false }

func (p *pen) sep() {
	if p.comma {
		p.b = append(p.b, ',')
	}
	p.comma = true
}

// key must be plain ASCII without quotes: all keys are ours.
func (p *pen) key(k string) {
	p.sep()
	p.b = append(p.b, '"')
	p.b = append(p.b, k...)
	p.b = append(p.b, '"', ':')
}

func (p *pen) open()           { p.sep(); p.b = append(p.b, '{'); p.comma = false }
func (p *pen) object(k string) { p.key(k); p.b = append(p.b, '{'); p.comma = false }
func (p *pen) array(k string)  { p.key(k); p.b = append(p.b, '['); p.comma = false }
func (p *pen) end()            { p.b = append(p.b, '}'); p.comma = true }
func (p *pen) endArray()       { p.b = append(p.b, ']'); p.comma = true }
func (p *pen) str(k, v string) { p.key(k); p.b = appendString(p.b, v) }
func (p *pen) raw(k, v string) { p.key(k); p.b = append(p.b, v...) }
func (p *pen) num(k string, v int) {
	p.key(k)
	p.b = strconv.AppendInt(p.b, int64(v), 10)
}

// money writes an amount with two decimals.
func (p *pen) money(k string, v float64) {
	p.key(k)
	if v < 0 {
		p.b = append(p.b, '-')
		v = -v
	}
	cents := int64(v*100 + 0.5)
	p.b = strconv.AppendInt(p.b, cents/100, 10)
	p.b = append(p.b, '.', byte('0'+cents/10%10), byte('0'+cents%10))
}

func (p *pen) truth(k string, v bool) {
	p.key(k)
	p.b = strconv.AppendBool(p.b, v)
}

// when writes Unix milliseconds (not before 1970) as RFC 3339.
func (p *pen) when(k string, ms int64) {
	p.key(k)
	day, rest := ms/86_400_000, ms%86_400_000
	if day != p.day {
		p.day = day
		time.UnixMilli(ms).UTC().AppendFormat(p.date[:0], "2006-01-02T")
	}
	h, m, s, z := byte(rest/3_600_000), byte(rest/60_000%60), byte(rest/1000%60), rest%1000
	p.b = append(p.b, '"')
	p.b = append(p.b, p.date[:]...)
	p.b = append(p.b, '0'+h/10, '0'+h%10, ':', '0'+m/10, '0'+m%10, ':', '0'+s/10, '0'+s%10,
		'.', '0'+byte(z/100), '0'+byte(z/10%10), '0'+byte(z%10), 'Z', '"')
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
		}
	}
	return append(b, '"')
}
