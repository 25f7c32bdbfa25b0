package evaluate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// turbofan rewrites NASA's columns apart by blanks as CSV.
func turbofan(t *testing.T, name string, header []string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "cmapss", name))
	if err != nil {
		t.Skip("the turbofan lives are not beside the repository (../shared/data/cmapss)")
	}
	var b strings.Builder
	b.WriteString(strings.Join(header, ",") + "\n")
	for line := range strings.Lines(string(data)) {
		b.WriteString(strings.Join(strings.Fields(line), ",") + "\n")
	}
	return write(t, b.String(), false)
}

func TestRemainingLifeOfTurbofansIsToldWithinTheirInterval(t *testing.T) {
	if testing.Short() {
		t.Skip("learns five forests")
	}
	t.Parallel()
	header := []string{"unit", "cycle", "setting1", "setting2", "setting3"}
	for i := range 21 {
		header = append(header, fmt.Sprintf("sensor%d", i+1))
	}
	runs, test := turbofan(t, "train_FD001.txt", header), turbofan(t, "test_FD001.txt", header)
	got, err := perform(t, "life", "--runs", runs, "--test", test, "--truth", turbofan(t, "RUL_FD001.txt", []string{"rul"}), "--clip", "125")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(got)
	if rmse := got["rmse"].(float64); rmse > 14.9 {
		t.Errorf("RMSE %.2f, want at most 14.9", rmse)
	}
	if c := got["coverage90"].(float64); c < 0.86 || c > 0.94 {
		t.Errorf("90 %% intervals cover %.2f", c)
	}
}

func TestLivesWithoutATestSetAreJudgedOnUnitsHeldBack(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("machine,hour,heat,noise\n")
	for u := range 40 {
		last := 60 + r.IntN(60)
		for c := range last + 1 {
			fmt.Fprintf(&b, "m%d,%d,%g,%g\n", u, c, 20*math.Exp(-float64(last-c)/40)+0.3*r.NormFloat64(), r.NormFloat64())
		}
	}
	got, err := perform(t, "life", "--runs", write(t, b.String(), true), "--unit", "machine", "--cycle", "hour")
	if err != nil {
		t.Fatal(err)
	}
	if got["rmse"].(float64) > got["naiveRmse"].(float64)/2 || got["judged"].(float64) != 40 {
		t.Errorf("%v", got)
	}
}

func TestLifeSaysWhyRunsCannotBeUsed(t *testing.T) {
	t.Parallel()
	few := write(t, "unit,cycle,x\n1,1,2\n", false)
	for want, args := range map[string][]string{
		"too few":          {"--runs", few},
		"go together":      {"--runs", few, "--test", few},
		"not negative":     {"--runs", few, "--clip", "-1"},
		"no sensor":        {"--runs", write(t, "unit,cycle\n1,1\n", false)},
		"is not a number":  {"--runs", write(t, "unit,cycle,x\n1,1,hot\n", false)},
		`no column "unit"`: {"--runs", write(t, "u,cycle,x\n1,1,1\n", false)},
	} {
		if _, err := perform(t, "life", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
