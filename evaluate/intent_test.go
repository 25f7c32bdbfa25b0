package evaluate_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shoppers = "../../shared/data/online-shoppers/online_shoppers_intention.csv"

// Sakar et al., "Real-time prediction of online shoppers' purchasing intention"
// (2019). PageValues is nearly the outcome itself, so both figures count.
func TestIntentIsToldFromRealSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("grows thirty forests")
	}
	t.Parallel()
	if _, err := os.Stat(shoppers); err != nil {
		t.Skip("online_shoppers_intention.csv is not here: docs/evaluate.md tells where it comes from")
	}
	for _, c := range []struct {
		exclude string
		auc     float64
	}{{"", .925}, {"PageValues", .77}} {
		got, err := perform(t, "intent", "--sessions", shoppers, "--outcome", "Revenue", "--exclude", c.exclude)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("without %q: AUC %v, average precision %v, Brier %v, calibration error %v", c.exclude, got["auc"], got["averagePrecision"], got["brier"], got["calibrationError"])
		if auc := number(t, got, "auc"); !(auc >= c.auc) {
			t.Errorf("without %q: AUC %v, want %v", c.exclude, auc, c.auc)
		}
		if e := number(t, got, "calibrationError"); !(e < .02) {
			t.Errorf("calibration error %v", e)
		}
		if leaks := fmt.Sprint(got["warnings"]); strings.Contains(leaks, "PageValues") != (c.exclude == "") {
			t.Errorf("warnings %v", leaks)
		}
	}
}

func TestOddSessionsAreUnderstood(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString("id,page,seconds,empty,bought\n")
	for i := range 600 {
		page := []string{"home", "product", "basket", ""}[rng.IntN(4)]
		seconds, chance := fmt.Sprint(rng.IntN(300)), .05
		if page == "basket" {
			chance = .7
		}
		if rng.IntN(5) == 0 {
			seconds = "NA"
		}
		fmt.Fprintf(&b, "s-%d,%s,%s,,%t\n", i, page, seconds, rng.Float64() < chance)
	}
	page := filepath.Join(t.TempDir(), "intent.html")
	got, err := perform(t, "intent", "--sessions", write(t, b.String(), true), "--outcome", "bought", "--report", page)
	if err != nil {
		t.Fatal(err)
	}
	if auc := number(t, got, "auc"); !(auc > .8) {
		t.Errorf("AUC %v", auc)
	}
	if w := fmt.Sprint(got["warnings"]); !strings.Contains(w, "id is left out") {
		t.Errorf("warnings %s", w)
	}
	if first := got["columns"].([]any)[0].(map[string]any); first["name"] != "page" {
		t.Errorf("the first column is %v", first)
	}
	n := 0.0
	for _, bin := range got["calibration"].([]any) {
		n += bin.(map[string]any)["count"].(float64)
	}
	within(t, "sessions in bins", n, 600, 0)
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "<svg") {
		t.Errorf("report: %v", err)
	}
}

func TestUnusableSessionsSayWhy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, exclude, want string }{
		{"x,y\n1,a\n2,b\n3,c\n", "", "an outcome has two values"},
		{"x,y\n1,0\n2,1\n", "", "at least 10 with"},
		{"x,y\n1,0\n2,\n", "", "line 3, column y: the outcome is missing"},
		{"x,y\n1,0\n2,1\n", "z", `no column "z" to exclude`},
		{"x,y\n1,0\n2,1\n", "x", "no column to tell"},
	} {
		_, err := perform(t, "intent", "--sessions", write(t, c.text, false), "--outcome", "y", "--exclude", c.exclude)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
