package predict

import (
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/btyd"
)

// Interval is a figure with the interval in which 80 of 100 such people fall.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Scores are what is foretold of one person; a nil field is not known.
type Scores struct {
	CLV          *Interval `json:"clv,omitempty"`          // money within the horizon, discounted
	Purchases    *Interval `json:"purchases,omitempty"`    // number within the horizon
	Churn        *float64  `json:"churn,omitempty"`        // chance that the person has left
	NextPurchase *Interval `json:"nextPurchase,omitempty"` // days from now, for one who has not left
	Intent       *float64  `json:"intent,omitempty"`       // chance that the session that runs ends in a purchase; 0 while none runs
	// SoftSegments are what the person is by degree, Session what the running session is.
	SoftSegments []SoftDegree `json:"softSegments,omitempty"`
	Session      []SoftDegree `json:"session,omitempty"`
	// Affinities are the ten strongest.
	Affinities    []AffinityScore `json:"affinities,omitempty"`
	Replenishment []Refill        `json:"replenishment,omitempty"`
}

// Person is one person's statistics with the models in force at a moment.
type Person struct {
	config   *Config
	at       int64
	orders   []btyd.DayOrders
	history  btyd.History
	spent    btyd.Purchases
	tastes   ledger
	bought   ledger
	session  []recentSign
	sessions *Sessions // nil where nothing is known
	sensors  []sensed  // of items held
}

// Of returns what is needed to score a person. state finds folds' states; it is
// not kept.
func Of(state func(fold string) engine.State, config *engine.Config, at int64) *Person {
	p := &Person{config: configOf(config), at: at}
	p.seePurchases(state)
	if t := p.taste(state); t != nil {
		p.tastes, p.bought, p.session = t.signs.clone(), t.bought.clone(), slices.Clone(t.session(at))
	}
	p.seeSensors(state)
	if p.seeSessions(state); p.sessions != nil {
		clone := *p.sessions
		p.sessions = &clone
	}
	return p
}

// At returns what is needed for the scores under one path, or soft segments for
// an empty one, while the states stay as they are.
func At(state func(fold string) engine.State, config *engine.Config, at int64, path []string) *Person {
	p := &Person{config: configOf(config), at: at}
	switch {
	case len(path) > 0 && path[0] == ModelIntent:
		p.seeSessions(state)
	case len(path) == 0 || path[0] == "affinity" || path[0] == "replenishment":
		if t := p.taste(state); t != nil {
			p.tastes, p.bought = t.signs, t.bought
		}
		if len(path) > 0 && path[0] == "replenishment" {
			p.seeSensors(state)
		}
	default:
		p.seePurchases(state)
	}
	return p
}

func (p *Person) seePurchases(state func(fold string) engine.State) {
	s, _ := state(FoldPurchases).(*Purchases)
	if s == nil || p.config.purchases == nil {
		return
	}
	if days := s.in(p.config.bought); days != nil {
		end := dayOf(p.at)
		p.orders = days.orders(end)
		p.history, p.spent, _, _ = btyd.Until(p.orders, end, week)
	}
}

// seeSessions takes a copy where what was bought earlier is to be counted anew.
func (p *Person) seeSessions(state func(fold string) engine.State) {
	s, _ := state(FoldSessions).(*Sessions)
	if s == nil || p.config.intent == nil {
		return
	}
	if p.sessions = s; s.what != p.config.what && s.start != 0 {
		clone := *s
		p.sessions = &clone
		bought, _ := state(FoldPurchases).(*Purchases)
		clone.recount(p.config, bought)
	}
}

func (p *Person) taste(state func(fold string) engine.State) *taste {
	t, _ := state(FoldTastes).(*Tastes)
	if t == nil {
		return nil
	}
	return t.in(p.config.liked)
}

// known reports whether the person bought and there is a model of purchases.
func (p *Person) known() bool { return p.config.purchases != nil && len(p.orders) > 0 }

func (p *Person) worth(spent btyd.Purchases) btyd.Worth {
	m, s := p.config.purchases, &p.config.settings
	return btyd.Worth{
		Horizon: float64(s.Horizon.Millis()) / (week * 86_400_000), Discount: -math.Log1p(-min(s.Discount, 0.99)) / (365.25 / week),
		Spend: m.Spend, Each: m.Each, X: spent.X, Mean: spent.Mean,
	}
}

// Scores returns everything that is foretold.
func (p *Person) Scores() Scores {
	out := Scores{SoftSegments: p.mixture(false), Session: p.mixture(true), Affinities: p.affinities(), Replenishment: p.refills()}
	out.Affinities = out.Affinities[:min(len(out.Affinities), 10)]
	if x, ok := p.intent(); ok {
		out.Intent = &x
	}
	if !p.known() {
		return out
	}
	m := &p.config.purchases.Model
	w := p.worth(p.spent)
	v := m.Value(p.history, w)
	out.CLV = &Interval{round(v.Mean), round(v.Low), round(v.High)}
	out.Purchases = &Interval{round(m.Expected(p.history, w.Horizon)), float64(m.Quantile(p.history, w.Horizon, .1)), float64(m.Quantile(p.history, w.Horizon, .9))}
	churn := 1 - m.Alive(p.history)
	out.Churn = &churn
	out.NextPurchase = &Interval{round(week * m.Next(p.history, .5)), round(week * m.Next(p.history, .1)), round(week * m.Next(p.history, .9))}
	return out
}

// round keeps six digits: more would pretend to be known.
func round(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(x))))
	if math.IsInf(scale, 0) || scale == 0 {
		return x
	}
	return math.Round(x*scale) / scale
}

// Value returns one score for a condition: "clv", "clv.low", "churn". Null if
// it is not known. Only what is asked for is computed.
func (p *Person) Value(path []string) rapport.Value {
	if len(path) == 3 && path[0] == "affinity" {
		for _, a := range p.affinities() {
			if a.Attribute == path[1] && a.Value == path[2] {
				return rapport.NumberValue(a.Degree)
			}
		}
		return rapport.Value{}
	}
	if len(path) == 2 && path[0] == "replenishment" {
		for _, r := range p.refills() {
			if r.Product == path[1] {
				return rapport.NumberValue(r.Days)
			}
		}
		return rapport.Value{}
	}
	if len(path) == 1 && path[0] == ModelIntent {
		if x, ok := p.intent(); ok {
			return rapport.NumberValue(x)
		}
		return rapport.Value{}
	}
	if len(path) == 0 || len(path) > 2 || !p.known() {
		return rapport.Value{}
	}
	m := &p.config.purchases.Model
	part := "value"
	if len(path) == 2 {
		part = path[1]
	}
	pick := func(value func() float64, low, high func() float64) rapport.Value {
		switch part {
		case "value":
			return rapport.NumberValue(value())
		case "low":
			return rapport.NumberValue(low())
		case "high":
			return rapport.NumberValue(high())
		}
		return rapport.Value{}
	}
	switch path[0] {
	case "clv":
		w := p.worth(p.spent)
		return pick(func() float64 { return round(m.Mean(p.history, w)) },
			func() float64 { return round(m.Value(p.history, w).Low) }, func() float64 { return round(m.Value(p.history, w).High) })
	case "purchases":
		horizon := p.worth(p.spent).Horizon
		return pick(func() float64 { return round(m.Expected(p.history, horizon)) },
			func() float64 { return float64(m.Quantile(p.history, horizon, .1)) }, func() float64 { return float64(m.Quantile(p.history, horizon, .9)) })
	case "churn":
		if len(path) == 1 {
			return rapport.NumberValue(1 - m.Alive(p.history))
		}
	case "nextPurchase":
		next := func(q float64) func() float64 { return func() float64 { return round(week * m.Next(p.history, q)) } }
		return pick(next(.5), next(.1), next(.9))
	}
	return rapport.Value{}
}

// ScoreExplanation takes a score apart.
type ScoreExplanation struct {
	Score  string         `json:"score"`
	Value  float64        `json:"value"`
	Model  string         `json:"model"`
	Inputs map[string]any `json:"inputs"`
	// Contributions add up to the value: each is what knowing one thing more
	// about the person changes, in this order.
	Contributions []ScoreContribution `json:"contributions"`
}

// ScoreContribution is what one input adds to a score.
type ScoreContribution struct {
	Input  string  `json:"input"`
	Effect float64 `json:"effect"`
}

// Explain takes every score apart.
func (p *Person) Explain() (out []ScoreExplanation) {
	out = []ScoreExplanation{}
	if e, ok := p.explainIntent(); ok {
		defer func() { out = append(out, e) }()
	}
	if !p.known() {
		return out
	}
	pm := p.config.purchases
	m, h := &pm.Model, p.history
	inputs := map[string]any{
		"repeatPurchases":   h.X,
		"customerForDays":   h.Age * week,
		"lastPurchaseDays":  (h.Age - h.Last) * week,
		"meanPurchaseValue": p.spent.Mean,
		"horizonDays":       float64(p.config.settings.Horizon.Millis()) / 86_400_000,
	}
	// Step by step from a stranger who just bought for the first time.
	steps := []struct {
		input string
		h     btyd.History
		spent btyd.Purchases
	}{
		{"a new customer", btyd.History{}, btyd.Purchases{}},
		{"customer for so long with so many purchases", btyd.History{X: h.X, Last: recent(h), Age: h.Age}, btyd.Purchases{}},
		{"the last purchase is so long ago", h, btyd.Purchases{}},
		{"spends so much at a time", h, p.spent},
	}
	for _, score := range []struct {
		name string
		of   func(btyd.History, btyd.Purchases) float64
		use  int // steps that matter
	}{
		{"clv", func(h btyd.History, s btyd.Purchases) float64 { return m.Mean(h, p.worth(s)) }, 4},
		{"purchases", func(h btyd.History, _ btyd.Purchases) float64 { return m.Expected(h, p.worth(p.spent).Horizon) }, 3},
		{"churn", func(h btyd.History, _ btyd.Purchases) float64 { return 1 - m.Alive(h) }, 3},
		{"nextPurchase", func(h btyd.History, _ btyd.Purchases) float64 { return week * m.Next(h, .5) }, 3},
	} {
		e := ScoreExplanation{Score: score.name, Model: pm.Kind, Inputs: inputs, Contributions: []ScoreContribution{}}
		for _, s := range steps[:score.use] {
			now := score.of(s.h, s.spent)
			e.Contributions = append(e.Contributions, ScoreContribution{s.input, now - e.Value})
			e.Value = now
		}
		out = append(out, e)
	}
	return out
}

// recent is when the last purchase was if it was just now.
func recent(h btyd.History) float64 {
	if h.X == 0 {
		return 0
	}
	return h.Age
}
