package liquid

import (
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
)

// flat returns what a list filter works on, with lists inside opened up.
func flat(v any) []any {
	var out []any
	for _, e := range items(v) {
		if inner, ok := plain(e).([]any); ok {
			if _, isMap := v.(map[string]any); !isMap {
				out = append(out, flat(inner)...)
				continue
			}
		}
		out = append(out, plain(e))
	}
	if m, ok := v.(map[string]any); ok {
		return []any{m}
	}
	return out
}

// of returns the property of an element that a filter names, or the element.
func (c *call) of(e any, i int) any {
	if i < len(c.args) && c.args[i] != nil {
		return property(e, toText(c.args[i]))
	}
	return e
}

func compact(c *call) (any, error) {
	return slices.DeleteFunc(flat(c.in), func(e any) bool { return c.of(e, 0) == nil }), nil
}

func concat(c *call) (any, error) {
	switch c.arg(0).(type) {
	case []any, span:
	default:
		return nil, errors.New("the argument is not a list")
	}
	return append(slices.Clone(flat(c.in)), items(c.arg(0))...), nil
}

func join(c *call) (any, error) {
	by := " "
	if len(c.args) > 0 {
		by = c.text(0)
	}
	var parts []string
	for _, e := range flat(c.in) {
		parts = append(parts, toText(e))
	}
	return strings.Join(parts, by), nil
}

func mapped(c *call) (any, error) {
	out := []any{}
	for _, e := range flat(c.in) {
		out = append(out, c.of(e, 0))
	}
	return out, nil
}

func reverse(c *call) (any, error) {
	list := slices.Clone(flat(c.in))
	slices.Reverse(list)
	return list, nil
}

func size(c *call) (any, error) {
	if n := property(c.in, "size"); n != nil {
		return n, nil
	}
	return int64(0), nil
}

func sorted(c *call, natural bool) (any, error) {
	list := flat(c.in)
	var fault error
	slices.SortStableFunc(list, func(a, b any) int {
		x, y := c.of(a, 0), c.of(b, 0)
		switch {
		case x == nil && y == nil:
			return 0
		case x == nil:
			return 1
		case y == nil:
			return -1
		case natural:
			return strings.Compare(strings.ToLower(toText(x)), strings.ToLower(toText(y)))
		}
		n, ok := order(x, y)
		if !ok && fault == nil {
			fault = errors.New(inspect(x) + " and " + inspect(y) + " have no order")
		}
		return n
	})
	return list, fault
}

func sum(c *call) (any, error) {
	total, float := new(big.Rat), false
	for _, e := range flat(c.in) {
		x := c.of(e, 0)
		float = float || isFloat(x)
		total.Add(total, rational(x))
	}
	return narrow(total, float), nil
}

func uniq(c *call) (any, error) {
	var out, seen []any
	for _, e := range flat(c.in) {
		key := c.of(e, 0)
		if !slices.ContainsFunc(seen, func(x any) bool { return equal(x, key) }) {
			seen = append(seen, key)
			out = append(out, e)
		}
		if c.r.budget.steps += len(seen); c.r.budget.steps > MaxSteps {
			return nil, errors.New("the list is too long")
		}
	}
	return out, nil
}

// matches tells whether an element has the property, or the value asked for.
func (c *call) matches(e any) bool {
	v := property(e, c.text(0))
	if len(c.args) > 1 {
		return equal(v, c.args[1])
	}
	return truthy(v)
}

func where(c *call, keep bool) any {
	out := []any{}
	for _, e := range flat(c.in) {
		if c.matches(e) == keep {
			out = append(out, e)
		}
	}
	return out
}

func find(c *call) (any, int) {
	for i, e := range flat(c.in) {
		if c.matches(e) {
			return e, i
		}
	}
	return nil, -1
}

// toJSON shows a value as JSON, safe inside a script element.
func toJSON(c *call) (any, error) {
	b, err := json.Marshal(exported(c.in))
	if err != nil {
		return nil, errors.New("the value has no JSON form")
	}
	return safeIf(c, string(b)), nil
}

// exported turns a value into what encoding/json knows.
func exported(v any) any {
	switch x := v.(type) {
	case safeText:
		return string(x)
	case span:
		return items(x)
	case fields:
		m := map[string]any{}
		for k, v := range x.all() {
			m[k] = exported(v)
		}
		return m
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = exported(plain(e))
		}
		return out
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[k] = exported(plain(e))
		}
		return m
	case Object, marker:
		return nil
	}
	return v
}
