package rapport

import (
	"encoding/binary"
	"iter"
	"math"
	"strconv"
)

// ValueKind is the type of a [Value].
type ValueKind uint8

// The kinds of values. They are the JSON types; KindBigNumber is a JSON number
// that a float64 cannot hold exactly, kept as its text.
const (
	KindNull ValueKind = iota
	KindFalse
	KindTrue
	KindNumber
	KindBigNumber
	KindString
	KindObject
	KindArray
)

// Value is one JSON value in the compact binary form of [Fields]. It is a view
// of the buffer it was read from and must not outlive or change it.
type Value struct {
	kind ValueKind
	num  float64
	data []byte // string bytes, number text, or encoded members
}

// Constructors for values made by ourselves (system events, tests).

// StringValue returns s as a value.
func StringValue(s string) Value { return Value{kind: KindString, data: []byte(s)} }

// NumberValue returns f as a value. NaN and infinities become null, as JSON has none.
func NumberValue(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	return Value{kind: KindNumber, num: f}
}

// BoolValue returns b as a value.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: KindTrue}
	}
	return Value{kind: KindFalse}
}

// ObjectValue returns a nested object.
func ObjectValue(f Fields) Value { return Value{kind: KindObject, data: f} }

// Kind returns the type of v.
func (v Value) Kind() ValueKind { return v.kind }

// IsNull reports whether v is null or absent.
func (v Value) IsNull() bool { return v.kind == KindNull }

// Number returns v as a number: numbers as they are, nothing else.
func (v Value) Number() (float64, bool) {
	switch v.kind {
	case KindNumber:
		return v.num, true
	case KindBigNumber:
		f, err := strconv.ParseFloat(string(v.data), 64)
		return f, err == nil
	}
	return 0, false
}

// Bool returns v as a truth value.
func (v Value) Bool() (value, ok bool) {
	return v.kind == KindTrue, v.kind == KindTrue || v.kind == KindFalse
}

// Text returns the bytes of a string value without copying.
func (v Value) Text() ([]byte, bool) { return v.data, v.kind == KindString }

// Str returns the string of a string value (a copy), else "".
func (v Value) Str() string {
	if v.kind != KindString {
		return ""
	}
	return string(v.data)
}

// Object returns the members of an object value.
func (v Value) Object() (Fields, bool) { return Fields(v.data), v.kind == KindObject }

// Elements iterates over the elements of an array value.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.kind != KindArray {
			return
		}
		for b := v.data; len(b) > 0; {
			e, n := decodeValue(b)
			if n <= 0 || !yield(e) {
				return
			}
			b = b[n:]
		}
	}
}

// Equal reports whether two values are the same JSON value, byte for byte of their encoding.
func (v Value) Equal(o Value) bool {
	return v.kind == o.kind && (v.num == o.num) && string(v.data) == string(o.data)
}

// AppendValue appends the binary form of v: a kind byte, then 8 bytes for a
// number, or a uvarint length and the bytes for text, objects and arrays.
func AppendValue(b []byte, v Value) []byte {
	b = append(b, byte(v.kind))
	switch v.kind {
	case KindNumber:
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.num))
	case KindString, KindBigNumber, KindObject, KindArray:
		b = binary.AppendUvarint(b, uint64(len(v.data)))
		b = append(b, v.data...)
	}
	return b
}

// DecodeValue reads one value from b and returns it with its length, or a
// length of 0 if b is not a value. The value refers to b.
func DecodeValue(b []byte) (Value, int) {
	v, n := decodeValue(b)
	return v, max(n, 0)
}

// uvarint is binary.Uvarint, faster for what takes one byte, as most lengths do.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}

// valueSize returns how many bytes the value at the start of b takes; none or
// fewer if there is no whole one.
func valueSize(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	switch ValueKind(b[0]) {
	case KindNull, KindFalse, KindTrue:
		return 1
	case KindNumber:
		if len(b) < 9 {
			return -1
		}
		return 9
	case KindBigNumber, KindString, KindObject, KindArray:
		l, n := uvarint(b[1:])
		if n <= 0 || l > uint64(len(b)-1-n) {
			return -1
		}
		return 1 + n + int(l)
	}
	return -1
}

func decodeValue(b []byte) (Value, int) {
	if len(b) == 0 {
		return Value{}, -1
	}
	k := ValueKind(b[0])
	switch k {
	case KindNull, KindFalse, KindTrue:
		return Value{kind: k}, 1
	case KindNumber:
		if len(b) < 9 {
			return Value{}, -1
		}
		return Value{kind: k, num: math.Float64frombits(binary.LittleEndian.Uint64(b[1:]))}, 9
	case KindBigNumber, KindString, KindObject, KindArray:
		l, n := uvarint(b[1:])
		if n <= 0 || l > uint64(len(b)-1-n) {
			return Value{}, -1
		}
		end := 1 + n + int(l)
		return Value{kind: k, data: b[1+n : end : end]}, end
	}
	return Value{}, -1
}
