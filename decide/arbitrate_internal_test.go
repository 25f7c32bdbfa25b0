package decide

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// person is an Env told what it holds.
type person struct {
	traits  rapport.Fields
	allowed map[string]bool
	at      time.Time
}

func (p *person) Value(root condition.Root, path []string) rapport.Value {
	if root != condition.Traits {
		return rapport.Value{}
	}
	v, _ := p.traits.Path(path...)
	return v
}
func (p *person) Performed(*condition.Aggregate) rapport.Value { return rapport.NumberValue(0) }
func (p *person) Degree(string) float64                        { return 0 }
func (p *person) Consent(purpose, channel string) bool {
	return p.allowed[purpose] || p.allowed[purpose+"/"+channel]
}
func (p *person) Now() time.Time { return p.at }

func when(t testing.TB, text string) *condition.Condition {
	t.Helper()
	c, err := condition.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func compile(t testing.TB, docs Documents) *Config {
	t.Helper()
	c, err := Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func personID(n uint64) (id rapport.ID) {
	id[0] = byte(rapport.RankUserID)
	for i := range 8 {
		id[8+i] = byte(mix(n) >> (8 * i))
	}
	return id
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func momentFor(c *Config, placement string, p *person, seed uint64) *moment {
	return &moment{
		config: c, placement: c.Placement(placement), person: personID(1), env: &overlay{Env: p}, now: p.at.UnixMilli(),
		scorer: newKnowledge(), seed: seed, cause: "request",
	}
}

func fixed(event string, value float64) GoalDoc {
	return GoalDoc{Event: event, Within: rapport.Duration(24 * time.Hour), Value: FixedAmount(value)}
}

func none(x float64) *float64 { return &x }

func TestEveryRuleSaysWhatFailed(t *testing.T) {
	t.Parallel()
	slot := []string{"home"}
	c := compile(t, Documents{
		Placements: []PlacementDoc{{ID: "home", Quiet: true}},
		Policies: []PolicyDoc{{
			ID: "default", Caps: []CapDoc{{Scope: "topic", Of: "coffee", Max: 2, Per: rapport.Duration(24 * time.Hour)}},
			QuietHours: &QuietDoc{From: "11:30", To: "13:00"},
		}},
		Actions: []ActionDoc{
			{ID: "late", Type: "offer", Placements: slot, Until: "2026-05-01"},
			{ID: "abroad", Type: "offer", Placements: slot, When: when(t, `traits.country == "NO"`)},
			{ID: "mail", Type: "message", Placements: slot, Purpose: "marketing", Channel: "email"},
			{ID: "text", Type: "message", Placements: slot, Channel: "sms", Right: "recall"},
			{ID: "beans", Type: "offer", Placements: slot, Topic: "coffee"},
			{ID: "mug", Type: "offer", Placements: slot},
		},
	})
	p := &person{at: noon, traits: rapport.FieldsOf(map[string]any{"country": "SE"})}
	m := momentFor(c, "home", p, 1)
	hour := time.Hour.Milliseconds()
	m.uses = []use{{at: m.now - 20*hour, action: "x", topic: "coffee"}, {at: m.now - 2*hour, action: "y", topic: "coffee"}}
	m.reach = func(channel string) string {
		if channel == "sms" {
			return "no phone number is known"
		}
		return ""
	}
	d := m.arbitrate()
	got := map[string]string{}
	for _, x := range d.Candidates {
		got[x.Action] = x.Excluded + ": " + x.Detail
	}
	want := map[string]string{
		"late":   "validity: valid until 2026-05-01",
		"abroad": `condition: traits.country == "NO" (traits.country is "SE")`,
		"mail":   "consent: no consent to marketing through email",
		"text":   "reach: no phone number is known",
		"beans":  "cap: policy default, cap per topic coffee (2 per 1d) is used up, frees 2026-05-04T16:00:00Z",
		"mug":    "quiet hours: from 11:30 to 13:00, ends 2026-05-04T13:00:00Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d.Idle != 1 || len(d.Items) != 0 || d.Nothing != "no action was allowed: 1 by validity, 1 by condition, 1 by consent, 1 by reach, 1 by cap, 1 by quiet hours" {
		t.Errorf("nothing: %q, idle %v", d.Nothing, d.Idle)
	}
	for action, change := range map[string]string{
		"late": "a later end of validity than 2026-05-01T00:00:00Z", "abroad": "if this held: traits.country", "mail": "consent to marketing through email",
		"text":  "an address that takes messages, for the channel sms",
		"beans": "waiting until 2026-05-04T16:00:00Z", "mug": "waiting until 2026-05-04T13:00:00Z", "hat": "naming home",
	} {
		x := m.about(d, action)
		if len(x.Changes) != 1 || !strings.HasPrefix(x.Changes[0], change) || x.Chosen {
			t.Errorf("%s would be changed by %q, want %q", action, x.Changes, change)
		}
	}
	for i, want := range []int{6, 6, 5, 4, 4, 3, 2, 2, 1, 1, 0, 0} {
		if f := Explain(d).Funnel[i]; f.Left != want {
			t.Errorf("after %s %d are left, want %d", f.Rule, f.Left, want)
		}
	}
}

func TestOnSiteSlotsKnowNoQuietHoursAndPushedOnesDo(t *testing.T) {
	t.Parallel()
	c := compile(t, Documents{
		Placements: []PlacementDoc{{ID: "home"}, {ID: "push", Channel: "inapp"}},
		Policies:   []PolicyDoc{{ID: "default", QuietHours: &QuietDoc{From: "21:00", To: "08:00"}, Exploration: none(0)}},
		Actions:    []ActionDoc{{ID: "mug", Type: "offer", Placements: []string{"home", "push"}}},
	})
	oslo, _ := time.LoadLocation("Europe/Oslo")
	for hour, quiet := range map[int]bool{22: true, 3: true, 7: true, 8: false, 20: false, 21: true} {
		p := &person{at: time.Date(2026, 5, 4, hour, 0, 0, 0, oslo)}
		if d := momentFor(c, "home", p, 1).arbitrate(); len(d.Items) != 1 {
			t.Errorf("at %d:00 the site is silent: %s", hour, d.Nothing)
		}
		if d := momentFor(c, "push", p, 1).arbitrate(); (len(d.Items) == 0) != quiet {
			t.Errorf("at %d:00 local, pushed %v, quiet %v", hour, d.Items, quiet)
		}
	}
}

func TestNothingWinsWhenNoActionIsWorthItsCost(t *testing.T) {
	t.Parallel()
	c := compile(t, Documents{
		Placements: []PlacementDoc{{ID: "home"}},
		Policies:   []PolicyDoc{{ID: "default", Exploration: none(0)}},
		Actions:    []ActionDoc{{ID: "letter", Type: "offer", Placements: []string{"home"}, Cost: 50, Goals: []GoalDoc{fixed("Order Completed", 1)}}},
	})
	d := momentFor(c, "home", &person{at: noon}, 3).arbitrate()
	if len(d.Items) != 0 || !strings.HasPrefix(d.Nothing, "no action was worth more than nothing; the best of 1 action drew -4") || d.Idle < 0.99 {
		t.Errorf("gave %v; nothing %q, idle %v", d.Items, d.Nothing, d.Idle)
	}
	if x := momentFor(c, "home", &person{at: noon}, 3).about(d, "letter"); x.Rule != RuleWorth || len(x.Changes) != 2 {
		t.Errorf("why not: %+v", x)
	}
}

func TestPriorityGoesFirstEvenAtALoss(t *testing.T) {
	t.Parallel()
	c := compile(t, Documents{
		Placements: []PlacementDoc{{ID: "home", Slots: 2}},
		Actions: []ActionDoc{
			{ID: "mug", Type: "offer", Placements: []string{"home"}, Goals: []GoalDoc{fixed("Order Completed", 100)}},
			{ID: "recall", Type: "message", Placements: []string{"home"}, Priority: 9, Cost: 5},
		},
	})
	for seed := range uint64(50) {
		d := momentFor(c, "home", &person{at: noon}, seed).arbitrate()
		if len(d.Items) != 2 || d.Items[0].Action != "recall" || d.Items[0].Propensity < 0.999 || d.Idle != 0 {
			t.Fatalf("seed %d: %+v, idle %v", seed, d.Items, d.Idle)
		}
		if x := d.Items[0]; x.Lever != "priority" || x.LeverCost < 5 {
			t.Fatalf("what must be shown costs %v by %q", x.LeverCost, x.Lever)
		}
	}
}

func TestContentIsInThePersonsLanguage(t *testing.T) {
	t.Parallel()
	c := compile(t, Documents{
		Placements: []PlacementDoc{{ID: "home"}},
		Policies:   []PolicyDoc{{ID: "default", Exploration: none(0)}},
		Actions: []ActionDoc{{
			ID: "mug", Type: "offer", Placements: []string{"home"}, Content: rapport.FieldsOf(map[string]any{"title": "Mug", "n": 3}),
			Locales: map[string]rapport.Fields{
				"nb": rapport.FieldsOf(map[string]any{"title": "Krus"}), "pt-BR": rapport.FieldsOf(map[string]any{"title": "Caneca"}),
			},
		}},
	})
	for locale, want := range map[string]string{
		"": `{"n":3,"title":"Mug"}`, "nb-NO": `{"title":"Krus"}`, "pt_br": `{"title":"Caneca"}`, "pt-PT": `{"n":3,"title":"Mug"}`, "de": `{"n":3,"title":"Mug"}`,
	} {
		m := momentFor(c, "home", &person{at: noon}, 1)
		m.env = &overlay{Env: &person{at: noon}, context: rapport.FieldsOf(map[string]any{"locale": locale})}
		if got := string(m.arbitrate().Items[0].Content.AppendJSON(nil)); got != want {
			t.Errorf("locale %q got %s, want %s", locale, got, want)
		}
	}
}

// randomDocuments makes a config of any shape.
func randomDocuments(t testing.TB, r *rand.Rand) Documents {
	docs := Documents{}
	for i := range 1 + r.IntN(3) {
		docs.Placements = append(docs.Placements, PlacementDoc{
			ID: fmt.Sprint("p", i), Slots: r.IntN(5), Channel: []string{"", "", "inapp"}[r.IntN(3)], Quiet: r.IntN(4) == 0, Uncapped: r.IntN(4) == 0,
		})
	}
	policy := PolicyDoc{ID: "default", Holdout: 0.5 * r.Float64(), Exploration: none(0.5 * r.Float64())}
	for range r.IntN(4) {
		scope := []string{"person", "action", "channel", "topic"}[r.IntN(4)]
		policy.Caps = append(policy.Caps, CapDoc{Scope: scope, Max: 1 + r.IntN(4), Per: rapport.Duration(1+r.IntN(48)) * rapport.Duration(time.Hour)})
	}
	if r.IntN(2) == 0 {
		policy.QuietHours = &QuietDoc{From: "21:00", To: fmt.Sprintf("%02d:30", r.IntN(24))}
	}
	docs.Policies = []PolicyDoc{policy}
	for i := range r.IntN(40) {
		a := ActionDoc{
			ID: fmt.Sprint("a", i), Type: "offer", Placements: []string{docs.Placements[r.IntN(len(docs.Placements))].ID},
			Cost: max(0, r.NormFloat64()), Priority: max(0, r.IntN(12)-9), Topic: []string{"", "x", "y"}[r.IntN(3)], Weight: r.Float64() * 2,
		}
		if r.IntN(3) == 0 {
			a.Purpose = []string{"marketing", "service"}[r.IntN(2)]
		}
		if r.IntN(3) == 0 {
			a.When = when(t, `traits.n > 3`)
		}
		if r.IntN(3) == 0 {
			a.Goals = []GoalDoc{fixed("Order Completed", 20*r.NormFloat64()), {Event: "Signed Up", Within: rapport.Duration(time.Hour), Value: Amount{Path: []string{"worth"}}}}
		}
		if r.IntN(8) == 0 {
			a.Right = []string{"recall", "safety"}[r.IntN(2)]
		}
		if r.IntN(5) == 0 {
			a.Cap = &RateDoc{Max: 1 + r.IntN(3), Per: rapport.Duration(time.Hour)}
		}
		if r.IntN(6) == 0 {
			a.Share = 0.5 * r.Float64()
		}
		if r.IntN(6) == 0 {
			a.Control = 0.5 * r.Float64()
		}
		if r.IntN(6) == 0 {
			a.Group = "group"
		}
		docs.Actions = append(docs.Actions, a)
	}
	return docs
}

func TestPropensitiesSumToOneAndHoldoutPeopleGetNothingButWhatHasARightWhateverTheConfig(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(42, 1))
	held, given, righted := 0, 0, 0
	for round := range 400 {
		c := compile(t, randomDocuments(t, r))
		for range 20 {
			p := &person{
				at: noon.Add(time.Duration(r.IntN(24*60)) * time.Minute), allowed: map[string]bool{"marketing": r.IntN(2) == 0, "service/inapp": true},
				traits: rapport.FieldsOf(map[string]any{"n": r.IntN(8)}),
			}
			m := momentFor(c, fmt.Sprint("p", r.IntN(len(c.placements))), p, r.Uint64())
			m.person = personID(r.Uint64())
			d := m.arbitrate()
			sum := d.Idle
			for _, x := range d.Candidates {
				sum += x.Propensity
				if x.Excluded != "" && (x.Propensity != 0 || x.Score != 0) {
					t.Fatalf("round %d: excluded %+v", round, x)
				}
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Fatalf("round %d: propensities sum to %v", round, sum)
			}
			if c.policy.held(m.person) != d.Holdout || (len(d.Items) == 0) != (d.Nothing != "") {
				t.Fatalf("round %d: holdout %v got %v, nothing: %q", round, d.Holdout, d.Items, d.Nothing)
			}
			if d.Holdout {
				held++
				for _, x := range d.Items {
					if c.Action(x.Action).Right == "" {
						t.Fatalf("round %d: somebody held out was given %v", round, x)
					}
					righted++
				}
			}
			seen := map[string]bool{}
			for i, x := range d.Items { // what a control group does without leaves its slot to the next
				if !d.Holdout && x.Slot != i {
					t.Fatalf("round %d: item %d is in slot %d", round, i, x.Slot)
				}
			}
			for _, x := range chosen(d) {
				if seen[x.Action] || !(x.Propensity > 0 && x.Propensity <= 1+1e-9) {
					t.Fatalf("round %d: given %+v", round, x)
				}
				seen[x.Action] = true
				given++
			}
			back, err := DecodeDecision(AppendDecision(nil, d))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d, back); diff != "" && len(d.Candidates) > 0 {
				t.Fatalf("round %d: a decision reads back otherwise: %s", round, diff)
			}
		}
	}
	if held < 500 || given < 500 || righted < 50 {
		t.Errorf("the trial was too tame: %d held out, %d given, %d to those held out by a right", held, given, righted)
	}
}

func TestADecisionIsRepeatedFromItsSeed(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	c := compile(t, randomDocuments(t, r))
	for seed := range uint64(50) {
		a, b := momentFor(c, "p0", &person{at: noon}, seed).arbitrate(), momentFor(c, "p0", &person{at: noon}, seed).arbitrate()
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestTheShareOfDrawsIsThePropensity(t *testing.T) {
	t.Parallel()
	c := compile(t, Documents{
		Placements: []PlacementDoc{{ID: "home"}},
		Policies:   []PolicyDoc{{ID: "default", Exploration: none(0.1)}},
		Actions: []ActionDoc{
			{ID: "a", Type: "offer", Placements: []string{"home"}, Goals: []GoalDoc{fixed("Order Completed", 10)}},
			{ID: "b", Type: "offer", Placements: []string{"home"}, Goals: []GoalDoc{fixed("Order Completed", 6)}},
			{ID: "c", Type: "offer", Placements: []string{"home"}, Goals: []GoalDoc{fixed("Order Completed", 2)}, Cost: 0.2},
		},
	})
	const n = 40_000
	counts := map[string]float64{}
	var d *rapport.Decision
	for seed := range uint64(n) {
		d = momentFor(c, "home", &person{at: noon}, mix(seed)).arbitrate()
		name := ""
		if len(d.Items) > 0 {
			name = d.Items[0].Action
		}
		counts[name] += 1. / n
	}
	for _, x := range d.Candidates {
		if math.Abs(counts[x.Action]-x.Propensity) > 0.015 {
			t.Errorf("%s was drawn in %.3f, its propensity is %.3f", x.Action, counts[x.Action], x.Propensity)
		}
	}
	if math.Abs(counts[""]-d.Idle) > 0.015 {
		t.Errorf("nothing was drawn in %.3f, its propensity is %.3f", counts[""], d.Idle)
	}
}

func benchmarkArbitrate(b *testing.B, actions int) {
	docs := Documents{Placements: []PlacementDoc{{ID: "home"}}, Policies: []PolicyDoc{{ID: "default", Caps: []CapDoc{{Scope: "person", Max: 30, Per: rapport.Duration(24 * time.Hour)}}}}}
	for i := range actions {
		docs.Actions = append(docs.Actions, ActionDoc{
			ID: fmt.Sprint("action-", i), Type: "offer", Placements: []string{"home"}, When: when(b, fmt.Sprintf(`traits.n > %d && traits.country == "NO"`, i%10)),
			Goals: []GoalDoc{fixed("Order Completed", 10), fixed("Decision Clicked", 0.1)}, Cost: 0.02,
		})
	}
	c := compile(b, docs)
	p := &person{at: noon, traits: rapport.FieldsOf(map[string]any{"country": "NO", "n": 6, "name": "Kari", "city": "Oslo"})}
	var buf []byte
	b.ReportAllocs()
	seed := uint64(0)
	for b.Loop() {
		seed++
		d := momentFor(c, "home", p, seed).arbitrate()
		buf = AppendDecision(buf[:0], d)
	}
	b.ReportMetric(float64(len(buf)), "bytes/record")
}

func BenchmarkArbitrate50(b *testing.B)  { benchmarkArbitrate(b, 50) }
func BenchmarkArbitrate500(b *testing.B) { benchmarkArbitrate(b, 500) }
