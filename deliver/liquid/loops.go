package liquid

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// loop is what for and tablerow share.
type loop struct {
	name          string
	over          expression
	source        string // identifies the loop for offset:continue
	limit, offset expression
	resume        bool
	reversed      bool
	columns       expression
	body          []node
	otherwise     []node
}

func readLoop(args string, at position) (*loop, *Error) {
	r, err := newReader(args, at)
	if err != nil {
		return nil, err
	}
	l := &loop{}
	if l.name, err = r.name("the name of a variable"); err != nil {
		return nil, err
	}
	if !r.take("in") {
		return nil, r.peek().at.errorf("in is missing after %s", l.name)
	}
	from := r.i
	if l.over, err = r.primary(); err != nil {
		return nil, err
	}
	l.source = l.name
	for _, t := range r.tokens[from:r.i] {
		l.source += " " + t.text
	}
	for {
		r.take(",")
		switch {
		case r.take("reversed"):
			l.reversed = true
		case r.take("limit"), r.take("offset"), r.take("cols"):
			option := r.tokens[r.i-1]
			if !r.take(":") {
				return nil, r.peek().at.errorf(": is missing after %s", option.text)
			}
			if option.text == "offset" && r.take("continue") {
				l.resume = true
				continue
			}
			v, err := r.primary()
			if err != nil {
				return nil, err
			}
			switch option.text {
			case "limit":
				l.limit = v
			case "offset":
				l.offset = v
			default:
				l.columns = v
			}
		default:
			return l, r.end()
		}
	}
}

// turns returns what to go through.
func (l *loop) turns(r *renderer) ([]any, error) {
	over, err := l.over.value(r)
	if err != nil {
		return nil, err
	}
	list := items(over)
	var from int64
	if l.resume {
		from = r.offsets[l.source]
	} else if from, err = l.count(r, l.offset, 0); err != nil {
		return nil, err
	}
	n := int64(len(list))
	most, err := l.count(r, l.limit, n)
	if err != nil {
		return nil, err
	}
	from = min(max(from, 0), n)
	to := min(from+max(most, 0), n)
	r.offsets[l.source] = to
	list = list[from:to]
	if l.reversed {
		list = slices.Clone(list)
		slices.Reverse(list)
	}
	return list, nil
}

func (l *loop) count(r *renderer, e expression, otherwise int64) (int64, error) {
	if e == nil {
		return otherwise, nil
	}
	v, err := e.value(r)
	if err != nil || v == nil {
		return otherwise, err
	}
	return whole(v), nil
}

func makeFor(p *parser, args string, at position) (node, *Error) {
	l, err := readLoop(args, at)
	if err != nil {
		return nil, err
	}
	b, err := p.body("for", at, "else", "endfor")
	if err != nil {
		return nil, err
	}
	l.body = b.nodes
	if b.tag == "else" {
		if b, err = p.body("for", at, "endfor"); err != nil {
			return nil, err
		}
		l.otherwise = b.nodes
	}
	return l, nil
}

// turn is the variable forloop.
type turn struct {
	name   string
	i, n   int64
	parent any
}

// Property returns one of the figures of a loop.
func (t *turn) Property(name string) (any, bool) {
	switch name {
	case "index":
		return t.i + 1, true
	case "index0":
		return t.i, true
	case "rindex":
		return t.n - t.i, true
	case "rindex0":
		return t.n - t.i - 1, true
	case "first":
		return t.i == 0, true
	case "last":
		return t.i == t.n-1, true
	case "length":
		return t.n, true
	case "name":
		return t.name, true
	case "parentloop":
		return t.parent, t.parent != nil
	}
	return nil, false
}

func (l *loop) render(r *renderer) error {
	list, err := l.turns(r)
	if err != nil {
		return err
	}
	if r.budget.steps += len(list) / 16; len(list) == 0 { // making the list costs as well

		return r.all(l.otherwise)
	}
	t := &turn{name: l.source, n: int64(len(list))}
	if outer, ok := r.lookup("forloop").(*turn); ok {
		t.parent = outer
	}
	r.push()
	defer r.pop()
	r.local("forloop", t)
	for i, v := range list {
		t.i = int64(i)
		r.local(l.name, plain(v))
		if err := r.step(); err != nil {
			return err
		}
		if err := r.all(l.body); err != nil {
			stop, ok := errors.AsType[*interrupt](err)
			if !ok {
				return err
			}
			if !stop.again {
				return nil
			}
		}
	}
	return nil
}

// table is tablerow.
type table struct{ loop }

func makeTable(p *parser, args string, at position) (node, *Error) {
	l, err := readLoop(args, at)
	if err != nil {
		return nil, err
	}
	b, err := p.body("tablerow", at, "endtablerow")
	if err != nil {
		return nil, err
	}
	l.body = b.nodes
	return &table{*l}, nil
}

// cell is the variable tablerowloop.
type cell struct {
	turn
	column, columns int64
}

// Property returns one of the figures of a table.
func (c *cell) Property(name string) (any, bool) {
	switch name {
	case "col":
		return c.column + 1, true
	case "col0":
		return c.column, true
	case "row":
		return c.i/c.columns + 1, true
	case "col_first":
		return c.column == 0, true
	case "col_last":
		return c.column == c.columns-1, true
	}
	return c.turn.Property(name)
}

func (t *table) render(r *renderer) error {
	list, err := t.turns(r)
	if err != nil {
		return err
	}
	columns, err := t.count(r, t.columns, int64(max(len(list), 1)))
	if err != nil {
		return err
	}
	columns = max(columns, 1)
	if err := r.write("<tr class=\"row1\">\n"); err != nil {
		return err
	}
	c := &cell{turn: turn{n: int64(len(list))}, columns: columns}
	r.push()
	defer r.pop()
	r.local("tablerowloop", c)
	for i, v := range list {
		c.i, c.column = int64(i), int64(i)%columns
		r.local(t.name, plain(v))
		if err := r.step(); err != nil {
			return err
		}
		if err := r.write(fmt.Sprintf("<td class=\"col%d\">", c.column+1)); err != nil {
			return err
		}
		err := r.all(t.body)
		stop, interrupted := errors.AsType[*interrupt](err)
		if err != nil && !interrupted {
			return err
		}
		if err := r.write("</td>"); err != nil {
			return err
		}
		if interrupted && !stop.again {
			break
		}
		if c.column == columns-1 && i < len(list)-1 {
			if err := r.write("</tr>\n<tr class=\"row" + strconv.FormatInt(c.i/columns+2, 10) + "\">"); err != nil {
				return err
			}
		}
	}
	return r.write("</tr>\n")
}

// partial is render and include.
type partial struct {
	name   expression
	as     string
	with   expression
	each   bool
	named  []namedArg
	shared bool // include sees the variables around it
	at     position
}

func makeRender(args string, at position, shared bool) (node, *Error) {
	r, err := newReader(args, at)
	if err != nil {
		return nil, err
	}
	p := &partial{shared: shared, at: at}
	if !shared && r.peek().kind != 's' {
		return nil, at.errorf("render needs the name of a partial in quotes")
	}
	if p.name, err = r.primary(); err != nil {
		return nil, err
	}
	if r.take("with") || r.take("for") {
		p.each = r.tokens[r.i-1].text == "for"
		if p.with, err = r.primary(); err != nil {
			return nil, err
		}
		if r.take("as") {
			if p.as, err = r.name("a name after as"); err != nil {
				return nil, err
			}
		}
	}
	for r.take(","); r.peek().kind == 'n'; r.take(",") {
		name, _ := r.name("")
		if !r.take(":") {
			return nil, r.peek().at.errorf(": is missing after %s", name)
		}
		v, err := r.primary()
		if err != nil {
			return nil, err
		}
		p.named = append(p.named, namedArg{name, v})
	}
	return p, r.end()
}

func (p *partial) render(r *renderer) error {
	v, err := p.name.value(r)
	if err != nil {
		return err
	}
	name := toText(v)
	if r.o.Partials == nil {
		return p.at.errorf("there is no partial %q", name)
	}
	t, err := r.o.Partials(name)
	if err != nil {
		return p.at.errorf("partial %q: %v", name, err)
	}
	if r.depth >= MaxDepth {
		return p.at.errorf("partials are nested more than %d deep", MaxDepth)
	}
	inner := &renderer{o: r.o, globals: r.globals, counters: r.counters, cycles: map[string]int{}, offsets: map[string]int64{}, out: r.out, budget: r.budget, depth: r.depth + 1}
	if p.shared {
		inner.scopes, inner.cycles, inner.offsets = slices.Clone(r.scopes), r.cycles, r.offsets
	} else {
		inner.counters = map[string]int64{}
		inner.push()
	}
	inner.push()
	for _, n := range p.named {
		v, err := n.v.value(r)
		if err != nil {
			return err
		}
		inner.local(n.name, v)
	}
	as := p.as
	if as == "" {
		as = name
	}
	if p.with == nil {
		return inner.partial(t)
	}
	with, err := p.with.value(r)
	if err != nil {
		return err
	}
	list, isList := with.([]any)
	if !p.each && !(p.shared && isList) {
		inner.local(as, with)
		return inner.partial(t)
	}
	if !isList {
		list = items(with)
	}
	f := &turn{name: name, n: int64(len(list))}
	for i, v := range list {
		f.i = int64(i)
		inner.local("forloop", f)
		inner.local(as, plain(v))
		if err := inner.partial(t); err != nil {
			return err
		}
	}
	return nil
}

// partial renders a partial, which a break of its own ends.
func (r *renderer) partial(t *Template) error {
	err := r.all(t.body)
	if _, ok := errors.AsType[*interrupt](err); ok {
		return nil
	}
	return err
}
