package evaluate_test

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// CDNOWOrders writes the CDNOW sample as CSV.
func cdnowOrders(t *testing.T) string {
	t.Helper()
	f, err := os.Open("../../shared/data/cdnow/CDNOW_sample.txt")
	if err != nil {
		t.Skip("the CDNOW sample is not here: docs/evaluate.md tells where it comes from")
	}
	defer f.Close()
	var b strings.Builder
	b.WriteString("customer,date,cds,value\n")
	for in := bufio.NewScanner(f); in.Scan(); {
		w := strings.Fields(in.Text())
		fmt.Fprintf(&b, "%s,%s-%s-%s,%s,%s\n", w[0], w[2][:4], w[2][4:6], w[2][6:], w[3], w[4])
	}
	return write(t, b.String(), true)
}

func number(t *testing.T, at map[string]any, path ...string) float64 {
	t.Helper()
	for _, p := range path[:len(path)-1] {
		at, _ = at[p].(map[string]any)
	}
	x, ok := at[path[len(path)-1]].(float64)
	if !ok {
		return math.NaN()
	}
	return x
}

func within(t *testing.T, name string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

func TestCDNOWIsForetoldAsPublished(t *testing.T) {
	if testing.Short() {
		t.Skip("fits four models three times each")
	}
	t.Parallel()
	page := filepath.Join(t.TempDir(), "clv.html")
	got, err := perform(t, "clv", "--orders", cdnowOrders(t), "--customer", "customer", "--time", "date", "--value", "value",
		"--calibration-end", "1997-09-30", "--holdout-end", "1998-06-30", "--report", page)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]float64{
		"bg-nbd":     {"r": .2426, "alpha": 4.4136, "a": .7929, "b": 2.4259},
		"pareto-nbd": {"r": .5533, "alpha": 10.578, "s": .6062, "beta": 11.669},
		"mbg-nbd":    {"r": .525, "alpha": 6.183, "a": .891, "b": 1.614},
		"mbg-cnbd-k": {"r": .525, "alpha": 6.183, "a": .891, "b": 1.614, "k": 1},
	}
	models := got["models"].([]any)
	if len(models) != len(want) {
		t.Errorf("%d models", len(models))
	}
	for _, entry := range models {
		m := entry.(map[string]any)
		name := m["model"].(string)
		for p, x := range want[name] {
			within(t, name+" "+p, number(t, m, "params", p), x, .003*x)
		}
		within(t, name+" actual", number(t, m, "holdout", "actual"), 1882, 0)
		if name == got["chosen"] {
			within(t, "total error of the chosen", number(t, m, "holdout", "totalError"), 0, .125)
			if mae := number(t, m, "holdout", "mae"); !(mae <= .79) {
				t.Errorf("MAE %v", mae)
			}
		}
	}
	within(t, "naive MAE", number(t, got, "naive", "mae"), 1.02, .01)
	within(t, "spend p", number(t, got, "spend", "p"), 6.25, .01)
	within(t, "spend q", number(t, got, "spend", "q"), 3.74, .01)
	within(t, "spend v", number(t, got, "spend", "v"), 15.44, .02)
	within(t, "spend LL", number(t, got, "spend", "logLikelihood"), -4055.92, .02)
	within(t, "coverage", number(t, got, "intervalCoverage80"), .8, .05)
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "<svg") || strings.Contains(string(html), "<script") {
		t.Errorf("report: %v", err)
	}
}

// orders draws customers of a steady world, to be written in many ways.
func orders(rng *rand.Rand, customers int, row func(customer, day int, value float64)) {
	for c := range customers {
		rate, stay := 0.02+0.1*rng.Float64()*rng.Float64(), 0.7+0.3*rng.Float64()
		for day := rng.IntN(60); day < 400; day += 1 + int(rng.ExpFloat64()/rate) {
			row(c, day, 5+20*rng.Float64()*float64(1+c%3))
			if rng.Float64() > stay {
				break
			}
		}
	}
}

func TestOddTablesOfOrdersAreUnderstood(t *testing.T) {
	t.Parallel()
	day := func(format string, n int) string {
		// day 0 is 2024-01-01
		y, m, d := civil(n)
		return strings.NewReplacer("YYYY", fmt.Sprintf("%04d", y), "MM", fmt.Sprintf("%02d", m), "DD", fmt.Sprintf("%02d", d)).Replace(format)
	}
	var first float64
	for i, c := range []struct{ name, format, value string }{
		{"iso", "YYYY-MM-DD", "%.2f"},
		{"instant", "YYYY-MM-DDT23:59:59+02:00", "$%.2f"},
		{"compact", "YYYYMMDD", "%g"},
		{"american", "MM/DD/YYYY 8:26", "%.2f"},
		{"british", "DD/MM/YYYY", "£%.2f"},
	} {
		var b strings.Builder
		b.WriteString("\ufeffnote;with odd name, client ,when,\"amount, gross\"\n")
		orders(rand.New(rand.NewPCG(1, 1)), 90, func(customer, n int, value float64) {
			fmt.Fprintf(&b, "x,id %d,%s,\""+c.value+"\"\n", customer, day(c.format, n), value)
			fmt.Fprintf(&b, "same day,id %d,%s,0\n", customer, day(c.format, n))
			if n%7 == 0 {
				fmt.Fprintf(&b, "returned,id %d,%s,-3\nnobody,,%s,9\n", customer, day(c.format, n+1), day(c.format, n))
			}
		})
		got, err := perform(t, "clv", "--orders", write(t, strings.Replace(b.String(), "note;with odd name", "note", 1), i%2 == 0),
			"--customer", "client", "--time", "when", "--value", "amount, gross", "--calibration-end", "2024-08-31", "--holdout-end", "2024-12-31", "--model", "mbg-nbd")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got["chosen"] != "mbg-nbd" || len(got["models"].([]any)) != 4 {
			t.Errorf("%s: %v of %d", c.name, got["chosen"], len(got["models"].([]any)))
		}
		actual := number(t, got, "naive", "actual")
		if first == 0 {
			first = actual
		}
		if !(actual > 30) || actual != first {
			t.Errorf("%s: %v purchases in the holdout, %v as ISO dates", c.name, actual, first)
		}
	}
}

// civil turns days since 2024-01-01 into a date of 2024 or 2025.
func civil(n int) (y, m, d int) {
	y = 2024
	months := []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for {
		for m, length := range months {
			if n < length {
				return y, m + 1, n + 1
			}
			n -= length
		}
		y, months[1] = y+1, 28
	}
}

func TestConstantSpendIsReportedNotFitted(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("c,d,v\n")
	orders(rand.New(rand.NewPCG(2, 2)), 90, func(customer, n int, _ float64) {
		y, m, d := civil(n)
		fmt.Fprintf(&b, "%d,%d-%02d-%02d,9.99\n", customer, y, m, d)
	})
	got, err := perform(t, "clv", "--orders", write(t, b.String(), false), "--customer", "c", "--time", "d", "--value", "v", "--calibration-end", "2024-08-31", "--holdout-end", "2024-12-31")
	if err != nil {
		t.Fatal(err)
	}
	s := got["spend"].(map[string]any)
	if s["p"] != nil || s["logLikelihood"] != nil {
		t.Errorf("a constant was fitted: %v", s)
	}
	within(t, "constant", number(t, s, "constant"), 9.99, 1e-9)
}

func TestUnusableOrdersSayWhy(t *testing.T) {
	t.Parallel()
	const good = "c,d,v\n1,2024-01-01,5\n1,2024-02-01,5\n"
	for _, c := range []struct{ name, text, want string }{
		{"bad date", "c,d,v\n1,2024-01-01,5\n1,yesterday,5\n", `line 3, column d: "yesterday" is not a date`},
		{"bad amount", "c,d,v\n1,2024-01-01,many\n", `line 2, column v: "many" is not an amount`},
		{"no orders", "c,d,v\n", "no orders"},
		{"all later", "c,d,v\n1,2024-11-01,5\n", "nobody bought by 2024-08-31"},
		{"one customer", good, "no model can be fitted"},
	} {
		_, err := perform(t, "clv", "--orders", write(t, c.text, false), "--customer", "c", "--time", "d", "--value", "v", "--calibration-end", "2024-08-31", "--holdout-end", "2024-12-31")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := perform(t, "clv", "--orders", write(t, good, false), "--customer", "c", "--time", "d", "--value", "v", "--calibration-end", "2024-08-31", "--holdout-end", "2024-08-01"); err == nil || !strings.Contains(err.Error(), "not after") {
		t.Errorf("holdout before calibration: %v", err)
	}
}
