package linkage

import "strings"

// Level says how alike two values are: 0 is equal, higher is less alike.
type Level uint8

// Levels of every kind. A level a kind does not know never occurs.
const (
	Equal     Level = iota
	Close           // a slip of the pen
	Near            // several slips
	Alike           // more alike than chance
	Different       // no likeness
	Exchanged       // given name and surname stand in each other's place
	Missing         // at least one record does not tell
	levels    = int(Missing)
)

var levelNames = [...]string{"equal", "close", "near", "alike", "different", "exchanged", "missing"}

// String returns the level as people read it.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return "unknown"
}

// comparison is how two records compare, field by field.
type comparison [MaxFields]Level

// pattern packs a comparison of up to 12 fields into a word.
type pattern uint64

func (c *comparison) pattern(n int) (p pattern) {
	for i := range n {
		p |= pattern(c[i]) << (4 * i)
	}
	return p
}

func (p pattern) at(i int) Level { return Level(p >> (4 * i) & 15) }

// compare fills c with the levels of two records.
func (s Schema) compare(a, b *view, c *comparison) {
	for i := range s {
		c[i] = compareValues(s[i].Kind, a.at(i), b.at(i), a.mask(i), b.mask(i))
	}
	s.exchanged(a, b, c)
}

// exchanged notices a given name and a surname in each other's place.
func (s Schema) exchanged(a, b *view, c *comparison) {
	g, f := s.of(Given), s.of(Surname)
	if g < 0 || f < 0 || c[g] < Near || c[f] < Near {
		return
	}
	ag, af, bg, bf := a.at(g), a.at(f), b.at(g), b.at(f)
	switch {
	case ag != "" && af != "" && bg != "" && bf != "":
		if compareNames(ag, bf, a.mask(g), b.mask(f)) <= Close && compareNames(af, bg, a.mask(f), b.mask(g)) <= Close {
			c[g], c[f] = Exchanged, Missing
		}
	case c[g] != Missing && c[f] != Missing:
	case ag != "" && bg == "" && ag == bf, bg != "" && ag == "" && bg == af,
		af != "" && bf == "" && af == bg, bf != "" && af == "" && bf == ag:
		// One name alone, in the other's place.
		c[g], c[f] = Exchanged, Missing
	}
}

// compareValues compares two values, given the masks of their characters.
func compareValues(k Kind, a, b string, ma, mb mask) Level {
	switch {
	case a == "" || b == "":
		return Missing
	case a == b:
		return Equal
	}
	switch k {
	case Given, Surname, Place:
		return compareNames(a, b, ma, mb)
	case Text:
		return compareTexts(a, b, ma, mb)
	case Date:
		return compareDates(a, b)
	case Email:
		return compareEmails(a, b, ma, mb)
	case Phone:
		return comparePhones(a, b)
	}
	switch edits(a, b, 2) {
	case 0, 1:
		return Close
	case 2:
		if len(a) > 4 && len(b) > 4 {
			return Near
		}
		return Alike
	}
	return Different
}

func compareNames(a, b string, ma, mb mask) Level {
	if a == b {
		return Equal
	}
	mine, theirs := ma.alone(mb)
	if mine > 0 && theirs > 0 && likeliest(a, b, mine, theirs) < 0.72 {
		return Different
	}
	if squeezed(a, b) {
		return Close
	}
	switch s := JaroWinkler(a, b); {
	case s >= 0.92:
		return Close
	case s >= 0.84:
		return Near
	case s >= 0.72:
		return Alike
	}
	// A short form or one of several names: "ann" and "mary ann".
	if short, long := order(a, b); len(short) >= 3 && word(long, short) {
		return Near
	}
	return Different
}

// likeliest bounds the similarity of Jaro and Winkler from above, given how
// many characters each word has that the other lacks.
func likeliest(a, b string, mine, theirs int) float64 {
	common := min(len(a)-mine, len(b)-theirs)
	if common <= 0 {
		return 0
	}
	m := float64(common)
	jaro := (m/float64(len(a)) + m/float64(len(b)) + 1) / 3
	prefix := 0
	for prefix < min(len(a), len(b), 4) && a[prefix] == b[prefix] {
		prefix++
	}
	return jaro + float64(prefix)*0.1*(1-jaro)
}

// squeezed reports whether two texts are equal but for blanks.
func squeezed(a, b string) bool {
	if strings.IndexByte(a, ' ') < 0 && strings.IndexByte(b, ' ') < 0 {
		return false
	}
	i, j := 0, 0
	for {
		for i < len(a) && a[i] == ' ' {
			i++
		}
		for j < len(b) && b[j] == ' ' {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if a[i] != b[j] {
			return false
		}
		i++
		j++
	}
}

func order(a, b string) (short, long string) {
	if len(a) > len(b) {
		return b, a
	}
	return a, b
}

// word reports whether one of the words of text is w.
func word(text, w string) bool {
	for len(text) >= len(w) {
		one, rest, _ := strings.Cut(text, " ")
		if one == w {
			return true
		}
		text = rest
	}
	return false
}

func compareTexts(a, b string, ma, mb mask) Level {
	if ma == mb && squeezed(a, b) {
		return Close
	}
	s := 0.0
	mine, theirs := ma.alone(mb)
	if likeliest(a, b, mine, theirs) >= 0.72 {
		s = JaroWinkler(a, b)
	}
	if common := min(len(a)-mine, len(b)-theirs); s < 0.94 && 2*common >= 7*(len(a)+len(b))/10 {
		s = max(s, dice(a, b))
	}
	level := Different
	switch {
	case s >= 0.94:
		level = Close
	case s >= 0.86:
		level = Near
	case s >= 0.72:
		level = Alike
	}
	if level < Alike && numbers(a) != numbers(b) {
		return Alike // the house next door
	}
	return level
}

// numbers sums up the digits of a text, in whatever order its words stand.
func numbers(s string) (sum uint32) {
	h := uint32(0)
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] >= '0' && s[i] <= '9' {
			h = h*31 + uint32(s[i])
		} else {
			sum += h * 0x9e3779b1
			h = 0
		}
	}
	return sum
}

func compareDates(a, b string) Level {
	if len(a) == 8 && len(b) == 8 {
		year, month, day := a[:4] == b[:4], a[4:6] == b[4:6], a[6:] == b[6:]
		switch {
		case year && a[4:6] == b[6:] && a[6:] == b[4:6]:
			return Close // day and month exchanged
		case edits(a, b, 1) <= 1:
			return Close
		case year && month, year && day, month && day:
			return Near
		case edits(a, b, 2) <= 2:
			return Near
		case edits(a, b, 3) <= 3:
			return Alike
		}
		return Different
	}
	switch edits(a, b, 2) {
	case 0, 1:
		return Close
	case 2:
		return Near
	}
	return Different
}

func compareEmails(a, b string, ma, mb mask) Level {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	if i < 0 || j < 0 {
		return Different
	}
	if mine, theirs := ma.alone(mb); mine+theirs > 12 {
		return Different
	}
	switch d := edits(a, b, 2); {
	case d <= 1:
		return Close
	case a[:i] == b[:j] && i >= 6, d == 2:
		return Near // the same name at another provider
	case JaroWinkler(a[:i], b[:j]) >= 0.88:
		return Alike
	}
	return Different
}

// shortest is the fewest digits that make a number of its own, without its country.
const shortest = 7

func comparePhones(a, b string) Level {
	short, long := order(a, b)
	if len(short) >= shortest && strings.HasSuffix(long, short) {
		return Equal
	}
	switch edits(a, b, 2) {
	case 0, 1:
		return Close
	case 2:
		return Near
	}
	return Different
}
