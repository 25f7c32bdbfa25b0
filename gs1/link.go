package gs1

import (
	"strings"

	"github.com/rapport-engine/rapport"
)

// Options say what beyond the standard's canonical syntax is understood.
type Options struct {
	// Aliases allows the words of earlier editions for numbers: /gtin/.../ser/... .
	Aliases bool
	// ShortGTIN allows 8, 12 and 13-digit GTINs where 14 digits are due.
	ShortGTIN bool
	// Unknown allows attributes with AIs that are not assigned yet.
	Unknown bool
}

// Link is a Digital Link URI taken apart.
type Link struct {
	// Stem is what precedes the key: scheme, authority and leading path.
	Stem string
	Key  Key
	// Attributes are the elements of the query, in its order.
	Attributes []Element
	// Other is what else the query holds, such as linkType, undecoded and in its order.
	Other []string
	// Fragment is what follows '#'.
	Fragment string
}

// ParseLink parses an uncompressed Digital Link URI. Errors are Invalid and say which part is wrong.
func ParseLink(uri string, o Options) (Link, error) {
	if len(uri) > maxURI {
		return Link{}, rapport.Errorf(rapport.Invalid, "a URI of %d characters (at most %d)", len(uri), maxURI)
	}
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return Link{}, rapport.Errorf(rapport.Invalid, "character %q at %d may not stand in a URI", c, i)
		}
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme != "http" && scheme != "https" && scheme != "HTTP" && scheme != "HTTPS" {
		return Link{}, rapport.Errorf(rapport.Invalid, "%q does not begin with http:// or https://", clip(uri))
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	host, path, ok := strings.Cut(rest, "/")
	if !ok || host == "" {
		return Link{}, rapport.Errorf(rapport.Invalid, "%q names no host and path", clip(uri))
	}
	for i := range len(host) {
		if c := host[i]; !idSafe(c) && strings.IndexByte("_:[]@", c) < 0 {
			return Link{}, rapport.Errorf(rapport.Invalid, "character %q may not stand in a host", c)
		}
	}
	l, err := ParsePath("/"+path, query, o)
	if err != nil {
		return Link{}, err
	}
	l.Stem = strings.ToLower(scheme) + "://" + host + l.Stem
	l.Fragment = fragment
	return l, nil
}

// ParsePath parses the path and raw query of a Digital Link URI; both still
// carry their escapes. Stem is the path before the key.
func ParsePath(path, query string, o Options) (Link, error) {
	if len(path)+len(query) > maxURI {
		return Link{}, rapport.Errorf(rapport.Invalid, "a URI of %d characters (at most %d)", len(path)+len(query), maxURI)
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	at := keyAt(segments, o)
	if at < 0 {
		return Link{}, rapport.Errorf(rapport.Invalid, "path %q holds no GS1 key", clip(path))
	}
	var l Link
	if at > 0 {
		l.Stem = "/" + strings.Join(segments[:at], "/")
	}
	for i := at; i < len(segments); i += 2 {
		e, err := element(segments[i], segments[i+1], false, o)
		if err != nil {
			return Link{}, err
		}
		l.Key.elements = append(l.Key.elements, e)
	}
	if err := l.Key.validate(); err != nil {
		return Link{}, err
	}
	if err := l.attributes(query, o); err != nil {
		return Link{}, err
	}
	return l, associated(append(l.Key.elements[:len(l.Key.elements):len(l.Key.elements)], l.Attributes...))
}

// keyAt finds the rightmost primary key that pairs up to the end of the path.
func keyAt(segments []string, o Options) int {
	for i := len(segments) - 2; i >= 0; i -= 2 {
		ai := number(segments[i], o)
		if ai == "" {
			return -1
		}
		if a, ok := Lookup(ai); ok && a.Primary {
			return i
		}
	}
	return -1
}

// number returns the AI that a path segment stands for, or "".
func number(segment string, o Options) string {
	if allDigits(segment) {
		return segment
	}
	if o.Aliases {
		return alias(segment)
	}
	return ""
}

func element(ai, value string, query bool, o Options) (Element, error) {
	v, err := unescape(value, query)
	if err != nil {
		return Element{}, err
	}
	if v == "" {
		return Element{}, rapport.Errorf(rapport.Invalid, "(%s) has no value", clip(ai))
	}
	e := Element{number(ai, o), v}
	if e.AI == "01" && o.ShortGTIN && allDigits(v) && (len(v) == 8 || len(v) == 12 || len(v) == 13) {
		e.Value = "00000000000000"[:14-len(v)] + v
	}
	return e, nil
}

func (l *Link) attributes(query string, o Options) error {
	primary, _ := Lookup(l.Key.Primary())
	for part := range strings.SplitSeq(query, "&") {
		name, value, pair := strings.Cut(part, "=")
		if part == "" {
			continue
		}
		if !pair || !allDigits(name) {
			l.Other = append(l.Other, part)
			continue
		}
		e, err := element(name, value, true, o)
		if err != nil {
			return err
		}
		a, known := Lookup(name)
		switch {
		case known && !a.Attribute:
			return rapport.Errorf(rapport.Invalid, "(%s) may not stand in the query", name)
		case !known && !o.Unknown:
			return rapport.Errorf(rapport.Invalid, "(%s) is not an application identifier", clip(name))
		}
		if err := e.Validate(); err != nil {
			return err
		}
		for _, other := range append(l.Key.elements[:len(l.Key.elements):len(l.Key.elements)], l.Attributes...) {
			if other.AI == e.AI {
				return rapport.Errorf(rapport.Invalid, "(%s) stands twice", name)
			}
		}
		for _, alt := range primary.Qualifiers {
			if within(alt, append(l.Key.elements[1:len(l.Key.elements):len(l.Key.elements)], e)) {
				return rapport.Errorf(rapport.Invalid, "(%s) belongs in the path, it qualifies (%s)", name, primary.Number)
			}
		}
		l.Attributes = append(l.Attributes, e)
	}
	return nil
}

// within reports whether all the elements are among the AIs.
func within(ais []string, es []Element) bool {
	for _, e := range es {
		found := false
		for _, ai := range ais {
			found = found || ai == e.AI
		}
		if !found {
			return false
		}
	}
	return true
}

// Elements returns key and attributes.
func (l Link) Elements() []Element {
	return append(l.Key.elements[:len(l.Key.elements):len(l.Key.elements)], l.Attributes...)
}

// ElementString returns the elements as a barcode carries them, with '^' for FNC1.
func (l Link) ElementString() string {
	b := []byte{'^'}
	separate := false
	for _, e := range l.Elements() {
		if separate {
			b = append(b, '^')
		}
		b = append(append(b, e.AI...), e.Value...)
		a, ok := Lookup(e.AI)
		separate = !ok || !a.fixed
	}
	return string(b)
}

// URI composes the link again: stem, key, attributes and the rest of the query.
func (l Link) URI() string {
	b := append([]byte(l.Stem), l.Key.Path()...)
	sep := byte('?')
	for _, e := range l.Attributes {
		b = append(append(append(b, sep), e.AI...), '=')
		b = escape(b, e.Value, func(c byte) bool { return idSafe(c) || c == '_' || c == '~' })
		sep = '&'
	}
	for _, p := range l.Other {
		b = append(append(b, sep), p...)
		sep = '&'
	}
	if l.Fragment != "" {
		b = append(append(b, '#'), l.Fragment...)
	}
	return string(b)
}

// alias returns the AI for the short names of Digital Link 1.0 and 1.1, or "".
func alias(name string) string {
	switch name {
	case "gtin":
		return "01"
	case "itip":
		return "8006"
	case "cpid":
		return "8010"
	case "gmn":
		return "8013"
	case "gln":
		return "414"
	case "payTo":
		return "415"
	case "party":
		return "417"
	case "gsrn":
		return "8018"
	case "gsrnp":
		return "8017"
	case "gcn":
		return "255"
	case "sscc":
		return "00"
	case "gdti":
		return "253"
	case "ginc":
		return "401"
	case "gsin":
		return "402"
	case "grai":
		return "8003"
	case "giai":
		return "8004"
	case "cpv":
		return "22"
	case "lot":
		return "10"
	case "ser":
		return "21"
	case "cpsn":
		return "8011"
	case "glnx":
		return "254"
	case "refNo":
		return "8020"
	case "srin":
		return "8019"
	}
	return ""
}
