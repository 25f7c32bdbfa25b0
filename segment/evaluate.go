package segment

import (
	"fmt"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// timerName is the name of a person's timer.
const timerName = "due"

// never is later than every time.
const never = math.MaxInt64

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
	m.of = slices.DeleteFunc(m.of, func(x member) bool {
		i, ok := cfg.place(x.key)
		if ok {
			m.note(i, &x)
		}
		return !ok
	})
	m.past = slices.DeleteFunc(m.past, func(x Change) bool { _, ok := cfg.place(x.Key); return !ok })
	return w
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
	if of := cfg.byEvent[profile.EventName(e)]; of != nil {
		var room [16]condition.Passed
		for _, may := range of.sieve.Pass(e.Properties, room[:0]) {
			if a := &of.asked[may.I]; may.Sure || a.where.Holds(&w.event) {
				a.mark(c, e, in, w.marks)
			}
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
