// Package engine turns the event log into live state: it deduplicates events,
// brings each to the home partition of its entity, hands it to the folds in a
// fixed order, fires timers, and commits state together with the log position
// it reflects.
//
// Properties (DESIGN.md tells how):
//
//   - State is a function of one partition's log alone: same log, same bytes,
//     whatever the batching, the restarts and the time of day.
//   - Every accepted event is folded exactly once, although it may stand in the
//     log more than once and the process may die at any moment.
//   - A read or decision sees every event acknowledged before it was asked.
//   - Effects (sends) leave at least once per idempotency key and, where the
//     receiver honours the key, exactly once; a replay sends nothing again.
//   - Memory is bounded: when folding falls behind, Admit refuses.
package engine

import (
	"math/rand/v2"

	"github.com/rapport-engine/rapport"
)

// Scope says what a fold's state belongs to.
type Scope uint8

const (
	// PerFragment state is a commutative monoid kept per fragment and merged
	// for a view, so that merging and unmerging people only moves it. Its
	// Apply must not emit, set timers or cause effects.
	PerFragment Scope = iota
	// PerEntity state is serial: it lives at the entity's home, sees every
	// fragment's events in home order, and merges by its own written rule.
	PerEntity
)

// Fold is one independent part of what is known of an entity. Its states are
// pure functions of the records applied: no clock, no randomness but
// Context.Rand, no I/O, no dependence on map order.
type Fold interface {
	// Name is unique, lower case, stable: it names the state span.
	Name() string
	// Version changes when the same records would give other bytes. A changed
	// fold is built beside the old one and swapped in at a barrier.
	Version() uint32
	Scope() Scope
	// New returns the state of an entity (or fragment) nothing is known of.
	New() State
}

// State is the value a fold keeps for one entity or fragment.
type State interface {
	// Apply folds one event in. The event and all it refers to are valid
	// during the call only: clone what is kept.
	Apply(c *Context, e *rapport.Event)
	// Merge folds in another state of the same fold. For PerFragment states it
	// is commutative and associative with New() as its zero. For PerEntity
	// states it is the rule for two entities becoming one: other is the one
	// that ends. Merge must not keep references into other.
	Merge(other State)
	// AppendBinary appends a canonical encoding: equal states, equal bytes.
	// The zero state appends nothing.
	AppendBinary(b []byte) []byte
	// DecodeBinary replaces the state by what b holds; b is not kept. An empty
	// b gives the zero state.
	DecodeBinary(b []byte) error
}

// Cold is an optional ability of a Fold: its state may be large or changes
// rarely, so it is loaded only for events it wants, and kept under its own key
// where it is large.
type Cold interface {
	// Wants reports whether Apply would change anything; it may look at
	// earlier folds' states through c.
	Wants(c *Context, e *rapport.Event) bool
}

// Regrouped is an optional ability of a PerEntity State: Regroup is called when
// the fragments of its entity changed other than by a first event, after all
// that one record did: people were merged, or taken apart.
type Regrouped interface {
	Regroup(c *Context)
}

// Rowless is an optional ability of a Fold that never calls PutRow, so that
// nobody looks for its rows when entities merge or go.
type Rowless interface{ Rowless() }

// Positioned is an optional ability of a Fold whose states say where in the
// log events stand, so that they depend on how it is partitioned: Hash.People
// leaves them out.
type Positioned interface{ Positioned() }

// Timed is an optional ability of a PerEntity State.
type Timed interface {
	// Fire is called once when partition time reaches a timer set by SetTimer.
	Fire(c *Context, name string)
}

// Effect is something to be done in the world, left in the outbox by a fold.
type Effect struct {
	// Kind selects the sender ("webhook", "inapp", "decide", ...).
	Kind string
	// Key is the idempotency key: unique per effect, the same on every replay.
	Key string
	// Entity is whom it concerns; erasing the entity removes it.
	Entity rapport.ID
	// NotBefore is the earliest time to act, Unix milliseconds; 0 is now.
	NotBefore int64
	// Payload is the sender's own format.
	Payload []byte
}

// Token names a position in the events topic: everything at or before it.
type Token struct {
	Partition int32
	Offset    int64
}

// Config is one published version of the deployment's configuration, compiled.
// Every partition adopts it at a Barrier record of its own log.
type Config struct {
	Version int64
	// Stage counts the barriers of the version after the first: see [Number].
	Stage int64
	parts map[string]any
}

// NewStage returns a stage of a version.
func NewStage(version, stage int64, parts map[string]any) *Config {
	return &Config{Version: version, Stage: stage, parts: parts}
}

// NewConfig returns a version made of each room's compiled part.
func NewConfig(version int64, parts map[string]any) *Config {
	return &Config{Version: version, parts: parts}
}

// Part returns the compiled part of a room, or nil.
func (c *Config) Part(room string) any {
	if c == nil {
		return nil
	}
	return c.parts[room]
}

// Context is what a fold may know and do beside the event itself.
type Context struct {
	// Partition, Offset and Time (Unix ms, never falling) are those of the
	// record being folded in the home partition's log.
	Partition int32
	Offset    int64
	Time      int64
	// Entity is the home entity, Fragment the part the event folds into.
	Entity   rapport.ID
	Fragment rapport.ID
	// History is true when nothing may be sent because of this record.
	History bool
	Config  *Config
	// Accepted is the number (see [Number]) of the configuration in force in the
	// partition an event was accepted in. Every event accepted before a
	// configuration's barriers is told from those after, wherever it is folded.
	Accepted int64

	ops ops
}

// ops is what the partition does on a fold's behalf.
type ops interface {
	state(name string) State
	rand() *rand.Rand
	emit(c *Context, target rapport.ID, e *rapport.Event)
	effect(c *Context, e Effect)
	cancelEffect(c *Context, key string)
	timer(c *Context, at int64, name string)
	reward(c *Context, data []byte)
	putRow(c *Context, key, value []byte)
	deleteRows(c *Context, from, to []byte)
}

// State returns the merged state of another fold for this entity, for reading
// only. It is current for folds that come earlier in the order. A Context of no
// partition knows none.
func (c *Context) State(fold string) State {
	if c.ops == nil {
		return nil
	}
	return c.ops.state(fold)
}

// Rand returns a generator seeded by (partition, offset): the same on replay.
func (c *Context) Rand() *rand.Rand { return c.ops.rand() }

// Emit appends a derived event for target to its home partition's log; it is
// folded there exactly once. PerEntity folds only.
func (c *Context) Emit(target rapport.ID, e *rapport.Event) { c.ops.emit(c, target, e) }

// Effect leaves e in the outbox, in the same commit as the state. Ignored when
// History is set. A second effect with the same key replaces the first if that
// is still waiting.
func (c *Context) Effect(e Effect) { c.ops.effect(c, e) }

// CancelEffect removes a waiting effect: its result is known or it is not wanted any more.
func (c *Context) CancelEffect(key string) { c.ops.cancelEffect(c, key) }

// SetTimer asks for Fire(name) when partition time reaches at (Unix ms). One
// timer per name: setting it again moves it, at <= 0 removes it.
func (c *Context) SetTimer(at int64, name string) { c.ops.timer(c, at, name) }

// Reward appends one complete learning example to the rewards topic, exactly once.
func (c *Context) Reward(data []byte) { c.ops.reward(c, data) }

// PutRow writes a row private to this fold and fragment (PerEntity folds:
// entity). Rows are for what is appended often and read rarely, such as a
// timeline: they are not part of the state loaded for an event. key <= 64 bytes.
// They move with what they belong to; when two entities become one, a row of
// the one that ends replaces a row with the same key.
func (c *Context) PutRow(key, value []byte) { c.ops.putRow(c, key, value) }

// DeleteRows removes this fold's rows with from <= key < to.
func (c *Context) DeleteRows(from, to []byte) { c.ops.deleteRows(c, from, to) }
