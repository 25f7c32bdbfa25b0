package identity

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"

	"github.com/rapport-engine/rapport"
)

// MaxIdentifier is the most bytes an identifier may have; longer ones identify nobody.
const MaxIdentifier = 512

// Normalize brings the value of an identifier to the one form it is known by
// under the rules by default, and reports false if it identifies nobody: empty,
// too long, or one of the values that programs send when they know no
// identifier ("null", zeros, ...). It allocates nothing for a value that is in
// its form already.
//
//   - email: trimmed, Unicode NFKC, lower case; one @ with something on both
//     sides; without what its provider ignores: +tags, at Gmail also dots
//   - phone: E.164 where the number says its country, else its digits alone
//   - all others: trimmed, Unicode NFC; case matters
func Normalize(kind, value string) (string, bool) { return (*Rules)(nil).Normalize(kind, value) }

// form brings a value to the form of its kind.
func (k *rule) form(value string) (string, bool) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > MaxIdentifier || isJunk(value) {
		return "", false
	}
	switch k.normalize {
	case rapport.KindEmail:
		return normalizeEmail(value, k.keepTags)
	case rapport.KindPhone:
		return normalizePhone(value, k.country)
	case "digits":
		value = strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, value)
	case "lower":
		value = strings.ToLower(norm.NFKC.String(value))
	}
	if isPlain(value) {
		return value, value != "" && !isJunk(value)
	}
	return text(norm.NFC.String(value))
}

func normalizeEmail(s string, keepTags bool) (string, bool) {
	if !isPlain(s) {
		s = norm.NFKC.String(s)
	}
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 || strings.ContainsFunc(s, unicode.IsSpace) || strings.HasSuffix(s, ".invalid") {
		return "", false
	}
	if !keepTags {
		s = foldEmail(s[:at], s[at+1:], s)
	}
	return text(s)
}

// foldEmail takes away what the provider of an address ignores; whole is
// returned if there is nothing.
func foldEmail(local, domain, whole string) string {
	folded := local
	switch domain {
	case "gmail.com", "googlemail.com":
		folded, _, _ = strings.Cut(local, "+")
		if strings.IndexByte(folded, '.') >= 0 {
			folded = strings.ReplaceAll(folded, ".", "")
		}
		if folded != "" && domain == "googlemail.com" {
			return folded + "@gmail.com"
		}
	case "outlook.com", "hotmail.com", "live.com", "msn.com", "icloud.com", "me.com", "fastmail.com", "proton.me", "protonmail.com":
		folded, _, _ = strings.Cut(local, "+")
	}
	if folded == "" || len(folded) == len(local) {
		return whole
	}
	return folded + "@" + domain
}

// normalizePhone reads numbers that begin with + or 00 with their country's
// rules. A national number is kept as digits: the same customer types it the
// same way, and guessing a country would unite strangers.
func normalizePhone(s, country string) (string, bool) {
	if !isPlain(s) {
		s = norm.NFKC.String(s)
	}
	s = strings.TrimPrefix(strings.TrimSpace(s), "tel:")
	international := strings.HasPrefix(s, "+") || strings.HasPrefix(s, "00")
	if international || country != "" {
		text := s
		if international && text[0] == '0' {
			text = "+" + text[2:]
		}
		if n, err := phonenumbers.Parse(text, cmp.Or(country, "ZZ")); err == nil && phonenumbers.IsPossibleNumber(n) {
			n.Extension = nil
			s := phonenumbers.Format(n, phonenumbers.E164)
			if n.GetItalianLeadingZero() && !isStable(s) {
				return "", false // no number of that country, and another each time it is read
			}
			return s, !isRepeated([]byte(s[1:]))
		}
	}
	digits := make([]byte, 0, 20)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case strings.IndexByte("+ -./()", c) < 0:
			return "", false
		}
	}
	if len(digits) < 5 || len(digits) > 15 || isJunk(string(digits)) || isRepeated(digits) {
		return "", false
	}
	return string(digits), true
}

// isStable reports whether a number reads as itself: of some that do not exist
// the rules of a country take a zero off each time.
func isStable(e164 string) bool {
	n, err := phonenumbers.Parse(e164, "ZZ")
	return err == nil && phonenumbers.Format(n, phonenumbers.E164) == e164
}

// isRepeated reports whether a number is one digit over and over, or counts up.
func isRepeated(digits []byte) bool {
	same, up := true, true
	for i := 1; i < len(digits); i++ {
		same = same && digits[i] == digits[0]
		up = up && digits[i] == (digits[i-1]-'0'+1)%10+'0'
	}
	return same || up
}

// isJunk reports whether a value is what programs write for "nobody".
func isJunk(s string) bool {
	if strings.Trim(s, "0-. ") == "" {
		return true // zeros in any shape: 0, 000-000, the zero UUID
	}
	if len(s) > len("[object object]") {
		return false
	}
	switch strings.ToLower(s) {
	case "null", "(null)", "<null>", "nil", "none", "undefined", "nan", "n/a", "na", "-1",
		"true", "false", "anonymous", "guest", "unknown", "not set", "(not set)", "[object object]", "{}", "[]":
		return true
	}
	return false
}

// isPlain reports whether s is printable ASCII, which every normal form leaves alone.
func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// text ends the normalisation of a value that was not plain from the start.
func text(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > MaxIdentifier || isJunk(s) || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", false
	}
	return s, true
}
