package config

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/rapport-engine/rapport"
)

// Limits of what is read.
const (
	MaxFile      = 4 << 20   // bytes of a file
	MaxDocument  = 256 << 10 // bytes of a document
	MaxDocuments = 10_000    // documents of a set
	maxLines     = 10_000    // of a document: the library takes quadratic time for very many
	maxNesting   = 32
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode // text is a JSON number
	textNode
	listNode
	mapNode
)

// node is a YAML value with its place in the file.
type node struct {
	kind    nodeKind
	text    string // of a scalar
	line    int
	column  int
	members []member
	items   []*node
}

type member struct {
	name         string
	line, column int
	value        *node
}

// get returns the value of a key, or nil.
func (n *node) get(name string) *node {
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// value returns n as a JSON value.
func (n *node) value() rapport.Value {
	switch n.kind {
	case boolNode:
		return rapport.BoolValue(n.text == "true")
	case numberNode:
		return rapport.NumberText(n.text)
	case textNode:
		return rapport.StringValue(n.text)
	case listNode:
		var b []byte
		for _, e := range n.items {
			b = rapport.AppendValue(b, e.value())
		}
		return rapport.ArrayValue(b)
	case mapNode:
		var f rapport.Fields
		for _, m := range n.members {
			f = rapport.AppendField(f, m.name, m.value.value())
		}
		return rapport.ObjectValue(f)
	}
	return rapport.Value{}
}

// describe names what stands there, for errors.
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "nothing"
	case listNode:
		return "a list"
	case mapNode:
		return "keys and values"
	case textNode:
		s := n.text
		if utf8.RuneCountInString(s) > 40 {
			s = string([]rune(s)[:37]) + "..."
		}
		return `the text "` + strings.ReplaceAll(s, "\n", `\n`) + `"`
	}
	return n.text
}

// source is the text of one document in its file.
type source struct {
	name string // file, or kind/id
	text string
	line int // number of the text's first line in the file
}

// problem returns a problem at a line and column of the file.
func (s *source) problem(line, column int, message string) Problem {
	p := Problem{File: s.name, Line: line, Column: max(column, 1), Message: message}
	if lines := strings.Split(s.text, "\n"); line >= s.line && line-s.line < len(lines) {
		p.Source = lines[line-s.line]
	}
	return p
}

// split cuts a file into documents at its lines "---" and "...".
func split(name, text string) []source {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	var docs []source
	start, first, number := 0, 1, 0
	add := func(end int) {
		if s := text[start:end]; hasContent(s) {
			skip := len(s) - len(strings.TrimLeft(s, "\n"))
			docs = append(docs, source{name, strings.TrimRight(s[skip:], " \n") + "\n", first + skip})
		}
	}
	for at := 0; at < len(text); {
		number++
		end := strings.IndexByte(text[at:], '\n') + 1
		if end == 0 {
			end = len(text) - at
		}
		line := strings.TrimRight(text[at:at+end], " \t\n")
		if line == "---" || line == "..." || strings.HasPrefix(line, "--- ") {
			add(at)
			start, first = at+end, number+1
			if rest := strings.TrimSpace(strings.TrimPrefix(line, "---")); line != "..." && rest != "" && rest[0] != '#' {
				text = text[:at] + "   " + text[at+3:] // content on the marker's line keeps its column
				start, first = at, number
			}
		}
		at += end
	}
	add(len(text))
	return docs
}

// hasContent reports whether there is more than blanks and comments.
func hasContent(s string) bool {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return true
		}
	}
	return false
}

// jsonNumber is what counts as a number; 007, 0x10 and 1_000 are texts.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func isNumber(s string) bool {
	return jsonNumber.MatchString(s) && !rapport.NumberText(s).IsNull()
}

// reader turns the YAML library's tree into ours.
type reader struct {
	src      *source
	problems Problems
}

// maxProblems bounds the problems of one document.
const maxProblems = 100

func (r *reader) fail(line, column int, message string) {
	if len(r.problems) == maxProblems {
		return
	}
	r.problems = append(r.problems, r.src.problem(line, column, message))
}

// parse reads one document. The node is nil if that was not possible.
func (r *reader) parse() (n *node) {
	if len(r.src.text) > MaxDocument {
		r.fail(r.src.line, 1, "the document is larger than 256 KB")
		return nil
	}
	if strings.Count(r.src.text, "\n") > maxLines {
		r.fail(r.src.line, 1, "the document has more than 10000 lines")
		return nil
	}
	if !utf8.ValidString(r.src.text) || strings.ContainsRune(r.src.text, 0) {
		r.fail(r.src.line, 1, "the document is not UTF-8 text")
		return nil
	}
	if line := tooNested(r.src.text); line >= 0 {
		r.fail(r.src.line+line, 1, "the document is nested too deeply")
		return nil
	}
	// The library has panicked on strange input before; that is no reason to stop a server.
	defer func() {
		if x := recover(); x != nil {
			r.fail(r.src.line, 1, "the document is not YAML that can be read")
			n = nil
		}
	}()
	file, err := parser.ParseBytes([]byte(r.src.text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, column, message := r.src.line, 1, "it cannot be read"
		var at interface { // not err.Error(): printing the source takes quadratic time
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &at) && at.GetToken() != nil {
			line, column, message = r.place(at.GetToken()), at.GetToken().Position.Column, at.GetMessage()
		}
		r.fail(line, column, "this is not YAML: "+message)
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		r.fail(r.src.line, 1, "the document is not YAML that can be read")
		return nil
	}
	before := len(r.problems)
	if n = r.node(file.Docs[0].Body, 0); len(r.problems) > before {
		return nil
	}
	return n
}

// tooNested returns the line, from 0, where brackets or list marks nest deeper
// than any document needs, or -1: the library recurses into each.
func tooNested(text string) int {
	open, number := 0, 0
	for line := range strings.Lines(text) {
		marks := strings.TrimLeft(line, " ")
		indent := len(line) - len(marks)
		nested := 0
		for strings.HasPrefix(marks, "- ") || strings.HasPrefix(marks, "? ") {
			nested++
			marks = strings.TrimLeft(marks[2:], " ")
		}
		for i := range len(marks) {
			switch marks[i] {
			case '[', '{':
				open++
			case ']', '}':
				open = max(open-1, 0)
			}
			if open > 8*maxNesting {
				return number
			}
		}
		if nested > maxNesting || indent > 16*maxNesting {
			return number
		}
		number++
	}
	return -1
}

func (r *reader) place(t *token.Token) int { return r.src.line + t.Position.Line - 1 }

func (r *reader) node(a ast.Node, depth int) *node {
	t := a.GetToken()
	n := &node{line: r.place(t), column: t.Position.Column}
	if depth > maxNesting {
		r.fail(n.line, n.column, "the document is nested too deeply")
		return n
	}
	switch a := a.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		n.kind, n.text = boolNode, "false"
		if a.Value {
			n.text = "true"
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = textNode, t.Value
		if isNumber(t.Value) {
			n.kind = numberNode
		}
	case *ast.StringNode:
		n.kind, n.text = textNode, a.Value
		plain := t.Type != token.DoubleQuoteType && t.Type != token.SingleQuoteType
		if plain && isNumber(a.Value) { // the library takes -1e+300 for a text
			n.kind = numberNode
		}
	case *ast.LiteralNode:
		n.kind, n.text = textNode, a.Value.Value
	case *ast.SequenceNode:
		n.kind = listNode
		for _, v := range a.Values {
			n.items = append(n.items, r.node(v, depth+1))
		}
	case *ast.MappingNode:
		r.mapping(n, a.Values, depth)
	case *ast.MappingValueNode:
		r.mapping(n, []*ast.MappingValueNode{a}, depth)
	case *ast.AnchorNode, *ast.AliasNode:
		r.fail(n.line, n.column, "anchors and aliases (& and *) are not used here; write the value out")
	case *ast.TagNode:
		r.fail(n.line, n.column, "tags (!) are not used here; put quotes around a text that begins with !")
	default:
		r.fail(n.line, n.column, "this form of YAML is not used here")
	}
	return n
}

func (r *reader) mapping(n *node, values []*ast.MappingValueNode, depth int) {
	n.kind = mapNode
	seen := make(map[string]bool, len(values))
	for i, v := range values {
		key, ok := v.Key.(ast.Node)
		t := key.GetToken()
		m := member{line: r.place(t), column: t.Position.Column}
		if s, isText := key.(*ast.StringNode); isText {
			m.name = s.Value
		} else if _, scalar := key.(ast.ScalarNode); scalar && ok {
			m.name = t.Value
		} else {
			r.fail(m.line, m.column, "a key is a plain name")
			continue
		}
		if v.Key.IsMergeKey() {
			r.fail(m.line, m.column, "merge keys (<<) are not used here; write the keys out")
			continue
		}
		if seen[m.name] {
			r.fail(m.line, m.column, "the key "+m.name+" stands twice")
			continue
		}
		seen[m.name] = true
		if i == 0 {
			n.line, n.column = m.line, m.column
		}
		m.value = r.node(v.Value, depth+1)
		if m.value.kind == nullNode {
			m.value.line, m.value.column = m.line, m.column
		}
		n.members = append(n.members, m)
	}
}

// locate returns line and column of byte offset in the text of a scalar: it
// walks the source from where the scalar begins, matching what is not blank,
// for folding and quoting change only blanks, quotes and backslashes.
func (s *source) locate(n *node, offset int) (line, column int) {
	raw := s.text
	at := 0
	for l := s.line; l < n.line; l++ {
		at += strings.IndexByte(raw[at:], '\n') + 1
	}
	for range n.column - 1 {
		_, size := utf8.DecodeRuneInString(raw[at:])
		at += size
	}
	if at < len(raw) && (raw[at] == '|' || raw[at] == '>') {
		if end := strings.IndexByte(raw[at:], '\n'); end >= 0 {
			at += end + 1
		}
	} else if at < len(raw) && (raw[at] == '"' || raw[at] == '\'') {
		at++
	}
	isBlank := func(c byte) bool { return c == ' ' || c == '\n' || c == '\t' }
	for i := 0; i <= offset && i < len(n.text); i++ {
		c := n.text[i]
		if isBlank(c) {
			continue
		}
		found := at
		for found < len(raw) && raw[found] != c {
			found++
		}
		if found == len(raw) {
			return n.line, n.column
		}
		if at = found; i < offset {
			at++
		}
	}
	line = s.line + strings.Count(raw[:at], "\n")
	return line, 1 + utf8.RuneCountInString(raw[strings.LastIndexByte(raw[:at], '\n')+1:at])
}
