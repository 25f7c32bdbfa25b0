package decide

import (
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Part is the name under which the compiled Config stands in [engine.Config].
const Part = "decide"

// Documents are the config documents of this room, in config order.
type Documents struct {
	Actions    []ActionDoc
	Placements []PlacementDoc
	Policies   []PolicyDoc
	Triggers   []TriggerDoc
}

// Config is the compiled form of Documents. It is immutable and may be used by
// any number of goroutines.
type Config struct {
	placements map[string]*Placement
	actions    map[string]*Action
	order      []*Action
	policy     policy
	triggers   map[string][]*Trigger // by event
	outcomes   []outcome
	goals      map[string]struct{} // events that are a goal or an outcome
	paid       map[string]struct{} // goals whose worth stands in the event
	horizon    int64               // longest window of a cap, ms
	features   []known
	gateWhen   *condition.Condition
	asked      *condition.Shared // the conditions of actions, asked together
}

// Action is one compiled action.
type Action struct {
	ID         string
	Type       rapport.ActionType
	Purpose    string
	Placements []string
	Topic      string
	Goals      []Goal
	Cost       float64
	Weight     float64 // > 0
	Priority   int
	When       condition.Expr // nil holds always
	Group      string
	about      []uint32 // keys of what it is about, see interest
	Share      float64
	Right      string // "recall" or "safety": beside all pressure
	Control    float64

	quotas      []*quota
	seed        uint64 // of its control group
	from, until int64  // 0 is open
	validity    string
	condition   string // text of When
	consent     string // what is said when consent is missing
	content     rapport.Fields
	locales     map[string]rapport.Fields
	places      map[string]place
	caps        []*limit
	longest     int64    // longest goal window, ms
	events      []string // of the goals
	ways        []string // channels to choose from; empty means the placement's
	timed       bool     // timing goes before the placement's
	timing      *timing
}

// Goal is one compiled goal.
type Goal struct {
	Event    string
	Within   int64 // ms
	Value    Amount
	Margin   float64 // share of the value
	CLV      float64 // change of what the person is worth in all
	after    string  // name of the outcome that it is reached after a click
	Feedback bool    // a click or dismissal of the decision itself, which nobody in the holdout can give
}

// Placement is one compiled placement with its candidates in config order.
type Placement struct {
	ID         string
	Slots      int
	OnShown    bool // exposure begins with Decision Shown
	Uncapped   bool
	Quiet      bool
	Candidates []*Action

	ways   []string // channels to choose from
	timing *timing
	roster *roster
}

// Trigger is one compiled trigger.
type Trigger struct {
	ID        string
	On        string
	When      condition.Expr // nil holds always
	Placement string
}

type outcome struct {
	event string
	value Amount
}

type policy struct {
	id          string
	holdout     float64
	salt        uint64
	exploration float64
	quiet       *quiet
	goals       []GoalDoc
	fatigue     float64 // cost of one unanswered contact
	fatigueHalf float64 // ms
	gate        *gate
	pause       PauseDoc
	promotion   *PromotionDoc
}

// gate says when people may be spoken to unasked.
type gate struct {
	when condition.Expr // nil holds always
	text string
	busy int64 // ms
	all  bool
}

// quota is a limit over all people: units of stock, or money of a budget.
type quota struct {
	id    string
	name  string // for people
	max   float64
	per   int64   // ms; 0 is for ever
	units float64 // that giving the action once takes
}

// quiet is a daily span in minutes since midnight.
type quiet struct {
	from, to int
	zone     *time.Location // nil is the person's
}

type scope uint8

const (
	scopePerson scope = iota
	scopeAction
	scopeChannel
	scopeTopic
)

var scopes = map[string]scope{"person": scopePerson, "overall": scopePerson, "action": scopeAction, "channel": scopeChannel, "topic": scopeTopic}

// limit is one compiled cap.
type limit struct {
	name  string
	scope scope
	of    string
	max   int
	per   int64 // ms
}

const defaultExploration = 0.02

// defaultGoals are those of an action that declares none.
func defaultGoals() []GoalDoc {
	return []GoalDoc{{Event: rapport.EventDecisionClicked, Within: rapport.Duration(time.Hour), Value: FixedAmount(0.1)}}
}

// Ways lists the channels a document names, one or several.
func Ways(channel string, channels []string) []string {
	if channel != "" {
		return []string{channel}
	}
	return channels
}

// Placement returns the compiled placement, or nil.
func (c *Config) Placement(id string) *Placement {
	if c == nil {
		return nil
	}
	return c.placements[id]
}

// rightful returns the first placement by id that has an action with a right, or nil.
func (c *Config) rightful(right string) (first *Placement) {
	if c == nil {
		return nil
	}
	for _, p := range c.placements {
		if (first == nil || p.ID < first.ID) && slices.ContainsFunc(p.Candidates, func(a *Action) bool { return a.Right == right }) {
			first = p
		}
	}
	return first
}

// Action returns the compiled action, or nil.
func (c *Config) Action(id string) *Action {
	if c == nil {
		return nil
	}
	return c.actions[id]
}

// Conditions iterates over every condition, so that the aggregates they ask
// about can be maintained.
func (c *Config) Conditions() iter.Seq[condition.Expr] {
	return func(yield func(condition.Expr) bool) {
		for _, a := range c.order {
			if a.When != nil && !yield(a.When) {
				return
			}
		}
		if c.gateWhen != nil && !yield(c.gateWhen) {
			return
		}
		for _, on := range slices.Sorted(maps.Keys(c.triggers)) {
			for _, t := range c.triggers[on] {
				if t.When != nil && !yield(t.When) {
					return
				}
			}
		}
	}
}

// held reports whether a person belongs to the permanent holdout. It depends
// on the person and the policy's salt alone, so it never changes by itself.
func (p *policy) held(id rapport.ID) bool {
	return float64(mix(id.Hash64()^p.salt)>>11)/(1<<53) < p.holdout
}

// controls reports whether a person belongs to an action's own control group.
func (a *Action) controls(id rapport.ID) bool {
	return a.Control > 0 && float64(mix(id.Hash64()^a.seed)>>11)/(1<<53) < a.Control
}

// mix is the finaliser of splitmix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashText is FNV-1a.
func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// round32 keeps a figure to the precision the log keeps it in, so that a
// decision reads back as it was answered.
func round32(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return float64(float32(max(-math.MaxFloat32, min(math.MaxFloat32, x))))
}
