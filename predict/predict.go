// Package predict foretells what each person will do: how often they will buy
// and what that is worth, whether they have left, when they come back.
//
// Statistics are folds per fragment that merge in any order and are bounded, so
// they follow people who merge and part. Models are fitted to them off the hot
// path and published as documents of the configuration: they enter each
// partition at a barrier of its log, have a history, and can be taken back. A
// score is computed when somebody looks, from the statistics, the model in force
// and the moment: equal inputs give equal scores. Where there is not enough to
// learn from there is no score, and the model's page says why.
package predict

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/btyd"
)

// Part is the name under which this room's compiled config stands in engine.Config.
const Part = "predict"

// The models, by id.
const (
	ModelPurchases = "purchases"
	ModelTastes    = "tastes"
)

// week is the models' unit of time, in days.
const week = 7

// PredictionDoc says what is to be foretold; without one the defaults hold.
type PredictionDoc struct {
	ID       string           `json:"id" yaml:"id"`
	Event    string           `json:"event" yaml:"event" suggest:"event" doc:"Event that is a purchase"`
	Value    string           `json:"value" yaml:"value" doc:"Property that holds its value"`
	Horizon  rapport.Duration `json:"horizon" yaml:"horizon" min:"7d" max:"3650d" doc:"How far ahead the lifetime value looks"`
	Discount float64          `json:"discount" yaml:"discount" min:"0" max:"1" unit:"share" doc:"How much less money is worth a year later"`
	// Attributes of products.
	Attributes []string `json:"attributes" yaml:"attributes" max:"8" doc:"Properties of products that tell what people like"`
}

// NewPredictionDoc returns a document with the defaults.
func NewPredictionDoc() *PredictionDoc {
	return &PredictionDoc{Event: "Order Completed", Value: "revenue", Horizon: rapport.Duration(365 * 24 * time.Hour), Discount: 0.1, Attributes: []string{"category", "brand"}}
}

// ModelDoc is a published model. The server writes it; people may look at it
// and take it back.
type ModelDoc struct {
	ID   string `yaml:"id"`
	Made string `yaml:"made" required:"true" doc:"When it was fitted"`
	Data string `yaml:"data" required:"true" doc:"The model as JSON, written by the server"`

	purchases *Purchasing
	liking    *Liking
	intent    *Intent
}

// SoftDoc gives a soft segment a name of its own. Its id is the one conditions use.
type SoftDoc struct {
	ID    string `yaml:"id"`
	Topic int    `yaml:"topic" min:"0" required:"true" doc:"Number of the soft segment that was discovered"`
	Name  string `yaml:"name" doc:"What people read"`
}

// Validate implements the check of configuration documents.
func (d *ModelDoc) Validate() error {
	if d.ID == ModelIntent {
		var err error
		d.intent, err = readIntent(d.Data)
		return err
	}
	if d.ID == ModelTastes {
		d.liking = &Liking{}
		if err := json.Unmarshal([]byte(d.Data), d.liking); err != nil || !d.liking.check() {
			return rapport.Errorf(rapport.Invalid, "the model is damaged")
		}
		return nil
	}
	if d.ID != ModelPurchases {
		return rapport.Errorf(rapport.Invalid, "there is no model %q; the server writes %s, %s and %s", d.ID, ModelPurchases, ModelTastes, ModelIntent)
	}
	d.purchases = &Purchasing{}
	if err := json.Unmarshal([]byte(d.Data), d.purchases); err != nil {
		return rapport.Errorf(rapport.Invalid, "the model is damaged: %w", err)
	}
	return d.purchases.check()
}

// Config is this room's compiled part of the configuration.
type Config struct {
	settings PredictionDoc // as declared
	key      key           // of settings
	// building is set while history is being read for settings.
	building  bool
	purchases *Purchasing // nil while there is no model
	liking    *Liking     // nil while there is no model
	intent    *Intent     // nil while there is no model
	named     []SoftDoc
	asked     []InsightDoc // outcomes looked at every day, by id

	what              uint32 // hash of the event that is a purchase on the way of a session
	bought, liked     key    // in force
	purchased, tasted []counted
}

// soft returns the document that names a topic, or nil.
func (c *Config) soft(topic int) *SoftDoc {
	for i := range c.named {
		if c.named[i].Topic == topic {
			return &c.named[i]
		}
	}
	return nil
}

// Documents are what a Config is compiled from.
type Documents struct {
	Predictions []PredictionDoc
	Models      []ModelDoc
	Names       []SoftDoc
	Insights    []InsightDoc
	// Since is the number of the configuration at which what the predictions
	// declare was taken up, Building whether history is still read for it.
	Since    int64
	Building bool
}

// Compile makes the room's part from its documents.
func Compile(docs Documents) (*Config, error) {
	c := &Config{settings: *NewPredictionDoc(), named: docs.Names, asked: sortedOutcomes(docs.Insights), building: docs.Building}
	for i, d := range docs.Names {
		for _, other := range docs.Names[:i] {
			if other.Topic == d.Topic {
				return nil, rapport.Errorf(rapport.Invalid, "softSegment %s: the topic %d has a name already, %s", d.ID, d.Topic, other.ID)
			}
		}
	}
	for i, d := range docs.Predictions {
		if i > 0 {
			return nil, rapport.Errorf(rapport.Invalid, "prediction %s: there is one already, %s", d.ID, docs.Predictions[0].ID)
		}
		c.settings = d
	}
	for _, m := range docs.Models {
		switch {
		case m.liking != nil:
			c.liking = m.liking
		case m.intent != nil:
			c.intent = m.intent
		case m.purchases != nil:
			c.purchases = m.purchases
		}
	}
	c.declare(docs.Since)
	return c, nil
}

// Digest names what the configuration takes for a purchase; a model is fitted to one digest.
func (c *Config) Digest() uint32 { return c.settings.digest() }

// configOf returns the room's part, or the defaults.
func configOf(c *engine.Config) *Config {
	if p, ok := c.Part(Part).(*Config); ok {
		return p
	}
	d := &Config{settings: *NewPredictionDoc()}
	d.declare(0)
	return d
}

// Purchasing is the fitted model of purchases.
type Purchasing struct {
	// Settings, Since and Definition say what it takes for a purchase.
	Settings   uint32        `json:"settings"`
	Since      int64         `json:"since"`
	Definition PredictionDoc `json:"definition"`
	Made       int64         `json:"made"` // Unix ms
	End        int32         `json:"end"`  // last day seen, days since 1970
	Kind       string        `json:"kind"`
	Model      btyd.Model    `json:"model"`
	Spend      *btyd.Spend   `json:"spend"` // nil if every purchase is worth Each
	Each       float64       `json:"each"`  // mean value of a repeat purchase
	Health     ModelHealth   `json:"health"`
	Fitted     []FittedKind  `json:"fitted"`
}

// FittedKind is one model that was weighed.
type FittedKind struct {
	Kind          string             `json:"kind"`
	Params        map[string]float64 `json:"params"`
	LogLikelihood float64            `json:"logLikelihood"`
	Backtest      *float64           `json:"backtest"` // mean error of the total, as a share
}

// ModelHealth is what is known of how good a model is.
type ModelHealth struct {
	People  int `json:"people"`
	Repeat  int `json:"repeat"` // of them bought again
	Orders  int `json:"orders"`
	Sampled int `json:"sampled"` // people looked at of all, in thousandths
	// Coverage80 is the share of people whose purchases in the backtest fell
	// into the middle 80 % of what was held possible.
	Coverage80  float64 `json:"coverage80"`
	Calibration []Point `json:"calibration"`
	// Tracking is how far the model before this one was off in the purchases
	// made since its fit, as a share; null for the first.
	Tracking *float64 `json:"tracking"`
}

// Point compares what was foretold of a group of people with what they did.
type Point struct {
	Predicted float64 `json:"predicted"` // purchases per person
	Actual    float64 `json:"actual"`
	Count     int     `json:"count"`
}

func (p *Purchasing) check() error {
	kind, ok := btyd.ParseKind(p.Kind)
	m := &p.Model
	if p.Definition.Event == "" || !ok || !(m.R > 0 && m.Alpha > 0 && m.A > 0 && m.B > 0) || m.K < 0 || m.K > 100 || p.Spend != nil && !(p.Spend.P > 0 && p.Spend.Q > 0 && p.Spend.V > 0) {
		return rapport.Errorf(rapport.Invalid, "the model has impossible parameters")
	}
	m.Kind = kind
	return nil
}

// dayOf returns the day of a moment (Unix ms), counted from 1970 in UTC.
func dayOf(ms int64) int32 {
	const day = 86_400_000
	d := ms / day
	if ms%day < 0 {
		d--
	}
	return int32(max(min(d, 1<<30), -1<<30))
}

// orders returns the days with a purchase up to end, rising.
func (p *purchaseDays) orders(end int32) []btyd.DayOrders {
	out := make([]btyd.DayOrders, 0, len(p.days))
	for _, d := range p.days {
		if d.orders > 0 && d.day <= end {
			out = append(out, btyd.DayOrders{Day: d.day, Value: float64(max(d.value, 0)) / valueUnit})
		}
	}
	return slices.Clip(out)
}
