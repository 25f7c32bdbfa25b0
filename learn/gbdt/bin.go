package gbdt

import (
	"math"
	"slices"
)

// binned is the table as bin numbers, column by column. Bin 0 holds what is
// missing; a number's bin i > 0 holds what is above cuts[i-2] and at most
// cuts[i-1]; a category's bin is its code + 1.
type binned struct {
	bins  [][]uint8
	cuts  [][]float64
	count []int // bins of each column
	first []int // where a column's bins begin in a histogram
	total int
}

func bin(columns []Column, rows [][]float64, most int) *binned {
	b := &binned{
		bins:  make([][]uint8, len(columns)),
		cuts:  make([][]float64, len(columns)),
		count: make([]int, len(columns)),
		first: make([]int, len(columns)),
	}
	flat := make([]uint8, len(rows)*len(columns))
	values := make([]float64, 0, len(rows))
	for c, column := range columns {
		b.bins[c] = flat[c*len(rows) : (c+1)*len(rows)]
		b.first[c] = b.total
		if column.Levels > 0 {
			b.count[c] = column.Levels + 1
			for i, row := range rows {
				if x := row[c]; x >= 0 && x < float64(column.Levels) {
					b.bins[c][i] = uint8(x) + 1
				}
			}
		} else {
			values = values[:0]
			for _, row := range rows {
				if !math.IsNaN(row[c]) {
					values = append(values, row[c])
				}
			}
			slices.Sort(values)
			b.cuts[c] = cut(values, most)
			b.count[c] = len(b.cuts[c]) + 2
			for i, row := range rows {
				if x := row[c]; !math.IsNaN(x) {
					at, _ := slices.BinarySearch(b.cuts[c], x)
					b.bins[c][i] = uint8(at) + 1
				}
			}
		}
		b.total += b.count[c]
	}
	return b
}

// cut places at most most-1 borders between sorted values, half way between
// neighbours: all of them if few values differ, else so that bins hold about
// the same number of rows and a frequent value has a bin of its own.
func cut(values []float64, most int) []float64 {
	var distinct []float64
	var counts []int
	for i, x := range values {
		if i == 0 || x != distinct[len(distinct)-1] {
			distinct, counts = append(distinct, x), append(counts, 0)
		}
		counts[len(counts)-1]++
	}
	var cuts []float64
	border := func(i int) float64 { // between distinct i and i+1
		lo, hi := distinct[i], distinct[i+1]
		if mid := lo + (hi-lo)/2; mid >= lo && mid < hi {
			return mid
		}
		return lo
	}
	if len(distinct) <= most {
		for i := 0; i+1 < len(distinct); i++ {
			cuts = append(cuts, border(i))
		}
		return cuts
	}
	left := len(values)
	filled := 0
	for i := 0; i+1 < len(distinct) && len(cuts) < most-1; i++ {
		filled += counts[i]
		left -= counts[i]
		want := float64(filled+left) / float64(most-len(cuts))
		if float64(filled) >= want || float64(counts[i+1]) >= 2*want {
			cuts = append(cuts, border(i))
			filled = 0
		}
	}
	return cuts
}
