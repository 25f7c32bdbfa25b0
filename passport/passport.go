// Package passport is what a scan or tap of a product leads to: a GS1 Digital
// Link resolver, and a page for each item that works without JavaScript.
//
// Guarantees: a tap is shown as fresh only after its code was right and its
// counter new, decided once for all copies of its URL; what the page decides
// sees that tap. The page shows nothing of an owner to anybody but who holds the
// item: by a sealed cookie, or by a tap made now. Every form is checked for its
// origin. Nothing is loaded from elsewhere but the pictures the product names.
package passport

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/twin/tap"
)

// Placement is where the page asks for the next best thing.
const Placement = "item_page"

// Decider makes decisions. *decide.Decider is one.
type Decider interface {
	Decide(ctx context.Context, r decide.Request) (*rapport.Decision, error)
}

// Resolver says who an identifier is now. *identity.Resolver is one.
type Resolver interface {
	Identified(i rapport.Identifier) rapport.ID
	Person(id rapport.ID) rapport.ID
}

// Deps are what the pages stand on. All but PublicURL are required.
type Deps struct {
	Items    *item.Door
	Decider  Decider
	Identity Resolver
	// Record makes an event of a person durable; Entity is set.
	Record func(ctx context.Context, e *rapport.Event) error
	Clock  rapport.Clock
	Logger *slog.Logger
	// PublicURL is the address people reach the server at; empty takes the request's.
	PublicURL string
}

// Server answers scans and serves the pages. It is safe for concurrent use.
type Server struct {
	deps   Deps
	config atomic.Pointer[Config]
	page   *template.Template
}

// Config is what the configuration says of products and tags.
type Config struct {
	Products *catalog.Catalog
	Tags     *tap.Config
}

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS []byte

// New returns a server that knows no product until Apply.
func New(d Deps) (*Server, error) {
	page, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	s := &Server{deps: d, page: page}
	s.config.Store(&Config{})
	return s, nil
}

// Apply replaces the configuration for all requests from now on.
func (s *Server) Apply(c *Config) { s.config.Store(c) }

// Register mounts the resolver and the pages.
func (s *Server) Register(mux *http.ServeMux) {
	for number, ai := range gs1.Dictionary() {
		if ai.Primary {
			mux.HandleFunc("/"+number+"/", s.scan)
		}
	}
	mux.HandleFunc("GET /.well-known/gs1resolver", s.describe)
	mux.HandleFunc("GET /passport/style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		_, _ = w.Write(styleCSS)
	})
	mux.HandleFunc("GET /passport/go", s.follow)
	mux.HandleFunc("GET /passport/", s.show)
	mux.HandleFunc("POST /passport/", s.act)
}

// stem returns the address of this server as the client knows it.
func (s *Server) stem(r *http.Request) string {
	if s.deps.PublicURL != "" {
		return strings.TrimSuffix(s.deps.PublicURL, "/")
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// parse reads the key in a path; the trailing slash some readers add does not matter.
func parse(r *http.Request, prefix string) (gs1.Link, error) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), prefix), "/")
	return gs1.ParsePath(path, r.URL.RawQuery, gs1.Options{Unknown: true})
}

var statusOf = map[rapport.Kind]int{
	rapport.Invalid: http.StatusBadRequest, rapport.NotFound: http.StatusNotFound, rapport.Conflict: http.StatusConflict, rapport.Denied: http.StatusForbidden,
	rapport.Unauthenticated: http.StatusUnauthorized, rapport.Unavailable: http.StatusServiceUnavailable, rapport.TooLarge: http.StatusRequestEntityTooLarge,
}

// status returns the HTTP status of an error.
func status(err error) int {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return http.StatusServiceUnavailable
	}
	if code, ok := statusOf[rapport.KindOf(err)]; ok {
		return code
	}
	return http.StatusInternalServerError
}

// problem answers with RFC 9457 problem JSON; the cause of what is our own fault stays in the log.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, err error) {
	code := status(err)
	detail := err.Error()
	if code == http.StatusInternalServerError {
		s.deps.Logger.Error("a scan was not answered", "error", err)
		detail = "something went wrong on our side"
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	body, _ := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Hint   string `json:"hint,omitempty"`
	}{"about:blank", http.StatusText(code), code, detail, rapport.HintOf(err)})
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
