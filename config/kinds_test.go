package config_test

import (
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/config"
)

type sourceDoc struct {
	ID   string `yaml:"id" doc:"Name of the source."`
	Key  string `yaml:"key" doc:"Write key." required:"true"`
	Rate int    `yaml:"rate" doc:"Events a second." min:"1" max:"100000"`
}

type placementDoc struct {
	Slots int `yaml:"slots" doc:"Most actions in one decision." min:"1" max:"16"`
}

type goalDoc struct {
	Event  string           `yaml:"event" doc:"Name of the event." required:"true"`
	Within rapport.Duration `yaml:"within" doc:"How long it counts." min:"1m" max:"90d"`
	Value  float64          `yaml:"value" doc:"Worth of one."`
}

type actionDoc struct {
	Type       string               `yaml:"type" doc:"What it is." required:"true" enum:"offer,message,question"`
	Placements []string             `yaml:"placements" doc:"Where it may appear." ref:"placement" min:"1"`
	When       *condition.Condition `yaml:"when" doc:"Who is eligible."`
	Content    rapport.Fields       `yaml:"content" doc:"What is shown."`
	Goals      []goalDoc            `yaml:"goals" doc:"What counts as success." max:"3"`
	Cost       float64              `yaml:"cost" doc:"Cost of giving it." min:"0"`
	Uncapped   bool                 `yaml:"uncapped" doc:"No caps."`
	Extra      map[string]any       `yaml:"extra" doc:"Anything."`
}

// Validate wants a cost below the worth of a goal.
func (d *actionDoc) Validate() error {
	var faults []rapport.Fault
	for i, g := range d.Goals {
		if g.Value != 0 && g.Value <= d.Cost {
			faults = append(faults, rapport.Fault{Path: "goals[" + string(rune('0'+i)) + "].value", Message: "is not worth the cost", Hint: "raise it"})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return faulty(faults)
}

type faulty []rapport.Fault

func (f faulty) Error() string           { return "faulty" }
func (f faulty) Faults() []rapport.Fault { return f }

type segmentDoc struct {
	When condition.Condition `yaml:"when" doc:"Who is in it." required:"true"`
}

type webhookDoc struct {
	URL     string            `yaml:"url" doc:"Where to send." required:"true"`
	Secret  string            `yaml:"secret" doc:"Key of the signature." secret:"true"`
	Headers map[string]string `yaml:"headers" doc:"More headers."`
	Timeout rapport.Duration  `yaml:"timeout" doc:"Longest wait."`
	Tries   *int              `yaml:"tries" doc:"Most tries."`
}

// Validate wants an address.
func (d *webhookDoc) Validate() error {
	if !strings.HasPrefix(d.URL, "https://") {
		return rapport.Errorf(rapport.Invalid, "the url must begin with https://")
	}
	return nil
}

func registry(t testing.TB) *config.Registry {
	t.Helper()
	r, err := config.NewRegistry([]config.Kind{
		{Name: "source", Doc: "A place events come from.", New: func() any { return &sourceDoc{Rate: 1000} }},
		{Name: "placement", Doc: "A place or moment to decide for.", New: func() any { return &placementDoc{Slots: 1} }},
		{Name: "action", Doc: "One thing that may be said.", New: func() any { return &actionDoc{} }},
		{Name: "segment", Doc: "People a condition holds for.", New: func() any { return &segmentDoc{} }},
		{Name: "webhook", Doc: "A place to send to.", New: func() any { return &webhookDoc{Timeout: rapport.Duration(10e9)} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// documents parses documents a test is sure of.
func documents(t testing.TB, r *config.Registry, text string) *config.Set {
	t.Helper()
	set, problems := r.Parse("test.yaml", []byte(text))
	if err := append(problems, r.Check(set)...).Err(); err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return set
}

const northbean = `# The shop.
kind: source
id: web
key: wk_web            # write key
---
kind: placement
id: home_hero
slots: 2
---
kind: action
id: espresso-offer
type: offer
placements: [home_hero]
when: traits.country == "NO" && performed("Order Completed").within("30d").count() < 3
content: {title: Fresh espresso, url: /espresso}
goals:
  - {event: Order Completed, within: 7d, value: 5}
  - {event: Decision Clicked, within: 1h, value: 0.1}
cost: 0.02
---
kind: segment
id: regulars
labels: {team: crm}
demo: true
when: performed("Order Completed").within("90d").count() >= 3
---
kind: webhook
id: crm
url: https://${CRM_HOST}/hook
secret: ${CRM_SECRET}
headers: {X-Key: "$${literal}", Authorization: "Bearer ${CRM_TOKEN}"}
`

func environment(pairs ...string) config.Environment {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}
