// Package group keeps live segments of items: every canister under 20 %, every
// machine on an old firmware.
//
// Guarantees: membership is a pure function of the item's facts and the
// definitions in force when they were folded. Entering and leaving are moments of
// the item, told once each time, and so reach its owner as events; what a new
// definition finds for the first time is noted without a word. Time alone moves
// an item in or out at the millisecond the condition says.
package group

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
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
	When *condition.Condition `yaml:"when" required:"true" doc:"Which items are in it: items.any(i, i.level < 0.2 && i.category == \"canister\"); i.lot is a fact of it, i.level.mean (min, max, deviation, fast, slow, count) what its readings come to. Looked at whenever something happens to the item, its owner changes or time makes a difference; performed(\"Product Used\").within(\"7d\").count() and computed.x ask for its own past."`
}

// TraitDoc is the config document of kind "itemComputed": a number (or list)
// kept up to date from what happens to an item under its present owner, read as
// computed.ID in segments of items.
type TraitDoc struct {
	profile.ComputedDoc `yaml:",inline"`
}

// OfItems says that the document asks nothing of people.
func (*Doc) OfItems() {}

// OfItems says that the document asks nothing of people.
func (*TraitDoc) OfItems() {}

// Asks returns what segments and computed traits ask of the past of items; it is
// counted from when it is asked on. Kinds: Invalid.
func Asks(segments *Config, traits []TraitDoc) (*profile.Config, error) {
	docs := profile.Documents{Conditions: []iter.Seq[condition.Expr]{func(yield func(condition.Expr) bool) {
		for _, d := range segments.All() {
			if !yield(d.When) {
				return
			}
		}
	}}}
	for i := range traits {
		docs.Computed = append(docs.Computed, traits[i].ComputedDoc)
	}
	return profile.CompileAll(docs)
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
	} else if u := d.When.Uses(); len(u.Segments)+len(u.Purposes) > 0 {
		f.Add("when", "asks for segments or consent, which are of people: write what makes an item one of them")
	}
	return f.Err()
}

// Config holds the segments in force, by id. The nil Config has none.
type Config struct {
	docs []Doc
	keys []uint64 // of what each asks
}

// Compile returns the segments of the documents. Errors are Invalid.
func Compile(docs []Doc) (*Config, error) {
	if len(docs) > most {
		return nil, rapport.Errorf(rapport.Invalid, "there are %d segments of items; at most %d are kept", len(docs), most)
	}
	c := &Config{docs: slices.Clone(docs)}
	slices.SortFunc(c.docs, func(a, b Doc) int { return cmp.Compare(a.ID, b.ID) })
	for i := range c.docs {
		c.keys = append(c.keys, condition.HashID(c.docs[i].When.String()))
	}
	return c, nil
}

// Digest is the same for segments that ask the same.
func (c *Config) Digest() uint64 {
	h := fnv.New64a()
	for i, d := range c.All() {
		_, _ = fmt.Fprintf(h, "%s\x00%d\x00", d.ID, c.keys[i])
	}
	return h.Sum64()
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
	_ engine.Timed = (*Groups)(nil)
)

// Name implements engine.Fold.
func (Fold) Name() string { return FoldGroups }

// Version implements engine.Fold.
func (Fold) Version() uint32 { return 2 }

// Scope implements engine.Fold.
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements engine.Rowless.
func (Fold) Rowless() {}

// New implements engine.Fold.
func (Fold) New() engine.State { return &Groups{} }

// Wants implements engine.Cold: whatever may change what an item is like.
func (Fold) Wants(c *engine.Context, e *rapport.Event) bool {
	return c.Entity.Rank() == rapport.RankItem && e.Type == rapport.TypeSystem && e.Name != twin.EventBound && e.Name != twin.EventTapped && // a review of all items included
		e.Name != Entered && e.Name != Left
}

// Groups are the segments one item is in.
type Groups struct{ list []member }

// member is what is known of an item and a segment.
type member struct {
	id    string
	key   uint64 // of what the segment asks: another condition is another segment
	in    bool
	since int64
	due   int64 // when time alone may change it, Unix ms; 0 for never
}

// timerName is the one timer of an item: the first time at which a segment may change.
const timerName = "look"

// Apply implements engine.State.
func (s *Groups) Apply(c *engine.Context, e *rapport.Event) {
	item, config := known(c)
	if item == nil {
		return
	}
	docs := config.All()
	old := s.list
	s.list = make([]member, 0, len(docs))
	env := twin.ItemEnv(item, c.Config, rapport.Time(c.Time))
	for i := range docs {
		d := &docs[i]
		m := member{id: d.ID, key: config.keys[i], since: e.Timestamp}
		m.in, m.due = d.When.Look(env)
		if j, seen := slices.BinarySearchFunc(old, d.ID, func(m member, id string) int { return cmp.Compare(m.id, id) }); seen && old[j].key == m.key {
			if old[j].in == m.in {
				m.since = old[j].since
			} else {
				tell(c, e.MessageID, e.Timestamp, e.ReceivedAt, e.History, item, d, m.in)
			}
		}
		s.list = append(s.list, m)
	}
	s.arm(c, earliest(old))
}

// known returns the item a fold sees and the segments in force; no item if
// there is none.
func known(c *engine.Context) (*twin.Item, *Config) {
	item, _ := c.State(twin.FoldItem).(*twin.Item)
	if item == nil || item.ID == "" {
		return nil, nil
	}
	config, _ := c.Config.Part(Part).(*Config)
	return item, config
}

// Fire implements [engine.Timed]: time alone may have changed segments.
func (s *Groups) Fire(c *engine.Context, _ string) {
	item, config := known(c)
	if item == nil {
		return
	}
	docs := config.All()
	env := twin.ItemEnv(item, c.Config, rapport.Time(c.Time))
	for i := range s.list {
		m := &s.list[i]
		j, ok := slices.BinarySearchFunc(docs, m.id, func(d Doc, id string) int { return cmp.Compare(d.ID, id) })
		if !ok || config.keys[j] != m.key {
			m.due = 0 // it is seen to at the next event
			continue
		}
		if m.due == 0 || m.due > c.Time {
			continue
		}
		in, due := docs[j].When.Look(env)
		if m.due = due; m.due != 0 {
			m.due = max(m.due, c.Time+1)
		}
		if in != m.in {
			m.in, m.since = in, c.Time
			tell(c, fmt.Sprintf("time/%d/%d/%s", c.Partition, c.Offset, item.ID), c.Time, c.Time, c.History, item, &docs[j], in)
		}
	}
	s.arm(c, -1)
}

func earliest(list []member) (due int64) {
	for i := range list {
		if x := list[i].due; x != 0 && (due == 0 || x < due) {
			due = x
		}
	}
	return due
}

// arm sets the timer if it stands at another time than it should.
func (s *Groups) arm(c *engine.Context, stands int64) {
	if due := earliest(s.list); due != stands {
		c.SetTimer(due, timerName)
	}
}

// tell makes entering or leaving happen to the item.
func tell(c *engine.Context, cause string, at, received int64, history bool, item *twin.Item, d *Doc, in bool) {
	name := Left
	if in {
		name = Entered
	}
	f := rapport.AppendField(nil, "segment", rapport.StringValue(d.ID))
	if d.Name != "" {
		f = rapport.AppendField(f, "name", rapport.StringValue(d.Name))
	}
	out := twin.Fact(rapport.Identifier{Kind: rapport.KindItem, Value: item.ID}, name, cause+"/"+name+"/"+d.ID, at, received, f)
	out.Fragment, out.History = c.Entity, history
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
		b = rapport.AppendText(b, m.id)
		b = binary.LittleEndian.AppendUint64(b, m.key)
		b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, in), m.since), m.due)
	}
	return b
}

// DecodeBinary implements engine.State.
func (s *Groups) DecodeBinary(b []byte) error {
	s.list = nil
	if len(b) == 0 {
		return nil
	}
	d := rapport.NewDecoder(b)
	var list []member
	for n := d.Count(12); n > 0 && !d.Failed() && len(list) <= most; n-- {
		m := member{id: d.Text(), key: d.Uint64()}
		m.in, m.since, m.due = d.Varint() == 1, d.Varint(), d.Varint()
		list = append(list, m)
	}
	if !d.Done() || len(list) == 0 || !slices.IsSortedFunc(list, func(a, b member) int { return cmp.Compare(a.id, b.id) }) {
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
