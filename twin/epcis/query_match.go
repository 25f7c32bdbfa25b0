package epcis

import (
	"slices"
	"strings"

	"github.com/rapport-engine/rapport/gs1"
)

var matchFields = map[string]struct {
	get   func(*Event) []string
	roles []role
}{
	"epc": {func(e *Event) []string {
		if e.Type == Transformation {
			return nil
		}
		return e.EPCs
	}, []role{asEPC, asChild}},
	"parentID": {func(e *Event) []string { return nonEmpty(e.Parent) }, []role{asParent}},
	"inputEPC": {func(e *Event) []string {
		if e.Type != Transformation {
			return nil
		}
		return e.EPCs
	}, []role{asInput}},
	"outputEPC": {func(e *Event) []string { return e.OutputEPCs }, []role{asOutput}},
	"anyEPC":    {func(e *Event) []string { return e.Things() }, []role{asEPC, asParent, asChild, asInput, asOutput}},
	"epcClass": {func(e *Event) []string {
		if e.Type == Transformation {
			return nil
		}
		return classes(e.Quantities)
	}, []role{asClass, asChildClass}},
	"inputEPCClass": {func(e *Event) []string {
		if e.Type != Transformation {
			return nil
		}
		return classes(e.Quantities)
	}, []role{asInputClass}},
	"outputEPCClass": {func(e *Event) []string { return classes(e.OutputQuantities) }, []role{asOutputClass}},
	"anyEPCClass": {func(e *Event) []string {
		return append(classes(e.Quantities), classes(e.OutputQuantities)...)
	}, []role{asClass, asChildClass, asInputClass, asOutputClass}},
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func classes(list []Quantity) []string {
	out := make([]string, len(list))
	for i, q := range list {
		out[i] = q.Class
	}
	return out
}

// match handles MATCH_: exact names in any form, and patterns.
func (q *Query) match(field string, list []string, bad refuse) error {
	m, ok := matchFields[field]
	if !ok {
		return bad("there is no such parameter")
	}
	tests := make([]func(string) bool, len(list))
	for i, p := range list {
		tests[i] = pattern(p)
	}
	q.seek(list, m.roles...)
	q.where(func(e *Event) bool {
		return slices.ContainsFunc(m.get(e), func(x string) bool {
			return slices.ContainsFunc(tests, func(t func(string) bool) bool { return t(x) })
		})
	})
	return nil
}

// pattern returns the test for one value of a MATCH parameter: a name in any
// form, or an EPC pattern with wildcards (EPC Tag Data Standard, section 8).
func pattern(p string) func(string) bool {
	stem, wild := strings.CutPrefix(p, "urn:epc:idpat:")
	if !wild || !strings.Contains(stem, "*") {
		n := Name(p)
		return func(x string) bool { return Name(x) == n }
	}
	if k, err := gs1.Parse(p); err == nil && k.GTIN() != "" {
		gtin := k.GTIN()
		return func(x string) bool {
			if x == p {
				return true
			}
			other, err := gs1.Parse(x)
			return err == nil && other.GTIN() == gtin
		}
	}
	prefix := "urn:epc:id:" + stem[:strings.IndexByte(stem, '*')]
	return func(x string) bool { return x == p || strings.HasPrefix(x, prefix) }
}

// within handles WD_: a place or anything below it, by master data, or by its
// name: the extensions of a GLN.
func (q *Query) within(field string, list []string, bad refuse) error {
	get := placeOf(field)
	if get == nil {
		return bad("there is no such parameter")
	}
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = Name(v)
	}
	q.masters = append(q.masters, func(l lookup, e *Event) (bool, error) {
		if get(e) == "" {
			return false, nil
		}
		return below(l, get(e), names)
	})
	return nil
}

func (q *Query) exists(field string, bad refuse) error {
	switch field {
	case "errorDeclaration":
		q.where(func(e *Event) bool { return e.Error != nil })
		return nil
	case "sensorElementList", "sensorElement":
		q.where(func(e *Event) bool { return len(e.Sensors) > 0 })
		return nil
	case "ilmd":
		q.where(func(e *Event) bool { return len(e.Master) > 0 })
		return nil
	}
	where, path, inner, ok := extension(field)
	if !ok {
		return bad("there is no such parameter")
	}
	q.where(func(e *Event) bool { return e.hasExtension(where, path, inner) })
	return nil
}
