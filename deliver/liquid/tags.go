package liquid

import (
	"strings"
)

// maker parses a tag.
type maker func(p *parser, args string, at position) (node, *Error)

// tag returns the maker of a tag.
func tag(name string) (maker, bool) {
	switch name {
	case "assign":
		return makeAssign, true
	case "capture":
		return makeCapture, true
	case "case":
		return makeCase, true
	case "comment", "doc":
		return func(p *parser, _ string, _ position) (node, *Error) {
			_, err := p.until("end"+name, true)
			return nil, err
		}, true
	case "#":
		return func(*parser, string, position) (node, *Error) { return nil, nil }, true
	case "cycle":
		return makeCycle, true
	case "increment", "decrement":
		return func(_ *parser, args string, at position) (node, *Error) {
			r, err := newReader(args, at)
			if err != nil {
				return nil, err
			}
			variable, err := r.name("the name of a counter")
			return &count{variable, name == "decrement"}, err
		}, true
	case "echo":
		return func(_ *parser, args string, at position) (node, *Error) {
			r, err := newReader(args, at)
			if err != nil {
				return nil, err
			}
			value, err := r.pipeline()
			return &output{value}, err
		}, true
	case "for":
		return makeFor, true
	case "tablerow":
		return makeTable, true
	case "break", "continue":
		return func(*parser, string, position) (node, *Error) { return leave{again: name == "continue"}, nil }, true
	case "if", "unless":
		return func(p *parser, args string, at position) (node, *Error) {
			return makeIf(p, name, args, at)
		}, true
	case "ifchanged":
		return func(p *parser, _ string, at position) (node, *Error) {
			b, err := p.body(name, at, "endifchanged")
			if err != nil {
				return nil, err
			}
			return &changed{body: b.nodes, key: "\x00changed"}, nil
		}, true
	case "liquid":
		return makeLines, true
	case "raw":
		return func(p *parser, _ string, _ position) (node, *Error) {
			raw, err := p.until("endraw", false)
			return text(raw), err
		}, true
	case "render", "include":
		return func(_ *parser, args string, at position) (node, *Error) {
			return makeRender(args, at, name == "include")
		}, true
	}
	return nil, false
}

type assign struct {
	name  string
	value *pipeline
}

func makeAssign(_ *parser, args string, at position) (node, *Error) {
	r, err := newReader(args, at)
	if err != nil {
		return nil, err
	}
	name, err := r.name("the name of a variable")
	if err != nil {
		return nil, err
	}
	if !r.take("=") {
		return nil, r.peek().at.errorf("= is missing after %s", name)
	}
	value, err := r.pipeline()
	return &assign{name, value}, err
}

func (a *assign) render(r *renderer) error {
	v, err := a.value.eval(r)
	r.set(a.name, v)
	return err
}

type capture struct {
	name string
	body []node
}

func makeCapture(p *parser, args string, at position) (node, *Error) {
	name := strings.Trim(args, "\"' ")
	if name == "" {
		return nil, at.errorf("capture needs the name of a variable")
	}
	b, err := p.body("capture", at, "endcapture")
	if err != nil {
		return nil, err
	}
	return &capture{name, b.nodes}, nil
}

func (c *capture) render(r *renderer) error {
	s, err := r.captured(c.body)
	if r.o.Escape != nil { // what it holds was escaped on its way in
		r.set(c.name, safeText(s))
	} else {
		r.set(c.name, s)
	}
	return err
}

// branch is a condition and what follows from it.
type branch struct {
	when   expression // nil is else
	negate bool
	body   []node
}

type choice struct{ branches []branch }

func makeIf(p *parser, name, args string, at position) (node, *Error) {
	c := &choice{}
	next := branch{negate: name == "unless"}
	for tag, here := name, at; ; {
		if tag != "else" {
			r, err := newReader(args, here)
			if err != nil {
				return nil, err
			}
			if next.when, err = r.condition(); err != nil {
				return nil, err
			}
			if err := r.end(); err != nil {
				return nil, err
			}
		}
		b, err := p.body(name, at, "elsif", "else", "end"+name)
		if err != nil {
			return nil, err
		}
		next.body = b.nodes
		c.branches = append(c.branches, next)
		if b.tag == "end"+name {
			return c, nil
		}
		next, tag, args, here = branch{}, b.tag, b.args, b.at
	}
}

func (c *choice) render(r *renderer) error {
	for i := range c.branches {
		b := &c.branches[i]
		if b.when == nil {
			return r.all(b.body)
		}
		v, err := b.when.value(r)
		if err != nil {
			return err
		}
		if truthy(v) != b.negate {
			return r.all(b.body)
		}
	}
	return nil
}

type cases struct {
	value expression
	when  []when
}

type when struct {
	values []expression // nil is else
	body   []node
}

func makeCase(p *parser, args string, at position) (node, *Error) {
	r, err := newReader(args, at)
	if err != nil {
		return nil, err
	}
	c := &cases{}
	if c.value, err = r.primary(); err != nil {
		return nil, err
	}
	b, err := p.body("case", at, "when", "else", "endcase") // what stands before the first when is dropped
	for err == nil && b.tag != "endcase" {
		w := when{}
		if b.tag == "when" {
			r, fault := newReader(b.args, b.at)
			for more := true; more && fault == nil; more = r.take(",") || r.take("or") {
				var v expression
				v, fault = r.primary()
				w.values = append(w.values, v)
			}
			if fault == nil {
				fault = r.end()
			}
			if fault != nil {
				return nil, fault
			}
		}
		if b, err = p.body("case", at, "when", "else", "endcase"); err == nil {
			w.body = b.nodes
			c.when = append(c.when, w)
		}
	}
	return c, err
}

func (c *cases) render(r *renderer) error {
	v, err := c.value.value(r)
	if err != nil {
		return err
	}
	matched := false
	for i := range c.when {
		w := &c.when[i]
		if w.values == nil {
			if !matched {
				if err := r.all(w.body); err != nil {
					return err
				}
			}
			continue
		}
		for _, x := range w.values {
			got, err := x.value(r)
			if err != nil {
				return err
			}
			if equal(v, got) {
				matched = true
				if err := r.all(w.body); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

type cycle struct {
	key    string
	group  expression
	values []expression
}

func makeCycle(_ *parser, args string, at position) (node, *Error) {
	r, err := newReader(args, at)
	if err != nil {
		return nil, err
	}
	c := &cycle{key: args}
	first, err := r.primary()
	if err != nil {
		return nil, err
	}
	if r.take(":") {
		c.group = first
		if first, err = r.primary(); err != nil {
			return nil, err
		}
	}
	c.values = append(c.values, first)
	for r.take(",") {
		v, err := r.primary()
		if err != nil {
			return nil, err
		}
		c.values = append(c.values, v)
	}
	return c, r.end()
}

func (c *cycle) render(r *renderer) error {
	key := c.key
	if c.group != nil {
		v, err := c.group.value(r)
		if err != nil {
			return err
		}
		key = "\x00" + toText(v)
	}
	i := r.cycles[key]
	r.cycles[key] = (i + 1) % len(c.values)
	if i >= len(c.values) {
		i = 0
	}
	v, err := c.values[i].value(r)
	if err != nil {
		return err
	}
	return (&output{&pipeline{head: literal{v}}}).render(r)
}

type count struct {
	name string
	down bool
}

func (c *count) render(r *renderer) error {
	n := r.counters[c.name]
	if c.down {
		n--
		r.counters[c.name] = n
	} else {
		r.counters[c.name] = n + 1
	}
	return r.write(toText(n))
}

type leave struct{ again bool }

func (l leave) render(*renderer) error { return &interrupt{l.again} }

// changed shows its body only when it differs from the last time.
type changed struct {
	body []node
	key  string
}

func (c *changed) render(r *renderer) error {
	s, err := r.captured(c.body)
	if err != nil {
		return err
	}
	if last, ok := r.scopes[0][c.key]; ok && last == s {
		return nil
	}
	r.set(c.key, s)
	return r.write(s)
}

// makeLines parses {% liquid %}: one tag a line.
func makeLines(p *parser, args string, at position) (node, *Error) {
	var b strings.Builder
	for line := range strings.SplitSeq(args, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString("{%- " + line + " -%}")
		}
		b.WriteByte('\n') // keeps the count of lines
	}
	inner := &parser{text: b.String(), line: at.line - 1, depth: p.depth + 1, trim: true}
	nodes, err := inner.block()
	if err != nil {
		return nil, err
	}
	if nodes.tag != "" {
		return nil, nodes.at.errorf("there is no tag %q here", nodes.tag)
	}
	return sequence(nodes.nodes), nil
}

// sequence is nodes in the place of one. White space between lines is no text.
type sequence []node

func (s sequence) render(r *renderer) error {
	for _, n := range s {
		if t, ok := n.(text); ok && strings.TrimSpace(string(t)) == "" {
			continue
		}
		if err := r.all([]node{n}); err != nil {
			return err
		}
	}
	return nil
}
