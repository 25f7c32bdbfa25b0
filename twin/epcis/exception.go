package epcis

import (
	"fmt"

	"github.com/rapport-engine/rapport"
)

// Exception is an error with the name the standard gives it (EPCIS 2.0,
// section 12.6), for the type of a problem document.
type Exception struct {
	Name   string // without its prefix, "ValidationException"
	Status int    // HTTP
	Detail string
	List   []rapport.Fault
}

// Error returns the detail.
func (x *Exception) Error() string { return x.Detail }

// Type returns the name as it stands in a problem document.
func (x *Exception) Type() string { return "epcisException:" + x.Name }

// Faults returns each single fault.
func (x *Exception) Faults() []rapport.Fault { return x.List }

// As lets callers that branch on kinds treat an exception as an Error.
func (x *Exception) As(target any) bool {
	t, ok := target.(**rapport.Error)
	if !ok {
		return false
	}
	kind := rapport.Invalid
	switch x.Status {
	case 404:
		kind = rapport.NotFound
	case 409:
		kind = rapport.Conflict
	case 403:
		kind = rapport.Denied
	case 413:
		kind = rapport.TooLarge
	}
	*t = &rapport.Error{Kind: kind, Msg: x.Detail}
	return true
}

// The exceptions of the standard that this room raises.
const (
	ValidationException            = "ValidationException"
	UnsupportedMediaTypeException  = "UnsupportedMediaTypeException"
	NotAcceptableException         = "NotAcceptableException"
	CaptureLimitExceededException  = "CaptureLimitExceededException"
	ResourceAlreadyExistsException = "ResourceAlreadyExistsException"
	NoSuchResourceException        = "NoSuchResourceException"
	QueryParameterException        = "QueryParameterException"
	QueryValidationException       = "QueryValidationException"
	QueryTooComplexException       = "QueryTooComplexException"
	QueryTooLargeException         = "QueryTooLargeException"
	SubscriptionControlsException  = "SubscriptionControlsException"
	SubscribeNotPermittedException = "SubscribeNotPermittedException"
	SecurityException              = "SecurityException"
	ImplementationException        = "ImplementationException"
)

var exceptionStatus = map[string]int{
	ValidationException: 400, QueryParameterException: 400, QueryValidationException: 400, SubscriptionControlsException: 400,
	SecurityException: 403, SubscribeNotPermittedException: 403, NoSuchResourceException: 404, NotAcceptableException: 406,
	ResourceAlreadyExistsException: 409, CaptureLimitExceededException: 413, QueryTooComplexException: 413, QueryTooLargeException: 413,
	UnsupportedMediaTypeException: 415, ImplementationException: 500,
}

// Raise returns an exception of the standard.
func Raise(name, format string, args ...any) *Exception {
	return &Exception{Name: name, Status: exceptionStatus[name], Detail: fmt.Sprintf(format, args...)}
}
