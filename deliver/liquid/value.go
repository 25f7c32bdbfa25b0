package liquid

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// safeText is text that needs no escaping any more.
type safeText string

// span is the range (from..to).
type span struct{ from, to int64 }

// marker is one of the words empty and blank.
type marker string

const (
	empty marker = "empty"
	blank marker = "blank"
)

// plain turns a value from outside into nil, bool, int64, float64, string,
// time.Time, []any, map[string]any or Object.
func plain(v any) any {
	switch x := v.(type) {
	case nil, bool, int64, float64, string, time.Time, []any, map[string]any, Object, safeText, span, marker:
		return v
	case int:
		return int64(x)
	case int32:
		return int64(x)
	case uint32:
		return int64(x)
	case uint64:
		return int64(min(x, math.MaxInt64))
	case float32:
		return float64(x)
	case []string:
		list := make([]any, len(x))
		for i, s := range x {
			list[i] = s
		}
		return list
	case []map[string]any:
		list := make([]any, len(x))
		for i, m := range x {
			list[i] = m
		}
		return list
	case rapport.Value:
		return fromValue(x)
	case rapport.Fields:
		return fields(x)
	case fmt.Stringer:
		return x.String()
	}
	return fmt.Sprint(v)
}

// fields are properties of an event or traits of a person.
type fields rapport.Fields

// Property returns the field of that name.
func (f fields) Property(name string) (any, bool) {
	v, ok := rapport.Fields(f).Get(name)
	return fromValue(v), ok
}

// all returns the fields as values of a template.
func (f fields) all() map[string]any {
	m := map[string]any{}
	for k, v := range rapport.Fields(f).All() {
		m[string(k)] = fromValue(v)
	}
	return m
}

func fromValue(v rapport.Value) any {
	if n, ok := v.Number(); ok {
		if i := int64(n); float64(i) == n && i > -1<<53 && i < 1<<53 {
			return i
		}
		return n
	}
	if b, ok := v.Bool(); ok {
		return b
	}
	if t, ok := v.Text(); ok {
		return string(t)
	}
	if o, ok := v.Object(); ok {
		return fields(o)
	}
	if v.IsNull() {
		return nil
	}
	list := []any{}
	for e := range v.Elements() {
		list = append(list, fromValue(e))
	}
	return list
}

func truthy(v any) bool {
	b, ok := v.(bool)
	return v != nil && (!ok || b)
}

// toText returns a value as it is shown.
func toText(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case safeText:
		return string(x)
	case bool:
		return strconv.FormatBool(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return floatText(x)
	case time.Time:
		return x.Format("2006-01-02 15:04:05 -0700")
	case span:
		return fmt.Sprintf("%d..%d", x.from, x.to)
	case []any:
		var b strings.Builder
		for _, e := range x {
			b.WriteString(toText(plain(e)))
		}
		return b.String()
	case map[string]any:
		return inspect(x)
	case marker:
		return ""
	}
	return fmt.Sprint(v)
}

// floatText shows a number as Ruby does, so that a template reads the same here
// as in the shop.
func floatText(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	if a := math.Abs(x); a != 0 && (a >= 1e16 || a < 1e-4) {
		s := strconv.FormatFloat(x, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "e")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "e" + exponent
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// inspect shows a value inside a map.
func inspect(v any) string {
	switch x := plain(v).(type) {
	case nil:
		return "nil"
	case string:
		return strconv.Quote(x)
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = inspect(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(x))
		for _, k := range sortedKeys(x) {
			parts = append(parts, strconv.Quote(k)+"=>"+inspect(x[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return toText(x)
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// property returns v[key].
func property(v, key any) any {
	switch x := v.(type) {
	case []any:
		switch k := key.(type) {
		case int64:
			if k < 0 {
				k += int64(len(x))
			}
			if k >= 0 && k < int64(len(x)) {
				return plain(x[k])
			}
		case string:
			switch {
			case k == "size":
				return int64(len(x))
			case k == "first" && len(x) > 0:
				return plain(x[0])
			case k == "last" && len(x) > 0:
				return plain(x[len(x)-1])
			}
		}
	case map[string]any:
		k := toText(key)
		if found, ok := x[k]; ok {
			return plain(found)
		}
		switch {
		case k == "size":
			return int64(len(x))
		case k == "first" && len(x) > 0:
			first := sortedKeys(x)[0]
			return []any{first, x[first]}
		}
	case Object:
		if found, ok := x.Property(toText(key)); ok {
			return plain(found)
		}
	case string:
		if key == "size" {
			return int64(len([]rune(x)))
		}
	case span:
		switch key {
		case "size":
			return max(x.to-x.from+1, 0)
		case "first":
			return x.from
		case "last":
			return x.to
		}
	}
	return nil
}

// mostItems bounds a range: a longer one ends there.
const mostItems = 100_000

// items returns what a loop or an array filter goes through.
func items(v any) []any {
	switch x := v.(type) {
	case nil:
		return nil
	case []any:
		return x
	case span:
		var list []any
		for i := x.from; i <= x.to && len(list) < mostItems; i++ {
			list = append(list, i)
		}
		return list
	case map[string]any:
		var list []any
		for _, k := range sortedKeys(x) {
			list = append(list, []any{k, x[k]})
		}
		return list
	case string:
		if x == "" {
			return nil
		}
	}
	return []any{v}
}

// number reads a value as int64 or float64; a text counts as far as it is one.
func number(v any) any {
	switch x := v.(type) {
	case int64, float64:
		return x
	case string, safeText:
		s := strings.TrimSpace(toText(x))
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
		return leadingNumber(s)
	}
	return int64(0)
}

// leadingNumber reads the number a text begins with.
func leadingNumber(s string) any {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && (s[end] == '-' || s[end] == '+')) {
		end++
	}
	i, _ := strconv.ParseInt(s[:end], 10, 64)
	return i
}

// rational is a number exactly as it is written, so that 0.1 plus 0.2 is 0.3.
func rational(v any) *big.Rat {
	switch x := number(v).(type) {
	case int64:
		return new(big.Rat).SetInt64(x)
	case float64:
		if r, ok := new(big.Rat).SetString(strconv.FormatFloat(x, 'g', -1, 64)); ok {
			return r
		}
	}
	return new(big.Rat)
}

func isFloat(v any) bool {
	_, ok := number(v).(float64)
	return ok
}

// narrow returns a result as an integer unless a float took part.
func narrow(r *big.Rat, float bool) any {
	if !float && r.IsInt() && r.Num().IsInt64() {
		return r.Num().Int64()
	}
	f, _ := r.Float64()
	return f
}

func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// equal is ==.
func equal(a, b any) bool {
	if m, ok := b.(marker); ok {
		return is(a, m)
	}
	if m, ok := a.(marker); ok {
		return is(b, m)
	}
	if x, ok := toFloat(a); ok {
		y, ok := toFloat(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case string, safeText:
		switch b.(type) {
		case string, safeText:
			return toText(x) == toText(b)
		}
		return false
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case span:
		return a == b
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, func(a, b any) bool { return equal(plain(a), plain(b)) })
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !equal(plain(v), plain(w)) {
				return false
			}
		}
		return true
	}
	return false
}

// is tells whether a value is empty, or blank.
func is(v any, m marker) bool {
	switch x := v.(type) {
	case string:
		return x == "" || m == blank && strings.TrimSpace(x) == ""
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	case nil:
		return m == blank
	case bool:
		return m == blank && !x
	case marker:
		return x == m
	}
	return false
}

// order compares two values; ok is false if they have no order.
func order(a, b any) (c int, ok bool) {
	if x, isNumber := toFloat(a); isNumber {
		if y, isNumber := toFloat(b); isNumber {
			switch {
			case x < y:
				return -1, true
			case x > y:
				return 1, true
			}
			return 0, x == y
		}
		return 0, false
	}
	switch x := a.(type) {
	case string:
		if y, isText := b.(string); isText {
			return strings.Compare(x, y), true
		}
	case time.Time:
		if y, isTime := b.(time.Time); isTime {
			return x.Compare(y), true
		}
	}
	return 0, false
}

// contains is the operator of that name.
func contains(a, b any) bool {
	switch x := a.(type) {
	case string, safeText:
		return b != nil && strings.Contains(toText(x), toText(b))
	case []any:
		return slices.ContainsFunc(x, func(e any) bool { return equal(plain(e), b) })
	case map[string]any:
		_, ok := x[toText(b)]
		return ok
	case span:
		n, ok := b.(int64)
		return ok && n >= x.from && n <= x.to
	}
	return false
}
