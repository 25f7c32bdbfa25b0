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
	// Score is the mean logarithm of the chance the model gave, at the earlier
	// ends, to the number of purchases each person then made; NaN if there were none.
	Score float64
}

// Cuts are the earlier ends, as shares of the time known. Models are chosen by
// rolling origin: fitted to what was known at each and judged on what came
// after, up to the end (Tashman, "Out-of-sample tests of forecasting accuracy",
// International Journal of Forecasting 16 (2000)). What comes after the end has
// no say.
var cuts = [...]float64{1. / 2, 2. / 3, 5. / 6}

// scored bounds how many people the models are judged on.
const scored = 5000

// FitAll fits every model to what people did up to and including end, and
// chooses the one that would have foretold best how often each person bought
// after half, two thirds and five sixths of the time, fitted to what was known
// then: by the logarithmic score, which nobody can raise but by telling the
// truth (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and
// estimation", JASA 102 (2007)). Where that cannot be told the likelihood
// decides. chosen is -1 if no model fits. progress, if not nil, is called with
// each model's turn.
func FitAll(people [][]DayOrders, end int32, unit float64, progress func(Kind)) (models []Fitted, chosen int) {
	begin := end
	for _, days := range people {
		if len(days) > 0 {
			begin = min(begin, days[0].Day)
		}
	}
	known, k := known(people, end, unit)
	chosen = -1
	for _, kind := range Kinds() {
		if progress != nil {
			progress(kind)
		}
		f := Fitted{Kind: kind, Backtest: math.NaN(), Score: math.NaN()}
		if n := len(models); kind == MBGCNBDK && k == 1 && models[n-1].Kind == MBGNBD && models[n-1].Err == nil {
			// Gaps as irregular as chance: the same model under another name.
			f = models[n-1]
			same := *f.Model
			same.Kind = kind
			f.Kind, f.Model = kind, &same
			models = append(models, f)
			continue
		}
		if f.Model, f.Err = Fit(kind, known, k); f.Err == nil {
			f.Backtest, f.Score = 0, 0
			for _, share := range cuts {
				off, score := backtest(kind, people, begin+int32(share*float64(end-begin)), end, unit)
				f.Backtest, f.Score = f.Backtest+off/float64(len(cuts)), f.Score+score/float64(len(cuts))
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
	if math.IsNaN(a.Score) || math.IsNaN(b.Score) {
		return a.Model.LogLikelihood > b.Model.LogLikelihood
	}
	return a.Score > b.Score
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

// backtest fits a model to what was known at cut and judges it on what came
// after, up to end.
func backtest(kind Kind, people [][]DayOrders, cut, end int32, unit float64) (off, score float64) {
	before, k := known(people, cut, unit)
	m, err := Fit(kind, before, k)
	if err != nil {
		return math.NaN(), math.NaN()
	}
	ahead := float64(end-cut) / unit
	var predicted, made, logs, judged float64
	step := max(len(before)/scored, 1)
	seenSoFar := 0
	for _, days := range people {
		h, _, _, seen := Until(days, cut, unit)
		if !seen {
			continue
		}
		predicted += m.Expected(h, ahead)
		n := 0
		for _, d := range days {
			if d.Day > cut && d.Day <= end {
				n++
			}
		}
		made += float64(n)
		if seenSoFar%step == 0 {
			chance := m.AtLeast(h, ahead, n) - m.AtLeast(h, ahead, n+1)
			logs += math.Log(max(chance, 1e-9)) // what was held impossible costs much, not everything
			judged++
		}
		seenSoFar++
	}
	if made == 0 || judged == 0 {
		return math.NaN(), math.NaN()
	}
	return math.Abs(predicted-made) / made, logs / judged
}
