package profile_test

import (
	"math"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// TestAMillionOrdersOfOnePersonKeepComputedTraitsBoundedAndFinite has one person
// order a million times, many times at one moment, some for nothing, some for more
// than there is: every answer is a finite number, sums are exact, and what is kept
// does not grow with the orders.
func TestAMillionOrdersOfOnePersonKeepComputedTraitsBoundedAndFinite(t *testing.T) {
	t.Parallel()
	n := int64(1_000_000)
	if testing.Short() {
		n = 50_000
	}
	day := rapport.Duration(24 * time.Hour)
	docs := []profile.ComputedDoc{
		{ID: "orders", Event: "Order", Op: "count"},
		{ID: "week", Event: "Order", Op: "count", Within: 7 * day},
		{ID: "spent", Event: "Order", Op: "sum", Property: "pieces"},
		{ID: "paid", Event: "Order", Op: "sum", Property: "revenue", Within: 400 * day},
		{ID: "mean", Event: "Order", Op: "average", Property: "revenue"},
		{ID: "low", Event: "Order", Op: "min", Property: "revenue"},
		{ID: "high", Event: "Order", Op: "max", Property: "revenue"},
		{ID: "skus", Event: "Order", Op: "distinct", Property: "sku"},
		{ID: "top", Event: "Order", Op: "top", Property: "sku"},
		{ID: "last", Event: "Order", Op: "last", Property: "revenue"},
		{ID: "pace", Event: "Order", Op: "frequency", Per: "day"},
		{ID: "idle", Event: "Order", Op: "since"},
		{ID: "row", Event: "Order", Op: "streak"},
		{ID: "heat", Event: "Order", Op: "decayed", Property: "revenue"},
		{ID: "share", Event: "Order", Op: "ratio", Property: "revenue", Over: &profile.OverDoc{Event: "Order", Property: "pieces"}},
		{ID: "month", Event: "Order", Op: "sum", Property: "revenue", Calendar: "month"},
	}
	config, err := profile.CompileAll(profile.Documents{Computed: docs})
	if err != nil {
		t.Fatal(err)
	}
	a := profile.AggregateFold{Config: config}.New().(*profile.Aggregates)
	now := start.UnixMilli()
	var events []*rapport.Event
	for i := range 512 {
		events = append(events, &rapport.Event{Type: rapport.TypeTrack, Name: "Order", Properties: rapport.FieldsOf(map[string]any{
			"revenue": []float64{0, 9.99, 1e12, math.MaxFloat64}[i%4], "pieces": 0.5, "sku": float64(i * i % 509),
		})})
	}
	for i := range n {
		e := events[i%512]
		e.Timestamp = now - (i*7919)%(900*86_400)*1000
		if i%3 == 0 {
			e.Timestamp = now - 86_400_000 // all at one moment
		}
		a.Apply(&engine.Context{Time: now}, e)
	}
	if b := a.AppendBinary(nil); len(b) > 32<<10 {
		t.Errorf("%d bytes are kept", len(b))
	}
	for _, d := range docs {
		v := a.Computed(config, d.ID, now)
		x, ok := v.Number()
		if d.ID == "top" {
			ok = v.Kind() == rapport.KindArray
		}
		if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
			t.Errorf("%s is %v", d.ID, v)
		}
	}
	for id, want := range map[string]float64{"orders": float64(n), "spent": float64(n) / 2, "low": 0, "high": 1e12} {
		if x, _ := a.Computed(config, id, now).Number(); x != want {
			t.Errorf("%s is %v, not %v", id, x, want)
		}
	}
}
