package evaluate_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/evaluate"
)

// evaluated runs a job and decodes what it would print.
func evaluated(t *testing.T, job string, into any, args ...string) error {
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
		report, err := work(context.Background(), func(format string, a ...any) { t.Logf(format, a...) })
		if err != nil {
			return err
		}
		data, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		return json.Unmarshal(data, into)
	}
	t.Fatalf("there is no job %s", job)
	return nil
}

// shared returns a file of the public data, or skips.
func shared(t *testing.T, path ...string) string {
	t.Helper()
	p := filepath.Join(append([]string{"..", "..", "shared", "data"}, path...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("the public data is not here: %v", err)
	}
	return p
}

type policyReport struct {
	Estimates map[string]struct{ Value, Low, High float64 }
	Logged    struct{ Value float64 }
	Warnings  []string
	Ess       float64 `json:"effectiveSampleSize"`
}

// The Bernoulli Thompson sampling policy of ZOZOTOWN, evaluated on the log of
// the uniform one. The truth is its click rate in the full data (Saito, Aihara,
// Matsutani and Narita 2020, table 1).
func TestTheOpenBanditPolicyIsFoundInTheRandomLog(t *testing.T) {
	t.Parallel()
	for campaign, truth := range map[string]float64{"men": 0.0067, "women": 0.0064} {
		candidate := frequencies(t, shared(t, "open-bandit-dataset", "bts", campaign, campaign+".csv"))
		var r policyReport
		err := evaluated(
			t, "policy", &r, "--log", shared(t, "open-bandit-dataset", "random", campaign, campaign+".csv"),
			"--action", "item_id", "--reward", "click", "--propensity", "propensity_score", "--position", "position",
			"--context", "user_feature_0,user_feature_1,user_feature_2,user_feature_3", "--candidate", candidate,
		)
		if err != nil {
			t.Fatal(err)
		}
		for method, e := range r.Estimates {
			if e.Low > truth || e.High < truth {
				t.Errorf("%s: %s says %.4f [%.4f, %.4f], the truth is %.4f", campaign, method, e.Value, e.Low, e.High, truth)
			}
		}
		t.Logf("%s: effective sample size %.0f, dr %.4f", campaign, r.Ess, r.Estimates["dr"].Value)
	}
}

// frequencies writes how often a policy chose what in each position.
func frequencies(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	counts, totals := map[[2]string]int{}, map[string]int{}
	for _, row := range rows[1:] { // index, timestamp, item_id, position, ...
		counts[[2]string{row[2], row[3]}]++
		totals[row[3]]++
	}
	var b strings.Builder
	b.WriteString("action,position,probability\n")
	for k, n := range counts {
		fmt.Fprintf(&b, "%s,%s,%v\n", k[0], k[1], float64(n)/float64(totals[k[1]]))
	}
	return write(t, b.String(), true)
}

func TestALogWithoutOverlapIsCalledSo(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a,r,p,x\n")
	for i := range 2000 {
		action, p := "common", 0.99
		if i%100 == 0 {
			action, p = "rare", 0.01
		}
		fmt.Fprintf(&b, "%s,%d,%v,%d\n", action, i%7/6, p, i%40)
	}
	file := write(t, b.String(), false)
	var r policyReport
	args := []string{"--log", file, "--action", "a", "--reward", "r", "--propensity", "p", "--context", "x"}
	only := write(t, "action,probability\nrare,1\n", false)
	if err := evaluated(t, "policy", &r, append(args, "--candidate", only)...); err != nil {
		t.Fatal(err)
	}
	if len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0], "low effective sample") {
		t.Errorf("warnings: %q", r.Warnings)
	}
	for method, e := range r.Estimates {
		if !(e.Low >= 0 && e.Low <= e.Value && e.Value <= e.High && e.High <= 1) {
			t.Errorf("%s: %+v", method, e)
		}
	}
	r = policyReport{}
	if err := evaluated(t, "policy", &r, append(args, "--candidate", "logged")...); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"ips", "snips", "dr", "switch"} {
		if e := r.Estimates[method]; e.Value < r.Logged.Value-1e-9 || e.Value > r.Logged.Value+1e-9 {
			t.Errorf("the logged policy: %s says %v, the log %v", method, e.Value, r.Logged.Value)
		}
	}
	for _, candidate := range []string{"uniform", "learned"} {
		if err := evaluated(t, "policy", &r, append(args, "--candidate", candidate)...); err != nil {
			t.Errorf("%s: %v", candidate, err)
		}
	}
}

func TestAnUnusablePolicyLogSaysWhy(t *testing.T) {
	t.Parallel()
	good := "action,reward,propensity,position\n" + strings.Repeat("a,0,0.5,1\nb,1,0.5,2\n", 20)
	for name, c := range map[string]struct{ log, candidate, want string }{
		"a propensity of 0":      {strings.Replace(good, "0.5", "0", 1), "uniform", "line 2, column propensity: 0 is not a chance"},
		"a reward in words":      {strings.Replace(good, "a,0", "a,yes", 1), "uniform", `"yes" is not a number`},
		"an empty action":        {strings.Replace(good, "a,0", ",0", 1), "uniform", "no action"},
		"too few":                {"action,reward,propensity,position\na,0,1,1\n", "uniform", "too few"},
		"no such candidate":      {good, "nobody", "cannot be read"},
		"probabilities off":      {good, "action,probability\na,0.3\nb,0.3\n", "add up to 0.6"},
		"a position without row": {good, "action,position,probability\na,1,1\n", "no row for position 2"},
	} {
		candidate := c.candidate
		if strings.Contains(candidate, "\n") {
			candidate = write(t, candidate, false)
		}
		var r policyReport
		err := evaluated(t, "policy", &r, "--log", write(t, c.log, false), "--position", "position", "--candidate", candidate)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
