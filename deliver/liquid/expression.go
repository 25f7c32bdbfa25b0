package liquid

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// expression is a value to be computed.
type expression interface {
	value(r *renderer) (any, error)
}

type literal struct{ v any }

func (l literal) value(*renderer) (any, error) { return l.v, nil }

// path is a variable and the properties to follow from it.
type path struct {
	name  expression // its value is the name
	steps []expression
}

func (p *path) value(r *renderer) (any, error) {
	name, err := p.name.value(r)
	if err != nil {
		return nil, err
	}
	v := r.lookup(toText(name))
	for _, step := range p.steps {
		key, err := step.value(r)
		if err != nil {
			return nil, err
		}
		v = property(v, key)
	}
	return v, nil
}

// rangeOf is (from..to).
type rangeOf struct{ from, to expression }

func (x rangeOf) value(r *renderer) (any, error) {
	from, err := x.from.value(r)
	if err != nil {
		return nil, err
	}
	to, err := x.to.value(r)
	if err != nil {
		return nil, err
	}
	return span{whole(from), whole(to)}, nil
}

// whole is a number cut to an integer.
func whole(v any) int64 {
	switch x := number(v).(type) {
	case int64:
		return x
	case float64:
		return int64(x)
	}
	return 0
}

// binary is a comparison, or a chain of and and or.
type binary struct {
	op          string
	left, right expression
	at          position
}

func (b *binary) value(r *renderer) (any, error) {
	left, err := b.left.value(r)
	if err != nil {
		return nil, err
	}
	switch {
	case b.op == "and" && !truthy(left):
		return false, nil
	case b.op == "or" && truthy(left):
		return true, nil
	}
	right, err := b.right.value(r)
	if err != nil {
		return nil, err
	}
	switch b.op {
	case "and", "or":
		return truthy(right), nil
	case "==":
		return equal(left, right), nil
	case "!=", "<>":
		return !equal(left, right), nil
	case "contains":
		return contains(left, right), nil
	}
	c, ok := order(left, right)
	if !ok {
		if left == nil || right == nil || b.loose(left) || b.loose(right) {
			return false, nil
		}
		return nil, b.at.errorf("%s and %s have no order", inspect(left), inspect(right))
	}
	switch b.op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	default:
		return c >= 0, nil
	}
}

// loose values are never before or after anything.
func (b *binary) loose(v any) bool {
	switch v.(type) {
	case bool, marker, []any, map[string]any, Object, span:
		return true
	}
	return false
}

// pipeline is an expression and its filters.
type pipeline struct {
	head    expression
	filters []filterCall
}

type filterCall struct {
	name  string
	apply filter
	args  []expression
	named []namedArg
	at    position
}

type namedArg struct {
	name string
	v    expression
}

func (p *pipeline) eval(r *renderer) (any, error) {
	v, err := p.head.value(r)
	if err != nil {
		return nil, err
	}
	for i := range p.filters {
		f := &p.filters[i]
		args := make([]any, len(f.args))
		for k, a := range f.args {
			if args[k], err = a.value(r); err != nil {
				return nil, err
			}
		}
		c := &call{r: r, in: v, args: args}
		for _, n := range f.named {
			x, err := n.v.value(r)
			if err != nil {
				return nil, err
			}
			if c.named == nil {
				c.named = map[string]any{}
			}
			c.named[n.name] = x
		}
		if v, err = f.apply.run(c); err != nil {
			return nil, f.at.errorf("%s: %v", f.name, err)
		}
		if s, ok := v.(string); ok {
			if r.budget.bytes += len(s); r.budget.bytes > MaxOutput {
				return nil, f.at.errorf("%s: the text is longer than %d bytes", f.name, MaxOutput)
			}
		}
	}
	return v, nil
}

// token is a word of an expression.
type token struct {
	kind byte // 'n' name, 's' text, 'i' integer, 'f' float, 'o' operator or mark, 0 end
	text string
	at   position
}

// position is a place in the template.
type position struct{ line, column int }

func (p position) errorf(format string, args ...any) *Error {
	return &Error{Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)}
}

// scan cuts the markup of a tag into tokens.
func scan(markup string, at position) ([]token, *Error) {
	var tokens []token
	for i := 0; i < len(markup); {
		c := markup[i]
		here := position{at.line + strings.Count(markup[:i], "\n"), at.column + i}
		if nl := strings.LastIndexByte(markup[:i], '\n'); nl >= 0 {
			here.column = i - nl
		}
		start := i
		kind := byte('o')
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '"' || c == '\'':
			end := strings.IndexByte(markup[i+1:], c)
			if end < 0 {
				return nil, here.errorf("the quote is not closed")
			}
			i += end + 2
			tokens = append(tokens, token{'s', markup[start+1 : i-1], here})
			continue
		case c >= '0' && c <= '9' || c == '-' && i+1 < len(markup) && markup[i+1] >= '0' && markup[i+1] <= '9':
			i++
			kind = 'i'
			for i < len(markup) && markup[i] >= '0' && markup[i] <= '9' {
				i++
			}
			if i+1 < len(markup) && markup[i] == '.' && markup[i+1] >= '0' && markup[i+1] <= '9' {
				kind = 'f'
				for i++; i < len(markup) && markup[i] >= '0' && markup[i] <= '9'; i++ {
				}
			}
		case isNameStart(c):
			kind = 'n'
			for i++; i < len(markup) && (isNameStart(markup[i]) || markup[i] >= '0' && markup[i] <= '9' || markup[i] == '-'); i++ {
			}
			if i < len(markup) && markup[i] == '?' {
				i++
			}
		default:
			i++
			if i < len(markup) && slices.Contains([]string{"==", "!=", "<>", "<=", ">=", ".."}, markup[start:i+1]) {
				i++
			}
			if !strings.Contains("|:,.[]()<>=", markup[start:start+1]) && markup[start:i] != "!=" {
				return nil, here.errorf("%q means nothing here", markup[start:i])
			}
		}
		tokens = append(tokens, token{kind, markup[start:i], here})
	}
	end := position{at.line + strings.Count(markup, "\n"), at.column + len(markup)}
	return append(tokens, token{at: end}), nil
}

func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// reader reads tokens.
type reader struct {
	tokens []token
	i      int
	depth  int
}

func newReader(markup string, at position) (*reader, *Error) {
	tokens, err := scan(markup, at)
	return &reader{tokens: tokens}, err
}

func (r *reader) peek() token { return r.tokens[r.i] }

func (r *reader) next() token {
	t := r.tokens[r.i]
	if t.kind != 0 {
		r.i++
	}
	return t
}

// take consumes a mark or a word if it is next.
func (r *reader) take(text string) bool {
	if t := r.peek(); (t.kind == 'o' || t.kind == 'n') && t.text == text {
		r.i++
		return true
	}
	return false
}

func (r *reader) end() *Error {
	if t := r.peek(); t.kind != 0 {
		return t.at.errorf("%q was not expected", t.text)
	}
	return nil
}

func (r *reader) name(what string) (string, *Error) {
	t := r.next()
	if t.kind != 'n' {
		return "", t.at.errorf("%s is missing", what)
	}
	return t.text, nil
}

// pipeline reads an expression and its filters up to the end.
func (r *reader) pipeline() (*pipeline, *Error) {
	p := &pipeline{head: literal{}}
	if r.peek().kind == 0 {
		return p, nil
	}
	head, err := r.primary()
	if err != nil {
		return nil, err
	}
	p.head = head
	for r.take("|") {
		f := filterCall{at: r.peek().at}
		if f.name, err = r.name("the name of a filter"); err != nil {
			return nil, err
		}
		var known bool
		if f.apply, known = filters[f.name]; !known {
			return nil, f.at.errorf("there is no filter %q%s", f.name, nearestFilter(f.name))
		}
		if r.take(":") {
			if err := r.arguments(&f); err != nil {
				return nil, err
			}
		}
		if n := len(f.args); n < f.apply.least || n > f.apply.most {
			return nil, f.at.errorf("%s takes %s, not %d", f.name, f.apply.arity(), n)
		}
		p.filters = append(p.filters, f)
	}
	return p, r.end()
}

func (r *reader) arguments(f *filterCall) *Error {
	for {
		t := r.peek()
		if t.kind == 'n' && r.tokens[r.i+1].kind == 'o' && r.tokens[r.i+1].text == ":" {
			r.i += 2
			v, err := r.primary()
			if err != nil {
				return err
			}
			f.named = append(f.named, namedArg{t.text, v})
		} else {
			v, err := r.primary()
			if err != nil {
				return err
			}
			f.args = append(f.args, v)
		}
		if !r.take(",") {
			return nil
		}
	}
}

// condition reads comparisons joined by and and or, which bind from the right.
func (r *reader) condition() (expression, *Error) {
	if r.depth++; r.depth > MaxDepth {
		return nil, r.peek().at.errorf("the condition has more than %d parts", MaxDepth)
	}
	defer func() { r.depth-- }()
	left, err := r.primary()
	if err != nil {
		return nil, err
	}
	if t := r.peek(); t.kind == 'o' && slices.Contains([]string{"==", "!=", "<>", "<", "<=", ">", ">="}, t.text) || t.kind == 'n' && t.text == "contains" {
		r.next()
		right, err := r.primary()
		if err != nil {
			return nil, err
		}
		left = &binary{op: t.text, left: left, right: right, at: t.at}
	}
	if t := r.peek(); t.kind == 'n' && (t.text == "and" || t.text == "or") {
		r.next()
		right, err := r.condition()
		if err != nil {
			return nil, err
		}
		return &binary{op: t.text, left: left, right: right, at: t.at}, nil
	}
	return left, nil
}

// primary reads a literal, a range or a variable.
func (r *reader) primary() (expression, *Error) {
	t := r.next()
	switch t.kind {
	case 's':
		return literal{t.text}, nil
	case 'i':
		if i, err := strconv.ParseInt(t.text, 10, 64); err == nil {
			return literal{i}, nil
		}
		fallthrough
	case 'f':
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, t.at.errorf("%s is not a number", t.text)
		}
		return literal{f}, nil
	case 'n':
		if next := r.peek(); next.kind != 'o' || next.text != "." && next.text != "[" {
			switch t.text {
			case "nil", "null":
				return literal{}, nil
			case "true":
				return literal{true}, nil
			case "false":
				return literal{false}, nil
			case "empty":
				return literal{empty}, nil
			case "blank":
				return literal{blank}, nil
			}
		}
		return r.steps(&path{name: literal{t.text}})
	case 'o':
		switch t.text {
		case "(":
			return r.span()
		case "[":
			name, err := r.primary()
			if err != nil {
				return nil, err
			}
			if !r.take("]") {
				return nil, r.peek().at.errorf("] is missing")
			}
			return r.steps(&path{name: name})
		}
	}
	if t.kind == 0 {
		return nil, t.at.errorf("a value is missing")
	}
	return nil, t.at.errorf("%q was not expected", t.text)
}

func (r *reader) span() (expression, *Error) {
	from, err := r.primary()
	if err != nil {
		return nil, err
	}
	if !r.take("..") {
		return nil, r.peek().at.errorf(".. is missing in a range")
	}
	to, err := r.primary()
	if err != nil {
		return nil, err
	}
	if !r.take(")") {
		return nil, r.peek().at.errorf(") is missing")
	}
	return rangeOf{from, to}, nil
}

func (r *reader) steps(p *path) (expression, *Error) {
	if r.depth++; r.depth > MaxDepth {
		return nil, r.peek().at.errorf("the variable is nested too deeply")
	}
	defer func() { r.depth-- }()
	for {
		switch {
		case r.take("."):
			name, err := r.name("a name after the dot")
			if err != nil {
				return nil, err
			}
			p.steps = append(p.steps, literal{name})
		case r.take("["):
			key, err := r.primary()
			if err != nil {
				return nil, err
			}
			if !r.take("]") {
				return nil, r.peek().at.errorf("] is missing")
			}
			p.steps = append(p.steps, key)
		default:
			return p, nil
		}
	}
}
