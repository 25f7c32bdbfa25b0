package app_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/learn/gbdt"
	"github.com/rapport-engine/rapport/learn/metric"
	"github.com/rapport-engine/rapport/learn/propensity"
	"github.com/rapport-engine/rapport/predict"
)

// shopperSession is a row of the UCI Online Shoppers data as events: the pages of
// each kind in some order, each held for its share of the time. What the
// outcome puts into the row itself (PageValues) is left out.
type shopperSession struct {
	pages  []shopperPage
	bought bool
	device string
	medium string
	system string
}

type shopperPage struct {
	category string
	hold     time.Duration
}

// readShoppers reads every step-th session.
func readShoppers(t *testing.T, step int) (list []shopperSession) {
	t.Helper()
	f, err := os.Open("../../shared/data/online-shoppers/online_shoppers_intention.csv")
	if err != nil {
		t.Skip("online_shoppers_intention.csv is not here: docs/evaluate.md tells where it comes from")
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := 1; i < len(rows); i += step {
		row := rows[i]
		s := shopperSession{bought: row[17] == "YES", device: "browser " + row[12], medium: "traffic " + row[14], system: "os " + row[11]}
		for k, category := range []string{"administrative", "informational", "product"} {
			n, err1 := strconv.Atoi(row[2*k])
			seconds, err2 := strconv.ParseFloat(row[2*k+1], 64)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			for range min(n, 40) {
				hold := min(time.Duration(seconds/float64(n)*float64(time.Second)), 25*time.Minute)
				s.pages = append(s.pages, shopperPage{category, hold.Truncate(time.Millisecond)})
			}
		}
		rng.Shuffle(len(s.pages), func(i, j int) { s.pages[i], s.pages[j] = s.pages[j], s.pages[i] })
		if len(s.pages) > 0 {
			list = append(list, s)
		}
	}
	return list
}

// events writes a session of a person that ends at a time.
func (s *shopperSession) events(user string, end time.Time, outcome bool) (out []string) {
	at := end
	for _, p := range s.pages {
		at = at.Add(-p.hold)
	}
	stamp := func() string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
	for i, p := range s.pages {
		out = append(out, fmt.Sprintf(`{"type":"page","userId":%q,"messageId":"%s-%d","name":"page","timestamp":%q,"properties":{"category":%q},"context":{"device":{"type":%q},"os":{"name":%q},"campaign":{"medium":%q}}}`,
			user, user, i, stamp(), p.category, s.device, s.system, s.medium))
		at = at.Add(p.hold)
	}
	if outcome && s.bought {
		out = append(out, fmt.Sprintf(`{"type":"track","event":"Order Completed","userId":%q,"messageId":"%s-order","timestamp":%q,"properties":{"revenue":20}}`, user, user, stamp()))
	}
	return out
}

// Real sessions become events of a running server. What it learns from them, and
// says of sessions that run now, is what the command line finds in the same sessions.
func TestIntentOfRealSessionsIsWhatTheEvaluationSays(t *testing.T) {
	if testing.Short() {
		t.Skip("grows twenty forests")
	}
	t.Parallel()
	sessions := readShoppers(t, 4)
	dir := t.TempDir()
	h := &house{t: t, dir: filepath.Join(dir, "data"), clock: &manual{now: time.Now().UTC().Truncate(time.Second)}}
	h.start()
	h.apply("kind: source\nid: web\nkey: wk_web_1234\nunplanned: allow\n---\nkind: placement\nid: hero\nslots: 1\n")
	var page predict.ModelPage
	if code := h.call("POST", "/v1/models/intent/fit", "", nil); code != http.StatusConflict {
		t.Errorf("a fit to nothing: %d", code)
	}
	if h.call("GET", "/v1/models/intent", "", &page); page.Status != "not enough data" || page.Reason == "" {
		t.Errorf("health without data: %+v", page)
	}
	// One in eight is kept for later: those sessions run now.
	var batch []string
	var running []shopperSession
	learnt, bought := 0, 0
	say := func(events []string) {
		if batch = append(batch, events...); len(batch) > 400 || events == nil && len(batch) > 0 {
			h.send(batch...)
			batch = nil
		}
	}
	for i, s := range sessions {
		if i%8 == 0 {
			running = append(running, s)
			continue
		}
		learnt++
		if s.bought {
			bought++
		}
		say(s.events(fmt.Sprintf("past-%d", i), h.clock.Now().Add(-time.Duration(i+100)*time.Hour), true))
	}
	say(nil)
	if code := h.call("POST", "/v1/models/intent/fit", "", &page); code != http.StatusOK || page.Status != "good" || page.Intent == nil || page.Made == nil {
		t.Fatalf("fit: %d %+v", code, page)
	}
	if page.Intent.Sessions != learnt || page.Intent.Purchases != bought {
		t.Errorf("the server learnt from %d sessions with %d purchases; it was told %d and %d", page.Intent.Sessions, page.Intent.Purchases, learnt, bought)
	}

	table := h.text("/v1/models/intent/sessions")
	code, out, errs := run(t, nil, "evaluate", "intent", "--sessions", write(t, dir, "sessions.csv", table), "--outcome", "purchase")
	if code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	var found struct {
		Sessions, Positives          int
		AUC, AveragePrecision, Brier float64
		CalibrationError             float64
		Calibration                  []predict.Point
		Columns                      []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sessions, %d purchases; server and evaluation: AUC %.4f and %.4f, Brier %.5f and %.5f, calibration error %.4f and %.4f",
		learnt, bought, page.Intent.AUC, found.AUC, page.Intent.Brier, found.Brier, page.Intent.CalibrationError, found.CalibrationError)
	for name, pair := range map[string][2]float64{
		"AUC": {page.Intent.AUC, found.AUC}, "average precision": {page.Intent.AveragePrecision, found.AveragePrecision},
		"Brier": {page.Intent.Brier, found.Brier}, "calibration error": {page.Intent.CalibrationError, found.CalibrationError},
		"sessions": {float64(page.Intent.Sessions), float64(found.Sessions)}, "purchases": {float64(page.Intent.Purchases), float64(found.Positives)},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-9 {
			t.Errorf("%s: the server says %v, the evaluation %v", name, pair[0], pair[1])
		}
	}
	if found.AUC < .6 || page.Intent.CalibrationError > .03 || len(page.Intent.Calibration) != 10 || len(page.Intent.Inputs) == 0 {
		t.Errorf("the model: %+v", page.Intent)
	}

	// The sessions that run now: the same chance as the table gives.
	model, columns, levels := fitTable(t, table)
	h.apply("kind: segment\nid: eager\nwhen: scores.intent > 0.15\n---\nkind: action\nid: help\ntype: offer\nplacements: [hero]\ncontent: {title: May we help}\n" +
		"---\nkind: policy\nid: default\nholdout: 0\ngate: {when: scores.intent > 0.15, scope: all}\n")
	for i, s := range running {
		say(s.events(fmt.Sprintf("now-%d", i), h.clock.Now().Add(-time.Minute), false))
	}
	say(nil)
	var score, outcome []float64
	eager := map[string]bool{}
	for i, s := range running {
		user := fmt.Sprintf("now-%d", i)
		var p struct {
			Scores       predict.Scores
			Explanations []predict.ScoreExplanation
		}
		h.call("GET", "/v1/people/userId:"+user+"/scores", "", &p)
		if p.Scores.Intent == nil {
			t.Fatalf("%s has no intent: %+v", user, p)
		}
		y := 0.0
		if s.bought {
			y = 1
		}
		score, outcome = append(score, *p.Scores.Intent), append(outcome, y)
		at := slices.IndexFunc(p.Explanations, func(e predict.ScoreExplanation) bool { return e.Score == "intent" })
		if at < 0 {
			t.Fatalf("%s: no explanation", user)
		}
		e := p.Explanations[at]
		sum := 0.0
		for _, c := range e.Contributions {
			sum += c.Effect
		}
		if want := model.Chance(rowOf(e.Inputs, columns, levels)); math.Abs(want-*p.Scores.Intent) > 1e-5 || math.Abs(sum-want) > 1e-5 {
			t.Errorf("%s: the server says %v, its parts add up to %v, the table says %v", user, *p.Scores.Intent, sum, want)
		}
		if e.Inputs["events"] != float64(len(s.pages)) {
			t.Errorf("%s: %v events of %d", user, e.Inputs["events"], len(s.pages))
		}
		eager[user] = *p.Scores.Intent > .15
		if i < 40 {
			var d struct {
				Items []struct{ Action string }
			}
			h.call("POST", "/v1/decide", fmt.Sprintf(`{"person":{"userId":%q},"placement":"hero"}`, user), &d)
			if len(d.Items) > 0 && !eager[user] {
				t.Errorf("%s was spoken to with an intent of %v", user, *p.Scores.Intent)
			}
			var why struct{ Action struct{ Rule string } }
			h.call("POST", "/v1/explain", fmt.Sprintf(`{"person":{"userId":%q},"placement":"hero","action":"help"}`, user), &why)
			if (why.Action.Rule == "gate") == eager[user] {
				t.Errorf("%s with an intent of %v: %+v", user, *p.Scores.Intent, why)
			}
		}
	}
	auc := metric.AUC(score, outcome)
	t.Logf("of %d sessions that run, by the server's scores: AUC %.3f", len(running), auc)
	if auc < .6 {
		t.Errorf("AUC %.3f of sessions that run", auc)
	}
	members := func() (n int) {
		var s struct{ Size int }
		h.call("GET", "/v1/segments/eager", "", &s)
		return s.Size
	}
	want := 0
	for _, in := range eager {
		if in {
			want++
		}
	}
	if n := members(); n != want || want == 0 {
		t.Errorf("%d in the segment, %d have the score", n, want)
	}
	// Half an hour of silence ends every session, and with it what hangs on it.
	h.clock.move(31 * time.Minute)
	await(t, "the segment is empty", func() bool { return members() == 0 })
	var p struct{ Scores predict.Scores }
	if h.call("GET", "/v1/people/userId:now-0", "", &p); p.Scores.Intent == nil || *p.Scores.Intent != 0 {
		t.Errorf("after the session: %+v", p.Scores.Intent)
	}
	h.stop()
	h.start() // the model is a fact of the log
	if h.call("GET", "/v1/models/intent", "", &page); page.Status != "good" || page.Intent == nil {
		t.Errorf("after a restart: %+v", page)
	}
}

// fitTable learns from the table as anybody could.
func fitTable(t *testing.T, text string) (*propensity.Model, []gbdt.Column, []map[string]float64) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewBufferString(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	n := len(rows[0]) - 1
	columns, levels := make([]gbdt.Column, n), make([]map[string]float64, n)
	set := &gbdt.Set{}
	for range rows[1:] {
		set.Rows = append(set.Rows, make([]float64, n))
	}
	for c := range n {
		columns[c].Name = rows[0][c]
		count := map[string]int{}
		numbers := true
		for i, row := range rows[1:] {
			x, err := strconv.ParseFloat(row[c], 64)
			if row[c] == "" {
				x, err = math.NaN(), nil
			} else {
				count[row[c]]++
			}
			numbers = numbers && err == nil
			set.Rows[i][c] = x
		}
		if numbers {
			continue
		}
		levels[c] = map[string]float64{}
		var texts []string
		for s := range count {
			texts = append(texts, s)
		}
		slices.SortFunc(texts, func(a, b string) int {
			if count[a] != count[b] {
				return count[b] - count[a]
			}
			return bytes.Compare([]byte(a), []byte(b))
		})
		for i, s := range texts[:min(len(texts), 20)] {
			levels[c][s] = float64(i)
		}
		columns[c].Levels = len(levels[c])
		for i, row := range rows[1:] {
			x, known := levels[c][row[c]]
			if !known {
				x = math.NaN()
			}
			set.Rows[i][c] = x
		}
	}
	for _, row := range rows[1:] {
		y, _ := strconv.ParseFloat(row[n], 64)
		set.Y = append(set.Y, y)
	}
	m, err := propensity.Fit(columns, set, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m, columns, levels
}

// rowOf lays an explanation's inputs out as a row of the table.
func rowOf(inputs map[string]any, columns []gbdt.Column, levels []map[string]float64) []float64 {
	row := make([]float64, len(columns))
	for i, c := range columns {
		switch x := inputs[c.Name].(type) {
		case float64:
			row[i] = x
		case string:
			row[i] = levels[i][x]
		default:
			if i < 13 {
				row[i] = math.NaN() // not known; of a step it is none
			}
		}
	}
	return row
}

// text returns the body of an answer.
func (h *house) text(path string) string {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), "GET", h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+houseToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
	}
	return b.String()
}
