package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Compile checks the documents, alone and against each other, and compiles
// them. The error is Invalid and has the method Faults() []rapport.Fault.
func Compile(docs Documents) (*Config, error) {
	c := &Config{
		placements: map[string]*Placement{},
		actions:    map[string]*Action{},
		triggers:   map[string][]*Trigger{},
		goals:      map[string]struct{}{},
		paid:       map[string]struct{}{},
		policy:     policy{exploration: defaultExploration, salt: hashText("")},
	}
	var f faults
	c.addPlacements(docs.Placements, &f)
	caps := c.addPolicy(docs.Policies, &f)
	if len(docs.Actions) > maxActions {
		f.Add("action", "%d actions are declared, at most %d are weighed", len(docs.Actions), maxActions)
		return nil, f.Err()
	}
	for i := range docs.Actions {
		c.addAction(&docs.Actions[i], caps, &f)
	}
	c.addTriggers(docs.Triggers, &f)
	c.addOutcomes(docs.Policies)
	if len(c.features) > maxKnownFeatures {
		c.features = c.features[:maxKnownFeatures]
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	for _, p := range c.placements {
		p.roster = newRoster(p.ID, p.Candidates)
	}
	c.askTogether()
	return c, nil
}

// askTogether has the conditions of the actions ask and judge once what several
// of them share.
func (c *Config) askTogether() {
	conditions := make([]*condition.Condition, len(c.order))
	for i, a := range c.order {
		conditions[i], _ = a.When.(*condition.Condition)
	}
	c.asked = condition.Share(conditions)
	for i, a := range c.order {
		if conditions[i] != nil {
			a.When = c.asked.Condition(i)
		}
	}
}

// nest adds the faults of one document under its kind and id.
func (f *faults) nest(kind, id string, err error) bool {
	if err == nil {
		return false
	}
	if e, ok := err.(*rapport.Error); ok {
		if own, ok := e.Err.(rapport.Faults); ok {
			for _, x := range own {
				f.Add(kind+" "+id+": "+x.Path, "%s", x.Message)
			}
			return true
		}
	}
	f.Add(kind+" "+id, "%v", err)
	return true
}

func (c *Config) addPlacements(docs []PlacementDoc, f *faults) {
	for i := range docs {
		d := &docs[i]
		if f.nest("placement", d.ID, d.Validate()) {
			continue
		}
		if c.placements[d.ID] != nil {
			f.Add("placement "+d.ID, "is declared twice")
		}
		c.placements[d.ID] = &Placement{
			ID: d.ID, Slots: max(1, d.Slots), OnShown: d.Exposure == "shown",
			Uncapped: d.Uncapped, Quiet: d.Quiet, ways: Ways(d.Channel, d.Channels), timing: d.Timing.compile("timing", f),
		}
	}
}

func (c *Config) addPolicy(docs []PolicyDoc, f *faults) (caps []*limit) {
	if len(docs) > 1 {
		f.Add("policy "+docs[1].ID, "a deployment has one policy, %s is another", docs[0].ID)
	}
	for i := range docs {
		d := &docs[i]
		if f.nest("policy", d.ID, d.Validate()) {
			continue
		}
		c.policy = policy{id: d.ID, holdout: d.Holdout, salt: hashText(d.Salt), exploration: defaultExploration}
		if d.Exploration != nil {
			c.policy.exploration = *d.Exploration
		}
		if d.QuietHours != nil {
			c.policy.quiet, _ = d.QuietHours.compile() // validated above
		}
		c.policy.goals = d.Goals
		if x := d.Fatigue; x != nil {
			c.policy.fatigue, c.policy.fatigueHalf = x.Cost, float64(max(x.HalfLife.Millis(), 0))
			if x.HalfLife == 0 {
				c.policy.fatigueHalf = 7 * 24 * 3600e3
			}
		}
		if x := d.Gate; x != nil {
			c.policy.gate = &gate{busy: x.Busy.Millis(), all: x.Scope == "all"}
			if !x.When.IsZero() {
				c.policy.gate.when, c.policy.gate.text = x.When, x.When.Text()
				c.gateWhen = x.When
			}
		}
		if d.Pause != nil {
			c.policy.pause = *d.Pause
		}
		c.policy.promotion = d.Promotion
		for _, name := range d.Features {
			if k, ok := knownOf(name); ok {
				c.feature(k)
			}
		}
		for _, x := range d.Caps {
			name := "policy " + d.ID + ", cap per " + x.Scope
			if x.Of != "" {
				name += " " + x.Of
			}
			caps = append(caps, c.limit(name, scopes[x.Scope], x.Of, x.Max, x.Per))
		}
	}
	return caps
}

func (c *Config) limit(name string, s scope, of string, most int, per rapport.Duration) *limit {
	c.horizon = max(c.horizon, per.Millis())
	return &limit{name: fmt.Sprintf("%s (%d per %s)", name, most, per), scope: s, of: of, max: most, per: per.Millis()}
}

func (c *Config) addAction(d *ActionDoc, caps []*limit, f *faults) {
	if f.nest("action", d.ID, d.Validate()) {
		return
	}
	at := "action " + d.ID
	if c.actions[d.ID] != nil {
		f.Add(at, "is declared twice")
		return
	}
	a := &Action{
		ID: d.ID, Type: d.Type, Purpose: d.Purpose, Topic: d.Topic,
		Cost: d.Cost, Weight: d.Weight, Priority: d.Priority,
	}
	if a.Weight == 0 {
		a.Weight = 1
	}
	if !d.When.IsZero() {
		a.When, a.condition = d.When, d.When.Text()
	}
	a.from, _ = parseMoment(d.From)
	a.until, _ = parseMoment(d.Until)
	a.validity = "valid"
	if a.from != 0 {
		a.validity += " from " + d.From
	}
	if a.until != 0 {
		a.validity += " until " + d.Until
	}
	a.consent = "no consent to " + d.Purpose
	a.content, a.Placements = d.Content, d.Placements
	a.ways, a.timed, a.timing = Ways(d.Channel, d.Channels), d.Timing != nil, d.Timing.compile("timing", f)
	a.locales = byLocale(d.Locales)
	for name, in := range d.In {
		if a.places == nil {
			a.places = map[string]place{}
		}
		a.places[name] = place{in.Content, byLocale(in.Locales)}
		if !slices.Contains(d.Placements, name) {
			f.Add(at+": in."+name, "is not among the action's placements")
		}
	}
	a.about = keysOf(d.About)
	a.Group, a.Share, a.Right, a.Control, a.seed = d.Group, d.Share, d.Right, d.Control, mix(hashText(d.ID)^c.policy.salt)
	if d.Right != "" {
		a.Control = 0
	}
	if d.Stock > 0 {
		a.quotas = append(a.quotas, &quota{id: "stock/" + d.ID, name: fmt.Sprintf("stock of %d", d.Stock), max: float64(d.Stock), units: 1})
	}
	if b := d.Budget; b != nil {
		a.quotas = append(a.quotas, &quota{
			id: "budget/" + d.ID, name: fmt.Sprintf("budget of %v per %s", b.Max, b.Per), max: b.Max, per: b.Per.Millis(), units: d.Cost,
		})
	}
	c.learnFrom(d.When)
	goals := d.Goals
	if len(goals) == 0 {
		goals = defaultGoals()
	}
	for _, g := range c.policy.goals {
		if !slices.ContainsFunc(goals, func(own GoalDoc) bool { return own.Event == g.Event }) && len(goals) < maxGoals {
			goals = append(slices.Clip(goals), g)
		}
	}
	for _, g := range goals {
		margin := g.Margin
		if margin == 0 {
			margin = 1
		}
		a.Goals = append(a.Goals, Goal{
			Event: g.Event, Within: g.Within.Millis(), Value: g.Value.orDefault(), Margin: margin, CLV: g.CLV, Feedback: isFeedback(g.Event), after: via(g.Event),
		})
		a.longest = max(a.longest, g.Within.Millis())
		a.events = append(a.events, g.Event)
		c.goals[g.Event] = struct{}{}
		if len(g.Value.Path) > 0 {
			c.paid[g.Event] = struct{}{}
		}
	}
	for _, l := range caps {
		if l.scope == scopePerson || l.scope == scopeChannel || l.of == "" ||
			l.scope == scopeAction && l.of == a.ID || l.scope == scopeTopic && l.of == a.Topic {
			a.caps = append(a.caps, l)
		}
	}
	if d.Cap != nil {
		a.caps = append(a.caps, c.limit("cap of action "+a.ID, scopeAction, a.ID, d.Cap.Max, d.Cap.Per))
	}
	c.actions[a.ID] = a
	c.order = append(c.order, a)
	for _, name := range d.Placements {
		p := c.placements[name]
		if p == nil {
			f.Add(at+": placements", "there is no placement %q%s", name, suggest(name, maps.Keys(c.placements)))
			continue
		}
		if !slices.Contains(p.Candidates, a) {
			p.Candidates = append(p.Candidates, a)
		}
	}
}

// learnFrom makes what a condition asks of the person a feature.
func (c *Config) learnFrom(when *condition.Condition) {
	if when == nil {
		return
	}
	u := when.Uses()
	for root, names := range map[condition.Root][]string{condition.Traits: u.Traits, condition.Computed: u.Computed, condition.Scores: u.Scores} {
		for _, name := range names {
			c.feature(known{name: root.String() + "." + name, root: root, path: strings.Split(name, ".")})
		}
	}
	for _, name := range u.Segments {
		c.feature(known{name: "segments." + name, segment: name})
	}
}

// feature adds a feature once; they stand by name.
func (c *Config) feature(k known) {
	at, found := slices.BinarySearchFunc(c.features, k.name, func(k known, name string) int { return strings.Compare(k.name, name) })
	if !found && len(k.name) <= maxFeatureName {
		c.features = slices.Insert(c.features, at, k)
	}
}

// knownOf reads the name of a feature as config writes it.
func knownOf(name string) (known, bool) {
	root, rest, ok := strings.Cut(name, ".")
	if !ok || rest == "" || len(name) > maxFeatureName {
		return known{}, false
	}
	switch root {
	case "segments":
		return known{name: name, segment: rest}, true
	case "traits":
		return known{name: name, root: condition.Traits, path: strings.Split(rest, ".")}, true
	case "computed":
		return known{name: name, root: condition.Computed, path: strings.Split(rest, ".")}, true
	case "scores":
		return known{name: name, root: condition.Scores, path: strings.Split(rest, ".")}, true
	}
	return known{}, false
}

func (c *Config) addTriggers(docs []TriggerDoc, f *faults) {
	seen := map[string]bool{}
	for i := range docs {
		d := &docs[i]
		if f.nest("trigger", d.ID, d.Validate()) {
			continue
		}
		if seen[d.ID] {
			f.Add("trigger "+d.ID, "is declared twice")
		}
		seen[d.ID] = true
		if c.placements[d.Placement] == nil {
			f.Add("trigger "+d.ID+": placement", "there is no placement %q%s", d.Placement, suggest(d.Placement, maps.Keys(c.placements)))
		}
		t := &Trigger{ID: d.ID, On: d.On, Placement: d.Placement}
		if !d.When.IsZero() {
			t.When = d.When
		}
		c.triggers[d.On] = append(c.triggers[d.On], t)
	}
}

// addOutcomes settles what the whole effect is measured in: what the policy
// says, else every goal event once, with the value the first action gives it.
func (c *Config) addOutcomes(docs []PolicyDoc) {
	for _, d := range docs {
		for _, o := range d.Outcomes {
			c.outcomes = append(c.outcomes, outcome{event: o.Event, value: o.Value.orDefault()})
		}
	}
	if len(c.outcomes) == 0 {
		for _, a := range c.order {
			for _, g := range a.Goals {
				known := slices.ContainsFunc(c.outcomes, func(o outcome) bool { return o.event == g.Event })
				if !known && !g.Feedback {
					c.outcomes = append(c.outcomes, outcome{event: g.Event, value: g.Value})
				}
			}
		}
	}
	for _, o := range c.outcomes {
		c.goals[o.event] = struct{}{}
	}
}
