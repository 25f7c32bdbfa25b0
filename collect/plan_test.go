package collect_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect"
)

func ptr[T any](v T) *T { return &v }

// order is a schema that uses every rule.
func order() collect.SchemaDoc {
	return collect.SchemaDoc{
		ID: "order-completed", Event: "Order Completed", Additional: ptr(false),
		Properties: map[string]collect.PropertyDoc{
			"order_id": {Type: "string", Required: true, Pattern: "^o-[0-9]+$", Max: ptr(10.0)},
			"revenue":  {Type: "number", Required: true, Min: ptr(0.0), Max: ptr(1e6)},
			"currency": {Type: "string", Enum: []any{"NOK", "EUR"}},
			"level":    {Enum: []any{uint64(1), 2.5, true}},
			"count":    {Type: "integer"},
			"gift":     {Type: "boolean"},
			"due":      {Type: "time"},
			"anything": {},
			"products": {Type: "array", Min: ptr(1.0), Items: &collect.PropertyDoc{
				Type: "object", Additional: ptr(false),
				Properties: map[string]collect.PropertyDoc{"sku": {Type: "string", Required: true}},
			}},
		},
	}
}

func TestThePlanNamesEveryBreachWithItsPlace(t *testing.T) {
	t.Parallel()
	for properties, want := range map[string][]string{
		`{"order_id":"o-1","revenue":10}`: nil,
		`{"order_id":"o-1","revenue":10.5,"currency":"EUR","level":2.5,"count":3,"gift":false,"due":"2026-03-01","anything":{"x":1},"products":[{"sku":"a"}]}`: nil,
		`{"order_id":"o-1","revenue":10,"currency":null,"level":1}`: nil,
		`{}`:                               {"plan.missing properties.order_id", "plan.missing properties.revenue"},
		`{"order_id":null,"revenue":"10"}`: {"plan.type properties.revenue", "plan.missing properties.order_id"},
		`{"order_id":"1","revenue":-1}`:    {"plan.pattern properties.order_id", "plan.range properties.revenue"},
		`{"order_id":"o-123456789","revenue":1e7}`:        {"plan.range properties.order_id", "plan.range properties.revenue"},
		`{"order_id":"o-1","revenue":1,"currency":"SEK"}`: {"plan.enum properties.currency"},
		`{"order_id":"o-1","revenue":1,"level":false}`:    {"plan.enum properties.level"},
		`{"order_id":"o-1","revenue":1,"count":1.5}`:      {"plan.type properties.count"},
		`{"order_id":"o-1","revenue":1,"gift":"yes"}`:     {"plan.type properties.gift"},
		`{"order_id":"o-1","revenue":1,"due":"soon"}`:     {"plan.type properties.due"},
		`{"order_id":"o-1","revenue":1,"colour":"red"}`:   {"plan.additional properties.colour"},
		`{"order_id":"o-1","revenue":1,"products":[]}`:    {"plan.range properties.products"},
		`{"order_id":"o-1","revenue":1,"products":[{"sku":"a"},{"sku":1,"x":2},5]}`: {
			"plan.type properties.products[1].sku", "plan.additional properties.products[1].x", "plan.type properties.products[2]",
		},
	} {
		h := open(t, nil)
		h.apply(collect.Documents{Sources: someSources, Schemas: []collect.SchemaDoc{order()}})
		h.accepted("/v1/track", `{"event":"Order Completed","userId":"u","messageId":"m","properties":`+properties+`}`)
		var got []string
		for _, held := range h.list(collect.HeldFilter{}).Events {
			d, err := h.door.Quarantine().Get(t.Context(), held.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range d.Problems {
				if p.Why == "" || p.Fix == "" {
					t.Errorf("%s: %+v says too little", properties, p)
				}
				got = append(got, p.Code+" "+p.Path)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", properties, diff)
		}
		if n := len(h.events()); (n == 1) != (want == nil) {
			t.Errorf("%s: %d events entered", properties, n)
		}
	}
}

func TestSchemasHoldForTheirTypeAndSources(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	needs := map[string]collect.PropertyDoc{"x": {Required: true}}
	h.apply(collect.Documents{Sources: someSources, Schemas: []collect.SchemaDoc{
		{ID: "people", Type: "identify", Properties: needs},
		{ID: "checkout", Type: "page", Event: "Checkout", Properties: needs},
		{ID: "tills", Event: "Opened", Sources: []string{"till"}, Properties: needs},
		{ID: "watched", Event: "Watched", Mode: "observe", Properties: needs},
	}})
	for body, want := range map[string]int{
		`{"type":"identify","userId":"u"}`:                                0,
		`{"type":"identify","userId":"u","traits":{"x":1}}`:               1,
		`{"type":"page","name":"Home","userId":"u"}`:                      1,
		`{"type":"page","name":"Checkout","userId":"u"}`:                  0,
		`{"type":"track","event":"Opened","userId":"u"}`:                  1,
		`{"type":"track","event":"Watched","userId":"u"}`:                 1,
		`{"type":"group","groupId":"g","userId":"u"}`:                     1,
		`{"type":"page","name":"Checkout","userId":"u","properties":[]}`:  0,
		`{"type":"screen","name":"Checkout","userId":"u","messageId":""}`: 1,
	} {
		before := len(h.events())
		h.accepted("/v1/batch", body)
		if n := len(h.events()) - before; n != want {
			t.Errorf("%s: %d events entered, want %d", body, n, want)
		}
	}
	if n := h.door.Stats().ObservedBy("watched"); n != 1 {
		t.Errorf("%d observed", n)
	}
}

func TestUnplannedEventsAreTreatedAsTheSourceSays(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]int{"": 1, "allow": 1, "observe": 1, "quarantine": 0} {
		h := open(t, nil)
		h.apply(collect.Documents{Sources: []collect.SourceDoc{{ID: "web", Key: "wk_web_1234", Unplanned: mode}}, Schemas: []collect.SchemaDoc{order()}})
		h.accepted("/v1/track", one)
		if n := len(h.events()); n != want {
			t.Errorf("%q: %d", mode, n)
		}
		if n := h.door.Stats().Observed.Load(); (n == 1) != (mode == "observe") {
			t.Errorf("%q: %d observed", mode, n)
		}
	}
}

func TestDocumentsAreCheckedAloneAndTogether(t *testing.T) {
	t.Parallel()
	bad := collect.Documents{
		Sources: []collect.SourceDoc{
			{ID: "", Key: strings.Repeat("k", 300)},
			{ID: "a", Key: "wk_same_1234"},
			{ID: "b", Key: "wk_same_1234"},
			{ID: "a", Key: "wk_other_1234"},
			{ID: "c", Key: "wk c:1234567", Rate: -1, Unplanned: "drop", Identifiers: []string{"email"}},
		},
		Schemas: []collect.SchemaDoc{
			{ID: "s1"},
			{ID: "s2", Event: "x", Sources: []string{"nobody"}},
			{ID: "s3", Event: "y"},
			{ID: "s4", Event: "y"},
			{ID: "s5", Type: "identify", Event: "z"},
			{ID: "s6", Event: "z", Mode: "maybe", Properties: map[string]collect.PropertyDoc{
				"a": {Type: "text"}, "b": {Type: "string", Pattern: "("}, "c": {Type: "number", Min: ptr(2.0), Max: ptr(1.0)},
				"d": {Min: ptr(1.0)}, "e": {Enum: []any{[]any{}}}, "f": {Items: &collect.PropertyDoc{}}, "g": {Properties: map[string]collect.PropertyDoc{"x": {}}},
			}},
		},
	}
	_, err := collect.Compile(bad)
	if rapport.KindOf(err) != rapport.Invalid {
		t.Fatalf("%v", err)
	}
	var f interface{ Faults() []rapport.Fault }
	if !errors.As(err, &f) {
		t.Fatal("no faults")
	}
	for _, want := range []string{
		"source : id: is missing", "source : key: has 300 characters", "source b: has a write key that source a has too", "source a: is declared twice",
		"source c: key: may hold printable", "source c: rate", "source c: unplanned", "source c: identifiers[0]: email identifies",
		"schema s1: event: is missing", `schema s2: names the source "nobody"`, "schema s4: describes the same event of source a as schema s3",
		"schema s5: event: an identify call has no name", `schema s6: mode: "maybe" is not one of enforce, observe`, `schema s6: properties.a.type: "text" is not one of string`,
		"schema s6: properties.b.pattern: is not an RE2", "schema s6: properties.c: min 2 is greater", "schema s6: properties.d: min and max need",
		"schema s6: properties.e.enum[0]", "schema s6: properties.f.items: needs", "schema s6: properties.g: properties and additional need",
	} {
		found := false
		for _, x := range f.Faults() {
			found = found || strings.Contains(x.Path+": "+x.Message, want)
		}
		if !found {
			t.Errorf("nobody said %q in:\n%v", want, strings.ReplaceAll(err.Error(), "; ", "\n"))
		}
	}
	for _, text := range []string{"wk_same_1234", "wk c:1234567"} {
		if strings.Contains(err.Error(), text) {
			t.Error("a write key stands in an error")
		}
	}
}
