// Package group keeps live segments of items: every canister under 20 %, every
// machine on an old firmware.
//
// Guarantees: membership is a pure function of the item's facts and the
// definitions in force when they were folded. Entering and leaving are moments of
// the item, told once each time, and so reach its owner as events; what a new
// definition finds for the first time is noted without a word.
package group

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

// FoldGroups is the name of the fold.
const FoldGroups = "groups"

// Part is the name under which the compiled Config stands in engine.Config.
const Part = "itemSegments"

// Moments of an item that this room makes; segment in their properties says which.
const (
	Entered = "Product Segment Entered"
	Left    = "Product Segment Left"
)

// most bounds the segments of items of a deployment.
const most = 256

// Doc is the config document of kind "itemSegment": the items for which a
// condition holds.
type Doc struct {
	ID   string               `yaml:"id" doc:"Name of the segment."`
	Name string               `yaml:"name,omitempty" doc:"What people call it."`
	When *condition.Condition `yaml:"when" required:"true" doc:"Which items are in it: items.any(i, i.level < 0.2 && i.category == \"canister\"); i.lot is a fact of it, i.level.mean (min, max, deviation, fast, slow, count) what its readings come to. Looked at whenever the item tells something."`
}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *Doc) Validate() error {
	var f rapport.Faults
	if len(d.Name) > 200 {
		f.Add("name", "is longer than 200 bytes")
	}
	if d.When.IsZero() {
		f.Add("when", "is missing: which items are in the segment?")
	} else if err := d.When.EventFree(); err != nil {
		f.Add("when", "%v", err)
	}
	return f.Err()
}

// Config holds the segments in force, by id. The nil Config has none.
type Config struct{ docs []Doc }

// Compile returns the segments of the documents. Errors are Invalid.
func Compile(docs []Doc) (*Config, error) {
	if len(docs) > most {
		return nil, rapport.Errorf(rapport.Invalid, "there are %d segments of items; at most %d are kept", len(docs), most)
	}
	c := &Config{docs: slices.Clone(docs)}
	slices.SortFunc(c.docs, func(a, b Doc) int { return cmp.Compare(a.ID, b.ID) })
	return c, nil
}

// All returns the segments by id. They must not be changed.
func (c *Config) All() []Doc {
	if c == nil {
		return nil
	}
	return c.docs
}

// Get returns a segment, or nil.
func (c *Config) Get(id string) *Doc {
	if c != nil {
		if i, ok := slices.BinarySearchFunc(c.docs, id, func(d Doc, id string) int { return cmp.Compare(d.ID, id) }); ok {
			return &c.docs[i]
		}
	}
	return nil
}

// Fold is the engine fold. It comes after the twin's.
type Fold struct{}

var (
	_ engine.Fold  = Fold{}
	_ engine.Cold  = Fold{}
	_ engine.State = (*Groups)(nil)
)

// Name implements engine.Fold.
func (Fold) Name() string { return FoldGroups }

// Version implements engine.Fold.
func (Fold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements engine.Rowless.
func (Fold) Rowless() {}

// New implements engine.Fold.
func (Fold) New() engine.State { return &Groups{} }

// Wants implements engine.Cold: whatever may change what an item is like.
func (Fold) Wants(c *engine.Context, e *rapport.Event) bool {
	return c.Entity.Rank() == rapport.RankItem && e.Type == rapport.TypeSystem && e.Name != twin.EventBound && e.Name != twin.EventTapped && e.Name != Entered && e.Name != Left
}

// Groups are the segments one item is in.
type Groups struct{ list []member }

// member is what is known of an item and a segment.
type member struct {
	id    string
	in    bool
	since int64
}

// Apply implements engine.State.
func (s *Groups) Apply(c *engine.Context, e *rapport.Event) {
	item, _ := c.State(twin.FoldItem).(*twin.Item)
	if item == nil || item.ID == "" {
		return
	}
	config, _ := c.Config.Part(Part).(*Config)
	docs := config.All()
	if len(docs) == 0 {
		s.list = nil
		return
	}
	env := twin.ItemEnv(item, c.Config, rapport.Time(max(e.Timestamp, c.Time)))
	old := s.list
	s.list = make([]member, 0, len(docs))
	for i := range docs {
		d := &docs[i]
		m := member{id: d.ID, in: d.When.Holds(env), since: e.Timestamp}
		if j, known := slices.BinarySearchFunc(old, d.ID, func(m member, id string) int { return cmp.Compare(m.id, id) }); known {
			if old[j].in == m.in {
				m = old[j]
			} else {
				tell(c, e, d, m.in)
			}
		}
		s.list = append(s.list, m)
	}
}

// tell makes entering or leaving happen to the item.
func tell(c *engine.Context, e *rapport.Event, d *Doc, in bool) {
	name := Left
	if in {
		name = Entered
	}
	f := rapport.AppendField(nil, "segment", rapport.StringValue(d.ID))
	if d.Name != "" {
		f = rapport.AppendField(f, "name", rapport.StringValue(d.Name))
	}
	out := twin.Fact(e.Identifiers[0], name, e.MessageID+"/"+name+"/"+d.ID, e.Timestamp, e.ReceivedAt, f)
	out.Fragment, out.History = c.Entity, e.History
	c.Emit(c.Entity, &out)
}

// Merge implements engine.State: items never become one.
func (s *Groups) Merge(other engine.State) {
	if o := other.(*Groups); len(s.list) == 0 {
		s.list = slices.Clone(o.list)
	}
}

// AppendBinary implements engine.State.
func (s *Groups) AppendBinary(b []byte) []byte {
	if len(s.list) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(s.list)))
	for _, m := range s.list {
		in := int64(0)
		if m.in {
			in = 1
		}
		b = append(binary.AppendUvarint(b, uint64(len(m.id))), m.id...)
		b = binary.AppendVarint(binary.AppendVarint(b, in), m.since)
	}
	return b
}

// DecodeBinary implements engine.State.
func (s *Groups) DecodeBinary(b []byte) error {
	s.list = nil
	if len(b) == 0 {
		return nil
	}
	bad := false
	natural := func() uint64 {
		x, n := binary.Uvarint(b)
		if n <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return x
	}
	whole := func() int64 {
		x, n := binary.Varint(b)
		if n <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return x
	}
	var list []member
	for n := natural(); n > 0 && !bad && len(list) <= most; n-- {
		size := natural()
		if size > uint64(len(b)) {
			bad = true
			break
		}
		m := member{id: string(b[:size])}
		b = b[size:]
		m.in, m.since = whole() == 1, whole()
		list = append(list, m)
	}
	if bad || len(b) > 0 || len(list) == 0 || !slices.IsSortedFunc(list, func(a, b member) int { return cmp.Compare(a.id, b.id) }) {
		return rapport.Errorf(rapport.Internal, "stored segments of an item are damaged")
	}
	s.list = list
	return nil
}

// Membership is a segment an item is in.
type Membership struct {
	ID    string
	Since int64 // Unix milliseconds
}

// Read returns the segments the item of a view is in, by id.
func Read(v *engine.View) (list []Membership) {
	s, _ := v.State(FoldGroups).(*Groups)
	config, _ := v.Config().Part(Part).(*Config)
	if s == nil {
		return nil
	}
	for _, m := range s.list {
		if m.in && config.Get(m.id) != nil {
			list = append(list, Membership{m.id, m.since})
		}
	}
	return list
}
