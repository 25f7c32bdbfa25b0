package app_test

import (
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/docs"
)

func TestTheDocumentationShipsWithTheProgram(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	get := func(path string) (int, string, string) {
		r, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, r.Header.Get("Content-Type"), string(b)
	}
	if code, kind, text := get("/docs/guide/start.md"); code != 200 || !strings.HasPrefix(kind, "text/markdown") || !strings.HasPrefix(text, "# Ten minutes") {
		t.Errorf("the guide: %d %s %.40s", code, kind, text)
	}
	if code, kind, _ := get("/docs/guide/start"); code != 200 || !strings.HasPrefix(kind, "text/html") {
		t.Errorf("the page that shows it: %d %s", code, kind)
	}
	for _, missing := range []string{"/docs/nothing.md", "/docs/embed.go.md", "/docs/..%2fREADME.md"} {
		if code, _, _ := get(missing); code != 404 {
			t.Errorf("%s: %d", missing, code)
		}
	}
}

func TestEveryLinkOfTheGuideLeadsSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+\.md)`)
	names, err := fs.Glob(docs.Files, "guide/*.md")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(docs.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := fs.Stat(docs.Files, path.Join("guide", m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
