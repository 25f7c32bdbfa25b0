package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// observe is called for every event folded while live. It counts, and tells the
// consoles that are watching; with nobody watching it formats next to nothing.
func (s *Server) observe(c *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem {
		if e.Name == rapport.SystemDecision {
			s.rates.decisions.Add(1)
		}
		s.heard(e)
	} else {
		s.rates.events.Add(1)
		if e.History {
			s.rates.history.Add(1)
		}
		if e.Type == rapport.TypeIdentify || s.identity.Comparing() {
			if traits := profile.TraitsOf(e); len(traits) > 0 {
				s.identity.Told(e.Fragment, traits, func(trait string) bool {
					about, _ := c.State(profile.FoldAbout).(*profile.About)
					return about != nil && !about.Trait(trait).IsNull()
				})
			}
		}
	}
	if !s.live.Wants(e.ReceivedAt) {
		return
	}
	m := api.Moment{
		Kind: "event", Time: rapport.Time(e.ReceivedAt), PersonID: c.Entity.String(), Person: personLabel(e, c.Entity),
		Name: profile.EventName(e), Detail: eventDetail(e), Source: e.Source,
	}
	if e.Type == rapport.TypeSystem {
		m.Time = rapport.Time(e.Timestamp)
		switch e.Name {
		case rapport.SystemDecision:
			d, err := decide.DecodeGiven(e.Body)
			if err != nil {
				return
			}
			m.Kind, m.Name, m.Detail, m.Source, m.DecisionID = "decision", "decision", decisionDetail(d), d.Placement, d.ID
			m.Millis = float64(s.took.take(d.ID)) / float64(time.Millisecond)
		case rapport.SystemDelivery:
			m.Kind = "delivery"
		default:
			return
		}
	}
	s.live.Publish(m)
}

// durations are how long the latest decisions took, until the feed tells them.
type durations struct {
	mu   sync.Mutex
	took map[string]time.Duration
	ids  [1024]string // of those put last; older ones are forgotten
	next int
}

func (d *durations) put(id string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.took == nil {
		d.took = map[string]time.Duration{}
	}
	delete(d.took, d.ids[d.next])
	d.ids[d.next], d.took[id] = id, took
	d.next = (d.next + 1) % len(d.ids)
}

// take returns how long a decision took, 0 if that is not known.
func (d *durations) take(id string) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	took := d.took[id]
	delete(d.took, id)
	return took
}

func personLabel(e *rapport.Event, entity rapport.ID) string {
	if name, ok := e.Traits.Get("name"); ok && name.Str() != "" {
		return name.Str()
	}
	if len(e.Identifiers) > 0 && e.Identifiers[0].Kind != rapport.KindAnonymousID {
		return profile.Mask(e.Identifiers[0])
	}
	return entity.String()[:10]
}

// eventDetail picks what a person would want to read of an event.
func eventDetail(e *rapport.Event) string {
	for _, path := range [...][]string{{"name"}, {"title"}, {"query"}, {"order_id"}, {"path"}, {"subject"}} {
		if v, ok := e.Properties.Path(path...); ok && v.Str() != "" {
			detail := v.Str()
			if amount, ok := e.Properties.Get("revenue"); ok {
				if x, ok := amount.Number(); ok {
					detail += " · " + money(x, e)
				}
			}
			return clip(detail, 80)
		}
	}
	if v, ok := e.Context.Path("page", "path"); ok {
		return clip(v.Str(), 80)
	}
	return ""
}

func decisionDetail(d *rapport.Decision) string {
	switch {
	case d.Holdout:
		return "Holdout: left alone"
	case len(d.Items) == 0:
		return clip("Nothing: "+d.Nothing, 100)
	}
	return clip(string(d.Items[0].Type)+": "+d.Items[0].Action, 100)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:min(len(r), n)]) + "…"
}

// rates counts events and decisions per second over the last minute, and per
// minute over the last hour, on the wall clock: they are about the machine.
type rates struct {
	events, decisions atomic.Int64
	history           atomic.Int64 // those of events that happened long ago

	mu        sync.Mutex
	seconds   [60]sample
	minutes   [60]int64
	at        int
	took      []float64 // of the latest decisions, ms
	tookAt    int
	lastTotal sample
}

type sample struct{ events, decisions, history int64 }

func newRates(rapport.Clock) *rates { return &rates{took: make([]float64, 0, 2048)} }

// run takes a sample every second until ctx ends.
func (r *rates) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := sample{r.events.Load(), r.decisions.Load(), r.history.Load()}
		r.mu.Lock()
		r.at = (r.at + 1) % len(r.seconds)
		last := sample{now.events - r.lastTotal.events, now.decisions - r.lastTotal.decisions, now.history - r.lastTotal.history}
		r.seconds[r.at] = last
		r.minutes[len(r.minutes)-1] += last.events - last.history
		if n%60 == 0 {
			copy(r.minutes[:], r.minutes[1:])
			r.minutes[len(r.minutes)-1] = 0
		}
		r.lastTotal = now
		r.mu.Unlock()
	}
}

// perSecond returns the mean rates of the last ten seconds and the events of
// each of the last 60 minutes, oldest first.
func (r *rates) perSecond() (events, decisions float64, hour []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range 10 {
		s := r.seconds[(r.at-i+len(r.seconds))%len(r.seconds)]
		events += float64(s.events) / 10
		decisions += float64(s.decisions) / 10
	}
	return events, decisions, append([]int64(nil), r.minutes[:]...)
}

// decided notes how long one decision took.
func (r *rates) decided(d time.Duration) {
	ms := float64(d) / float64(time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.took) < cap(r.took) {
		r.took = append(r.took, ms)
		return
	}
	r.took[r.tookAt] = ms
	r.tookAt = (r.tookAt + 1) % len(r.took)
}
