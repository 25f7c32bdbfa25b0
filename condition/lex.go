package condition

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rapport-engine/rapport"
)

// SyntaxError says what is wrong with a condition and where. Line and Column
// count from 1, columns in characters.
type SyntaxError struct {
	Text   string // the whole condition
	Offset int    // bytes before the token
	Line   int
	Column int
	Msg    string
}

// Error returns position and message on one line.
func (e *SyntaxError) Error() string {
	return "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Column) + ": " + e.Msg
}

// Caret returns the line of text the error is in, and below it a caret under the token.
func (e *SyntaxError) Caret() string {
	start := strings.LastIndexByte(e.Text[:e.Offset], '\n') + 1
	line, _, _ := strings.Cut(e.Text[start:], "\n")
	var pad strings.Builder
	for _, r := range e.Text[start:e.Offset] {
		if r == '\t' {
			pad.WriteByte('\t')
		} else {
			pad.WriteByte(' ')
		}
	}
	return line + "\n" + pad.String() + "^"
}

func syntaxError(text string, offset int, msg string) error {
	offset = min(max(offset, 0), len(text))
	line := 1 + strings.Count(text[:offset], "\n")
	start := strings.LastIndexByte(text[:offset], '\n') + 1
	return rapport.Errorf(rapport.Invalid, "%w", &SyntaxError{
		Text: text, Offset: offset, Line: line, Column: 1 + utf8.RuneCountInString(text[start:offset]), Msg: msg,
	})
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenString
	tokenNumber
	tokenMark // an operator or bracket
)

type token struct {
	kind tokenKind
	text string // name, mark, number text, or the string's value
	at   int
}

// describe names a token in an error.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end"
	case tokenString:
		return "the text " + quote(t.text)
	}
	return t.text
}

type lexer struct {
	text string
	pos  int
}

var marks = [...]string{"&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/"}

func (l *lexer) fail(at int, msg string) error { return syntaxError(l.text, at, msg) }

func (l *lexer) next() (token, error) {
	l.skipBlank()
	at := l.pos
	if at == len(l.text) {
		return token{at: at}, nil
	}
	c := l.text[at]
	switch {
	case (c == 'r' || c == 'R') && at+1 < len(l.text) && (l.text[at+1] == '"' || l.text[at+1] == '\''):
		l.pos++
		return l.str(at, true)
	case c == '"' || c == '\'':
		return l.str(at, false)
	case isLetter(c):
		for l.pos < len(l.text) && (isLetter(l.text[l.pos]) || isDigit(l.text[l.pos])) {
			l.pos++
		}
		return token{tokenName, l.text[at:l.pos], at}, nil
	case isDigit(c):
		return l.number(at)
	}
	for _, m := range marks {
		if strings.HasPrefix(l.text[at:], m) {
			l.pos += len(m)
			return token{tokenMark, m, at}, nil
		}
	}
	switch c {
	case '=':
		return token{}, l.fail(at, "one = does not compare; write ==")
	case '&':
		return token{}, l.fail(at, "one & is no operator; write && for and")
	case '|':
		return token{}, l.fail(at, "one | is no operator; write || for or")
	case '%':
		return token{}, l.fail(at, "% is no operator here; there are + - * /")
	case '?':
		return token{}, l.fail(at, "there is no choice with ? : here; write (a && b) || (!a && c)")
	}
	r, _ := utf8.DecodeRuneInString(l.text[at:])
	return token{}, l.fail(at, strconv.QuoteRune(r)+` has no meaning here; names with other than letters, digits and _ are written traits["first name"]`)
}

// skipBlank skips white space and // comments.
func (l *lexer) skipBlank() {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			l.pos++
		case strings.HasPrefix(l.text[l.pos:], "//"):
			end := strings.IndexByte(l.text[l.pos:], '\n')
			if end < 0 {
				end = len(l.text) - l.pos
			}
			l.pos += end
		default:
			return
		}
	}
}

func (l *lexer) digits() bool {
	from := l.pos
	for l.pos < len(l.text) && isDigit(l.text[l.pos]) {
		l.pos++
	}
	return l.pos > from
}

func (l *lexer) number(at int) (token, error) {
	l.digits()
	if l.pos+1 < len(l.text) && l.text[l.pos] == '.' && isDigit(l.text[l.pos+1]) {
		l.pos++
		l.digits()
	}
	if l.pos < len(l.text) && (l.text[l.pos] == 'e' || l.text[l.pos] == 'E') {
		l.pos++
		if l.pos < len(l.text) && (l.text[l.pos] == '+' || l.text[l.pos] == '-') {
			l.pos++
		}
		if !l.digits() {
			return token{}, l.fail(at, "the number has no digits after e")
		}
	}
	if l.pos < len(l.text) && isLetter(l.text[l.pos]) {
		return token{}, l.fail(at, `a number ends in letters; a length of time is written duration("30d")`)
	}
	text := l.text[at:l.pos]
	if len(text) > 1 && text[0] == '0' && isDigit(text[1]) {
		return token{}, l.fail(at, "a number must not begin with 0")
	}
	if rapport.NumberText(text).IsNull() {
		return token{}, l.fail(at, "the number is too large")
	}
	return token{tokenNumber, text, at}, nil
}

func (l *lexer) str(at int, raw bool) (token, error) {
	end := l.text[l.pos]
	l.pos++
	var b strings.Builder
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		l.pos++
		switch {
		case c == end:
			return token{tokenString, b.String(), at}, nil
		case c == '\n':
			return token{}, l.fail(at, "the text is not closed on its line")
		case c == '\\' && !raw:
			if err := l.escape(&b); err != nil {
				return token{}, err
			}
		case c < utf8.RuneSelf:
			b.WriteByte(c)
		default:
			r, n := utf8.DecodeRuneInString(l.text[l.pos-1:])
			if r == utf8.RuneError && n == 1 {
				return token{}, l.fail(l.pos-1, "the text is not UTF-8")
			}
			b.WriteRune(r)
			l.pos += n - 1
		}
	}
	return token{}, l.fail(at, "the text is not closed: "+string(end)+" is missing")
}

var escapes = map[byte]byte{'"': '"', '\'': '\'', '\\': '\\', '/': '/', '`': '`', '?': '?', 'n': '\n', 'r': '\r', 't': '\t', 'a': '\a', 'b': '\b', 'f': '\f', 'v': '\v'}

// escape reads what follows a backslash.
func (l *lexer) escape(b *strings.Builder) error {
	at := l.pos - 1
	if l.pos == len(l.text) {
		return l.fail(at, "the text ends in a lone backslash")
	}
	c := l.text[l.pos]
	l.pos++
	if e, ok := escapes[c]; ok {
		b.WriteByte(e)
		return nil
	}
	digits := map[byte]int{'u': 4, 'U': 8}[c]
	if digits == 0 {
		return l.fail(at, `unknown escape; there are \" \' \\ \n \r \t \uXXXX, and in r"..." a backslash is itself`)
	}
	if l.pos+digits <= len(l.text) {
		if n, err := strconv.ParseUint(l.text[l.pos:l.pos+digits], 16, 32); err == nil && utf8.ValidRune(rune(n)) {
			b.WriteRune(rune(n))
			l.pos += digits
			return nil
		}
	}
	return l.fail(at, `\`+string(c)+" wants the "+strconv.Itoa(digits)+" hexadecimal digits of a character")
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// isName reports whether s can be written after a dot.
func isName(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (i == 0 || !isDigit(s[i])) {
			return false
		}
	}
	return s != "" && s != "in" && s != "true" && s != "false" && s != "null"
}

// quote writes s as a condition's text literal.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029:
			h := strconv.FormatInt(int64(r), 16)
			b.WriteString(`\u` + "0000"[len(h):] + h)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
