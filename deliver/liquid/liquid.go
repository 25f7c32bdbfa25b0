// Package liquid renders Liquid templates, the language marketers already know
// from their shop: what a message or a slot says to one person.
//
// A template is parsed once and rendered by any number of goroutines. Rendering
// reads nothing but its variables: no files, no clock, no network. Its output,
// steps and depth are bounded, so a template cannot stall a sender. An error
// names line and column. Source: the Liquid reference of Shopify, version 5.
package liquid

import (
	"fmt"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// Limits of a template and of one rendering.
const (
	MaxText   = 1 << 20 // bytes of a template
	MaxDepth  = 100     // nesting of tags, and of partials
	MaxOutput = 4 << 20 // bytes of one rendering
	MaxSteps  = 1 << 20 // outputs, tags and loop turns of one rendering
)

// Object is a variable whose properties are looked up when asked for. The
// values it returns are those of [Template.Render].
type Object interface {
	// Property returns the value of a name; false if there is none.
	Property(name string) (any, bool)
}

// Options are what a rendering may know beside its variables.
type Options struct {
	// Escape, if set, is applied to every output that is text and did not pass
	// the filter raw: html.EscapeString for HTML.
	Escape func(string) string
	// Partials returns the template of {% render "name" %}. Nil knows none.
	Partials func(name string) (*Template, error)
	// Now is the time of the words now and today. Zone shows times without one
	// of their own; nil is UTC.
	Now  time.Time
	Zone *time.Location
}

// Template is a parsed template. It is immutable.
type Template struct {
	body []node
}

// Error is a fault in a template, found when parsing or when rendering.
type Error struct {
	Line, Column int // from 1
	Message      string
}

// Error returns the message with its place.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Parse reads a template. An error has kind Invalid and wraps an [*Error].
func Parse(text string) (*Template, error) {
	if len(text) > MaxText {
		return nil, rapport.Errorf(rapport.Invalid, "a template has at most %d bytes, this one has %d", MaxText, len(text))
	}
	p := &parser{text: text}
	t := &Template{}
	var err error
	if t.body, err = p.parse(); err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "template: %w", err)
	}
	return t, nil
}

// Render returns the text for the variables. Values are nil, bool, any integer
// or float, string, time.Time, []any, []string, map[string]any, [rapport.Value]
// and [Object]. An error has kind Invalid and wraps an [*Error].
func (t *Template) Render(variables map[string]any, o Options) (string, error) {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	r := &renderer{o: o, globals: variables, counters: map[string]int64{}, cycles: map[string]int{}, budget: &budget{}, out: &strings.Builder{}, offsets: map[string]int64{}}
	r.push()
	if err := r.all(t.body); err != nil {
		if _, ok := err.(*interrupt); !ok {
			return "", rapport.Errorf(rapport.Invalid, "template: %w", err)
		}
	}
	return r.out.String(), nil
}

// node is a part of a template.
type node interface {
	render(r *renderer) error
}

// interrupt is a break or a continue on its way to its loop.
type interrupt struct{ again bool }

func (*interrupt) Error() string { return "break outside of a loop" }

// budget is shared by a rendering and its partials.
type budget struct{ steps, bytes int }

// renderer is one rendering.
type renderer struct {
	o        Options
	globals  map[string]any
	scopes   []map[string]any
	counters map[string]int64
	cycles   map[string]int
	offsets  map[string]int64 // of for ... offset:continue
	out      *strings.Builder
	budget   *budget
	depth    int
}

func (r *renderer) push() { r.scopes = append(r.scopes, map[string]any{}) }
func (r *renderer) pop()  { r.scopes = r.scopes[:len(r.scopes)-1] }

// set assigns a variable of the template.
func (r *renderer) set(name string, v any) { r.scopes[0][name] = v }

// local assigns a variable of the innermost block.
func (r *renderer) local(name string, v any) { r.scopes[len(r.scopes)-1][name] = v }

func (r *renderer) lookup(name string) any {
	for i := len(r.scopes) - 1; i >= 0; i-- {
		if v, ok := r.scopes[i][name]; ok {
			return v
		}
	}
	if v, ok := r.globals[name]; ok {
		return plain(v)
	}
	if n, ok := r.counters[name]; ok {
		return n
	}
	return nil
}

func (r *renderer) all(nodes []node) error {
	for _, n := range nodes {
		if err := r.step(); err != nil {
			return err
		}
		if err := n.render(r); err != nil {
			return err
		}
	}
	return nil
}

// step takes one step off the budget.
func (r *renderer) step() error {
	if r.budget.steps++; r.budget.steps > MaxSteps {
		return &Error{Message: fmt.Sprintf("the template takes more than %d steps", MaxSteps)}
	}
	return nil
}

func (r *renderer) write(text string) error {
	if r.budget.bytes += len(text); r.budget.bytes > MaxOutput {
		return &Error{Message: fmt.Sprintf("the text is longer than %d bytes", MaxOutput)}
	}
	r.out.WriteString(text)
	return nil
}

// captured renders nodes into a text of their own.
func (r *renderer) captured(nodes []node) (string, error) {
	outer := r.out
	r.out = &strings.Builder{}
	err := r.all(nodes)
	text := r.out.String()
	r.out = outer
	return text, err
}

// text is literal text.
type text string

func (t text) render(r *renderer) error { return r.write(string(t)) }

// output is {{ expression | filters }}.
type output struct{ value *pipeline }

func (o *output) render(r *renderer) error {
	v, err := o.value.eval(r)
	if err != nil {
		return err
	}
	s := toText(v)
	if _, safe := v.(safeText); r.o.Escape != nil && !safe {
		s = r.o.Escape(s)
	}
	return r.write(s)
}
