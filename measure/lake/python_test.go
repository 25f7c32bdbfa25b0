package lake_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestAPythonProgramReadsTheFiles(t *testing.T) {
	t.Parallel()
	python, err := filepath.Abs("../../test/python/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skip("there is no Python with pyarrow: run make deps-test")
	}
	w := newWorld(t, 2).open()
	revenue := 0.0
	for i := range 40 {
		w.append(w.event(i%5, i%2))
		revenue += float64(w.n) / 4
		if i%13 == 0 {
			w.must(w.lake.Sync(t.Context()))
		}
	}
	w.must(w.lake.Sync(t.Context()))
	w.stop()
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, "../../test/python/read_lake.py", w.opts.Dir)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var got struct {
		Rows, Found, Email, Nulls int
		Columns, Types, Days      []string
		Revenue                   float64
		First                     string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if got.Rows != 40 || got.Found != 40 || got.Revenue != revenue || got.Email != 8 || got.Nulls != 40 || got.First != "2026-03-01T12:00:00.001000+00:00" {
		t.Errorf("%s", out)
	}
	if !slices.Equal(got.Days, []string{"2026-03-01", "2026-03-02"}) {
		t.Errorf("days %v", got.Days)
	}
	if i := slices.Index(got.Columns, "time"); i < 0 || got.Types[i] != "timestamp[ms, tz=UTC]" {
		t.Errorf("columns %v of types %v", got.Columns, got.Types)
	}
}
