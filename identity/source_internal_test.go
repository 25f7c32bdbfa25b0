package identity

import (
	"testing"

	"github.com/rapport-engine/rapport"
)

func TestATownSaysWhereSomebodyLivesOnlyBesideAStreet(t *testing.T) {
	t.Parallel()
	known := func(names ...string) func(string) bool {
		return func(trait string) bool {
			for _, n := range names {
				if n == trait {
					return true
				}
			}
			return false
		}
	}
	own := &likeness{fields: map[string][]string{"address": {"home.way"}}}
	for _, c := range []struct {
		l      *likeness
		traits map[string]any
		has    func(string) bool
		want   bool
	}{
		{nil, map[string]any{"city": "Bergen", "plan": "club"}, known("city", "plan"), false},
		{nil, map[string]any{"city": "Bergen"}, known("city", "street"), true},
		{nil, map[string]any{"postcode": "5003"}, known("postcode", "address"), true},
		{nil, map[string]any{"street": "Fjordvegen 4"}, known(), true},
		{nil, map[string]any{"address": nil}, known(), true}, // somebody moved out
		{nil, map[string]any{"plan": "club"}, known("street", "city"), false},
		{own, map[string]any{"city": "Bergen"}, known("street"), false},
		{own, map[string]any{"city": "Bergen"}, known("home"), true},
	} {
		if got := tells(c.l, rapport.FieldsOf(c.traits), c.has); got != c.want {
			t.Errorf("%v: %v", c.traits, got)
		}
	}
}
