package twin

import (
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// itemEnv is one item as conditions see it: the only item of its world.
type itemEnv struct {
	item   *Item
	config *engine.Config
	now    time.Time
	past   *profile.Env // answers from the item's past
}

var (
	_ condition.Env    = itemEnv{}
	_ condition.Owner  = itemEnv{}
	_ condition.Timed  = itemEnv{}
	_ condition.Scored = itemEnv{}
)

// Asked is the name under which the questions that computed traits and
// conditions of items ask of their past stand in engine.Config, as a
// *profile.Config.
const Asked = "itemAsked"

// ItemEnv returns an item for conditions: items.any(i, ...) asks it, traits.x
// are its facts, i.level.mean the statistics of its readings, computed.x its
// computed traits, scores.x what is foretold of it, and performed(...) what
// happened to it under its present owner. config knows its product. The Env
// refers to the item.
func ItemEnv(s *Item, config *engine.Config, now time.Time) condition.Env {
	asked, _ := config.Part(Asked).(*profile.Config)
	return itemEnv{s, config, now, profile.AnswersEnv(&s.answers, asked, rapport.Millis(now))}
}

// Computed returns the computed traits of an item at a moment, as plain values;
// those with nothing to tell are left out.
func (s *Item) Computed(config *engine.Config, now time.Time) map[string]any {
	out := map[string]any{}
	asked, _ := config.Part(Asked).(*profile.Config)
	for _, t := range asked.Computed() {
		if v := s.answers.Computed(asked, t.Name, rapport.Millis(now)); !v.IsNull() {
			out[t.Name] = v.Any()
		}
	}
	return out
}

// Value implements condition.Env.
func (e itemEnv) Value(root condition.Root, path []string) rapport.Value {
	switch {
	case root == condition.Traits && len(path) == 1:
		if f := e.item.Fact(path[0]); f != "" {
			return rapport.StringValue(f)
		}
	case root == condition.Computed && len(path) == 2:
		return e.statistic(path[0], path[1])
	case root == condition.Computed && len(path) == 1:
		return e.past.Value(root, path)
	case root == condition.Scores && len(path) == 1:
		if x, ok := e.item.Score(path[0]); ok {
			return rapport.NumberValue(x)
		}
	}
	return rapport.Value{}
}

// statistic returns a statistic of a reading's numbers.
func (e itemEnv) statistic(reading, name string) rapport.Value {
	r := e.item.Reading(reading)
	if r == nil || r.Count == 0 {
		return rapport.Value{}
	}
	switch name {
	case "mean":
		return rapport.NumberValue(r.Mean)
	case "min":
		return rapport.NumberValue(r.Min)
	case "max":
		return rapport.NumberValue(r.Max)
	case "deviation":
		return rapport.NumberValue(r.Deviation())
	case "count":
		return rapport.NumberValue(r.Count)
	case "fast":
		return rapport.NumberValue(r.Fast)
	case "slow":
		return rapport.NumberValue(r.Slow)
	}
	return rapport.Value{}
}

// Performed implements condition.Env: counts of moments under the present owner.
func (e itemEnv) Performed(a *condition.Aggregate) rapport.Value {
	n, last := e.item.Count(a.Event)
	switch {
	case a.Op == condition.Count && a.Within == 0 && a.Where == nil:
		return rapport.NumberValue(float64(n))
	case a.Op == condition.Last && len(a.Property) == 0 && n > 0:
		return rapport.NumberValue(float64(last) / 1000)
	}
	return e.past.Performed(a)
}

// NextPerformed implements condition.Timed.
func (e itemEnv) NextPerformed(a *condition.Aggregate, matters condition.Turn) int64 {
	return e.past.NextPerformed(a, matters)
}

// NextComputed implements condition.Timed.
func (e itemEnv) NextComputed(path []string, matters condition.Turn) int64 {
	if len(path) != 1 {
		return 0
	}
	return e.past.NextComputed(path, matters)
}

// NextScore implements condition.Scored: scores of items change by events alone.
func (e itemEnv) NextScore([]string) (at int64, ok bool) { return 0, true }

// Degree implements condition.Env.
func (e itemEnv) Degree(string) float64 { return 0 }

// Consent implements condition.Env.
func (e itemEnv) Consent(string, string) bool { return false }

// Now implements condition.Env.
func (e itemEnv) Now() time.Time { return e.now }

// NumItems implements condition.Owner.
func (e itemEnv) NumItems() int { return 1 }

// ItemValue implements condition.Owner.
func (e itemEnv) ItemValue(_ int, path []string) rapport.Value {
	s := e.item
	if len(path) == 2 {
		return e.statistic(path[0], path[1])
	}
	if len(path) != 1 {
		return rapport.Value{}
	}
	if r := s.Reading(path[0]); r != nil {
		return r.Value()
	}
	text := ""
	switch path[0] {
	case "item":
		text = s.ID
	case "gtin":
		text = s.Key().GTIN()
	case "product_id", "category":
		if p := s.product(e.config); p.ProductDoc != nil {
			if text = p.ID; path[0] == "category" {
				text = p.Category
			}
		}
	case "state":
		text = string(s.Stage())
	case "firmware":
		text = s.Firmware
	case "seal":
		text = s.Seal
	case "owned":
		return rapport.BoolValue(!s.Owner.Person.IsZero())
	case "connected":
		return rapport.BoolValue(s.Connected)
	default:
		if x, ok := s.Score(path[0]); ok {
			return rapport.NumberValue(x)
		}
		text = s.Fact(path[0])
	}
	if text == "" {
		return rapport.Value{}
	}
	return rapport.StringValue(text)
}
