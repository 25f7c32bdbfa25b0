package condition

import "strings"

// Nearest returns the candidate most like name, or "" if none is alike enough
// to be what was meant: one edit, and one more for every four letters, letter case
// aside.
// Swapped neighbours count as one edit. Of equals the first wins.
func Nearest(name string, candidates []string) string {
	best, bestEdits := "", 2+(len(name)-1)/4
	low := strings.ToLower(name)
	for _, c := range candidates {
		if d := edits(low, strings.ToLower(c), bestEdits); d < bestEdits && d < len(c) {
			best, bestEdits = c, d
		}
	}
	return best
}

// edits is the optimal string alignment distance, or limit if it is not less.
func edits(a, b string, limit int) int {
	if len(a) > 100 || len(b) > 100 || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
