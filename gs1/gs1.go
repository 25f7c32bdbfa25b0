// Package gs1 names things the way the world's products are already named: GS1
// keys with their check digits, Digital Link URIs, and EPC URNs at the edges.
//
// Parsing is total (any input gives a key or an Invalid error that says what is
// wrong where), allocates in proportion to its input and never reaches out. What
// was parsed and composed again is equal; canonical forms are unique per thing.
//
// Sources: GS1 General Specifications; GS1 Digital Link Standard: URI Syntax 1.4;
// GS1 Barcode Syntax Dictionary; EPC Tag Data Standard 2.1.
package gs1

import (
	"strings"

	"github.com/rapport-engine/rapport"
)

// Element is an Application Identifier with its value, unescaped: {"21", "ABC123"}.
type Element struct {
	AI    string `json:"ai"`
	Value string `json:"value"`
}

// CheckDigit returns the check digit that completes digits, by the GS1 modulo 10
// rule: weights 3 and 1 alternate from the right (General Specifications 7.9.1).
// ok is false when digits holds anything but digits.
func CheckDigit(digits string) (check byte, ok bool) {
	sum, weight := 0, 3
	for i := len(digits) - 1; i >= 0; i-- {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		sum += int(c-'0') * weight
		weight = 4 - weight
	}
	return byte('0' + (10-sum%10)%10), true
}

// CheckedDigits reports whether s is all digits and ends in its right check digit.
func CheckedDigits(s string) bool {
	if len(s) < 2 {
		return false
	}
	c, ok := CheckDigit(s[:len(s)-1])
	return ok && c == s[len(s)-1]
}

// ParseGTIN returns the 14-digit form of a GTIN-8, -12, -13 or -14. Spaces and
// hyphens, as people print them, are dropped. Errors are Invalid.
func ParseGTIN(s string) (string, error) {
	d := strings.NewReplacer(" ", "", "-", "").Replace(s)
	switch len(d) {
	case 8, 12, 13, 14:
	default:
		return "", rapport.Errorf(rapport.Invalid, "%q is not a GTIN: want 8, 12, 13 or 14 digits", clip(s))
	}
	if !allDigits(d) {
		return "", rapport.Errorf(rapport.Invalid, "%q is not a GTIN: digits only", clip(s))
	}
	if !CheckedDigits(d) {
		want, _ := CheckDigit(d[:len(d)-1])
		return "", rapport.Errorf(rapport.Invalid, "%q is not a GTIN: the check digit would be %c", clip(s), want)
	}
	return "00000000000000"[:14-len(d)] + d, nil
}

// clip keeps hostile input from filling a log line.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
