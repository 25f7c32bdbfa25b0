package evaluate_test

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/evaluate"
)

// perform runs a job as the command line would and returns its JSON.
func perform(t *testing.T, job string, args ...string) (map[string]any, error) {
	t.Helper()
	for _, j := range evaluate.Jobs() {
		if j.Name != job {
			continue
		}
		fs := flag.NewFlagSet(job, flag.ContinueOnError)
		work := j.Prepare(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		result, err := work(t.Context(), func(string, ...any) {})
		if err != nil {
			return nil, err
		}
		data, err := json.Marshal(result)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]any{}
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatal(err)
		}
		return out, nil
	}
	t.Fatalf("there is no job %s", job)
	return nil, nil
}

func TestAnomalyScoresEveryRowAndFindsThePlantedOne(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("at,reading\n")
	for i := range 2000 {
		x := math.Sin(float64(i) / 20)
		if i == 1500 {
			x = 9
		}
		fmt.Fprintf(&b, "%d,%g\n", 1_700_000_000+60*i, x)
	}
	out := filepath.Join(t.TempDir(), "scores.csv")
	page := filepath.Join(t.TempDir(), "page.html")
	got, err := perform(t, "anomaly", "--series", write(t, b.String(), true), "--time", "at", "--value", "reading", "--out", out, "--report", page)
	if err != nil {
		t.Fatal(err)
	}
	if got["highestAt"] != strconv.Itoa(1_700_000_000+60*1500) || got["nanosPerPoint"].(float64) <= 0 {
		t.Errorf("got %v", got)
	}
	if html, err := os.ReadFile(page); err != nil || strings.Count(string(html), "<svg") != 2 || !strings.Contains(string(html), "<circle") || !strings.Contains(string(html), "The strangest readings") {
		t.Errorf("report: %v %.300s", err, html)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 2001 || strings.Join(rows[0], ",") != "timestamp,score" {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		if s, err := strconv.ParseFloat(row[1], 64); err != nil || s < 0 || s > 1 {
			t.Fatalf("row %v", row)
		}
	}
}

func TestAnomalySaysWhyASeriesCannotBeUsed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"timestamp,value\n":                  "no rows",
		"timestamp,value\nsoon,1\n":          `line 2, column timestamp: "soon" is not a time`,
		"timestamp,value\n2024-01-01,high\n": `line 2, column value: "high" is not a number`,
		"t,value\n":                          `no column "timestamp"`,
	} {
		if _, err := perform(t, "anomaly", "--series", write(t, text, false)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
