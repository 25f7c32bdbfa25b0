package rapport

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with an input, of possibly several: what, where, why
// and what to do. Errors that report many at once have a method Faults() []Fault.
type Fault struct {
	Message string `json:"message"`
	Path    string `json:"path,omitempty"` // file, JSON path or document the fault is in
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Faults gathers everything wrong with an input, so that whoever wrote it
// learns of all of it at once.
type Faults []Fault

// Add notes a fault at a path.
func (f *Faults) Add(path, format string, args ...any) {
	*f = append(*f, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Err returns the faults as one error of kind Invalid, nil if there are none.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Err: f}
}

// Error lists the faults.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, x := range f {
		lines[i] = x.Path + ": " + x.Message
	}
	return strings.Join(lines, "; ")
}

// Faults returns them one by one.
func (f Faults) Faults() []Fault { return f }
