package segment

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
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
func (Fold) Version() uint32 { return 3 }

// Scope implements [engine.Fold].
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements [engine.Rowless].
func (Fold) Rowless() {}

// New implements [engine.Fold].
func (f Fold) New() engine.State { return &Memberships{person: f.person} }

// Memberships are the segments one person is in.
type Memberships struct {
	*person
	born bool     // everything was evaluated once
	zone uint32   // hash of the zone the client told when that was last looked at
	of   []member // by key
	past []Change // the newest that were told nobody, oldest first

	// No state, but known of it:
	kept  *Config  // the last that of was matched with
	bits  []uint64 // by place in kept: the segments they are in, then those with a due time
	armed int64    // the time the timer was last set to; 0 if that is not known
}

// member is what is kept of one segment: at least one of the times.
type member struct {
	key   uint64
	since int64 // in it since, Unix ms; 0 is not in it
	due   int64 // when that may change because time passes, Unix ms; 0 is never
}

// Membership is one segment a person is in.
type Membership struct {
	ID    string
	Since int64 // Unix ms
}

// Change is one entering or leaving.
type Change struct {
	Key     uint64 // of the segment
	At      int64  // Unix ms
	Entered bool
}

// ChangesKept is how many changes a person remembers.
const ChangesKept = 64

// timerName is the name of a person's timer.
const timerName = "due"

// never is later than every time.
const never = math.MaxInt64

// List returns the segments of a config the person is in, by id.
func (m *Memberships) List(c *Config) (list []Membership) {
	for _, d := range c.Definitions() {
		if i, ok := m.find(d.Key); ok && m.of[i].since != 0 {
			list = append(list, Membership{d.ID, m.of[i].since})
		}
	}
	slices.SortFunc(list, func(a, b Membership) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Has reports whether the person is in a segment of a config.
func (m *Memberships) Has(c *Config, id string) bool {
	d := c.Definition(id)
	return d != nil && m.in(d.Key)
}

func (m *Memberships) in(key uint64) bool {
	i, ok := m.find(key)
	return ok && m.of[i].since != 0
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

// Changes returns the newest changes of the person of a view that are not
// events in the log, oldest first, and the segments they are of.
func Changes(v *engine.View) (changes []Change, of func(key uint64) *Definition) {
	m, _ := v.State(FoldName).(*Memberships)
	c, _ := v.Config().Part(Part).(*Config)
	if m == nil || c == nil {
		return nil, nil
	}
	return slices.Clone(m.past), func(key uint64) *Definition {
		if i, ok := c.byKey[key]; ok {
			return c.defs[i]
		}
		return nil
	}
}

// Attach makes env answer segments.has and segments.degree of live segments
// from its states.
func Attach(env *profile.Env) *profile.Env {
	env.Segments = answer
	return env
}

func answer(env *profile.Env, id string) (in, known bool) {
	c, _ := env.Config().Part(Part).(*Config)
	d := c.Definition(id)
	m, _ := env.State(FoldName).(*Memberships)
	if d == nil || m == nil {
		return false, false
	}
	return m.in(d.Key), true
}

func (m *Memberships) find(key uint64) (int, bool) {
	low, high := 0, len(m.of)
	for low < high {
		if mid := (low + high) / 2; m.of[mid].key < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(m.of) && m.of[low].key == key
}

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

// begin matches what is kept with the segments in force, dropping what is kept
// of those that are gone, and returns what evaluation needs.
func (m *Memberships) begin(cfg *Config) *work {
	w := m.works.Get().(*work)
	words := (len(cfg.defs) + 63) / 64
	w.marks = slices.Grow(w.marks[:0], words)[:words]
	clear(w.marks)
	if m.kept == cfg {
		return w
	}
	m.kept, m.armed = cfg, 0
	m.bits = slices.Grow(m.bits[:0], 2*words)[:2*words]
	clear(m.bits)
	at := 0 // in cfg.keys, ascending as of is
	m.of = slices.DeleteFunc(m.of, func(x member) bool {
		for at < len(cfg.keys) && cfg.keys[at] < x.key {
			at++
		}
		if at == len(cfg.keys) || cfg.keys[at] != x.key {
			return true
		}
		m.note(int(cfg.places[at]), &x)
		return false
	})
	m.past = slices.DeleteFunc(m.past, func(x Change) bool { _, ok := cfg.byKey[x.Key]; return !ok })
	return w
}

// note brings the bits of the i-th segment in line with what is kept of it.
func (m *Memberships) note(i int, x *member) {
	in, timed, bit := i/64, len(m.bits)/2+i/64, uint64(1)<<(i%64)
	if m.bits[in] &^= bit; x.since != 0 {
		m.bits[in] |= bit
	}
	if m.bits[timed] &^= bit; x.due != 0 {
		m.bits[timed] |= bit
	}
}

// markKnown marks all that a person may be in by what is known of them, but for
// what the last so many events did.
func (m *Memberships) markKnown(c *engine.Context, cfg *Config, told int64, marks []uint64) {
	mark(marks, cfg.newborn)
	mark(marks, cfg.every)
	if said, _ := c.State(profile.FoldConsent).(*profile.Consent); said != nil && len(said.All()) > 0 {
		mark(marks, cfg.consent)
	}
	if len(cfg.byTrait)+len(cfg.zone) > 0 {
		if about, _ := c.State(profile.FoldAbout).(*profile.About); about != nil {
			for _, t := range about.Traits() {
				cfg.markTrait(t.Name, marks)
			}
		}
	}
	if a, _ := c.State(profile.FoldActivity).(*profile.Activity); a != nil && a.Events > told {
		if !a.Whole() {
			for name := range cfg.byEvent {
				cfg.markAll(name, marks)
			}
		}
		a.Counts(func(name string, _, _ int64) { cfg.markAll(name, marks) })
	}
	for w := range marks { // what they were in by what is known no more
		marks[w] |= m.bits[w] | m.bits[len(marks)+w]
	}
}

func (c *Config) markTrait(name string, marks []uint64) {
	mark(marks, c.byTrait[name])
	if name == "timezone" {
		mark(marks, c.zone)
	}
}

// markEvent marks what an event can change.
func (m *Memberships) markEvent(c *engine.Context, cfg *Config, e *rapport.Event, w *work) {
	mark(w.marks, cfg.every)
	w.event.Properties = e.Properties
	in := m.bits[:len(w.marks)]
	list := cfg.byEvent[profile.EventName(e)]
	for i := range list {
		if a := &list[i]; a.where == nil || a.where.Holds(&w.event) {
			a.mark(c, e, in, w.marks)
		}
	}
	if len(cfg.byTrait)+len(cfg.zone) > 0 {
		for name := range profile.TraitsOf(e).All() {
			cfg.markTrait(string(name), w.marks)
		}
	}
	if len(cfg.consent) > 0 {
		if _, told := e.Context.Get("consent"); told || e.Name == profile.ConsentUpdated {
			mark(w.marks, cfg.consent)
		}
	}
}

// evaluate brings the marked segments in line with their conditions. quiet
// marks what changes as history; silent tells nobody at all.
func (m *Memberships) evaluate(c *engine.Context, cfg *Config, with *work, quiet, silent bool) {
	if len(cfg.zone) > 0 {
		if a, _ := c.State(profile.FoldActivity).(*profile.Activity); a != nil {
			if zone := uint32(condition.HashID(a.Zone.Value)); zone != m.zone {
				m.zone = zone
				mark(with.marks, cfg.zone)
			}
		}
	}
	m.born = true
	asked := false
	n := uint32(0)
	for w := range with.marks {
		for with.marks[w] != 0 {
			i := 64*w + next(&with.marks[w])
			if !asked {
				asked = true
				m.fill(c, &with.person)
				with.memo.Begin(cfg.shared, Attach(&with.person))
			}
			d := cfg.defs[i]
			var due int64
			var holds bool
			if d.timeless {
				holds = d.When.Holds(&with.memo)
			} else if holds, due = d.When.Look(&with.memo); due > 0 {
				due = max(due, c.Time+1)
			}
			if !m.set(i, holds, due, c.Time) {
				continue
			}
			mark(with.marks, d.dependents)
			if !silent {
				n++
				m.tell(c, d, holds, quiet || d.Quiet, n)
			}
		}
	}
	if asked {
		with.memo.End()
		with.person = profile.Env{}
	}
	with.event.Properties = nil
	m.works.Put(with)
	m.arm(c)
}

// set notes whether the person is in the i-th segment, and when that may change.
func (m *Memberships) set(i int, holds bool, due, now int64) (changed bool) {
	words, bit := len(m.bits)/2, uint64(1)<<(i%64)
	in, timed := m.bits[i/64]&bit != 0, m.bits[words+i/64]&bit != 0
	if changed = in != holds; !changed && due == 0 && !timed {
		return false
	}
	key := m.kept.defs[i].Key
	at, known := m.find(key)
	if !known {
		m.of = slices.Insert(m.of, at, member{key: key})
	}
	x := &m.of[at]
	if x.due != due {
		if x.due == m.armed || due != 0 && due < m.armed {
			m.armed = 0 // the earliest is another one now
		}
		x.due = due
	}
	switch {
	case changed && holds:
		x.since = max(now, 1)
	case changed:
		x.since = 0
	}
	m.note(i, x)
	if x.since == 0 && x.due == 0 {
		m.of = slices.Delete(m.of, at, at+1)
	}
	return changed
}

// arm sets the person's timer to the first time at which a membership may change.
func (m *Memberships) arm(c *engine.Context) {
	if m.armed != 0 {
		return
	}
	at := int64(never)
	for i := range m.of {
		if due := m.of[i].due; due != 0 {
			at = min(at, due)
		}
	}
	if m.armed = at; at == never {
		at = 0
	}
	c.SetTimer(at, timerName)
}

// tell makes entering or leaving an event if somebody listens, and else part of
// what the person remembers.
func (m *Memberships) tell(c *engine.Context, d *Definition, entered, quiet bool, n uint32) {
	name, told := rapport.SystemSegmentLeft, d.Told.Left
	if entered {
		name, told = rapport.SystemSegmentEntered, d.Told.Entered
	}
	if !told {
		if len(m.past) >= ChangesKept {
			m.past = slices.Delete(m.past, 0, len(m.past)-ChangesKept+1)
		}
		m.past = append(m.past, Change{d.Key, c.Time, entered})
		return
	}
	c.Emit(c.Entity, &rapport.Event{
		Type: rapport.TypeSystem, Name: name, Source: "rapport", History: quiet,
		MessageID: fmt.Sprintf("segment/%s/%d/%d/%d", d.ID, c.Partition, c.Offset, n) + "/" + c.Entity.String(),
		Timestamp: c.Time, ReceivedAt: c.Time, OriginalTimestamp: c.Time, Fragment: c.Fragment,
		Properties: rapport.AppendField(nil, "segment", rapport.StringValue(d.ID)),
	})
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
			place := cfg.byKey[x.key]
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
		if i, ok := cfg.byKey[binary.LittleEndian.Uint64(body)]; ok {
			w.marks[i/64] |= 1 << (i % 64)
		}
	}
	m.evaluate(c, cfg, w, true, true)
}

// Merge implements [engine.State]. Two people that become one are in what
// either was in, since the earlier time, until [Memberships.Regroup] looks at them as one.
func (m *Memberships) Merge(other engine.State) {
	o := other.(*Memberships)
	m.kept = nil
	m.born = m.born || o.born
	for _, x := range o.of {
		i, ok := m.find(x.key)
		if !ok {
			m.of = slices.Insert(m.of, i, x)
			continue
		}
		mine := &m.of[i]
		mine.since, mine.due = earlier(mine.since, x.since), earlier(mine.due, x.due)
	}
	m.past = append(m.past, o.past...)
	slices.SortFunc(m.past, func(a, b Change) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Key, b.Key)) })
	m.past = slices.Delete(m.past, 0, max(len(m.past)-ChangesKept, 0))
}

// earlier returns the earlier of two times; 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// AppendIndex implements [engine.Indexed].
func (m *Memberships) AppendIndex(keys []uint64) []uint64 {
	for i := range m.of {
		if m.of[i].since != 0 {
			keys = append(keys, m.of[i].key)
		}
	}
	return keys
}

// AppendBinary implements [engine.State].
func (m *Memberships) AppendBinary(b []byte) []byte {
	if !m.born && len(m.of) == 0 && len(m.past) == 0 {
		return b
	}
	b = append(b, map[bool]byte{true: 1}[m.born])
	b = binary.LittleEndian.AppendUint32(b, m.zone)
	b = binary.AppendUvarint(b, uint64(len(m.of)))
	before := int64(0) // times lie close to each other
	for i := range m.of {
		x := &m.of[i]
		b = binary.LittleEndian.AppendUint64(b, x.key)
		for _, at := range [...]int64{x.since, x.due} {
			if at == 0 {
				b = append(b, 0)
				continue
			}
			delta := uint64(at-before)<<1 ^ uint64((at-before)>>63)
			b = binary.AppendUvarint(b, delta+1)
			before = at
		}
	}
	at := int64(0)
	for _, x := range m.past {
		b = binary.LittleEndian.AppendUint64(b, x.Key)
		delta := (x.At - at) << 1
		if at = x.At; x.Entered {
			delta |= 1
		}
		b = binary.AppendVarint(b, delta)
	}
	return b
}

// DecodeBinary implements [engine.State].
func (m *Memberships) DecodeBinary(b []byte) error {
	m.born, m.zone, m.of, m.past, m.kept, m.armed = false, 0, m.of[:0], m.past[:0], nil, 0
	if len(b) == 0 {
		return nil
	}
	r := reader{b: b}
	born := r.byte()
	m.born, m.zone = born == 1, r.uint32()
	r.bad = r.bad || born > 1
	before := int64(0)
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		x := member{key: r.uint64()}
		for _, at := range [...]*int64{&x.since, &x.due} {
			if delta := r.uvarint(); delta != 0 {
				delta--
				before += int64(delta>>1) ^ -int64(delta&1)
				*at = before
			}
		}
		if x.since == 0 && x.due == 0 || len(m.of) > 0 && x.key <= m.of[len(m.of)-1].key {
			r.bad = true
		}
		m.of = append(m.of, x)
	}
	at := int64(0)
	for len(r.b) > 0 && !r.bad && len(m.past) < ChangesKept {
		x := Change{Key: r.uint64()}
		delta := r.varint()
		at += delta >> 1
		x.At, x.Entered = at, delta&1 != 0
		m.past = append(m.past, x)
	}
	if r.bad || len(r.b) > 0 {
		return rapport.Errorf(rapport.Internal, "stored segments of a person are damaged")
	}
	return nil
}

// reader reads what AppendBinary wrote.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) varint() int64 {
	x := r.uvarint()
	return int64(x>>1) ^ -int64(x&1)
}

// Candidates returns those of some segments that must be evaluated for the
// person of a view: their condition disagrees with the membership kept, or may
// turn when time passes.
func Candidates(env *profile.Env, v *engine.View, defs []*Definition) (ids []string) {
	m, _ := v.State(FoldName).(*Memberships)
	for _, d := range defs {
		holds, next := d.When.Look(env)
		if next != 0 || holds != m.in(d.Key) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}
