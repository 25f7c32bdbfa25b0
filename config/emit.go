package config

import (
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// emit writes a tree as block YAML that reads back to the same tree. It is for
// documents that came as JSON; what people wrote stays as they wrote it.
func emit(n *node) string {
	var b strings.Builder
	emitNode(&b, n, 0)
	return b.String()
}

func emitNode(b *strings.Builder, n *node, indent int) {
	switch {
	case n.kind == mapNode && len(n.members) > 0:
		for i, m := range n.members {
			if i > 0 {
				b.WriteString(strings.Repeat(" ", indent))
			}
			b.WriteString(emitText(m.name) + ":")
			emitBelow(b, m.value, indent)
		}
	case n.kind == listNode && len(n.items) > 0:
		for i, e := range n.items {
			if i > 0 {
				b.WriteString(strings.Repeat(" ", indent))
			}
			b.WriteString("-")
			if nested(e) {
				b.WriteString(" ")
				emitNode(b, e, indent+2)
			} else {
				b.WriteString(" " + emitScalar(e) + "\n")
			}
		}
	default:
		b.WriteString(emitScalar(n) + "\n")
	}
}

// emitBelow writes the value of a key: scalars beside it, the rest below.
func emitBelow(b *strings.Builder, n *node, indent int) {
	if !nested(n) {
		b.WriteString(" " + emitScalar(n) + "\n")
		return
	}
	b.WriteString("\n" + strings.Repeat(" ", indent+2))
	emitNode(b, n, indent+2)
}

func nested(n *node) bool { return len(n.members) > 0 || len(n.items) > 0 }

func emitScalar(n *node) string {
	switch n.kind {
	case nullNode:
		return "null"
	case listNode:
		return "[]"
	case mapNode:
		return "{}"
	case textNode:
		return emitText(n.text)
	}
	return n.text
}

// emitText writes a text plainly when nothing in it could mean something else.
func emitText(s string) string {
	if isPlain(s) {
		return s
	}
	return string(rapport.StringValue(s).AppendJSON(nil))
}

// isPlain is deliberately strict: letters, digits and a few marks, beginning with a letter or slash.
func isPlain(s string) bool {
	switch strings.ToLower(s) {
	case "", "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '/'
		inner := c >= '0' && c <= '9' || c == '-' || c == '.' || c == ' ' && i+1 < len(s)
		if !letter && (i == 0 || !inner) {
			return false
		}
	}
	_, err := strconv.ParseFloat(s, 64)
	return err != nil
}
