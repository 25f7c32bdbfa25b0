package evaluate

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn"
	"github.com/rapport-engine/rapport/sim"
)

// WorldReport is what policies bring in a world whose truth is known.
type WorldReport struct {
	World     string       `json:"world"`
	Shoppers  int          `json:"shoppers"`
	Decisions int          `json:"decisions"` // per seed
	Seeds     []SeedReport `json:"seeds"`
	// GapTaken is the mean over seeds of the share that Rapport takes of the gap
	// in margin between mass marketing and the best policy that observable
	// history allows; GapTakenLate the same over the second half.
	GapTaken     Number `json:"gapTaken"`
	GapTakenLate Number `json:"gapTakenLate"`
	// Recovered is the mean share of the level before tastes changed that is
	// reached again in the fifth to tenth thousand decisions after.
	Recovered Number `json:"recovered"`
}

// SeedReport is one play of every policy.
type SeedReport struct {
	Seed         uint64     `json:"seed"`
	Random       PlayReport `json:"random"`
	Mass         PlayReport `json:"massMarketing"`
	Segments     PlayReport `json:"segmentRules"`
	Rapport      PlayReport `json:"rapport"`
	Late         PlayReport `json:"rapportSecondHalf"`
	Observable   PlayReport `json:"bestObservable"`
	Oracle       PlayReport `json:"oracle"`
	GapTaken     Number     `json:"gapTaken"`
	GapTakenLate Number     `json:"gapTakenLate"`
	Recovered    Number     `json:"recovered"`
}

// PlayReport is what one policy brings per decision, by the truth: margin over
// showing nothing, actions shown, shoppers annoyed, and consents withdrawn over that.
type PlayReport struct {
	Margin       Number `json:"margin"`
	Contacts     Number `json:"contacts"`
	Annoyed      Number `json:"annoyed"`
	Unsubscribed Number `json:"unsubscribed"`
	// PerPerson is the margin that as many decisions as Rapport made bring per person met.
	PerPerson Number `json:"marginPerPerson"`
}

// WorldOptions set up an evaluation in a world.
type WorldOptions struct {
	World     *sim.World
	Decisions int
	Seeds     int
	First     uint64 // the first seed; the others follow it
	// Turn plays on after tastes have changed.
	Turn bool
}

func worldJob() Job {
	return Job{
		Name: "world", Args: "[--world FILE] [--decisions N] [--seeds N] [--first-seed N]",
		Summary: "Play decisions in a world whose truth is known, against other policies",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			file := fs.String("world", "", "world `file`; the demo world without it")
			decisions := fs.Int("decisions", 200_000, "decisions per seed")
			seeds := fs.Int("seeds", 5, "how many seeds")
			first := fs.Uint64("first-seed", 0, "the first seed; the others follow it")
			shoppers := fs.Int("shoppers", 6000, "how many of the world's shoppers take part")
			turn := fs.Bool("turn", true, "play 20,000 decisions more after tastes have changed")
			return func(ctx context.Context, progress Progress) (any, error) {
				w, _, err := sim.Northbean()
				if *file != "" {
					var b []byte
					if b, err = os.ReadFile(*file); err == nil {
						w, err = sim.Load(b)
					}
				}
				if err != nil {
					return nil, rapport.Errorf(rapport.Invalid, "read the world: %w", err)
				}
				if *decisions < 10_000 || *seeds < 1 || *shoppers < 100 {
					return nil, rapport.Errorf(rapport.Invalid, "at least 10,000 decisions, 1 seed and 100 shoppers are needed")
				}
				w.Shoppers = min(w.Shoppers, *shoppers)
				return World(ctx, WorldOptions{World: w, Decisions: *decisions, Seeds: *seeds, First: *first, Turn: *turn}, progress)
			}
		},
	}
}

// playBegin is when every play begins: plays do not depend on today.
var playBegin = time.Date(2026, 5, 4, 6, 0, 0, 0, time.UTC)

// enoughToFit is how many decisions the best observable policy is fitted to.
const enoughToFit = 60_000

// turnLength is how many decisions are played after tastes have changed.
const turnLength = 20_000

// World plays policies in a world and compares what they bring.
func World(ctx context.Context, o WorldOptions, progress Progress) (*WorldReport, error) {
	out := &WorldReport{World: o.World.Name, Shoppers: o.World.Shoppers, Decisions: o.Decisions}
	recovered := 0
	seeds := make([]*SeedReport, o.Seeds)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range seeds {
		g.Go(func() (err error) {
			seeds[i], err = playSeed(ctx, o, o.First+uint64(i), progress)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, r := range seeds {
		out.Seeds = append(out.Seeds, *r)
		k := float64(o.Seeds)
		out.GapTaken += r.GapTaken / Number(k)
		out.GapTakenLate += r.GapTakenLate / Number(k)
		if o.Turn {
			out.Recovered += r.Recovered / Number(k)
			recovered++
		}
	}
	if recovered == 0 {
		out.Recovered = Number(math.NaN())
	}
	return out, nil
}

func report(p *sim.Played, from, to int) PlayReport {
	m := p.Mean(from, to)
	return PlayReport{Margin: Number(m.Margin), Contacts: Number(m.Contacts), Annoyed: Number(m.Annoyed), Unsubscribed: Number(m.Left)}
}

func playSeed(ctx context.Context, o WorldOptions, seed uint64, progress Progress) (*SeedReport, error) {
	r := &SeedReport{Seed: seed}
	play := func(h sim.Host, decisions, turn int) *sim.Played {
		return o.World.Play(sim.PlayOptions{Host: h, Decisions: decisions, Seed: seed, Begin: playBegin, Turn: turn})
	}
	progress("seed %d: what actions are worth to whom", seed)
	n := o.Decisions
	watch := newWatcher(o.World, seed)
	r.Random = report(play(watch, n, 0), 0, n)
	mass, segments := watch.rules()
	massPlay := play(&fixedHost{rule: mass}, n, 0)
	r.Mass = report(massPlay, 0, n)
	r.Segments = report(play(&fixedHost{rule: segments}, n, 0), 0, n)
	r.Oracle = report(play(&fixedHost{rule: watch.oracle}, n, 0), 0, n)

	progress("seed %d: the best policy that observable history allows", seed)
	best, err := o.observable(ctx, seed, min(n, enoughToFit))
	if err != nil {
		return nil, err
	}
	r.Observable = report(best, 0, n)
	progress("seed %d: %d decisions by Rapport", seed, o.Decisions)
	h, err := newHost(ctx, o.World, seed)
	if err != nil {
		return nil, err
	}
	defer h.close()
	decisions, turn := o.Decisions, 0
	if o.Turn {
		decisions, turn = o.Decisions+turnLength, o.Decisions
	}
	played := play(h, decisions, turn)
	if h.err != nil {
		return nil, h.err
	}
	r.Rapport, r.Late = report(played, 0, o.Decisions), report(played, o.Decisions/2, o.Decisions)
	each := Number(o.Decisions) / Number(played.People)
	for _, p := range []*PlayReport{&r.Random, &r.Mass, &r.Segments, &r.Rapport, &r.Late, &r.Observable, &r.Oracle} {
		p.PerPerson = p.Margin * each
	}
	share := func(from int) Number {
		low, high := massPlay.Mean(from, n).Margin, best.Mean(from, n).Margin
		return Number((played.Mean(from, n).Margin - low) / (high - low))
	}
	r.GapTaken, r.GapTakenLate = share(0), share(n/2)
	if o.Turn {
		before, after := played.Mean(o.Decisions-10_000, o.Decisions), played.Mean(o.Decisions+5_000, o.Decisions+10_000)
		r.Recovered = Number(after.Margin / after.Best / (before.Margin / before.Best))
	}
	progress("seed %d: random %.4f, mass %.4f, segments %.4f, Rapport %.4f (late %.4f), observable %.4f, oracle %.4f; gap taken %.3f, late %.3f, recovered %.3f", seed,
		r.Random.Margin, r.Mass.Margin, r.Segments.Margin, r.Rapport.Margin, r.Late.Margin, r.Observable.Margin, r.Oracle.Margin, r.GapTaken, r.GapTakenLate, r.Recovered)
	return r, nil
}

// worth is the sum of what actions were worth, by action.
type worth map[string]float64

func (w worth) best() string {
	best, at := 0.0, ""
	for _, id := range slices.Sorted(maps.Keys(w)) {
		if w[id] > best {
			best, at = w[id], id
		}
	}
	return at
}

// watcher shows random actions and takes note of what each would have been worth.
type watcher struct {
	truth   sim.Oracle
	actions map[string][]string // by placement
	r       *rand.Rand
	all     map[string]worth // by placement
	byType  map[string]worth // by placement and type of shopper
	n       int
}

func newWatcher(w *sim.World, seed uint64) *watcher {
	x := &watcher{truth: w.Oracle(), actions: map[string][]string{}, r: rand.New(rand.NewPCG(seed, 17)), all: map[string]worth{}, byType: map[string]worth{}}
	for i := range w.Actions {
		for _, p := range w.Actions[i].Placements {
			x.actions[p] = append(x.actions[p], w.Actions[i].ID)
		}
	}
	return x
}

func (x *watcher) Collect(*sim.Shopper, []byte, bool) {}

func (x *watcher) Decide(q *sim.Question) sim.Answer {
	list := x.actions[q.Placement]
	if len(list) == 0 {
		return sim.Answer{}
	}
	group := q.Placement + "/" + q.Shopper.Type.ID
	if x.all[q.Placement] == nil {
		x.all[q.Placement] = worth{}
	}
	if x.byType[group] == nil {
		x.byType[group] = worth{}
	}
	for _, id := range list {
		v := x.value(q, id)
		x.all[q.Placement][id] += v
		x.byType[group][id] += v
	}
	x.n++
	return sim.Answer{Decision: fmt.Sprint("r", x.n), Actions: list[x.r.IntN(len(list)):][:1]}
}

func (x *watcher) value(q *sim.Question, id string) float64 {
	m := q.Moment
	m.Seen = q.Seen(id)
	return x.truth.Effect(q.Shopper, m, id).Margin
}

// rules returns mass marketing (the action that is worth most to all, for
// everybody) and segment rules (the one worth most to each kind of shopper).
func (x *watcher) rules() (mass, segments func(*sim.Question) string) {
	all, by := map[string]string{}, map[string]string{}
	for p, w := range x.all {
		all[p] = w.best()
	}
	for g, w := range x.byType {
		by[g] = w.best()
	}
	return func(q *sim.Question) string { return all[q.Placement] },
		func(q *sim.Question) string { return by[q.Placement+"/"+q.Shopper.Type.ID] }
}

// oracle chooses by the truth.
func (x *watcher) oracle(q *sim.Question) string {
	best, at := 0.0, ""
	for _, id := range x.actions[q.Placement] {
		if v := x.value(q, id); v > best {
			best, at = v, id
		}
	}
	return at
}

// fixedHost shows what a rule says.
type fixedHost struct {
	rule func(*sim.Question) string
	n    int
}

func (h *fixedHost) Collect(*sim.Shopper, []byte, bool) {}

func (h *fixedHost) Decide(q *sim.Question) sim.Answer {
	h.n++
	a := sim.Answer{Decision: fmt.Sprint("f", h.n)}
	if id := h.rule(q); id != "" {
		a.Actions = []string{id}
	}
	return a
}

// estimates orders actions by value, for a scorer that knows it exactly.
func exactly(v float64) learn.Estimate {
	return learn.Estimate{Mean: v, Floor: math.Inf(-1)}
}

// byName orders what is kept in maps.
func byName[T any](m map[string]T) []string {
	return slices.SortedFunc(maps.Keys(m), cmp.Compare[string])
}
