package sim

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	saveEvery = 15 * time.Second // of wall time
	crowd     = 512              // visits at the same time at most
)

// Live lives in the present until ctx ends, and then returns nil once the
// visits under way have ended and the state is saved. A server that is away is
// waited for: shoppers then see pages without decisions, and their events
// queue up. It returns the error of Options.Save.
func (s *Sim) Live(ctx context.Context) error {
	p := s.populate()
	var visits sync.WaitGroup
	defer visits.Wait()
	room := make(chan struct{}, crowd) // one token per visit under way

	saved := time.Now()
	for {
		n := s.nextVisit()
		r := s.w.dice(streamLive, n)
		now := s.o.Clock.Now()
		// The pace is of wall time, so a change of the clock's speed shows at once.
		gap := time.NewTimer(time.Duration(r.ExpFloat64() / s.pace(p, now) * float64(time.Minute)))
		select {
		case <-ctx.Done():
			gap.Stop()
			visits.Wait()
			return s.save()
		case <-gap.C:
		}
		now = s.o.Clock.Now()
		start := func(index int, act func(*present, *life)) {
			select {
			case room <- struct{}{}:
			default:
				return // a crowd already; this one turns around at the door
			}
			if !s.enter(index) {
				<-room
				return
			}
			visits.Add(1)
			go func() {
				defer visits.Done()
				l := s.life(index)
				act(&present{ctx: ctx, sim: s}, l)
				s.leave(index, l)
				<-room
			}()
		}
		for _, index := range s.due(now.UnixMilli()) {
			start(index, func(st *present, l *life) {
				var p pen
				l.errands(st, s.w.dice(streamAgenda, n*crowd+uint64(index)), &p, now.UnixMilli())
			})
		}
		start(s.pick(p, r, now), func(st *present, l *life) {
			var p pen
			at := now.UnixMilli()
			if at > l.busy {
				l.visit(st, s.w.dice(streamVisit, n), &p, at, l.channel(r, at))
			}
		})
		if time.Since(saved) > saveEvery {
			saved = time.Now()
			if err := s.save(); err != nil {
				return err
			}
		}
	}
}

// population is who may come, and how often.
type population struct {
	shares []float64 // cumulative
	daily  float64   // visits per average day, all together
}

func (s *Sim) populate() *population {
	p := &population{shares: make([]float64, s.w.Shoppers)}
	for i := range p.shares {
		if sh := s.w.Shopper(i); sh.leaves > float64(s.w.Days) {
			p.daily += sh.Rate
		}
		p.shares[i] = p.daily
	}
	for i := range p.shares {
		p.shares[i] /= max(p.daily, 1e-9)
	}
	return p
}

// pace returns visits per minute of wall time: as many as the population makes
// at the clock's speed, within the bounds of the options.
func (s *Sim) pace(p *population, now time.Time) float64 {
	shape := 0.0
	total := 0.0
	for i := range s.w.Types {
		t := &s.w.Types[i]
		share := t.Share * t.VisitsPerWeek
		shape += share * 24 * t.at(now.In(s.w.Countries[0].zone).Hour())
		total += share
	}
	natural := p.daily / (24 * 60) * math.Float64frombits(s.speed.Load()) * shape / total * s.w.weight(now)
	return min(max(natural, s.o.Visits), s.o.MostVisits)
}

// at returns the share of visits that fall into an hour.
func (t *ShopperType) at(hour int) float64 {
	if hour == 0 {
		return t.hours[0]
	}
	return t.hours[hour] - t.hours[hour-1]
}

// pick chooses who comes: by how often they do, and by the hour where they are.
func (s *Sim) pick(p *population, r *rand.Rand, now time.Time) int {
	if r.Float64() < s.w.Newcomers {
		s.mu.Lock()
		defer s.mu.Unlock()
		// Half of these visits are the first of somebody new, half a return.
		if s.state.Born == 0 || r.Float64() < 0.5 {
			s.state.Born++
			return s.w.Shoppers + s.state.Born - 1
		}
		return s.w.Shoppers + r.IntN(s.state.Born)
	}
	index := 0
	for range 6 {
		index, _ = slices.BinarySearch(p.shares, r.Float64())
		index = min(index, len(p.shares)-1)
		sh := s.w.Shopper(index)
		if r.Float64() < 12*sh.Type.at(now.In(sh.Country.zone).Hour()) {
			break
		}
	}
	return index
}

func (s *Sim) nextVisit() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Visits++
	return s.state.Visits
}

// enter claims a shopper for one visit; nobody is in two places at once.
func (s *Sim) enter(index int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[index] {
		return false
	}
	s.busy[index] = true
	if l := s.lives[index]; l != nil {
		if s.state.Met == nil {
			s.state.Met = map[int]met{}
		}
		s.state.Met[index] = l.keep() // what a save during the visit writes
	}
	return true
}

func (s *Sim) leave(index int, l *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, index)
	delete(s.state.Met, index)
	s.lives[index] = l
}

// life returns the life of a shopper, replayed from the seed when it is met
// for the first time. The shopper must be claimed.
func (s *Sim) life(index int) *life {
	s.mu.Lock()
	l := s.lives[index]
	s.mu.Unlock()
	if l == nil {
		var p pen
		l = s.w.history(index, s.era, &taker{take: func(string, []byte) bool { return true }}, &p)
	}
	return l
}

// due returns who has an errand before now, in order.
func (s *Sim) due(now int64) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []int
	for i, l := range s.lives {
		if !s.busy[i] && len(l.agenda) > 0 && l.agenda[0].At < now {
			due = append(due, i)
		}
	}
	slices.SortFunc(due, cmp.Compare[int])
	return due
}

// present is the stage on which a server is asked.
type present struct {
	ctx context.Context // of the Live that owns this stage
	sim *Sim
	pen pen
}

func (p *present) say(c channel, event []byte) {
	if err := p.sim.clients[c].Enqueue(slices.Clone(event)); err != nil {
		p.sim.log.Debug("a demo event was not queued", "error", err)
	}
}

func (p *present) until(at int64) bool {
	wait := time.Duration(at-p.sim.o.Clock.Now().UnixMilli()) * time.Millisecond
	if wait <= 0 {
		return p.ctx.Err() == nil
	}
	select {
	case <-p.sim.o.Clock.After(wait):
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *present) observe(v *visit, o observation) { p.sim.ledger.note(v.s, o) }

// unanswered warns that a question got no answer, once in a while.
func (s *Sim) unanswered(placement string, err error) {
	s.mu.Lock()
	s.missed++
	missed, quiet := s.missed, time.Since(s.warned) < time.Minute
	if !quiet {
		s.missed, s.warned = 0, time.Now()
	}
	s.mu.Unlock()
	if !quiet {
		s.log.Warn("the demo world got no decision", "placement", placement, "questions", missed, "error", err)
	}
}

// patience is how long a page waits for a decision before it shows itself without one.
const patience = 3 * time.Second

func (p *present) ask(v *visit, pl *Placement, event []byte) answer {
	b := &p.pen
	b.reset()
	b.open()
	b.object("person")
	if v.named {
		b.str("userId", v.s.UserID)
	} else {
		b.str("anonymousId", v.anonymous)
	}
	b.end()
	b.str("placement", pl.ID)
	b.object("context")
	b.str("page", v.path)
	b.str("channel", channelNames[v.channel])
	if v.viewing >= 0 {
		b.str("category", v.w.Products[v.viewing].Category)
		b.str("sku", v.w.Products[v.viewing].SKU)
	}
	b.end()
	if event != nil {
		b.raw("event", string(event))
	}
	b.end()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	d, err := p.sim.clients[v.channel].DecideEncoded(ctx, b.b)
	if err != nil {
		if event != nil {
			p.say(v.channel, event) // whether it was recorded is unknown; its messageId makes that harmless
		}
		if p.ctx.Err() == nil {
			p.sim.unanswered(pl.ID, err)
		}
		return answer{}
	}
	a := answer{decision: d.ID, holdout: d.Holdout}
	for _, item := range d.Items {
		a.actions = append(a.actions, item.Action)
	}
	return a
}
