package decide

import (
	"maps"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// How the models learn. A goal is reached after a click or without one, so
// there are three kinds of outcome: that somebody clicks, that a goal is
// reached by somebody who clicked, and by somebody who did not. The log-odds of
// each are a sum of what all actions of the placement share, what the actions
// of one kind share there (so a new action begins as its kind does), the
// action's own weights, which are the same everywhere, and by how much it does
// better or worse in the placement.
const (
	// remembered is how many examples a belief rests on at most.
	remembered = 100_000
	// The posterior that is drawn from is narrower than the one believed, which
	// loses less while exploring enough (Chapelle and Li, 2011, section 4). Of the
	// variance of the log-odds counts this share: of the constant, which is about
	// the action as a whole, more than of what sets people apart, where errors
	// fall out over many people, at a click and at what follows one; and of the
	// variance of amounts.
	drawnConstant = 0.1
	drawnClick    = 0.02
	drawnGoal     = 0.05
	drawnAmount   = 0.1
	// growAt is from how many successes an action has weights of its own beside
	// the constant.
	growAt = 8
)

// priors are those of the weights behind one outcome: of an action everywhere
// and by how much it differs in a placement, of all actions, of a kind.
type priors struct{ own, here, all, kind bandit.Prior }

var (
	clickPriors = priors{
		own: bandit.Prior{Constant: 0.5, Slope: 1}, here: bandit.Prior{Constant: 0.1},
		all: bandit.Prior{Constant: 1, Own: 0.5, Slope: 0.1}, kind: bandit.Prior{Constant: 0.25, Slope: 0.05},
	}
	// What follows a click differs far less between people, and is seen less.
	goalPriors = priors{
		own: bandit.Prior{Constant: 0.5, Slope: 0.02}, here: bandit.Prior{Constant: 0.1},
		all: bandit.Prior{Constant: 1, Own: 0.25, Slope: 0.05}, kind: bandit.Prior{Constant: 0.25, Slope: 0.01},
	}
)

// priorsOf returns those of an outcome: of a click with the relief that was learned.
func priorsOf(outcome string, r *bandit.Relief) priors {
	if outcome != clicked {
		return goalPriors
	}
	p := clickPriors
	p.own.Relief, p.all.Relief, p.kind.Relief = r, r, r
	return p
}

// everywhere is the placement under which stands what is known of an action in
// all of them.
const everywhere = "\x00"

// prior is that of the weights of an arm about an outcome.
func (k armKey) prior(outcome string, r *bandit.Relief) bandit.Prior {
	if k.placement == everywhere || k.action == "" {
		return priorsOf(outcome, r).own
	}
	return priorsOf(outcome, r).here
}

// prior is that of the weights shared under the key.
func (k beliefKey) prior(r *bandit.Relief) bandit.Prior {
	if k.kind == "" {
		return priorsOf(k.outcome, r).all
	}
	return priorsOf(k.outcome, r).kind
}

// Rates expected before anything was seen: of a click, of a goal reached
// without one, and of a goal reached after one.
const (
	priorClick  = 0.05
	priorDirect = 0.02
	priorVia    = 0.1
	priorBase   = 0.005 // of a goal where nothing was given
	priorAgain  = -0.3  // log-odds for having seen the action twice of late
	priorDear   = -1    // log-odds of a goal, for each e-fold of the price: what is dear is bought more rarely in proportion
	priorLiked  = 1     // log-odds of a click, for interest in nothing but what the action is about
)

// Clicked is the goal of the [Example] that tells of the first click on an
// action, whether that is a goal or not.
const Clicked = "\x00click"

const clicked = Clicked

// unclicked names the pool of successes that came without a click.
func unclicked(event string) string { return event + "\x00unclicked" }

// via names the outcome that a goal is reached after a click.
func via(event string) string { return event + "\x00via" }

func priorRate(outcome string) float64 {
	switch {
	case outcome == clicked:
		return priorClick
	case strings.HasSuffix(outcome, "\x00via"):
		return priorVia
	}
	return priorDirect
}

// belief is what is believed of one outcome of one action.
type belief struct {
	outcome string
	n       int64 // examples
	hits    float64
	weights bandit.Weights
	drift   bandit.Drift
}

// beliefKey names what actions share: of a placement (kind empty) or of a kind in it.
type beliefKey struct{ placement, kind, outcome string }

// find returns the belief about an outcome, or nil.
func find(list []belief, outcome string) *belief {
	for i := range list {
		if list[i].outcome == outcome {
			return &list[i]
		}
	}
	return nil
}

// learn folds an example into the beliefs about clicks and goals.
func (d *draft) learn(a, own *arm, x *Example, at int64) {
	var in inputs
	in.of(x.Features, d.basis)
	if x.Goal == "" {
		d.notice(in.x)
		d.basis.Project(in.x, &in.z)
	}
	features := in.see(owns(x.Sight, x.Match, d.dear(x.About)))
	switch {
	case x.Goal == "":
		if x.Action != "" {
			d.observe(a, own, x, clicked, features, at)
		}
		for _, event := range x.Goals {
			if event != rapport.EventDecisionClicked {
				d.observe(a, own, x, event, features, at)
			}
		}
	case x.Goal == clicked:
		d.correct(a, own, x, clicked, features, at)
		for _, event := range x.Goals {
			if !isFeedback(event) {
				d.observe(a, own, x, via(event), features, at)
			}
		}
	case x.Goal == rapport.EventDecisionClicked || !x.First:
		// The click itself was told before; more of the same goal is a matter of amounts.
	case x.Via:
		d.correct(a, own, x, via(x.Goal), features, at)
	default:
		d.correct(a, own, x, x.Goal, features, at)
	}
}

// believe returns what is believed of an outcome, to write to.
func (a *arm) believe(outcome string, mean float64, p bandit.Prior) *belief {
	if b := find(a.beliefs, outcome); b != nil {
		return b
	}
	a.beliefs = append(a.beliefs, belief{outcome: outcome, weights: bandit.NewWeights(mean, p)})
	return &a.beliefs[len(a.beliefs)-1]
}

// sum is the weights behind an outcome, ready to be changed.
type sum struct {
	parts [4]bandit.Part
	n     int
	here  *belief
	own   *belief // the same everywhere; here for what comes of nothing
	seen  [4]*int64
}

// fadeEvery is after how many examples a belief begins to count older ones less.
const fadeEvery = 1000

// count takes note of an example, and lets older ones fade.
func (s *sum) count() {
	for i, n := range s.seen[:s.n] {
		if *n++; *n%fadeEvery == 0 {
			s.parts[i].Fade(1-fadeEvery/float64(remembered), s.parts[i].Prior)
		}
	}
}

func (d *draft) sum(a, own *arm, x *Example, outcome string, at int64) sum {
	p := priorsOf(outcome, d.relief)
	if x.Action == "" { // what comes of nothing shares nothing with what comes of actions
		b := a.believe(outcome, bandit.Logit(priorBase), p.own)
		return sum{parts: [4]bandit.Part{{Weights: &b.weights, Prior: p.own}}, n: 1, here: b, own: b, seen: [4]*int64{&b.n}}
	}
	s := sum{n: 4, here: a.believe(outcome, 0, p.here), own: own.believe(outcome, 0, p.own)}
	all, kind := d.editShared(beliefKey{x.Placement, "", outcome}, at), d.editShared(beliefKey{x.Placement, x.Kind, outcome}, at)
	s.parts = [4]bandit.Part{
		{Weights: &s.own.weights, Prior: p.own},
		{Weights: &s.here.weights, Prior: p.here},
		{Weights: &all.weights, Prior: p.all},
		{Weights: &kind.weights, Prior: p.kind},
	}
	s.seen = [4]*int64{&s.own.n, &s.here.n, &all.n, &kind.n}
	return s
}

func (d *draft) observe(a, own *arm, x *Example, outcome string, features *bandit.Vector, at int64) {
	s := d.sum(a, own, x, outcome, at)
	expected := bandit.Observe(s.parts[:s.n], features, 0)
	s.count()
	if s.here.drift.Note(expected) && x.Action != "" {
		d.forget(x.Placement, outcome)
	}
}

func (d *draft) correct(a, own *arm, x *Example, outcome string, features *bandit.Vector, at int64) {
	s := d.sum(a, own, x, outcome, at)
	s.here.hits++
	if s.own != s.here {
		s.own.hits++
	}
	if s.own.hits >= growAt {
		s.own.weights.Grow(priorsOf(outcome, d.relief).own)
	}
	bandit.Correct(s.parts[:s.n], features)
	s.here.drift.Correct()
}

// forget answers an alarm: an action does not do any more what it did, so what
// is believed of all that compete with it is in doubt.
func (d *draft) forget(placement, outcome string) {
	if outcome == clicked && d.basis != nil {
		d.relearn(bandit.Flat()) // so is along which axes they differ
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.arms), compareArms) {
		if key.placement != placement || key.action == "" || find(d.arms[key].beliefs, outcome) == nil {
			continue
		}
		find(d.editArm(key, d.arms[key].at).beliefs, outcome).weights.Forget(priorsOf(outcome, d.relief).here)
		if key.placement = everywhere; d.arms[key] != nil {
			if b := find(d.editArm(key, d.arms[key].at).beliefs, outcome); b != nil {
				b.weights.Forget(priorsOf(outcome, d.relief).own)
			}
		}
	}
}

// shared is a belief that several actions share.
type shared struct {
	at      int64
	n       int64 // examples
	weights bandit.Weights
}

// editShared returns the shared belief to write to.
func (d *draft) editShared(key beliefKey, at int64) *shared {
	s := d.shared[key]
	switch {
	case s == nil:
		mean := 0.0
		if key.kind == "" {
			mean = bandit.Logit(priorRate(key.outcome))
		}
		s = &shared{at: at, weights: bandit.NewWeights(mean, key.prior(d.relief))}
		s.weights.Grow(key.prior(d.relief))
		if key.kind == "" {
			m := s.weights.Slopes.Mean[1:]
			m[ownSeen] = priorAgain
			if key.outcome == clicked {
				m[ownGroups], m[ownProducts] = priorLiked, priorLiked
			} else {
				m[ownDear] = priorDear
			}
		}
	case !d.editing[s]:
		s = &shared{at: s.at, n: s.n, weights: s.weights.Clone()}
	default:
		return s
	}
	d.editing[s] = true
	d.shared[key] = s
	if at-s.at > widenEvery {
		s.weights.Fade(decay(&s.at, at), key.prior(d.relief))
	}
	return s
}

// widenEvery is how often time makes beliefs less sure.
const widenEvery = int64(halfLife/60) / 1e6 // ms
