package linkage

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Normalize brings a value to the form in which it is compared: lower case,
// Latin letters without their marks, one blank between words, no punctuation
// beside what the kind needs; a date as yyyymmdd; a phone as digits. A value
// that says nothing ("n/a", "null", zeros) becomes empty.
func Normalize(k Kind, s string) string {
	switch k {
	case Date:
		s = date(s)
	case Phone:
		s = digits(s)
		if len(s) < 5 {
			s = ""
		}
	case Email:
		s = email(s)
	case Code:
		s = fold(s, false)
	default:
		s = fold(s, true)
	}
	if nothing(s) {
		return ""
	}
	return cut(s)
}

// cut keeps whole characters within maxValue bytes.
func cut(s string) string {
	if len(s) <= maxValue {
		return s
	}
	n := maxValue
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimSpace(s[:n])
}

func nothing(s string) bool {
	switch s {
	case "", "null", "none", "nan", "n a", "unknown", "undefined", "not set", "anonymous":
		return true
	}
	return strings.Trim(s, "0 ") == "" || len(s) > 3 && strings.Trim(s, s[:1]) == "" && s[0] < utf8.RuneSelf
}

// fold lowers and strips a text. With blanks it keeps one between words.
func fold(s string, blanks bool) string {
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	put := func(r rune) {
		if gap && blanks && b.Len() > 0 {
			b.WriteByte(' ')
		}
		gap = false
		b.WriteRune(r)
	}
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9'):
			put(r)
		case r >= 'A' && r <= 'Z':
			put(r + 'a' - 'A')
		case r == '\'' || r == '’' || r == '`' || r == '´':
		case r < utf8.RuneSelf:
			gap = true
		default:
			r = unicode.ToLower(r)
			if plain, ok := latin(r); ok {
				for _, p := range plain {
					put(p)
				}
			} else if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
				put(r)
			} else {
				gap = true
			}
		}
	}
	return b.String()
}

// latin returns a lower-case Latin letter without its marks, as people type it
// who have no key for it. Combining marks disappear.
func latin(r rune) (string, bool) {
	switch {
	case r >= 0x300 && r <= 0x36f:
		return "", true
	case r < 0xdf || r > 0x17f:
		return "", false
	}
	i := strings.IndexRune(marked, r)
	if i < 0 {
		switch r {
		case 'ß':
			return "ss", true
		case 'æ':
			return "ae", true
		case 'œ':
			return "oe", true
		case 'þ':
			return "th", true
		}
		return "", false
	}
	i = utf8.RuneCountInString(marked[:i])
	return unmarked[i : i+1], true
}

const (
	marked   = "àáâãäåāăąçćĉċčďđðèéêëēĕėęěĝğġģĥħìíîïĩīĭįıĵķĺļľŀłñńņňòóôõöøōŏőŕŗřśŝşšţťŧùúûüũūŭůűųŵýÿŷźżž"
	unmarked = "aaaaaaaaacccccdddeeeeeeeeegggghhiiiiiiiiijklllllnnnnooooooooorrrsssstttuuuuuuuuuuwyyyzzz"
)

// digits keeps the digits; a leading 00 or + is dropped, so that a number with
// its country and one without share their end.
func digits(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] >= '0' && s[i] <= '9' {
			b = append(b, s[i])
		}
	}
	return strings.TrimLeft(string(b), "0")
}

// date reads year-month-day, or the year last with a four-digit year; what is
// no date keeps its digits, so that a mistyped one still resembles the right one.
func date(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, "T "); i == 10 || i == 8 {
		s = s[:i] // a time of day
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) == 3 {
		pad := func(p string) string {
			if len(p) == 1 {
				return "0" + p
			}
			return p
		}
		switch {
		case len(parts[0]) == 4:
			return parts[0] + pad(parts[1]) + pad(parts[2])
		case len(parts[2]) == 4:
			day, month := pad(parts[0]), pad(parts[1])
			if month > "12" && day <= "12" { // month first
				day, month = month, day
			}
			return parts[2] + month + day
		}
	}
	all := strings.Join(parts, "")
	if len(all) < 4 {
		return ""
	}
	return all
}

func email(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if at := strings.LastIndexByte(s, '@'); at < 1 || at == len(s)-1 {
		return ""
	}
	return s
}
