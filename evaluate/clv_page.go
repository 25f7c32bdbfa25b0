package evaluate

import (
	"fmt"
	"math"

	"github.com/rapport-engine/rapport/learn/btyd"
)

// write shows the report on a page, with the chosen model's predictions against
// what happened.
func (c *clv) write(r *CLVReport, j *holdout, m *btyd.Model) error {
	p := &Page{Title: "What customers will be worth"}
	var rows [][]string
	row := func(name string, ll, back Number, h Holdout) {
		rows = append(rows, []string{name, short(ll), percent(back), short(h.Actual), short(h.Predicted), percent(h.TotalError), short(h.MAE), short(h.Correlation)})
	}
	for _, model := range r.Models {
		row(model.Model, model.LogLikelihood, model.Backtest, model.Holdout)
		if model.Model == r.Chosen {
			p.Lead = fmt.Sprintf("%s, fitted to %d customers up to %s, foretold the number of purchases until %s with an error of %s; 80 %% intervals held %s of customers.",
				r.Chosen, r.Customers, c.calibrationEnd, c.holdoutEnd, percent(model.Holdout.TotalError), percent(r.IntervalCoverage80))
		}
	}
	nan := Number(math.NaN())
	row("mean pace goes on", nan, nan, r.Naive)
	p.Figures("Models, judged on the holdout", []string{"model", "log likelihood", "backtest", "purchases", "predicted", "error", "MAE", "correlation"}, rows)

	// By repeat purchases so far: 0, 1, .. 6, 7 and more.
	const most = 7
	var x, made, predicted [most + 1]float64
	var n [most + 1]float64
	for i, h := range j.histories {
		k := min(h.X, most)
		n[k]++
		made[k] += j.made[i]
		predicted[k] += m.Expected(h, j.ahead)
	}
	for k := range x {
		x[k] = float64(k)
		made[k] /= n[k]
		predicted[k] /= n[k]
	}
	p.Chart("Purchases in the holdout, by repeat purchases before it (7: seven and more)", "repeat purchases before", "purchases per customer",
		Line{Name: "made", X: x[:], Y: made[:]}, Line{Name: r.Chosen, X: x[:], Y: predicted[:]})

	// How many customers made so many purchases.
	var count, held [most + 1]float64
	for i, h := range j.histories {
		count[min(int(j.made[i]), most)]++
		last := 1.0
		for k := range held {
			next := 0.0
			if k < most {
				next = m.AtLeast(h, j.ahead, k+1)
			}
			held[k] += last - next
			last = next
		}
	}
	p.Chart("Customers by purchases in the holdout (7: seven and more)", "purchases", "customers",
		Line{Name: "made", X: x[:], Y: count[:]}, Line{Name: r.Chosen, X: x[:], Y: held[:]})
	return p.WriteFile(c.report)
}
