package gs1

import (
	"strings"

	"github.com/rapport-engine/rapport"
)

// CanonicalStem is where canonical Digital Link URIs begin (Digital Link URI Syntax section 4.11).
const CanonicalStem = "https://id.gs1.org"

// Key names a class of things, a lot, one thing, a place or a party: a primary
// key with its qualifiers, in the order of the standard. The zero Key names nothing.
type Key struct {
	elements []Element
}

// NewKey returns the key made of elements: a primary key first, then its
// qualifiers in their order. Values are unescaped; a short GTIN is filled up to
// 14 digits. Errors are Invalid.
func NewKey(elements ...Element) (Key, error) {
	k := Key{elements: make([]Element, len(elements))}
	for i, e := range elements {
		if e.AI == "01" {
			if g, err := ParseGTIN(e.Value); err == nil {
				e.Value = g
			}
		}
		k.elements[i] = e
	}
	return k, k.validate()
}

func (k Key) validate() error {
	if len(k.elements) == 0 {
		return rapport.Errorf(rapport.Invalid, "no GS1 key")
	}
	p, ok := Lookup(k.elements[0].AI)
	if !ok || !p.Primary {
		return rapport.Errorf(rapport.Invalid, "(%s) is not a primary key", clip(k.elements[0].AI))
	}
	for _, e := range k.elements {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	if q := k.elements[1:]; len(q) > 0 && !ordered(p.Qualifiers, q) {
		return rapport.Errorf(rapport.Invalid, "%s do not qualify (%s), or not in this order", names(q), p.Number)
	}
	return nil
}

// ordered reports whether the elements are a subsequence of one of the alternatives.
func ordered(alternatives [][]string, q []Element) bool {
	for _, alt := range alternatives {
		n := 0
		for _, ai := range alt {
			if n < len(q) && q[n].AI == ai {
				n++
			}
		}
		if n == len(q) {
			return true
		}
	}
	return false
}

func names(es []Element) string {
	var b strings.Builder
	for _, e := range es {
		b.WriteString("(" + clip(e.AI) + ")")
	}
	return b.String()
}

// IsZero reports whether the key names nothing.
func (k Key) IsZero() bool { return len(k.elements) == 0 }

// Equal reports whether two keys name the same.
func (k Key) Equal(o Key) bool { return k.Path() == o.Path() }

// Elements returns the primary key and its qualifiers. They must not be changed.
func (k Key) Elements() []Element { return k.elements }

// Primary returns the AI of the primary key, or "".
func (k Key) Primary() string {
	if len(k.elements) == 0 {
		return ""
	}
	return k.elements[0].AI
}

// Value returns the value of one AI of the key, or "".
func (k Key) Value(ai string) string {
	for _, e := range k.elements {
		if e.AI == ai {
			return e.Value
		}
	}
	return ""
}

// GTIN returns the 14-digit GTIN of a key that has one, also within an ITIP, or "".
func (k Key) GTIN() string {
	if g := k.Value("01"); g != "" {
		return g
	}
	if i := k.Value("8006"); len(i) >= 14 {
		return i[:14]
	}
	return ""
}

// Serial returns what tells one thing from others of its class, or "".
func (k Key) Serial() string {
	switch k.Primary() {
	case "01", "8006":
		if s := k.Value("21"); s != "" {
			return s
		}
		return k.Value("235")
	case "8010":
		return k.Value("8011")
	case "8003":
		return after(k.Value("8003"), 14)
	case "253":
		return after(k.Value("253"), 13)
	case "255":
		return after(k.Value("255"), 13)
	case "00", "8004", "401", "402", "8017", "8018":
		return k.elements[0].Value
	}
	return ""
}

func after(s string, n int) string {
	if len(s) <= n {
		return ""
	}
	return s[n:]
}

// Level says how much a key narrows down.
type Level uint8

// Levels of keys.
const (
	Class    Level = iota + 1 // all things of a kind: a GTIN
	Lot                       // those made together: a GTIN with a lot
	Instance                  // one thing: a GTIN with a serial, an SSCC, an asset
	Location                  // a GLN
	Party                     // the GLN of a party
)

// Level returns how much the key narrows down, 0 for the zero key.
func (k Key) Level() Level {
	switch {
	case k.IsZero():
		return 0
	case k.Primary() == "414":
		return Location
	case k.Primary() == "417" || k.Primary() == "415":
		return Party
	case k.Serial() != "":
		return Instance
	case k.Value("10") != "":
		return Lot
	}
	return Class
}

// Item returns the key of the one thing named, without what only describes it
// (variant and lot beside a serial), so that a thing has one name. ok is false
// when the key does not name a single thing.
func (k Key) Item() (item Key, ok bool) {
	if k.Level() != Instance {
		return Key{}, false
	}
	if k.Primary() != "01" && k.Primary() != "8006" {
		return k, true
	}
	for _, e := range k.elements {
		if e.AI != "22" && e.AI != "10" {
			item.elements = append(item.elements, e)
		}
	}
	return item, true
}

// Parent returns the key with its last qualifier gone; ok is false at the primary key.
func (k Key) Parent() (parent Key, ok bool) {
	if len(k.elements) < 2 {
		return Key{}, false
	}
	return Key{elements: k.elements[:len(k.elements)-1]}, true
}

// Path returns the key as the path of a Digital Link URI: /01/09506000134352/21/ABC123.
func (k Key) Path() string {
	b := make([]byte, 0, 48)
	for _, e := range k.elements {
		b = append(append(append(b, '/'), e.AI...), '/')
		b = escape(b, e.Value, pathSafe)
	}
	return string(b)
}

// URI returns the key as a Digital Link URI under a stem such as https://id.gs1.org.
func (k Key) URI(stem string) string { return strings.TrimSuffix(stem, "/") + k.Path() }

// Canonical returns the canonical Digital Link URI.
func (k Key) Canonical() string { return k.URI(CanonicalStem) }

// ID returns the key as one word fit for topics, file names and path segments:
// its path with _ for /, as 01_09506000134352_21_ABC123. Every character beyond
// letters, digits, '-' and '.' is percent-encoded, so it parses back.
func (k Key) ID() string {
	b := make([]byte, 0, 48)
	for i, e := range k.elements {
		if i > 0 {
			b = append(b, '_')
		}
		b = append(append(b, e.AI...), '_')
		b = escape(b, e.Value, idSafe)
	}
	return string(b)
}

// String returns the ID.
func (k Key) String() string { return k.ID() }

// ParseID parses what [Key.ID] returns; an ID whose escapes were already undone,
// as a path segment's are, is understood where that leaves no doubt. Errors are Invalid.
func ParseID(id string) (Key, error) {
	if len(id) > maxURI {
		return Key{}, rapport.Errorf(rapport.TooLarge, "an item id of %d characters (at most %d)", len(id), maxURI)
	}
	words := strings.Split(id, "_")
	if len(words) < 2 || !allDigits(words[0]) {
		return Key{}, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%q is not an item id", clip(id)), "an item id looks like 01_09506000134352_21_ABC123")
	}
	if len(words)%2 != 0 || !evenAIs(words) {
		// An underscore within the last value, its escape undone on the way.
		n := 2
		if _, qualified := Lookup(words[min(2, len(words)-1)]); qualified && len(words) > 3 {
			n = 4
		}
		words = append(words[:n-1:n-1], strings.Join(words[n-1:], "_"))
	}
	var es []Element
	for i := 0; i+1 < len(words); i += 2 {
		v, err := unescape(words[i+1], false)
		if err != nil {
			v = words[i+1]
		}
		es = append(es, Element{words[i], v})
	}
	return NewKey(es...)
}

func evenAIs(words []string) bool {
	for i := 0; i < len(words); i += 2 {
		if _, ok := Lookup(words[i]); !ok {
			return false
		}
	}
	return true
}

// Parse reads a key in any of its written forms: an item id, a Digital Link URI
// or its path, an EPC URN, or a bare GTIN. Errors are Invalid.
func Parse(s string) (Key, error) {
	switch {
	case strings.HasPrefix(s, "urn:epc:"):
		return ParseURN(s)
	case strings.Contains(s, "://"):
		l, err := ParseLink(s, Options{Aliases: true, ShortGTIN: true, Unknown: true})
		return l.Key, err
	case strings.HasPrefix(s, "/"):
		l, err := ParsePath(strings.TrimSuffix(s, "/"), "", Options{Aliases: true, ShortGTIN: true})
		return l.Key, err
	case strings.Contains(s, "_"):
		return ParseID(s)
	}
	g, err := ParseGTIN(s)
	if err != nil {
		return Key{}, err
	}
	return NewKey(Element{"01", g})
}

const maxURI = 2048

func pathSafe(c byte) bool {
	return idSafe(c) || c == '_' || c == '~' || strings.IndexByte("!$&'()*+,;=:@", c) >= 0
}

func idSafe(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '.'
}

func escape(b []byte, s string, safe func(byte) bool) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; safe(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

func unescape(s string, plus bool) (string, error) {
	if strings.IndexByte(s, '%') < 0 && (!plus || strings.IndexByte(s, '+') < 0) {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%':
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return "", rapport.Errorf(rapport.Invalid, "%q has a broken percent escape", clip(s))
			}
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		case plus && s[i] == '+':
			b = append(b, ' ')
		default:
			b = append(b, s[i])
		}
	}
	return string(b), nil
}
