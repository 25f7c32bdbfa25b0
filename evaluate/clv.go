package evaluate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/btyd"
	"github.com/rapport-engine/rapport/learn/metric"
)

// week is the job's unit of time, in days.
const week = 7

// CLVReport is what the job clv finds.
type CLVReport struct {
	Customers          int        `json:"customers"` // who bought by the end of the calibration
	Orders             int        `json:"orders"`    // days with an order, in both periods
	HoldoutWeeks       Number     `json:"holdoutWeeks"`
	Models             []CLVModel `json:"models"`
	Chosen             string     `json:"chosen"`
	Naive              Holdout    `json:"naive"` // everybody goes on at their mean pace
	Spend              *CLVSpend  `json:"spend"`
	IntervalCoverage80 Number     `json:"intervalCoverage80"`
	Notes              []string   `json:"notes,omitempty"`
}

// CLVModel is one model, fitted to the calibration period.
type CLVModel struct {
	Model         string            `json:"model"`
	Params        map[string]Number `json:"params"`
	LogLikelihood Number            `json:"logLikelihood"`
	// Backtest is the mean share by which the model was off where it was fitted
	// to a half, two thirds and five sixths of the calibration period; Score the
	// mean logarithm of the chance it then gave to what each person did.
	Backtest Number  `json:"backtest"`
	Score    Number  `json:"score"`
	Holdout  Holdout `json:"holdout"`
	Error    string  `json:"error,omitempty"`
}

// Holdout compares the number of purchases predicted with those made.
type Holdout struct {
	Actual      Number `json:"actual"`
	Predicted   Number `json:"predicted"`
	TotalError  Number `json:"totalError"` // (predicted - actual) / actual
	MAE         Number `json:"mae"`        // per customer
	RMSE        Number `json:"rmse"`
	Correlation Number `json:"correlation"`
}

// CLVSpend is the fitted gamma-gamma model of the value of a purchase.
type CLVSpend struct {
	P             Number  `json:"p"`
	Q             Number  `json:"q"`
	V             Number  `json:"v"`
	LogLikelihood Number  `json:"logLikelihood"`
	People        Number  `json:"people"`
	Constant      *Number `json:"constant,omitempty"` // what every purchase is worth, if it is the same
	Error         string  `json:"error,omitempty"`
}

type clv struct {
	orders, customer, time, value, calibrationEnd, holdoutEnd, model, report string
}

func clvJob() Job {
	return Job{
		Name:    "clv",
		Args:    "--orders F --customer COL --time COL --value COL --calibration-end DATE --holdout-end DATE [--model auto] [--report F]",
		Summary: "Tell how often customers will buy and what that is worth: models fitted up to a day, judged on what came after",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			c := &clv{}
			fs.StringVar(&c.orders, "orders", "", "CSV `file`, one row per order")
			fs.StringVar(&c.customer, "customer", "", "`column` that names the customer")
			fs.StringVar(&c.time, "time", "", "`column` with the day or time of the order")
			fs.StringVar(&c.value, "value", "", "`column` with the order's value")
			fs.StringVar(&c.calibrationEnd, "calibration-end", "", "last `day` the models may see, as 1997-09-30")
			fs.StringVar(&c.holdoutEnd, "holdout-end", "", "last `day` they are judged on")
			fs.StringVar(&c.model, "model", "auto", "`name` of the model that is chosen: auto, bg-nbd, pareto-nbd, mbg-nbd or mbg-cnbd-k; all are fitted")
			fs.StringVar(&c.report, "report", "", "write an HTML page with charts to this `file`")
			return func(ctx context.Context, progress Progress) (any, error) { return c.run(ctx, progress) }
		},
	}
}

func (c *clv) run(ctx context.Context, progress Progress) (*CLVReport, error) {
	for _, f := range [][2]string{{"orders", c.orders}, {"customer", c.customer}, {"time", c.time}, {"value", c.value}, {"calibration-end", c.calibrationEnd}, {"holdout-end", c.holdoutEnd}} {
		if f[1] == "" {
			return nil, rapport.Errorf(rapport.Invalid, "--%s is not given", f[0])
		}
	}
	forced, known := btyd.ParseKind(c.model)
	if !known && c.model != "auto" {
		return nil, rapport.Errorf(rapport.Invalid, "--model %q is not a model; it is one of auto, bg-nbd, pareto-nbd, mbg-nbd, mbg-cnbd-k", c.model)
	}
	end, ok := parseDay(c.calibrationEnd)
	if !ok {
		return nil, rapport.Errorf(rapport.Invalid, "--calibration-end %q is not a date; write 2026-01-31", c.calibrationEnd)
	}
	last, ok := parseDay(c.holdoutEnd)
	if !ok {
		return nil, rapport.Errorf(rapport.Invalid, "--holdout-end %q is not a date; write 2026-01-31", c.holdoutEnd)
	}
	if last <= end {
		return nil, rapport.Errorf(rapport.Invalid, "the holdout ends on %s, which is not after the end of the calibration, %s", c.holdoutEnd, c.calibrationEnd)
	}
	r := &CLVReport{HoldoutWeeks: Number(float64(last-end) / week)}
	people, err := c.read(ctx, last, r)
	if err != nil {
		return nil, err
	}
	progress("%d orders of %d customers", r.Orders, len(people))
	people = slices.DeleteFunc(people, func(days []btyd.DayOrders) bool { return days[0].Day > end })
	if len(people) == 0 {
		return nil, rapport.Errorf(rapport.Invalid, "%s: nobody bought by %s, the end of the calibration", c.orders, c.calibrationEnd)
	}
	r.Customers = len(people)
	fitted, chosen := btyd.FitAll(people, end, week, func(k btyd.Kind) { progress("fitting %s", k) })
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if chosen < 0 {
		return nil, rapport.Errorf(rapport.Invalid, "%s: no model can be fitted to the %d customers who bought by %s: %w", c.orders, len(people), c.calibrationEnd, fitted[0].Err)
	}
	if known {
		chosen = slices.IndexFunc(fitted, func(f btyd.Fitted) bool { return f.Kind == forced })
		if fitted[chosen].Err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "%s cannot be fitted: %w", c.model, fitted[chosen].Err)
		}
	}
	r.Chosen = fitted[chosen].Kind.String()
	judge := newHoldout(people, end, last)
	r.Naive = judge.figures(func(h btyd.History) float64 {
		if h.Age == 0 {
			return 0
		}
		return float64(h.X) / h.Age * judge.ahead
	})
	for _, f := range fitted {
		m := CLVModel{Model: f.Kind.String(), Params: map[string]Number{}, LogLikelihood: Number(math.NaN()), Backtest: Number(f.Backtest), Score: Number(f.Score)}
		if f.Err != nil {
			m.Error = f.Err.Error()
			m.Holdout = judge.figures(func(btyd.History) float64 { return math.NaN() })
		} else {
			for name, x := range f.Model.Params() {
				m.Params[name] = Number(x)
			}
			m.LogLikelihood = Number(f.Model.LogLikelihood)
			m.Holdout = judge.figures(func(h btyd.History) float64 { return f.Model.Expected(h, judge.ahead) })
		}
		r.Models = append(r.Models, m)
	}
	r.IntervalCoverage80 = Number(fitted[chosen].Model.Coverage(judge.histories, judge.made, judge.ahead))
	r.Spend = spend(people, end)
	if c.report != "" {
		return r, c.write(r, judge, fitted[chosen].Model)
	}
	return r, nil
}

// read returns each customer's days with orders up to last.
func (c *clv) read(ctx context.Context, last int32, r *CLVReport) ([][]btyd.DayOrders, error) {
	t, err := OpenTable(c.orders, c.customer, c.time, c.value)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var who, lines []int
	var texts []string
	var values []float64
	ids := map[string]int{}
	unknown := 0
	for t.Next() {
		if len(who)%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if t.Text(0) == "" {
			unknown++
			continue
		}
		v, ok := money(t.Text(2))
		if !ok {
			return nil, t.Errorf(2, "%q is not an amount", t.Text(2))
		}
		i, seen := ids[t.Text(0)]
		if !seen {
			i = len(ids)
			ids[strings.Clone(t.Text(0))] = i
		}
		who, texts, values, lines = append(who, i), append(texts, strings.Clone(t.Text(1))), append(values, v), append(lines, t.Line())
	}
	if err := t.Err(); err != nil {
		return nil, err
	}
	if len(who) == 0 {
		return nil, rapport.Errorf(rapport.Invalid, "%s: there are no orders of a known customer", c.orders)
	}
	days, form, err := parseDays(texts, func(i int) string { return fmt.Sprintf("%s, line %d, column %s", c.orders, lines[i], c.time) })
	if err != nil {
		return nil, err
	}
	people := make([][]btyd.DayOrders, len(ids))
	returns := 0
	order := make([]int, 0, len(who))
	for i := range who {
		if values[i] < 0 {
			returns++ // what comes back is no purchase, but lessens that day's
		} else if days[i] <= last {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(days[a]) - int(days[b]) })
	for _, i := range order {
		of := &people[who[i]]
		if n := len(*of); n > 0 && (*of)[n-1].Day == days[i] {
			(*of)[n-1].Value += values[i]
			continue
		}
		*of = append(*of, btyd.DayOrders{Day: days[i], Value: values[i]})
	}
	for i, v := range values {
		if v >= 0 {
			continue
		}
		of := people[who[i]]
		if at, found := slices.BinarySearchFunc(of, days[i], func(d btyd.DayOrders, day int32) int { return int(d.Day) - int(day) }); found {
			of[at].Value = max(of[at].Value+v, 0)
		}
	}
	people = slices.DeleteFunc(people, func(of []btyd.DayOrders) bool { return len(of) == 0 })
	for _, of := range people {
		r.Orders += len(of)
	}
	note := func(n int, format string) {
		if n > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf(format, n))
		}
	}
	note(unknown, "%d rows without a customer are left out")
	note(returns, "%d rows of a negative value are returns: no purchase, but less spent where the day has one")
	if form != "year-month-day" {
		r.Notes = append(r.Notes, "the days are read as "+form)
	}
	if len(people) == 0 {
		return nil, rapport.Errorf(rapport.Invalid, "%s: nobody bought by %s", c.orders, c.holdoutEnd)
	}
	return people, nil
}

// money reads an amount as tables hold it: a currency sign and commas between
// thousands are left out.
func money(s string) (float64, bool) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t := strings.Trim(s, "$€£¥ \u00a0")
		if minus, ok := strings.CutPrefix(t, "-"); ok {
			t = "-" + strings.Trim(minus, "$€£¥ ")
		}
		if i := strings.LastIndexByte(t, '.'); i >= 0 && len(t)-i <= 3 || !strings.Contains(t, ".") && len(t)-strings.LastIndexByte(t, ',') == 4 {
			t = strings.ReplaceAll(t, ",", "")
		}
		x, err = strconv.ParseFloat(t, 64)
	}
	return x, err == nil && !math.IsNaN(x) && math.Abs(x) < 1e15
}

// holdout is what the models are judged on.
type holdout struct {
	histories []btyd.History
	made      []float64
	ahead     float64
}

func newHoldout(people [][]btyd.DayOrders, end, last int32) *holdout {
	j := &holdout{ahead: float64(last-end) / week}
	for _, days := range people {
		h, _, _, _ := btyd.Until(days, end, week)
		n := 0
		for _, d := range days {
			if d.Day > end && d.Day <= last {
				n++
			}
		}
		j.histories, j.made = append(j.histories, h), append(j.made, float64(n))
	}
	return j
}

func (j *holdout) figures(predict func(btyd.History) float64) Holdout {
	predicted := make([]float64, len(j.made))
	var all, actual float64
	for i, h := range j.histories {
		predicted[i] = predict(h)
		all += predicted[i]
		actual += j.made[i]
	}
	mae, rmse := metric.Errors(predicted, j.made)
	return Holdout{
		Actual: Number(actual), Predicted: Number(all), TotalError: Number((all - actual) / actual),
		MAE: Number(mae), RMSE: Number(rmse), Correlation: Number(metric.Pearson(predicted, j.made)),
	}
}

// spend fits what a repeat purchase of the calibration period is worth.
func spend(people [][]btyd.DayOrders, end int32) *CLVSpend {
	var of []btyd.Purchases
	for _, days := range people {
		if _, p, _, _ := btyd.Until(days, end, week); p.X > 0 {
			of = append(of, p)
		}
	}
	nan := Number(math.NaN())
	out := &CLVSpend{P: nan, Q: nan, V: nan, LogLikelihood: nan}
	s, err := btyd.FitSpend(of)
	switch {
	case errors.Is(err, btyd.ErrConstant):
		i := slices.IndexFunc(of, func(p btyd.Purchases) bool { return p.Mean > 0 })
		out.Constant = (*Number)(&of[i].Mean)
		out.Error = err.Error()
	case err != nil:
		out.Error = err.Error()
	default:
		out.P, out.Q, out.V, out.LogLikelihood, out.People = Number(s.P), Number(s.Q), Number(s.V), Number(s.LogLikelihood), Number(s.People)
	}
	return out
}
