package twin

import (
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// NameFold keeps which item a tag or a device name belongs to and, for tags,
// the counter that tells a fresh tap from a copied one. The state is serial at
// the tag's home, so of any number of requests with one counter exactly one is
// the tap.
type NameFold struct {
	Mint func(kind, value string) rapport.ID
}

var (
	_ engine.Fold  = NameFold{}
	_ engine.Cold  = NameFold{}
	_ engine.State = (*Label)(nil)
)

// Name implements engine.Fold.
func (NameFold) Name() string { return FoldName }

// Version implements engine.Fold.
func (NameFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (NameFold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements engine.Rowless.
func (NameFold) Rowless() {}

// New implements engine.Fold.
func (f NameFold) New() engine.State { return &Label{mint: f.Mint} }

// Wants implements engine.Cold.
func (NameFold) Wants(_ *engine.Context, e *rapport.Event) bool {
	return e.Type == rapport.TypeSystem && (e.Name == EventBound || e.Name == EventTapped)
}

// Label is what a tag or a device name stands for.
type Label struct {
	// Item is the item it belongs to; the first told stays.
	Item string
	// Counter is the highest accepted, -1 before the first.
	Counter int64
	// Refused counts taps whose counter was not above it.
	Refused int64
	seen    bool
	taps    []accepted // newest last
	mint    func(kind, value string) rapport.ID
}

// accepted is a tap that was fresh, by its request's own name.
type accepted struct {
	name    string
	counter int64
}

// Fresh reports whether the tap recorded under a name was fresh and on the tag's own item.
func (s *Label) Fresh(name string) bool {
	return slices.ContainsFunc(s.taps, func(t accepted) bool { return t.name == name })
}

// Apply implements engine.State.
func (s *Label) Apply(c *engine.Context, e *rapport.Event) {
	item := str(e.Properties, "item")
	if rebind, _ := e.Properties.Get("rebind"); s.Item == "" || rebind.Kind() == rapport.KindTrue {
		s.Item = clip(item, 256)
	}
	if !s.seen {
		s.seen, s.Counter = true, -1
	}
	if e.Name != EventTapped {
		return
	}
	counter := num(e.Properties, "counter")
	if counter <= s.Counter || s.Item != item {
		s.Refused++
		return
	}
	s.Counter = counter
	s.taps = append(s.taps, accepted{clip(e.MessageID, 64), counter})
	if len(s.taps) > maxTaps {
		s.taps = slices.Delete(s.taps, 0, 1)
	}
	if s.mint == nil {
		return
	}
	// The item learns of fresh taps alone.
	moment := *e
	moment.Name, moment.MessageID = ProductTapped, e.MessageID+"/item"
	moment.Identifiers = []rapport.Identifier{{Kind: rapport.KindItem, Value: s.Item}}
	moment.Fragment = s.mint(rapport.KindItem, s.Item)
	c.Emit(moment.Fragment, &moment)
}

// Merge implements engine.State: names never become one.
func (s *Label) Merge(other engine.State) {
	if o := other.(*Label); !s.seen {
		_ = s.DecodeBinary(o.AppendBinary(nil))
	}
}

func (s *Label) code(c *coder) {
	c.text(&s.Item)
	c.int(&s.Counter)
	c.int(&s.Refused)
	list(c, &s.taps, func(t *accepted) { c.text(&t.name); c.int(&t.counter) })
}

// AppendBinary implements engine.State.
func (s *Label) AppendBinary(b []byte) []byte {
	if !s.seen {
		return b
	}
	c := coder{b: b}
	s.code(&c)
	return c.b
}

// DecodeBinary implements engine.State.
func (s *Label) DecodeBinary(b []byte) error {
	*s = Label{mint: s.mint}
	if len(b) == 0 {
		return nil
	}
	c := coder{b: b, reading: true}
	s.code(&c)
	s.seen = true
	return c.done("tag")
}
