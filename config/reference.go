package config

import (
	"encoding/json"
	"strings"
)

// Schema returns the JSON Schema (2020-12) of one kind of document.
func (r *Registry) Schema(kind string) (map[string]any, bool) {
	k, ok := r.byName[kind]
	if !ok {
		return nil, false
	}
	s := schema(k.field)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = k.Name
	props := s["properties"].(map[string]any)
	props["kind"] = map[string]any{"const": k.Name}
	props["id"] = map[string]any{"type": "string", "pattern": documentID.String()}
	props["labels"] = map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}, "description": "Free marks for people and tools."}
	props["demo"] = map[string]any{"type": "boolean", "description": "Made by the demo; removed with it."}
	required, _ := s["required"].([]string)
	s["required"] = append([]string{"kind", "id"}, required...)
	return s, true
}

func schema(f Field) map[string]any {
	s := map[string]any{}
	if f.Doc != "" {
		s["description"] = f.Doc
	}
	if f.Default != nil {
		s["default"] = f.Default
	}
	switch f.Type {
	case TypeText:
		s["type"] = "string"
		if f.Secret {
			s["pattern"], s["writeOnly"] = wholeReference.String(), true
		}
	case TypeNumber, TypeInteger:
		s["type"] = map[FieldType]string{TypeNumber: "number", TypeInteger: "integer"}[f.Type]
		bound(s, "minimum", f.Min)
		bound(s, "maximum", f.Max)
	case TypeBool:
		s["type"] = "boolean"
	case TypeDuration:
		s["type"], s["format"], s["pattern"] = "string", "rapport-duration", `^([0-9]+(w|d|h|m|s|ms))+$`
	case TypeCondition:
		s["type"], s["format"] = []string{"string", "object", "boolean"}, "rapport-condition"
	case TypeList:
		s["type"] = "array"
		bound(s, "minItems", f.Min)
		bound(s, "maxItems", f.Max)
		if f.Item != nil {
			s["items"] = schema(*f.Item)
		}
	case TypeMap:
		s["type"] = "object"
		if f.Item != nil {
			s["additionalProperties"] = schema(*f.Item)
		}
	case TypeObject:
		s["type"] = "object"
		if f.Same != "" {
			return s
		}
		objectSchema(s, f)
	}
	if len(f.Enum) > 0 {
		target := s
		if items, ok := s["items"].(map[string]any); ok {
			target = items
		}
		target["enum"] = f.Enum
	}
	if f.Ref != "" {
		s["x-ref"] = f.Ref
	}
	return s
}

func bound(s map[string]any, name, value string) {
	if value != "" {
		s[name] = json.Number(value)
	}
}

func objectSchema(s map[string]any, f Field) {
	props := map[string]any{}
	var required []string
	for _, inner := range f.Fields {
		props[inner.Name] = schema(inner)
		if inner.Required {
			required = append(required, inner.Name)
		}
	}
	s["properties"], s["additionalProperties"] = props, false
	if len(required) > 0 {
		s["required"] = required
	}
}

// Reference returns the reference of every kind as Markdown, for docs.
func (r *Registry) Reference() string {
	var b strings.Builder
	b.WriteString("# Config reference\n\nEvery document has `kind` and `id`, and may have `labels` (texts by name) and `demo` (true for what the demo made).\n")
	for _, k := range r.kinds {
		b.WriteString("\n## " + k.Name + "\n\n" + k.Doc + "\n\n")
		b.WriteString("| key | takes | meaning |\n|---|---|---|\n")
		writeFields(&b, k.field.Fields, "")
	}
	return b.String()
}

func writeFields(b *strings.Builder, fields []Field, prefix string) {
	for _, f := range fields {
		name := prefix + f.Name
		b.WriteString("| `" + name + "` | " + cell(takes(f)) + " | " + cell(meaning(f)) + " |\n")
		switch inner := f.Item; {
		case inner != nil && f.Type == TypeList:
			writeFields(b, inner.Fields, name+"[].")
		case inner != nil:
			writeFields(b, inner.Fields, name+".*.")
		default:
			writeFields(b, f.Fields, name+".")
		}
	}
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ")
}

func takes(f Field) string {
	s := string(f.Type)
	switch {
	case len(f.Enum) > 0 && f.Type == TypeList:
		s = "list of `" + strings.Join(f.Enum, "`, `") + "`"
	case len(f.Enum) > 0:
		s = "`" + strings.Join(f.Enum, "`, `") + "`"
	case f.Secret:
		s = "`${NAME}`"
	case f.Ref != "" && f.Item != nil:
		s = string(f.Type) + " of ids of kind `" + f.Ref + "`"
	case f.Ref != "":
		s = "id of kind `" + f.Ref + "`"
	case f.Same != "":
		s = "again an object as around it"
	case f.Item != nil && f.Item.Type != TypeAny:
		s = string(f.Type) + " of " + takes(*f.Item)
	}
	switch {
	case f.Min != "" && f.Max != "":
		s += ", " + f.Min + " to " + f.Max
	case f.Min != "":
		s += ", at least " + f.Min
	case f.Max != "":
		s += ", at most " + f.Max
	}
	return s
}

func meaning(f Field) string {
	s := f.Doc
	if f.Required {
		s += " **Required.**"
	}
	if f.Default != nil && string(f.Default) != "false" {
		s += " Default: `" + string(f.Default) + "`."
	}
	return s
}
