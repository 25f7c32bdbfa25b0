package app

import (
	"reflect"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/segment"
)

// listener is a document that hears of entering and leaving.
type listener struct {
	told segment.Told
	// of are the segments it hears of; all of them if every is set.
	of    []string
	every bool
}

// toldBy returns which changes of which segments anything in a set listens to:
// only those need be events.
func toldBy(set *config.Set) func(id string) segment.Told {
	var list []listener
	for _, doc := range set.All() {
		l := listener{every: true}
		var when *condition.Condition
		switch spec := doc.Spec.(type) {
		case *decide.TriggerDoc:
			l.hear(spec.On)
			when = spec.When
		case *deliver.WebhookDoc:
			for _, name := range spec.Events {
				if l.hear(name); name == "*" {
					l.told = segment.Told{Entered: true, Left: true}
				}
			}
			when = spec.When
		default:
			l.hearAny(reflect.ValueOf(spec))
		}
		if l.told == (segment.Told{}) {
			continue
		}
		if ids, ok := when.Requires(condition.Properties, "segment"); ok {
			l.of, l.every = ids, false
		}
		list = append(list, l)
	}
	return func(id string) (told segment.Told) {
		for _, l := range list {
			if l.every || slices.Contains(l.of, id) {
				told.Entered, told.Left = told.Entered || l.told.Entered, told.Left || l.told.Left
			}
		}
		return told
	}
}

// hear notes the name of an event somebody listens to.
func (l *listener) hear(name string) {
	l.told.Entered = l.told.Entered || name == rapport.SystemSegmentEntered
	l.told.Left = l.told.Left || name == rapport.SystemSegmentLeft
}

// hearAny notes the names of events anywhere in a document.
func (l *listener) hearAny(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		l.hear(v.String())
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != conditionType {
			l.hearAny(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				l.hearAny(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				l.hearAny(v.Index(i))
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			l.hearAny(it.Value())
		}
	}
}
