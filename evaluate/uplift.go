package evaluate

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/glm"
	"github.com/rapport-engine/rapport/learn/metric"
	"github.com/rapport-engine/rapport/learn/uplift"
)

// UpliftReport says whether a treatment works better for some than for others,
// and which learner finds them.
type UpliftReport struct {
	Records  int                      `json:"records"`
	Fitted   int                      `json:"fitted"` // the first rows
	Judged   int                      `json:"judged"` // the rows after them
	Effect   PolicyEstimate           `json:"effect"` // mean outcome of the treated less that of the others, all rows
	Learners map[string]UpliftLearner `json:"learners"`
	Columns  []UpliftColumn           `json:"columns"`
	Verdict  string                   `json:"verdict"`
	Warnings []string                 `json:"warnings"`
}

// UpliftLearner is how well one learner ranks people it has not seen.
type UpliftLearner struct {
	Qini       QiniEstimate `json:"qini"`
	Lead       QiniEstimate `json:"leadOverResponse"`
	UpliftAt10 Number       `json:"upliftAt10"`
	UpliftAt30 Number       `json:"upliftAt30"`
}

// QiniEstimate is a Qini coefficient with its 95 % interval.
type QiniEstimate struct {
	Value Number `json:"value"`
	Low   Number `json:"low"`
	High  Number `json:"high"`
}

// UpliftColumn says whether the effect differs along a column.
type UpliftColumn struct {
	Column  string `json:"column"`
	P       Number `json:"p"`
	Differs bool   `json:"differs"`
}

const (
	fittedShare    = 0.7 // of the rows, from the first on
	bootstrapDraws = 300
)

func upliftJob() Job {
	return Job{
		Name: "uplift", Args: "--data F --treatment COL --control VALUE --treated VALUE --outcome COL [--exclude COL,...]",
		Summary: "Find out from a randomised experiment whether a treatment works better for some, and who finds them",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			var u upliftRun
			var exclude string
			fs.StringVar(&u.path, "data", "", "`file` of the experiment (CSV, header row, gzip accepted)")
			fs.StringVar(&u.treatment, "treatment", "treatment", "`column` of who was treated how")
			fs.StringVar(&u.control, "control", "0", "`value` of those who were left alone")
			fs.StringVar(&u.treated, "treated", "1", "`value` of those who were treated; other rows are left out")
			fs.StringVar(&u.outcome, "outcome", "outcome", "`column` of what followed, a number")
			fs.StringVar(&exclude, "exclude", "", "`columns` that were not known before the treatment, separated by commas")
			return func(ctx context.Context, progress Progress) (any, error) {
				u.exclude = split(exclude)
				return u.run(ctx, progress)
			}
		},
	}
}

type upliftRun struct {
	path, treatment, control, treated, outcome string
	exclude                                    []string

	columns []*column
	data    uplift.Data
}

func (u *upliftRun) run(ctx context.Context, progress Progress) (*UpliftReport, error) {
	if err := u.read(); err != nil {
		return nil, err
	}
	d := &u.data
	design := newDesign(u.columns)
	d.X = &glm.Matrix{}
	var row []glm.Feature
	for i := range d.Outcomes {
		row = design.row(row[:0], u.columns, i)
		d.X.Append(row...)
	}
	d.X.Columns = design.width
	d.Groups = design.groups()
	n := len(d.Outcomes)
	cut := int(fittedShare * float64(n))
	report := &UpliftReport{Records: n, Fitted: cut, Judged: n - cut, Learners: map[string]UpliftLearner{}, Warnings: []string{}}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	progress("%d rows; looking for columns along which the effect differs", n)
	differs := false
	for g, f := range uplift.Screen(*d, all) {
		differs = differs || f.Passed
		report.Columns = append(report.Columns, UpliftColumn{Column: u.columns[g].name, P: Number(f.P), Differs: f.Passed})
	}
	learners := uplift.Learners()
	var rankings [][]float64
	for _, l := range learners {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		progress("fitting the %s learner to the first %d rows", l.Name, cut)
		score := l.Fit(*d, all[:cut])
		scores := make([]float64, 0, n-cut)
		for i := cut; i < n; i++ {
			scores = append(scores, score(d.X.Row(i)))
		}
		rankings = append(rankings, scores)
	}
	progress("judging them on the %d rows after", n-cut)
	rest := uplift.Data{Treated: d.Treated[cut:], Outcomes: d.Outcomes[cut:]}
	qini, lead := uplift.Judge(rest, rankings, bootstrapDraws, 1)
	for k, l := range learners {
		c := uplift.NewCurve(rest, rankings[k])
		report.Learners[l.Name] = UpliftLearner{
			Qini: numbers(qini[k]), Lead: numbers(lead[k]),
			UpliftAt10: Number(c.UpliftAt(0.1)), UpliftAt30: Number(c.UpliftAt(0.3)),
		}
	}
	report.Effect = u.effect()
	if auc := u.balance(all[:cut], all[cut:]); auc > 0.55 {
		report.Warnings = append(report.Warnings, fmt.Sprintf("the treated can be told from the others by what was known before (AUC %.2f): the treatment was not given at random, or a column was not known before it (--exclude)", auc))
	}
	report.Verdict = verdict(report, differs, learners, qini, lead)
	return report, nil
}

func numbers(q uplift.Qini) QiniEstimate {
	return QiniEstimate{Value: Number(q.Value), Low: Number(q.Low), High: Number(q.High)}
}

// read reads the rows of both arms. Every column that is not the treatment, the
// outcome or excluded says something of the person.
func (u *upliftRun) read() error {
	t, err := OpenTable(u.path, u.treatment, u.outcome)
	if err != nil {
		return err
	}
	defer t.Close()
	for _, name := range u.exclude {
		if !slices.Contains(t.Columns(), name) {
			return rapport.Errorf(rapport.Invalid, "%s: there is no column %q to exclude; the columns are %s", u.path, name, strings.Join(t.Columns(), ", "))
		}
	}
	var at []int
	for i, name := range t.Columns() {
		if name == u.treatment || name == u.outcome || name == "" || slices.Contains(u.exclude, name) {
			continue
		}
		at = append(at, i)
		u.columns = append(u.columns, newColumn(name))
	}
	seen := map[string]int{}
	for t.Next() {
		arm := t.Text(0)
		seen[arm]++
		if arm != u.control && arm != u.treated {
			continue
		}
		y, err := t.Float(1)
		if err != nil {
			return err
		}
		u.data.Outcomes = append(u.data.Outcomes, y)
		u.data.Treated = append(u.data.Treated, arm == u.treated)
		for k, c := range u.columns {
			c.add(t.At(at[k]))
		}
	}
	if t.Err() != nil {
		return t.Err()
	}
	if u.control == u.treated {
		return rapport.Errorf(rapport.Invalid, "--control and --treated are both %q", u.control)
	}
	for _, arm := range []string{u.control, u.treated} {
		if seen[arm] < 100 {
			return rapport.WithHint(
				rapport.Errorf(rapport.Invalid, "%s: %d rows have %s = %q; at least 100 are needed", u.path, seen[arm], u.treatment, arm),
				"the column holds %s", someOf(seen),
			)
		}
	}
	if len(u.columns) == 0 {
		return rapport.Errorf(rapport.Invalid, "%s: no column is left that tells people apart", u.path)
	}
	return nil
}

// someOf lists a few values of a column.
func someOf(seen map[string]int) string {
	values := make([]string, 0, len(seen))
	for v := range seen {
		values = append(values, fmt.Sprintf("%q", v))
	}
	slices.Sort(values)
	if len(values) > 8 {
		values = append(values[:8], "...")
	}
	return strings.Join(values, ", ")
}

// effect is the average effect with its interval.
func (u *upliftRun) effect() PolicyEstimate {
	var with, without learn.Moments
	for i, y := range u.data.Outcomes {
		if u.data.Treated[i] {
			with.Add(y)
		} else {
			without.Add(y)
		}
	}
	d, _ := learn.Difference(with, without, 0.95)
	return PolicyEstimate{Value: Number(with.Mean() - without.Mean()), Low: Number(d.Low), High: Number(d.High)}
}

// balance returns how well a model tells the arms apart (AUC, 0.5 is not at
// all) on rows it was not fitted to.
func (u *upliftRun) balance(fitted, judged []int) float64 {
	treated := make([]float64, len(u.data.Treated))
	for i, t := range u.data.Treated {
		if t {
			treated[i] = 1
		}
	}
	m := glm.Fit(u.data.X, treated, fitted, glm.Options{Family: glm.Binomial, Penalty: 10, Iterations: 50})
	scores, truth := make([]float64, len(judged)), make([]float64, len(judged))
	for k, i := range judged {
		scores[k], truth[k] = m.Predict(u.data.X.Row(i)), treated[i]
	}
	return metric.AUC(scores, truth)
}

// verdict says in words what to do.
func verdict(r *UpliftReport, differs bool, learners []uplift.Learner, qini, lead []uplift.Qini) string {
	everybody := "treat everybody or nobody, by the average effect"
	if !differs {
		return "no heterogeneity beyond noise: " + everybody
	}
	best := 1
	for k := range learners[1:] {
		if qini[k+1].Low > qini[best].Low {
			best = k + 1
		}
	}
	switch {
	case qini[best].Low <= 0:
		return "the effect differs between groups, but no learner ranks people better than chance on later rows: " + everybody
	case lead[best].Low <= 0:
		return fmt.Sprintf("the effect differs, but the %s learner (Qini %.3f) does not lead the response model (%.3f) beyond noise: rank by response", learners[best].Name, qini[best].Value, qini[0].Value)
	default:
		return fmt.Sprintf("treat by the %s learner: Qini %.3f against the response model's %.3f", learners[best].Name, qini[best].Value, qini[0].Value)
	}
}
