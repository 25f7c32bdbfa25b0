package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rapport-engine/rapport"
)

// Problem is an RFC 9457 problem document.
type Problem struct {
	Type      string        `json:"type" doc:"A URI reference that names the kind of problem"`
	Title     string        `json:"title" doc:"The kind in plain words"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail" doc:"What is wrong, with this request"`
	Hint      string        `json:"hint,omitempty" doc:"What to do next"`
	RequestID string        `json:"requestId,omitempty" doc:"Quote it when asking for help"`
	Errors    []ProblemItem `json:"errors,omitempty" doc:"Each single fault, where there are several"`
}

// ProblemItem is one fault of several.
type ProblemItem struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns problem JSON for JSON.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// faults is implemented by errors that carry several places, such as a config check.
type faults interface{ Faults() []rapport.Fault }

var statusOf = map[rapport.Kind]int{
	rapport.Internal: http.StatusInternalServerError, rapport.Invalid: http.StatusBadRequest,
	rapport.NotFound: http.StatusNotFound, rapport.Conflict: http.StatusConflict, rapport.Denied: http.StatusForbidden,
	rapport.Unauthenticated: http.StatusUnauthorized, rapport.Unavailable: http.StatusServiceUnavailable,
	rapport.TooLarge: http.StatusRequestEntityTooLarge,
}

func newProblem(err error, id string) *Problem {
	kind := rapport.KindOf(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		kind = rapport.Unavailable
	}
	p := &Problem{
		Type: "about:blank", Title: http.StatusText(statusOf[kind]), Status: statusOf[kind],
		Detail: err.Error(), Hint: rapport.HintOf(err), RequestID: id,
	}
	if kind == rapport.Internal { // the details are for our log alone
		p.Detail, p.Hint = "something went wrong on our side", "quote the request id when you report it"
	}
	var f faults
	if errors.As(err, &f) {
		for _, x := range f.Faults() {
			p.Errors = append(p.Errors, ProblemItem{Message: x.Message, Location: x.Path, Line: x.Line, Column: x.Column, Hint: x.Hint})
		}
	}
	return p
}

// tooMany is an answer that is a refusal by a limit of this room.
type tooMany struct{ *Problem }

// problemOf turns a room's error into the answer, logging what the client may not see.
func problemOf(ctx context.Context, err error) error {
	if t, ok := err.(tooMany); ok {
		return huma.ErrorWithHeaders(t.Problem, http.Header{"Retry-After": {"60"}})
	}
	p := newProblem(err, requestID(ctx))
	if p.Status == http.StatusInternalServerError {
		if log := logger(ctx); log != nil {
			log.Error("request failed", "error", err, "request", p.RequestID)
		}
	}
	if p.Status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"1"}})
	}
	return p
}

// writeProblem answers a plain HTTP request with a problem.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := newProblem(err, requestID(r.Context()))
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeProblemDocument(w, p)
}

func writeProblemDocument(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
