package rapport_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rapport-engine/rapport"

// rooms is the architecture: every package and what it may import of ours.
// "rapport" is the root package of nouns; "*" is everything. Adapters (x/y)
// may import their room x; "x/*" is every package below x. The list grows with the house; a package that is
// not here, or an import that is not allowed, fails the build.
var rooms = map[string][]string{
	"rapport":               {},
	"cmd/rapport":           {"app"},
	"app":                   {"*"},
	"collect":               {"rapport", "eventlog", "identity", "gs1", "engine", "collect/segmentwire"},
	"collect/segmentwire":   {"rapport"},
	"collect/mqtt":          {"rapport", "eventlog", "collect/item", "twin"},
	"collect/item":          {"rapport", "eventlog", "identity", "engine", "gs1", "twin", "collect/segmentwire"},
	"eventlog":              {"rapport"},
	"eventlog/local":        {"rapport", "eventlog"},
	"eventlog/eventlogtest": {"rapport", "eventlog"},
	"test/port":             {},
	"engine":                {"rapport", "eventlog", "state", "engine/dedup"},
	"engine/dedup":          {"rapport"},
	"identity":              {"rapport", "eventlog", "engine", "state", "learn", "learn/*"},
	"profile":               {"rapport", "engine", "condition", "learn/sketch"},
	"segment":               {"rapport", "engine", "condition", "profile"},
	"decide":                {"rapport", "engine", "condition", "learn", "profile", "eventlog", "learn/*"},
	"deliver":               {"rapport", "engine", "condition"},
	"deliver/webhook":       {"rapport", "deliver"},
	"deliver/inapp":         {"rapport", "deliver"},
	"deliver/liquid":        {"rapport"},
	"deliver/compose":       {"rapport", "deliver", "deliver/liquid"},
	"deliver/preference":    {"rapport", "deliver"},
	"deliver/smtp":          {"rapport", "deliver", "deliver/compose", "deliver/feedback"},
	"deliver/sms":           {"rapport", "deliver", "deliver/compose", "deliver/liquid"},
	"deliver/suppression":   {"rapport"},
	"deliver/feedback":      {"rapport"},
	"deliver/webpush":       {"rapport", "deliver", "deliver/compose", "engine"},
	"deliver/delivertest":   {"rapport", "deliver"},
	"access":                {"rapport", "engine"},
	"state":                 {"rapport"},
	"condition":             {"rapport"},
	"learn/sketch":          {},
	"learn":                 {},
	"learn/anomaly":         {"learn", "learn/*"},
	"learn/bandit":          {"learn"},
	"learn/sendtime":        {"learn"},
	"learn/glm":             {"learn", "learn/*"},
	"learn/btyd":            {"learn/metric"},
	"learn/affinity":        {},
	"learn/insight":         {},
	"learn/replenish":       {},
	"learn/topic":           {},
	"learn/calibrate":       {},
	"learn/propensity":      {"learn/*"},
	"learn/gbdt":            {},
	"learn/linkage":         {},
	"learn/metric":          {},
	"gs1":                   {"rapport"},
	"passport":              {"rapport", "gs1", "catalog", "collect/item", "decide", "twin", "twin/tap"},
	"catalog":               {"rapport", "gs1"},
	"twin/tap":              {"rapport", "gs1"},
	"twin":                  {"rapport", "gs1", "catalog", "condition", "engine", "profile"},
	"learn/ope":             {"learn", "learn/*"},
	"learn/survival":        {"learn", "learn/*"},
	"learn/uplift":          {"learn", "learn/*"},
	"config":                {"rapport", "condition", "eventlog"},
	"api":                   {"rapport", "access", "collect", "collect/item", "twin", "twin/epcis", "twin/ota", "twin/health", "twin/wear", "twin/group", "twin/recall", "gs1", "catalog", "collect/segmentwire", "config", "decide", "deliver", "deliver/compose", "deliver/suppression", "deliver/feedback", "engine", "identity", "profile", "eventlog", "condition", "segment", "predict", "learn/linkage"},
	"predict":               {"rapport", "engine", "condition", "profile", "learn", "learn/*"},
	"console":               {},
	"docs":                  {},
	"client":                {"rapport"},
	"sim":                   {"rapport", "client"},
	"sim/fleet":             {"rapport", "sim", "twin/tap"},
	"bench":                 {"rapport", "client"},
	"evaluate":              {"rapport", "client", "learn", "learn/*", "sim", "decide", "engine", "profile", "condition", "state", "eventlog", "eventlog/eventlogtest", "collect/segmentwire"},
	"twin/health":           {"rapport", "engine", "catalog", "twin", "learn/anomaly", "learn/survival"},
	"twin/group":            {"rapport", "engine", "condition", "twin", "profile"},
	"twin/wear":             {"rapport", "engine", "catalog", "twin", "twin/health", "learn/survival"},
	"twin/recall":           {"rapport", "engine", "twin"},
	"twin/ota":              {"rapport", "eventlog", "state"},
	"measure/query":         {"rapport", "measure/lake", "learn/sketch", "condition", "profile"},
	"measure/lake":          {"rapport", "eventlog", "engine"},
	"measure/lake/bucket":   {"rapport", "measure/lake"},
	"twin/epcis":            {"rapport", "eventlog", "state", "gs1"},
}

// longestChain is the most packages an import path of ours may run through.
const longestChain = 10

type pkg struct {
	name    string // room name
	imports []string
	doc     bool
	at      string
}

func TestEveryImportFollowsTheArchitecture(t *testing.T) {
	t.Parallel()
	pkgs := parsePackages(t)
	for _, p := range pkgs {
		allowed, listed := rooms[p.name]
		if !listed {
			t.Errorf("package %s is not in the table of arch_test.go: say what it may import", p.name)
			continue
		}
		if !p.doc {
			t.Errorf("package %s has no package comment: one sentence of purpose, one paragraph of guarantees", p.name)
		}
		for _, i := range p.imports {
			if !slices.Contains(allowed, "*") && !slices.Contains(allowed, i) && !slices.Contains(allowed, path.Dir(i)+"/*") && path.Dir(p.name) != i {
				t.Errorf("%s imports %s, which the architecture does not allow (%s)", p.name, i, p.at)
			}
		}
	}
	for name := range rooms {
		if _, ok := pkgs[name]; !ok {
			t.Errorf("the table lists %s, which does not exist", name)
		}
	}
}

func TestTheLongestImportChainStaysReadable(t *testing.T) {
	t.Parallel()
	pkgs := parsePackages(t)
	memo := map[string][]string{}
	var chain func(name string, seen []string) []string
	chain = func(name string, seen []string) []string {
		if c, ok := memo[name]; ok {
			return c
		}
		if slices.Contains(seen, name) {
			t.Fatalf("import cycle: %s", strings.Join(append(seen, name), " -> "))
		}
		var longest []string
		for _, i := range pkgs[name].imports {
			if c := chain(i, append(slices.Clone(seen), name)); len(c) > len(longest) {
				longest = c
			}
		}
		memo[name] = append([]string{name}, longest...)
		return memo[name]
	}
	for name := range pkgs {
		if c := chain(name, nil); len(c) > longestChain {
			t.Errorf("import chain of %d: %s", len(c), strings.Join(c, " -> "))
		}
	}
}

// parsePackages reads the imports of every non-test Go file itself: asking the
// go command would let the test cache answer for files it does not know of.
func parsePackages(t *testing.T) map[string]pkg {
	t.Helper()
	pkgs := map[string]pkg{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); file != "." && (strings.HasPrefix(n, ".") || n == "node_modules" || n == "testdata" || n == "bin" || n == "dist") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(file))
		if name == "." {
			name = "rapport"
		}
		p := pkgs[name]
		p.name, p.at = name, file
		p.doc = p.doc || hasComment(f)
		for _, i := range f.Imports {
			target := strings.Trim(i.Path.Value, `"`)
			rest, ours := strings.CutPrefix(target, module)
			if !ours {
				continue
			}
			if rest = strings.TrimPrefix(rest, "/"); rest == "" {
				rest = "rapport"
			}
			if !slices.Contains(p.imports, rest) {
				p.imports = append(p.imports, rest)
			}
		}
		pkgs[name] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

func hasComment(f *ast.File) bool { return f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" }
