package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/learn/btyd"
	"github.com/rapport-engine/rapport/predict"
)

// What is imported, fitted and read back from a running server is what the
// command line finds in the same file.
func TestScoresOfImportedOrdersAreThoseOfTheEvaluation(t *testing.T) {
	if testing.Short() {
		t.Skip("fits four models three times each, twice")
	}
	t.Parallel()
	f, err := os.Open("../../shared/data/cdnow/CDNOW_sample.txt")
	if err != nil {
		t.Skip("the CDNOW sample is not here: docs/evaluate.md tells where it comes from")
	}
	defer f.Close()
	dir := t.TempDir()
	var all, past strings.Builder
	// The end of the calibration, 1997-09-30, is moved to today: a server's clock is its client's.
	now := time.Now().UTC()
	moved := now.Truncate(24 * time.Hour).Sub(time.Date(1997, 9, 30, 0, 0, 0, 0, time.UTC))
	today := now.Truncate(24 * time.Hour)
	all.WriteString("line,customer,date,value\n")
	past.WriteString("line,customer,date,value\n")
	type buyer struct{ days []btyd.DayOrders }
	buyers := map[string]*buyer{}
	n := 0
	for in := bufio.NewScanner(f); in.Scan(); n++ {
		w := strings.Fields(in.Text())
		at, err := time.Parse("20060102", w[2])
		if err != nil {
			t.Fatal(err)
		}
		at = at.Add(moved)
		row := fmt.Sprintf("%d,%s,%s 12:00,%s\n", n, w[0], at.Format("2006-01-02"), w[4])
		all.WriteString(row)
		if at.After(today) {
			continue
		}
		past.WriteString(row)
		if buyers[w[0]] == nil {
			buyers[w[0]] = &buyer{}
		}
		b, day := buyers[w[0]], int32(at.Unix()/86400)
		if k := len(b.days); k == 0 || b.days[k-1].Day != day {
			b.days = append(b.days, btyd.DayOrders{Day: day})
		}
	}
	h := &house{t: t, dir: filepath.Join(dir, "data"), clock: &manual{now: now}}
	h.start()
	h.apply("kind: source\nid: web\nkey: wk_web_1234\nunplanned: allow\n---\nkind: placement\nid: hero\nslots: 1\n" +
		"---\nkind: action\nid: come-back\ntype: offer\nplacements: [hero]\nwhen: scores.churn > 0.5 && scores.clv < 20\ncontent: {title: We miss you}\n")

	var page predict.ModelPage
	if code := h.call("POST", "/v1/models/purchases/fit", "", nil); code != http.StatusConflict {
		t.Errorf("a fit to nothing: %d", code)
	}
	if h.call("GET", "/v1/models/purchases", "", &page); page.Status != "not enough data" || page.Reason == "" {
		t.Errorf("health without data: %+v", page)
	}
	mapping := write(t, dir, "map.yaml", "event: Order Completed\nuserId: customer\ntimestamp: {column: date, layouts: [\"2006-01-02 15:04\"]}\nproperties:\n  line: line\n  revenue: {column: value, type: number}\n")
	file := write(t, dir, "past.csv", past.String())
	if code, out, errs := run(t, map[string]string{"RAPPORT_KEY": "wk_web_1234"}, "import", file, "--mapping", mapping, "--server", h.url); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	if code := h.call("POST", "/v1/models/purchases/fit", "", &page); code != http.StatusOK || page.Status != "good" || page.Model == nil {
		t.Fatalf("fit: %d %+v", code, page)
	}

	code, out, errs := run(t, nil, "evaluate", "clv", "--orders", write(t, dir, "all.csv", all.String()), "--customer", "customer", "--time", "date", "--value", "value",
		"--calibration-end", today.Format("2006-01-02"), "--holdout-end", today.AddDate(0, 0, 273).Format("2006-01-02"))
	if code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	var found struct {
		Chosen string
		Models []struct {
			Model  string
			Params map[string]float64
		}
		Spend struct{ P, Q, V float64 }
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	if found.Chosen != page.Model.Kind || len(found.Models) != len(page.Model.Fitted) {
		t.Errorf("%s of %d, the server has %s of %d", found.Chosen, len(found.Models), page.Model.Kind, len(page.Model.Fitted))
	}
	same := func(name string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) <= 1e-4*(1+math.Abs(want))) {
			t.Errorf("%s: the server says %v, the evaluation %v", name, got, want)
		}
	}
	for i, m := range found.Models {
		for p, x := range m.Params {
			same(m.Model+" "+p, page.Model.Fitted[i].Params[p], x)
		}
	}
	same("p", page.Model.Spend.P, found.Spend.P)
	same("q", page.Model.Spend.Q, found.Spend.Q)
	same("v", page.Model.Spend.V, found.Spend.V)

	model := page.Model.Model
	model.Kind, _ = btyd.ParseKind(page.Model.Kind)
	end := int32(today.Unix() / 86400)
	asked := 0
	for id, b := range buyers {
		if asked++; asked > 40 {
			break
		}
		var p struct {
			Scores struct {
				CLV   *predict.Interval
				Churn float64
			}
		}
		if code := h.call("GET", "/v1/people/userId:"+id, "", &p); code != http.StatusOK || p.Scores.CLV == nil {
			t.Fatalf("person %s: %d %+v", id, code, p)
		}
		history, _, _, _ := btyd.Until(b.days, end, 7)
		same("churn of "+id, p.Scores.Churn, 1-model.Alive(history))
		var explained struct {
			Explanations []predict.ScoreExplanation
		}
		h.call("GET", "/v1/people/userId:"+id+"/scores", "", &explained)
		if len(explained.Explanations) != 4 || explained.Explanations[0].Score != "clv" {
			t.Fatalf("explained: %+v", explained)
		}
		same("explained clv of "+id, explained.Explanations[0].Value, p.Scores.CLV.Value)

		var d struct {
			Holdout bool
			Items   []struct{ Action string }
		}
		h.call("POST", "/v1/decide", fmt.Sprintf(`{"person":{"userId":%q},"placement":"hero"}`, id), &d)
		// Not saying anything is always an option, so only the other direction is certain.
		if len(d.Items) > 0 && (p.Scores.Churn <= .5 || p.Scores.CLV.Value >= 20) {
			t.Errorf("%s was told to come back with scores %+v", id, p.Scores)
		}
	}
	h.valued()
	h.stop()
	h.start() // the model is a fact of the log
	if h.call("GET", "/v1/models/purchases", "", &page); page.Status != "good" || page.Made == nil {
		t.Errorf("after a restart: %+v", page)
	}
}

// valued checks the value of the active base against the list of people.
func (h *house) valued() {
	h.t.Helper()
	active, customers, sum := 0, 0, 0.0
	for after := ""; ; {
		var page struct {
			People []struct{ CLV, Churn *float64 }
			Next   string
		}
		h.call("GET", "/v1/people?limit=500&after="+after, "", &page)
		for _, p := range page.People {
			if p.CLV == nil || p.Churn == nil {
				continue
			}
			if customers++; *p.Churn < 0.5 {
				active, sum = active+1, sum+*p.CLV
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	var overview struct{ CLV *predict.ActiveBase }
	await(h.t, "the active base is valued", func() bool {
		h.call("GET", "/v1/overview", "", &overview)
		return overview.CLV != nil
	})
	b := overview.CLV
	if b.People != active || b.Customers != customers || math.Abs(b.Value-sum/float64(active)) > 0.01*b.Value || !(b.Low < b.Value && b.Value < b.High) {
		h.t.Errorf("%+v; the list has %d active of %d, worth %v", b, active, customers, sum/float64(active))
	}
}
