// Package api is the management and decision interface over HTTP and JSON: thin
// handlers that authenticate, check the role, call one room and translate its
// answer. The rooms hold the behaviour; nothing is decided here.
//
// Guarantees: every operation stands in the OpenAPI document at /openapi.json
// with its role; every error is RFC 9457 problem JSON with the request's id;
// every change is audited; bodies are bounded; a reader sees every event
// acknowledged before it asked.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
)

// API serves the management interface.
type API struct {
	deps   Deps
	mux    *http.ServeMux
	huma   huma.API
	guard  *guard
	search *searcher
}

// New mounts every operation and returns the handler.
func New(d Deps) *API {
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("Rapport", rapport.Version)
	cfg.Info.Description = "Real-time relationship engine: profiles, decisions, configuration and operations. " +
		"Collection follows the Segment HTTP API and is described in the wire documentation."
	cfg.DocsPath = ""     // our own page, without scripts from elsewhere
	cfg.CreateHooks = nil // no $schema links in bodies
	cfg.Transformers = append(cfg.Transformers, problemFromOutside)
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "An API token with the role the operation names."},
	}
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	a := &API{deps: d, mux: mux, guard: newGuard(d.Clock), search: newSearcher()}
	a.huma = humago.New(mux, cfg)
	a.sessionOperations()
	a.tokenOperations()
	a.systemOperations()
	a.peopleOperations()
	a.segmentOperations()
	a.sendingOperations()
	a.predictOperations()
	a.identityOperations()
	a.likenessOperations()
	a.decisionOperations()
	a.portfolioOperations()
	a.learningOperations()
	a.sqlOperations()
	a.configOperations()
	a.proposalOperations()
	a.sourceOperations()
	a.deliveryOperations()
	a.previewOperations()
	a.channelOperations()
	a.suppressionOperations()
	a.demoOperations()
	a.itemOperations()
	a.chainOperations()
	a.epcisOperations()
	a.updateOperations()
	a.fleetOperations()
	a.ddiOperations()
	arraysAreNeverNull(a.huma.OpenAPI())
	mux.HandleFunc("GET /v1/stream", a.stream)
	mux.HandleFunc("GET /v1/inapp/stream", a.inapp)
	mux.HandleFunc("GET /docs/api", a.reference)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, rapport.Errorf(rapport.NotFound, "there is no operation %s %s", r.Method, r.URL.Path))
	})
	return a
}

// OpenAPI returns the OpenAPI 3.1 document.
func (a *API) OpenAPI() *huma.OpenAPI { return a.huma.OpenAPI() }

// Handler returns the whole interface with authentication, request ids and limits around it.
func (a *API) Handler() http.Handler { return a.guard.around(a.deps.Access, a.deps.Logger, a.mux) }

// bodyTime is how long reading a request's body may take.
const bodyTime = 30 * time.Second

// operation is what an endpoint says of itself beside its types.
type operation struct {
	id      string
	method  string
	path    string
	summary string
	tag     string
	role    access.Role // least role; "" is open to everybody
	status  int         // default 200, or 204 without a body
	audit   string      // audit action; "" for reads
	maxBody int64       // default 1 MiB
	raw     bool        // the handler reads the body itself, whatever its type
	media   string      // type of the answer; default application/json
	// quick answers what it can before the body is read by its schema.
	quick func(huma.Context, func(huma.Context))
}

// handle registers one operation: role check, audit and error translation
// are the same for all. object names what a change was done to, for the audit.
func handle[I, O any](a *API, op operation, object func(*I) string, h func(context.Context, *I) (*O, error)) {
	description := "Needs the role " + string(op.role) + "."
	var security []map[string][]string
	if op.role == "" {
		description = "Open."
	} else {
		security = []map[string][]string{{"token": {string(op.role)}}}
	}
	if op.maxBody == 0 {
		op.maxBody = 1 << 20
	}
	var responses map[string]*huma.Response
	if op.media != "" {
		responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			op.media: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}}
	}
	first := huma.Middlewares{need(op.role)}
	if !op.raw {
		first = append(first, bodyIsJSON)
	}
	if op.quick != nil {
		first = append(first, op.quick)
	}
	huma.Register(a.huma, huma.Operation{
		Responses: responses, OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Description: description,
		Tags: []string{op.tag}, DefaultStatus: op.status, Security: security, MaxBodyBytes: op.maxBody,
		Middlewares: first, BodyReadTimeout: bodyTime, SkipValidateBody: op.raw, Errors: []int{400, 401, 403, 404, 409, 429, 503},
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if op.audit != "" {
			e := access.Entry{Author: author(ctx), Action: op.audit, Request: requestID(ctx)}
			if object != nil {
				e.Object = object(in)
			}
			if err != nil {
				e.Detail = "refused: " + rapport.KindOf(err).String()
			}
			// Done is done, whether its client still listens or not.
			if aerr := a.deps.Access.Record(context.WithoutCancel(ctx), e); aerr != nil && err == nil {
				a.deps.Logger.Error("audit entry was not written", slog.String("action", op.audit), slog.Any("error", aerr))
			}
		}
		if err != nil {
			return nil, problemOf(ctx, err)
		}
		return out, nil
	})
}

// need lets those pass who have a role, before anything of the request is read.
func need(role access.Role) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		if role != "" {
			var err error
			p, ok := principal(hc.Context())
			switch {
			case !ok:
				err = rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "this needs a token"), "send Authorization: Bearer TOKEN")
			case !p.Role.Includes(role):
				err = rapport.Errorf(rapport.Denied, "the role %s may not do this; it needs %s", p.Role, role)
			}
			if err != nil {
				problem := newProblem(err, requestID(hc.Context()))
				hc.SetHeader("Content-Type", "application/problem+json")
				hc.SetStatus(problem.Status)
				_ = json.NewEncoder(hc.BodyWriter()).Encode(problem)
				return
			}
		}
		next(hc)
	}
}

// bodyIsJSON lets the body decide what it is: a beacon calls it text, and curl
// a form. Changes by a session's cookie need a header of their own, so that a
// form of another site changes nothing.
func bodyIsJSON(hc huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(hc)
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded", "text/plain":
		r.Header.Set("Content-Type", "application/json")
	}
	next(hc)
}

// schemaName names the schemas of the OpenAPI document. Types without a name
// of their own are named after what they hold.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if !strings.ContainsAny(name, " {") {
		return name
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name = ""
	if t.Kind() == reflect.Struct {
		for f := range t.Fields() {
			if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" && tag != "-" {
				name += strings.ToUpper(tag[:1]) + tag[1:]
			}
		}
	}
	return name + "Answer"
}

// none is the object function of changes without one.
func none[I any](*I) string { return "" }

// body wraps a JSON answer.
type body[T any] struct{ Body T }

// noContent is the answer of operations that say nothing.
type noContent struct{}
