package sim

import (
	"math"
	"testing"
	"time"
)

// alone is a stage on which every home page shows one action.
type alone struct {
	action  string
	revenue float64
	clicks  int
	minded  int
	first   Moment
	asked   bool
}

func (a *alone) say(_ channel, event []byte) {
	if contains(event, "Decision Dismissed") {
		a.minded++
	}
}

func contains(b []byte, s string) bool {
	for i := 0; i+len(s) <= len(b); i++ {
		if string(b[i:i+len(s)]) == s {
			return true
		}
	}
	return false
}

func (a *alone) until(int64) bool { return true }
func (a *alone) ask(v *visit, p *Placement, _ []byte) answer {
	if p.At != "home" || a.asked {
		return answer{}
	}
	a.asked = true
	a.first = v.moment(p.At)
	if a.action == "" {
		return answer{}
	}
	return answer{decision: "d", actions: []string{a.action}}
}

func (a *alone) observe(_ *visit, o observation) {
	a.revenue += o.revenue
	a.clicks += len(o.clicked)
}

// TestTheOracleAgreesWithWhatShoppersDo plays one shopper's visit many times
// with an action and without, and compares what was gained with the value the
// oracle computes.
func TestTheOracleAgreesWithWhatShoppersDo(t *testing.T) {
	t.Parallel()
	w, _, err := Northbean()
	if err != nil {
		t.Fatal(err)
	}
	// Loud truths make small samples tell.
	w.Annoyance = 3
	for i := range w.Actions {
		a := &w.Actions[i]
		a.Click = min(6*a.Click, 0.6)
		a.Buy = min(3*a.Buy, 0.8)
		a.Annoys = 0.3
		a.Cost = 0.05
	}
	at := time.Date(2026, 3, 20, 11, 0, 0, 0, time.UTC).UnixMilli()
	const plays = 6_000
	for _, id := range []string{"espresso-lovers", "light-roast-drop", "ten-percent-off", "value-box-offer", "descale-reminder", "brew-guide", "somebody-else's"} {
		index := 17
		with, clicks, minded, moments := play(w, index, id, at, plays)
		without, _, _, _ := play(w, index, "", at, plays)
		s := w.Shopper(index)
		e := w.Oracle().Effect(s, moments, id)
		a, _ := w.Oracle().action(id)
		got := with.mean - without.mean + a.Worth*clicks - w.Annoyance*minded - a.Cost
		se := math.Sqrt(with.variance/plays + without.variance/plays)
		if math.Abs(clicks-e.Click) > 4*math.Sqrt(e.Click/plays) {
			t.Errorf("%s: clicked %.4f of the time, the truth is %.4f", id, clicks, e.Click)
		}
		if math.Abs(minded-e.Annoy) > 4*math.Sqrt(e.Annoy/plays) {
			t.Errorf("%s: minded %.4f of the time, the truth is %.4f", id, minded, e.Annoy)
		}
		if math.Abs(got-e.Value) > 4*se {
			t.Errorf("%s: gained %.3f ± %.3f, the oracle says %.3f", id, got, se, e.Value)
		}
	}
}

type sample struct{ mean, variance float64 }

// play returns what a visit earns, conditional on the home page being seen.
func play(w *World, index int, action string, at int64, n int) (sample, float64, float64, Moment) {
	var sum, squares, clicks, minded, seen float64
	var first Moment
	var p pen
	s := w.Shopper(index)
	for i := 0; seen < float64(n); i++ {
		l := w.birth(s, at)
		l.known, l.asked = true, true // no consent to lose
		l.out[0] = at - day           // out of beans
		r := w.dice(streamVisit, uint64(i))
		st := &alone{action: action}
		l.visit(st, r, &p, at, web)
		for len(l.agenda) > 0 && l.agenda[0].Kind == comesBack {
			l.errands(st, r, &p, l.agenda[0].At+1)
		}
		if !st.asked {
			continue
		}
		first = st.first
		seen++
		sum += st.revenue
		squares += st.revenue * st.revenue
		clicks += float64(st.clicks)
		minded += float64(st.minded)
	}
	mean := sum / seen
	return sample{mean, squares/seen - mean*mean}, clicks / seen, minded / seen, first
}

func TestTheBestPolicyHasNoRegretAndObservingHelps(t *testing.T) {
	t.Parallel()
	w, _, err := Northbean()
	if err != nil {
		t.Fatal(err)
	}
	o := w.Oracle()
	l := newLedger(w, nil)
	for i := range 3000 {
		s := w.Shopper(i)
		m := o.Typical(s, i%24)
		best := o.Rank(s, m, "home_hero", nil)[0]
		a := answer{decision: "d", actions: []string{best.Action}}
		if best.Effect.Value < 0 {
			a.actions = nil
		}
		l.note(s, observation{placement: "home_hero", answer: a, moment: m, seen: make([]int, len(w.Actions))})
	}
	if a := l.Account(); math.Abs(a.Regret) > 1e-9 || a.Decisions != 3000 {
		t.Errorf("the best policy has a regret of %v over %d decisions", a.Regret, a.Decisions)
	}
	best, observed, single, random := o.Ceiling("home_hero", 3000, func(s *Shopper) string { return s.Type.ID })
	if !(best > observed && observed > single && single > random && random > 0) {
		t.Errorf("best %.4f, by type %.4f, one for all %.4f, random %.4f", best, observed, single, random)
	}
	t.Logf("home_hero: best %.4f, by type %.4f, one for all %.4f, random %.4f", best, observed, single, random)
}

// TestRankIsTheBruteForceMaximum checks Rank against trying every action.
func TestRankIsTheBruteForceMaximum(t *testing.T) {
	t.Parallel()
	w, _, err := Northbean()
	if err != nil {
		t.Fatal(err)
	}
	o := w.Oracle()
	for i := range 500 {
		s := w.Shopper(i)
		m := o.Typical(s, i%24)
		for _, p := range w.Placements {
			ranked := o.Rank(s, m, p.ID, nil)
			top := math.Inf(-1)
			n := 0
			for _, a := range w.Actions {
				for _, on := range a.Placements {
					if on == p.ID {
						n++
						top = max(top, o.Effect(s, m, a.ID).Value)
					}
				}
			}
			if len(ranked) != n || ranked[0].Effect.Value != top {
				t.Fatalf("shopper %d on %s: %v of %d is not %v", i, p.ID, ranked[0], n, top)
			}
		}
	}
	trial, _, err := Trial()
	if err != nil {
		t.Fatal(err)
	}
	s := trial.Shopper(3)
	six, three := trial.Oracle().Effect(s, Moment{}, "six-percent"), trial.Oracle().Effect(s, Moment{Seen: 9}, "three-percent")
	if math.Abs(six.Value-0.06) > 1e-12 || math.Abs(three.Value-0.03) > 1e-12 {
		t.Errorf("the trial's truths are %v and %v", six.Value, three.Value)
	}
}
