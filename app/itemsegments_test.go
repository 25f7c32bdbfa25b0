package app_test

import (
	"encoding/json"
	"fmt"
	"strings"
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
	await(t, "the sizes are "+want, func() bool { return sizes() == want }) // lists follow in a moment
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

// TestItemsMoveBetweenSegmentsWithTimeOwnersAndTheirOwnPast lets time pass for
// items that tell nothing, and gives them other owners.
func TestItemsMoveBetweenSegmentsWithTimeOwnersAndTheirOwnPast(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	const item, silent = "01_09506000134352_21_T1", "01_09506000134352_21_T2"
	get := func(path string) (out map[string]any) {
		t.Helper()
		if code := h.call("GET", path, "", &out); code != 200 {
			t.Fatalf("GET %s: %d %v", path, code, out)
		}
		return out
	}
	post := func(path, body string) {
		t.Helper()
		if code := h.call("POST", path, body, nil); code > 299 {
			t.Fatalf("POST %s: %d", path, code)
		}
	}
	for _, i := range []string{item, silent} {
		post("/v1/devices", `{"item":"`+i+`"}`)
	}
	h.apply(`
kind: itemComputed
id: cups_1d
event: Product Used
op: sum
property: cups
within: 1d
---
kind: itemSegment
id: busy
when: computed.cups_1d >= 5
---
kind: itemSegment
id: idle
name: Not used for a day
when: performed("Product Used").within("1d").count() == 0
---
kind: itemSegment
id: anns
when: items.any(i, i.owned && i.product_id == null)
`)
	in := func(id string) string {
		var ids []string
		list, _ := get("/v1/items/" + id)["segments"].([]any)
		for _, m := range list {
			ids = append(ids, m.(map[string]any)["id"].(string))
		}
		return fmt.Sprint(ids)
	}
	moments := func(id string) string {
		m := get("/v1/items/" + id)["moments"].(map[string]any)
		return fmt.Sprint(m["Product Segment Entered"], m["Product Segment Left"])
	}
	becomes := func(what string, is func() string, want string) {
		t.Helper()
		await(t, what+" is "+want, func() bool {
			h.clock.move(50 * time.Millisecond)
			return is() == want
		})
	}
	// Both are looked at for the new segments before anything happens to them, without a word.
	becomes("a silent item", func() string { return in(silent) }, "[idle]")
	becomes("the other", func() string { return in(item) }, "[idle]")
	if got := moments(item); got != "<nil> <nil>" {
		t.Errorf("the definition alone told %s", got)
	}
	for range 2 {
		post("/v1/items/"+item+"/events", `{"event":"Product Used","cups":3}`)
	}
	if got := in(item); got != "[busy]" {
		t.Errorf("used twice: %s", got)
	}
	if c := get("/v1/items/" + item)["computed"].(map[string]any); c["cups_1d"] != 6.0 {
		t.Errorf("computed traits %v", c)
	}
	if got := moments(item); got != "1 1" {
		t.Errorf("used twice: entered and left %s times", got)
	}
	// A day and a bit goes by: nothing happens, and still it is idle again and no longer busy.
	h.clock.move(25 * time.Hour)
	becomes("after a day", func() string { return in(item) }, "[idle]")
	becomes("after a day", func() string { return moments(item) }, "2 2")
	if c := get("/v1/items/" + item)["computed"].(map[string]any); c["cups_1d"] != 0.0 {
		t.Errorf("computed traits after a day: %v", c)
	}
	// A change of owner moves it at once; what it did for the owner before does not count.
	h.send(`{"type":"identify","userId":"ann","messageId":"a1","traits":{"name":"Ann"}}`)
	post("/v1/items/"+item+"/claim", `{"person":{"userId":"ann"}}`)
	if got := in(item); got != "[anns idle]" {
		t.Errorf("claimed: %s", got)
	}
	post("/v1/items/"+item+"/events", `{"event":"Product Used","cups":9}`)
	if got := in(item); got != "[anns busy]" {
		t.Errorf("used by Ann: %s", got)
	}
	post("/v1/items/"+item+"/release", "")
	if got := in(item); got != "[idle]" {
		t.Errorf("released: %s", got)
	}
	sizes := func() string {
		out := ""
		for _, x := range get("/v1/item-segments")["segments"].([]any) {
			x := x.(map[string]any)
			out += fmt.Sprint(x["id"], " ", x["size"], " ")
		}
		return out
	}
	becomes("sizes", sizes, "anns 0 busy 0 idle 2 ")
	// A condition about people is refused, and so is a trait nobody defined.
	for yaml, want := range map[string]string{
		"kind: itemSegment\nid: x\nwhen: segments.has(\"busy\")\n": "there is no",
		"kind: itemSegment\nid: y\nwhen: computed.nothing > 1\n":   "computed trait of items",
	} {
		var out map[string]any
		body, _ := json.Marshal(map[string]string{"yaml": yaml})
		if code := h.call("POST", "/v1/config/apply", string(body), &out); code < 400 || !strings.Contains(fmt.Sprint(out), want) && !strings.Contains(fmt.Sprint(out), "which are of people") {
			t.Errorf("%s: %d %v", yaml, code, out)
		}
	}
}
