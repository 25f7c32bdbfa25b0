package evaluate_test

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/evaluate"
)

// runJob runs a job and returns what it prints.
func runIdentity(t *testing.T, args ...string) (map[string]any, error) {
	t.Helper()
	for _, j := range evaluate.Jobs() {
		if j.Name != "identity" {
			continue
		}
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		work := j.Prepare(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		report, err := work(t.Context(), func(string, ...any) {})
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]any{}
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		return out, nil
	}
	t.Fatal("there is no such job")
	return nil, nil
}

func TestTheIdentityJobGroupsFebrlWithoutLabels(t *testing.T) {
	t.Parallel()
	in, err := os.ReadFile("../../shared/data/febrl/dataset1.csv")
	if err != nil {
		t.Skip("the Febrl files are not here: ", err)
	}
	lines := strings.Split(strings.TrimSpace(string(in)), "\n")
	for i, l := range lines { // the truth as a column of its own
		who := "person"
		if i > 0 {
			who = strings.Split(l, "-")[1]
		}
		lines[i] = strings.TrimSpace(l) + "," + who
	}
	out := filepath.Join(t.TempDir(), "out.csv")
	report, err := runIdentity(t, "--records", write(t, strings.Join(lines, "\n")+"\n", true), "--id", "rec_id", "--truth", "person", "--out", out,
		"--map", "given_name=given_name,surname=surname,birth_date=date_of_birth,address=address_1,postcode=postcode,city=suburb")
	if err != nil {
		t.Fatal(err)
	}
	if f1 := report["f1"].(float64); f1 < 0.997 || report["records"] != 1000.0 {
		t.Errorf("the report is %v", report)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1001 || rows[0][0] != "id" || rows[0][1] != "cluster" {
		t.Errorf("%d rows written, %v", len(rows), err)
	}
}

func TestTheIdentityJobKnowsColumnsByTheirNamesAndNeedsNoTruth(t *testing.T) {
	t.Parallel()
	text := "customer,First Name,Last_Name,E-Mail\n"
	for i := range 50 {
		text += fmt.Sprintf("%d,Given%d,Family%d,mail%d@shop%d.no\n", i, i%25, i%25, i%25, i%25)
	}
	report, err := runIdentity(t, "--records", write(t, text, false), "--id", "customer")
	if err != nil {
		t.Fatal(err)
	}
	if report["f1"] != nil || report["precision"] != nil || report["clusters"] != 25.0 || report["pairs"] != 25.0 || report["largestCluster"] != 2.0 {
		t.Errorf("the report is %v", report)
	}
}

func TestAnUnusableFileOfRecordsSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, mapping, want string
	}{
		"nothing":          {"", "", "no header"},
		"no records":       {"id,surname\n", "", "no records"},
		"nothing told":     {"id,surname\n1,\n2,\n", "", "fewer than two records"},
		"no id":            {"id,surname\n1,a\n,b\n", "", "line 3, column id: the record has no id"},
		"no column":        {"id,surname\n1,a\n", "surname=family", `no column "family"`},
		"no field":         {"id,surname\n1,a\n", "shoe=surname", `"shoe" is not a field`},
		"no pair":          {"id,surname\n1,a\n", "surname", "is not name=COLUMN"},
		"twice":            {"id,surname\n1,a\n", "surname=surname,surname=id", "given twice"},
		"no known columns": {"id,x,y\n1,a,b\n", "", "no column is known by its name"},
	} {
		_, err := runIdentity(t, "--records", write(t, c.text, false), "--id", "id", "--map", c.mapping)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := runIdentity(t, "--records", "nowhere.csv", "--id", "id"); err == nil {
		t.Error("a file that is not there is accepted")
	}
	if _, err := runIdentity(t); err == nil {
		t.Error("no file is accepted")
	}
}
