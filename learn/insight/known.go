package insight

import "slices"

// Judge tells how the outcome differs between given groups and the others, on
// the rows the search may not see. A group of fewer than ten rows there, or of
// columns that are gone, has Rows 0.
func Judge(columns []Column, y []float64, explore []bool, groups [][]Condition) []Finding {
	s := &search{y: y, binary: binary(y), rank: ranks(y)}
	s.halve(explore)
	out := make([]Finding, len(groups))
	for i, conditions := range groups {
		rows, ok := s.holding(columns, conditions)
		if !ok {
			continue
		}
		if f, ok := s.compare(rows); ok {
			out[i] = f
		}
		out[i].Conditions = conditions
	}
	return out
}

// Telling names the columns that are the outcome in other words, by the rows the
// search may see: a step without which hardly anybody has it, or what only those
// have who have it. y is 0 and 1.
func Telling(columns []Column, y []float64, explore []bool) []string {
	s := &search{o: Options{MinRows: 40}, y: y}
	s.halve(explore)
	for i, c := range columns {
		s.describe(i, c)
	}
	all := momentsOf(y, s.explore)
	var out []string
	for _, sel := range s.selectors {
		in := momentsOf(y, and(sel.rows, s.explore))
		rest := momentsOf(y, without(s.explore, sel.rows))
		hardly := func(m moments) bool { return m.n*all.mean >= 20 && m.mean < all.mean/20 }
		if hardly(in) || hardly(rest) || all.mean < 0.8 && max(in.mean, rest.mean) > 0.95 {
			out = append(out, sel.Column)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func binary(y []float64) bool {
	return !slices.ContainsFunc(y, func(v float64) bool { return v != 0 && v != 1 })
}

// holding returns the rows all conditions hold for; ok is false if a column is not there.
func (s *search) holding(columns []Column, conditions []Condition) (rows []uint64, ok bool) {
	rows = words(len(s.y))
	for i := range s.y {
		set(rows, i)
	}
	for _, cond := range conditions {
		texts := cond.Op == "=="
		at := slices.IndexFunc(columns, func(c Column) bool { return c.Name == cond.Column && (c.Texts != nil) == texts })
		if at < 0 {
			return nil, false
		}
		rows = and(rows, holds(columns[at], cond, len(s.y)))
	}
	return rows, len(conditions) > 0
}

// holds returns the rows one condition holds for.
func holds(c Column, cond Condition, n int) []uint64 {
	rows := words(n)
	for i := range n {
		var yes bool
		switch cond.Op {
		case "==":
			yes = c.Texts[i] == cond.Text
		case ">=":
			yes = c.Numbers[i] >= cond.Number
		case "<":
			yes = c.Numbers[i] < cond.Number
		}
		if yes {
			set(rows, i)
		}
	}
	return rows
}
