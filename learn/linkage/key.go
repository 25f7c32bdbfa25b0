package linkage

import "strings"

// maxKeys is the most blocking keys of a record: 19 of the person's fields and
// one of each further code.
const maxKeys = 24

// keys are a record's blocking keys; 0 is none. Records are compared only if
// they share one, so each combines what two records of one person would share
// even if the rest were mistyped.
type keys [maxKeys]uint64

// keyer makes the keys of records of a schema.
type keyer struct {
	schema                                                 Schema
	given, surname, email, phone, birth, text, code, place int
}

func newKeyer(s Schema) keyer {
	return keyer{s, s.of(Given), s.of(Surname), s.of(Email), s.of(Phone), s.of(Date), s.of(Text), s.of(Code), s.of(Place)}
}

func (k *keyer) value(v *view, i int) string {
	if i < 0 {
		return ""
	}
	return v.at(i)
}

// keys fills out with the keys of a record.
func (k *keyer) keys(v *view, out *keys) {
	*out = keys{}
	n := 0
	put := func(parts ...string) {
		h := uint64(n+1) * 0x9e3779b97f4a7c15
		for _, p := range parts {
			if p == "" {
				h = 0
				break
			}
			h = (h ^ fingerprint(p)) * 0xff51afd7ed558ccd
			h ^= h >> 32
		}
		out[n] = h
		n++
	}
	given, surname := k.value(v, k.given), k.value(v, k.surname)
	sg, ss := sound(given), sound(surname)
	g2, s3 := head(given, 2), head(surname, 3)
	street, place := trunk(k.value(v, k.text), 5), head(k.value(v, k.place), 4)
	code, birth := k.value(v, k.code), k.value(v, k.birth)
	mail, phone := k.value(v, k.email), k.value(v, k.phone)
	local, _, _ := strings.Cut(mail, "@")
	if len(local) < 6 {
		local = ""
	}
	year, month, day := "", "", ""
	if len(birth) == 8 {
		year, month, day = birth[:4], birth[4:6], birth[6:]
	}
	first, second := sg.text(), ss.text()
	if first > second {
		first, second = second, first
	}
	put(mail)
	put(local)
	put(tail(phone, 8))
	put(birth)
	put(first, second)
	put(year, month, ss.text())
	put(month, day, g2)
	put(year, day, s3)
	put(code, ss.text())
	put(code, sg.text())
	put(code, street)
	put(code, month, day)
	put(code, year)
	put(street, place)
	put(street, ss.text())
	put(street, sg.text())
	put(ss.text(), place)
	put(street, year)
	put(tail(surname, 4), tail(given, 4))
	for i, f := range k.schema {
		if f.Kind == Code && i != k.code && n < maxKeys {
			put(v.at(i))
		}
	}
}

// soundex is a word's sound.
type soundex [4]byte

func (s *soundex) text() string {
	if s[0] == 0 {
		return ""
	}
	return string(s[:])
}

// sound returns the sound of the first word: its first letter and the classes
// of the next three consonants (R. C. Russell, US patent 1,261,167, 1918).
// Letters beyond a to z keep their own byte.
func sound(s string) (out soundex) {
	const classes = "01230120022455012623010202"
	n := 0
	var last byte
	for i := 0; i < len(s) && n < len(out); i++ {
		c := s[i]
		if c == ' ' {
			if n >= 3 {
				break
			}
			continue
		}
		class := c
		if c >= 'a' && c <= 'z' {
			class = classes[c-'a']
		}
		switch {
		case n == 0:
			out[0] = c
			n++
		case class != '0' && class != last:
			out[n] = class
			n++
		}
		if c != 'h' && c != 'w' {
			last = class
		}
	}
	for ; n > 0 && n < len(out); n++ {
		out[n] = '0'
	}
	return out
}

// head returns the first n bytes of a text; less is nothing.
func head(s string, n int) string {
	if len(s) < n {
		return ""
	}
	return s[:n]
}

// tail returns the last n bytes of a text, or all of a shorter one of at least half that.
func tail(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	if len(s) < (n+1)/2 {
		return ""
	}
	return s
}

// trunk returns the first n letters of an address without its numbers and blanks.
func trunk(s string, n int) string {
	var b [8]byte
	at := 0
	for i := 0; i < len(s) && at < n; i++ {
		if c := s[i]; c != ' ' && (c < '0' || c > '9') {
			b[at] = c
			at++
		}
	}
	if at < n {
		return ""
	}
	return string(b[:n])
}
