package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// FieldType says what a key takes, in the words of the reference.
type FieldType string

// The types of keys.
const (
	TypeText      FieldType = "text"
	TypeNumber    FieldType = "number"
	TypeInteger   FieldType = "whole number"
	TypeBool      FieldType = "true or false"
	TypeDuration  FieldType = "duration"
	TypeCondition FieldType = "condition"
	TypeList      FieldType = "list"
	TypeMap       FieldType = "map"
	TypeObject    FieldType = "object"
	TypeAny       FieldType = "any value"
)

// Field describes one key of a kind, for forms, schemas and the reference.
type Field struct {
	Name     string    `json:"name"`
	Type     FieldType `json:"type"`
	Doc      string    `json:"doc,omitempty"`
	Required bool      `json:"required,omitempty"`
	Secret   bool      `json:"secret,omitempty"`
	Enum     []string  `json:"enum,omitempty"`
	Min      string    `json:"min,omitempty"`
	Max      string    `json:"max,omitempty"`
	Ref      string    `json:"ref,omitempty"` // kind of the documents it names
	// Suggest says what its values usually are, for pickers; nothing holds them to it: event, kind, a kind of
	// documents (their ids), or kind.key (what the documents of a kind hold there).
	Suggest string `json:"suggest,omitempty"`
	// Unit is what a number counts in: money (the deployment's currency), share (1 is all), %, events/s, ...
	Unit    string          `json:"unit,omitempty"`
	Default json.RawMessage `json:"default,omitempty"`
	// Fields are the keys of an object, Item the elements of a list or the values of a map.
	Fields []Field `json:"fields,omitempty"`
	Item   *Field  `json:"item,omitempty"`
	// Same names the enclosing object's key when an object holds its own kind again.
	Same string `json:"same,omitempty"`
}

// Describe returns the description of a kind and its keys.
func (r *Registry) Describe(kind string) (Field, bool) {
	k, ok := r.byName[kind]
	if !ok {
		return Field{}, false
	}
	return k.field, true
}

// tags are the parsed tags of a struct field.
type tags struct {
	name     string
	inline   bool
	doc      string
	required bool
	secret   bool
	enum     []string
	min, max string
	ref      string
	suggest  string
	unit     string
}

// readTags returns ok false for fields that are no keys.
func readTags(f reflect.StructField) (tags, bool) {
	name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	t := tags{
		name: name, inline: options == "inline", doc: f.Tag.Get("doc"), ref: f.Tag.Get("ref"),
		suggest: f.Tag.Get("suggest"), unit: f.Tag.Get("unit"),
		required: f.Tag.Get("required") == "true", secret: f.Tag.Get("secret") == "true",
		min: f.Tag.Get("min"), max: f.Tag.Get("max"),
	}
	if e := f.Tag.Get("enum"); e != "" {
		t.enum = strings.Split(e, ",")
	}
	return t, f.IsExported() && name != "-" && (name != "" || t.inline)
}

// structField is a key of a struct and where its value is.
type structField struct {
	tags
	index []int
}

// structFields lists the keys of a struct, those of inline structs among them.
func structFields(t reflect.Type) []structField {
	var fields []structField
	for i := range t.NumField() {
		f := t.Field(i)
		tg, ok := readTags(f)
		if !ok {
			continue
		}
		if tg.inline && f.Type.Kind() == reflect.Struct {
			for _, inner := range structFields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
			continue
		}
		fields = append(fields, structField{tg, []int{i}})
	}
	return fields
}

var (
	durationType  = reflect.TypeFor[rapport.Duration]()
	conditionType = reflect.TypeFor[condition.Condition]()
	fieldsType    = reflect.TypeFor[rapport.Fields]()
	valueType     = reflect.TypeFor[rapport.Value]()
	unmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// headerKeys can stand in every document.
var headerKeys = []string{"kind", "id", "labels", "demo"}

// describe describes the type of v, whose value is the default. within are the
// struct types around it.
func describe(v reflect.Value, name string, within []reflect.Type) (Field, error) {
	f := Field{Name: name}
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		inner := reflect.New(t.Elem()).Elem()
		f, err := describe(inner, name, within)
		f.Default = nil
		return f, err
	}
	switch {
	case t == durationType:
		f.Type = TypeDuration
	case t == conditionType:
		f.Type = TypeCondition
	case t == fieldsType:
		f.Type = TypeMap
	case t == valueType || t.Kind() == reflect.Interface:
		f.Type = TypeAny
	case reflect.PointerTo(t).Implements(unmarshaler):
		f.Type = TypeText
	default:
		if err := describeKind(&f, v, within); err != nil {
			return f, err
		}
	}
	f.Default = defaultOf(v, f.Type)
	return f, nil
}

func describeKind(f *Field, v reflect.Value, within []reflect.Type) (err error) {
	t := v.Type()
	switch t.Kind() {
	case reflect.String:
		f.Type = TypeText
	case reflect.Bool:
		f.Type = TypeBool
	case reflect.Float32, reflect.Float64:
		f.Type = TypeNumber
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.Type = TypeInteger
	case reflect.Slice, reflect.Map:
		f.Type = TypeList
		if t.Kind() == reflect.Map {
			f.Type = TypeMap
			if t.Key().Kind() != reflect.String {
				return fmt.Errorf("the keys of %s are not texts", t)
			}
		}
		item, err := describe(reflect.New(t.Elem()).Elem(), "", within)
		item.Default = nil
		f.Item = &item
		return err
	case reflect.Struct:
		f.Type = TypeObject
		for _, outer := range within {
			if outer == t {
				f.Same = t.Name()
				return nil
			}
		}
		f.Fields, err = describeStruct(v, append(within, t))
	default:
		return fmt.Errorf("the type %s cannot be a document's", t)
	}
	return err
}

func describeStruct(v reflect.Value, within []reflect.Type) ([]Field, error) {
	var fields []Field
	seen := make(map[string]bool)
	for _, sf := range structFields(v.Type()) {
		if len(within) == 1 && (sf.name == "kind" || sf.name == "labels" || sf.name == "demo") {
			return nil, fmt.Errorf("the key %s belongs to every document and cannot be declared", sf.name)
		}
		if seen[sf.name] {
			return nil, fmt.Errorf("the key %s is declared twice", sf.name)
		}
		seen[sf.name] = true
		if len(within) == 1 && sf.name == "id" {
			continue
		}
		f, err := describe(v.FieldByIndex(sf.index), sf.name, within)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", sf.name, err)
		}
		if sf.doc == "" {
			return nil, fmt.Errorf("the key %s has no doc tag", sf.name)
		}
		f.Doc, f.Required, f.Secret, f.Min, f.Max, f.Ref = sf.doc, sf.required, sf.secret, sf.min, sf.max, sf.ref
		f.Suggest, f.Unit = sf.suggest, sf.unit
		if f.Enum = sf.enum; f.Required {
			f.Default = nil
		}
		for _, bound := range []string{sf.min, sf.max} {
			if _, ok := parseBound(f.Type, bound); bound != "" && !ok {
				return nil, fmt.Errorf("key %s: %q is no bound of a %s", sf.name, bound, f.Type)
			}
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// parseBound reads a min or max tag: a number, or the nanoseconds of a duration.
func parseBound(t FieldType, s string) (float64, bool) {
	switch t {
	case TypeDuration:
		d, err := rapport.ParseDuration(s)
		return float64(d), err == nil
	case TypeNumber, TypeInteger, TypeList, TypeMap:
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	return 0, false
}

// defaultOf returns a scalar default as JSON, or nil for zero values and the rest.
func defaultOf(v reflect.Value, t FieldType) json.RawMessage {
	if v.IsZero() && t != TypeBool {
		return nil
	}
	switch t {
	case TypeText, TypeNumber, TypeInteger, TypeBool, TypeDuration:
		if b, err := json.Marshal(v.Interface()); err == nil {
			return b
		}
	case TypeCondition:
		if c, ok := v.Addr().Interface().(*condition.Condition); ok {
			b, _ := json.Marshal(c.String())
			return b
		}
	case TypeList:
		if b, err := json.Marshal(v.Interface()); err == nil && v.Len() > 0 && v.Type().Elem().Kind() == reflect.String {
			return b
		}
	}
	return nil
}
