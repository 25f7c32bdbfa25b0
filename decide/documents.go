package decide

import (
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// ActionDoc is the config document of kind "action": one thing that may be
// said or done, to whom, where, and what it is worth when it works.
type ActionDoc struct {
	ID         string                    `yaml:"id" doc:"Name of the action, unique among actions."`
	Type       rapport.ActionType        `yaml:"type" required:"true" enum:"offer,message,recommendation,question,command,content" doc:"offer, message, recommendation, question, command or content."`
	Placements []string                  `yaml:"placements" required:"true" ref:"placement" doc:"Placements it may appear in."`
	When       *condition.Condition      `yaml:"when,omitempty" doc:"Who is eligible; everybody if left out."`
	Content    rapport.Fields            `yaml:"content,omitempty" doc:"What the client shows; any JSON."`
	Locales    map[string]rapport.Fields `yaml:"locales,omitempty" doc:"Content per locale (nb, pt-BR); chosen by context.locale, then traits.locale; content is the fallback."`
	In         map[string]ContentDoc     `yaml:"in,omitempty" doc:"Content of its own in some placements."`
	About      []string                  `yaml:"about,omitempty" doc:"Categories, brands and products it is about, by the names events call them (category, brand, sku, product_id): who deals with them is expected to like it before anything was learned of it."`
	Goals      []GoalDoc                 `yaml:"goals,omitempty" doc:"What counts as success and what it is worth. Default: Decision Clicked within 1h, worth 0.1."`
	Cost       float64                   `yaml:"cost,omitempty" min:"0" unit:"money" doc:"What giving it once costs, in the deployment's currency."`
	Purpose    string                    `yaml:"purpose,omitempty" suggest:"action.purpose" doc:"Purpose the person must have consented to; none for a slot on one's own site."`
	Channel    string                    `yaml:"channel,omitempty" suggest:"channel" doc:"Channel it is pushed through (inapp, webhook); the placement's if left out."`
	Channels   []string                  `yaml:"channels,omitempty" suggest:"channel" doc:"Channels it may be pushed through instead of one: the person's consent and addresses allow some of them, and which of those is learned per person."`
	Timing     *TimingDoc                `yaml:"timing,omitempty" doc:"When it is sent where a trigger asks for it; the placement's if left out."`
	Topic      string                    `yaml:"topic,omitempty" suggest:"action.topic" doc:"Subject, for caps of scope topic."`
	From       string                    `yaml:"from,omitempty" doc:"First moment of validity (2026-05-01 or 2026-05-01T08:00:00Z)."`
	Until      string                    `yaml:"until,omitempty" doc:"End of validity, exclusive."`
	Weight     float64                   `yaml:"weight,omitempty" min:"0" max:"1000" doc:"Multiplier of its expected value; default 1."`
	Priority   int                       `yaml:"priority,omitempty" min:"0" max:"100" doc:"0 competes by value. Higher goes first among the eligible and is shown even at a loss: for service and safety messages."`
	Cap        *RateDoc                  `yaml:"cap,omitempty" doc:"How often one person may get this action."`
	Group      string                    `yaml:"group,omitempty" suggest:"action.group" doc:"Actions of one group exclude each other within a decision."`
	Share      float64                   `yaml:"share,omitempty" min:"0" max:"0.5" unit:"share" doc:"Least share of its placement's decisions in which it is given to somebody eligible, whatever it is worth; 0 to 0.5. What that costs is shown."`
	Right      string                    `yaml:"right,omitempty" enum:"recall,safety" doc:"recall or safety: the right to be given beside consent to its purpose, caps, quiet hours, fatigue, the gate and the holdout, whatever it is worth. Consent holds where the channel is strict. Every use is recorded as such."`
	Control    float64                   `yaml:"control,omitempty" min:"0" max:"0.5" unit:"share" doc:"Share of people who never get this action, so that its own effect can be measured; 0 to 0.5. Nobody is kept from what has a right."`
	Stock      int                       `yaml:"stock,omitempty" min:"0" doc:"Most times it is given in all; 0 is without limit."`
	Budget     *BudgetDoc                `yaml:"budget,omitempty" doc:"Most that its cost may add up to."`
}

// ContentDoc is the content of an action in one placement.
type ContentDoc struct {
	Content rapport.Fields            `yaml:"content,omitempty" doc:"What the client shows there; any JSON."`
	Locales map[string]rapport.Fields `yaml:"locales,omitempty" doc:"Per locale."`
}

// Contents yields every content of the action in a fixed order, with the path it
// stands at: its own, those of its locales, and those of its placements.
func (d *ActionDoc) Contents() iter.Seq2[string, rapport.Fields] {
	return func(yield func(string, rapport.Fields) bool) {
		locales := func(at string, m map[string]rapport.Fields) bool {
			for _, l := range slices.Sorted(maps.Keys(m)) {
				if !yield(at+"locales."+l, m[l]) {
					return false
				}
			}
			return true
		}
		if !yield("content", d.Content) || !locales("", d.Locales) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(d.In)) {
			at := "in." + name + "."
			if !yield(at+"content", d.In[name].Content) || !locales(at, d.In[name].Locales) {
				return
			}
		}
	}
}

// BudgetDoc limits what an action costs, paced over its period.
type BudgetDoc struct {
	Max float64          `yaml:"max" required:"true" min:"0" unit:"money" doc:"Most money, in the deployment's currency."`
	Per rapport.Duration `yaml:"per" required:"true" max:"90d" doc:"In this long; it is spent evenly over it."`
}

// FatigueDoc makes every further contact dearer while contacts stay unanswered.
type FatigueDoc struct {
	Cost     float64          `yaml:"cost" required:"true" min:"0" unit:"money" doc:"What each unanswered contact adds to the cost of the next, in the deployment's currency."`
	HalfLife rapport.Duration `yaml:"halfLife,omitempty" max:"90d" doc:"How soon half of it is forgotten; default 7d. An answer ends it at once."`
}

// GateDoc says when people may be spoken to at all, unasked.
type GateDoc struct {
	When  *condition.Condition `yaml:"when,omitempty" doc:"Condition on the person and the moment, such as scores.intent > 0.2; holds always if left out."`
	Busy  rapport.Duration     `yaml:"busy,omitempty" max:"1d" doc:"Nobody is interrupted this soon after the last thing that was given to them and stays unanswered."`
	Scope string               `yaml:"scope,omitempty" enum:"pushed,all" doc:"pushed (default): what triggers ask for and what goes through a channel; all: slots on one's own site too."`
}

// PauseDoc is the rule that pauses an action that harms.
type PauseDoc struct {
	Off    bool    `yaml:"off,omitempty" doc:"Never pause by rule."`
	People int     `yaml:"people,omitempty" min:"0" doc:"Least people on each side; default 200."`
	Level  float64 `yaml:"level,omitempty" min:"0" max:"0.999" doc:"Level of the always-valid interval whose upper end must be below 0; default 0.95."`
}

// GoalDoc is one outcome of an action.
type GoalDoc struct {
	Event  string           `yaml:"event" required:"true" suggest:"event" doc:"Name of the event that is the success."`
	Within rapport.Duration `yaml:"within" required:"true" max:"90d" doc:"How long after the decision it still counts; at most 90d."`
	Value  Amount           `yaml:"value,omitempty" doc:"Worth of one success: a number, or properties.path of the event. Default 1. Below 0 for what does harm, such as Unsubscribed."`
	Margin float64          `yaml:"margin,omitempty" min:"0" max:"1" unit:"share" doc:"Which share of the value is margin; default all of it."`
	CLV    float64          `yaml:"clv,omitempty" min:"-1" max:"1" doc:"By which share a success changes what the person is worth in all (scores.clv); below 0 for what drives people away."`
}

// RateDoc limits how often.
type RateDoc struct {
	Max int              `yaml:"max" required:"true" min:"1" max:"1000" doc:"Most times, 1 to 1000."`
	Per rapport.Duration `yaml:"per" required:"true" max:"90d" doc:"In this long, sliding; at most 90d."`
}

// PlacementDoc is the config document of kind "placement": a place or moment
// where one decision is asked for.
type PlacementDoc struct {
	ID       string     `yaml:"id" doc:"Name clients ask by."`
	Slots    int        `yaml:"slots,omitempty" min:"0" max:"16" doc:"Most actions in one decision, 1 to 16; default 1."`
	Channel  string     `yaml:"channel,omitempty" suggest:"channel" doc:"Channel its actions are pushed through; none for a slot on one's own site."`
	Channels []string   `yaml:"channels,omitempty" suggest:"channel" doc:"Channels to choose from instead of one: which of those open to the person is learned per person."`
	Timing   *TimingDoc `yaml:"timing,omitempty" doc:"When what a trigger asks for is decided and sent; at once if left out."`
	Exposure string     `yaml:"exposure,omitempty" enum:"made,shown" doc:"When a decision counts as seen: made (default), or shown if clients always report Decision Shown."`
	Uncapped bool       `yaml:"uncapped,omitempty" doc:"Decisions here neither count towards caps nor are limited by them."`
	Quiet    bool       `yaml:"quiet,omitempty" doc:"Quiet hours hold here too, although nothing is pushed."`
}

// PolicyDoc is the config document of kind "policy": the restraint every
// decision is under. A deployment has at most one.
type PolicyDoc struct {
	ID          string        `yaml:"id" doc:"Name of the policy."`
	Holdout     float64       `yaml:"holdout,omitempty" min:"0" max:"0.5" unit:"share" doc:"Share of people who never get anything, so that the effect of the rest can be measured; 0 to 0.5."`
	Salt        string        `yaml:"salt,omitempty" doc:"Changing it draws another holdout."`
	Caps        []CapDoc      `yaml:"caps,omitempty" doc:"Limits on how much one person gets."`
	QuietHours  *QuietDoc     `yaml:"quietHours,omitempty" doc:"When nothing is pushed."`
	Exploration *float64      `yaml:"exploration,omitempty" min:"0" max:"0.5" unit:"share" doc:"Share of decisions taken uniformly at random to keep learning; 0 to 0.5, default 0.02."`
	Goals       []GoalDoc     `yaml:"goals,omitempty" doc:"Goals of every action beside its own: what any contact may lead to, such as Unsubscribed."`
	Fatigue     *FatigueDoc   `yaml:"fatigue,omitempty" doc:"Pressure that rises with contacts nobody answered."`
	Gate        *GateDoc      `yaml:"gate,omitempty" doc:"When people may be spoken to at all."`
	Pause       *PauseDoc     `yaml:"pause,omitempty" doc:"When an action that harms is paused."`
	Promotion   *PromotionDoc `yaml:"promotion,omitempty" doc:"What a change of actions or policy must show before it is published."`
	Features    []string      `yaml:"features,omitempty" doc:"More of the person for the models to learn from: traits.x, computed.x, scores.x, segments.x. What conditions ask about is learned from anyway."`
	Currency    string        `yaml:"currency,omitempty" doc:"Currency of all amounts, as three letters of ISO 4217: NOK. Only shown, never converted."`
	Outcomes    []OutcomeDoc  `yaml:"outcomes,omitempty" doc:"What the effect is measured in. Default: the goals of all actions, feedback on decisions left out."`
}

// CapDoc is one limit.
type CapDoc struct {
	Scope string           `yaml:"scope" required:"true" enum:"person,overall,action,channel,topic" doc:"person or overall (everything), action, channel or topic (each by itself)."`
	Of    string           `yaml:"of,omitempty" suggest:"action" doc:"Only this action, channel or topic."`
	Max   int              `yaml:"max" required:"true" min:"1" max:"1000" doc:"Most actions, 1 to 1000."`
	Per   rapport.Duration `yaml:"per" required:"true" max:"90d" doc:"In this long, sliding; at most 90d."`
}

// QuietDoc is a daily span of restraint; it may pass midnight.
type QuietDoc struct {
	From string `yaml:"from" required:"true" doc:"Start, HH:MM."`
	To   string `yaml:"to" required:"true" doc:"End, HH:MM, exclusive."`
	Zone string `yaml:"zone,omitempty" doc:"person (default) or an IANA zone such as Europe/Oslo."`
}

// OutcomeDoc is an event the whole effect is measured in.
type OutcomeDoc struct {
	Event string `yaml:"event" required:"true" suggest:"event" doc:"Name of the event."`
	Value Amount `yaml:"value,omitempty" doc:"Worth of one: a number or properties.path. Default 1."`
}

// TriggerDoc is the config document of kind "trigger": an event that asks for
// a decision by itself. It passes the same arbitration as every request.
type TriggerDoc struct {
	ID        string               `yaml:"id" doc:"Name of the trigger."`
	On        string               `yaml:"on" required:"true" suggest:"event" doc:"Name of the event."`
	When      *condition.Condition `yaml:"when,omitempty" doc:"Condition on person and event (properties.x)."`
	Placement string               `yaml:"placement" required:"true" ref:"placement" doc:"Placement to decide for."`
}

// Amount is the worth of a success: a fixed number, or the path of a property
// of the event, written properties.a.b.
type Amount struct {
	Fixed float64
	Path  []string
	set   bool
}

// FixedAmount returns a fixed worth.
func FixedAmount(f float64) Amount { return Amount{Fixed: f, set: true} }

// Of returns the worth of an event; ok is false if the property is missing or no number.
func (a Amount) Of(e *rapport.Event) (value float64, ok bool) {
	if len(a.Path) == 0 {
		return a.orDefault().Fixed, true
	}
	v, found := e.Properties.Path(a.Path...)
	if !found {
		return 0, false
	}
	if f, ok := v.Number(); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(v.Str(), 64) // shops send "19.90"
	return f, err == nil && f-f == 0
}

func (a Amount) orDefault() Amount {
	if !a.set && len(a.Path) == 0 {
		return FixedAmount(1)
	}
	return a
}

// MarshalText returns the form config uses.
func (a Amount) MarshalText() ([]byte, error) {
	if len(a.Path) > 0 {
		return []byte("properties." + strings.Join(a.Path, ".")), nil
	}
	return strconv.AppendFloat(nil, a.orDefault().Fixed, 'g', -1, 64), nil
}

// MarshalYAML writes a number as a number.
func (a Amount) MarshalYAML() (any, error) {
	if len(a.Path) == 0 {
		return a.orDefault().Fixed, nil
	}
	b, err := a.MarshalText()
	return string(b), err
}

// UnmarshalText parses the form config uses.
func (a *Amount) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	if path, ok := strings.CutPrefix(s, "properties."); ok {
		*a = Amount{Path: strings.Split(path, "."), set: true}
		for _, k := range a.Path {
			if k == "" || len(a.Path) > 8 {
				return rapport.Errorf(rapport.Invalid, "value %q is not a path: write properties.revenue", s)
			}
		}
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f-f != 0 {
		return rapport.Errorf(rapport.Invalid, "value %q is neither a number nor a path such as properties.revenue", s)
	}
	*a = FixedAmount(f)
	return nil
}

// Limits of config.
const (
	maxWindow  = rapport.Duration(90 * 24 * time.Hour)
	maxRate    = 1000
	maxSlots   = 16
	maxGoals   = 8
	maxAbout   = 16
	maxCaps    = 16
	maxActions = 10_000
	maxContent = 64 << 10 // bytes

	maxContentDepth = 16
	maxNameLength   = 128
	maxNamed        = 64 // features the policy names
)

// compile resolves the span and its zone.
func (d *QuietDoc) compile() (*quiet, error) {
	q := &quiet{}
	for _, x := range []struct {
		text string
		into *int
	}{{d.From, &q.from}, {d.To, &q.to}} {
		t, err := time.Parse("15:04", x.text)
		if err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "%q is not a time of day (write \"21:00\")", x.text)
		}
		*x.into = t.Hour()*60 + t.Minute()
	}
	if q.from == q.to {
		return nil, rapport.Errorf(rapport.Invalid, "from and to are the same time")
	}
	if d.Zone != "" && d.Zone != "person" {
		l, err := time.LoadLocation(d.Zone)
		if err != nil || d.Zone == "Local" {
			return nil, rapport.Errorf(rapport.Invalid, "%q is neither person nor an IANA zone", d.Zone)
		}
		q.zone = l
	}
	return q, nil
}
