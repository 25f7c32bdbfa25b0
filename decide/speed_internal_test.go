package decide

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// shopper is a person whose past is known.
type shopper struct {
	person
	counts map[string]float64
}

func (s *shopper) Performed(a *condition.Aggregate) rapport.Value {
	return rapport.NumberValue(s.counts[a.Event] + float64(a.Within.Std()/(24*time.Hour)))
}

func (s *shopper) Value(root condition.Root, path []string) rapport.Value {
	if root == condition.Scores {
		return rapport.NumberValue(0.25)
	}
	return s.person.Value(root, path)
}

// crowded is a placement with many actions, each with a condition, two goals and
// things it is about of its own, and a model that knows them all.
type crowded struct {
	config *Config
	model  *Model
	who    *shopper
	ctx    rapport.Fields
	liked  *interest
}

func newCrowded(t testing.TB, actions int) *crowded {
	docs := Documents{
		Placements: []PlacementDoc{{ID: "home"}},
		Policies: []PolicyDoc{{
			ID: "default", Holdout: 0.05, Caps: []CapDoc{{Scope: "person", Max: 30, Per: rapport.Duration(24 * time.Hour)}, {Scope: "action", Max: 5, Per: rapport.Duration(24 * time.Hour)}},
			Features: []string{"traits.plan", "traits.birthYear", "scores.churn", "scores.propensity"}, Fatigue: &FatigueDoc{Cost: 0.01},
		}},
	}
	events := []string{"Product Viewed", "Product Added", "Order Completed", "Decision Clicked"}
	types := []rapport.ActionType{"offer", "message", "content", "recommendation"}
	for i := range actions {
		docs.Actions = append(docs.Actions, ActionDoc{
			ID: fmt.Sprint("action-", i), Type: types[i%4], Placements: []string{"home"}, Topic: fmt.Sprint("topic-", i%9),
			When: when(t, fmt.Sprintf(`performed("%s").within("%dd").count() < %d && traits.plan != "plan-%d" && (traits.country in ["NO", "SE", "DK"] || scores.churn > 0.%d)`,
				events[i%4], 7*(1+i%5), 30+i%11, i, 1+i%8)),
			Goals: []GoalDoc{{Event: "Order Completed", Within: rapport.Duration(7 * 24 * time.Hour), Value: Amount{Path: []string{"revenue"}}, Margin: 0.4}, fixed("Decision Clicked", 0.1)},
			Cost:  0.02, About: []string{fmt.Sprint("category-", i%12), fmt.Sprint("sku-", i)},
		})
	}
	c := &crowded{config: compile(t, docs), model: NewModel()}
	c.ctx = rapport.FieldsOf(map[string]any{
		"device": "phone", "page": "product", "source": "newsletter", "campaign": "spring", "minutes": 4, "views": 7, "basket": 312.5, "returning": true,
		"browser": "firefox", "region": "Oslo", "weather": "rain", "query": "coffee",
	})
	c.who = &shopper{
		person: person{at: noon, traits: rapport.FieldsOf(map[string]any{"country": "NO", "plan": "plan-7", "birthYear": 1980, "name": "Kari", "city": "Oslo"})},
		counts: map[string]float64{"Product Viewed": 3, "Product Added": 1},
	}
	c.liked = &interest{}
	for i := range 10 {
		e := &rapport.Event{Type: rapport.TypeTrack, Name: "Product Viewed", Timestamp: noon.UnixMilli() - int64(i)*3600e3, Properties: rapport.FieldsOf(map[string]any{"category": fmt.Sprint("category-", i), "sku": fmt.Sprint("sku-", i)})}
		c.liked.Apply(nil, e)
	}
	s, random, m := &school{model: c.model}, rand.New(rand.NewPCG(3, 4)), c.moment(1)
	for _, a := range c.config.order {
		for n := range 20 {
			x := Example{
				ID: "d", Placement: "home", Action: a.ID, Kind: string(a.Type), Features: m.features, Goals: a.events,
				Match: matching(likesOf(m.features), a.about),
			}
			s.teach(&x)
			if n < growAt+1 {
				x.Goal, x.First = clicked, true
				s.teach(&x)
				if n < 2 || random.IntN(10) == 0 {
					x.Goal, x.Via, x.After = "Order Completed", true, 300*random.Float64()
					s.teach(&x)
				}
			}
		}
	}
	if err := c.model.Fold(s.records); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *crowded) moment(seed uint64) *moment {
	env := &overlay{Env: c.who, context: c.ctx}
	m := &moment{
		config: c.config, placement: c.config.Placement("home"), person: personID(seed), env: env, now: c.who.at.UnixMilli(),
		scorer: c.model.Knowledge(), context: c.ctx, seed: seed, cause: "request",
		uses: []use{{at: c.who.at.UnixMilli() - 1000, action: "action-3", topic: "topic-3"}},
		past: past{fatigue: 2, seen: []sight{{"action-11", Sight{0.7, 2, 0}}, {"action-3", Sight{1.5, 3, 1}}}},
	}
	m.features = m.gather(Features(env, c.ctx), c.liked)
	return m
}

func benchmarkCrowded(b *testing.B, actions int) {
	c := newCrowded(b, actions)
	var buf []byte
	b.ReportAllocs()
	seed := uint64(0)
	for b.Loop() {
		seed++
		d := c.moment(seed).arbitrate()
		e := decisionEvent(d, personID(seed), buf[:0])
		buf = e.Body
	}
	b.ReportMetric(float64(len(buf)), "bytes/record")
}

func BenchmarkDecideAmong50(b *testing.B)  { benchmarkCrowded(b, 50) }
func BenchmarkDecideAmong500(b *testing.B) { benchmarkCrowded(b, 500) }
