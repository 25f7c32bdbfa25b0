package profile

import (
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Person is one person as the API shows them.
type Person struct {
	ID         rapport.ID
	Entity     rapport.ID
	Activity   Activity
	Traits     []Trait
	Consent    []Said
	Fragments  []rapport.ID
	Merged     []rapport.ID
	First      int64
	Version    int64 // offset of the last record of the home partition it reflects
	Zone       string
	Locale     string
	Identifier rapport.Identifier
}

// Read copies a person out of a view. ok is false if nothing is known.
func Read(v *engine.View) (p Person, ok bool) {
	if !v.Exists() {
		return p, false
	}
	p = Person{ID: v.PublicID(), Entity: v.ID(), Version: v.Token().Offset, Fragments: v.Fragments(), Merged: v.Merged(), First: v.FirstSeen()}
	if a, _ := v.State(FoldActivity).(*Activity); a != nil {
		p.Activity.Merge(a)
		p.Zone, p.Locale, p.Identifier = a.Zone.Value, a.Locale.Value, a.Identifier
	}
	if a, _ := v.State(FoldAbout).(*About); a != nil {
		for _, t := range a.Traits() {
			t.value = append([]byte(nil), t.value...)
			p.Traits = append(p.Traits, t)
		}
	}
	if c, _ := v.State(FoldConsent).(*Consent); c != nil {
		p.Consent = append([]Said(nil), c.All()...)
	}
	return p, true
}

// Trait returns a trait's value, or null.
func (p *Person) Trait(name string) rapport.Value {
	for _, t := range p.Traits {
		if t.Name == name {
			return t.Value()
		}
	}
	return rapport.Value{}
}

// Name returns what to call the person: name traits, else the e-mail address
// with its middle hidden, else the id.
func (p *Person) Name() string {
	if n := p.Trait("name").Str(); n != "" {
		return n
	}
	first, last := p.Trait("firstName").Str(), p.Trait("lastName").Str()
	if n := strings.TrimSpace(first + " " + last); n != "" {
		return n
	}
	if i := p.Identifier; i.Value != "" && i.Kind != rapport.KindAnonymousID {
		return Mask(i)
	}
	return p.ID.String()
}

// Mask shows enough of an identifier to recognise it and not to copy it.
func Mask(i rapport.Identifier) string {
	hide := func(s string) string {
		r := []rune(s)
		switch {
		case len(r) <= 2:
			return "•••"
		case len(r) <= 6:
			return string(r[:1]) + "•••"
		}
		return string(r[:2]) + "•••" + string(r[len(r)-2:])
	}
	if i.Kind == rapport.KindEmail {
		if name, domain, ok := strings.Cut(i.Value, "@"); ok {
			return hide(name) + "@" + domain
		}
	}
	return hide(i.Value)
}
