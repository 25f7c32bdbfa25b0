package segment

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

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
		if i, ok := c.place(key); ok {
			return c.defs[i]
		}
		return nil
	}
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
