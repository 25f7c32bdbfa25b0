package config

import (
	"encoding"
	"errors"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Environment looks up an environment variable, as [os.LookupEnv] does.
type Environment func(name string) (value string, ok bool)

// decoder fills a struct from a document's tree. Without an environment it
// leaves ${NAME} references in texts as they are and skips others.
type decoder struct {
	src      *source
	env      Environment
	problems Problems
	count    int // of problems, those not kept among them
	bad      map[*node]bool
	links    []link
	names    []string // of references
	open     int      // references left unresolved
}

func (d *decoder) fail(n *node, message string) {
	d.mark(n)
	d.failAt(n.line, n.column, message)
}

// mark remembers that n has a problem, so that no second one is found in the same place.
func (d *decoder) mark(n *node) {
	if d.bad == nil {
		d.bad = map[*node]bool{}
	}
	d.bad[n] = true
}

func (d *decoder) hasBad(n *node) bool {
	if d.bad[n] {
		return true
	}
	for _, m := range n.members {
		if d.hasBad(m.value) {
			return true
		}
	}
	for _, e := range n.items {
		if d.hasBad(e) {
			return true
		}
	}
	return false
}

func (d *decoder) failAt(line, column int, message string) {
	if d.count++; d.count <= maxProblems {
		d.problems = append(d.problems, d.src.problem(line, column, message))
	}
}

// suggest adds the nearest name to a message, or lists the few there are.
func suggest(message, name string, known []string) string {
	if near := condition.Nearest(name, known); near != "" {
		return message + "; did you mean " + near + "?"
	}
	if len(known) > 0 && len(known) <= 12 {
		return message + "; there are " + strings.Join(known, ", ")
	}
	return message
}

// object fills a struct. header lists keys handled elsewhere.
func (d *decoder) object(n *node, v reflect.Value, path string, header []string) {
	if n.kind != mapNode {
		d.fail(n, orDocument(path)+" wants keys and values, not "+n.describe())
		return
	}
	problems, open := d.count, d.open
	fields := structFields(v.Type())
	byName := make(map[string]structField, len(fields))
	names := slices.Clone(header)
	for _, f := range fields {
		byName[f.name] = f
		if !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	for _, m := range n.members {
		f, ok := byName[m.name]
		if slices.Contains(header, m.name) {
			continue
		}
		if !ok {
			d.failAt(m.line, m.column, suggest("unknown key "+m.name, m.name, names))
			continue
		}
		d.field(m.value, v.FieldByIndex(f.index), joinKey(path, m.name), f.tags)
	}
	for _, f := range fields {
		if f.required && n.get(f.name) == nil {
			d.fail(n, "the key "+joinKey(path, f.name)+" is missing")
		}
	}
	if d.open == open {
		d.validate(n, v, path, d.count == problems)
	}
}

func orDocument(path string) string {
	if path == "" {
		return "a document"
	}
	return path
}

func joinKey(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

// validate asks a struct what it thinks of itself. If it is not clean, only
// what it says of keys that have no problem yet is kept.
func (d *decoder) validate(n *node, v reflect.Value, path string, clean bool) {
	judge, ok := v.Addr().Interface().(interface{ Validate() error })
	if !ok {
		return
	}
	err := judge.Validate()
	if err == nil {
		return
	}
	faults := []rapport.Fault{{Message: err.Error(), Hint: rapport.HintOf(err)}}
	if many, ok := errors.AsType[interface {
		error
		Faults() []rapport.Fault
	}](err); ok && len(many.Faults()) > 0 {
		faults = many.Faults()
	}
	for _, f := range faults {
		at := find(n, f.Path)
		if !clean && (at == n || d.hasBad(at)) {
			continue
		}
		message := f.Message
		if key := joinKey(path, f.Path); key != "" {
			message = key + ": " + message
		}
		if f.Hint != "" {
			message += " (" + f.Hint + ")"
		}
		d.fail(at, message)
	}
}

// find returns the deepest node that a key path such as goals[0].within leads to.
func find(n *node, path string) *node {
	for _, key := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		var next *node
		if i, err := strconv.Atoi(key); err == nil && n.kind == listNode && i >= 0 && i < len(n.items) {
			next = n.items[i]
		} else {
			next = n.get(key)
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// field fills one key's value and checks its tags.
func (d *decoder) field(n *node, v reflect.Value, path string, t tags) {
	problems, open := d.count, d.open
	if t.secret && (n.kind != textNode || !wholeReference.MatchString(n.text)) {
		d.fail(n, path+" is a secret and is not written here; write ${NAME} and set NAME in the environment")
		return
	}
	d.value(n, v, path)
	if d.count > problems || d.open > open {
		return
	}
	if t.ref != "" {
		d.link(n, t.ref)
	}
	if len(t.enum) > 0 {
		d.enum(n, path, t.enum)
	}
	d.bounds(n, v, path, t)
}

// link notes that the texts of n name documents of a kind.
func (d *decoder) link(n *node, kind string) {
	switch n.kind {
	case textNode, numberNode:
		d.links = append(d.links, link{Ref{kind, n.text}, n})
	case listNode:
		for _, e := range n.items {
			d.link(e, kind)
		}
	case mapNode:
		for _, m := range n.members {
			d.link(m.value, kind)
		}
	}
}

func (d *decoder) enum(n *node, path string, allowed []string) {
	if n.kind == listNode {
		for i, e := range n.items {
			d.enum(e, path+"["+strconv.Itoa(i)+"]", allowed)
		}
		return
	}
	if !slices.Contains(allowed, n.text) {
		d.fail(n, suggest(path+" cannot be "+n.text, n.text, allowed))
	}
}

func (d *decoder) bounds(n *node, v reflect.Value, path string, t tags) {
	if t.min == "" && t.max == "" {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	kind, have, what := TypeNumber, 0.0, path
	switch {
	case v.Type() == durationType:
		kind, have = TypeDuration, float64(v.Int())
	case v.CanInt():
		have = float64(v.Int())
	case v.CanUint():
		have = float64(v.Uint())
	case v.CanFloat():
		have = v.Float()
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Map:
		have, what = float64(v.Len()), "the number of "+path
	default:
		return
	}
	low, hasLow := parseBound(kind, t.min)
	high, hasHigh := parseBound(kind, t.max)
	if (!hasLow || have >= low) && (!hasHigh || have <= high) {
		return
	}
	switch {
	case hasLow && hasHigh:
		d.fail(n, what+" lies between "+t.min+" and "+t.max)
	case hasLow:
		d.fail(n, what+" is at least "+t.min)
	default:
		d.fail(n, what+" is at most "+t.max)
	}
}

// value fills v from n.
func (d *decoder) value(n *node, v reflect.Value, path string) {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		if n.kind == nullNode {
			v.SetZero()
			return
		}
		p := reflect.New(t.Elem())
		d.value(n, p.Elem(), path)
		v.Set(p)
		return
	case t == conditionType:
		d.condition(n, v, path)
		return
	case t == valueType:
		v.Set(reflect.ValueOf(n.value()))
		return
	case t == fieldsType:
		if f, ok := n.value().Object(); ok {
			v.Set(reflect.ValueOf(f))
		} else {
			d.fail(n, path+" wants keys and values, not "+n.describe())
		}
		return
	case t.Kind() == reflect.Interface:
		if x := n.value().Any(); x != nil && reflect.TypeOf(x).AssignableTo(t) {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	if n.kind == nullNode {
		d.fail(n, path+" is empty; give it a value or leave the key out")
		return
	}
	if reader, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if text, ok := d.text(n, path, "a text"); ok {
			if err := reader.UnmarshalText([]byte(text)); err != nil {
				d.fail(n, path+": "+err.Error())
			}
		}
		return
	}
	switch t.Kind() {
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Struct:
		d.object(n, v, path, nil)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) list(n *node, v reflect.Value, path string) {
	if n.kind != listNode {
		d.fail(n, path+" wants a list, not "+n.describe())
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, e := range n.items {
		d.value(e, list.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
	v.Set(list)
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) {
	if n.kind != mapNode {
		d.fail(n, path+" wants keys and values, not "+n.describe())
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.members))
	for _, e := range n.members {
		x := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, x, joinKey(path, e.name))
		m.SetMapIndex(reflect.ValueOf(e.name).Convert(v.Type().Key()), x)
	}
	v.Set(m)
}

// condition reads the text form, or the tree form written as YAML.
func (d *decoder) condition(n *node, v reflect.Value, path string) {
	var c condition.Condition
	var err error
	switch n.kind {
	case textNode, boolNode:
		err = c.UnmarshalText([]byte(n.text))
	case mapNode:
		err = c.UnmarshalJSON(n.value().AppendJSON(nil))
	default:
		d.fail(n, path+" wants a condition, not "+n.describe())
		return
	}
	if err == nil {
		v.Set(reflect.ValueOf(c))
		for _, u := range c.Named() {
			kind := u.Kind
			if kind == "degree" {
				continue // also of segments that were discovered, which are no documents
			}
			at := n
			if n.kind != mapNode {
				line, column := d.src.locate(n, u.Offset)
				at = &node{line: line, column: column}
			}
			d.links = append(d.links, link{Ref{kind, u.Name}, at})
		}
		return
	}
	at, message := n, err.Error()
	if se, ok := errors.AsType[*condition.SyntaxError](err); ok {
		message = se.Msg
		if n.kind != mapNode {
			d.mark(n)
			line, column := d.src.locate(n, se.Offset)
			at = &node{line: line, column: column}
		}
	}
	d.fail(at, path+": "+message)
}

// text returns a scalar's text with its references replaced. ok is false if
// there is none, for now or at all.
func (d *decoder) text(n *node, path, want string) (string, bool) {
	if n.kind != textNode && n.kind != numberNode {
		message := path + " wants " + want + ", not " + n.describe()
		if n.kind == boolNode {
			message += `; put quotes around it if the text is meant`
		}
		d.fail(n, message)
		return "", false
	}
	return d.expand(n, path)
}

var (
	reference      = regexp.MustCompile(`\$?\$\{([^}]*)\}`)
	wholeReference = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)
	variable       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// expand replaces ${NAME}; $${NAME} stands for ${NAME} itself. ok is false for
// a text with references that are not to be replaced now.
func (d *decoder) expand(n *node, path string) (string, bool) {
	if !strings.Contains(n.text, "${") {
		return n.text, true
	}
	ok := true
	text := reference.ReplaceAllStringFunc(n.text, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		name := match[2 : len(match)-1]
		if !variable.MatchString(name) {
			d.fail(n, path+": "+match+" is not the name of an environment variable; write $"+match+" for the text itself")
			ok = false
			return match
		}
		d.names = append(d.names, name)
		if d.env == nil {
			d.open++
			ok = false
			return match
		}
		value, found := d.env(name)
		if !found {
			d.fail(n, path+" reads "+name+" from the environment, where it is not set")
			ok = false
		}
		return value
	})
	return text, ok
}

func (d *decoder) scalar(n *node, v reflect.Value, path string) {
	wants := map[bool]string{true: "a whole number", false: "a number"}[v.CanInt() || v.CanUint()]
	switch {
	case v.Kind() == reflect.String:
		if text, ok := d.text(n, path, "a text"); ok || d.env == nil && n.kind == textNode {
			v.SetString(text)
		}
		return
	case v.Kind() == reflect.Bool:
		text := n.text
		if n.kind == textNode && strings.Contains(text, "${") {
			var ok bool
			if text, ok = d.expand(n, path); !ok {
				return
			}
		} else if n.kind != boolNode {
			text = ""
		}
		if text != "true" && text != "false" {
			message := path + " wants true or false, not " + n.describe()
			if meant := map[string]string{"yes": "true", "on": "true", "no": "false", "off": "false"}[strings.ToLower(n.text)]; meant != "" {
				message += "; write " + meant
			}
			d.fail(n, message)
		}
		v.SetBool(text == "true")
		return
	}
	text := n.text
	if n.kind == textNode && strings.Contains(text, "${") {
		var ok bool
		if text, ok = d.expand(n, path); !ok {
			return
		}
	} else if n.kind != numberNode {
		d.fail(n, path+" wants "+wants+", not "+n.describe())
		return
	}
	f, err := strconv.ParseFloat(text, 64)
	fits := err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	switch {
	case v.CanInt():
		i, err := strconv.ParseInt(text, 10, 64)
		if fits = err == nil && !v.OverflowInt(i); fits {
			v.SetInt(i)
		}
	case v.CanUint():
		u, err := strconv.ParseUint(text, 10, 64)
		if fits = err == nil && !v.OverflowUint(u); fits {
			v.SetUint(u)
		}
	case fits:
		v.SetFloat(f)
	}
	if !fits {
		d.fail(n, path+" wants "+wants+", not "+n.describe())
	}
}
