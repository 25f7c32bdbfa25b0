package rapport

import (
	"encoding/binary"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Fields is a JSON object in a compact binary form that is read without
// parsing and without allocating: a sequence of members, each a uvarint key
// length, the key, and a value as written by [AppendValue]. Member order is
// kept. The zero Fields is the empty object.
type Fields []byte

// AppendField appends one member to f.
func AppendField(f Fields, key string, v Value) Fields {
	f = binary.AppendUvarint(f, uint64(len(key)))
	f = append(f, key...)
	return AppendValue(f, v)
}

// Get returns the member named key, without allocating. The last wins if a key stands twice.
func (f Fields) Get(key string) (Value, bool) {
	var found Value
	ok := false
	for b := []byte(f); len(b) > 0; {
		l, k := uvarint(b)
		if k <= 0 || l > uint64(len(b)-k) {
			break
		}
		at := k + int(l)
		n := valueSize(b[at:])
		if n <= 0 {
			break
		}
		if string(b[k:at]) == key {
			found, _ = decodeValue(b[at:])
			ok = true
		}
		b = b[at+n:]
	}
	return found, ok
}

// Path returns the value at a path of keys through nested objects.
func (f Fields) Path(keys ...string) (Value, bool) {
	var v Value
	for i, k := range keys {
		var ok bool
		if v, ok = f.Get(k); !ok {
			return Value{}, false
		}
		if i < len(keys)-1 {
			if f, ok = v.Object(); !ok {
				return Value{}, false
			}
		}
	}
	return v, len(keys) > 0
}

// All iterates over the members in order. Keys refer to the buffer.
func (f Fields) All() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		for b := []byte(f); len(b) > 0; {
			k, v, n := decodeMember(b)
			if n <= 0 || !yield(k, v) {
				return
			}
			b = b[n:]
		}
	}
}

// Len returns the number of members.
func (f Fields) Len() int {
	n := 0
	for range f.All() {
		n++
	}
	return n
}

// Valid reports whether f is well formed all the way down, to the given depth of nesting.
func (f Fields) Valid(depth int) bool {
	for b := []byte(f); len(b) > 0; {
		_, v, n := decodeMember(b)
		if n <= 0 || !v.valid(depth) {
			return false
		}
		b = b[n:]
	}
	return true
}

func (v Value) valid(depth int) bool {
	if (v.kind == KindObject || v.kind == KindArray) && depth <= 0 {
		return false
	}
	switch v.kind {
	case KindObject:
		return Fields(v.data).Valid(depth - 1)
	case KindArray:
		for b := v.data; len(b) > 0; {
			e, n := decodeValue(b)
			if n <= 0 || !e.valid(depth-1) {
				return false
			}
			b = b[n:]
		}
	}
	return true
}

func decodeMember(b []byte) (key []byte, v Value, n int) {
	l, k := uvarint(b)
	if k <= 0 || l > uint64(len(b)-k) {
		return nil, Value{}, -1
	}
	at := k + int(l)
	v, vn := decodeValue(b[at:])
	if vn <= 0 {
		return nil, Value{}, -1
	}
	return b[k:at:at], v, at + vn
}

// AppendJSON appends f as a JSON object.
func (f Fields) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	first := true
	for k, v := range f.All() {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendJSONString(b, k)
		b = append(b, ':')
		b = v.AppendJSON(b)
	}
	return append(b, '}')
}

// AppendJSON appends v as JSON.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.kind {
	case KindFalse:
		return append(b, "false"...)
	case KindTrue:
		return append(b, "true"...)
	case KindNumber:
		return appendJSONNumber(b, v.num)
	case KindBigNumber:
		return append(b, v.data...)
	case KindString:
		return appendJSONString(b, v.data)
	case KindObject:
		return Fields(v.data).AppendJSON(b)
	case KindArray:
		b = append(b, '[')
		first := true
		for e := range v.Elements() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = e.AppendJSON(b)
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}

func appendJSONNumber(b []byte, f float64) []byte {
	if a := max(f, -f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

func appendJSONString(b, s []byte) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < 0x20 || c == '<' || c == '>' || c == '&':
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, "\ufffd"...)
			} else {
				b = append(b, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}

// MarshalJSON returns f as a JSON object.
func (f Fields) MarshalJSON() ([]byte, error) { return f.AppendJSON(nil), nil }

// MarshalJSON returns v as JSON.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// FieldsOf builds Fields from a map, for events we make ourselves and for
// tests; keys are sorted. It is not for hot paths: decoders write Fields
// straight from the wire. Values other than JSON types become null.
func FieldsOf(m map[string]any) Fields {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var f Fields
	for _, k := range keys {
		f = AppendField(f, k, ValueOf(m[k]))
	}
	return f
}

// ValueOf turns a decoded JSON value (as from encoding/json), a Go number or a nested Fields into a Value.
func ValueOf(x any) Value {
	switch x := x.(type) {
	case Value:
		return x
	case Fields:
		return ObjectValue(x)
	case string:
		return StringValue(x)
	case bool:
		return BoolValue(x)
	case float64:
		return NumberValue(x)
	case int:
		return NumberValue(float64(x))
	case int64:
		return NumberValue(float64(x))
	case json.Number:
		return NumberText(string(x))
	case map[string]any:
		return ObjectValue(FieldsOf(x))
	case []any:
		var b []byte
		for _, e := range x {
			b = AppendValue(b, ValueOf(e))
		}
		return Value{kind: KindArray, data: b}
	case []string:
		var b []byte
		for _, e := range x {
			b = AppendValue(b, StringValue(e))
		}
		return Value{kind: KindArray, data: b}
	}
	return Value{}
}

// ArrayValue wraps elements already written one after another by [AppendValue].
func ArrayValue(elements []byte) Value { return Value{kind: KindArray, data: elements} }

// NumberText returns the value of a JSON number given as text. A number that a
// float64 would change (more than 2^53, for instance) keeps its text.
func NumberText(s string) Value {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return Value{}
	}
	if len(s) > 15 && string(appendJSONNumber(nil, f)) != s {
		return Value{kind: KindBigNumber, data: []byte(s)}
	}
	return Value{kind: KindNumber, num: f}
}

// Any returns v as the types encoding/json would decode into.
func (v Value) Any() any {
	switch v.kind {
	case KindFalse, KindTrue:
		return v.kind == KindTrue
	case KindNumber:
		return v.num
	case KindBigNumber:
		return json.Number(v.data)
	case KindString:
		return string(v.data)
	case KindObject:
		return Fields(v.data).Map()
	case KindArray:
		a := []any{}
		for e := range v.Elements() {
			a = append(a, e.Any())
		}
		return a
	}
	return nil
}

// Map returns f as a generic map; not for hot paths.
func (f Fields) Map() map[string]any {
	m := make(map[string]any)
	for k, v := range f.All() {
		m[string(k)] = v.Any()
	}
	return m
}
