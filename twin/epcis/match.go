package epcis

import (
	"encoding/json"
	"strconv"
	"strings"
)

// matches reports whether an event fulfils every parameter.
func (q *Query) matches(e *Event) bool {
	if e.Time < q.event.from || e.Time > q.event.to || e.Record < q.record.from || e.Record > q.record.to {
		return false
	}
	for _, t := range q.tests {
		if !t(e) {
			return false
		}
	}
	return true
}

// extension takes a parameter's field of another vocabulary apart:
// [INNER_](ILMD_|SENSORELEMENT_|ERROR_DECLARATION_|readPoint_|...)prefix:name.
func extension(field string) (where, name string, inner, ok bool) {
	field, inner = strings.CutPrefix(field, "INNER_")
	for _, w := range []string{"ILMD_", "SENSORELEMENT_", "SENSORMETADATA_", "SENSORREPORT_", "ERROR_DECLARATION_", "readPoint_", "bizLocation_"} {
		if rest, found := strings.CutPrefix(field, w); found {
			where, field = w, rest
			break
		}
	}
	return where, field, inner, strings.Contains(field, ":")
}

// part returns the JSON objects of an event that hold fields of other vocabularies.
func (e *Event) part(where string) []map[string]any {
	switch where {
	case "":
		return []map[string]any{e.Extensions}
	case "ILMD_":
		return []map[string]any{e.Master}
	}
	m, err := decodeObject(e.JSON)
	if err != nil {
		return nil
	}
	object := func(name string) []map[string]any {
		o, _ := m[name].(map[string]any)
		return []map[string]any{o}
	}
	switch where {
	case "ERROR_DECLARATION_":
		return object("errorDeclaration")
	case "readPoint_":
		return object("readPoint")
	case "bizLocation_":
		return object("bizLocation")
	}
	var out []map[string]any
	list, _ := m["sensorElementList"].([]any)
	for _, x := range list {
		o, _ := x.(map[string]any)
		switch where {
		case "SENSORELEMENT_":
			out = append(out, o)
		case "SENSORMETADATA_":
			o, _ = o["sensorMetadata"].(map[string]any)
			out = append(out, o)
		case "SENSORREPORT_":
			reports, _ := o["sensorReport"].([]any)
			for _, r := range reports {
				o, _ := r.(map[string]any)
				out = append(out, o)
			}
		}
	}
	return out
}

// extensions returns the values of a field: at the top of a part, or within it.
func (e *Event) extensions(where, name string, inner bool) []string {
	var out []string
	for _, m := range e.part(where) {
		e.walk(m, name, inner, 0, func(v any) { out = append(out, scalars(v)...) })
	}
	return out
}

func (e *Event) hasExtension(where, name string, inner bool) bool {
	found := false
	for _, m := range e.part(where) {
		e.walk(m, name, inner, 0, func(any) { found = true })
	}
	return found
}

func (e *Event) walk(v any, name string, inner bool, depth int, each func(any)) {
	switch v := v.(type) {
	case map[string]any:
		if x, there := v[name]; there && (depth > 0) == inner {
			each(x)
		}
		if inner {
			for _, x := range v {
				e.walk(x, name, inner, depth+1, each)
			}
		}
	case []any:
		if inner {
			for _, x := range v {
				e.walk(x, name, inner, depth, each)
			}
		}
	}
}

func scalars(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case json.Number:
		return []string{string(v)}
	case bool:
		return []string{strconv.FormatBool(v)}
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, scalars(x)...)
		}
		return out
	case map[string]any:
		return scalars(v["@value"])
	}
	return nil
}

// numbers returns quantities, or a number of sensor reports, in a unit; "" is any.
func (e *Event) numbers(name, unit string) []float64 {
	var out []float64
	if name == "quantity" {
		for _, list := range [][]Quantity{e.Quantities, e.OutputQuantities} {
			for _, q := range list {
				if q.Known && (unit == "" || q.Unit == unit) {
					out = append(out, q.Amount)
				}
			}
		}
		return out
	}
	for _, s := range e.Sensors {
		for _, r := range s.Reports {
			if x, said := r.Numbers[name]; said && (unit == "" || r.Unit == unit) {
				out = append(out, x)
			}
		}
	}
	return out
}

// reports returns a text of sensor reports and their metadata.
func (e *Event) reports(name string) []string {
	var out []string
	for _, s := range e.Sensors {
		if v := s.Metadata[name]; v != "" {
			out = append(out, v)
		}
		for _, r := range s.Reports {
			if name == "type" {
				out = append(out, r.Type)
			} else if v := r.Texts[name]; v != "" {
				out = append(out, v)
			}
		}
	}
	return out
}

// sensorTimes returns the times of sensor elements: 0 time, 1 start, 2 end.
func (e *Event) sensorTimes(which int) []int64 {
	var out []int64
	for _, s := range e.Sensors {
		if at := [...]int64{s.Time, s.Start, s.End}[which]; at != 0 {
			out = append(out, at)
		}
		if which == 0 {
			for _, r := range s.Reports {
				if r.Time != 0 {
					out = append(out, r.Time)
				}
			}
		}
	}
	return out
}
