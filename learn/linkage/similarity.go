package linkage

import (
	"math/bits"
	"unicode/utf8"
)

// JaroWinkler returns how alike two words are, from 0 to 1: Jaro's share of
// common characters less transpositions, raised for a common beginning of up
// to four. Characters are Unicode code points; of each word the first 64 count.
//
// W. E. Winkler, String Comparator Metrics and Enhanced Decision Rules in the
// Fellegi-Sunter Model of Record Linkage, 1990.
func JaroWinkler(a, b string) float64 {
	if a == b {
		return 1
	}
	if isASCII(a) && isASCII(b) {
		return jaroWinkler([]byte(a), []byte(b))
	}
	var x, y [64]rune
	return jaroWinkler(runes(a, &x), runes(b, &y))
}

func jaroWinkler[T byte | rune](a, b []T) float64 {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	window := max(max(len(a), len(b))/2-1, 0)
	var usedA, usedB uint64
	common := 0
	for i := range a {
		for j := max(0, i-window); j < min(len(b), i+window+1); j++ {
			if a[i] == b[j] && usedB&(1<<j) == 0 {
				usedA |= 1 << i
				usedB |= 1 << j
				common++
				break
			}
		}
	}
	if common == 0 {
		return 0
	}
	transposed := 0
	for x, y := usedA, usedB; x != 0; x, y = x&(x-1), y&(y-1) {
		if a[bits.TrailingZeros64(x)] != b[bits.TrailingZeros64(y)] {
			transposed++
		}
	}
	m := float64(common)
	jaro := (m/float64(len(a)) + m/float64(len(b)) + (m-float64(transposed/2))/m) / 3
	prefix := 0
	for prefix < min(len(a), len(b), 4) && a[prefix] == b[prefix] {
		prefix++
	}
	return jaro + float64(prefix)*0.1*(1-jaro)
}

// edits returns the optimal string alignment distance (insert, delete,
// substitute, exchange of neighbours), or limit+1 if it is above limit. Of each
// word the first 64 characters count.
func edits(a, b string, limit int) int {
	if isASCII(a) && isASCII(b) {
		return osa([]byte(a), []byte(b), limit)
	}
	var x, y [64]rune
	return osa(runes(a, &x), runes(b, &y), limit)
}

func osa[T byte | rune](a, b []T, limit int) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	// Only the band of cells within limit of the diagonal can be at most limit.
	var rows [3][66]int8
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range min(len(b), limit) + 1 {
		last[j] = int8(j)
	}
	far := int8(limit + 1)
	for j := limit + 1; j <= len(b); j++ {
		last[j] = far
	}
	for i := 1; i <= len(a); i++ {
		from, to := max(1, i-limit), min(len(b), i+limit)
		row[from-1] = far
		if from == 1 {
			row[0] = int8(min(i, limit+1))
		}
		least := row[from-1]
		for j := from; j <= to; j++ {
			d := last[j-1]
			if a[i-1] != b[j-1] {
				d = min(d, last[j], row[j-1]) + 1
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					d = min(d, before[j-2]+1)
				}
			}
			row[j] = d
			least = min(least, d)
		}
		if to < len(b) {
			row[to+1] = far
		}
		if least >= far {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return min(int(last[len(b)]), limit+1)
}

// dice returns the share of pairs of neighbouring characters two texts have in
// common, whatever the order of their words.
func dice(a, b string) float64 {
	if len(a) < 2 || len(b) < 2 {
		return 0
	}
	var x [maxValue]uint16
	n := 0
	for i := 0; i+1 < min(len(a), maxValue); i++ {
		if a[i] != ' ' && a[i+1] != ' ' {
			x[n] = uint16(a[i])<<8 | uint16(a[i+1])
			n++
		}
	}
	common, m, left := 0, 0, n
	for i := 0; i+1 < min(len(b), maxValue); i++ {
		if b[i] == ' ' || b[i+1] == ' ' {
			continue
		}
		m++
		g := uint16(b[i])<<8 | uint16(b[i+1])
		for j := range left {
			if x[j] == g {
				common++
				left--
				x[j] = x[left]
				break
			}
		}
	}
	if n+m == 0 {
		return 0
	}
	return 2 * float64(common) / float64(n+m)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func runes(s string, buf *[64]rune) []rune {
	n := 0
	for _, r := range s {
		if n == len(buf) {
			break
		}
		buf[n] = r
		n++
	}
	return buf[:n]
}
