package gs1

import (
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// scheme says how an EPC URN and a GS1 key hold the same digits
// (EPC Tag Data Standard 2.1 sections 6.3 and 7).
type scheme struct {
	ai string
	// digits is the length of company prefix and reference together; 0 if it varies.
	digits int
	// checked keys carry a check digit that the URN leaves out; firstOut keys have
	// the reference's first digit before the company prefix.
	checked, firstOut bool
	// serial is the AI that takes the third part; "" with inline set appends it to the key's own value.
	serial string
	inline bool
	lead   string // digits before the key that no URN holds
}

var schemes = map[string]scheme{
	"sgtin": {ai: "01", digits: 13, checked: true, firstOut: true, serial: "21"},
	"lgtin": {ai: "01", digits: 13, checked: true, firstOut: true, serial: "10"},
	"upui":  {ai: "01", digits: 13, checked: true, firstOut: true, serial: "235"},
	"sscc":  {ai: "00", digits: 17, checked: true, firstOut: true},
	"sgln":  {ai: "414", digits: 12, checked: true, serial: "254"},
	"pgln":  {ai: "417", digits: 12, checked: true},
	"grai":  {ai: "8003", digits: 12, checked: true, inline: true, lead: "0"},
	"gdti":  {ai: "253", digits: 12, checked: true, inline: true},
	"sgcn":  {ai: "255", digits: 12, checked: true, inline: true},
	"gsrn":  {ai: "8018", digits: 17, checked: true},
	"gsrnp": {ai: "8017", digits: 17, checked: true},
	"giai":  {ai: "8004"},
	"ginc":  {ai: "401"},
	"gsin":  {ai: "402", digits: 16, checked: true},
	"cpi":   {ai: "8010", serial: "8011"},
	"itip":  {ai: "8006", digits: 13, checked: true, firstOut: true, serial: "21"},
}

// ParseURN returns the key an EPC pure identity, class or pattern URN stands
// for: urn:epc:id:sgtin:0614141.112345.400, urn:epc:class:lgtin:..., and
// urn:epc:idpat:sgtin:0614141.112345.* for the whole class. Errors are Invalid.
func ParseURN(urn string) (Key, error) {
	bad := func(why string) (Key, error) {
		return Key{}, rapport.Errorf(rapport.Invalid, "EPC URN %q: %s", clip(urn), why)
	}
	if len(urn) > maxURI {
		return bad("too long")
	}
	parts := strings.SplitN(urn, ":", 5)
	if len(parts) != 5 || parts[0] != "urn" || parts[1] != "epc" {
		return bad("want urn:epc:id:SCHEME:...")
	}
	s, ok := schemes[parts[3]]
	if !ok {
		return bad("scheme " + clip(parts[3]) + " names no GS1 key")
	}
	pattern := parts[2] == "idpat"
	if !pattern && (parts[2] != "id" || parts[3] == "lgtin") && (parts[2] != "class" || parts[3] != "lgtin") {
		return bad("want id, class or idpat")
	}
	fields := strings.Split(parts[4], ".")
	// Serials may hold dots: everything after the fixed fields is one.
	fixed := 2
	if parts[3] == "itip" {
		fixed = 4
	}
	if len(fields) < fixed {
		return bad("too few fields")
	}
	if s.digits == 0 && s.serial == "" {
		fields = []string{fields[0], strings.Join(fields[1:], ".")}
	}
	serial := strings.Join(fields[fixed:], ".")
	hasSerial := s.serial != "" || s.inline
	if hasSerial != (len(fields) > fixed) {
		return bad("wrong number of fields")
	}
	prefix, ref := fields[0], fields[1]
	if !allDigits(prefix) || len(prefix) < 6 || len(prefix) > 12 {
		return bad("the company prefix has 6 to 12 digits")
	}
	if pattern && ref == "*" {
		return bad("a pattern over a whole company names no key")
	}
	value, err := s.compose(prefix, ref)
	if err != nil {
		return bad(err.Error())
	}
	if parts[3] == "itip" {
		if len(fields[2]) != 2 || len(fields[3]) != 2 {
			return bad("piece and total have 2 digits each")
		}
		value += fields[2] + fields[3]
	}
	es := []Element{{s.ai, value}}
	if hasSerial && (!pattern || serial != "*") {
		v, err := unescape(serial, false)
		if err != nil {
			return bad("broken escape")
		}
		switch {
		case v == "":
			return bad("the serial is empty")
		case parts[3] == "sgln" && v == "0": // no extension
		case s.inline:
			es[0].Value += v
		default:
			es = append(es, Element{s.serial, v})
		}
	}
	k, err := NewKey(es...)
	if err != nil {
		return bad(err.Error())
	}
	return k, nil
}

type reason string

func (r reason) Error() string { return string(r) }

func (s scheme) compose(prefix, ref string) (string, error) {
	if s.digits == 0 {
		v, err := unescape(ref, false)
		if err != nil || v == "" {
			return "", reason("the reference is empty or its escape broken")
		}
		return prefix + v, nil
	}
	if ref != "" && !allDigits(ref) || len(prefix)+len(ref) != s.digits {
		return "", reason("company prefix and reference must have " + strconv.Itoa(s.digits) + " digits together")
	}
	body := prefix + ref
	if s.firstOut {
		if ref == "" {
			return "", reason("the reference is empty")
		}
		body = ref[:1] + prefix + ref[1:]
	}
	if s.checked {
		c, _ := CheckDigit(body)
		body += string(rune(c))
	}
	return s.lead + body, nil
}

// URN returns the key as an EPC URN, given how many digits its company prefix
// has (6 to 12), which a key alone does not tell. Errors are Invalid: not every
// key has a URN.
func (k Key) URN(prefixDigits int) (string, error) {
	kind, space, err := k.scheme()
	if err != nil {
		return "", err
	}
	s := schemes[kind]
	value := strings.TrimPrefix(k.Value(s.ai), s.lead)
	body, tail := value, ""
	if s.digits > 0 {
		body = value[:s.digits]
		tail = after(value, s.digits+1)
	}
	if s.firstOut {
		body = body[1:prefixed(prefixDigits, body)+1] + body[:1] + body[prefixed(prefixDigits, body)+1:]
	}
	if prefixDigits < 6 || prefixDigits > 12 || prefixDigits > len(body) || !allDigits(body[:prefixDigits]) || s.digits == 0 && prefixDigits == len(body) {
		return "", rapport.Errorf(rapport.Invalid, "%s has no company prefix of %d digits", k.ID(), prefixDigits)
	}
	b := append([]byte("urn:epc:"+space+":"+kind+":"), body[:prefixDigits]...)
	b = append(b, '.')
	b = escape(b, body[prefixDigits:], urnSafe)
	switch {
	case kind == "itip":
		b = append(b, '.')
		b = append(append(append(b, tail[:2]...), '.'), tail[2:4]...)
		b = append(b, '.')
		b = escape(b, or(k.Value("21"), "*"), urnSafe)
	case s.inline:
		b = append(b, '.')
		b = escape(b, or(tail, "*"), urnSafe)
	case kind == "sgln":
		b = append(b, '.')
		b = escape(b, or(k.Value("254"), "0"), urnSafe)
	case s.serial != "":
		b = append(b, '.')
		b = escape(b, or(k.Value(s.serial), "*"), urnSafe)
	}
	return string(b), nil
}

func prefixed(n int, body string) int { return min(max(n, 0), len(body)-1) }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// scheme returns the URN scheme and name space of a key.
func (k Key) scheme() (kind, space string, err error) {
	space = "id"
	switch k.Primary() {
	case "01":
		kind = "sgtin"
		switch {
		case k.Value("21") != "":
		case k.Value("235") != "":
			kind = "upui"
		case k.Value("10") != "":
			kind, space = "lgtin", "class"
		default:
			space = "idpat"
		}
		return kind, space, nil
	case "415", "8013", "":
		return "", "", rapport.Errorf(rapport.Invalid, "%s has no EPC URN", k.ID())
	}
	for name, s := range schemes {
		if s.ai == k.Primary() {
			kind = name
		}
	}
	if s := schemes[kind]; (s.inline || kind == "cpi" || kind == "itip") && k.Serial() == "" {
		space = "idpat"
	}
	return kind, space, nil
}

// urnSafe holds what an EPC URN writes as it is: of set 82 all but "%&/<>? .
func urnSafe(c byte) bool { return idSafe(c) || strings.IndexByte("!'()*+,:;=_", c) >= 0 }
