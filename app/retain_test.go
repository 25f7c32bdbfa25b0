package app_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// figure returns a gauge of /metrics.
func (h *house) figure(name string) (value float64) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), "GET", h.url+"/metrics", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+houseToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, name+" %g", &value); err == nil {
			return value
		}
	}
	h.t.Fatalf("there is no figure %s", name)
	return 0
}

// trims waits until a part of the log has gone.
func (h *house) trims() {
	h.t.Helper()
	await(h.t, "a part of the log has gone", func() bool { return h.figure("rapport_eventlog_trimmed_records") > 0 })
}

func TestATrimmedDeploymentLosesNothingThroughRestartBackupAndRestore(t *testing.T) {
	t.Parallel()
	h := &house{t: t, dir: filepath.Join(t.TempDir(), "data"), clock: &manual{now: noon}, retain: 30, logDays: 2}
	h.start()
	h.apply("kind: source\nid: web\nkey: wk_web_1234\nunplanned: allow\n")
	for i := range 60 {
		h.send(fmt.Sprintf(`{"type":"track","userId":"u%d","messageId":"o%d","event":"Order Completed","properties":{"revenue":%d,"note":%q}}`, i%7, i, i, strings.Repeat("so much to say ", 100)))
	}
	look := func() map[string]any {
		t.Helper()
		told := map[string]any{}
		for _, of := range []string{"people/userId:u0", "people/userId:u5"} {
			var got map[string]any
			if code := h.call("GET", "/v1/"+of, "", &got); code != http.StatusOK {
				t.Fatal(of, code)
			}
			delete(got, "version")
			told[of] = got
		}
		var sql struct{ Rows [][]any }
		if code := h.call("POST", "/v1/sql", `{"sql":"SELECT count(*), sum((properties->>'revenue')::DOUBLE) FROM events WHERE event = 'Order Completed'"}`, &sql); code != http.StatusOK {
			t.Fatal("sql", code)
		}
		told["history"] = fmt.Sprint(sql.Rows)
		return told
	}
	before := look()
	if want := "[[60 1770]]"; before["history"] != want {
		t.Fatalf("history is %v, want %s", before["history"], want)
	}
	if n := h.figure("rapport_eventlog_trimmed_records"); n != 0 {
		t.Errorf("%v records went before their time", n)
	}
	h.clock.move(72 * time.Hour)
	h.send(`{"type":"track","event":"Waited","userId":"waiter","messageId":"wait"}`)
	h.trims()
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Error(diff)
	}
	h.stop()
	h.start() // nobody misses what went
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Error("after a restart:", diff)
	}
	if _, out, _ := run(t, map[string]string{"RAPPORT_TOKEN": houseToken}, "doctor", "--server", h.url); !strings.Contains(out, "kept for 2 days") || !strings.Contains(out, "older records trimmed") {
		t.Error(out)
	}
	path := filepath.Join(t.TempDir(), "b.tar")
	h.backup(path)
	h.send(`{"type":"track","userId":"u0","messageId":"later","event":"Order Completed","properties":{"revenue":1000}}`)
	look()
	h.stop()

	old := h.dir
	h.dir = filepath.Join(t.TempDir(), "elsewhere")
	if code, _, errs := run(t, nil, "restore", path, "--data", h.dir); code != 0 {
		t.Fatal(errs)
	}
	if _, out, _ := run(t, nil, "doctor", "--data", h.dir); !strings.Contains(out, "holds what was trimmed") {
		t.Error(out)
	}
	h.start()
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Error("elsewhere:", diff)
	}
	h.stop()

	// Back over the old folder: its lake knows what the log does not any more.
	h.dir = old
	if code, _, errs := run(t, nil, "restore", path, "--data", h.dir, "--force"); code != 0 {
		t.Fatal(errs)
	}
	h.start()
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Error("over the old one:", diff)
	}
	h.stop()

	for what, command := range map[string][]string{
		"replay": {"replay", "--data", h.dir},
		"refold": {"serve", "--data", h.dir, "--refold", "--listen", "127.0.0.1:0", "--mqtt", "off"},
	} {
		if code, _, errs := run(t, nil, command...); code == 0 || !strings.Contains(errs, "trimmed") {
			t.Errorf("%s: %d %s", what, code, errs)
		}
	}
	if err := os.RemoveAll(filepath.Join(h.dir, "lake")); err != nil {
		t.Fatal(err)
	}
	code, out, _ := run(t, nil, "doctor", "--data", h.dir)
	if code != 0 || !strings.Contains(out, "the log begins later than the history") {
		t.Error(code, out)
	}
	if code, _, errs := run(t, nil, "serve", "--data", h.dir, "--listen", "127.0.0.1:0", "--mqtt", "off"); code == 0 || !strings.Contains(errs, "--partial-history") {
		t.Errorf("without its lake: %d %s", code, errs)
	}
}

func TestALogIsTrimmedOnlyIntoALake(t *testing.T) {
	t.Parallel()
	code, _, errs := run(t, nil, "serve", "--data", t.TempDir(), "--log-days", "3", "--lake", "off", "--listen", "127.0.0.1:0", "--mqtt", "off")
	if code == 0 || !strings.Contains(errs, "need the lake") {
		t.Error(code, errs)
	}
}
