package liquid

import (
	"strings"
)

// parser cuts a template into text, outputs and tags.
type parser struct {
	text  string
	i     int
	line  int // of i, from 0
	start int // of the line
	depth int
	trim  bool // the white space that follows goes
}

// block is a run of nodes up to a tag that ends or divides it.
type block struct {
	nodes []node
	tag   string // that ended it; empty at the end of the text
	args  string
	at    position
}

func (p *parser) parse() ([]node, error) {
	b, err := p.block()
	if err != nil {
		return nil, err
	}
	if b.tag != "" {
		return nil, b.at.errorf("%s has nothing to end or divide", b.tag)
	}
	return b.nodes, nil
}

func (p *parser) position() position { return position{p.line + 1, p.i - p.start + 1} }

// advance moves to offset i and counts lines.
func (p *parser) advance(to int) {
	for ; p.i < to; p.i++ {
		if p.text[p.i] == '\n' {
			p.line++
			p.start = p.i + 1
		}
	}
}

// block parses up to a tag that no known tag begins.
func (p *parser) block() (*block, *Error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, p.position().errorf("tags are nested more than %d deep", MaxDepth)
	}
	defer func() { p.depth-- }()
	b := &block{}
	for {
		open := p.open()
		literal := p.text[p.i:open]
		if p.trim {
			literal = strings.TrimLeft(literal, " \t\r\n\f\v")
		}
		if open+2 < len(p.text) && p.text[open+2] == '-' {
			literal = strings.TrimRight(literal, " \t\r\n\f\v")
		}
		if literal != "" {
			b.nodes = append(b.nodes, text(literal))
		}
		p.advance(open)
		p.trim = false
		if open == len(p.text) {
			b.at = p.position()
			return b, nil
		}
		isTag := p.text[open+1] == '%'
		markup, at, err := p.markup(isTag)
		if err != nil {
			return nil, err
		}
		if !isTag {
			r, err := newReader(markup, at)
			if err != nil {
				return nil, err
			}
			value, err := r.pipeline()
			if err != nil {
				return nil, err
			}
			b.nodes = append(b.nodes, &output{value})
			continue
		}
		name, args := tagName(markup)
		make, known := tag(name)
		if !known {
			b.tag, b.args, b.at = name, args, at
			return b, nil
		}
		n, err := make(p, args, at)
		if err != nil {
			return nil, err
		}
		if n != nil {
			b.nodes = append(b.nodes, n)
		}
	}
}

// open returns where the next output or tag begins, or the end of the text.
func (p *parser) open() int {
	for i := p.i; i+1 < len(p.text); i++ {
		j := strings.IndexByte(p.text[i:], '{')
		if j < 0 || i+j+1 >= len(p.text) {
			return len(p.text)
		}
		i += j
		if c := p.text[i+1]; c == '{' || c == '%' {
			return i
		}
	}
	return len(p.text)
}

// markup consumes an output or a tag and returns what is between its marks.
func (p *parser) markup(isTag bool) (string, position, *Error) {
	from := p.i + 2
	end, mark := "}}", "{{"
	if isTag {
		end, mark = "%}", "{%"
	}
	stop := strings.Index(p.text[from:], end)
	if stop < 0 {
		return "", position{}, p.position().errorf("%s is not closed by %s", mark, end)
	}
	stop += from
	inner := p.text[from:stop]
	skip := 0
	if strings.HasPrefix(inner, "-") {
		inner, skip = inner[1:], 1
	}
	if strings.HasSuffix(inner, "-") {
		inner = inner[:len(inner)-1]
		p.trim = true
	}
	lead := len(inner) - len(strings.TrimLeft(inner, " \t\r\n"))
	p.advance(from + skip + lead)
	at := p.position()
	trim := p.trim
	p.advance(stop + 2)
	p.trim = trim
	return strings.TrimSpace(inner), at, nil
}

func tagName(markup string) (name, args string) {
	if strings.HasPrefix(markup, "#") {
		return "#", markup[1:]
	}
	i := 0
	for i < len(markup) && (isNameStart(markup[i]) || markup[i] >= '0' && markup[i] <= '9') {
		i++
	}
	return markup[:i], strings.TrimSpace(markup[i:])
}

// until skips to the given end tag and returns the text before it as it is.
func (p *parser) until(name string, nested bool) (string, *Error) {
	at, from, deep := p.position(), p.i, 0
	trimFirst := p.trim
	for i := p.i; ; {
		j := strings.Index(p.text[i:], "{%")
		if j < 0 {
			return "", at.errorf("%s is missing", name)
		}
		i += j
		stop := strings.Index(p.text[i+2:], "%}")
		if stop < 0 {
			return "", at.errorf("%s is missing", name)
		}
		stop += 2
		inner := p.text[i+2 : i+stop]
		got, _ := tagName(strings.TrimSpace(strings.Trim(inner, "-")))
		switch {
		case got == name && deep == 0:
			raw := p.text[from:i]
			if strings.HasPrefix(inner, "-") {
				raw = strings.TrimRight(raw, " \t\r\n\f\v")
			}
			if trimFirst {
				raw = strings.TrimLeft(raw, " \t\r\n\f\v")
			}
			p.advance(i + stop + 2)
			p.trim = strings.HasSuffix(inner, "-")
			return raw, nil
		case nested && got == name:
			deep--
		case nested && "end"+got == name:
			deep++
		}
		i += 2
	}
}

// body parses the nodes of a tag and wants one of the ends.
func (p *parser) body(tag string, at position, ends ...string) (*block, *Error) {
	b, err := p.block()
	if err != nil {
		return nil, err
	}
	for _, end := range ends {
		if b.tag == end {
			return b, nil
		}
	}
	if b.tag == "" {
		return nil, at.errorf("%s is not closed by end%s", tag, tag)
	}
	if strings.HasPrefix(b.tag, "end") || b.tag == "else" || b.tag == "elsif" || b.tag == "when" {
		return nil, b.at.errorf("%s stands inside %s", b.tag, tag)
	}
	return nil, b.at.errorf("there is no tag %q", b.tag)
}
