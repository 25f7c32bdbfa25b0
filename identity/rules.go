package identity

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// KindDoc is the config document of kind "identifier": how the values of one
// kind of identifier are read, and how far they are trusted. What it leaves out
// stays as it is by default.
type KindDoc struct {
	ID              string           `yaml:"id" doc:"Kind of identifier, such as email, or a trait a source names in identifiers."`
	Normalize       string           `yaml:"normalize,omitempty" enum:"text,lower,email,phone,digits" doc:"text (trim, Unicode NFC, case matters), lower (text without case), email, phone, or digits. email and phone are read as such by default, all others as text."`
	Strength        string           `yaml:"strength,omitempty" enum:"strong,weak" doc:"strong (default): who shares a value is one person. weak: somebody decides in the review queue. deviceId, cookie and anonymousId are devices: they own intervals and unite nobody."`
	PeoplePerValue  *int             `yaml:"peoplePerValue,omitempty" doc:"Most people one value may be seen with before it is quarantined as junk; 0 never. Default 3, of devices 50."`
	ValuesPerPerson *int             `yaml:"valuesPerPerson,omitempty" doc:"Most values of this kind one identifier may bring together before it is quarantined as junk; 0 never. Default 25."`
	Window          rapport.Duration `yaml:"window,omitempty" doc:"A value that comes with somebody else this much later belongs to the new one: telephone numbers are given out again. Left out, it never does."`
	Block           []string         `yaml:"block,omitempty" doc:"Values that name nobody, beside those every deployment knows (null, zeros, ...); at most 1000."`
	BlockPatterns   []string         `yaml:"blockPatterns,omitempty" doc:"RE2 expressions of values that name nobody, such as '@example\\.(com|org)$'; at most 50."`
	KeepTags        bool             `yaml:"keepTags,omitempty" doc:"email: keep what providers ignore (dots and +tags at Gmail, +tags elsewhere) instead of folding it away."`
	Country         string           `yaml:"country,omitempty" doc:"phone: country, as two letters, of numbers that do not say it. Left out, they stay digits."`
}

// Bounds on a document.
const (
	mostBlocked  = 1000
	mostPatterns = 50
	mostPattern  = 500
)

var normalizers = []string{"", "text", "lower", "email", "phone", "digits"}

// Validate reports everything wrong with the document. Kind: Invalid, with Faults.
func (d *KindDoc) Validate() error {
	var f rapport.Faults
	if d.ID == "" || len(d.ID) > 64 || strings.ContainsAny(d.ID, ": /") {
		f.Add("id", "is not a kind of identifier: 1 to 64 characters without colon, slash and blank")
	}
	if !slices.Contains(normalizers, d.Normalize) {
		f.Add("normalize", "%q is not one of text, lower, email, phone, digits", d.Normalize)
	}
	if !slices.Contains([]string{"", "strong", "weak"}, d.Strength) {
		f.Add("strength", "%q is not one of strong, weak", d.Strength)
	}
	if d.Strength == "weak" && (d.ID == rapport.KindUserID || isDevice(d.ID)) {
		f.Add("strength", "of %s cannot be changed", d.ID)
	}
	for path, n := range map[string]*int{"peoplePerValue": d.PeoplePerValue, "valuesPerPerson": d.ValuesPerPerson} {
		if n != nil && (*n < 0 || *n > 1_000_000) {
			f.Add(path, "is not between 0 and 1000000")
		}
	}
	if len(d.Block) > mostBlocked {
		f.Add("block", "has %d values, at most %d", len(d.Block), mostBlocked)
	}
	if len(d.BlockPatterns) > mostPatterns {
		f.Add("blockPatterns", "has %d expressions, at most %d", len(d.BlockPatterns), mostPatterns)
	}
	for i, p := range d.BlockPatterns {
		if _, err := regexp.Compile(p); err != nil || len(p) > mostPattern {
			f.Add(fmt.Sprintf("blockPatterns[%d]", i), "is not an RE2 expression of at most %d characters", mostPattern)
		}
	}
	if d.Country != "" && (len(d.Country) != 2 || strings.ToUpper(d.Country) != d.Country) {
		f.Add("country", "%q is not two capital letters", d.Country)
	}
	slices.SortFunc(f, func(a, b rapport.Fault) int { return strings.Compare(a.Path, b.Path) })
	return f.Err()
}

// Rules say how identifiers are read and how far they are trusted. They are
// never changed once compiled, and safe for concurrent use. The zero of a
// pointer stands for the rules by default.
type Rules struct {
	kinds    map[string]*rule
	likeness *likeness
}

// rule is what holds for one kind.
type rule struct {
	normalize string
	weak      bool
	people    int
	values    int
	window    int64 // ms
	block     map[string]bool
	patterns  []*regexp.Regexp
	keepTags  bool
	country   string
}

// Limits by default.
const (
	peoplePerValue  = 3
	peoplePerDevice = 50
	valuesPerPerson = 25
)

// CompileRules returns the rules of the documents on top of those by default.
// Kind: Invalid.
func CompileRules(docs []KindDoc) (*Rules, error) {
	r := &Rules{kinds: make(map[string]*rule)}
	for i := range docs {
		d := &docs[i]
		if err := d.Validate(); err != nil {
			return nil, err
		}
		k := defaultRule(d.ID)
		if d.Normalize != "" {
			k.normalize = d.Normalize
		}
		k.weak, k.window, k.keepTags, k.country = d.Strength == "weak", d.Window.Millis(), d.KeepTags, d.Country
		if d.PeoplePerValue != nil {
			k.people = *d.PeoplePerValue
		}
		if d.ValuesPerPerson != nil {
			k.values = *d.ValuesPerPerson
		}
		k.block = make(map[string]bool)
		for _, p := range d.BlockPatterns {
			k.patterns = append(k.patterns, regexp.MustCompile(p)) // Validate compiled it
		}
		for _, v := range d.Block {
			k.block[v] = true
			if n, ok := k.read(v); ok {
				k.block[n] = true
			}
		}
		r.kinds[d.ID] = k
	}
	return r, nil
}

func defaultRule(kind string) *rule {
	k := &rule{normalize: "text", people: peoplePerValue, values: valuesPerPerson}
	switch {
	case kind == rapport.KindEmail || kind == rapport.KindPhone:
		k.normalize = kind
	case isDevice(kind):
		k.people, k.values = peoplePerDevice, 0
	}
	return k
}

// limits are how many people may share a value or a device, and how many values
// one person may have.
type limits struct {
	people  int
	devices uint32
	values  int // 0: any number
}

// least returns the strictest limits there are. A value that may be given out
// again is to be looked at as soon as a second one has it.
func (r *Rules) least() limits {
	l := limits{people: math.MaxInt32, devices: math.MaxInt32}
	see := func(kind string, k *rule) {
		if k.people > 0 && isDevice(kind) {
			l.devices = min(l.devices, uint32(k.people))
		} else if k.people > 0 {
			l.people = min(l.people, k.people)
		}
		if k.window > 0 {
			l.people = 1
		}
		if k.values > 0 && (l.values == 0 || k.values < l.values) {
			l.values = k.values
		}
	}
	for kind := range builtin {
		see(kind, r.of(kind))
	}
	if r != nil {
		for kind, k := range r.kinds {
			see(kind, k)
		}
	}
	return l
}

// builtin are the rules by default of the kinds every deployment knows; further
// kinds are as custom ones.
var builtin = map[string]*rule{
	rapport.KindUserID: defaultRule(rapport.KindUserID), rapport.KindEmail: defaultRule(rapport.KindEmail),
	rapport.KindPhone: defaultRule(rapport.KindPhone), rapport.KindCustom: defaultRule(rapport.KindCustom),
	rapport.KindDeviceID: defaultRule(rapport.KindDeviceID), rapport.KindCookie: defaultRule(rapport.KindCookie),
	rapport.KindAnonymousID: defaultRule(rapport.KindAnonymousID),
}

func (r *Rules) of(kind string) *rule {
	if r != nil && len(r.kinds) > 0 {
		if k := r.kinds[kind]; k != nil {
			return k
		}
	}
	if k := builtin[kind]; k != nil {
		return k
	}
	return builtin[rapport.KindCustom]
}

// Normalize brings a value to the one form it is known by, and reports false if
// it names nobody: see [Normalize], and the documents of the kind.
func (r *Rules) Normalize(kind, value string) (string, bool) { return r.of(kind).read(value) }

// read brings a value to its form and reports false if it is blocked.
func (k *rule) read(value string) (string, bool) {
	value, ok := k.form(value)
	return value, ok && !k.blocks(value)
}

// blocks reports whether a value in its form names nobody.
func (k *rule) blocks(value string) bool {
	return k.block[value] || slices.ContainsFunc(k.patterns, func(p *regexp.Regexp) bool { return p.MatchString(value) })
}

// Rules returns the rules in force; nil stands for those by default.
func (r *Resolver) Rules() *Rules { return r.rules.Load() }

// Normalize brings the value of an identifier to its form under the rules in force.
func (r *Resolver) Normalize(kind, value string) (string, bool) {
	return r.Rules().Normalize(kind, value)
}
