// Package linkage decides which records are of one person by how alike they
// are: probabilistic record linkage after Fellegi and Sunter, with weights that
// are learned without labels, and clusters that a single mistaken pair cannot
// chain together.
//
// Guarantees: it is pure (no I/O, no clock, no global randomness). The order in
// which a file's records are given changes neither the model nor, as long as no
// block or component reaches its bound, the clusters: a cluster is a function of
// the set of records that hang together. Every score is a sum of bits per field,
// so it explains itself. Work and memory per record are bounded.
package linkage

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Kind says how the values of a field are brought to their normal form and compared.
type Kind uint8

// The kinds of fields. Their numbers are part of stored models.
const (
	Given   Kind = iota + 1 // given name, may be exchanged with the surname
	Surname                 // family name
	Place                   // city and the like: short text of letters
	Text                    // address: words and numbers
	Code                    // postcode and other exact codes
	Date                    // calendar date
	Email                   // e-mail address
	Phone                   // telephone number
)

var kindNames = [...]string{"", "given", "surname", "place", "text", "code", "date", "email", "phone"}

// String returns the kind's name in stored models.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// MarshalText returns the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the kind's name; an unknown one becomes 0, which [Model.Check] refuses.
func (k *Kind) UnmarshalText(b []byte) error {
	*k = Kind(max(slices.Index(kindNames[:], string(b)), 0))
	return nil
}

// Field is one thing records tell.
type Field struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Given is 1 + the index of an earlier field whose agreement makes this one
	// agree among strangers too, as a postcode does a city; 0 is none.
	Given int `json:"given,omitempty"`
}

// MaxFields is the most fields a schema may have.
const MaxFields = 12

// Schema lists the fields of records, in the order of their values.
type Schema []Field

// Person is the schema of people as customer files have them.
func Person() Schema {
	return Schema{
		{Name: "given_name", Kind: Given},
		{Name: "surname", Kind: Surname},
		{Name: "email", Kind: Email},
		{Name: "phone", Kind: Phone},
		{Name: "birth_date", Kind: Date},
		{Name: "address", Kind: Text},
		{Name: "postcode", Kind: Code},
		{Name: "city", Kind: Place, Given: 7},
	}
}

// Index returns the place of a field, -1 if there is none.
func (s Schema) Index(name string) int {
	return slices.IndexFunc(s, func(f Field) bool { return f.Name == name })
}

func (s Schema) of(k Kind) int { return slices.IndexFunc(s, func(f Field) bool { return f.Kind == k }) }

// Record is one record in its compact normal form: the length of each value, a
// mask of the characters of each, then the values. Records that say the same
// are equal.
type Record string

// maxValue is the most bytes of a value that are compared.
const maxValue = 96

// Record brings values, in the order of the schema, to their normal form.
// Missing values are empty.
func (s Schema) Record(values []string) Record {
	size := header * len(s)
	var normal [MaxFields]string
	for i, f := range s {
		if i < len(values) {
			normal[i] = Normalize(f.Kind, values[i])
		}
		size += len(normal[i])
	}
	b := make([]byte, 0, size)
	for i := range s {
		b = append(b, byte(len(normal[i])))
	}
	for i := range s {
		b = binary.LittleEndian.AppendUint32(b, uint32(maskOf(normal[i])))
	}
	for i := range s {
		b = append(b, normal[i]...)
	}
	return Record(b)
}

const header = 1 + 4 // bytes of a field beside its value

// Values returns the values in normal form of a record of n fields.
func (r Record) Values(n int) []string {
	var v view
	v.open(r, n)
	out := make([]string, n)
	for i := range n {
		out[i] = v.at(i)
	}
	return out
}

// Empty reports whether a record of n fields says nothing.
func (r Record) Empty(n int) bool { return len(r) <= n*header }

// view is a record laid open.
type view struct {
	text string
	n    int
	off  [MaxFields + 1]uint16
}

func (v *view) open(r Record, n int) {
	v.text, v.n = string(r), n
	at := uint16(n * header)
	for i := range n {
		v.off[i] = at
		at += uint16(r[i])
	}
	v.off[n] = at
}

func (v *view) at(i int) string { return v.text[v.off[i]:v.off[i+1]] }

func (v *view) mask(i int) mask {
	at := v.n + 4*i
	return mask(v.text[at]) | mask(v.text[at+1])<<8 | mask(v.text[at+2])<<16 | mask(v.text[at+3])<<24
}

// mask says which characters occur in a value: one bit for a letter, digits and
// others share some. What only one of two values has bounds how alike they are.
type mask uint32

func maskOf(s string) (m mask) {
	for i := 0; i < len(s); i++ {
		m |= 1 << charBit(s[i])
	}
	return m
}

func charBit(c byte) uint {
	switch {
	case c >= 'a' && c <= 'z':
		return uint(c - 'a')
	case c >= '0' && c <= '9':
		return uint(c-'0') + 22 // 4 to 9 of their own, the others with w to z
	}
	return uint(c) & 31
}

// alone returns how many characters at least each of two values has that the other lacks.
func (m mask) alone(o mask) (mine, theirs int) {
	return bits.OnesCount32(uint32(m &^ o)), bits.OnesCount32(uint32(o &^ m))
}
