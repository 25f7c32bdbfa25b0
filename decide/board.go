package decide

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// roster is which beliefs the candidates of a placement rest on. It follows from
// the configuration alone.
type roster struct {
	placement string
	pairs     []beliefKey    // kinds and outcomes the candidates share beliefs of
	events    []string       // of the goals
	entries   []entry        // by candidate
	places    map[string]int // of the candidates, by action
}

// entry is one candidate of a roster.
type entry struct {
	action *Action
	click  int // among the pairs
	goals  []aim
}

// aim is one goal of an entry: what it is reached by without a click and after
// one, among the pairs (-1 for not at all), and its event.
type aim struct{ direct, after, event int }

func newRoster(placement string, actions []*Action) *roster {
	r := &roster{placement: placement, entries: make([]entry, len(actions)), places: make(map[string]int, len(actions))}
	for i, a := range actions {
		r.places[a.ID] = i
		e := entry{action: a, click: r.pair(a, clicked), goals: make([]aim, len(a.Goals))}
		for j := range a.Goals {
			g := &a.Goals[j]
			x := aim{direct: -1, after: -1, event: slices.Index(r.events, g.Event)}
			if x.event < 0 {
				x.event = len(r.events)
				r.events = append(r.events, g.Event)
			}
			if g.Event != rapport.EventDecisionClicked {
				x.direct = r.pair(a, g.Event)
				if !g.Feedback {
					x.after = r.pair(a, g.after)
				}
			}
			e.goals[j] = x
		}
		r.entries[i] = e
	}
	return r
}

func (r *roster) pair(a *Action, outcome string) int {
	key := beliefKey{r.placement, string(a.Type), outcome}
	if i := slices.Index(r.pairs, key); i >= 0 {
		return i
	}
	r.pairs = append(r.pairs, key)
	return len(r.pairs) - 1
}

// board is what a knowledge holds of the candidates of one placement, looked up
// once and laid out side by side for all decisions made by it.
type board struct {
	*roster
	pairs []pair            // as in the roster
	base  []*bandit.Weights // by event: reached where nothing is given; nil where that is not known
	seats []seat            // by candidate
	// clicks is set where clients tell of clicks, held where somebody was held out.
	clicks, held bool
}

// pair is what the actions of one kind share of one outcome.
type pair struct {
	guess     bandit.Guess    // without any input
	all, kind *bandit.Weights // nil where nothing was seen yet
}

// seat is what is known of one action.
type seat struct {
	click stake
	goals []prospect
	floor float64 // of what it brings
	dear  float32 // how dear what it is about is
}

// prospect is what is known of one goal of an action.
type prospect struct {
	direct, after stake
	// amount is what one success brings, spread the variance of that.
	amount, spread float64
	// unclicked is set if it may come without a click: where clients tell of
	// clicks, once it did.
	unclicked bool
}

// stake is what is believed of one outcome of an action: what it does
// everywhere, and by how much it differs in the placement.
type stake struct{ own, here bandit.Weights }

// boards are those made of one knowledge so far.
type boards = atomic.Pointer[[]*board]

// maxBoards bounds how many a knowledge keeps: placements of configurations gone
// by are among them.
const maxBoards = 64

// board returns what is known of the candidates of a roster.
func (k *Knowledge) board(r *roster) *board {
	for {
		old := k.boards.Load()
		var list []*board
		if old != nil {
			list = *old
		}
		for _, b := range list {
			if b.roster == r {
				return b
			}
		}
		b := k.newBoard(r)
		next := append(slices.Clone(list[max(0, len(list)-maxBoards+1):]), b)
		if k.boards.CompareAndSwap(old, &next) {
			return b
		}
	}
}

func (k *Knowledge) newBoard(r *roster) *board {
	b := &board{
		roster: r, clicks: k.anyClicks(r.placement), pairs: make([]pair, len(r.pairs)), base: make([]*bandit.Weights, len(r.events)),
		seats: make([]seat, len(r.entries)),
	}
	for i, key := range r.pairs {
		b.pairs[i] = k.pair(key)
	}
	nothing := k.arms[armKey{r.placement, ""}]
	b.held = nothing != nil
	for i, event := range r.events {
		if nothing != nil {
			if x := find(nothing.beliefs, event); x != nil && x.hits >= growAt {
				b.base[i] = &x.weights
			}
		}
	}
	goals := 0
	for i := range r.entries {
		goals += len(r.entries[i].goals)
	}
	prospects := make([]prospect, goals)
	for i := range r.entries {
		e, n := &r.entries[i], len(r.entries[i].goals)
		b.seats[i] = k.seat(b, e, prospects[:n:n])
		prospects = prospects[n:]
	}
	return b
}

// seat looks up what is known of a candidate.
func (k *Knowledge) seat(b *board, e *entry, goals []prospect) seat {
	of := k.standing(b.placement, e.action.ID)
	s := seat{click: of.stake(clicked), goals: goals, dear: k.dear(e.action.about)}
	for i := range goals {
		g, p, at := &e.action.Goals[i], &goals[i], &e.goals[i]
		p.amount, p.spread = k.amount(of, e.action, b.placement, g)
		p.unclicked = g.Feedback || !b.clicks || k.pools[poolKey{b.placement, unclicked(g.Event)}] != nil
		if at.direct >= 0 {
			p.direct = of.stake(g.Event)
		}
		if at.after >= 0 {
			p.after = of.stake(g.after)
		}
		if g.harms() || b.held && !g.Feedback {
			s.floor = math.Inf(-1)
		}
	}
	return s
}

// pair returns what the actions of a kind share of an outcome.
func (k *Knowledge) pair(key beliefKey) pair {
	p := priorsOf(key.outcome, nil)
	x := pair{guess: bandit.Guess{Mean: bandit.Logit(priorRate(key.outcome)), Constant: float64(p.all.Constant + p.kind.Constant)}}
	if all := k.shared[beliefKey{key.placement, "", key.outcome}]; all != nil {
		x.all, x.guess = &all.weights, bandit.Guess{Constant: float64(p.kind.Constant)}
		if kind := k.shared[key]; kind != nil {
			x.kind, x.guess.Constant = &kind.weights, 0
		}
	}
	return x
}

func (a standing) stake(outcome string) stake {
	p := priorsOf(outcome, nil)
	return stake{a.own.weights(outcome, p.own), a.here.weights(outcome, p.here)}
}

// weights returns those behind an outcome, at their prior before it was seen.
func (a *arm) weights(outcome string, p bandit.Prior) bandit.Weights {
	if a != nil {
		if b := find(a.beliefs, outcome); b != nil {
			return b.weights
		}
	}
	return bandit.NewWeights(0, p)
}
