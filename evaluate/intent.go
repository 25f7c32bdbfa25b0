package evaluate

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/gbdt"
	"github.com/rapport-engine/rapport/learn/metric"
	"github.com/rapport-engine/rapport/learn/propensity"
)

// IntentReport is what the job intent finds, over rows no model had seen.
type IntentReport struct {
	Sessions         int              `json:"sessions"`
	Positives        int              `json:"positives"`
	Folds            int              `json:"folds"`
	AUC              Number           `json:"auc"`
	AveragePrecision Number           `json:"averagePrecision"`
	Brier            Number           `json:"brier"`
	LogLoss          Number           `json:"logLoss"`
	CalibrationError Number           `json:"calibrationError"`
	Calibration      []CalibrationBin `json:"calibration"`
	Columns          []IntentColumn   `json:"columns"`
	Warnings         []string         `json:"warnings"`
}

// CalibrationBin compares the mean chance of a tenth of the sessions with what happened.
type CalibrationBin struct {
	Predicted Number `json:"predicted"`
	Actual    Number `json:"actual"`
	Count     int    `json:"count"`
}

// IntentColumn is one column and its share in what the trees learned.
type IntentColumn struct {
	Name  string `json:"name"`
	Gain  Number `json:"gain"`
	Alone Number `json:"auc"` // of the column by itself, in the better direction; null for text
}

type intent struct {
	sessions, outcome, exclude, report string
}

func intentJob() Job {
	return Job{
		Name:    "intent",
		Args:    "--sessions F --outcome COL [--exclude COL,...] [--report F]",
		Summary: "Tell how well the chance of a purchase can be told from a session: boosted trees, calibrated, judged on held-out fifths",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			j := &intent{}
			fs.StringVar(&j.sessions, "sessions", "", "CSV `file`, one row per session")
			fs.StringVar(&j.outcome, "outcome", "", "`column` that says whether it happened (yes/no, true/false, 1/0)")
			fs.StringVar(&j.exclude, "exclude", "", "`columns` to leave out, such as those known only after the outcome")
			fs.StringVar(&j.report, "report", "", "write an HTML page with charts to this `file`")
			return func(ctx context.Context, progress Progress) (any, error) { return j.run(ctx, progress) }
		},
	}
}

func (j *intent) run(ctx context.Context, progress Progress) (*IntentReport, error) {
	if j.sessions == "" || j.outcome == "" {
		return nil, rapport.Errorf(rapport.Invalid, "--sessions and --outcome are needed")
	}
	columns, set, warnings, err := j.read()
	if err != nil {
		return nil, err
	}
	r := &IntentReport{Sessions: len(set.Y), Folds: propensity.Folds, Warnings: append([]string{}, warnings...)}
	for _, y := range set.Y {
		r.Positives += int(y)
	}
	if least := 2 * propensity.Folds; r.Positives < least || r.Sessions-r.Positives < least {
		return nil, rapport.Errorf(rapport.Invalid, "%s: %d of %d sessions have the outcome; at least %d with and %d without are needed", j.sessions, r.Positives, r.Sessions, least, least)
	}
	progress("%d sessions, %d with the outcome, %d columns", r.Sessions, r.Positives, len(columns))
	found, err := propensity.Judge(ctx, columns, set, func(fold int) { progress("part %d of %d", fold, propensity.Folds) })
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, rapport.Errorf(rapport.Invalid, "%w", err)
	}
	r.AUC, r.AveragePrecision = Number(found.AUC), Number(found.AveragePrecision)
	r.Brier, r.LogLoss, r.CalibrationError = Number(found.Brier), Number(found.LogLoss), Number(found.CalibrationError)
	for _, b := range found.Bins {
		r.Calibration = append(r.Calibration, CalibrationBin{Number(b.Predicted), Number(b.Actual), b.Count})
	}
	for c, column := range columns {
		alone := math.NaN()
		if column.Levels == 0 {
			alone = aloneAUC(set, c)
		}
		if alone > 0.85 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s alone has an AUC of %.3f: make sure that it is known before the outcome, or leave it out with --exclude", column.Name, alone))
		}
		r.Columns = append(r.Columns, IntentColumn{column.Name, Number(found.Gains[c]), Number(alone)})
	}
	slices.SortStableFunc(r.Columns, func(a, b IntentColumn) int { return cmp.Compare(b.Gain, a.Gain) })
	if j.report != "" {
		return r, j.write(r)
	}
	return r, nil
}

func aloneAUC(set *gbdt.Set, c int) float64 {
	var x, y []float64
	for i, row := range set.Rows {
		if !math.IsNaN(row[c]) {
			x, y = append(x, row[c]), append(y, set.Y[i])
		}
	}
	a := metric.AUC(x, y)
	return max(a, 1-a)
}

// read turns the file into rows of numbers and category codes.
func (j *intent) read() ([]gbdt.Column, *gbdt.Set, []string, error) {
	t, err := OpenTable(j.sessions, j.outcome)
	if err != nil {
		return nil, nil, nil, err
	}
	defer t.Close()
	names := t.Columns()
	skip := map[string]bool{j.outcome: true}
	for _, name := range split(j.exclude) {
		if !slices.Contains(names, name) {
			return nil, nil, nil, rapport.Errorf(rapport.Invalid, "%s: there is no column %q to exclude; the columns are %s", j.sessions, name, strings.Join(names, ", "))
		}
		skip[name] = true
	}
	texts := make([][]string, len(names))
	var outcome []string
	shared := map[string]string{} // one copy of each text
	intern := func(s string) string {
		if old, ok := shared[s]; ok {
			return old
		}
		s = strings.Clone(s)
		shared[s] = s
		return s
	}
	for t.Next() {
		if t.Text(0) == "" {
			return nil, nil, nil, t.Errorf(0, "the outcome is missing")
		}
		outcome = append(outcome, intern(t.Text(0)))
		for c, name := range names {
			if !skip[name] {
				texts[c] = append(texts[c], intern(t.At(c)))
			}
		}
	}
	if err := t.Err(); err != nil {
		return nil, nil, nil, err
	}
	set := &gbdt.Set{}
	var warnings []string
	if set.Y, err = binary(outcome, j.sessions, j.outcome); err != nil {
		return nil, nil, nil, err
	}
	set.Rows = make([][]float64, len(outcome))
	var columns []gbdt.Column
	for c, name := range names {
		if skip[name] {
			continue
		}
		values, levels, ok := encode(texts[c])
		if !ok {
			warnings = append(warnings, fmt.Sprintf("%s is left out: nearly every row has a text of its own", name))
			continue
		}
		columns = append(columns, gbdt.Column{Name: name, Levels: levels})
		for i, x := range values {
			set.Rows[i] = append(set.Rows[i], x)
		}
	}
	if len(columns) == 0 {
		return nil, nil, nil, rapport.Errorf(rapport.Invalid, "%s: there is no column to tell the outcome from", j.sessions)
	}
	return columns, set, warnings, nil
}

// binary reads an outcome of two values.
func binary(texts []string, path, column string) ([]float64, error) {
	count := map[string]int{}
	for _, s := range texts {
		if count[s]++; len(count) > 2 {
			break
		}
	}
	var kinds []string
	for s := range count {
		kinds = append(kinds, s)
	}
	slices.Sort(kinds)
	if len(kinds) != 2 {
		return nil, rapport.Errorf(rapport.Invalid, "%s, column %s: an outcome has two values, such as yes and no; here are %d or more: %s", path, column, len(kinds), strings.Join(kinds, ", "))
	}
	yes := -1
	for i, s := range kinds {
		switch strings.ToLower(s) {
		case "1", "1.0", "true", "t", "yes", "y":
			yes = i
		}
	}
	if yes < 0 {
		// Other words: the rarer is what one wants to foretell.
		yes = 0
		if count[kinds[1]] < count[kinds[0]] {
			yes = 1
		}
	}
	y := make([]float64, len(texts))
	for i, s := range texts {
		if s == kinds[yes] {
			y[i] = 1
		}
	}
	return y, nil
}

// encode turns a column into numbers, if all that is there is numbers, or into
// codes of its most frequent texts. It is not ok for a column of ids.
func encode(texts []string) (values []float64, levels int, ok bool) {
	values = make([]float64, len(texts))
	numbers := true
	count := map[string]int{}
	for i, s := range texts {
		switch strings.ToLower(s) {
		case "", "na", "nan", "null", "n/a", "none", "inf", "-inf":
			values[i] = math.NaN()
			continue
		}
		count[s]++
		if x, err := strconv.ParseFloat(s, 64); err == nil && numbers {
			values[i] = x
		} else {
			numbers = false
		}
	}
	if numbers {
		return values, 0, true
	}
	var kinds []string
	for s := range count {
		kinds = append(kinds, s)
	}
	if len(kinds) > 50 && len(kinds) > len(texts)/2 {
		return nil, 0, false
	}
	slices.SortFunc(kinds, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	kinds = kinds[:min(len(kinds), gbdt.MaxLevels)]
	code := map[string]float64{}
	for i, s := range kinds {
		code[s] = float64(i)
	}
	for i, s := range texts {
		if x, known := code[s]; known {
			values[i] = x
		} else {
			values[i] = math.NaN()
		}
	}
	return values, max(len(kinds), 1), true
}

func (j *intent) write(r *IntentReport) error {
	p := &Page{
		Title: "How well intent can be told",
		Lead:  fmt.Sprintf("Of %d sessions %d had the outcome. A session with it scores above one without in %s of pairs (AUC).", r.Sessions, r.Positives, percent(r.AUC)),
	}
	p.Figures("Over sessions no model had seen", []string{"figure", "value"}, [][]string{
		{"AUC", short(r.AUC)}, {"average precision", short(r.AveragePrecision)}, {"Brier score", short(r.Brier)}, {"calibration error", percent(r.CalibrationError)},
	})
	var predicted, actual []float64
	for _, b := range r.Calibration {
		predicted, actual = append(predicted, float64(b.Predicted)), append(actual, float64(b.Actual))
	}
	p.Chart("What was foretold, and what happened", "chance foretold", "share with the outcome",
		Line{Name: "perfect", X: []float64{0, 1}, Y: []float64{0, 1}}, Line{Name: "tenths of the sessions", X: predicted, Y: actual, Dots: true})
	var rows [][]string
	for _, c := range r.Columns[:min(len(r.Columns), 20)] {
		rows = append(rows, []string{c.Name, percent(c.Gain), short(c.Alone)})
	}
	p.Figures("What tells it", []string{"column", "share of the gain", "AUC alone"}, rows)
	return p.WriteFile(j.report)
}
