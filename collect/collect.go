// Package collect is the door for events: it speaks the Segment HTTP API as
// unmodified clients do, knows senders by their write keys, holds events
// against the tracking plan, and appends what it accepts to the event log.
//
// Guarantees:
//
//   - A request is answered 200 only after every event of it is durable: in the
//     events topic, or in quarantine.
//   - One bad or oversize event never costs its neighbours; it is held, visible,
//     and can be corrected and let in later with its original name and time.
//   - The events of a request keep their order.
//   - What is transient (overload, a full disk) is answered 429 or 503 with
//     Retry-After, so that clients send again; what will never succeed is
//     answered with another 4xx.
//   - Memory is bounded: by the size of a body, of all bodies together, and of
//     the quarantine.
package collect

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
)

// Resolver says whom events belong to and where they are deduplicated.
// *identity.Resolver is one.
type Resolver interface {
	// Stamp sets Entity and Fragment of every event, in order. What it returns
	// holds further records (new links, merges) for the same submission, and
	// must be told of that submission at once, or cancelled. It must not keep
	// any string or Fields of the events: their memory is used again. Kinds:
	// Unavailable, Internal.
	Stamp(events []rapport.Event) (identity.Stamped, error)
	// Partition returns which of n partitions an event is appended to: a
	// function of its strongest identifier, whomever that belongs to now.
	Partition(e *rapport.Event, n int) int32
}

// Admitter protects what is behind the door from more than it can take.
// *engine.Engine is one.
type Admitter interface {
	// Admit asks to accept n more events. It returns Unavailable if they are
	// too many now; with n = 0 it tells whether any would be.
	Admit(n int) error
}

// Pacer is an Admitter that would rather keep somebody waiting for a moment than
// refuse. Clients that await their answers are slowed down by that to what can be
// taken; those that were refused stay away for seconds.
type Pacer interface {
	// Pace returns when n more events could be taken, or after a moment or when
	// ctx ends in any case.
	Pace(ctx context.Context, n int)
}

// Deps are what a door stands on. Log, Resolver and Clock are needed.
type Deps struct {
	Log      eventlog.Log
	Resolver Resolver
	Admitter Admitter // nil admits everything
	// Normalize brings an identifier to its form, or says that it names nobody;
	// nil is identity.Normalize.
	Normalize func(kind, value string) (string, bool)
	Clock     rapport.Clock
	Logger    *slog.Logger // nil is silent
	Options   Options
}

// Options are the limits of a door. A zero field means its default.
type Options struct {
	BodyBytes    int                // decompressed body; default 20 MiB
	AllBytes     int64              // all bodies being read and processed at one time; default 256 MiB
	Wire         segmentwire.Limits // of one event, and events in a body
	HistoryAfter rapport.Duration   // age from which an event triggers nothing; default 1 h
	// PublicURL is the address clients reach this server at, such as
	// https://events.example.com. If empty, each request's own is used.
	PublicURL  string
	Quarantine QuarantineOptions
}

func (o Options) withDefaults() Options {
	if o.BodyBytes <= 0 {
		o.BodyBytes = 20 << 20
	}
	if o.AllBytes <= 0 {
		o.AllBytes = 256 << 20
	}
	if o.HistoryAfter <= 0 {
		o.HistoryAfter = rapport.Duration(time.Hour)
	}
	o.Quarantine = o.Quarantine.withDefaults()
	return o
}

// Door accepts events. It is safe for concurrent use.
type Door struct {
	Deps
	config     atomic.Pointer[Config]
	quarantine *Quarantine
	stats      Stats
	memory     atomic.Int64 // bytes of bodies at hand
	work       sync.Pool    // of *work
	spread     atomic.Uint64

	mu      sync.Mutex // guards buckets
	buckets map[string]*bucket
}

// New returns a door that knows no source until [Door.Apply].
func New(d Deps) *Door {
	d.Options = d.Options.withDefaults()
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Normalize == nil {
		d.Normalize = identity.Normalize
	}
	door := &Door{Deps: d, buckets: map[string]*bucket{}}
	door.config.Store(&Config{})
	door.work.New = func() any { return new(work) }
	door.quarantine = newQuarantine(door)
	return door
}

// Apply replaces the configuration for all requests from now on.
func (d *Door) Apply(c *Config) { d.config.Store(c) }

// Config returns the configuration in force.
func (d *Door) Config() *Config { return d.config.Load() }

// Quarantine returns the events that were kept out.
func (d *Door) Quarantine() *Quarantine { return d.quarantine }

// Run follows the quarantine topic until ctx ends. It must run for the
// quarantine to answer.
func (d *Door) Run(ctx context.Context) error { return d.quarantine.run(ctx) }

// Stats returns the door's counters.
func (d *Door) Stats() *Stats { return &d.stats }

// Stats count what a door did since it was made. All fields only rise, but
// those said to be levels.
type Stats struct {
	Requests     atomic.Int64 // to collection paths, preflights left out
	Bytes        atomic.Int64 // of bodies, decompressed
	Accepted     atomic.Int64 // events made durable
	Held         atomic.Int64 // events put in quarantine
	Observed     atomic.Int64 // events against the plan that only were counted
	Refused      atomic.Int64 // requests that were not JSON, too large or not allowed
	Unknown      atomic.Int64 // requests without a known write key
	Overloaded   atomic.Int64 // requests answered 429
	Failed       atomic.Int64 // requests answered 5xx
	Replayed     atomic.Int64 // events let in from quarantine
	HeldEntries  atomic.Int64 // level: events in quarantine
	HeldBytes    atomic.Int64 // level: their size
	HeldExpired  atomic.Int64 // events that left quarantine by age or for space
	HeldRepeated atomic.Int64 // events sent again while in quarantine

	bySource  sync.Map // source id -> *SourceStats
	observing sync.Map // schema id -> *atomic.Int64
}

// SourceStats count what one source did since the door was made.
type SourceStats struct {
	Accepted atomic.Int64
	Held     atomic.Int64
	LastAt   atomic.Int64 // level: when it last sent, Unix milliseconds
}

// Source returns the counters of a source, never nil.
func (s *Stats) Source(id string) *SourceStats {
	if v, ok := s.bySource.Load(id); ok {
		return v.(*SourceStats)
	}
	v, _ := s.bySource.LoadOrStore(id, new(SourceStats))
	return v.(*SourceStats)
}

// ObservedBy returns how many events broke a schema in mode observe; the empty
// id stands for events no schema knows.
func (s *Stats) ObservedBy(schema string) int64 {
	if v, ok := s.observing.Load(schema); ok {
		return v.(*atomic.Int64).Load()
	}
	return 0
}

func (s *Stats) observe(schema string) {
	s.Observed.Add(1)
	v, ok := s.observing.Load(schema)
	if !ok {
		v, _ = s.observing.LoadOrStore(schema, new(atomic.Int64))
	}
	v.(*atomic.Int64).Add(1)
}
