package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
)

// runCheck checks a folder by itself, without a server.
func runCheck(_ context.Context, env Env, flags *flag.FlagSet) error {
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	set, err := loadFolder(env, operands[0])
	if err != nil {
		return err
	}
	for _, w := range doubtful(set) {
		fmt.Fprintf(env.Stderr, "warning: %s\n", w)
	}
	fmt.Fprintf(env.Stdout, "%s: %s, nothing wrong\n", operands[0], plural(int64(set.Len()), "document", "documents"))
	return nil
}

// doubtful returns what is allowed in a set and hardly meant.
func doubtful(set *config.Set) (list []string) {
	for _, a := range config.Specs[*decide.ActionDoc](set, "action") {
		if a.Right != "" && a.When.IsZero() {
			list = append(list, fmt.Sprintf("action %s has the right of a %s and no condition: whatever asks its placements gives it, to everybody, beside caps and consent; write when, such as items.any(i, i.state == \"recalled\")", a.ID, a.Right))
		}
	}
	return list
}

// loadFolder reads and checks a folder and compiles it for every room. Every
// problem is printed with its place. Variables that are not set here are named
// only: they may be set where the server runs, which checks their values.
func loadFolder(env Env, dir string) (*config.Set, error) {
	registry, err := config.NewRegistry(kinds())
	if err != nil {
		return nil, err
	}
	if !isDir(dir) {
		return nil, rapport.Errorf(rapport.NotFound, "%s is not a folder", dir)
	}
	set, problems, err := registry.Load(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	if len(problems) == 0 {
		problems = registry.Check(set)
	}
	if len(problems) > 0 {
		return nil, printProblems(env.Stderr, dir, problems)
	}
	if missing := unsetVariables(env, set); len(missing) > 0 {
		fmt.Fprintf(env.Stderr, "not set here, and needed where the server runs: %s\n", strings.Join(missing, ", "))
		return set, nil
	}
	resolved, problems := registry.Resolve(set, environment(env))
	if len(problems) > 0 {
		return nil, printProblems(env.Stderr, dir, problems)
	}
	if _, err := parts(resolved); err != nil {
		return nil, err
	}
	return set, nil
}

// printProblems shows each problem with its place, and counts them.
func printProblems(w io.Writer, dir string, problems config.Problems) error {
	for _, p := range problems {
		if p.Line > 0 && !filepath.IsAbs(p.File) {
			p.File = filepath.Join(dir, p.File)
		}
		fmt.Fprintln(w, p)
		if s := p.Snippet(); s != "" {
			fmt.Fprintln(w, s)
		}
	}
	return rapport.Errorf(rapport.Invalid, "%s in %s", plural(int64(len(problems)), "problem", "problems"), dir)
}

// environment looks variables up; an empty one is not set.
func environment(env Env) config.Environment {
	return func(name string) (string, bool) {
		v := env.Getenv(name)
		return v, v != ""
	}
}

// unsetVariables lists what documents refer to and the environment lacks.
func unsetVariables(env Env, set *config.Set) []string {
	var missing []string
	for _, d := range set.All() {
		for _, name := range d.Environment {
			if env.Getenv(name) == "" && !slices.Contains(missing, name) {
				missing = append(missing, name)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// documentText is a set as one text, for the server. Every document begins with
// a separator, whatever its file looked like.
func documentText(set *config.Set) string {
	var b strings.Builder
	for _, d := range set.All() {
		b.WriteString("---\n")
		b.WriteString(strings.TrimRight(d.Text, "\n"))
		b.WriteString("\n")
	}
	return b.String()
}

// planned is the server's answer to a plan.
type planned struct {
	Version int64             `json:"version"`
	Changes config.Plan       `json:"changes"`
	Gate    *decide.Promotion `json:"gate"`
	Errors  []struct {
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		Message string `json:"message"`
	} `json:"errors"`
}

func (p *planned) count(op config.Op) int {
	n := 0
	for _, c := range p.Changes {
		if c.Op == op {
			n++
		}
	}
	return n
}

// planFor asks the server what a folder would change.
func planFor(ctx context.Context, r *remote, set *config.Set, prune bool) (*planned, error) {
	var p planned
	if err := r.call(ctx, "POST", "/v1/config/plan", map[string]any{"yaml": documentText(set), "prune": prune}, &p); err != nil {
		return nil, err
	}
	if len(p.Errors) > 0 {
		f := &remoteFaults{error: rapport.Errorf(rapport.Invalid, "the server finds %s", plural(int64(len(p.Errors)), "problem", "problems"))}
		for _, e := range p.Errors {
			f.faults = append(f.faults, rapport.Fault{Path: "documents", Line: e.Line, Column: e.Column, Message: e.Message})
		}
		return nil, f
	}
	return &p, nil
}

// signs stand before what a plan does.
var signs = map[config.Op]string{config.Created: "+", config.Changed: "~", config.Deleted: "-"}

// print shows what changes, each with the lines of text that do.
func (p *planned) print(w io.Writer) {
	if len(p.Changes) == 0 {
		fmt.Fprintf(w, "Nothing changes; the server is at version %d.\n", p.Version)
		return
	}
	for _, d := range p.Changes {
		fmt.Fprintf(w, "%s %s\n", signs[d.Op], d.Ref)
		if d.Op == config.Changed {
			for line := range strings.SplitSeq(strings.TrimRight(d.Diff, "\n"), "\n") {
				fmt.Fprintf(w, "    %s\n", line)
			}
		}
	}
	fmt.Fprintf(w, "%d to create, %d to change, %d to delete; the server is at version %d.\n",
		p.count(config.Created), p.count(config.Changed), p.count(config.Deleted), p.Version)
	if p.Gate != nil {
		fmt.Fprintf(w, "What it would have earned: %s.\n", p.Gate.Sentence)
		for _, what := range p.Gate.Beyond {
			fmt.Fprintf(w, "    not told by the log: %s\n", what)
		}
	}
}

// runPlan shows what applying a folder would change.
func runPlan(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var server remoteFlags
	server.flags(flags)
	prune := flags.Bool("prune", false, "delete documents of the server that are not in the folder")
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	p, _, _, err := prepare(ctx, env, &server, operands[0], *prune)
	if err == nil {
		p.print(env.Stdout)
	}
	return err
}

// prepare checks a folder and plans it.
func prepare(ctx context.Context, env Env, server *remoteFlags, dir string, prune bool) (*planned, *config.Set, *remote, error) {
	r, err := server.openAdmin(env)
	if err != nil {
		return nil, nil, nil, err
	}
	set, err := loadFolder(env, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := planFor(ctx, r, set, prune)
	return p, set, r, err
}

// runApply applies a folder, whole or not at all, to what the plan was made for.
func runApply(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var server remoteFlags
	server.flags(flags)
	prune := flags.Bool("prune", false, "delete documents of the server that are not in the folder")
	yes := flags.Bool("yes", false, "do not ask before something is deleted")
	note := flags.String("note", "", "why, for the history")
	override := flags.String("override", "", "publish it although it may earn less than what is in force, for this `reason`, which is kept")
	propose := flags.Bool("propose", false, "do not apply it, but propose it for somebody else to publish")
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	p, set, r, err := prepare(ctx, env, &server, operands[0], *prune)
	if err != nil {
		return err
	}
	p.print(env.Stdout)
	if len(p.Changes) == 0 {
		return nil
	}
	in := map[string]any{"yaml": documentText(set), "prune": *prune, "note": *note, "expectVersion": p.Version}
	if *override != "" {
		in["override"] = *override
	}
	if *propose {
		var proposed struct {
			ID int64 `json:"id"`
		}
		if err := r.call(ctx, "POST", "/v1/config/proposals", in, &proposed); err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "Proposed as number %d: somebody publishes it at %s/setup/config?view=review\n", proposed.ID, r.base)
		return nil
	}
	if n := p.count(config.Deleted); n > 0 && !*yes && !confirm(env, fmt.Sprintf("Delete %s?", plural(int64(n), "document", "documents"))) {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "nothing was applied: %s would be deleted", plural(int64(n), "document", "documents")), "add --yes if that is meant")
	}
	var done struct {
		Version int64 `json:"version"`
	}
	if err := r.call(ctx, "POST", "/v1/config/apply", in, &done); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "Applied as version %d.\n", done.Version)
	return nil
}

// runExport writes the documents of a server to a folder, one file per kind.
func runExport(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var server remoteFlags
	server.flags(flags)
	force := flags.Bool("force", false, "replace files that are there with another content")
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	r, err := server.openAdmin(env)
	if err != nil {
		return err
	}
	var out struct {
		Version int64             `json:"version"`
		Files   map[string]string `json:"files"`
	}
	if err := r.call(ctx, "GET", "/v1/config/export", nil, &out); err != nil {
		return err
	}
	dir := operands[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // a server cannot name files elsewhere
	if err != nil {
		return err
	}
	defer root.Close()
	var names []string
	for name := range out.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		old, err := root.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || *force:
		case err != nil:
			return err
		case string(old) != out.Files[name]:
			return rapport.WithHint(rapport.Errorf(rapport.Conflict, "%s is there and differs", filepath.Join(dir, name)), "export to an empty folder, or add --force")
		}
	}
	for _, name := range names {
		if err := root.WriteFile(name, []byte(out.Files[name]), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout, filepath.Join(dir, name))
	}
	fmt.Fprintf(env.Stdout, "%s of version %d\n", plural(int64(len(names)), "file", "files"), out.Version)
	return nil
}
