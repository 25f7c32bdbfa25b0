package bandit_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// arena is a contextual bandit with a known truth: people of a few hidden
// inclinations that show in what they did before, and actions that appeal to
// some of them. Rewards arrive some decisions later.
type arena struct {
	r       *rand.Rand
	actions int
	appeal  [][]float64 // per action: log-odds of a constant and of each inclination
	delay   int
}

const inclinations = 6

func newArena(seed uint64, actions int) *arena {
	a := &arena{r: rand.New(rand.NewPCG(seed, 99)), actions: actions, delay: 40}
	for range actions {
		w := []float64{-2.2 + 0.4*a.r.NormFloat64()}
		for range inclinations {
			w = append(w, 0)
		}
		w[1+a.r.IntN(inclinations)] += 1.6
		w[1+a.r.IntN(inclinations)] -= 0.8
		a.appeal = append(a.appeal, w)
	}
	return a
}

// person draws what can be observed of somebody: shares of interest.
func (a *arena) person() (x *bandit.Vector, z []float64) {
	x = &bandit.Vector{1}
	z = make([]float64, inclinations)
	main := a.r.IntN(inclinations)
	for i := range z {
		z[i] = math.Abs(0.25 * a.r.NormFloat64())
	}
	z[main] += 0.8
	for i, v := range z {
		x[2+i] = float32(v)
	}
	// What tells nothing is there too.
	x[10+a.r.IntN(8)], x[20+a.r.IntN(4)] = 1, 1
	return x, z
}

func (a *arena) rate(action int, z []float64) float64 {
	w := a.appeal[action]
	s := w[0]
	for i, v := range z {
		s += w[1+i] * v
	}
	return bandit.Sigmoid(s)
}

// learner plays the arena as a decider does.
type learner struct {
	shared bandit.Weights
	own    []bandit.Weights
	drift  []bandit.Drift
}

var (
	sharedPrior = bandit.Prior{Constant: 1, Slope: 0.1}
	ownPrior    = bandit.Prior{Constant: 0.5, Slope: 0.5}
)

const (
	reshape = 0.05 // Chapelle and Li: a posterior drawn narrower explores enough
)

func newLearner(actions int) *learner {
	l := &learner{shared: bandit.NewWeights(bandit.Logit(0.05), sharedPrior), drift: make([]bandit.Drift, actions)}
	l.shared.Grow(sharedPrior)
	for range actions {
		w := bandit.NewWeights(0, ownPrior)
		w.Grow(ownPrior)
		l.own = append(l.own, w)
	}
	return l
}

func (l *learner) parts(action int) []bandit.Part {
	return []bandit.Part{{Weights: &l.shared, Prior: sharedPrior}, {Weights: &l.own[action], Prior: ownPrior}}
}

func (l *learner) choose(x *bandit.Vector, r *rand.Rand) int {
	best, at := math.Inf(-1), 0
	base := l.shared.Score(x).Mean
	for i := range l.own {
		g := l.own[i].Score(x)
		p, sd := bandit.Rate(base+g.Mean, reshape*(g.Constant+g.Slopes))
		if d := (learn.Estimate{Mean: p, SD: sd}).Draw(r); d > best {
			best, at = d, i
		}
	}
	return at
}

// play makes n decisions and returns the mean true rate of what was chosen by
// value, the floor of exploration left out of the count, of the best choice and of a random one.
func (a *arena) play(l *learner, n int) (chosen, best, random float64) {
	type pending struct {
		at, action int
		x          *bandit.Vector
	}
	var queue []pending
	counted := 0.0
	for t := range n {
		for len(queue) > 0 && queue[0].at <= t {
			q := queue[0]
			queue = queue[1:]
			bandit.Correct(l.parts(q.action), q.x)
			l.drift[q.action].Correct()
		}
		x, z := a.person()
		top, sum := 0.0, 0.0
		for i := range a.actions {
			top = max(top, a.rate(i, z))
			sum += a.rate(i, z)
		}
		explore := a.r.Float64() < 0.02
		at := a.r.IntN(a.actions)
		if !explore {
			at = l.choose(x, a.r)
			counted++
			chosen += a.rate(at, z)
			best += top
			random += sum / float64(a.actions)
		}
		if l.drift[at].Note(bandit.Observe(l.parts(at), x, 0)) {
			for i := range l.own {
				l.own[i].Forget(ownPrior)
			}
		}
		if a.r.Float64() < a.rate(at, z) {
			queue = append(queue, pending{t + 1 + a.r.IntN(a.delay), at, x})
		}
	}
	return chosen / counted, best / counted, random / counted
}

func TestRegretIsATenthOfTheGapToRandomAfterFiftyThousandDecisions(t *testing.T) {
	t.Parallel()
	mean := 0.0
	for seed := range uint64(6) {
		a := newArena(seed, 6)
		l := newLearner(a.actions)
		first, top, low := a.play(l, 25_000)
		last, best, random := a.play(l, 25_000)
		whole := ((top - first) + (best - last)) / ((top - low) + (best - random))
		late := (best - last) / (best - random)
		t.Logf("seed %d: regret %.1f %% of the gap over all 50,000 decisions, %.1f %% over the second half", seed, 100*whole, 100*late)
		mean += whole / 6
		if late > 0.1 {
			t.Errorf("seed %d: regret of the second half is %.3f of the gap", seed, late)
		}
	}
	if mean > 0.1 {
		t.Errorf("regret is %.3f of the gap over six runs of 50,000 decisions", mean)
	}
}

func TestAChangeOfTasteIsFollowedWithinFiveThousandDecisions(t *testing.T) {
	t.Parallel()
	mean := 0.0
	for seed := range uint64(6) {
		a := newArena(seed+10, 6)
		l := newLearner(a.actions)
		before, b, r := a.play(l, 30_000)
		// What appealed to some appeals to others now.
		a.appeal[0], a.appeal[1], a.appeal[2], a.appeal[3] = a.appeal[1], a.appeal[0], a.appeal[3], a.appeal[2]
		during, _, _ := a.play(l, 5_000)
		after, best, random := a.play(l, 5_000)
		level := (before - r) / (b - r)
		t.Logf("seed %d: share of the gap before %.3f, first 5,000 after %.3f, next 5,000 %.3f", seed, level, (during-random)/(best-random), (after-random)/(best-random))
		mean += (after - random) / (best - random) / level / 6
	}
	if mean < 0.9 {
		t.Errorf("5,000 decisions after the change %.3f of the level before is reached, over six runs", mean)
	}
}

func TestWeightsComeToTheTruthWhereRewardsAreLate(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	w := bandit.NewWeights(bandit.Logit(0.05), bandit.Prior{Constant: 1, Slope: 1})
	w.Grow(bandit.Prior{Constant: 1, Slope: 1})
	parts := []bandit.Part{{Weights: &w, Prior: bandit.Prior{Constant: 1, Slope: 1}}}
	for range 60_000 {
		x := &bandit.Vector{1}
		truth := -2.5
		if r.IntN(2) == 0 {
			x[1] = 1
			truth++
		}
		if r.IntN(3) == 0 {
			x[2] = 1
			truth -= 0.7
		}
		bandit.Observe(parts, x, 0)
		if r.Float64() < bandit.Sigmoid(truth) {
			bandit.Correct(parts, x)
		}
	}
	for at, want := range []float64{-2.5, 1, -0.7} {
		if got := w.Slopes.Mean[at]; math.Abs(float64(got)-want) > 0.1 {
			t.Errorf("weight %d is %v, in truth %v", at, got, want)
		}
	}
}

func TestVarianceStaysBetweenNoughtAndThePriorWhateverComes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	prior := bandit.Prior{Constant: 1, Slope: 0.5}
	w := bandit.NewWeights(-3, prior)
	w.Grow(prior)
	parts := []bandit.Part{{Weights: &w, Prior: prior}}
	for n := range 4000 {
		x := &bandit.Vector{1}
		for range 3 {
			x[1+r.IntN(bandit.Width-1)] = float32(math.Exp(8 * r.NormFloat64()))
		}
		switch {
		case n%50 == 49:
			w.Fade(r.Float64(), prior)
		case n%3 == 0:
			bandit.Correct(parts, x)
		default:
			bandit.Observe(parts, x, float64(r.IntN(2)))
		}
		for i, v := range w.Slopes.Variance {
			if m := float64(w.Slopes.Mean[i]); !(v >= 0 && v <= 1) || !(math.Abs(m) <= 30) {
				t.Fatalf("weight %d is believed to be %v with variance %v after %v", i, m, v, x)
			}
		}
	}
}

// Of directions in which examples differ together, one example moves all: the
// mode is that of the whole posterior (Bishop 2006, section 4.5), which weights
// learned each for itself come to late.
func TestTheBeliefIsThatOfTheWholePosterior(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(12, 4))
	prior := bandit.Prior{Constant: 4, Slope: 1}
	w := bandit.NewWeights(0, prior)
	w.Grow(prior)
	parts := []bandit.Part{{Weights: &w, Prior: prior}}
	var xs []bandit.Vector
	var ys []float64
	for range 600 {
		common := r.NormFloat64()
		x := bandit.Vector{1}
		for i := range 6 {
			x[1+i] = float32(common + 0.3*r.NormFloat64())
		}
		y := 0.0
		if r.Float64() < bandit.Sigmoid(-2+float64(x[1])-float64(x[2])+0.5*common) {
			y = 1
		}
		xs, ys = append(xs, x), append(ys, y)
		bandit.Observe(parts, &x, y)
	}
	mode := make([]float64, 7)
	for range 4000 { // gradient ascent on the log posterior
		grad := make([]float64, len(mode))
		for n := range xs {
			eta := 0.0
			for i, m := range mode {
				eta += m * float64(xs[n][i])
			}
			for i := range grad {
				grad[i] += (ys[n] - bandit.Sigmoid(eta)) * float64(xs[n][i])
			}
		}
		for i := range mode {
			p := 1.0
			if i == 0 {
				p = 1 / 4.0
			}
			mode[i] += 0.002 * (grad[i] - p*mode[i])
		}
	}
	for i, want := range mode {
		if got := float64(w.Slopes.Mean[i]); math.Abs(got-want) > 0.15 {
			t.Errorf("weight %d is %.3f after one pass, the mode of the posterior is %.3f", i, got, want)
		}
	}
}

// The closed form is equations 3.50 and 3.51 of Bishop (2006): with two weights
// the posterior can be written down.
func TestLinearRegressionHasThePosteriorOfTheClosedForm(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8))
	const prior, noise = 2.0, 0.25
	l := bandit.NewLinear(2, prior, noise)
	a, b, c := 1/prior, 0.0, 1/prior // precision [[a b][b c]]
	var u, v float64
	for range 50 {
		x := []float64{1, r.NormFloat64()}
		y := 0.3 - 0.8*x[1] + 0.5*r.NormFloat64()
		l.Observe(x, y)
		a, b, c = a+1/noise, b+x[1]/noise, c+x[1]*x[1]/noise
		u, v = u+y/noise, v+x[1]*y/noise
	}
	det := a*c - b*b
	want := []float64{(c*u - b*v) / det, (a*v - b*u) / det, c / det, -b / det, a / det}
	got := []float64{l.Mean[0], l.Mean[1], l.Cov[0], l.Cov[1], l.Cov[3]}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-9 {
			t.Errorf("figure %d of the posterior is %v, want %v", i, got[i], want[i])
		}
	}
	l.Discount(1e9)
	if l.Cov[0] > prior+1e-9 || l.Cov[3] > prior+1e-9 {
		t.Errorf("after forgetting everything the covariance is %v, the prior %v", l.Cov, prior)
	}
}

// With few actions and features, linear Thompson sampling finds who likes what.
func TestLinearThompsonSamplingHasLittleRegretAmongFewActions(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(21, 1))
	truth := [][]float64{{0.1, 0.2, 0}, {0.15, 0, 0.2}, {0.2, 0, 0}}
	var models []*bandit.Linear
	for range truth {
		models = append(models, bandit.NewLinear(3, 1, 0.1))
	}
	var regret, gap float64
	for range 20_000 {
		x := []float64{1, float64(r.IntN(2)), float64(r.IntN(2))}
		value := func(i int) (s float64) {
			for j, w := range truth[i] {
				s += w * x[j]
			}
			return s
		}
		at, draw, best, mean := 0, math.Inf(-1), 0.0, 0.0
		for i, m := range models {
			mu, v := m.Predict(x)
			if d := mu + math.Sqrt(v)*r.NormFloat64(); d > draw {
				at, draw = i, d
			}
			best = max(best, value(i))
			mean += value(i) / 3
		}
		reward := 0.0
		if r.Float64() < value(at) {
			reward = 1
		}
		models[at].Observe(x, reward)
		regret += best - value(at)
		gap += best - mean
	}
	if regret/gap > 0.1 {
		t.Errorf("regret is %.3f of the gap between random and best", regret/gap)
	}
}

func TestAnAlarmIsRaisedWhenARateFallsAndRarelyOtherwise(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 1))
	alarms, missed := 0, 0
	for range 100 {
		var d bandit.Drift
		for range 5000 {
			if d.Note(0.1) {
				alarms++
			}
			if r.Float64() < 0.1 {
				d.Correct()
			}
		}
		found := false
		for range 1000 {
			found = d.Note(0.1) || found
			if r.Float64() < 0.02 {
				d.Correct()
			}
		}
		if !found {
			missed++
		}
	}
	t.Logf("%d false alarms in 500,000 outcomes, %d of 100 falls from 10 %% to 2 %% missed", alarms, missed)
	if missed > 5 || alarms > 150 {
		t.Errorf("%d false alarms in 500,000 outcomes, %d of 100 falls missed", alarms, missed)
	}
}

func BenchmarkScoreOfFiveHundredActions(b *testing.B) {
	b.ReportAllocs()
	r := rand.New(rand.NewPCG(1, 1))
	l := newLearner(500)
	var x bandit.Vector
	for i := range x {
		x[i] = r.Float32()
	}
	for b.Loop() {
		for i := range l.own {
			l.own[i].Score(&x)
		}
	}
}

func TestARateIsThatOfTheLogisticCurve(t *testing.T) {
	t.Parallel()
	worst := 0.0
	for x := -40.0; x < 40; x += 0.00317 {
		p, _ := bandit.Rate(x, 0)
		worst = max(worst, math.Abs(p/bandit.Sigmoid(x)-1))
	}
	if worst > 3e-7 {
		t.Errorf("it is off by %g", worst)
	}
	if p, _ := bandit.Rate(math.NaN(), 0); !math.IsNaN(p) {
		t.Errorf("of nothing it is %v", p)
	}
}
