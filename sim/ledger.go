package sim

import (
	"math"
	"slices"
	"sync"
)

// Ledger keeps account of the decisions shoppers met live, against the truth.
// It is safe for concurrent use.
type Ledger struct {
	w  *World
	mu sync.Mutex
	t  tally
}

// tally is the account itself, as the state keeps it.
type tally struct {
	Decisions int64                 `json:"decisions"`
	Holdout   int64                 `json:"holdout"`
	Nothing   int64                 `json:"nothing"`
	Windows   []window              `json:"windows"`
	Actions   map[string]*actionSum `json:"actions"`
	People    map[int]*personSum    `json:"people"`
}

// window sums up to windowSize decisions of people outside the holdout.
type window struct {
	N      int     `json:"n"`
	Best   float64 `json:"best"`
	Chosen float64 `json:"chosen"`
	Random float64 `json:"random"`
}

type actionSum struct {
	Shown   int64   `json:"shown"`
	Clicked int64   `json:"clicked"`
	Orders  int64   `json:"orders"`
	Click   float64 `json:"click"` // sum of true probabilities
	Value   float64 `json:"value"` // sum of true values
}

type personSum struct {
	Holdout bool    `json:"h,omitempty"`
	Revenue float64 `json:"r,omitempty"`
	Value   float64 `json:"v,omitempty"` // true value of what was shown
}

const windowSize = 1000

func newLedger(w *World, t *tally) *Ledger {
	l := &Ledger{w: w}
	if t != nil {
		l.t = *t
	}
	if l.t.Actions == nil {
		l.t.Actions = map[string]*actionSum{}
	}
	if l.t.People == nil {
		l.t.People = map[int]*personSum{}
	}
	return l
}

// keep returns a copy for the state.
func (l *Ledger) keep() *tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.t
	t.Windows = slices.Clone(t.Windows)
	t.Actions = make(map[string]*actionSum, len(l.t.Actions))
	for k, v := range l.t.Actions {
		sum := *v
		t.Actions[k] = &sum
	}
	t.People = make(map[int]*personSum, len(l.t.People))
	for k, v := range l.t.People {
		sum := *v
		t.People[k] = &sum
	}
	return &t
}

// note enters what a shopper met.
func (l *Ledger) note(s *Shopper, o observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	person := l.t.People[s.Index]
	if o.answer.decision == "" {
		// An order counts from the first decision on: before it, the arm is not known.
		if person != nil {
			person.Revenue += o.revenue
		}
		if a := l.t.Actions[o.seller]; a != nil {
			a.Orders += int64(o.orders)
		}
		return
	}
	if person == nil {
		person = &personSum{}
		l.t.People[s.Index] = person
	}
	person.Holdout = o.answer.holdout
	l.t.Decisions++
	if o.answer.holdout {
		l.t.Holdout++
		return
	}
	if len(o.answer.actions) == 0 {
		l.t.Nothing++
	}
	truth := l.w.Oracle()
	seen := func(id string) int {
		if i, ok := l.w.actionIndex[id]; ok && i < len(o.seen) {
			return o.seen[i]
		}
		return 0
	}
	ranked := truth.Rank(s, o.moment, o.placement, seen)
	slots := max(len(o.answer.actions), 1)
	best, random, chosen := 0.0, 0.0, 0.0
	for i, r := range ranked {
		if i < slots {
			best += max(r.Effect.Value, 0)
		}
		random += r.Effect.Value / float64(len(ranked)) * float64(min(slots, len(ranked)))
	}
	for _, id := range o.answer.actions {
		m := o.moment
		m.Seen = seen(id)
		e := truth.Effect(s, m, id)
		chosen += e.Value
		sum := l.t.Actions[id]
		if sum == nil {
			sum = &actionSum{}
			l.t.Actions[id] = sum
		}
		sum.Shown++
		sum.Click += e.Click
		sum.Value += e.Value
	}
	for _, id := range o.clicked {
		l.t.Actions[id].Clicked++
	}
	person.Value += chosen
	if n := len(l.t.Windows); n == 0 || l.t.Windows[n-1].N >= windowSize {
		l.t.Windows = append(l.t.Windows, window{})
	}
	last := &l.t.Windows[len(l.t.Windows)-1]
	last.N++
	last.Best += best
	last.Chosen += chosen
	last.Random += random
}

// Account is what the ledger says. Money is in the world's currency.
type Account struct {
	Decisions int64 `json:"decisions"`
	Holdout   int64 `json:"holdout"`
	Nothing   int64 `json:"nothing"`
	// Best, Chosen and Random are the mean true value of a decision outside the
	// holdout, had it been the best, as it was, and had it been random.
	Best   float64 `json:"best"`
	Chosen float64 `json:"chosen"`
	Random float64 `json:"random"`
	// Regret is the part of the gap between random and best that was missed, in
	// all and in the latest thousand decisions; below 0 is impossible, 1 is random.
	Regret       float64 `json:"regret"`
	RegretLately float64 `json:"regretLately"`
	// Curve is Regret by thousands of decisions.
	Curve   []float64       `json:"curve"`
	Actions []ActionAccount `json:"actions"`
	// TrueLift is the true gain per person outside the holdout: what the
	// measured lift should find.
	TrueLift float64 `json:"trueLift"`
	// Lift is the realised difference of revenue per person, with its 95 % interval.
	Lift      float64 `json:"lift"`
	LiftLow   float64 `json:"liftLow"`
	LiftHigh  float64 `json:"liftHigh"`
	Treated   int     `json:"treated"`
	HeldOut   int     `json:"heldOut"`
	Revenue   float64 `json:"revenuePerTreated"`
	Untouched float64 `json:"revenuePerHeldOut"`
}

// ActionAccount is the account of one action.
type ActionAccount struct {
	Action    string  `json:"action"`
	Shown     int64   `json:"shown"`
	Clicked   int64   `json:"clicked"`
	Orders    int64   `json:"orders"` // that it made
	TrueClick float64 `json:"trueClick"`
	TrueValue float64 `json:"trueValue"`
}

// Account adds everything up.
func (l *Ledger) Account() Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &l.t
	a := Account{Decisions: t.Decisions, Holdout: t.Holdout, Nothing: t.Nothing, Curve: []float64{}, Actions: []ActionAccount{}}
	var all window
	for _, w := range t.Windows {
		all.N += w.N
		all.Best += w.Best
		all.Chosen += w.Chosen
		all.Random += w.Random
		a.Curve = append(a.Curve, w.regret())
	}
	if all.N > 0 {
		n := float64(all.N)
		a.Best, a.Chosen, a.Random, a.Regret = all.Best/n, all.Chosen/n, all.Random/n, all.regret()
		a.RegretLately = a.Curve[len(a.Curve)-1]
	}
	for id, s := range t.Actions {
		n := math.Max(float64(s.Shown), 1)
		a.Actions = append(a.Actions, ActionAccount{id, s.Shown, s.Clicked, s.Orders, s.Click / n, s.Value / n})
	}
	slices.SortFunc(a.Actions, func(x, y ActionAccount) int {
		if x.Shown != y.Shown {
			return int(y.Shown - x.Shown)
		}
		if x.Action < y.Action {
			return -1
		}
		return 1
	})
	l.lift(&a)
	return a
}

func (w window) regret() float64 {
	if w.Best-w.Random <= 0 {
		return 0
	}
	return (w.Best - w.Chosen) / (w.Best - w.Random)
}

// lift compares the arms by Welch's interval.
func (l *Ledger) lift(a *Account) {
	people := make([]int, 0, len(l.t.People))
	for i := range l.t.People {
		people = append(people, i)
	}
	slices.Sort(people) // floating point sums depend on their order
	var n, sum, squares [2]float64
	for _, i := range people {
		p := l.t.People[i]
		arm := 0
		if p.Holdout {
			arm = 1
		} else {
			a.TrueLift += p.Value
		}
		n[arm]++
		sum[arm] += p.Revenue
		squares[arm] += p.Revenue * p.Revenue
	}
	a.Treated, a.HeldOut = int(n[0]), int(n[1])
	if n[0] > 0 {
		a.TrueLift /= n[0]
		a.Revenue = sum[0] / n[0]
	}
	if n[0] < 2 || n[1] < 2 {
		return
	}
	a.Untouched = sum[1] / n[1]
	a.Lift = a.Revenue - a.Untouched
	variance := 0.0
	for arm := range n {
		mean := sum[arm] / n[arm]
		variance += (squares[arm]/n[arm] - mean*mean) / (n[arm] - 1)
	}
	half := 1.96 * math.Sqrt(max(variance, 0))
	a.LiftLow, a.LiftHigh = a.Lift-half, a.Lift+half
}
