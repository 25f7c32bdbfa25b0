package liquid

import (
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"math"
	"math/big"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// filter turns a value into another.
type filter struct {
	run         func(c *call) (any, error)
	least, most int // positional arguments
}

func (f filter) arity() string {
	switch {
	case f.least == f.most && f.least == 0:
		return "no argument"
	case f.least == f.most:
		return strconv.Itoa(f.least) + " argument(s)"
	}
	return fmt.Sprintf("%d to %d arguments", f.least, f.most)
}

// call is one use of a filter.
type call struct {
	r     *renderer
	in    any
	args  []any
	named map[string]any
}

func (c *call) arg(i int) any {
	if i < len(c.args) {
		return c.args[i]
	}
	return nil
}

func (c *call) text(i int) string { return toText(c.arg(i)) }

// ofText makes a filter of a text.
func ofText(f func(s string) string) filter {
	return filter{run: func(c *call) (any, error) { return f(toText(c.in)), nil }}
}

// with makes a filter of a text with texts as arguments.
func with(n int, f func(s string, c *call) (any, error)) filter {
	return filter{least: n, most: n, run: func(c *call) (any, error) { return f(toText(c.in), c) }}
}

// arithmetic makes a filter of two numbers.
func arithmetic(f func(a, b *big.Rat) *big.Rat) filter {
	return filter{least: 1, most: 1, run: func(c *call) (any, error) {
		return narrow(f(rational(c.in), rational(c.arg(0))), isFloat(c.in) || isFloat(c.arg(0))), nil
	}}
}

var errDivision = errors.New("divided by 0")

// whiteSpace is what strip and its kin take off.
const whiteSpace = " \t\r\n\f\v\x00"

var (
	tagsOfHTML   = regexp.MustCompile(`(?s)<script.*?</script>|<!--.*?-->|<style.*?</style>|<.*?>`)
	entityOfHTML = regexp.MustCompile(`["><']|&(?:[a-zA-Z]+|#\d+;)?;?`)
	knownEntity  = regexp.MustCompile(`^&(?:[a-zA-Z]+|#\d+);$`)
	lineEnd      = regexp.MustCompile(`\r?\n`)
)

// escapeHTML escapes what has a meaning in HTML.
func escapeHTML(s string) string { return html.EscapeString(s) }

var filters = map[string]filter{
	// texts
	"append":     with(1, func(s string, c *call) (any, error) { return s + c.text(0), nil }),
	"prepend":    with(1, func(s string, c *call) (any, error) { return c.text(0) + s, nil }),
	"capitalize": ofText(capitalize),
	"downcase":   ofText(strings.ToLower),
	"upcase":     ofText(strings.ToUpper),
	"strip":      ofText(func(s string) string { return strings.Trim(s, whiteSpace) }),
	"lstrip":     ofText(func(s string) string { return strings.TrimLeft(s, whiteSpace) }),
	"rstrip":     ofText(func(s string) string { return strings.TrimRight(s, whiteSpace) }),
	"strip_html": ofText(func(s string) string { return tagsOfHTML.ReplaceAllString(s, "") }),
	"strip_newlines": ofText(func(s string) string {
		return lineEnd.ReplaceAllString(s, "")
	}),
	"newline_to_br": {run: func(c *call) (any, error) {
		s := toText(c.in)
		if _, safe := c.in.(safeText); c.r.o.Escape != nil && !safe {
			s = c.r.o.Escape(s) // the breaks must stay, so the text is escaped here
		}
		return safeIf(c, lineEnd.ReplaceAllString(s, "<br />\n")), nil
	}},
	"escape":      {run: func(c *call) (any, error) { return safeIf(c, escapeHTML(toText(c.in))), nil }},
	"h":           {run: func(c *call) (any, error) { return safeIf(c, escapeHTML(toText(c.in))), nil }},
	"escape_once": {run: func(c *call) (any, error) { return safeIf(c, escapeOnce(toText(c.in))), nil }},
	"raw":         {run: func(c *call) (any, error) { return safeText(toText(c.in)), nil }},
	"url_encode":  ofText(url.QueryEscape),
	"url_decode": with(0, func(s string, _ *call) (any, error) {
		out, err := url.QueryUnescape(s)
		return out, err
	}),
	"base64_encode":          ofText(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
	"base64_url_safe_encode": ofText(func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) }),
	"base64_decode":          with(0, func(s string, _ *call) (any, error) { return decode64(base64.StdEncoding, s) }),
	"base64_url_safe_decode": with(0, func(s string, _ *call) (any, error) { return decode64(base64.URLEncoding, s) }),
	"remove":                 with(1, func(s string, c *call) (any, error) { return strings.ReplaceAll(s, c.text(0), ""), nil }),
	"remove_first":           with(1, func(s string, c *call) (any, error) { return strings.Replace(s, c.text(0), "", 1), nil }),
	"remove_last":            with(1, func(s string, c *call) (any, error) { return replaceLast(s, c.text(0), ""), nil }),
	"replace": {least: 1, most: 2, run: func(c *call) (any, error) {
		if n := strings.Count(toText(c.in), c.text(0)); n*len(c.text(1)) > MaxOutput {
			return nil, errors.New("the text gets too long")
		}
		return strings.ReplaceAll(toText(c.in), c.text(0), c.text(1)), nil
	}},
	"replace_first": {least: 1, most: 2, run: func(c *call) (any, error) {
		return strings.Replace(toText(c.in), c.text(0), c.text(1), 1), nil
	}},
	"replace_last": with(2, func(s string, c *call) (any, error) { return replaceLast(s, c.text(0), c.text(1)), nil }),
	"slice":        {least: 1, most: 2, run: slice},
	"split":        with(1, split),
	"truncate":     {most: 2, run: truncate},
	"truncatewords": {most: 2, run: func(c *call) (any, error) {
		words, n, end := strings.Fields(toText(c.in)), int64(15), "..."
		if len(c.args) > 0 {
			n = max(whole(c.arg(0)), 1)
		}
		if len(c.args) > 1 {
			end = c.text(1)
		}
		if int64(len(words)) <= n {
			return toText(c.in), nil
		}
		return strings.Join(words[:n], " ") + end, nil
	}},

	// numbers
	"plus":  arithmetic(func(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }),
	"minus": arithmetic(func(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }),
	"times": arithmetic(func(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }),
	"divided_by": {least: 1, most: 1, run: func(c *call) (any, error) {
		a, b := rational(c.in), rational(c.arg(0))
		float := isFloat(c.in) || isFloat(c.arg(0))
		if b.Sign() == 0 {
			return nil, errDivision
		}
		q := new(big.Rat).Quo(a, b)
		if !float {
			return narrow(new(big.Rat).SetInt(floor(q)), false), nil
		}
		return narrow(q, true), nil
	}},
	"modulo": {least: 1, most: 1, run: func(c *call) (any, error) {
		a, b := rational(c.in), rational(c.arg(0))
		if b.Sign() == 0 {
			return nil, errDivision
		}
		q := new(big.Rat).SetInt(floor(new(big.Rat).Quo(a, b)))
		return narrow(new(big.Rat).Sub(a, q.Mul(q, b)), isFloat(c.in) || isFloat(c.arg(0))), nil
	}},
	"abs":      {run: func(c *call) (any, error) { return narrow(new(big.Rat).Abs(rational(c.in)), isFloat(c.in)), nil }},
	"at_least": {least: 1, most: 1, run: func(c *call) (any, error) { return extreme(c, 1), nil }},
	"at_most":  {least: 1, most: 1, run: func(c *call) (any, error) { return extreme(c, -1), nil }},
	"ceil": {run: func(c *call) (any, error) {
		n := floor(new(big.Rat).Neg(rational(c.in)))
		return narrow(new(big.Rat).SetInt(n.Neg(n)), false), nil
	}},
	"floor": {run: func(c *call) (any, error) { return narrow(new(big.Rat).SetInt(floor(rational(c.in))), false), nil }},
	"round": {most: 1, run: round},

	// lists
	"compact":      {most: 1, run: compact},
	"concat":       {least: 1, most: 1, run: concat},
	"first":        {run: func(c *call) (any, error) { return property(c.in, "first"), nil }},
	"last":         {run: func(c *call) (any, error) { return property(c.in, "last"), nil }},
	"join":         {most: 1, run: join},
	"map":          {least: 1, most: 1, run: mapped},
	"reverse":      {run: reverse},
	"size":         {run: size},
	"sort":         {most: 1, run: func(c *call) (any, error) { return sorted(c, false) }},
	"sort_natural": {most: 1, run: func(c *call) (any, error) { return sorted(c, true) }},
	"sum":          {most: 1, run: sum},
	"uniq":         {most: 1, run: uniq},
	"where":        {least: 1, most: 2, run: func(c *call) (any, error) { return where(c, true), nil }},
	"reject":       {least: 1, most: 2, run: func(c *call) (any, error) { return where(c, false), nil }},
	"find": {least: 1, most: 2, run: func(c *call) (any, error) {
		v, _ := find(c)
		return v, nil
	}},
	"find_index": {least: 1, most: 2, run: func(c *call) (any, error) {
		if _, i := find(c); i >= 0 {
			return int64(i), nil
		}
		return nil, nil
	}},
	"has": {least: 1, most: 2, run: func(c *call) (any, error) {
		_, i := find(c)
		return i >= 0, nil
	}},

	// anything
	"default": {most: 1, run: func(c *call) (any, error) {
		if c.in == nil || is(c.in, empty) || c.in == false && !truthy(c.named["allow_false"]) {
			return c.arg(0), nil
		}
		return c.in, nil
	}},
	"json": {run: toJSON},
	"date": {least: 1, most: 1, run: date},
}

// safeIf marks a text as escaped where outputs are escaped.
func safeIf(c *call, s string) any {
	if c.r.o.Escape != nil {
		return safeText(s)
	}
	return s
}

func nearestFilter(name string) string {
	best, least := "", 3
	for known := range filters {
		if d := distance(name, known); d < least || d == least && known < best {
			best, least = known, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of single edits between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

func capitalize(s string) string {
	for i, r := range s {
		return s[:i] + string(unicode.ToUpper(r)) + strings.ToLower(s[i+len(string(r)):])
	}
	return s
}

func escapeOnce(s string) string {
	return entityOfHTML.ReplaceAllStringFunc(s, func(m string) string {
		if knownEntity.MatchString(m) {
			return m
		}
		return escapeHTML(m)
	})
}

func decode64(e *base64.Encoding, s string) (any, error) {
	out, err := e.DecodeString(s)
	if err != nil {
		return nil, errors.New("not base64")
	}
	return string(out), nil
}

func replaceLast(s, old, by string) string {
	i := strings.LastIndex(s, old)
	if i < 0 {
		return s
	}
	return s[:i] + by + s[i+len(old):]
}

func slice(c *call) (any, error) {
	from, n := whole(c.arg(0)), int64(1)
	if len(c.args) > 1 {
		n = whole(c.arg(1))
	}
	list, isList := c.in.([]any)
	runes := []rune(nil)
	size := int64(len(list))
	if !isList {
		runes = []rune(toText(c.in))
		size = int64(len(runes))
	}
	if from < 0 {
		from += size
	}
	to := min(from+max(n, 0), size)
	switch {
	case from < 0 || from > size || to < from:
		if isList {
			return []any{}, nil
		}
		return "", nil
	case isList:
		return list[from:to], nil
	}
	return string(runes[from:to]), nil
}

func split(s string, c *call) (any, error) {
	by := c.text(0)
	var parts []string
	switch {
	case s == "":
		return []any{}, nil
	case by == " ":
		parts = strings.Fields(s)
	default:
		parts = strings.Split(s, by)
		for len(parts) > 0 && parts[len(parts)-1] == "" {
			parts = parts[:len(parts)-1]
		}
	}
	return plain(parts), nil
}

func truncate(c *call) (any, error) {
	n, end := int64(50), "..."
	if len(c.args) > 0 {
		n = whole(c.arg(0))
	}
	if len(c.args) > 1 {
		end = c.text(1)
	}
	runes := []rune(toText(c.in))
	if int64(len(runes)) <= n {
		return string(runes), nil
	}
	keep := max(n-int64(len([]rune(end))), 0)
	return string(runes[:keep]) + end, nil
}

func floor(r *big.Rat) *big.Int {
	q := new(big.Int)
	q.DivMod(r.Num(), r.Denom(), new(big.Int)) // Euclidean: floors for a positive denominator
	return q
}

func extreme(c *call, sign int) any {
	a, b := number(c.in), number(c.arg(0))
	if rational(a).Cmp(rational(b))*sign >= 0 {
		return a
	}
	return b
}

func round(c *call) (any, error) {
	digits := int64(0)
	if len(c.args) > 0 {
		digits = min(max(whole(c.arg(0)), -300), 300)
	}
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(math.Abs(float64(digits)))), nil))
	if digits < 0 {
		scale.Inv(scale)
	}
	r := rational(c.in)
	half := big.NewRat(1, 2)
	scaled := new(big.Rat).Mul(new(big.Rat).Abs(r), scale)
	whole := new(big.Rat).SetInt(floor(scaled.Add(scaled, half))) // half goes away from 0
	whole.Quo(whole, scale)
	if r.Sign() < 0 {
		whole.Neg(whole)
	}
	return narrow(whole, digits > 0 && isFloat(c.in)), nil
}
