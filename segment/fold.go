package segment

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// FoldName is the name of this room's fold.
const FoldName = "segment"

// Fold keeps a person's memberships. It runs after the folds of profile. Env
// gives the person as of the record at hand; it must be pure.
type Fold struct {
	Env func(c *engine.Context) *profile.Env
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
func (Fold) Version() uint32 { return 1 }

// Scope implements [engine.Fold].
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements [engine.Rowless].
func (Fold) Rowless() {}

// New implements [engine.Fold].
func (f Fold) New() engine.State { return &Memberships{env: f.Env} }

// Memberships are the segments one person is in.
type Memberships struct {
	env  func(c *engine.Context) *profile.Env
	born bool     // everything was evaluated once
	zone uint32   // hash of the zone the client told when that was last looked at
	in   []member // by key

	marks []uint64 // scratch: segments to evaluate, a bit each
	kept  *Config  // the last that in was matched with; no state
}

type member struct {
	key   uint64
	since int64 // Unix ms
}

// Membership is one segment a person is in.
type Membership struct {
	ID    string
	Since int64 // Unix ms
}

// List returns the segments of a config the person is in, in its order.
func (m *Memberships) List(c *Config) (list []Membership) {
	for _, d := range c.Definitions() {
		if i, ok := m.find(d.Key); ok {
			list = append(list, Membership{d.ID, m.in[i].since})
		}
	}
	slices.SortFunc(list, func(a, b Membership) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Has reports whether the person is in a segment of a config.
func (m *Memberships) Has(c *Config, id string) bool {
	d := c.Definition(id)
	if d == nil {
		return false
	}
	_, ok := m.find(d.Key)
	return ok
}

// Of returns the segments of the person of a view.
func Of(v *engine.View) []Membership {
	m, _ := v.State(FoldName).(*Memberships)
	c, _ := v.Config().Part(Part).(*Config)
	if m == nil || c == nil {
		return nil
	}
	return m.List(c)
}

// Attach makes env answer segments.has and segments.degree from the states it
// was made of. What it answered before is asked for segments that are none of
// this room's.
func Attach(env *profile.Env, state func(fold string) engine.State, config *engine.Config) *profile.Env {
	c, _ := config.Part(Part).(*Config)
	m, _ := state(FoldName).(*Memberships)
	if c == nil || m == nil {
		return env
	}
	m.attach(env, c)
	return env
}

func (m *Memberships) attach(env *profile.Env, c *Config) {
	before := env.Segments
	env.Segments = func(id string) float64 {
		d := c.byID[id]
		switch {
		case d == nil && before != nil:
			return before(id)
		case d == nil:
			return 0
		}
		if _, ok := m.find(d.Key); ok {
			return 1
		}
		return 0
	}
}

func (m *Memberships) find(key uint64) (int, bool) {
	return slices.BinarySearchFunc(m.in, key, func(x member, key uint64) int {
		switch {
		case x.key < key:
			return -1
		case x.key > key:
			return 1
		}
		return 0
	})
}

// Apply implements [engine.State].
func (m *Memberships) Apply(c *engine.Context, e *rapport.Event) {
	cfg, _ := c.Config.Part(Part).(*Config)
	if cfg == nil || c.Entity.Rank() == rapport.RankItem {
		return
	}
	m.begin(cfg)
	if e.Type == rapport.TypeSystem {
		if e.Name == profile.SystemReview {
			m.review(c, cfg, e.Body)
		}
		return
	}
	if !m.born {
		m.markAll(cfg)
	}
	m.markEvent(cfg, e)
	m.evaluate(c, cfg, c.History, false)
}

// begin readies the scratch and drops memberships of segments that are gone.
func (m *Memberships) begin(cfg *Config) {
	words := (len(cfg.defs) + 63) / 64
	if cap(m.marks) < words {
		m.marks = make([]uint64, words)
	}
	m.marks = m.marks[:words]
	clear(m.marks)
	if m.kept != cfg {
		m.kept = cfg
		m.in = slices.DeleteFunc(m.in, func(x member) bool { _, ok := cfg.byKey[x.key]; return !ok })
	}
}

func (m *Memberships) mark(i int) { m.marks[i/64] |= 1 << (i % 64) }

func (m *Memberships) markList(list []int) {
	for _, i := range list {
		m.mark(i)
	}
}

func (m *Memberships) markAll(cfg *Config) {
	for i := range cfg.defs {
		m.mark(i)
	}
}

// markEvent marks what an event can change.
func (m *Memberships) markEvent(cfg *Config, e *rapport.Event) {
	m.markList(cfg.every)
	m.markList(cfg.byEvent[profile.EventName(e)])
	if len(cfg.byTrait)+len(cfg.zone) > 0 {
		for name := range profile.TraitsOf(e).All() {
			m.markList(cfg.byTrait[string(name)])
			if string(name) == "timezone" {
				m.markList(cfg.zone)
			}
		}
	}
	if len(cfg.consent) > 0 {
		if _, told := e.Context.Get("consent"); told || e.Name == profile.ConsentUpdated {
			m.markList(cfg.consent)
		}
	}
}

// evaluate brings the marked segments in line with their conditions. quiet
// marks what changes as history; silent tells nobody at all.
func (m *Memberships) evaluate(c *engine.Context, cfg *Config, quiet, silent bool) {
	var env *profile.Env
	m.born = true
	if a, _ := c.State(profile.FoldActivity).(*profile.Activity); a != nil && len(cfg.zone) > 0 {
		if zone := uint32(condition.HashID(a.Zone.Value)); zone != m.zone {
			m.zone = zone
			m.markList(cfg.zone)
		}
	}
	n := uint32(0)
	for w := range m.marks {
		for m.marks[w] != 0 {
			i := 64*w + bits.TrailingZeros64(m.marks[w])
			m.marks[w] &= m.marks[w] - 1
			if env == nil {
				env = m.person(c, cfg)
			}
			d := cfg.defs[i]
			holds := d.When.Holds(env)
			if !d.When.Timeless() {
				c.SetTimer(d.When.Next(env), d.timer)
			}
			at, is := m.find(d.Key)
			if holds == is {
				continue
			}
			name := rapport.SystemSegmentLeft
			if holds {
				name = rapport.SystemSegmentEntered
				m.in = slices.Insert(m.in, at, member{d.Key, c.Time})
			} else {
				m.in = slices.Delete(m.in, at, at+1)
			}
			m.markList(d.dependents)
			if !silent {
				n++
				m.tell(c, d, name, quiet || d.Quiet, n)
			}
		}
	}
}

func (m *Memberships) person(c *engine.Context, cfg *Config) *profile.Env {
	env := m.env(c)
	m.attach(env, cfg)
	return env
}

// tell emits the event of entering or leaving.
func (m *Memberships) tell(c *engine.Context, d *Definition, name string, quiet bool, n uint32) {
	c.Emit(c.Entity, &rapport.Event{
		Type: rapport.TypeSystem, Name: name, Source: "rapport", History: quiet,
		MessageID: fmt.Sprintf("segment/%s/%d/%d/%d", d.ID, c.Partition, c.Offset, n) + "/" + c.Entity.String(),
		Timestamp: c.Time, ReceivedAt: c.Time, OriginalTimestamp: c.Time, Fragment: c.Fragment,
		Properties: rapport.AppendField(nil, "segment", rapport.StringValue(d.ID)),
	})
}

// Fire implements [engine.Timed]: a segment may have changed because time passed.
func (m *Memberships) Fire(c *engine.Context, name string) {
	cfg, _ := c.Config.Part(Part).(*Config)
	if cfg == nil {
		return
	}
	m.begin(cfg)
	var key uint64
	if _, err := fmt.Sscanf(name, "%016x", &key); err != nil {
		return
	}
	if i, ok := cfg.byKey[key]; ok {
		m.mark(i)
		m.evaluate(c, cfg, false, false)
	}
}

// Regroup implements [engine.Regrouped]: who is one person changed. Nobody did
// anything, so what that changes is history.
func (m *Memberships) Regroup(c *engine.Context) {
	cfg, _ := c.Config.Part(Part).(*Config)
	if cfg == nil || c.Entity.Rank() == rapport.RankItem {
		return
	}
	m.begin(cfg)
	m.markAll(cfg)
	m.evaluate(c, cfg, true, false)
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
func (m *Memberships) review(c *engine.Context, cfg *Config, body []byte) {
	for ; len(body) >= 8; body = body[8:] {
		if i, ok := cfg.byKey[binary.LittleEndian.Uint64(body)]; ok {
			m.mark(i)
		}
	}
	m.evaluate(c, cfg, true, true)
}

// Merge implements [engine.State]. Two people that become one are in what
// either was in, since the earlier time, until [Memberships.Regroup] looks at them as one.
func (m *Memberships) Merge(other engine.State) {
	o := other.(*Memberships)
	m.born = m.born || o.born
	for _, x := range o.in {
		i, ok := m.find(x.key)
		if ok {
			m.in[i].since = min(m.in[i].since, x.since)
		} else {
			m.in = slices.Insert(m.in, i, x)
		}
	}
}

// AppendIndex implements [engine.Indexed].
func (m *Memberships) AppendIndex(keys []uint64) []uint64 {
	for _, x := range m.in {
		keys = append(keys, x.key)
	}
	return keys
}

// AppendBinary implements [engine.State].
func (m *Memberships) AppendBinary(b []byte) []byte {
	if !m.born && len(m.in) == 0 {
		return b
	}
	b = append(b, map[bool]byte{true: 1}[m.born])
	b = binary.LittleEndian.AppendUint32(b, m.zone)
	for _, x := range m.in {
		b = binary.LittleEndian.AppendUint64(b, x.key)
		b = binary.AppendVarint(b, x.since)
	}
	return b
}

// DecodeBinary implements [engine.State].
func (m *Memberships) DecodeBinary(b []byte) error {
	m.born, m.zone, m.in, m.kept = false, 0, m.in[:0], nil
	if len(b) == 0 {
		return nil
	}
	damaged := rapport.Errorf(rapport.Internal, "stored segments of a person are damaged")
	if len(b) < 5 || b[0] > 1 {
		return damaged
	}
	m.born, m.zone = b[0] == 1, binary.LittleEndian.Uint32(b[1:])
	for b = b[5:]; len(b) > 0; {
		if len(b) < 9 {
			return damaged
		}
		x := member{key: binary.LittleEndian.Uint64(b)}
		var n int
		if x.since, n = binary.Varint(b[8:]); n <= 0 || len(m.in) > 0 && x.key <= m.in[len(m.in)-1].key {
			return damaged
		}
		m.in = append(m.in, x)
		b = b[8+n:]
	}
	return nil
}

// Candidates returns those of some segments that must be evaluated for the
// person of a view: their condition disagrees with the membership kept, or may
// turn when time passes.
func Candidates(env *profile.Env, v *engine.View, defs []*Definition) (ids []string) {
	m, _ := v.State(FoldName).(*Memberships)
	for _, d := range defs {
		_, is := m.find(d.Key)
		if d.When.Holds(env) != is || !d.When.Timeless() && d.When.Next(env) != 0 {
			ids = append(ids, d.ID)
		}
	}
	return ids
}
