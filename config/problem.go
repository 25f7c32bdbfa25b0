package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Problem is one thing wrong with a document, and where. Line and Column count
// from 1, columns in characters.
type Problem struct {
	File    string `json:"file"` // or kind/id for a stored document
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	// Source is the line of text the problem is in.
	Source string `json:"source,omitempty"`
}

// String returns file:line:column: message.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Snippet returns the line of text and a caret under the place, or "".
func (p Problem) Snippet() string {
	if p.Source == "" || p.Column < 1 {
		return ""
	}
	var pad strings.Builder
	for i, r := range []rune(p.Source) {
		if i >= p.Column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		pad.WriteRune(r)
	}
	return p.Source + "\n" + pad.String() + "^"
}

// Problems is everything found wrong, in order of place.
type Problems []Problem

// maxPrinted bounds the problems printed by Error.
const maxPrinted = 50

// Error returns one problem per line.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i == maxPrinted {
			fmt.Fprintf(&b, "\nand %d more", len(ps)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Faults returns the problems as the nouns' faults.
func (ps Problems) Faults() []rapport.Fault {
	faults := make([]rapport.Fault, len(ps))
	for i, p := range ps {
		faults[i] = rapport.Fault{Message: p.Message, Path: p.File, Line: p.Line, Column: p.Column}
	}
	return faults
}

// Err returns nil if there are no problems, else an Invalid error that wraps ps.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return rapport.Errorf(rapport.Invalid, "%w", ps)
}

// sorted returns the problems in order of place.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}
