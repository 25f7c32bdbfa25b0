package profile

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Limits of what one fragment says about itself. A trait beyond them is not
// kept; it stays in the event.
const (
	maxTraits     = 256
	maxTraitBytes = 8 << 10 // of one value
)

// AboutFold keeps the traits of a fragment. It is cold: most events say nothing
// about the person.
type AboutFold struct{}

// Name implements engine.Fold.
func (AboutFold) Name() string { return FoldAbout }

// Version implements engine.Fold.
func (AboutFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (AboutFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (AboutFold) Rowless() {}

// New implements engine.Fold.
func (AboutFold) New() engine.State { return &About{} }

// Wants implements engine.Cold.
func (AboutFold) Wants(_ *engine.Context, e *rapport.Event) bool {
	return len(traitsOf(e)) > 0
}

// TraitsOf returns what an event says about the person.
func TraitsOf(e *rapport.Event) rapport.Fields { return traitsOf(e) }

// traitsOf returns what an event says about the person: the traits of an
// identify call, or those another call carries in its context.
func traitsOf(e *rapport.Event) rapport.Fields {
	switch e.Type {
	case rapport.TypeIdentify:
		return e.Traits
	case rapport.TypeSystem:
		return nil
	}
	v, _ := e.Context.Get("traits")
	f, _ := v.Object()
	return f
}

// About is what is said of a person.
type About struct{ traits []Trait } // by name

// Trait is one thing said of a person.
type Trait struct {
	Name   string
	At     int64 // Unix ms
	Source string
	value  []byte // binary form of rapport.Value
}

// Value returns what was said.
func (t Trait) Value() rapport.Value {
	v, _ := rapport.DecodeValue(t.value)
	return v
}

// Traits returns everything said, by name. A trait set to null is not there.
func (a *About) Traits() []Trait {
	list := make([]Trait, 0, len(a.traits))
	for _, t := range a.traits {
		if !t.Value().IsNull() {
			list = append(list, t)
		}
	}
	return list
}

// Trait returns one trait's value, or null.
func (a *About) Trait(name string) rapport.Value {
	if i, ok := a.find(name); ok {
		return a.traits[i].Value()
	}
	return rapport.Value{}
}

func (a *About) find(name string) (int, bool) {
	return slices.BinarySearchFunc(a.traits, name, func(t Trait, name string) int { return strings.Compare(t.Name, name) })
}

// encodedTrait returns one trait's value, or null, from what AppendBinary wrote.
// Nothing is allocated; the value refers to b.
func encodedTrait(b []byte, name string) rapport.Value {
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		is := text(r.bytes()) == name
		r.bytes()
		r.varint()
		if value := r.bytes(); is && !r.bad {
			v, _ := rapport.DecodeValue(value)
			return v
		}
	}
	return rapport.Value{}
}

// Apply implements engine.State.
func (a *About) Apply(_ *engine.Context, e *rapport.Event) {
	var scratch [256]byte
	for name, v := range traitsOf(e).All() {
		a.learn(Trait{Name: text(name), At: e.Timestamp, Source: e.Source, value: rapport.AppendValue(scratch[:0], v)})
	}
}

// learn takes in a trait: the newest stands; of equally old ones the higher value.
func (a *About) learn(t Trait) {
	if len(t.Name) == 0 || len(t.Name) > 128 || len(t.value) > maxTraitBytes {
		return
	}
	i, ok := a.find(t.Name)
	if ok {
		have := &a.traits[i]
		if !newer(t.At, have.At, text(t.value)+"\x00"+t.Source, text(have.value)+"\x00"+have.Source) {
			return
		}
	} else {
		if i >= maxTraits {
			return
		}
		a.traits = slices.Insert(a.traits, i, Trait{})
		if len(a.traits) > maxTraits {
			a.traits = a.traits[:maxTraits] // the same names stay whatever the order
		}
	}
	a.traits[i] = Trait{own(t.Name), t.At, own(t.Source), slices.Clone(t.value)}
}

// Merge implements engine.State.
func (a *About) Merge(other engine.State) {
	for _, t := range other.(*About).traits {
		a.learn(t)
	}
}

// AppendBinary implements engine.State.
func (a *About) AppendBinary(b []byte) []byte {
	for _, t := range a.traits {
		b = appendString(b, t.Name)
		b = appendString(b, t.Source)
		b = binary.AppendVarint(b, t.At)
		b = appendString(b, t.value)
	}
	return b
}

// DecodeBinary implements engine.State.
func (a *About) DecodeBinary(b []byte) error {
	a.traits = a.traits[:0]
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		t := Trait{Name: intern(r.bytes()), Source: intern(r.bytes()), At: r.varint(), value: slices.Clone(r.bytes())}
		if _, n := rapport.DecodeValue(t.value); n != len(t.value) || n == 0 {
			r.bad = true
		}
		a.traits = append(a.traits, t)
	}
	return r.done("traits")
}
