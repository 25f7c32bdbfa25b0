package collect

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

// Codes of problems with the tracking plan, beside those of segmentwire. They
// are the reasons an event is held for.
const (
	CodePlanMissing    = "plan.missing"    // a required property is not there
	CodePlanType       = "plan.type"       // a property of another type
	CodePlanEnum       = "plan.enum"       // none of the allowed values
	CodePlanRange      = "plan.range"      // too small, large, short or long
	CodePlanPattern    = "plan.pattern"    // text of another form
	CodePlanAdditional = "plan.additional" // a property nobody declared
	CodePlanUnplanned  = "plan.unplanned"  // an event nobody declared
)

// maxProblems bounds what is told about one event.
const maxProblems = 16

// mode says what a breach of the plan leads to.
type mode uint8

const (
	modeAllow mode = iota
	modeObserve
	modeEnforce
)

func modeOf(s string) mode {
	switch s {
	case "observe":
		return modeObserve
	case "enforce", "quarantine":
		return modeEnforce
	}
	return modeAllow
}

// plan is the tracking plan of one source.
type plan struct {
	unplanned mode
	named     map[call]*schema
	byType    [rapport.TypeSystem + 1]*schema
}

type call struct {
	typ  rapport.EventType
	name string
}

// schema is a compiled SchemaDoc.
type schema struct {
	id   string
	call call
	mode mode
	root object
}

// object is what an object must look like.
type object struct {
	properties map[string]*property
	required   []*property
	open       bool // other members are allowed
}

// property is a compiled PropertyDoc.
type property struct {
	name     string
	index    int // in required, or -1
	typ      string
	enum     []rapport.Value
	min, max *float64
	pattern  *regexp.Regexp
	object   object
	items    *property
}

// add takes a schema in, or returns the one that describes the same already.
func (p *plan) add(s *schema) *schema {
	if s.call.name == "" {
		if other := p.byType[s.call.typ]; other != nil {
			return other
		}
		p.byType[s.call.typ] = s
		return nil
	}
	if other := p.named[s.call]; other != nil {
		return other
	}
	if p.named == nil {
		p.named = map[call]*schema{}
	}
	p.named[s.call] = s
	return nil
}

func compileSchema(d *SchemaDoc) *schema {
	typ := rapport.TypeTrack
	if d.Type != "" {
		typ = rapport.ParseEventType(d.Type)
	}
	s := &schema{id: d.ID, call: call{typ, d.Event}, mode: modeEnforce, root: compileObject(d.Properties, d.Additional)}
	if d.Mode != "" {
		s.mode = modeOf(d.Mode)
	}
	return s
}

func compileObject(docs map[string]PropertyDoc, additional *bool) object {
	o := object{properties: make(map[string]*property, len(docs)), open: additional == nil || *additional}
	for _, name := range sorted(docs) {
		d := docs[name]
		p := compileProperty(name, &d)
		if d.Required {
			p.index = len(o.required)
			o.required = append(o.required, p)
		}
		o.properties[name] = p
	}
	return o
}

func compileProperty(name string, d *PropertyDoc) *property {
	p := &property{name: name, index: -1, typ: d.Type, min: d.Min, max: d.Max, object: compileObject(d.Properties, d.Additional)}
	for _, v := range d.Enum {
		value, _ := enumValue(v) // validated before
		p.enum = append(p.enum, value)
	}
	if d.Pattern != "" {
		p.pattern = regexp.MustCompile(d.Pattern) // validated before
	}
	if d.Items != nil {
		p.items = compileProperty("", d.Items)
	}
	return p
}

// enumValue turns a value read from YAML into one events hold.
func enumValue(x any) (rapport.Value, bool) {
	switch n := x.(type) {
	case string, bool, float64, int, int64:
	case uint64:
		x = float64(n)
	default:
		return rapport.Value{}, false
	}
	return rapport.ValueOf(x), true
}

// check holds an event against the plan. It returns the schema that judged (nil
// if none did), what to do, and what is wrong.
func (p *plan) check(e *rapport.Event) (id string, m mode, problems []segmentwire.Problem) {
	s := p.named[call{e.Type, e.Name}]
	if s == nil {
		if s = p.byType[e.Type]; s == nil {
			if e.Type == rapport.TypeTrack && p.unplanned != modeAllow {
				return "", p.unplanned, []segmentwire.Problem{{
					Code: CodePlanUnplanned, Path: "event", Why: "is " + strconv.Quote(clip(e.Name)) + ", which the tracking plan does not know",
					Fix: "correct the name, or add a schema document for it",
				}}
			}
			return "", modeAllow, nil
		}
	}
	fields, path := e.Properties, "properties"
	if e.Type == rapport.TypeIdentify || e.Type == rapport.TypeGroup {
		fields, path = e.Traits, "traits"
	}
	c := checker{path: path}
	c.object(&s.root, fields)
	return s.id, s.mode, c.problems
}

// checker walks one event. path is built only when something is wrong.
type checker struct {
	path     string
	problems []segmentwire.Problem
}

func (c *checker) add(code, fix, why string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, segmentwire.Problem{Code: code, Path: c.path, Why: fmt.Sprintf(why, args...), Fix: fix})
	}
}

// at runs f one step further down the path.
func (c *checker) at(step string, f func()) {
	was := c.path
	c.path += step
	f()
	c.path = was
}

func (c *checker) object(o *object, f rapport.Fields) {
	var few [64]bool
	seen := few[:]
	if len(o.required) > len(few) {
		seen = make([]bool, len(o.required))
	}
	for k, v := range f.All() {
		p := o.properties[string(k)]
		if p == nil {
			if !o.open {
				c.at("."+clip(string(k)), func() {
					c.add(CodePlanAdditional, "remove it, or declare it in the schema", "is not in the tracking plan")
				})
			}
			continue
		}
		if v.IsNull() {
			continue
		}
		if p.index >= 0 {
			seen[p.index] = true
		}
		if !p.right(v) {
			c.at("."+p.name, func() { c.value(p, v) })
		}
	}
	for _, p := range o.required {
		if !seen[p.index] {
			c.at("."+p.name, func() { c.add(CodePlanMissing, "send it with every such event", "is missing") })
		}
	}
}

// right reports whether v is no object or array and breaks no rule: the usual
// case, for which nothing is built.
func (p *property) right(v rapport.Value) bool {
	if k := v.Kind(); k == rapport.KindObject || k == rapport.KindArray {
		return (p.typ == "" || p.typ == "any") && p.enum == nil
	}
	if !p.is(v) || p.enum != nil && !slices.ContainsFunc(p.enum, v.Equal) {
		return false
	}
	if p.min != nil || p.max != nil {
		if n, _ := measure(v); p.min != nil && n < *p.min || p.max != nil && n > *p.max {
			return false
		}
	}
	t, _ := v.Text()
	return p.pattern == nil || p.pattern.Match(t)
}

func (p *property) is(v rapport.Value) bool {
	switch p.typ {
	case "string":
		return v.Kind() == rapport.KindString
	case "number":
		_, ok := v.Number()
		return ok
	case "integer":
		n, ok := v.Number()
		return ok && n == math.Trunc(n)
	case "boolean":
		_, ok := v.Bool()
		return ok
	case "object":
		return v.Kind() == rapport.KindObject
	case "array":
		return v.Kind() == rapport.KindArray
	case "time":
		t, ok := v.Text()
		if ok {
			_, ok = segmentwire.ParseTime(t)
		}
		return ok
	}
	return true
}

func (c *checker) value(p *property, v rapport.Value) {
	if !p.is(v) {
		c.add(CodePlanType, "send "+article(p.typ), "is %s, want %s", kindOf(v), article(p.typ))
		return
	}
	if p.enum != nil && !slices.ContainsFunc(p.enum, v.Equal) {
		c.add(CodePlanEnum, "send one of the values the schema lists", "is %s, which is not allowed", clip(string(v.AppendJSON(nil))))
	}
	if p.min != nil || p.max != nil {
		c.bounds(p, v)
	}
	if p.pattern != nil {
		// RE2 takes time linear in the text; the text is bounded by the event.
		if t, _ := v.Text(); !p.pattern.Match(t) {
			c.add(CodePlanPattern, "send text of that form", "does not match %s", p.pattern)
		}
	}
	switch p.typ {
	case "object":
		f, _ := v.Object()
		c.object(&p.object, f)
	case "array":
		if p.items == nil {
			return
		}
		i := 0
		for x := range v.Elements() {
			if !p.items.right(x) && len(c.problems) < maxProblems {
				c.at("["+strconv.Itoa(i)+"]", func() { c.value(p.items, x) })
			}
			i++
		}
	}
}

// measure returns what min and max limit, and its unit.
func measure(v rapport.Value) (n float64, unit string) {
	switch v.Kind() {
	case rapport.KindString:
		t, _ := v.Text()
		return float64(utf8.RuneCount(t)), " characters"
	case rapport.KindArray:
		for range v.Elements() {
			n++
		}
		return n, " elements"
	}
	n, _ = v.Number()
	return n, ""
}

func (c *checker) bounds(p *property, v rapport.Value) {
	n, unit := measure(v)
	verb := "is"
	if unit != "" {
		verb = "has"
	}
	switch {
	case p.min != nil && n < *p.min:
		c.add(CodePlanRange, "send what the schema allows", "%s %v%s, at least %v", verb, n, unit, *p.min)
	case p.max != nil && n > *p.max:
		c.add(CodePlanRange, "send what the schema allows", "%s %v%s, at most %v", verb, n, unit, *p.max)
	}
}

func kindOf(v rapport.Value) string {
	switch v.Kind() {
	case rapport.KindString:
		return "text"
	case rapport.KindNumber, rapport.KindBigNumber:
		return "a number"
	case rapport.KindTrue, rapport.KindFalse:
		return "true or false"
	case rapport.KindObject:
		return "an object"
	case rapport.KindArray:
		return "an array"
	}
	return "null"
}

func article(typ string) string {
	switch typ {
	case "string":
		return "text"
	case "boolean":
		return "true or false"
	case "integer":
		return "a whole number"
	case "time":
		return "a time (RFC 3339)"
	case "array", "object":
		return "an " + typ
	}
	return "a " + typ
}

// clip shortens text for a message, at a whole character.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
