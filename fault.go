package rapport

// Fault is one thing wrong with an input, of possibly several: what, where, why
// and what to do. Errors that report many at once have a method Faults() []Fault.
type Fault struct {
	Message string `json:"message"`
	Path    string `json:"path,omitempty"` // file, JSON path or document the fault is in
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Hint    string `json:"hint,omitempty"`
}
