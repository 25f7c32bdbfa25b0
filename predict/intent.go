package predict

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/gbdt"
	"github.com/rapport-engine/rapport/learn/propensity"
)

// ModelIntent is the model of whether the session that runs ends in a purchase.
const ModelIntent = "intent"

// Intent is the fitted model of intent.
type Intent struct {
	Event   string            `json:"event"` // what counts as a purchase
	Made    int64             `json:"made"`  // Unix ms
	Columns []IntentColumn    `json:"columns"`
	Model   *propensity.Model `json:"model"`
	Health  IntentHealth      `json:"health"`
}

// IntentColumn is one input of the model of intent.
type IntentColumn struct {
	Name string `json:"name"`
	// Step is the step counted or, with Minutes, timed; 0 for other columns.
	Step    uint32 `json:"step,omitempty"`
	Minutes bool   `json:"minutes,omitempty"`
	// Levels are the values of a column of texts, in the order of their codes.
	Levels []string `json:"levels,omitempty"`
}

// IntentHealth is what is known of how good the model of intent is, over
// sessions that it had not seen.
type IntentHealth struct {
	People           int           `json:"people"`
	Sessions         int           `json:"sessions" doc:"Each at one moment chosen by chance"`
	Purchases        int           `json:"purchases" doc:"Of the sessions ended in one after that moment"`
	AUC              float64       `json:"auc" doc:"How often a session that ends in a purchase is held more likely to than one that does not"`
	AveragePrecision float64       `json:"averagePrecision"`
	Brier            float64       `json:"brier"`
	CalibrationError float64       `json:"calibrationError"`
	Calibration      []Point       `json:"calibration" doc:"Tenths of the sessions: mean chance, share with a purchase"`
	Tracking         *float64      `json:"tracking" doc:"How far the model before this one was off in the sessions begun since it was fitted, as a share of their purchases"`
	Inputs           []IntentInput `json:"inputs" doc:"What tells it, most first"`
}

// IntentInput is the share of one input in what was learnt.
type IntentInput struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// The inputs that every model of intent has, before those of single steps.
const (
	inputEvents = iota
	inputMinutes
	inputKinds
	inputVisits
	inputPurchases
	inputSinceVisit
	inputSincePurchase
	inputHour
	inputWeekday
	inputSettings // and the others
	fixedInputs   = inputSettings + settings
)

var inputNames = [inputSettings]string{"events", "minutes", "kinds of steps", "earlier visits", "earlier purchases", "days since visit", "days since purchase", "hour", "weekday"}

// row lays a session out as the model's inputs; setting codes are looked up by code.
func (s *Sessions) row(columns []IntentColumn, code func(column int, hash uint32) float64) []float64 {
	row := make([]float64, len(columns))
	row[inputEvents] = float64(s.events)
	row[inputMinutes] = float64(s.last-s.start) / 60_000
	row[inputKinds] = float64(s.n)
	row[inputVisits], row[inputPurchases] = float64(s.visits), float64(s.orders)
	row[inputSinceVisit], row[inputSincePurchase] = s.since(s.before), s.since(s.order)
	at := rapport.Time(s.last)
	row[inputHour], row[inputWeekday] = float64(at.Hour()), float64(at.Weekday())
	for i, h := range s.setting {
		row[inputSettings+i] = code(inputSettings+i, h)
	}
	for i := fixedInputs; i < len(columns); i++ {
		if k := s.find(columns[i].Step); k >= 0 {
			if row[i] = float64(s.steps[k].count); columns[i].Minutes {
				row[i] = float64(s.steps[k].ms) / 60_000
			}
		}
	}
	return row
}

func (s *Sessions) since(at int64) float64 {
	if at == 0 {
		return math.NaN()
	}
	return float64(max(s.last-at, 0)) / 86_400_000
}

// columns returns the table the model's trees were grown on.
func (m *Intent) columns() []gbdt.Column {
	out := make([]gbdt.Column, len(m.Columns))
	for i, c := range m.Columns {
		out[i] = gbdt.Column{Name: c.Name, Levels: len(c.Levels)}
	}
	return out
}

func (m *Intent) code(column int, hash uint32) float64 {
	for i, text := range m.Columns[column].Levels {
		if hash32(text) == hash {
			return float64(i)
		}
	}
	return math.NaN()
}

func (m *Intent) check() error {
	bad := rapport.Errorf(rapport.Invalid, "the model of intent is damaged")
	if m.Event == "" || m.Model == nil || len(m.Columns) < fixedInputs {
		return bad
	}
	for i, c := range m.columns() {
		if i >= len(m.Model.Columns()) || m.Model.Columns()[i] != c {
			return bad
		}
	}
	if len(m.Model.Columns()) != len(m.Columns) {
		return bad
	}
	return nil
}

func readIntent(data string) (*Intent, error) {
	m := &Intent{}
	if err := json.Unmarshal([]byte(data), m); err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "the model of intent is damaged: %w", err)
	}
	return m, m.check()
}

// intent returns the chance that the session that runs ends in a purchase: 0
// while none runs, or right after one. It is not ok without a model or a visit.
func (p *Person) intent() (chance float64, ok bool) {
	m := p.config.intent
	if m == nil || p.sessions == nil || p.sessions.start == 0 {
		return 0, false
	}
	if !p.sessions.running(p.at) || p.sessions.events == 0 {
		return 0, true
	}
	return round(m.Model.Chance(p.sessions.row(m.Columns, m.code))), true
}

// Next returns when the score at a path changes by itself though nothing
// happens, Unix ms, 0 for never; it is not ok where nobody can tell. Intent falls
// when the session ends.
func (p *Person) Next(path []string) (at int64, ok bool) {
	if len(path) != 1 || path[0] != ModelIntent {
		return 0, false
	}
	if p.sessions != nil && p.sessions.running(p.at) {
		at = p.sessions.last + sessionGap + 1
	}
	return at, true
}

// mostInputs is how many inputs an explanation names; the rest is one.
const mostInputs = 10

func (p *Person) explainIntent() (e ScoreExplanation, ok bool) {
	value, ok := p.intent()
	if !ok {
		return e, false
	}
	m := p.config.intent
	e = ScoreExplanation{Score: ModelIntent, Model: "boosted trees", Value: value, Inputs: map[string]any{}, Contributions: []ScoreContribution{}}
	if !p.sessions.running(p.at) || p.sessions.events == 0 {
		why := "no session runs"
		if p.sessions.running(p.at) {
			why = "a purchase was just made"
		}
		e.Inputs["session"] = why
		e.Contributions = append(e.Contributions, ScoreContribution{why, 0})
		return e, true
	}
	row := p.sessions.row(m.Columns, m.code)
	for i, x := range row {
		c := m.Columns[i]
		switch {
		case math.IsNaN(x) || i >= fixedInputs && x == 0:
		case len(c.Levels) > 0:
			e.Inputs[c.Name] = c.Levels[int(x)]
		default:
			e.Inputs[c.Name] = x // exact: close to where a tree parts, a digit decides
		}
	}
	e.Value = 0
	for k, part := range m.Model.Explain(row) {
		e.Value += part.Effect
		switch {
		case k == 0:
			e.Contributions = append(e.Contributions, ScoreContribution{"any session", part.Effect})
		case k <= mostInputs:
			name := m.Columns[part.Column].Name
			switch x := row[part.Column]; {
			case math.IsNaN(x):
				name += " unknown"
			case len(m.Columns[part.Column].Levels) > 0:
				name += " " + m.Columns[part.Column].Levels[int(x)]
			default:
				name += " " + strconv.FormatFloat(round(x), 'g', 4, 64)
			}
			e.Contributions = append(e.Contributions, ScoreContribution{name, part.Effect})
		case k == mostInputs+1:
			e.Contributions = append(e.Contributions, ScoreContribution{"everything else", part.Effect})
		default:
			e.Contributions[len(e.Contributions)-1].Effect += part.Effect
		}
	}
	return e, true
}

// purchase returns the event that ends the way to a purchase.
func (c *Config) purchase() string {
	if c.intent != nil {
		return c.intent.Event
	}
	return c.settings.Event
}
