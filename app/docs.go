package app

import (
	"net/http"
	"path"

	"github.com/rapport-engine/rapport/docs"
)

// documentation serves the texts that ship with the program: /docs/NAME.md is
// the Markdown, every other path the console's page that shows it.
func documentation(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Ext(r.URL.Path) != ".md" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			pages.ServeHTTP(w, r)
			return
		}
		text, err := docs.Files.ReadFile(r.PathValue("name"))
		if err != nil {
			http.Error(w, "there is no such page of the documentation", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(text) // the reader has gone
	})
}
