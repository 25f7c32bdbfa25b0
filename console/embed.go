// Package console serves the web console: the TypeScript application of this
// folder, built by `make console` and embedded into the binary.
//
// Every path that names no file answers the application with 200, so deep links
// work; a missing asset is 404. Nothing is loaded from another origin and no
// inline script runs: a strict Content-Security-Policy stands on every answer.
// Files with a hash in their name may be cached for ever, all others are
// revalidated. A binary built without the application says so, and how to build it.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// policy allows our own scripts, styles, fonts and calls, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// file is one file of the application with its compressed forms.
type file struct {
	mime      string
	tag       string // strong, of the plain bytes
	immutable bool
	plain     []byte
	gzip      []byte // nil if it is not worth it
	brotli    []byte // nil likewise
}

// Handler serves files of the console. It is immutable.
type Handler struct {
	files map[string]file // by path without the leading slash
}

// Embedded returns the handler for the console in this binary.
func Embedded() (*Handler, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("open the embedded console: %w", err)
	}
	return New(files)
}

// New returns a handler for the built application in files. An empty folder is
// served as a page that says how to build the console.
func New(files fs.FS) (*Handler, error) {
	h := &Handler{files: map[string]file{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		if ext := path.Ext(name); ext == ".gz" || ext == ".br" {
			return nil
		}
		f, err := read(files, name)
		h.files[name] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the console: %w", err)
	}
	if _, built := h.files["index.html"]; !built {
		h.files["index.html"] = notBuilt()
	}
	return h, nil
}

func read(files fs.FS, name string) (file, error) {
	plain, err := fs.ReadFile(files, name)
	if err != nil {
		return file{}, err
	}
	sum := sha256.Sum256(plain)
	f := file{plain: plain, tag: `"` + hex.EncodeToString(sum[:12]) + `"`, immutable: strings.HasPrefix(name, "assets/")}
	if f.mime = mime.TypeByExtension(path.Ext(name)); f.mime == "" {
		f.mime = "application/octet-stream"
	}
	if path.Ext(name) == ".woff2" {
		f.mime = "font/woff2" // not in every system's table
	}
	for ext, to := range map[string]*[]byte{".gz": &f.gzip, ".br": &f.brotli} {
		if b, err := fs.ReadFile(files, name+ext); err == nil {
			*to = b
		}
	}
	return f, nil
}

// ServeHTTP answers a file, or the application for any other path.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the console is only read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	f, ok := h.files[name]
	if !ok && strings.HasPrefix(name, "assets/") {
		http.Error(w, "there is no such asset: the page is of another version, reload it", http.StatusNotFound)
		return
	}
	if !ok {
		f = h.files["index.html"]
	}
	f.serve(w, r)
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", f.mime)
	head.Set("Cache-Control", "no-cache")
	if f.immutable {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, tag := f.plain, f.tag
	if f.gzip != nil || f.brotli != nil {
		head.Set("Vary", "Accept-Encoding")
		switch accepted := r.Header.Get("Accept-Encoding"); {
		case f.brotli != nil && accepts(accepted, "br"):
			body, tag = f.brotli, strings.TrimSuffix(f.tag, `"`)+`-br"`
			head.Set("Content-Encoding", "br")
		case f.gzip != nil && accepts(accepted, "gzip"):
			body, tag = f.gzip, strings.TrimSuffix(f.tag, `"`)+`-gz"`
			head.Set("Content-Encoding", "gzip")
		}
	}
	head.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// accepts reports whether an Accept-Encoding header names the encoding without refusing it.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			weight = strings.ReplaceAll(weight, " ", "")
			return weight != "q=0" && !strings.HasPrefix(weight, "q=0.000")
		}
	}
	return false
}

func secure(head http.Header) {
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

func notBuilt() file {
	const page = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Rapport</title></head>
<body>
<main>
<h1>The console is not built</h1>
<p>Rapport is running and its API answers, but this binary was built without the console.</p>
<p>Run <code>make console</code>, then <code>make build</code>, and start it again.</p>
<p><a href="/openapi.json">The API</a> works meanwhile.</p>
</main>
</body>
</html>
`
	sum := sha256.Sum256([]byte(page))
	return file{mime: "text/html; charset=utf-8", tag: `"` + hex.EncodeToString(sum[:12]) + `"`, plain: []byte(page)}
}
