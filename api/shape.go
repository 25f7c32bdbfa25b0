package api

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
)

// problemFromOutside puts the errors of the HTTP layer itself, those of
// validation above all, into the form of ours, with the request's id.
func problemFromOutside(hc huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &Problem{
		Type: cmp.Or(e.Type, "about:blank"), Title: e.Title, Status: e.Status, Detail: e.Detail,
		RequestID: requestID(hc.Context()),
	}
	for _, d := range e.Errors {
		item := ProblemItem{Message: d.Message, Location: d.Location}
		if d.Value != nil {
			item.Hint = "it holds " + found(d.Value)
		}
		p.Errors = append(p.Errors, item)
	}
	if len(p.Errors) == 1 {
		p.Detail = p.Errors[0].Message
		if at := p.Errors[0].Location; at != "" {
			p.Detail = at + ": " + p.Detail
		}
	}
	return p, nil
}

// found shows a value that was refused: scalars shortly, the rest by its kind,
// so that a body is not sent back whole.
func found(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		if len(v) > 100 {
			return fmt.Sprintf("a text of %d bytes", len(v))
		}
	}
	b, err := json.Marshal(v)
	if err != nil || len(b) > 200 {
		return fmt.Sprintf("a value of type %T", v)
	}
	return string(b)
}

// arraysAreNeverNull says of every list in the document that it is one: an empty
// list is [], never null.
func arraysAreNeverNull(doc *huma.OpenAPI) {
	seen := map[*huma.Schema]bool{}
	var walk func(*huma.Schema)
	walk = func(s *huma.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		if s.Type == huma.TypeArray {
			s.Nullable = false
		}
		walk(s.Items)
		walk(s.Not)
		if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
			walk(more)
		}
		for _, p := range s.Properties {
			walk(p)
		}
		for _, list := range [][]*huma.Schema{s.OneOf, s.AnyOf, s.AllOf} {
			for _, p := range list {
				walk(p)
			}
		}
	}
	for _, s := range doc.Components.Schemas.Map() {
		walk(s)
	}
	media := func(content map[string]*huma.MediaType) {
		for _, m := range content {
			walk(m.Schema)
		}
	}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Delete, path.Patch} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				walk(p.Schema)
			}
			if op.RequestBody != nil {
				media(op.RequestBody.Content)
			}
			for _, r := range op.Responses {
				media(r.Content)
			}
		}
	}
}
