package decide

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/ope"
)

// PromotionDoc is the gate a change of actions, placements or the policy passes
// before it is published.
type PromotionDoc struct {
	Off       bool    `yaml:"off,omitempty" doc:"Publish without asking what the change would have earned."`
	Margin    float64 `yaml:"margin,omitempty" min:"0" max:"1" doc:"By which share of what is earned now the lower bound of the change may lie below it; default 0.05."`
	Decisions int     `yaml:"decisions,omitempty" min:"0" doc:"Logged decisions it takes to judge; default 200."`
	Unknown   string  `yaml:"unknown,omitempty" enum:"publish,refuse" doc:"What becomes of a change the log cannot judge: publish (default), or refuse."`
}

func (d *PromotionDoc) orDefault() PromotionDoc {
	x := PromotionDoc{}
	if d != nil {
		x = *d
	}
	if x.Margin == 0 {
		x.Margin = 0.05
	}
	if x.Decisions == 0 {
		x.Decisions = 200
	}
	return x
}

// leastEffective is how many decisions of its own the log must be worth to a change.
const leastEffective = 50

// Verdicts of a [Promotion].
const (
	VerdictUnchanged = "unchanged" // who gets what stays as it is
	VerdictBetter    = "better"
	VerdictNotWorse  = "not worse"
	VerdictWorse     = "worse" // or may be
	VerdictUnknown   = "unknown"
	VerdictOff       = "off"
)

// Promotion says what a change of the configuration would have earned in the
// decisions logged, against the one in force: by the doubly robust estimate of
// the difference, per decision, with its 95 % interval.
type Promotion struct {
	Verdict string `json:"verdict" enum:"unchanged,better,not worse,worse,unknown,off"`
	// Refused is set when the change is published only over somebody's reason.
	Refused  bool   `json:"refused"`
	Sentence string `json:"sentence"`
	// Decisions are those logged that the change would have changed the chances
	// of, EffectiveSampleSize how many of its own they are worth to it.
	Decisions           int     `json:"decisions"`
	EffectiveSampleSize float64 `json:"effectiveSampleSize"`
	InForce             *Effect `json:"inForce,omitempty"`
	Changed             *Effect `json:"changed,omitempty"`
	Difference          *Effect `json:"difference,omitempty"`
	// Margin is how far below 0 the lower bound of the difference may lie.
	Margin float64 `json:"margin"`
	// Beyond lists what the log cannot tell of the change.
	Beyond []string `json:"beyond"`
}

// Outcomes are what decisions have brought so far, by id: the first slot's goals.
type Outcomes map[string]float64

// ReadOutcomes reads from the rewards topic what came of decisions.
func ReadOutcomes(ctx context.Context, log eventlog.Log, decisions []*rapport.Decision) (Outcomes, error) {
	out := make(Outcomes, len(decisions))
	from := int64(math.MaxInt64)
	for _, d := range decisions {
		out[d.ID] = 0
		from = min(from, d.Model+1)
	}
	first, next := log.Bounds(eventlog.Rewards, 0)
	from = max(from, first, next-outcomeRecords)
	if from >= next {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // all of it is there
	defer cancel()
	r, err := log.Reader(eventlog.Rewards, 0, from)
	if err != nil {
		return nil, rapport.Errorf(rapport.KindOf(err), "read rewards: %w", err)
	}
	defer r.Close()
	for at := from; at < next; {
		records, err := r.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, rapport.Errorf(rapport.Unavailable, "reading what came of decisions took too long")
		}
		if err != nil {
			return nil, rapport.Errorf(rapport.KindOf(err), "read rewards: %w", err)
		}
		for i := range records {
			at = records[i].Offset + 1
			l, err := ReadLesson(&records[i])
			if err != nil {
				return nil, err
			}
			if x := l.Example; x != nil && x.Slot == 0 && x.Goal != "" && x.Goal != clicked {
				if _, asked := out[x.ID]; asked {
					out[x.ID] = x.Reward
				}
			}
		}
	}
	return out, nil
}

// outcomeRecords is how far back outcomes are looked for.
const outcomeRecords = 200_000

// Promote judges a change by decisions logged, newest first, and what came of them. The chances
// of each action under both configurations are computed from the features each
// decision holds, by the model as it is now, for the first slot; rules that ask
// the person stand as they were recorded. The policy in force says how strict
// the gate is, so that no change lowers its own bar.
func Promote(now, next *Config, k *Knowledge, decisions []*rapport.Decision, came Outcomes) *Promotion {
	rule := now.policy.promotion.orDefault()
	p := &Promotion{Beyond: now.beyond(next)}
	if rule.Off {
		p.Verdict, p.Sentence = VerdictOff, "the gate is off (policy.promotion.off)"
		return p
	}
	var l ope.Log
	var before, difference []float64
	weighed := 0
	for _, d := range decisions {
		if weighed += len(d.Candidates); weighed > maxWeighed {
			break
		}
		if d.Holdout || len(d.Withheld) > 0 || len(d.Candidates) == 0 {
			continue
		}
		a, b := now.chances(k, d), next.chances(k, d)
		if a == nil || b == nil || a.same(b) {
			continue
		}
		taken, propensity := "", d.Idle
		if len(d.Items) > 0 {
			taken, propensity = d.Items[0].Action, d.Items[0].Propensity
		}
		if propensity <= 0 {
			continue
		}
		reward := came[d.ID]
		if c := next.actions[taken]; c != nil { // both are charged what it would cost
			reward -= c.Cost
		} else if c := now.actions[taken]; c != nil {
			reward -= c.Cost
		}
		expected := b.worth[taken]
		if _, known := b.worth[taken]; !known {
			expected = a.worth[taken]
		}
		was, is := a.value(b.worth), b.value(b.worth)
		wasWeight, isWeight := a.chance[taken]/propensity, b.chance[taken]/propensity
		l.Weights = append(l.Weights, isWeight)
		l.Rewards = append(l.Rewards, reward)
		l.Predicted = append(l.Predicted, expected)
		l.Direct = append(l.Direct, is)
		before = append(before, was+wasWeight*(reward-expected))
		difference = append(difference, is-was+(isWeight-wasWeight)*(reward-expected))
	}
	p.Decisions, p.EffectiveSampleSize = len(before), ope.EffectiveSampleSize(l.Weights)
	switch {
	case p.Decisions == 0 && len(p.Beyond) == 0 && len(decisions) > 0:
		p.Verdict, p.Sentence = VerdictUnchanged, "in none of the "+plural(len(decisions), "decision")+" logged would it have changed who gets what"
		return p
	case p.Decisions < rule.Decisions:
		p.unknown(&rule, fmt.Sprintf("not enough logged decisions: %d of the %d it takes", p.Decisions, rule.Decisions))
		return p
	case p.EffectiveSampleSize < leastEffective:
		p.unknown(&rule, fmt.Sprintf("not enough logged decisions: what it would do was done so seldom that %d are worth %.0f of its own, and %d are needed", p.Decisions, p.EffectiveSampleSize, leastEffective))
		return p
	}
	p.InForce, p.Difference = effectOf(before), effectOf(difference)
	for _, e := range ope.Evaluate(l, ope.Options{}) {
		if e.Method == "dr" {
			p.Changed = &Effect{e.Value, e.Low, e.High}
		}
	}
	p.Margin = rule.Margin * math.Abs(p.InForce.Value)
	text := fmt.Sprintf("over %d decisions (worth %.0f of its own) it earns %s per decision against %s in force, a difference between %s and %s",
		p.Decisions, p.EffectiveSampleSize, money(p.Changed.Value), money(p.InForce.Value), money(p.Difference.Low), money(p.Difference.High))
	switch {
	case p.Difference.Low >= 0:
		p.Verdict, p.Sentence = VerdictBetter, "not worse, surely enough: "+text
	case p.Difference.Low >= -p.Margin:
		p.Verdict, p.Sentence = VerdictNotWorse, fmt.Sprintf("not worse by more than %s: %s", money(p.Margin), text)
	default:
		p.Verdict, p.Refused = VerdictWorse, true
		p.Sentence = fmt.Sprintf("it may be worse by more than %s: %s", money(p.Margin), text)
	}
	if len(p.Beyond) > 0 {
		p.Sentence += "; the log cannot tell of " + strings.Join(p.Beyond, ", ")
	}
	return p
}

// maxWeighed bounds how many candidates of recorded decisions are weighed anew.
const maxWeighed = 400_000

// unknown is the verdict on a change the log cannot judge.
func (p *Promotion) unknown(rule *PromotionDoc, why string) {
	p.Verdict, p.Refused, p.Sentence = VerdictUnknown, rule.Unknown == "refuse", why
	if len(p.Beyond) > 0 {
		p.Sentence += "; the log cannot tell of " + strings.Join(p.Beyond, ", ")
	}
}

func effectOf(sample []float64) *Effect {
	low, high, mean := ope.Interval(sample, liftLevel)
	return &Effect{mean, low, high}
}

// chances are with which chance a configuration gives each action first in a
// recorded moment, and what each is expected to be worth, its cost deducted; ""
// is nothing.
type chances struct{ chance, worth map[string]float64 }

// same reports whether two configurations do the same.
func (a *chances) same(b *chances) bool {
	for action, p := range a.chance {
		if math.Abs(p-b.chance[action]) > 1e-9 {
			return false
		}
	}
	for action, p := range b.chance {
		if p > 1e-9 && a.chance[action] == 0 {
			return false
		}
	}
	return true
}

// value is what the chances are expected to earn. An action that the change
// knows is valued as there, so that a change of its cost counts on both sides.
func (a *chances) value(changed map[string]float64) (sum float64) {
	for _, action := range slices.Sorted(maps.Keys(a.chance)) {
		w, known := changed[action]
		if !known {
			w = a.worth[action]
		}
		sum += a.chance[action] * w
	}
	return sum
}

// chances returns those of a recorded moment, nil where the placement is gone.
func (c *Config) chances(k *Knowledge, d *rapport.Decision) *chances {
	p := c.placements[d.Placement]
	if p == nil {
		return nil
	}
	out := &chances{chance: map[string]float64{}, worth: map[string]float64{"": 0}}
	m := &moment{config: c, placement: p, scorer: k, features: d.Features, now: d.Time}
	f := contest{m: m, w: new(workspace), d: &rapport.Decision{Candidates: make([]rapport.Candidate, len(p.Candidates))}}
	recorded := make(map[string]bool, len(d.Candidates))
	for i := range d.Candidates {
		recorded[d.Candidates[i].Action] = d.Candidates[i].Excluded == ""
	}
	for i, a := range p.Candidates {
		if recorded[a.ID] {
			f.runners = append(f.runners, runner{index: i, action: a})
		}
	}
	if len(f.runners) == 0 {
		out.chance[""] = 1
		return out
	}
	f.score()
	for i := range f.runners {
		out.worth[f.runners[i].action.ID] = f.runners[i].plain
	}
	tier, bar := f.tier()
	shapes, share := make([]learn.Shape, len(tier)), make([]float64, len(tier))
	for i := range tier {
		shapes[i] = tier[i].shape
	}
	out.chance[""] = c.settle(tier, shapes, share, bar)
	for i := range tier {
		out.chance[tier[i].action.ID] = share[i]
	}
	return out
}

// beyond lists what of a change the log cannot tell: what nobody was ever given,
// and rules about people whose answers were not recorded.
func (c *Config) beyond(next *Config) []string {
	out := []string{}
	for _, a := range next.order {
		old := c.actions[a.ID]
		if old == nil {
			out = append(out, "the new action "+a.ID)
			continue
		}
		for what, differs := range map[string]bool{
			"condition":  a.condition != old.condition,
			"validity":   a.from != old.from || a.until != old.until,
			"content":    !sameContent(a, old),
			"placements": !slices.Equal(a.Placements, old.Placements),
			"purpose":    a.Purpose != old.Purpose,
			"channels":   !slices.Equal(a.ways, old.ways),
			"limits":     !slices.EqualFunc(a.quotas, old.quotas, func(x, y *quota) bool { return *x == *y }) || !slices.EqualFunc(a.caps, old.caps, sameLimit),
			"control":    a.Control != old.Control || a.Right != old.Right,
		} {
			if differs {
				out = append(out, "the "+what+" of "+a.ID)
			}
		}
	}
	if !sameQuiet(c.policy.quiet, next.policy.quiet) {
		out = append(out, "the quiet hours")
	}
	if a, b := c.policy.gate, next.policy.gate; (a == nil) != (b == nil) || a != nil && (a.text != b.text || a.busy != b.busy || a.all != b.all) {
		out = append(out, "when people may be spoken to")
	}
	if c.policy.holdout != next.policy.holdout || c.policy.salt != next.policy.salt {
		out = append(out, "the holdout")
	}
	slices.Sort(out)
	if n := len(out) - maxBeyond; n > 0 {
		out = append(out[:maxBeyond], plural(n, "more change"))
	}
	return out
}

// maxBeyond is how many changes beyond the log are named.
const maxBeyond = 8

func sameLimit(a, b *limit) bool { return *a == *b }

func sameQuiet(a, b *quiet) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.from == b.from && a.to == b.to && (a.zone == nil) == (b.zone == nil) && (a.zone == nil || a.zone.String() == b.zone.String())
}

func sameContent(a, b *Action) bool {
	same := func(x, y map[string]rapport.Fields) bool {
		return maps.EqualFunc(x, y, func(x, y rapport.Fields) bool { return string(x) == string(y) })
	}
	return string(a.content) == string(b.content) && same(a.locales, b.locales) &&
		maps.EqualFunc(a.places, b.places, func(x, y place) bool { return string(x.content) == string(y.content) && same(x.locales, y.locales) })
}
