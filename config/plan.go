package config

import (
	"slices"
	"strconv"
	"strings"
)

// Op says what a plan does to a document.
type Op string

// The operations of a plan.
const (
	Created Op = "created"
	Changed Op = "changed"
	Deleted Op = "deleted"
)

// Difference is what becomes of one document.
type Difference struct {
	Ref
	Op     Op            `json:"op"`
	Fields []FieldChange `json:"fields"`
	// Diff is the change of the text: lines that begin with "+", "-" or a blank, with three lines around each change.
	Diff string `json:"diff"`
}

// FieldChange is one key whose meaning changes. Before and After are JSON, empty where there is nothing.
type FieldChange struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Plan is what turns one set into another, by kind and id. Comments, layout and
// the order of keys are no difference.
type Plan []Difference

// Compare returns the plan that leads from current to desired. With keep,
// documents that desired does not have stay; without, they are deleted.
func Compare(current, desired *Set, keep bool) Plan {
	var plan Plan
	for _, doc := range desired.All() {
		switch old := current.docs[doc.Ref]; {
		case old == nil:
			plan = append(plan, differ(doc.Ref, Created, nil, doc))
		case !sameMeaning(old, doc):
			plan = append(plan, differ(doc.Ref, Changed, old, doc))
		}
	}
	for _, doc := range current.All() {
		if !keep && desired.docs[doc.Ref] == nil && !desired.broken[doc.Ref] {
			plan = append(plan, differ(doc.Ref, Deleted, doc, nil))
		}
	}
	slices.SortFunc(plan, func(a, b Difference) int { return a.Ref.Compare(b.Ref) })
	return plan
}

// Change returns the change that carries the plan out, taking texts from desired.
func (p Plan) Change(desired *Set) Change {
	var c Change
	for _, d := range p {
		if d.Op == Deleted {
			c.Delete = append(c.Delete, d.Ref)
		} else {
			c.Put = append(c.Put, desired.docs[d.Ref])
		}
	}
	return c
}

// String returns the plan for people: one line per document, its changed keys below.
func (p Plan) String() string {
	var b strings.Builder
	counts := map[Op]int{}
	for _, d := range p {
		counts[d.Op]++
		b.WriteString(map[Op]string{Created: "+ ", Changed: "~ ", Deleted: "- "}[d.Op] + d.Kind + " " + d.ID + "\n")
		if d.Op != Changed {
			continue
		}
		for _, f := range d.Fields {
			switch {
			case f.Before == "":
				b.WriteString("    + " + f.Path + ": " + f.After + "\n")
			case f.After == "":
				b.WriteString("    - " + f.Path + ": " + f.Before + "\n")
			default:
				b.WriteString("    ~ " + f.Path + ": " + f.Before + " -> " + f.After + "\n")
			}
		}
	}
	b.WriteString(strconv.Itoa(counts[Created]) + " to create, " + strconv.Itoa(counts[Changed]) + " to change, " + strconv.Itoa(counts[Deleted]) + " to delete\n")
	return b.String()
}

// sameMeaning reports whether two documents differ in comments, layout and key order at most.
func sameMeaning(a, b *Document) bool {
	return a.Text == b.Text || len(fieldChanges(a.tree, b.tree)) == 0
}

func differ(ref Ref, op Op, before, after *Document) Difference {
	d := Difference{Ref: ref, Op: op}
	var a, b *node
	var x, y string
	if before != nil {
		a, x = before.tree, before.Text
	}
	if after != nil {
		b, y = after.tree, after.Text
	}
	d.Fields, d.Diff = fieldChanges(a, b), lineDiff(x, y)
	return d
}

// fieldChanges lists the scalars (and empty lists and maps) that differ.
func fieldChanges(before, after *node) []FieldChange {
	a, b := map[string]string{}, map[string]string{}
	var paths []string
	flattenNode(before, "", a, &paths)
	flattenNode(after, "", b, &paths)
	changes := []FieldChange{}
	seen := make(map[string]bool, len(paths))
	for _, p := range paths {
		if x, y := a[p], b[p]; x != y && !seen[p] {
			changes = append(changes, FieldChange{p, x, y})
		}
		seen[p] = true
	}
	return changes
}

func flattenNode(n *node, path string, values map[string]string, paths *[]string) {
	if n == nil {
		return
	}
	switch {
	case len(n.members) > 0:
		for _, m := range n.members {
			name := m.name
			if !isPlain(name) || strings.ContainsAny(name, ". ") {
				name = `"` + name + `"`
			}
			flattenNode(m.value, joinKey(path, name), values, paths)
		}
	case len(n.items) > 0:
		for i, e := range n.items {
			flattenNode(e, path+"["+strconv.Itoa(i)+"]", values, paths)
		}
	default:
		values[path] = string(n.value().AppendJSON(nil))
		*paths = append(*paths, path)
	}
}

// around is how many unchanged lines a diff keeps beside a change.
const around = 3

// maxTable bounds the work of comparing two texts line by line.
const maxTable = 4 << 20

// lineDiff returns the change from a to b, line by line.
func lineDiff(a, b string) string {
	x, y := lines(a), lines(b)
	start := 0
	for start < len(x) && start < len(y) && x[start] == y[start] {
		start++
	}
	end := 0
	for end < len(x)-start && end < len(y)-start && x[len(x)-1-end] == y[len(y)-1-end] {
		end++
	}
	var out []string
	for _, l := range x[:start] {
		out = append(out, "  "+l)
	}
	out = append(out, diffMiddle(x[start:len(x)-end], y[start:len(y)-end])...)
	for _, l := range x[len(x)-end:] {
		out = append(out, "  "+l)
	}
	return nearChanges(out)
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// diffMiddle is the longest common subsequence, or all out and all in if that is too much work.
func diffMiddle(x, y []string) (out []string) {
	if len(x)*len(y) > maxTable {
		for _, l := range x {
			out = append(out, "- "+l)
		}
		for _, l := range y {
			out = append(out, "+ "+l)
		}
		return out
	}
	common := make([][]int32, len(x)+1)
	for i := range common {
		common[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out = append(out, "  "+x[i])
			i++
			j++
		case i < len(x) && (j == len(y) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "- "+x[i])
			i++
		default:
			out = append(out, "+ "+y[j])
			j++
		}
	}
	return out
}

// nearChanges drops unchanged lines far from any change.
func nearChanges(all []string) string {
	keep := make([]bool, len(all))
	for i, l := range all {
		if l[0] != ' ' {
			for k := max(i-around, 0); k <= min(i+around, len(all)-1); k++ {
				keep[k] = true
			}
		}
	}
	var b strings.Builder
	skipped := false
	for i, l := range all {
		if !keep[i] {
			skipped = true
			continue
		}
		if skipped && b.Len() > 0 {
			b.WriteString("  ...\n")
		}
		skipped = false
		b.WriteString(l + "\n")
	}
	return b.String()
}

// Export returns the set as files: one per kind, documents by id.
func Export(s *Set) map[string][]byte {
	files := make(map[string][]byte)
	for _, doc := range s.All() {
		name := doc.Kind + ".yaml"
		if len(files[name]) > 0 {
			files[name] = append(files[name], "---\n"...)
		}
		files[name] = append(files[name], doc.Text...)
	}
	return files
}
