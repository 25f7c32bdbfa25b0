// Package preference serves the page on which a person chooses what to hear,
// and the address at which mail programs unsubscribe with one click (RFC 8058).
//
// A link holds the person and a keyed hash, nothing readable: whoever has the
// link may choose for that person and see only purposes, channels and yes or
// no, never a name or an address. Opening a link changes nothing, because mail
// scanners open links; only a POST does. The pages work without JavaScript,
// load nothing from elsewhere and are not indexed.
package preference

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Choice is one thing to say yes or no to.
type Choice struct {
	Purpose string
	Channel string // empty: all channels
	Allowed bool
}

// Store reads and keeps what people choose.
type Store interface {
	// Choices returns everything the person can choose, and what holds now. Kind: NotFound.
	Choices(ctx context.Context, person rapport.ID) ([]Choice, error)
	// Choose records a choice durably.
	Choose(ctx context.Context, person rapport.ID, c Choice) error
}

// Options are what Pages needs.
type Options struct {
	Key   []byte // of the links
	Store Store
	// URL returns where people reach this server, without a slash at the end.
	URL func() string
	// Brand is shown at the top; empty shows nothing.
	Brand string
}

// Pages serves the pages and makes the links to them.
type Pages struct{ o Options }

// Path is where the pages are.
const Path = "/preferences/"

const (
	idBytes  = len(rapport.ID{})
	macBytes = 16
	maxForm  = 64 << 10
)

// New returns Pages.
func New(o Options) *Pages { return &Pages{o} }

// Preferences returns the address of a person's page.
func (p *Pages) Preferences(person rapport.ID) string { return p.o.URL() + Path + p.token(person) }

// Unsubscribe returns the address that refuses a purpose on a channel.
func (p *Pages) Unsubscribe(person rapport.ID, purpose, channel string) string {
	return p.Preferences(person) + "?" + url.Values{"purpose": {purpose}, "channel": {channel}}.Encode()
}

func (p *Pages) token(person rapport.ID) string {
	return base64.RawURLEncoding.EncodeToString(append(person[:], p.mac(person)...))
}

func (p *Pages) mac(person rapport.ID) []byte {
	m := hmac.New(sha256.New, p.o.Key)
	m.Write(person[:])
	return m.Sum(nil)[:macBytes]
}

func (p *Pages) person(token string) (id rapport.ID, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != idBytes+macBytes {
		return id, false
	}
	copy(id[:], b)
	return id, hmac.Equal(b[idBytes:], p.mac(id))
}

// ServeHTTP implements [http.Handler].
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	person, ok := p.person(strings.TrimPrefix(r.URL.Path, Path))
	if !ok {
		p.show(w, http.StatusNotFound, page{Fault: "This link is not complete. Please open it from the message again."})
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		p.choices(w, r, person, "")
	case http.MethodPost:
		p.post(w, r, person)
	default:
		h.Set("Allow", "GET, HEAD, POST")
		p.show(w, http.StatusMethodNotAllowed, page{Fault: "This page cannot do that."})
	}
}

func (p *Pages) post(w http.ResponseWriter, r *http.Request, person rapport.ID) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.show(w, http.StatusBadRequest, page{Fault: "The form could not be read. Please try again."})
		return
	}
	choices, err := p.o.Store.Choices(r.Context(), person)
	if err != nil {
		p.fail(w, err)
		return
	}
	if r.PostForm.Get("List-Unsubscribe") == "One-Click" || r.PostForm.Get("all") == "no" {
		purpose, channel := r.URL.Query().Get("purpose"), r.URL.Query().Get("channel")
		all := r.PostForm.Get("all") == "no"
		for _, c := range choices {
			if c.Allowed && (all || c.Purpose == purpose && (c.Channel == channel || c.Channel == "")) {
				c.Allowed = false
				if !all {
					c.Channel = channel
				}
				err = p.o.Store.Choose(r.Context(), person, c)
			}
			if err != nil {
				p.fail(w, err)
				return
			}
		}
		p.choices(w, r, person, "You will not hear from us about this any more.")
		return
	}
	for _, c := range choices {
		if wanted := slices.Contains(r.PostForm["allow"], c.key()); wanted != c.Allowed {
			c.Allowed = wanted
			if err := p.o.Store.Choose(r.Context(), person, c); err != nil {
				p.fail(w, err)
				return
			}
		}
	}
	p.choices(w, r, person, "Your choices are saved.")
}

func (c Choice) key() string { return c.Purpose + "|" + c.Channel }

func (p *Pages) choices(w http.ResponseWriter, r *http.Request, person rapport.ID, said string) {
	choices, err := p.o.Store.Choices(r.Context(), person)
	if err != nil {
		p.fail(w, err)
		return
	}
	var rows []row
	for _, c := range choices {
		rows = append(rows, row{Key: c.key(), Name: words(c.Purpose), Channel: words(c.Channel), On: c.Allowed})
	}
	p.show(w, http.StatusOK, page{Said: said, Rows: rows})
}

// words makes an id readable.
func words(id string) string {
	return strings.NewReplacer("-", " ", "_", " ").Replace(id)
}

func (p *Pages) fail(w http.ResponseWriter, err error) {
	if rapport.KindOf(err) == rapport.NotFound {
		p.show(w, http.StatusNotFound, page{Fault: "We know nothing of you any more, so there is nothing to choose."})
		return
	}
	p.show(w, http.StatusServiceUnavailable, page{Fault: "Your choice could not be saved just now. Please try again in a moment."})
}

type row struct {
	Key, Name, Channel string
	On                 bool
}

type page struct {
	Brand, Said, Fault string
	Rows               []row
}

func (p *Pages) show(w http.ResponseWriter, status int, v page) {
	v.Brand = p.o.Brand
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = layout.Execute(w, v) // the connection is gone if this fails
}

var layout = template.Must(template.New("preferences").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>What you hear from us</title>
<style>
:root{color-scheme:light dark;--ink:#1d1b19;--soft:#5f5a54;--paper:#f6f4f0;--card:#fff;--line:#dedad3;--mark:#1f6f54}
@media (prefers-color-scheme:dark){:root{--ink:#f2efe9;--soft:#b3ada4;--paper:#161514;--card:#211f1d;--line:#3a3733;--mark:#6fce9f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:34rem;margin:0 auto;padding:3rem 1.25rem}
h1{font:600 1.6rem/1.25 Georgia,serif;margin:0 0 .5rem}
p{margin:0 0 1.25rem;color:var(--soft)}
.said{color:var(--mark);font-weight:600}
fieldset{border:1px solid var(--line);border-radius:12px;background:var(--card);padding:.25rem 1.1rem;margin:0 0 1.25rem}
legend{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
label{display:flex;align-items:center;gap:.8rem;padding:.9rem 0;border-bottom:1px solid var(--line);min-height:44px}
label:last-child{border:0}
label span{flex:1}
label span::first-letter{text-transform:uppercase}
small{display:block;color:var(--soft)}
input{width:1.3rem;height:1.3rem;accent-color:var(--mark)}
button{font:600 1rem/1 inherit;padding:.9rem 1.3rem;border-radius:8px;border:1px solid var(--ink);background:var(--ink);color:var(--card);min-height:44px;cursor:pointer}
button.quiet{background:none;color:var(--ink);border-color:var(--line)}
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
form{display:inline}
</style>
</head>
<body>
<main>
{{with .Brand}}<p>{{.}}</p>{{end}}
<h1>What you hear from us</h1>
{{with .Fault}}<p role="alert">{{.}}</p>{{else}}
{{with .Said}}<p class="said" role="status">{{.}}</p>{{end}}
{{if .Rows}}
<p>Choose what we may tell you about. It holds from our next message on.</p>
<form method="post" id="choose">
<fieldset><legend>What we may tell you about</legend>
{{range .Rows}}<label><span>{{.Name}}{{with .Channel}}<small>by {{.}}</small>{{end}}</span><input type="checkbox" name="allow" value="{{.Key}}"{{if .On}} checked{{end}}></label>
{{end}}</fieldset>
<button>Save</button>
</form>
<form method="post"><button class="quiet" name="all" value="no">Nothing at all</button></form>
{{else}}<p>There is nothing we would ask you about.</p>{{end}}
{{end}}
</main>
</body>
</html>
`))
