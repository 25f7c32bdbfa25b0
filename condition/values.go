package condition

import (
	"bytes"
	"math"
	"unicode/utf8"

	"github.com/rapport-engine/rapport"
)

// memberDegree is the degree from which a person counts as in a soft segment.
const memberDegree = 0.5

// maxItems bounds how many items of a person a condition looks at.
const maxItems = 1000

// sameValue reports whether two present values are equal. Numbers are equal by
// value; those a float64 cannot tell apart, by their digits.
func sameValue(a, b rapport.Value) bool {
	x, ok1 := a.Number()
	y, ok2 := b.Number()
	if !ok1 || !ok2 {
		return !ok1 && !ok2 && a.Equal(b)
	}
	if a.Kind() == rapport.KindBigNumber && b.Kind() == rapport.KindBigNumber {
		return x == y && (a.Equal(b) || !isInteger(a) || !isInteger(b))
	}
	return x == y
}

// isInteger reports whether a number kept as text is written without point and exponent.
func isInteger(v rapport.Value) bool {
	return !bytes.ContainsAny(v.AppendJSON(nil), ".eE")
}

// order compares two numbers or two texts (by bytes); ok is false for anything else.
func order(a, b rapport.Value) (cmp int, ok bool) {
	if x, isText := a.Text(); isText {
		y, isText := b.Text()
		return bytes.Compare(x, y), isText
	}
	x, ok1 := a.Number()
	y, ok2 := b.Number()
	switch {
	case !ok1 || !ok2:
		return 0, false
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

// ordered reports whether cmp satisfies an ordering operator.
func ordered(kind nodeKind, cmp int) bool {
	switch kind {
	case kindLess:
		return cmp < 0
	case kindAtMost:
		return cmp <= 0
	case kindMore:
		return cmp > 0
	}
	return cmp >= 0
}

// compare applies a comparison to two values; a missing one makes it false.
func compare(kind nodeKind, a, b rapport.Value) bool {
	if a.IsNull() || b.IsNull() {
		return false
	}
	switch kind {
	case kindEqual:
		return sameValue(a, b)
	case kindDiffers:
		return !sameValue(a, b)
	}
	cmp, ok := order(a, b)
	return ok && ordered(kind, cmp)
}

// contained reports whether v is an element of an array or a key of an object.
func contained(v, in rapport.Value) bool {
	if v.IsNull() {
		return false
	}
	if f, ok := in.Object(); ok {
		key, isText := v.Text()
		if isText {
			for k := range f.All() {
				if bytes.Equal(k, key) {
					return true
				}
			}
		}
		return false
	}
	for e := range in.Elements() {
		if sameValue(v, e) {
			return true
		}
	}
	return false
}

// holdsText is contains(...): a text in a text, or a value in an array.
func holdsText(v, what rapport.Value) bool {
	if text, ok := v.Text(); ok {
		part, ok := what.Text()
		return ok && bytes.Contains(text, part)
	}
	return v.Kind() == rapport.KindArray && contained(what, v)
}

// arithmetic returns ok false for results that are no numbers, such as 1/0.
func arithmetic(kind nodeKind, x, y float64) (float64, bool) {
	switch kind {
	case kindAdd:
		x += y
	case kindSubtract:
		x -= y
	case kindMultiply:
		x *= y
	default:
		x /= y
	}
	return x, !math.IsNaN(x) && !math.IsInf(x, 0)
}

// sizeOf counts characters of a text, elements of an array, members of an object.
func sizeOf(v rapport.Value) (float64, bool) {
	switch v.Kind() {
	case rapport.KindString:
		text, _ := v.Text()
		return float64(utf8.RuneCount(text)), true
	case rapport.KindArray:
		n := 0
		for range v.Elements() {
			n++
		}
		return float64(n), true
	case rapport.KindObject:
		f, _ := v.Object()
		return float64(f.Len()), true
	}
	return 0, false
}

// timeOf reads a value as a time in Unix seconds.
func timeOf(v rapport.Value) (float64, bool) {
	if text, ok := v.Text(); ok {
		return parseTime(text)
	}
	return v.Number()
}

func isTrue(v rapport.Value) bool { return v.Kind() == rapport.KindTrue }

func itemsOf(env Env) (Owner, int) {
	o, ok := env.(Owner)
	if !ok {
		return nil, 0
	}
	return o, min(o.NumItems(), maxItems)
}

// unixMilli returns the time of evaluation.
func unixMilli(env Env) int64 {
	if m, ok := env.(Moment); ok {
		return m.UnixMilli()
	}
	return env.Now().UnixMilli()
}

func itemValue(env Env, item int, path []string) rapport.Value {
	o, ok := env.(Owner)
	if !ok || item < 0 {
		return rapport.Value{}
	}
	return o.ItemValue(item, path)
}

func numberOrNull(f float64, ok bool) rapport.Value {
	if !ok {
		return rapport.Value{}
	}
	return rapport.NumberValue(f)
}

// cloneValue copies v out of the buffer it is a view of.
func cloneValue(v rapport.Value) rapport.Value {
	c, _ := rapport.DecodeValue(rapport.AppendValue(nil, v))
	return c
}
