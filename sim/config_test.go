package sim_test

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
	"github.com/rapport-engine/rapport/sim"
	"github.com/rapport-engine/rapport/twin/group"
)

// TestTheConfigurationsFitTheirWorldsAndTheRooms reads the documents with the
// structs of the rooms they are for.
func TestTheConfigurationsFitTheirWorldsAndTheRooms(t *testing.T) {
	t.Parallel()
	registry, err := config.NewRegistry([]config.Kind{
		{Name: "source", Doc: "x", New: func() any { return new(collect.SourceDoc) }},
		{Name: "schema", Doc: "x", New: func() any { return new(collect.SchemaDoc) }},
		{Name: "placement", Doc: "x", New: func() any { return new(decide.PlacementDoc) }},
		{Name: "action", Doc: "x", New: func() any { return new(decide.ActionDoc) }},
		{Name: "policy", Doc: "x", New: func() any { return new(decide.PolicyDoc) }},
		{Name: "trigger", Doc: "x", New: func() any { return new(decide.TriggerDoc) }},
		{Name: "itemSegment", Doc: "x", New: func() any { return new(group.Doc) }},
		{Name: "product", Doc: "x", New: func() any { return new(catalog.ProductDoc) }},
		{Name: "webhook", Doc: "x", New: func() any { return new(deliver.WebhookDoc) }},
		{Name: "computed", Doc: "x", New: func() any { return new(profile.ComputedDoc) }},
		{Name: "segment", Doc: "x", New: func() any { return new(segment.Doc) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, load := range []func() (*sim.World, fs.FS, error){sim.Northbean, sim.Trial} {
		w, documents, err := load()
		if err != nil {
			t.Fatal(err)
		}
		set, problems, err := registry.Load(documents)
		if err != nil {
			t.Fatal(err)
		}
		problems = append(problems, registry.Check(set)...)
		for _, p := range problems {
			t.Errorf("%s: %v", w.Name, p)
		}
		if _, err := collect.Compile(collect.Documents{
			Sources: all[collect.SourceDoc](set, "source"), Schemas: all[collect.SchemaDoc](set, "schema"),
		}); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
		if _, err := decide.Compile(decide.Documents{
			Actions: all[decide.ActionDoc](set, "action"), Placements: all[decide.PlacementDoc](set, "placement"),
			Policies: all[decide.PolicyDoc](set, "policy"), Triggers: all[decide.TriggerDoc](set, "trigger"),
		}); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
		actions := map[string][]string{}
		for _, d := range config.Specs[*decide.ActionDoc](set, "action") {
			if !slices.Equal(d.Placements, []string{"item_page"}) { // which a thing's own page shows, not the shop
				actions[d.ID] = d.Placements
			}
		}
		for _, a := range w.Actions {
			if !slices.Equal(actions[a.ID], a.Placements) {
				t.Errorf("%s: action %s is on %v, the world says %v", w.Name, a.ID, actions[a.ID], a.Placements)
			}
			delete(actions, a.ID)
		}
		if len(actions) > 0 {
			t.Errorf("%s: the world does not know %v", w.Name, actions)
		}
		for _, p := range w.Placements {
			if set.Get("placement", p.ID) == nil {
				t.Errorf("%s: there is no placement %s", w.Name, p.ID)
			}
		}
		keys := map[string]string{}
		for _, d := range config.Specs[*collect.SourceDoc](set, "source") {
			keys[d.ID] = d.Key
		}
		for name, s := range w.Sources {
			if _, used := keys[s.ID]; used && keys[s.ID] != s.Key {
				t.Errorf("%s: the key of %s is another", w.Name, name)
			}
		}
		if w.Name == "northbean" && len(keys) != len(w.Sources) {
			t.Errorf("sources %v", keys)
		}
	}
}

// all returns the specs of a kind by value.
func all[T any](set *config.Set, kind string) (out []T) {
	for _, spec := range config.Specs[*T](set, kind) {
		out = append(out, *spec)
	}
	return out
}
