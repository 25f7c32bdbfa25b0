package gs1

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"

	"github.com/rapport-engine/rapport"
)

//go:embed dictionary.txt
var dictionaryText string

// AI describes an Application Identifier: what its value looks like and what it goes with.
type AI struct {
	Number string
	// Title is the data title of the General Specifications, such as "SERIAL".
	Title string
	// Attribute says that it may stand in the query of a Digital Link URI.
	Attribute bool
	// Primary says that it may be the primary key of a Digital Link URI.
	Primary bool
	// Qualifiers are the allowed orders of key qualifiers below a primary key.
	Qualifiers [][]string

	fixed      bool // needs no separator in an element string
	components []component
	requires   [][]string // each: one of these patterns ("01+21") must be present
	excludes   []string
}

// component is one piece of a value.
type component struct {
	set      byte // N digits, X character set 82, Y character set 39, Z base64url
	min, max int
	optional bool
	lint     []string
}

type dictionary struct {
	ais map[string]*AI
	// lengths holds, by the first two digits, how many digits the AI has; 0 if unknown.
	lengths [100]int
}

var loadDictionary = sync.OnceValue(parseDictionary)

// Lookup returns the Application Identifier of that number.
func Lookup(number string) (*AI, bool) {
	a, ok := loadDictionary().ais[number]
	return a, ok
}

// Dictionary returns all Application Identifiers by number, for tools that list them. It must not be changed.
func Dictionary() map[string]*AI { return loadDictionary().ais }

func parseDictionary() dictionary {
	d := dictionary{ais: make(map[string]*AI)}
	for line := range strings.Lines(dictionaryText) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		spec, title, _ := strings.Cut(line, " # ")
		words := strings.Fields(spec)
		a := AI{Title: title}
		words = words[1:]
		if strings.ContainsAny(words[0][:1], "*?") {
			a.fixed = strings.Contains(words[0], "*")
			a.Attribute = strings.Contains(words[0], "?")
			words = words[1:]
		}
		for _, w := range words {
			switch {
			case w == "dlpkey":
				a.Primary = true
			case strings.HasPrefix(w, "dlpkey="):
				a.Primary = true
				for alt := range strings.SplitSeq(w[len("dlpkey="):], "|") {
					a.Qualifiers = append(a.Qualifiers, strings.Split(alt, ","))
				}
			case strings.HasPrefix(w, "req="):
				a.requires = append(a.requires, strings.Split(w[4:], ","))
			case strings.HasPrefix(w, "ex="):
				a.excludes = append(a.excludes, strings.Split(w[3:], ",")...)
			default:
				a.components = append(a.components, parseComponent(w))
			}
		}
		from, to, ranged := strings.Cut(strings.Fields(line)[0], "-")
		if !ranged {
			to = from
		}
		lo, _ := strconv.Atoi(from)
		hi, _ := strconv.Atoi(to)
		for n := lo; n <= hi; n++ {
			one := a
			one.Number = strings.Repeat("0", len(from)-len(strconv.Itoa(n))) + strconv.Itoa(n)
			d.ais[one.Number] = &one
			prefix, _ := strconv.Atoi(one.Number[:2])
			d.lengths[prefix] = len(one.Number)
		}
	}
	return d
}

func parseComponent(w string) component {
	format, lints, _ := strings.Cut(w, ",")
	var c component
	if strings.HasPrefix(format, "[") {
		c.optional = true
		format = strings.Trim(format, "[]")
	}
	c.set = format[0]
	if n, variable := strings.CutPrefix(format[1:], ".."); variable {
		c.min = 1
		c.max, _ = strconv.Atoi(n)
	} else {
		c.max, _ = strconv.Atoi(format[1:])
		c.min = c.max
	}
	if lints != "" {
		c.lint = strings.Split(lints, ",")
	}
	return c
}

// Validate checks a value against the format, character set and rules of its
// Application Identifier. An AI unknown to the dictionary must be a number of
// two to four digits and its value 1 to 90 characters of set 82. Errors are Invalid.
func (e Element) Validate() error {
	a, ok := Lookup(e.AI)
	if !ok {
		if !loadDictionary().plausible(e.AI) {
			return rapport.Errorf(rapport.Invalid, "(%s) is not an application identifier", clip(e.AI))
		}
		a = &AI{Number: e.AI, components: []component{{set: 'X', min: 1, max: 90}}}
	}
	return a.validate(e.Value)
}

func (a *AI) validate(value string) error {
	rest := value
	for i, c := range a.components {
		if c.optional && rest == "" {
			break
		}
		n := min(len(rest), c.max)
		if n < c.min {
			return rapport.Errorf(rapport.Invalid, "(%s) %q is too short", a.Number, clip(value))
		}
		part := rest[:n]
		rest = rest[n:]
		if i == len(a.components)-1 && rest != "" {
			return rapport.Errorf(rapport.Invalid, "(%s) %q is longer than its %d characters", a.Number, clip(value), len(value)-len(rest))
		}
		for j := range len(part) {
			if !inSet(c.set, part[j]) {
				return rapport.Errorf(rapport.Invalid, "(%s) %q: character %q is not allowed", a.Number, clip(value), part[j])
			}
		}
		for _, l := range c.lint {
			if reason := lint(l, part); reason != "" {
				return rapport.Errorf(rapport.Invalid, "(%s) %q: %s", a.Number, clip(value), reason)
			}
		}
	}
	return nil
}

// plausible reports whether an AI that is not assigned could be one day: the
// first two digits fix how many digits an AI has, as far as known.
func (d dictionary) plausible(ai string) bool {
	if len(ai) < 2 || len(ai) > 4 || !allDigits(ai) {
		return false
	}
	n, _ := strconv.Atoi(ai[:2])
	return d.lengths[n] == 0 || d.lengths[n] == len(ai)
}

// associated checks which AIs must, and which must not, stand beside each other.
func associated(elements []Element) error {
	for _, e := range elements {
		a, ok := Lookup(e.AI)
		if !ok {
			continue
		}
		for _, x := range a.excludes {
			for _, o := range elements {
				if o.AI != e.AI && matches(x, o.AI) {
					return rapport.Errorf(rapport.Invalid, "(%s) may not stand beside (%s)", e.AI, o.AI)
				}
			}
		}
		for _, alternatives := range a.requires {
			if !anyPresent(alternatives, elements) {
				return rapport.Errorf(rapport.Invalid, "(%s) needs %s beside it", e.AI, strings.Join(alternatives, " or "))
			}
		}
	}
	return nil
}

func anyPresent(alternatives []string, elements []Element) bool {
	for _, alt := range alternatives {
		all := true
		for p := range strings.SplitSeq(alt, "+") {
			found := false
			for _, e := range elements {
				found = found || matches(p, e.AI)
			}
			all = all && found
		}
		if all {
			return true
		}
	}
	return false
}

// matches compares an AI with a pattern whose n stands for any digit.
func matches(pattern, ai string) bool {
	if len(pattern) != len(ai) {
		return false
	}
	for i := range len(ai) {
		if pattern[i] != 'n' && pattern[i] != ai[i] {
			return false
		}
	}
	return true
}
