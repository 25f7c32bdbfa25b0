package decide

import (
	"strings"

	"github.com/rapport-engine/rapport"
)

// place is the content an action has in one placement.
type place struct {
	content rapport.Fields
	locales map[string]rapport.Fields
}

// ContentFor returns the content for a placement in the best locale of those
// asked for: that of the placement in the locale, then of the placement, then
// of the locale, then the action's own.
func (a *Action) ContentFor(placement, locale string) rapport.Fields {
	in := a.places[placement]
	if f, ok := inLocale(in.locales, locale); ok {
		return f
	}
	if in.content != nil {
		return in.content
	}
	if f, ok := inLocale(a.locales, locale); ok {
		return f
	}
	return a.content
}

// inLocale finds the content of a locale, or of the language it belongs to.
func inLocale(locales map[string]rapport.Fields, locale string) (rapport.Fields, bool) {
	if locale == "" || len(locales) == 0 {
		return nil, false
	}
	for l := strings.ToLower(strings.ReplaceAll(locale, "_", "-")); l != ""; {
		if f, ok := locales[l]; ok {
			return f, true
		}
		i := strings.LastIndexByte(l, '-')
		if i < 0 {
			break
		}
		l = l[:i]
	}
	return nil, false
}

func byLocale(locales map[string]rapport.Fields) map[string]rapport.Fields {
	if len(locales) == 0 {
		return nil
	}
	out := make(map[string]rapport.Fields, len(locales))
	for l, content := range locales {
		out[strings.ToLower(strings.ReplaceAll(l, "_", "-"))] = content
	}
	return out
}
