package btyd

import "math"

// Fitted is one model and how it did.
type Fitted struct {
	Kind  Kind
	Model *Model // nil if Err is set
	Err   error
	// Backtest is the mean distance between the purchases predicted and those
	// made after the earlier ends, as a share of those made; NaN if there were none.
	Backtest float64
}

// FitAll fits every model to what people did up to and including end, and
// chooses the one that would have foretold best how many purchases came after
// half and after two thirds of the time, fitted to what was known then. Where
// that cannot be told the likelihood decides. chosen is -1 if no model fits.
// progress, if not nil, is called with each model's turn.
func FitAll(people [][]DayOrders, end int32, unit float64, progress func(Kind)) (models []Fitted, chosen int) {
	begin := end
	for _, days := range people {
		if len(days) > 0 {
			begin = min(begin, days[0].Day)
		}
	}
	span := float64(end - begin)
	cuts := []int32{begin + int32(span/2), begin + int32(span*2/3)}
	known, k := known(people, end, unit)
	chosen = -1
	for _, kind := range Kinds() {
		if progress != nil {
			progress(kind)
		}
		f := Fitted{Kind: kind, Backtest: math.NaN()}
		if n := len(models); kind == MBGCNBDK && k == 1 && models[n-1].Kind == MBGNBD && models[n-1].Err == nil {
			// Gaps as irregular as chance: the same model under another name.
			same := *models[n-1].Model
			same.Kind = kind
			models = append(models, Fitted{Kind: kind, Model: &same, Backtest: models[n-1].Backtest})
			continue
		}
		if f.Model, f.Err = Fit(kind, known, k); f.Err == nil {
			f.Backtest = 0
			for _, cut := range cuts {
				f.Backtest += backtest(kind, people, cut, end, unit) / float64(len(cuts))
			}
		}
		models = append(models, f)
		if f.Err == nil && (chosen < 0 || better(f, models[chosen])) {
			chosen = len(models) - 1
		}
	}
	return models, chosen
}

func better(a, b Fitted) bool {
	if math.IsNaN(a.Backtest) || math.IsNaN(b.Backtest) {
		return a.Model.LogLikelihood > b.Model.LogLikelihood
	}
	return a.Backtest < b.Backtest
}

func known(people [][]DayOrders, end int32, unit float64) ([]History, int) {
	var out []History
	var gaps [][2]float64
	for _, days := range people {
		h, _, g, seen := Until(days, end, unit)
		if !seen {
			continue
		}
		out = append(out, h)
		if h.X >= 2 {
			gaps = append(gaps, g)
		}
	}
	return out, Regularity(gaps)
}

func backtest(kind Kind, people [][]DayOrders, cut, end int32, unit float64) float64 {
	before, k := known(people, cut, unit)
	m, err := Fit(kind, before, k)
	if err != nil {
		return math.NaN()
	}
	ahead := float64(end-cut) / unit
	var predicted, made float64
	for _, days := range people {
		h, _, _, seen := Until(days, cut, unit)
		if !seen {
			continue
		}
		predicted += m.Expected(h, ahead)
		for _, d := range days {
			if d.Day > cut && d.Day <= end {
				made++
			}
		}
	}
	if made == 0 {
		return math.NaN()
	}
	return math.Abs(predicted-made) / made
}
