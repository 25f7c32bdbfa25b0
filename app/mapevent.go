package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// event turns a row into the JSON of one event. A nil answer without an error
// is a row that the filter leaves out.
func (m *mapping) event(r *row, messageID string) ([]byte, error) {
	e := map[string]any{"messageId": messageID}
	if err := m.put(e, r, m.calls()); err != nil {
		return nil, err
	}
	if e["timestamp"] == nil {
		return nil, errors.New("timestamp: there is none")
	}
	kind := strings.ToLower(fmt.Sprint(e["type"]))
	if !slices.Contains(eventTypes, kind) {
		return nil, fmt.Errorf("type: %q is none of %s", kind, strings.Join(eventTypes, ", "))
	}
	e["type"] = kind
	switch name := e["event"]; {
	case kind == "track" && name == nil:
		return nil, errors.New("event: there is no name")
	case kind != "track":
		delete(e, "event")
		if name != nil && (kind == "page" || kind == "screen") {
			e["name"] = name
		}
	}
	properties, traits, context := map[string]any{}, map[string]any{}, map[string]any{}
	if err := m.putGroup(properties, r, "properties"); err != nil {
		return nil, err
	}
	if m.where != nil && !m.where.Holds(&condition.EventEnv{Properties: fieldsOf(properties)}) {
		return nil, nil
	}
	if err := errors.Join(m.putGroup(traits, r, "traits"), m.putGroup(context, r, "context"), m.put(traits, r, m.contacts())); err != nil {
		return nil, err
	}
	if e["userId"] == nil && e["anonymousId"] == nil && traits["email"] == nil && traits["phone"] == nil {
		return nil, errors.New("nobody it could belong to: userId, anonymousId, email and phone are empty")
	}
	if len(traits) > 0 {
		if kind == "identify" || kind == "group" {
			e["traits"] = traits
		} else { // about the person, said beside the event
			context["traits"] = traits
		}
	}
	if len(properties) > 0 {
		e["properties"] = properties
	}
	if len(context) > 0 {
		e["context"] = context
	}
	return json.Marshal(e) // of a map: keys are sorted
}

// fieldsOf gives a condition what was mapped; texts of numbers are numbers there.
func fieldsOf(properties map[string]any) rapport.Fields {
	b, err := json.Marshal(properties)
	plain := map[string]any{}
	if err != nil || json.Unmarshal(b, &plain) != nil {
		return nil
	}
	return rapport.FieldsOf(plain)
}

func (m *mapping) put(to map[string]any, r *row, values []named) error {
	for _, x := range values {
		v, err := m.value(r, x.value)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		if v != nil {
			to[x.name] = v
		}
	}
	return nil
}

func (m *mapping) putGroup(to map[string]any, r *row, group string) error {
	values := m.groups()[group]
	for _, name := range m.names[group] {
		v, err := m.value(r, values[name])
		if err != nil {
			return fmt.Errorf("%s.%s: %w", group, name, err)
		}
		if v != nil {
			to[name] = v
		}
	}
	return nil
}

// value returns one value of a row: nil if there is none.
func (m *mapping) value(r *row, v *mapped) (any, error) {
	if !v.set {
		return nil, nil
	}
	if v.Value != nil {
		return v.Value, nil
	}
	raw := r.get(v.Column)
	text, isText := raw.(string)
	if isText && !v.Keep {
		text = strings.TrimSpace(text)
	}
	if raw == nil || isText && slices.Contains(m.Empty, text) {
		if v.Default == nil && v.Required {
			return nil, fmt.Errorf("column %q is empty", v.Column)
		}
		return v.Default, nil
	}
	if !isText { // a member of a JSON line has a type already
		if v.Type == "json" || v.Type == "text" && v.Map == nil {
			return raw, nil
		}
		switch raw.(type) {
		case json.Number, bool:
			text = fmt.Sprint(raw)
		default:
			if v.Type == "list" {
				return raw, nil
			}
			return nil, fmt.Errorf("column %q is no %s", v.Column, v.Type)
		}
	}
	switch v.Case {
	case "lower":
		text = strings.ToLower(text)
	case "upper":
		text = strings.ToUpper(text)
	}
	if to, ok := v.Map[text]; ok {
		text = to
	}
	out, err := v.typed(text)
	if err != nil {
		return nil, fmt.Errorf("column %q: %w", v.Column, err)
	}
	return out, nil
}

// typed reads a text as what the mapping says it is.
func (v *mapped) typed(text string) (any, error) {
	switch v.Type {
	case "number", "integer":
		x, err := v.number(text)
		if err == nil && v.Type == "integer" && x != math.Trunc(x) {
			err = fmt.Errorf("%q is not a whole number", text)
		}
		return x, err
	case "boolean":
		switch strings.ToLower(text) {
		case "true", "t", "yes", "y", "1", "on":
			return true, nil
		case "false", "f", "no", "n", "0", "off":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", text)
	case "time":
		t, err := v.time(text)
		if err != nil {
			return nil, err
		}
		return t.UTC().Format("2006-01-02T15:04:05.000Z"), nil
	case "json":
		var out any
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			return nil, fmt.Errorf("%q is not JSON", clip(text, 60))
		}
		return out, nil
	case "list":
		out := []any{}
		for part := range strings.SplitSeq(text, v.Split) {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
		return out, nil
	}
	return text, nil
}

// number reads a number as people write them: groups of three apart, and with
// the decimal sign the mapping names.
func (v *mapped) number(text string) (float64, error) {
	digits := strings.Map(func(r rune) rune {
		if r == ' ' || r == '\u00a0' || r == '\u202f' || r == '\'' {
			return -1
		}
		return r
	}, text)
	if v.Decimal == "," {
		digits = strings.Replace(strings.ReplaceAll(digits, ".", ""), ",", ".", 1)
	} else {
		digits = strings.ReplaceAll(digits, ",", "")
	}
	x, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return x, nil
}

// layouts are the names of forms of time, beside Go's own layouts.
var layouts = map[string]string{
	"rfc3339": time.RFC3339Nano, "date": time.DateOnly, "datetime": time.DateTime,
}

// usualLayouts are tried where the mapping names none.
var usualLayouts = []string{"rfc3339", "datetime", "2006-01-02T15:04:05", "2006-01-02 15:04", "date"}

func (v *mapped) time(text string) (time.Time, error) {
	list := v.Layouts
	if len(list) == 0 {
		list = usualLayouts
	}
	for _, layout := range list {
		if layout == "unix" || layout == "unix-ms" {
			x, err := strconv.ParseFloat(text, 64)
			if layout == "unix" {
				x *= 1000
			}
			if err != nil || !(math.Abs(x) < 1e14) {
				continue
			}
			return time.UnixMilli(int64(math.Round(x))), nil
		}
		if named, ok := layouts[layout]; ok {
			layout = named
		}
		if t, err := time.ParseInLocation(layout, text, v.zone); err == nil && t.Year() >= 1900 && t.Year() < 3000 {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time of the form %s", text, strings.Join(list, " or "))
}
