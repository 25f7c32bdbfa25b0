package evaluate

import (
	"context"
	"flag"
	"fmt"
	"math"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/glm"
	"github.com/rapport-engine/rapport/learn/ope"
)

// PolicyReport says what a candidate policy would have earned per decision.
type PolicyReport struct {
	Records             int                       `json:"records"`
	Actions             int                       `json:"actions"`
	Candidate           string                    `json:"candidate"`
	Logged              PolicyEstimate            `json:"logged"` // what was earned
	Estimates           map[string]PolicyEstimate `json:"estimates"`
	EffectiveSampleSize Number                    `json:"effectiveSampleSize"`
	LargestWeight       Number                    `json:"largestWeight"`
	Warnings            []string                  `json:"warnings"`
}

// PolicyEstimate is a reward per decision with its 95 % interval. Bound holds at
// 95 % for any sample size; it stands where the reward is 0 or 1.
type PolicyEstimate struct {
	Value Number  `json:"value"`
	Low   Number  `json:"low"`
	High  Number  `json:"high"`
	Bound *Bounds `json:"bound,omitempty"`
}

// Bounds is a range.
type Bounds struct {
	Low  Number `json:"low"`
	High Number `json:"high"`
}

// parts is how many folds the reward model is fitted in, so that no entry is
// predicted by a model that saw it.
const parts = 5

// exploration is the uniform share of the learned candidate.
const exploration = 0.05

func policyJob() Job {
	return Job{
		Name: "policy", Args: "--log F --action COL --reward COL --propensity COL --candidate uniform|logged|learned|FILE [flags]",
		Summary: "Estimate what another policy would have earned from the log of this one",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			var p policy
			var contexts string
			fs.StringVar(&p.path, "log", "", "`file` of logged decisions (CSV, header row, gzip accepted)")
			fs.StringVar(&p.action, "action", "action", "`column` of the action taken")
			fs.StringVar(&p.reward, "reward", "reward", "`column` of the reward that followed")
			fs.StringVar(&p.propensity, "propensity", "propensity", "`column` of the chance the action was taken with, in (0,1]")
			fs.StringVar(&contexts, "context", "", "`columns` of what was known, separated by commas")
			fs.StringVar(&p.position, "position", "", "`column` of the slot")
			fs.StringVar(&p.candidate, "candidate", "uniform", "uniform, logged, learned, or a `file` with the columns action, [position, context...], probability")
			return func(ctx context.Context, progress Progress) (any, error) {
				p.contexts = split(contexts)
				return p.run(ctx, progress)
			}
		},
	}
}

// split reads a list of columns.
func split(list string) []string {
	var out []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// policy is one run of the job.
type policy struct {
	path, action, reward, propensity, position, candidate string
	contexts                                              []string

	actions      *column
	keys         []*column // position, then contexts
	rewards      []float64
	propensities []float64
	binary       bool
	warnings     []string
}

func (p *policy) run(ctx context.Context, progress Progress) (*PolicyReport, error) {
	if err := p.read(); err != nil {
		return nil, err
	}
	n := len(p.rewards)
	progress("%d decisions over %d actions", n, len(p.actions.levels))
	choice, err := p.choices()
	if err != nil {
		return nil, err
	}
	l, err := p.evaluate(ctx, choice, progress)
	if err != nil {
		return nil, err
	}
	options := ope.Options{}
	if p.binary {
		options.Most = 1
	}
	r := &PolicyReport{
		Records: n, Actions: len(p.actions.levels), Candidate: p.candidate,
		Estimates: map[string]PolicyEstimate{}, EffectiveSampleSize: Number(ope.EffectiveSampleSize(l.Weights)),
	}
	for _, w := range l.Weights {
		r.LargestWeight = max(r.LargestWeight, Number(w))
	}
	for _, e := range ope.Evaluate(l, options) {
		x := PolicyEstimate{Value: Number(e.Value), Low: Number(e.Low), High: Number(e.High)}
		if p.binary {
			x.Bound = &Bounds{Low: Number(e.BoundLow), High: Number(e.BoundHigh)}
		}
		r.Estimates[e.Method] = x
	}
	low, high, mean := ope.Interval(p.rewards, 0.95)
	r.Logged = PolicyEstimate{Value: Number(mean), Low: Number(low), High: Number(high)}
	p.doubt(l, float64(r.EffectiveSampleSize), float64(r.LargestWeight))
	r.Warnings = append([]string{}, p.warnings...)
	return r, nil
}

func (p *policy) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// read reads the log.
func (p *policy) read() error {
	want := []string{p.action, p.reward, p.propensity}
	if p.position != "" {
		want = append(want, p.position)
		p.keys = append(p.keys, newColumn("position"))
	}
	for _, name := range p.contexts {
		want = append(want, name)
		p.keys = append(p.keys, newColumn(name))
	}
	t, err := OpenTable(p.path, want...)
	if err != nil {
		return err
	}
	defer t.Close()
	p.actions, p.binary = newColumn(p.action), true
	for t.Next() {
		reward, err := t.Float(1)
		if err != nil {
			return err
		}
		propensity, err := t.Float(2)
		if err != nil {
			return err
		}
		if propensity <= 0 || propensity > 1 {
			return rapport.WithHint(t.Errorf(2, "%v is not a chance above 0 and up to 1", propensity),
				"the propensity is the chance with which the logging policy took this action at that moment")
		}
		action := t.Text(0)
		if action == "" {
			return t.Errorf(0, "no action is given")
		}
		p.actions.add(action)
		p.binary = p.binary && (reward == 0 || reward == 1)
		p.rewards = append(p.rewards, reward)
		p.propensities = append(p.propensities, propensity)
		for k, c := range p.keys {
			c.add(t.Text(3 + k))
		}
	}
	if t.Err() != nil {
		return t.Err()
	}
	if len(p.rewards) < 2*parts {
		return rapport.Errorf(rapport.Invalid, "%s: %d decisions are too few to evaluate a policy", p.path, len(p.rewards))
	}
	return nil
}

// evaluate gives every decision its weight and the model's rewards.
func (p *policy) evaluate(ctx context.Context, choice *choices, progress Progress) (ope.Log, error) {
	n := len(p.rewards)
	l := ope.Log{Rewards: p.rewards, Weights: make([]float64, n), Predicted: make([]float64, n), Direct: make([]float64, n)}
	m := newRewards(p)
	rewards := make([]float64, len(p.actions.levels))
	chances := make([]float64, len(p.actions.levels))
	for part := range parts {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		progress("reward model, part %d of %d", part+1, parts)
		m.fit(part)
		for i := range n {
			if fold(i, parts) != part {
				continue
			}
			taken := p.actions.rows[i]
			m.predict(i, rewards)
			l.Predicted[i] = rewards[taken]
			if choice.logged {
				l.Weights[i], l.Direct[i] = 1, rewards[taken]
				continue
			}
			choice.at(i, rewards, chances)
			l.Weights[i] = chances[taken] / p.propensities[i]
			for a, q := range rewards {
				l.Direct[i] += chances[a] * q
			}
		}
	}
	return l, nil
}

// doubt says what the log cannot tell.
func (p *policy) doubt(l ope.Log, ess, heaviest float64) {
	n := float64(len(l.Weights))
	if p.candidate == "logged" {
		return
	}
	switch {
	case ess == 0:
		p.warn("the log and the candidate share no action: only the reward model (dm) says anything, and nothing supports it")
		return
	case ess < 100 || ess < n/20:
		p.warn("low effective sample size: the %.0f decisions are worth %.0f of the candidate's own; the candidate differs too much from what was logged, so trust the intervals, not the values", n, ess)
	}
	if heaviest > n/100 && heaviest > 20 {
		p.warn("one decision carries a weight of %.0f: a few of them rule the estimate", heaviest)
	}
	low, high, mean := ope.Interval(l.Weights, 0.9999)
	if low != high && (low > 1 || high < 1) {
		p.warn("the weights average %.3f where 1 is expected: the propensities do not fit the log, or the candidate takes actions the log never shows", mean)
	}
	var events int
	for _, y := range p.rewards {
		if y != 0 {
			events++
		}
	}
	if events < 20 {
		p.warn("only %d decisions have a reward", events)
	}
	if math.IsNaN(mean) {
		p.warn("the weights are not finite")
	}
}

// rewards is the model of the reward: action, slot, what was known, and how
// each action does in each slot and context, the finer the more it is shrunk.
type rewards struct {
	p          *policy
	design     *design
	x          glm.Matrix
	penalties  []float64
	model      *glm.Model
	base, wide int
	row        []glm.Feature
	context    []glm.Feature
}

func newRewards(p *policy) *rewards {
	m := &rewards{p: p, design: newDesign(p.keys)}
	m.base = len(p.actions.levels)
	m.wide = m.design.width
	for i, a := range p.actions.rows {
		m.context = m.design.row(m.context[:0], p.keys, i)
		m.x.Append(m.features(int(a))...)
	}
	m.x.Columns = m.base + m.wide + m.base*m.wide
	m.penalties = make([]float64, m.x.Columns)
	for j := range m.penalties {
		switch {
		case j < m.base+m.wide:
			m.penalties[j] = 1
		default:
			m.penalties[j] = 4
		}
	}
	return m
}

// features lays out a row for an action in the context at hand.
func (m *rewards) features(action int) []glm.Feature {
	m.row = append(m.row[:0], glm.Feature{Index: int32(action), Value: 1})
	for _, f := range m.context {
		m.row = append(m.row, glm.Feature{Index: int32(m.base) + f.Index, Value: f.Value},
			glm.Feature{Index: int32(m.base+m.wide+action*m.wide) + f.Index, Value: f.Value})
	}
	return m.row
}

// fit fits the model on every part but one.
func (m *rewards) fit(without int) {
	var rows []int
	for i := range m.p.rewards {
		if fold(i, parts) != without {
			rows = append(rows, i)
		}
	}
	o := glm.Options{Family: glm.Gaussian, Penalties: m.penalties, Iterations: 60}
	if m.p.binary {
		o.Family = glm.Binomial
	}
	m.model = glm.Fit(&m.x, m.p.rewards, rows, o)
}

// predict writes the reward of every action for entry i.
func (m *rewards) predict(i int, to []float64) {
	m.context = m.design.row(m.context[:0], m.p.keys, i)
	for a := range to {
		to[a] = m.model.Predict(m.features(a))
	}
}
