package evaluate_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

type upliftReport struct {
	Learners map[string]struct {
		Qini       struct{ Value, Low, High float64 }
		UpliftAt30 float64
	}
	Effect   struct{ Value, Low, High float64 }
	Verdict  string
	Warnings []string
}

// Hillstrom's e-mail experiment: the women's mail works by what people bought
// before, the men's mail works alike for all.
func TestHillstromsMailsAreToldApart(t *testing.T) {
	t.Parallel()
	file := shared(t, "hillstrom", "hillstrom.csv")
	args := func(mail string) []string {
		return []string{
			"--data", file, "--treatment", "segment", "--control", "No E-Mail", "--treated", mail,
			"--outcome", "visit", "--exclude", "conversion,spend",
		}
	}
	var women, men upliftReport
	if err := evaluated(t, "uplift", &women, args("Womens E-Mail")...); err != nil {
		t.Fatal(err)
	}
	if q := women.Learners["t"].Qini; q.Value < 0.07 || q.Low <= women.Learners["response"].Qini.Value-0.02 {
		t.Errorf("women's mail: the T-learner's Qini is %+v", q)
	}
	if !strings.HasPrefix(women.Verdict, "treat by") {
		t.Errorf("women's mail: %s", women.Verdict)
	}
	if err := evaluated(t, "uplift", &men, args("Mens E-Mail")...); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(men.Verdict, "no heterogeneity beyond noise") {
		t.Errorf("men's mail: %s", men.Verdict)
	}
	for name, r := range map[string]upliftReport{"women": women, "men": men} {
		t.Logf("%s: effect %.4f, %s", name, r.Effect.Value, r.Verdict)
		for l, x := range r.Learners {
			t.Logf("  %s: Qini %.4f [%.4f, %.4f]", l, x.Qini.Value, x.Qini.Low, x.Qini.High)
		}
	}
}

func TestATreatmentThatWasNotRandomIsCalledSo(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString("treatment,outcome,loyal\n")
	for range 4000 {
		loyal := r.IntN(2)
		treated := 0
		if r.Float64() < 0.2+0.6*float64(loyal) {
			treated = 1
		}
		fmt.Fprintf(&b, "%d,%d,%d\n", treated, r.IntN(2), loyal)
	}
	var report upliftReport
	if err := evaluated(t, "uplift", &report, "--data", write(t, b.String(), true)); err != nil {
		t.Fatal(err)
	}
	if len(report.Warnings) == 0 || !strings.Contains(report.Warnings[0], "not given at random") {
		t.Errorf("warnings: %q", report.Warnings)
	}
}

func TestAnUnusableExperimentSaysWhy(t *testing.T) {
	t.Parallel()
	good := "treatment,outcome,x\n" + strings.Repeat("0,1,a\n1,0,b\n", 200)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an arm is missing":     {[]string{"--treated", "mail"}, `0 rows have treatment = "mail"`},
		"no such column":        {[]string{"--outcome", "sales"}, `no column "sales"`},
		"nothing to exclude":    {[]string{"--exclude", "y"}, `no column "y" to exclude`},
		"nothing tells apart":   {[]string{"--exclude", "x"}, "no column is left"},
		"an arm against itself": {[]string{"--treated", "0"}, "are both"},
		"words for numbers":     {[]string{"--outcome", "x"}, `"a" is not a number`},
	} {
		var r upliftReport
		err := evaluated(t, "uplift", &r, append([]string{"--data", write(t, good, false)}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
