package app_test

import (
	"fmt"
	"testing"
	"time"
)

func TestItemsEnterAndLeaveTheirSegmentsAsTheyTellOfThemselves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openProducts(t, dir, nil)
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": `
kind: itemSegment
id: low
name: Canisters under 20 %
when: items.any(i, i.category == "canister" && i.level < 0.2)
---
kind: itemSegment
id: falling
when: items.any(i, i.level.fast < i.level.slow - 0.1 && i.lot == "L7")
`})
	send := func(item, path string, body any) { s.must("POST", "/v1/items/"+item+"/"+path, body) }
	s.must("POST", "/v1/items/import", map[string]any{"items": []any{
		map[string]any{"item": can, "facts": map[string]string{"lot": "L7"}, "owner": map[string]any{"userId": "anna"}},
		map[string]any{"item": "01_09506000134352_21_FULL"},
	}})
	send("01_09506000134352_21_FULL", "telemetry", map[string]any{"level": 0.9})
	for _, level := range []float64{0.8, 0.15, 0.1, 0.9, 0.12} {
		send(can, "telemetry", map[string]any{"level": level})
	}
	moments := func() string {
		m := s.must("GET", "/v1/items/"+can, nil)["moments"].(map[string]any)
		return fmt.Sprint(m["Product Segment Entered"], m["Product Segment Left"])
	}
	if got := moments(); got != "3 1" { // low twice, falling once
		t.Errorf("entered and left %s times", got)
	}
	anna := s.must("GET", "/v1/people/userId:anna", nil)
	if c := anna["counters"].(map[string]any); c["Product Segment Entered"] != 3.0 {
		t.Errorf("its owner's events: %v", c)
	}
	in := func() (ids []string) {
		x := s.must("GET", "/v1/items/"+can, nil)
		list, _ := x["segments"].([]any)
		for _, m := range list {
			ids = append(ids, m.(map[string]any)["id"].(string))
		}
		return ids
	}
	if got := fmt.Sprint(in()); got != "[falling low]" {
		t.Errorf("it is in %s", got)
	}
	sizes := func() string {
		out := ""
		for _, x := range s.must("GET", "/v1/item-segments", nil)["segments"].([]any) {
			x := x.(map[string]any)
			out += fmt.Sprint(x["id"], " ", x["size"], " ")
		}
		return out
	}
	const want = "falling 1 low 1 "
	for deadline := time.Now().Add(20 * time.Second); sizes() != want; { // lists follow in a moment
		if time.Now().After(deadline) {
			t.Fatalf("sizes %s", sizes())
		}
	}
	if page := s.must("GET", "/v1/items?segment=low", nil)["items"].([]any); len(page) != 1 || page[0].(map[string]any)["id"] != can {
		t.Errorf("%v", page)
	}
	if status, _ := s.call("GET", "/v1/items?segment=nothing", nil); status != 404 {
		t.Errorf("an unknown segment: %d", status)
	}
	// A new definition finds who is in it without telling anybody.
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": "kind: itemSegment\nid: any\nwhen: items.any(i, i.level < 2)\n"})
	send(can, "telemetry", map[string]any{"level": 0.11})
	if got := moments(); got != "3 1" {
		t.Errorf("a new definition told: %s", got)
	}
	if got := fmt.Sprint(in()); got != "[any falling low]" {
		t.Errorf("it is in %s", got)
	}
	// It is the same after a restart.
	s.end()
	s = openProducts(t, dir, nil)
	if got := fmt.Sprint(in()); got != "[any falling low]" {
		t.Errorf("after a restart it is in %s", got)
	}
}
