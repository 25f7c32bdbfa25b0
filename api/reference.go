package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rapport-engine/rapport"
)

// The reference is a page made on the server from the OpenAPI document: it
// needs no script and nothing from elsewhere, so it reads the same offline.

//go:embed reference.html
var referenceHTML string

var referencePage = template.Must(template.New("reference").Parse(referenceHTML))

type referenceGroup struct {
	Tag        string
	Operations []referenceOperation
}

type referenceOperation struct {
	ID, Method, Path, Summary, Role string
	Parameters                      []referenceField
	Request, Response               []referenceField
}

type referenceField struct {
	Name, In, Type, Doc string
	Required            bool
	Depth               int
}

func (a *API) reference(w http.ResponseWriter, r *http.Request) {
	var out bytes.Buffer
	if err := referencePage.Execute(&out, map[string]any{"Version": rapport.Version, "Groups": referenceGroups(a.OpenAPI())}); err != nil {
		writeProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	_, _ = w.Write(out.Bytes())
}

func referenceGroups(doc *huma.OpenAPI) []referenceGroup {
	byTag := map[string][]referenceOperation{}
	for path, item := range doc.Paths {
		for _, o := range []struct {
			method string
			op     *huma.Operation
		}{{"GET", item.Get}, {"POST", item.Post}, {"PUT", item.Put}, {"DELETE", item.Delete}, {"PATCH", item.Patch}} {
			if o.op == nil {
				continue
			}
			ref := referenceOperation{ID: o.op.OperationID, Method: o.method, Path: path, Summary: o.op.Summary, Role: o.op.Description}
			for _, p := range o.op.Parameters {
				ref.Parameters = append(ref.Parameters, referenceField{Name: p.Name, In: p.In, Type: typeName(doc, p.Schema), Doc: docOf(p.Schema, p.Description), Required: p.Required})
			}
			if o.op.RequestBody != nil {
				for _, m := range o.op.RequestBody.Content {
					ref.Request = fieldsOf(doc, m.Schema, 0, nil)
				}
			}
			for _, code := range []string{"200", "201", "202"} {
				if resp := o.op.Responses[code]; resp != nil {
					for _, m := range resp.Content {
						ref.Response = fieldsOf(doc, m.Schema, 0, nil)
					}
				}
			}
			tag := "Other"
			if len(o.op.Tags) > 0 {
				tag = o.op.Tags[0]
			}
			byTag[tag] = append(byTag[tag], ref)
		}
	}
	var groups []referenceGroup
	for tag, ops := range byTag {
		slices.SortFunc(ops, func(a, b referenceOperation) int {
			return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
		})
		groups = append(groups, referenceGroup{tag, ops})
	}
	slices.SortFunc(groups, func(a, b referenceGroup) int { return strings.Compare(a.Tag, b.Tag) })
	return groups
}

// fieldsOf lists the members of a schema, nested ones indented, to depth 3.
func fieldsOf(doc *huma.OpenAPI, s *huma.Schema, depth int, seen []*huma.Schema) []referenceField {
	s = resolve(doc, s)
	for s != nil && s.Type == huma.TypeArray {
		s = resolve(doc, s.Items)
	}
	if s == nil || depth > 3 || slices.Contains(seen, s) {
		return nil
	}
	seen = append(seen, s)
	names := make([]string, 0, len(s.Properties))
	for n := range s.Properties {
		names = append(names, n)
	}
	slices.Sort(names)
	var list []referenceField
	for _, n := range names {
		p := s.Properties[n]
		list = append(list, referenceField{Name: n, Type: typeName(doc, p), Doc: docOf(p, ""), Required: slices.Contains(s.Required, n), Depth: depth})
		list = append(list, fieldsOf(doc, p, depth+1, seen)...)
	}
	return list
}

func resolve(doc *huma.OpenAPI, s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func typeName(doc *huma.OpenAPI, s *huma.Schema) string {
	s = resolve(doc, s)
	switch {
	case s == nil:
		return "any"
	case s.Type == huma.TypeArray:
		return "list of " + typeName(doc, s.Items)
	case len(s.Enum) > 0:
		parts := make([]string, 0, len(s.Enum))
		for _, e := range s.Enum {
			if t, ok := e.(string); ok {
				parts = append(parts, t)
			}
		}
		return strings.Join(parts, " | ")
	case s.Format != "":
		return s.Type + " (" + s.Format + ")"
	case s.Type == "":
		return "any"
	}
	return s.Type
}

func docOf(s *huma.Schema, fallback string) string {
	if s != nil && s.Description != "" {
		return s.Description
	}
	return fallback
}
