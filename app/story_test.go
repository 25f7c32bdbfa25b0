package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTheStoryOfACanister tells one item's life through public interfaces only.
func TestTheStoryOfACanister(t *testing.T) {
	t.Parallel()
	s := openTagged(t)
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": "kind: policy\nid: default\nholdout: 0\n"})
	const link = "https://id.gs1.org/01/09506000134352/10/L7/21/ABC123"
	base := time.Now().Add(-240 * time.Hour).UTC()
	at := func(day int) string { return base.Add(time.Duration(day) * 24 * time.Hour).Format(time.RFC3339) }
	observed := func(day int, step, epc, more string) string {
		return fmt.Sprintf(`{"type":"ObjectEvent","eventTime":%q,"eventTimeZoneOffset":"+00:00","action":"OBSERVE","bizStep":%q,"epcList":[%q]%s}`, at(day), step, epc, more)
	}
	const sscc = "https://id.gs1.org/00/006141411234567890"
	packed := func(day int, action, step string) string {
		return fmt.Sprintf(`{"type":"AggregationEvent","eventTime":%q,"eventTimeZoneOffset":"+00:00","action":%q,"bizStep":%q,"parentID":%q,"childEPCs":[%q]}`, at(day), action, step, sscc, link)
	}
	made := strings.Replace(observed(0, "commissioning", link, ""), `"OBSERVE"`, `"ADD"`, 1)
	resp, text := s.raw("POST", "/epcis/capture", "application/ld+json", chainDocument(
		made, packed(1, "ADD", "packing"), observed(2, "shipping", sscc, ""), observed(3, "receiving", sscc, ""), packed(4, "DELETE", "unpacking"),
		observed(5, "retail_selling", link, ""),
	))
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("capture: %d %s", resp.StatusCode, text)
	}
	token := s.must("POST", "/v1/devices", map[string]any{"item": can})["token"].(string)
	device := func(path string, body any) {
		t.Helper()
		if status, out := s.callAs("Bearer "+token, "POST", "/v1/items/"+can+"/"+path, body); status != 200 {
			t.Fatalf("%s: %d %v", path, status, out)
		}
	}
	twin := func() map[string]any { return s.must("GET", "/v1/items/"+can, nil) }
	await(t, "what was captured is its provenance", func() bool { return len(twin()["provenance"].([]any)) >= 4 })
	if x := twin(); x["owner"] != nil {
		t.Errorf("before it is sold to anybody known: owner %v", x["owner"])
	}

	// Opened by nobody known, tapped by a stranger, claimed with that tap.
	device("events", map[string]any{"event": "Product Opened"})
	code, tap := s.tap("ABC123", 7, 1)
	if code != 200 || tap["owned"] != false {
		t.Fatalf("the stranger's tap: %d %v", code, tap)
	}
	status, out := s.callAs("Bearer wk_test_web", "POST", "/v1/items/"+can+"/claim", map[string]any{"person": map[string]any{"userId": "anna"}, "tap": tap["ticket"]})
	if status != 200 {
		t.Fatalf("claim: %d %v", status, out)
	}
	anna := s.must("GET", "/v1/people/userId:anna", nil)
	for _, event := range []string{"Product Opened", "Product Tapped", "Product Claimed"} {
		if anna["counters"].(map[string]any)[event] != 1.0 {
			t.Errorf("anna's %s: %v", event, anna["counters"])
		}
	}

	// It runs low; the next tap decides on it in its own request.
	device("telemetry", map[string]any{"level": 0.8})
	if _, tap := s.tap("ABC123", 7, 2); len(tap["decision"].(map[string]any)["items"].([]any)) != 0 {
		t.Errorf("a full canister: %v", tap["decision"])
	}
	device("telemetry", map[string]any{"level": 0.12, "place": "anna's kitchen", "latitude": 59.9, "longitude": 10.7})
	if x := twin(); x["state"] != "low" {
		t.Errorf("state %v", x["state"])
	}
	_, tap = s.tap("ABC123", 7, 3)
	items := tap["decision"].(map[string]any)["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["action"] != "refill-offer" {
		t.Fatalf("the decision of the tap: %v", tap["decision"])
	}
	s.send(event("track", "order-1", map[string]any{"userId": "anna", "event": "Order Completed", "properties": map[string]any{"revenue": 19, "decisionId": tap["decision"].(map[string]any)["decisionId"]}}))
	device("events", map[string]any{"event": "refilled"})
	device("telemetry", map[string]any{"level": 0.95})
	if _, tap := s.tap("ABC123", 7, 4); len(tap["decision"].(map[string]any)["items"].([]any)) != 0 {
		t.Errorf("refilled: %v", tap["decision"])
	}

	// Passed on: the new owner sees the maker's history and nothing of anna's.
	offer := s.must("POST", "/v1/items/"+can+"/offer", map[string]any{"kind": "gift"})
	s.must("POST", "/v1/items/"+can+"/claim", map[string]any{"person": map[string]any{"userId": "bo"}, "offer": offer["code"]})
	x := twin()
	if bo := s.must("GET", "/v1/people/userId:bo", nil); x["owner"] != bo["id"] || bo["counters"].(map[string]any)["Product Opened"] != nil {
		t.Errorf("bo: %v %v", x["owner"], bo["counters"])
	}
	if len(x["telemetry"].(map[string]any)["latest"].(map[string]any)) != 0 || x["location"] != nil || len(x["provenance"].([]any)) < 4 {
		t.Errorf("bo sees %v %v %v", x["telemetry"], x["location"], x["provenance"])
	}
	for _, e := range s.must("GET", "/v1/items/"+can+"/timeline?limit=500", nil)["events"].([]any) {
		if name := e.(map[string]any)["event"].(string); strings.HasPrefix(name, "Product ") || name == "Item Telemetry" {
			t.Errorf("bo sees anna's %s", name)
		}
	}
	// What the device kept from anna's time and tells late is not bo's either.
	device("telemetry", map[string]any{"at": base.UnixMilli() + 1, "level": 0.44})
	device("events", map[string]any{"event": "Product Opened", "at": base.UnixMilli() + 1})
	if x := twin(); len(x["telemetry"].(map[string]any)["latest"].(map[string]any)) != 0 || len(x["moments"].(map[string]any)) != 0 || len(x["forecast"].(map[string]any)) != 0 {
		t.Errorf("bo sees of late messages %v %v %v", x["telemetry"], x["moments"], x["forecast"])
	}
	device("events", map[string]any{"event": "Product Used"})
	after := s.must("GET", "/v1/people/userId:anna", nil)
	if n := after["counters"].(map[string]any)["Product Used"]; n != nil || len(after["items"].([]any)) != 0 {
		t.Errorf("anna still hears of it: %v %v", n, after["items"])
	}
}
