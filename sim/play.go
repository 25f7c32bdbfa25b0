package sim

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

// Host is whoever decides in a [World.Play]: a server, or a policy that knows
// more than a server may. It is called from one goroutine.
type Host interface {
	// Collect takes one event of a shopper in the form of the collection API. The
	// bytes are only valid during the call. history is set for what happened
	// before the play begins.
	Collect(s *Shopper, event []byte, history bool)
	// Decide answers what to show. An empty Decision means that nobody was there.
	Decide(q *Question) Answer
}

// Question is one question of a shopper's client, and what is true of the moment.
type Question struct {
	Shopper   *Shopper
	Placement string
	Time      time.Time
	// Page, Channel, Category and SKU are what a client tells of the moment.
	Page, Channel, Category, SKU string
	// Moment and Seen are the truth, for policies that may know it: Seen is how
	// often the shopper met an action this week.
	Moment Moment
	Seen   func(action string) int
}

// Answer is what a host decided.
type Answer struct {
	Decision string
	Holdout  bool
	// Explored marks a decision made by the floor of exploration.
	Explored bool
	Actions  []string
}

// PlayOptions set up a play.
type PlayOptions struct {
	Host      Host
	Decisions int
	// Seed is added to that of the world, for plays that differ.
	Seed uint64
	// Begin is when history ends and the play begins.
	Begin time.Time
	// Turn, if not 0, is the decision at which tastes change: from then on the
	// actions appeal to those who liked another one.
	Turn int
}

// Played is the account of a play by thousands of decisions, the holdout and
// the floor of exploration left out.
type Played struct {
	Stretches []Stretch
	Decisions int // all of them
	People    int // who met one
	Contacts  int // actions shown
	Annoyed   float64
	Clicks    float64 // expected, by the truth
}

// Stretch sums up a thousand decisions: Margin is the true expected margin of
// what was shown, Best what the best action would have had.
type Stretch struct {
	N            int
	Margin, Best float64
	Contacts     int
	Annoyed      float64
	// Left is how many withdrew their consent because they were annoyed.
	Left float64
}

// Mean returns what decisions from to to brought, each figure per decision: N
// is how many were counted.
func (p *Played) Mean(from, to int) Means {
	var sum Stretch
	for _, s := range p.Stretches[min(from/stretch, len(p.Stretches)):min(to/stretch, len(p.Stretches))] {
		sum.N += s.N
		sum.Margin += s.Margin
		sum.Best += s.Best
		sum.Contacts += s.Contacts
		sum.Annoyed += s.Annoyed
		sum.Left += s.Left
	}
	k := float64(max(sum.N, 1))
	return Means{Margin: sum.Margin / k, Best: sum.Best / k, Contacts: float64(sum.Contacts) / k, Annoyed: sum.Annoyed / k, Left: sum.Left / k}
}

// Means are the figures of a [Stretch] per decision.
type Means struct{ Margin, Best, Contacts, Annoyed, Left float64 }

const stretch = 1000

// Play lives the world in virtual time, one visit after another, until so many
// decisions were asked for. It is a function of world, options and answers.
func (w *World) Play(o PlayOptions) *Played {
	own := *w // tastes may change in ours
	own.Actions = slices.Clone(w.Actions)
	own.Seed += o.Seed * 0x9e3779b97f4a7c15
	p := &theatre{w: &own, o: o, r: own.dice(streamLive, 1), out: &Played{}, met: map[int]bool{}}
	p.end = o.Begin.UnixMilli()
	p.lives = make([]*life, own.Shoppers)
	e := own.era(p.end)
	past := &before{p: p}
	for i := range p.lives {
		past.s = own.Shopper(i)
		p.lives[i] = own.history(i, e, past, &p.pen)
	}
	p.run()
	return p.out
}

type theatre struct {
	w     *World
	o     PlayOptions
	r     *rand.Rand
	end   int64
	lives []*life
	due   dues
	pen   pen
	out   *Played
	asked int
	met   map[int]bool
}

// before is the stage of what happened before the play.
type before struct {
	p *theatre
	s *Shopper
}

func (b *before) say(_ channel, event []byte) { b.p.o.Host.Collect(b.s, event, true) }
func (b *before) until(int64) bool            { return true }
func (b *before) observe(*visit, observation) {}
func (b *before) ask(v *visit, _ *Placement, event []byte) answer {
	if event != nil {
		b.say(v.channel, event)
	}
	return answer{}
}

// dues are errands to come, soonest first.
type dues []dueAt

type dueAt struct {
	at    int64
	index int
}

func (d dues) Len() int { return len(d) }
func (d dues) Less(i, j int) bool {
	return d[i].at < d[j].at || d[i].at == d[j].at && d[i].index < d[j].index
}
func (d dues) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *dues) Push(x any)   { *d = append(*d, x.(dueAt)) }
func (d *dues) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

func (p *theatre) run() {
	shares := make([]float64, len(p.lives))
	daily := 0.0
	for i, l := range p.lives {
		if l.s.leaves > float64(p.w.Days) {
			daily += l.s.Rate
		}
		shares[i] = daily
		if len(l.agenda) > 0 {
			heap.Push(&p.due, dueAt{l.agenda[0].At, i})
		}
	}
	if daily == 0 {
		return
	}
	now := p.end
	for n := uint64(0); p.asked < p.o.Decisions; n++ {
		now += int64(p.r.ExpFloat64() * float64(day) / daily)
		for len(p.due) > 0 && p.due[0].at < now {
			d := heap.Pop(&p.due).(dueAt)
			p.live(d.index, n, func(l *life, st stage, r *rand.Rand) { l.errands(st, r, &p.pen, now) })
		}
		index := 0
		for range 6 { // likelier at the hours of those who come
			at, _ := slices.BinarySearch(shares, p.r.Float64()*daily)
			index = min(at, len(shares)-1)
			if s := p.lives[index].s; p.r.Float64() < 12*s.Type.at(time.UnixMilli(now).In(s.Country.zone).Hour()) {
				break
			}
		}
		if now > p.lives[index].busy {
			p.live(index, n, func(l *life, st stage, r *rand.Rand) { l.visit(st, r, &p.pen, now, l.channel(r, now)) })
		}
	}
}

// live lets somebody act, and takes note of what they have coming.
func (p *theatre) live(index int, n uint64, act func(*life, stage, *rand.Rand)) {
	l := p.lives[index]
	act(l, &scene{p: p, s: l.s}, p.w.dice(streamVisit, n<<24+uint64(index)))
	if len(l.agenda) > 0 {
		heap.Push(&p.due, dueAt{l.agenda[0].At, index})
	}
}

// scene is the stage of one visit in virtual time.
type scene struct {
	p *theatre
	s *Shopper
}

func (c *scene) say(_ channel, event []byte) { c.p.o.Host.Collect(c.s, event, false) }
func (c *scene) until(int64) bool            { return true }

func (c *scene) ask(v *visit, pl *Placement, event []byte) answer {
	if event != nil {
		c.say(v.channel, event)
	}
	p := c.p
	if p.asked++; p.asked == p.o.Turn {
		p.w.turn()
	}
	q := &Question{
		Shopper: v.s, Placement: pl.ID, Time: time.UnixMilli(v.now).UTC(), Page: v.path, Channel: channelNames[v.channel],
		Moment: v.moment(pl.At), Seen: func(action string) int {
			if i, ok := p.w.actionIndex[action]; ok {
				return v.l.timesSeen(i, v.now)
			}
			return 0
		},
	}
	if v.viewing >= 0 {
		q.Category, q.SKU = v.w.Products[v.viewing].Category, v.w.Products[v.viewing].SKU
	}
	a := p.o.Host.Decide(q)
	p.note(q, a, v.l.allows)
	return answer{decision: a.Decision, holdout: a.Holdout, actions: a.Actions}
}

func (c *scene) observe(*visit, observation) {}

// note enters a decision in the account.
func (p *theatre) note(q *Question, a Answer, allows bool) {
	out := p.out
	out.Decisions++
	p.met[q.Shopper.Index] = true
	out.People = len(p.met)
	if at := (p.asked - 1) / stretch; at >= len(out.Stretches) {
		out.Stretches = append(out.Stretches, Stretch{})
	}
	if a.Holdout || a.Explored {
		return
	}
	s := &out.Stretches[len(out.Stretches)-1]
	s.N++
	truth := p.w.Oracle()
	best := 0.0
	for i := range p.w.Actions {
		if x := &p.w.Actions[i]; slices.Contains(x.Placements, q.Placement) {
			m := q.Moment
			m.Seen = q.Seen(x.ID)
			best = max(best, truth.effect(q.Shopper, m, x).Margin)
		}
	}
	s.Best += best
	for _, id := range a.Actions {
		m := q.Moment
		m.Seen = q.Seen(id)
		e := truth.Effect(q.Shopper, m, id)
		s.Margin += e.Margin
		s.Contacts++
		s.Annoyed += e.Annoy
		if allows {
			s.Left += e.Annoy * leaves
		}
		out.Contacts++
		out.Annoyed += e.Annoy
		out.Clicks += e.Click
	}
}

// turn changes tastes: each action takes over what another appealed by.
func (w *World) turn() {
	for i := 0; i+1 < len(w.Actions); i += 2 {
		a, b := &w.Actions[i], &w.Actions[i+1]
		a.tastes, b.tastes = b.tastes, a.tastes
		a.Click, b.Click = b.Click, a.Click
		a.Hours, b.Hours = b.Hours, a.Hours
		a.Deal, b.Deal = b.Deal, a.Deal
	}
}
