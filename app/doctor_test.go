package app_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/app"
)

func TestTheDoctorFindsAHealthyDeploymentHealthy(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	code, out, errs := run(t, map[string]string{"RAPPORT_TOKEN": houseToken}, "doctor", "--server", h.url)
	for _, want := range []string{"ok  alive", "ok  ready", "to be folded, over", "version 0."} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: %d\n%s%s", want, code, out, errs)
		}
	}
	if code, out, _ := run(t, nil, "doctor", "--data", h.dir); code != 1 || !strings.Contains(out, "is in use") || !strings.Contains(out, "--server URL") {
		t.Errorf("%d\n%s", code, out)
	}
	h.erase("userId:anna")
	h.stop()
	code, out, errs = run(t, nil, "doctor", "--data", h.dir)
	for _, want := range []string{"deployment key", "1 person, 1 wait", "every byte read", "version 1, 4 documents", "every file agrees"} {
		if code != 0 || !strings.Contains(out, want) || strings.Contains(out, "FAIL") {
			t.Errorf("%q: %d\n%s%s", want, code, out, errs)
		}
	}
	if code, out, _ := run(t, nil, "doctor", "--server", h.url); code != 1 || !strings.Contains(out, "does not answer") {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestTheDoctorSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	h.stop()
	for name, x := range map[string]struct {
		harm func(dir string)
		want []string
	}{
		"a damaged record": {func(dir string) {
			for _, f := range holding(t, dir, annaMail) {
				if path := filepath.Join(dir, f); strings.HasSuffix(f, ".seg") {
					data, _ := os.ReadFile(path)
					data[strings.Index(string(data), annaMail)] ^= 1
					_ = os.WriteFile(path, data, 0o600)
				}
			}
		}, []string{"FAIL", "events", ".seg"}},
		"no key":         {func(dir string) { _ = os.Remove(filepath.Join(dir, "deployment.key")) }, []string{"FAIL  deployment key", "restore it from a backup"}},
		"a damaged key":  {func(dir string) { _ = os.WriteFile(filepath.Join(dir, "deployment.key"), []byte("x"), 0o600) }, []string{"FAIL  deployment key", "damaged"}},
		"an open key":    {func(dir string) { _ = os.Chmod(filepath.Join(dir, "deployment.key"), 0o644) }, []string{"warn  deployment key", "chmod 600"}},
		"no log":         {func(dir string) { _ = os.RemoveAll(filepath.Join(dir, "log")) }, []string{"FAIL  log"}},
		"damaged state":  {func(dir string) { harm(t, filepath.Join(dir, "state", "*MANIFEST*")) }, []string{"FAIL  state"}},
		"damaged ledger": {func(dir string) { _ = os.WriteFile(filepath.Join(dir, "erasures.jsonl"), []byte("no\n"), 0o600) }, []string{"FAIL  erasures", "line 1"}},
		"half a restore": {func(dir string) { _ = os.MkdirAll(filepath.Join(dir, "restore.tmp"), 0o700) }, []string{"FAIL  data folder", "was cut off"}},
		"nothing":        {func(dir string) { _ = os.RemoveAll(dir) }, []string{"FAIL  data folder"}},
	} {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(h.dir)); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(filepath.Join(dir, "deployment.key"), 0o600)
		x.harm(dir)
		code, out, errs := run(t, nil, "doctor", "--data", dir)
		if failed := strings.Contains(out, "FAIL"); failed != (code == 1) {
			t.Errorf("%s: exit %d", name, code)
		}
		for _, want := range x.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s%s", name, want, out, errs)
			}
		}
	}
}

func TestTheDoctorNamesVariablesThatAreNotSet(t *testing.T) {
	t.Parallel()
	dir, folder := filepath.Join(t.TempDir(), "data"), t.TempDir()
	write(t, folder, "a.yaml", "kind: source\nid: till\nkey: ${TILL_KEY}\n")
	ctx, cancel := context.WithCancel(t.Context())
	env := app.Env{
		Args:   []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--config", folder, "--log-level", "error"},
		Getenv: func(name string) string { return map[string]string{"TILL_KEY": "wk_till_1234"}[name] },
		Stdout: &greeting{seen: cancel}, Stderr: io.Discard,
	}
	if code := app.Main(ctx, env); code != 0 {
		t.Fatalf("serve exits %d", code)
	}
	code, out, _ := run(t, nil, "doctor", "--data", dir)
	if code != 1 || !strings.Contains(out, "variables are not set: TILL_KEY") {
		t.Errorf("%d\n%s", code, out)
	}
}

// greeting calls seen when the program has told how to sign in.
type greeting struct {
	text strings.Builder
	seen func()
}

func (g *greeting) Write(b []byte) (int, error) {
	g.text.Write(b)
	if strings.Contains(g.text.String(), "Sign in with ") {
		g.seen()
	}
	return len(b), nil
}

func harm(t *testing.T, pattern string) {
	for _, name := range mustGlob(t, pattern) {
		if err := os.WriteFile(name, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServeTellsItsAddressAndTheTokenOnceAndStopsWell(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for _, want := range []string{"Sign in with rp_", "Sign in with the token shown at the first start"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &greeting{seen: cancel}
		code := app.Main(ctx, app.Env{
			Args:   []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--log-format", "json"},
			Getenv: func(string) string { return "" }, Stdout: out, Stderr: io.Discard,
		})
		if text := out.text.String(); code != 0 || !strings.Contains(text, "is ready at http://127.0.0.1:") || !strings.Contains(text, want) {
			t.Errorf("%d %s", code, text)
		}
	}
	for _, args := range [][]string{{"serve", "--log-format", "xml"}, {"serve", "extra"}, {"serve", "--retain-days", "-1"}, {"nonsense"}, {"bench", "x"}, {"demo", "--fresh", "--speed", "fast"}} {
		if code, _, errs := run(t, nil, args...); code != 2 {
			t.Errorf("%v exits %d: %s", args, code, errs)
		}
	}
	if code, _, errs := run(t, nil, "demo", "--fresh", "--data", dir); code != 1 || !strings.Contains(errs, "holds no demo") {
		t.Error(code, errs)
	}
}
