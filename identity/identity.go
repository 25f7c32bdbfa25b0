// Package identity says who an event belongs to, how that is known, and takes
// it back when it was wrong.
//
// Properties (DESIGN.md tells how):
//
//   - Ids are minted without coordination: a keyed hash of the identifier.
//   - A person is what the links that stand say. Which fragment an event folds
//     into never depends on links between people, so withdrawing a link gives
//     the grouping, and the states, as if it had never been.
//   - A device never unites two people who identified themselves: each owns
//     the intervals in which they were signed in on it.
//   - Looking somebody up is local, takes no store and allocates nothing.
//   - The identity topic holds the links in the order in which they took
//     effect; an event and its link are in one submission. What a failed
//     submission had changed in memory is undone from what is durable.
//   - Memory is about 55 bytes per linked id and link; a person has at most
//     Options.MaxIdentifiers of them.
//
// Lock order: Resolver.linking, then Resolver.mu.
package identity

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// Options are what a Resolver works on. Key, Log, State, Clock and Logger are required.
type Options struct {
	// Key is the deployment's secret of at least [MinKey] bytes. It must never change.
	Key []byte
	Log eventlog.Log
	// State keeps the journal of links, under the keys that begin with "identity/".
	State  *state.Store
	Clock  rapport.Clock
	Logger *slog.Logger
	// Settled returns once the engine has folded every record appended before
	// the call and all that these caused. Unmerge and Erase ask it first, so
	// that the states are where the links say when they send them elsewhere.
	// Nil: nobody folds (tests of this room).
	Settled func(ctx context.Context) error
	// MaxIdentifiers is the most identifiers and device intervals one person
	// may have; a link that would exceed it is not made. Default 1,000.
	MaxIdentifiers int
	// Sources are the source records that are compared, and that tell who lives
	// together; nil: nobody is.
	Sources Sources
	// Publish makes trained weights a document of the configuration.
	Publish func(ctx context.Context, model LikenessModelDoc) error
	// Rules are those in force when the process before this one ended; nil for
	// the rules by default.
	Rules *Rules
}

// Resolver stamps events with the person they belong to. Its methods are safe
// for concurrent use.
type Resolver struct {
	*Minter
	o       Options
	journal journal

	// linking serialises changes: it is held from computing a change until its
	// records are queued, so that the order of the topic is the order in memory.
	linking sync.Mutex
	broken  bool // a submission failed and is not yet undone; under linking

	mu    sync.RWMutex
	table *table

	waiting   outcomes
	reviewing counted
	suspects  suspects
	rules     atomic.Pointer[Rules]
	changes   changes
	alike     alike

	linked, refused, undone, quarantined atomic.Int64
}

// Open loads who is who from the journal and the end of the identity topic:
// about half a second per million links. Kinds of errors: Invalid (key),
// Internal (damage; a topic trimmed above the journal).
func Open(ctx context.Context, o Options) (*Resolver, error) {
	if o.MaxIdentifiers <= 0 {
		o.MaxIdentifiers = 1000
	}
	m, err := NewMinter(o.Key)
	if err != nil {
		return nil, err
	}
	r := &Resolver{Minter: m, o: o, waiting: outcomes{more: make(chan struct{}, 1)}}
	r.journal.open(o.State)
	r.suspects.open()
	r.changes.open()
	r.alike.open()
	r.rules.Store(o.Rules)
	if r.table, err = r.load(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Run keeps the journal and undoes failed submissions until ctx ends. Stamping
// works without it for a while; Person, Unmerge and Erase wait for it.
func (r *Resolver) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.keep(ctx) })
	g.Go(func() error { return r.watch(ctx) })
	g.Go(func() error { return r.guard(ctx) })
	if r.o.Sources != nil {
		g.Go(func() error { return r.follow(ctx) })
		g.Go(func() error { return r.train(ctx) })
	}
	return g.Wait()
}

// Person returns the entity an id belongs to now: the id itself unless it took
// part in a link. Ids of people who were merged keep working.
func (r *Resolver) Person(id rapport.ID) rapport.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.person(id)
}

// Partition returns which of n partitions an event is routed to: a function of
// its strongest identifier alone, so that a retry meets the same partition.
func (m *Minter) Partition(e *rapport.Event, n int) int32 {
	if len(e.Identifiers) == 0 {
		return 0
	}
	i := &e.Identifiers[0]
	return int32(m.Mint(i.Kind, i.Value, 0).Partition(n))
}

// Metrics are figures of a resolver for an operator.
type Metrics struct {
	Nodes   int64 // linked ids in memory
	Linked  int64 // links made since start
	Refused int64 // links not made because a person would have too many identifiers
	Undone  int64 // failed submissions undone since start
	Junk    int64 // values put into quarantine since start
	Waiting int64 // changes in memory of which it is not known yet that they are durable
	Journal int64 // offset of the identity topic up to which the journal reflects it
}

// Metrics returns the current figures.
func (r *Resolver) Metrics() Metrics {
	r.mu.RLock()
	nodes := r.table.n
	r.mu.RUnlock()
	return Metrics{Nodes: int64(nodes), Linked: r.linked.Load(), Refused: r.refused.Load(), Undone: r.undone.Load(), Junk: r.quarantined.Load(), Waiting: int64(len(r.waiting.all())), Journal: r.journal.at()}
}
