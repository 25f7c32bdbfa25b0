package segment

import (
	"encoding/binary"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// FoldName is the name of this room's fold.
const FoldName = "segment"

// Fold keeps a person's memberships. It runs after the folds of profile.
type Fold struct{ person *person }

// person fills Envs, which are used again: evaluation makes none.
type person struct {
	fill  func(c *engine.Context, into *profile.Env)
	works sync.Pool // of *work
}

// work is what the evaluation of one record needs.
type work struct {
	person profile.Env
	memo   condition.Memo
	event  condition.EventEnv
	marks  []uint64 // segments to evaluate, a bit each
}

// NewFold returns the fold. env makes into the person as of the record at hand;
// it must be pure.
func NewFold(env func(c *engine.Context, into *profile.Env)) Fold {
	return Fold{&person{fill: env, works: sync.Pool{New: func() any { return new(work) }}}}
}

var (
	_ engine.Fold      = Fold{}
	_ engine.State     = (*Memberships)(nil)
	_ engine.Timed     = (*Memberships)(nil)
	_ engine.Regrouped = (*Memberships)(nil)
	_ engine.Indexed   = (*Memberships)(nil)
)

// Name implements [engine.Fold].
func (Fold) Name() string { return FoldName }

// Version implements [engine.Fold].
func (Fold) Version() uint32 { return 4 }

// Scope implements [engine.Fold].
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements [engine.Rowless].
func (Fold) Rowless() {}

// New implements [engine.Fold].
func (f Fold) New() engine.State { return &Memberships{person: f.person} }

// Apply implements [engine.State].
func (m *Memberships) Apply(c *engine.Context, e *rapport.Event) {
	cfg, _ := c.Config.Part(Part).(*Config)
	if cfg == nil || c.Entity.Rank() == rapport.RankItem {
		return
	}
	if e.Type == rapport.TypeSystem {
		if e.Name == profile.SystemReview {
			m.review(c, cfg, m.begin(cfg), e.Body)
		}
		return
	}
	w := m.begin(cfg)
	if !m.born {
		m.markKnown(c, cfg, 1, w.marks)
	}
	m.markEvent(c, cfg, e, w)
	m.evaluate(c, cfg, w, c.History, false)
}

// Fire implements [engine.Timed]: segments may have changed because time passed.
func (m *Memberships) Fire(c *engine.Context, _ string) {
	m.armed = 0
	cfg, _ := c.Config.Part(Part).(*Config)
	if cfg == nil {
		return
	}
	w := m.begin(cfg)
	for i := range m.of {
		if x := &m.of[i]; x.due != 0 && x.due <= c.Time {
			place, _ := cfg.place(x.key)
			w.marks[place/64] |= 1 << (place % 64)
		}
	}
	m.evaluate(c, cfg, w, false, false)
}

// Regroup implements [engine.Regrouped]: who is one person changed. Nobody did
// anything, so what that changes is history.
func (m *Memberships) Regroup(c *engine.Context) {
	cfg, _ := c.Config.Part(Part).(*Config)
	if cfg == nil || c.Entity.Rank() == rapport.RankItem {
		return
	}
	w := m.begin(cfg)
	m.armed = 0
	m.markKnown(c, cfg, 0, w.marks)
	m.evaluate(c, cfg, w, true, false)
}

// ReviewBody is the body of the system event [profile.SystemReview] that asks
// for these segments to be evaluated for a person.
func ReviewBody(ids []string) []byte {
	var b []byte
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint64(b, Key(id))
	}
	return b
}

// review evaluates segments whose definition is new to the person. They are
// entered and left without an event: only the definition changed.
func (m *Memberships) review(c *engine.Context, cfg *Config, w *work, body []byte) {
	for ; len(body) >= 8; body = body[8:] {
		if i, ok := cfg.place(binary.LittleEndian.Uint64(body)); ok {
			w.marks[i/64] |= 1 << (i % 64)
		}
	}
	m.evaluate(c, cfg, w, true, true)
}
