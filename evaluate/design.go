package evaluate

import (
	"math"
	"slices"
	"strconv"

	"github.com/rapport-engine/rapport/learn/glm"
)

// Limits of how a column becomes features.
const (
	mostLevels   = 200 // of a column of words; rarer ones share a feature
	fewestOfOne  = 5   // rows a level needs for a feature of its own
	fewestValues = 12  // distinct numbers from which on a column counts as a measure
	bins         = 8   // of a measure, beside its straight line
)

// column holds the texts of one column, each distinct text once.
type column struct {
	name   string
	levels []string
	ids    map[string]int32
	rows   []int32
}

func newColumn(name string) *column { return &column{name: name, ids: map[string]int32{}} }

// add appends a value. It returns the value's number.
func (c *column) add(text string) int32 {
	id, ok := c.ids[text]
	if !ok {
		id = int32(len(c.levels))
		c.levels = append(c.levels, text)
		c.ids[text] = id
	}
	c.rows = append(c.rows, id)
	return id
}

// design turns columns into the sparse features of a linear model: a feature
// for each level of a column of words; for a measure its standardised value,
// its quantile bins, and whether it is missing.
type design struct {
	width    int
	features [][][]glm.Feature // by column, by level
	names    []string          // by feature
}

func newDesign(columns []*column) *design {
	d := &design{}
	for _, c := range columns {
		if numbers, measure := c.numbers(); measure {
			d.features = append(d.features, d.measure(c, numbers))
		} else {
			d.features = append(d.features, d.words(c))
		}
	}
	return d
}

// numbers returns the levels as numbers, NaN for an empty one, and whether the
// column is a measure.
func (c *column) numbers() ([]float64, bool) {
	numbers := make([]float64, len(c.levels))
	distinct := 0
	for i, text := range c.levels {
		x, err := strconv.ParseFloat(text, 64)
		if text == "" || text == "NA" || text == "null" {
			x, err = math.NaN(), nil
		} else {
			distinct++
		}
		if err != nil || math.IsInf(x, 0) {
			return nil, false
		}
		numbers[i] = x
	}
	return numbers, distinct >= fewestValues
}

func (d *design) next(name string) int32 {
	d.names = append(d.names, name)
	d.width++
	return int32(d.width - 1)
}

func (d *design) words(c *column) [][]glm.Feature {
	counts := make([]int, len(c.levels))
	for _, id := range c.rows {
		counts[id]++
	}
	order := make([]int32, len(c.levels))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return counts[b] - counts[a] })
	out := make([][]glm.Feature, len(c.levels))
	rare := int32(-1)
	for k, id := range order {
		if k < mostLevels && counts[id] >= fewestOfOne {
			out[id] = []glm.Feature{{Index: d.next(c.name + "=" + c.levels[id]), Value: 1}}
			continue
		}
		if rare < 0 {
			rare = d.next(c.name + "=(rare)")
		}
		out[id] = []glm.Feature{{Index: rare, Value: 1}}
	}
	return out
}

func (d *design) measure(c *column, numbers []float64) [][]glm.Feature {
	var sorted []float64
	var sum, squares float64
	for _, id := range c.rows {
		if x := numbers[id]; !math.IsNaN(x) {
			sorted = append(sorted, x)
			sum += x
			squares += x * x
		}
	}
	slices.Sort(sorted)
	n := float64(len(sorted))
	mean := sum / n
	deviation := math.Sqrt(max(squares/n-mean*mean, 1e-12))
	var cuts []float64
	for b := 1; b < bins; b++ {
		if cut := sorted[len(sorted)*b/bins]; (len(cuts) == 0 || cut > cuts[len(cuts)-1]) && cut > sorted[0] {
			cuts = append(cuts, cut)
		}
	}
	line := d.next(c.name)
	first := d.next(c.name + " below " + number(cuts, 0))
	for b := range cuts {
		d.next(c.name + " from " + number(cuts, b))
	}
	missing := d.next(c.name + " missing")
	out := make([][]glm.Feature, len(c.levels))
	for i, x := range numbers {
		if math.IsNaN(x) {
			out[i] = []glm.Feature{{Index: missing, Value: 1}}
			continue
		}
		bin, _ := slices.BinarySearchFunc(cuts, x, func(cut, x float64) int {
			if cut <= x {
				return -1
			}
			return 1
		})
		// A far outlier must not rule the line.
		z := min(max((x-mean)/deviation, -4), 4)
		out[i] = []glm.Feature{{Index: line, Value: z}, {Index: first + int32(bin), Value: 1}}
	}
	return out
}

func number(cuts []float64, i int) string {
	if i >= len(cuts) {
		return "any"
	}
	return strconv.FormatFloat(cuts[i], 'g', 4, 64)
}

// row appends the features of a row of the columns.
func (d *design) row(to []glm.Feature, columns []*column, i int) []glm.Feature {
	for k, c := range columns {
		to = append(to, d.features[k][c.rows[i]]...)
	}
	return to
}

// groups returns the features of each column.
func (d *design) groups() [][]int32 {
	groups := make([][]int32, len(d.features))
	for k, levels := range d.features {
		for _, features := range levels {
			for _, f := range features {
				if !slices.Contains(groups[k], f.Index) {
					groups[k] = append(groups[k], f.Index)
				}
			}
		}
		slices.Sort(groups[k])
	}
	return groups
}

// fold deals rows out to k parts: the same row to the same part, whatever order
// hides in the file.
func fold(i, k int) int {
	x := uint64(i) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % uint64(k))
}
