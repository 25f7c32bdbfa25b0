// Package sim is the demo world: a brand, its shoppers and their hidden
// tastes, read from a world file, living first in the past and then in the
// present against the public HTTP API of a server.
//
// Guarantees. Everything about a shopper follows from the world's seed and the
// shopper's index, so the same world makes the same people, devices and
// history, byte for byte, on every machine. History is sent in time order per
// person and source, with message ids that are the same when it is sent again.
// Shoppers meet decisions by a truth that is written in the world file and
// that nothing outside this package can see through the API: the chance of a
// click, of an order that would not have come otherwise, and of annoyance. So
// the best action is known, and [Oracle] and [Ledger] measure regret and true
// lift. Every event carries context.demo = true and comes through sources of
// the world's own, and [Sim.Remove] takes every shopper away again.
package sim

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/client"
)

// Options say where a world lives.
type Options struct {
	World *World
	// URL is the server's address.
	URL string
	// Token is an API token, for Remove only.
	Token string
	// HTTPClient makes all requests. Nil takes a default.
	HTTPClient *http.Client
	// Clock is the server's clock: history ends when the world is first opened,
	// and the present runs at the clock's speed. Nil is the system clock.
	Clock rapport.Clock
	// State is what Save was last given, or nil for a new world.
	State []byte
	// Save keeps the state, a JSON document, for the next Open. It is called
	// from one goroutine at a time and may be nil.
	Save func(state []byte) error
	// Visits is how many visits begin per minute of wall time at least,
	// however slow the clock is. 0 is 40.
	Visits float64
	// MostVisits bounds them, however fast the clock is. 0 is 1200.
	MostVisits float64
	// Speed is how much faster than the wall Clock runs at first. 0 is 1.
	Speed float64
	Log   *slog.Logger
}

// Sim is a world in contact with a server.
type Sim struct {
	o       Options
	w       *World
	log     *slog.Logger
	era     *era
	speed   atomic.Uint64 // bits of a float64
	clients [channels]*client.Client
	ledger  *Ledger

	mu    sync.Mutex
	state State
	lives map[int]*life
	busy  map[int]bool
	// missed counts questions without an answer since warned.
	missed int
	warned time.Time
}

// State is what outlives a restart. It is small: people are derived from the
// seed, and only those met live are kept.
type State struct {
	World string `json:"world"`
	Seed  uint64 `json:"seed"`
	// End is when history ends and the present begins, Unix milliseconds.
	End int64 `json:"end"`
	// Imported is how many shoppers' history is durable on the server.
	Imported int `json:"imported"`
	// Now is how far the present has come, Unix milliseconds. A clock that is
	// set up anew must not show an earlier time.
	Now int64 `json:"now"`
	// Visits counts the live visits begun, Born the newcomers among shoppers.
	Visits uint64 `json:"visits"`
	Born   int    `json:"born"`
	// Met are the shoppers who have visited live, by index.
	Met    map[int]met `json:"met,omitempty"`
	Ledger *tally      `json:"ledger,omitempty"`
}

// met is the part of a life that does not follow from the seed any more.
type met struct {
	Known  bool     `json:"k,omitempty"`
	Logged [3]bool  `json:"l"`
	Carded bool     `json:"c,omitempty"`
	Desked bool     `json:"d,omitempty"`
	Asked  bool     `json:"a,omitempty"`
	Allows bool     `json:"y,omitempty"`
	Owns   bool     `json:"o,omitempty"`
	Out    []int64  `json:"s,omitempty"`
	Orders int      `json:"n,omitempty"`
	Busy   int64    `json:"b,omitempty"`
	Agenda []errand `json:"g,omitempty"`
	Seen   []int    `json:"v,omitempty"`
	Week   int64    `json:"w,omitempty"`
}

// ReadState reads a state without opening its world, to set up a clock that
// goes on where the world stopped.
func ReadState(b []byte) (State, error) {
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return s, rapport.Errorf(rapport.Invalid, "read the state of the demo world: %w", err)
	}
	return s, nil
}

// Open prepares the world. Nothing is sent before [Sim.Backfill] or
// [Sim.Live]. It returns an Invalid error for a state of another world.
func Open(o Options) (*Sim, error) {
	if o.Clock == nil {
		o.Clock = rapport.SystemClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Visits <= 0 {
		o.Visits = 40
	}
	if o.MostVisits <= 0 {
		o.MostVisits = 1200
	}
	if o.Speed <= 0 {
		o.Speed = 1
	}
	s := &Sim{o: o, w: o.World, log: o.Log, lives: map[int]*life{}, busy: map[int]bool{}}
	s.SetSpeed(o.Speed)
	now := o.Clock.Now().UnixMilli()
	s.state = State{World: s.w.Name, Seed: s.w.Seed, End: now - now%second, Now: now}
	if o.State != nil {
		state, err := ReadState(o.State)
		if err != nil {
			return nil, err
		}
		if state.World != s.w.Name || state.Seed != s.w.Seed {
			return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the state is of world %s with seed %d, not %s with seed %d", state.World, state.Seed, s.w.Name, s.w.Seed),
				"start with an empty data folder to live in another world")
		}
		s.state = state
	}
	s.era = s.w.era(s.state.End)
	for i, m := range s.state.Met {
		s.lives[i] = s.restore(i, m)
	}
	s.state.Met = nil
	s.ledger = newLedger(s.w, s.state.Ledger)
	for c := range s.clients {
		var err error
		s.clients[c], err = client.New(client.Options{
			URL: o.URL, Key: s.w.Sources[channelNames[c]].Key, HTTPClient: o.HTTPClient, Clock: o.Clock,
			Interval: 200 * time.Millisecond, QueueSize: 50_000,
			OnDrop: func(events int, reason error) {
				s.log.Warn("demo events were refused", "events", events, "source", s.w.Sources[channelNames[c]].ID, "error", reason)
			},
		})
		if err != nil {
			return nil, err // the first of them: the URL is wrong
		}
	}
	return s, nil
}

// SetSpeed tells that the clock now runs at another speed, which must be above
// 0: more of the shoppers' days pass in one of ours, so more of them come.
func (s *Sim) SetSpeed(speed float64) { s.speed.Store(math.Float64bits(speed)) }

// Ledger returns the account of what decisions were met with.
func (s *Sim) Ledger() *Ledger { return s.ledger }

// End returns the moment history ends and the present begins.
func (s *Sim) End() time.Time { return time.UnixMilli(s.state.End).UTC() }

// Close sends what is queued, saves the state and lets go of the server.
func (s *Sim) Close(ctx context.Context) error {
	var first error
	for _, c := range s.clients {
		if err := c.Close(ctx); err != nil && first == nil {
			first = err
		}
	}
	if err := s.save(); err != nil && first == nil {
		first = err
	}
	return first
}

// save hands the state to Options.Save.
func (s *Sim) save() error {
	if s.o.Save == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	state.Now = max(state.Now, s.o.Clock.Now().UnixMilli())
	state.Met = make(map[int]met, len(s.lives))
	for i, l := range s.lives {
		if s.busy[i] {
			// In the middle of a visit: as it stands, once the visit is over.
			if m, ok := s.state.Met[i]; ok {
				state.Met[i] = m
			}
			continue
		}
		state.Met[i] = l.keep()
	}
	state.Ledger = s.ledger.keep()
	b, err := json.Marshal(state)
	if err != nil {
		return rapport.Errorf(rapport.Internal, "encode the state of the demo world: %w", err)
	}
	if err := s.o.Save(b); err != nil {
		return rapport.Errorf(rapport.Unavailable, "save the state of the demo world: %w", err)
	}
	return nil
}

// keep returns what the seed does not tell.
func (l *life) keep() met {
	m := met{
		Known: l.known, Logged: l.loggedIn, Carded: l.carded, Desked: l.desked, Asked: l.asked, Allows: l.allows, Owns: l.owns,
		Out: slices.Clone(l.out[:len(l.w.Categories)]), Orders: l.orders, Busy: l.busy, Agenda: slices.Clone(l.agenda), Week: l.seenIn,
	}
	for _, n := range l.seen {
		m.Seen = append(m.Seen, int(n))
	}
	return m
}

// restore returns the life of somebody met before.
func (s *Sim) restore(index int, m met) *life {
	l := s.w.birth(s.w.Shopper(index), s.era.end)
	l.landed = true
	l.known, l.loggedIn, l.carded, l.desked, l.asked, l.allows, l.owns = m.Known, m.Logged, m.Carded, m.Desked, m.Asked, m.Allows, m.Owns
	copy(l.out[:], m.Out)
	l.orders, l.busy, l.agenda, l.seenIn = m.Orders, m.Busy, m.Agenda, m.Week
	for i := range min(len(m.Seen), len(l.seen)) {
		l.seen[i] = uint8(min(max(m.Seen[i], 0), 255))
	}
	return l
}

// Remove erases every shopper of the world from the server, history and
// newcomers included, and calls progress, from several goroutines, with how
// many are done. It needs a token that may erase people. People the server does not know are skipped.
func (s *Sim) Remove(ctx context.Context, progress func(done, total int)) error {
	c, err := client.New(client.Options{URL: s.o.URL, Token: s.o.Token, HTTPClient: s.o.HTTPClient})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	total := s.w.Shoppers + s.state.Born
	var next, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range connections {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < total; i = int(next.Add(1)) - 1 {
				for _, ref := range s.w.Shopper(i).refs() {
					if err := c.Erase(ctx, ref); err != nil && rapport.KindOf(err) != rapport.NotFound {
						return err
					}
				}
				if n := int(done.Add(1)); progress != nil && (n%100 == 0 || n == total) {
					progress(n, total)
				}
			}
			return nil
		})
	}
	return g.Wait()
}
