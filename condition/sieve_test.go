package condition_test

import (
	"slices"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

func TestASieveLetsThroughWhatHolds(t *testing.T) {
	t.Parallel()
	texts := []string{
		"true",
		`properties.category == "beans"`,
		`"pods" == properties.category`,
		`properties.category in ["beans", "pods"]`,
		`properties.category in ["beans", "beans"]`,
		`properties.category == "beans" && properties.price > 5`,
		`properties.price > 5 && properties.category == "beans"`,
		`properties.category == "beans" || properties.category == "machines"`,
		`properties.category == "beans" || properties.price > 5`,
		`!(properties.category == "beans")`,
		`properties.category != "beans"`,
		`properties.category == null`,
		`properties.category == properties.list`,
		`properties.seller.name == "Nord" && properties.category == "beans"`,
		`properties.seller.name == "Nord"`,
		`properties.category.contains("ea")`,
		`properties.price == 9`,
	}
	list := []condition.Expr{nil}
	for _, text := range texts {
		c, err := condition.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		list = append(list, c)
	}
	sieve := condition.NewSieve(list)
	for _, category := range []any{"beans", "pods", "machines", "ground", "", nil, 9.0} {
		for _, price := range []any{9.0, 3.0, nil} {
			for _, seller := range []any{nil, "Nord", map[string]any{"name": "Nord"}, map[string]any{"name": "Sør"}} {
				properties := rapport.FieldsOf(map[string]any{"category": category, "price": price, "seller": seller, "list": "pods"})
				if category == nil {
					properties = rapport.FieldsOf(map[string]any{"price": price, "seller": seller})
				}
				env := &condition.EventEnv{Properties: properties}
				passed := sieve.Pass(properties, nil)
				for i, e := range list {
					holds := e == nil || e.Holds(env)
					at := slices.IndexFunc(passed, func(p condition.Passed) bool { return p.I == int32(i) })
					if at < 0 && holds {
						t.Errorf("%v holds for %s and was left out", e, properties.AppendJSON(nil))
					}
					if at >= 0 && passed[at].Sure && !holds {
						t.Errorf("%v does not hold for %s and is said to", e, properties.AppendJSON(nil))
					}
					if at >= 0 && slices.ContainsFunc(passed[at+1:], func(p condition.Passed) bool { return p.I == int32(i) }) {
						t.Errorf("%v is told twice for %s", e, properties.AppendJSON(nil))
					}
				}
			}
		}
	}
	// What asks for another text is not looked at.
	if got := sieve.Pass(rapport.FieldsOf(map[string]any{"category": "grinders"}), nil); slices.ContainsFunc(got, func(p condition.Passed) bool { return p.I == 2 || p.I == 6 }) {
		t.Errorf("%v", got)
	}
}
