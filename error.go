package rapport

import (
	"errors"
	"fmt"
)

// Kind classifies an error by what the caller can do about it.
type Kind uint8

const (
	// Internal is a defect or an unknown cause; details stay in our log.
	Internal Kind = iota
	// Invalid means the input is wrong; sending it again will not help.
	Invalid
	// NotFound means the thing named does not exist (any more).
	NotFound
	// Conflict means the state has moved on since the caller looked.
	Conflict
	// Denied means the caller is known but may not do this.
	Denied
	// Unauthenticated means the caller is not known.
	Unauthenticated
	// Unavailable is transient: the same call may succeed later.
	Unavailable
	// TooLarge means the input exceeds a stated limit.
	TooLarge
)

var kindNames = [...]string{"internal", "invalid", "not found", "conflict", "denied", "unauthenticated", "unavailable", "too large"}

// String returns the kind in plain words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is an error with a kind for the caller and, where there is something
// an operator or user can do, a hint that says what.
type Error struct {
	Kind Kind
	Msg  string // lowercase, names the thing and the reason
	Hint string // what to do next; may be empty
	Err  error  // wrapped cause; may be nil
}

// Error returns the message and the cause, without the hint.
func (e *Error) Error() string {
	switch _, told := e.Err.(hidden); {
	case e.Err == nil || told:
		return e.Msg
	case e.Msg == "":
		return e.Err.Error()
	}
	return e.Msg + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error of kind k. A %w verb wraps its operand as in [fmt.Errorf].
func Errorf(k Kind, format string, args ...any) error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Kind: k, Msg: wrapped.Error(), Err: hidden{errors.Unwrap(wrapped)}.orNil()}
}

// hidden keeps a cause reachable for errors.Is without printing it twice.
type hidden struct{ error }

func (h hidden) orNil() error {
	if h.error == nil {
		return nil
	}
	return h
}
func (h hidden) Unwrap() error { return h.error }

// WithHint returns err with an instruction for whoever meets it. The kind is kept.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Msg: err.Error(), Hint: fmt.Sprintf(format, args...), Err: hidden{err}}
}

// KindOf returns the kind of the outermost *Error in err's chain, or Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// HintOf returns the outermost non-empty hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
