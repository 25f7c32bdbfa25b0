package gs1

import (
	"strings"
)

const (
	// set82 is GS1 AI encodable character set 82 beyond letters and digits (General Specifications figure 7.11-1).
	set82 = `!"%&'()*+,-./:;<=>?_`
	set39 = "#-/"
)

func inSet(set, c byte) bool {
	digit := c >= '0' && c <= '9'
	upper := c >= 'A' && c <= 'Z'
	lower := c >= 'a' && c <= 'z'
	switch set {
	case 'N':
		return digit
	case 'Y':
		return digit || upper || strings.IndexByte(set39, c) >= 0
	case 'Z':
		return digit || upper || lower || c == '-' || c == '_' || c == '='
	}
	return digit || upper || lower || strings.IndexByte(set82, c) >= 0
}

// lint applies one named rule of the dictionary to a component and returns what
// is wrong with it, or "". Rules that need lists kept by other bodies (countries,
// media types, coupons) are left to whoever uses the value.
func lint(rule, s string) string {
	switch rule {
	case "csum":
		if !CheckedDigits(s) {
			want, _ := CheckDigit(s[:len(s)-1])
			return "the check digit would be " + string(rune(want))
		}
	case "csumalpha":
		if !checkedPair(s) {
			return "the check characters are wrong"
		}
	case "gcppos1", "gcppos2":
		p := s[len(rule)-len("gcppos1"):]
		if rule == "gcppos2" {
			p = s[1:]
		}
		if len(p) < 4 || !allDigits(p[:4]) {
			return "it has no company prefix"
		}
	case "yymmdd", "yymmd0":
		if !dateOf(s, rule == "yymmd0") {
			return "it is not a date YYMMDD"
		}
	case "yyyymmdd":
		if !dateOf(s[2:], false) {
			return "it is not a date YYYYMMDD"
		}
	case "hhmi":
		if s[:2] > "23" || s[2:] > "59" {
			return "it is not a time HHMM"
		}
	case "hh":
		if s > "23" {
			return "it is not an hour"
		}
	case "mi", "ss":
		if s > "59" {
			return "it is not a minute or second"
		}
	case "nonzero":
		if strings.Trim(s, "0") == "" {
			return "zero is not allowed"
		}
	case "zero":
		if strings.Trim(s, "0") != "" {
			return "the first digit must be 0"
		}
	case "nozeroprefix":
		if len(s) > 1 && s[0] == '0' {
			return "a leading zero is not allowed"
		}
	case "yesno":
		if s > "1" {
			return "want 0 or 1"
		}
	case "iso5218":
		if !strings.Contains("0129", s) {
			return "want 0, 1, 2 or 9"
		}
	case "winding":
		if !strings.Contains("019", s) {
			return "want 0, 1 or 9"
		}
	case "hyphen":
		if strings.Trim(s, "-") != "" {
			return "only a minus sign may follow"
		}
	case "hasnondigit":
		if allDigits(s) {
			return "a character that is no digit is needed"
		}
	case "pieceoftotal":
		if s[:2] == "00" || s[2:] == "00" || s[:2] > s[2:] {
			return "the piece is not one of the total"
		}
	case "pcenc":
		if !percentEncoded(s) {
			return "a percent sign must begin an escape"
		}
	case "iban":
		if !ibanOK(s) {
			return "the IBAN's check digits are wrong"
		}
	case "latitude":
		if s > "1800000000" {
			return "it is not a latitude"
		}
	case "longitude":
		if s > "3600000000" {
			return "it is not a longitude"
		}
	case "iso3166alpha2":
		if s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
			return "it is not a country"
		}
	}
	return ""
}

// dateOf checks YYMMDD; zero allows the day 00, which means the whole month.
func dateOf(s string, zero bool) bool {
	month := int(s[2]-'0')*10 + int(s[3]-'0')
	day := int(s[4]-'0')*10 + int(s[5]-'0')
	if month < 1 || month > 12 {
		return false
	}
	if day == 0 {
		return zero
	}
	last := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	// Two-digit years span a century in which every fourth year but one is a leap year; 00 is 2000.
	if month == 2 && (int(s[0]-'0')*10+int(s[1]-'0'))%4 == 0 {
		last = 29
	}
	return day <= last
}

// checkedPair verifies the two check characters of a GMN: weights are the primes
// upwards from the right, modulo 1021 (General Specifications 7.9.5).
func checkedPair(s string) bool {
	if len(s) < 3 {
		return false
	}
	primes := [...]int{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83}
	const values = `!"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz`
	const checks = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	body, pair := s[:len(s)-2], s[len(s)-2:]
	if len(body) > len(primes) {
		return false
	}
	sum := 0
	for i := range len(body) {
		v := strings.IndexByte(values, body[i])
		if v < 0 {
			return false
		}
		sum += v * primes[len(body)-1-i]
	}
	sum %= 1021
	return pair[0] == checks[sum>>5] && pair[1] == checks[sum&31]
}

func percentEncoded(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return false
			}
			i += 2
		}
	}
	return true
}

// ibanOK applies ISO 7064 modulo 97 to the rearranged number (ISO 13616).
func ibanOK(s string) bool {
	if len(s) < 5 {
		return false
	}
	mod := 0
	for _, c := range []byte(s[4:] + s[:4]) {
		switch {
		case c >= '0' && c <= '9':
			mod = (mod*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			mod = (mod*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return mod == 1
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
