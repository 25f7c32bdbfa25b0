package twin

import (
	"cmp"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// ThingsFold keeps, per person, what the items they hold are like. States merge
// in any order: of two that tell of one item the newer version counts.
type ThingsFold struct{}

var (
	_ engine.Fold  = ThingsFold{}
	_ engine.Cold  = ThingsFold{}
	_ engine.State = (*Things)(nil)

	_ condition.Owner = (*Things)(nil)
)

// Name implements engine.Fold.
func (ThingsFold) Name() string { return FoldThings }

// Version implements engine.Fold.
func (ThingsFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (ThingsFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (ThingsFold) Rowless() {}

// New implements engine.Fold.
func (ThingsFold) New() engine.State { return &Things{} }

// Wants implements engine.Cold.
func (ThingsFold) Wants(_ *engine.Context, e *rapport.Event) bool {
	return e.Type == rapport.TypeSystem && e.Name == EventHeld
}

// Thing is one item as those who hold it may know it.
type Thing struct {
	Item    string
	Version int64
	// Role is owner, member or guest; "" if it is not held any more.
	Role string
	// Fields are what conditions read: state, firmware, gtin, product, readings by name.
	Fields rapport.Fields
}

// Things are the items a person holds or held. They answer items.any(...) in conditions.
type Things struct{ list []Thing }

// NumItems implements condition.Owner.
func (s *Things) NumItems() int {
	n := 0
	for i := range s.list {
		if s.list[i].Role != "" {
			n++
		}
	}
	return n
}

// ItemValue implements condition.Owner.
func (s *Things) ItemValue(i int, path []string) rapport.Value {
	for at := range s.list {
		if s.list[at].Role == "" {
			continue
		}
		if i == 0 {
			return s.list[at].Value(path)
		}
		i--
	}
	return rapport.Value{}
}

// Held returns the items held now, by name. They must not be changed.
func (s *Things) Held() []Thing {
	var out []Thing
	for _, t := range s.list {
		if t.Role != "" {
			out = append(out, t)
		}
	}
	return out
}

// Apply implements engine.State.
func (s *Things) Apply(_ *engine.Context, e *rapport.Event) {
	t := Thing{Item: str(e.Properties, "item"), Version: num(e.Properties, "version"), Role: str(e.Properties, "role")}
	if t.Item == "" {
		return
	}
	for k, v := range e.Properties.All() {
		switch string(k) {
		case "version", "role":
		case "readings":
			f, _ := v.Object()
			t.Fields = append(t.Fields, f...)
		default:
			t.Fields = rapport.AppendField(t.Fields, string(k), v)
		}
	}
	if t.Role == "" {
		t.Fields = nil
	}
	s.learn(t)
}

func (s *Things) learn(t Thing) {
	i, ok := slices.BinarySearchFunc(s.list, t.Item, func(t Thing, item string) int { return cmp.Compare(t.Item, item) })
	switch {
	case ok && s.list[i].Version < t.Version:
		s.list[i] = t
	case ok:
	case i < maxThings:
		// The names that sort first are kept, so that the order of arrival does not matter.
		if s.list = slices.Insert(s.list, i, t); len(s.list) > maxThings {
			s.list = s.list[:maxThings]
		}
	}
}

// Merge implements engine.State.
func (s *Things) Merge(other engine.State) {
	for _, t := range other.(*Things).list {
		t.Fields = slices.Clone(t.Fields)
		s.learn(t)
	}
}

func (s *Things) code(c *coder) {
	list(c, &s.list, func(t *Thing) {
		c.text(&t.Item)
		c.int(&t.Version)
		c.text(&t.Role)
		c.fields(&t.Fields)
	})
}

// AppendBinary implements engine.State.
func (s *Things) AppendBinary(b []byte) []byte {
	if len(s.list) == 0 {
		return b
	}
	c := coder{b: b}
	s.code(&c)
	return c.b
}

// DecodeBinary implements engine.State.
func (s *Things) DecodeBinary(b []byte) error {
	s.list = nil
	if len(b) == 0 {
		return nil
	}
	c := coder{b: b, reading: true}
	s.code(&c)
	return c.done("things of a person")
}

// Value returns what conditions read of a thing at a path, or null.
func (t *Thing) Value(path []string) rapport.Value {
	if len(path) == 1 && path[0] == "role" {
		return rapport.StringValue(t.Role)
	}
	v, _ := t.Fields.Path(path...)
	return v
}
