package app_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/app"
)

const can = "01_09506000134352_21_ABC123"

// openProducts is a shop that sells things which speak.
func openProducts(t testing.TB, dir string, change func(*app.Options)) *shop {
	t.Helper()
	s := open(t, dir, change)
	text, err := os.ReadFile("testdata/products.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": string(text)})
	return s
}

func TestADeviceIsMadeAndSpeaksOverHTTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openProducts(t, dir, nil)
	made := s.must("POST", "/v1/devices", map[string]any{"item": can, "facts": map[string]string{"lot": "L7"}})
	token, _ := made["token"].(string)
	if made["item"] != can || !strings.HasPrefix(token, "rdt_") {
		t.Fatalf("%v", made)
	}
	status, out := s.callAs("Bearer "+token, "POST", "/v1/items/"+can+"/telemetry", map[string]any{"level": 0.4, "mode": "eco", "lid": true, "firmware": "1.0.3"})
	if status != 200 || out["accepted"] != 1.0 {
		t.Errorf("telemetry answered %d %v", status, out)
	}
	status, out = s.callAs("Bearer "+token, "POST", "/v1/items/"+can+"/events", []any{map[string]any{"event": "opened"}, map[string]any{"event": "Product Used"}})
	if status != 200 || out["accepted"] != 2.0 {
		t.Errorf("events answered %d %v", status, out)
	}
	if status, _ := s.callAs("Bearer "+token, "POST", "/v1/items/"+can+"/telemetry", map[string]any{"level": map[string]any{"x": 1}}); status != 400 {
		t.Errorf("a reading that is none: %d", status)
	}
	other := s.must("POST", "/v1/devices", map[string]any{"item": "01_09506000134352_21_OTHER"})["token"].(string)
	if status, _ := s.callAs("Bearer "+other, "POST", "/v1/items/"+can+"/telemetry", map[string]any{"level": 1}); status != 401 {
		t.Errorf("another's token: %d", status)
	}
	if status, _ := s.callAs("Bearer "+token, "GET", "/v1/items/"+can, nil); status != 401 {
		t.Errorf("a device token reads: %d", status)
	}
	if status, _ := s.call("GET", "/v1/items/01_09506000134352_21_NOBODY", nil); status != 404 {
		t.Errorf("an unknown item: %d", status)
	}
	if status, _ := s.call("POST", "/v1/devices", map[string]any{"item": "01_09506000134353_21_X"}); status != 400 {
		t.Errorf("a wrong check digit: %d", status)
	}
	check := func() {
		t.Helper()
		x := s.must("GET", "/v1/items/"+can, nil)
		latest, _ := x["telemetry"].(map[string]any)["latest"].(map[string]any)
		if latest["level"] != 0.4 || latest["mode"] != "eco" || latest["lid"] != true || x["firmware"] != "1.0.3" || x["state"] != "inUse" || x["gtin"] != "09506000134352" || x["serial"] != "ABC123" {
			t.Errorf("%v", x)
		}
	}
	check()
	s.must("PATCH", "/v1/items/"+can+"/desired", map[string]any{"interval": 60})
	command := s.must("POST", "/v1/items/"+can+"/commands", map[string]any{"name": "blink", "timeout": "30s"})
	if command["state"] != "waiting" {
		t.Errorf("%v", command)
	}
	s.must("POST", "/v1/items/"+can+"/claim", map[string]any{"person": map[string]any{"userId": "anna"}})
	anna := s.must("GET", "/v1/people/userId:anna", nil)
	if items, _ := anna["items"].([]any); len(items) != 1 || items[0] != can {
		t.Errorf("anna's items: %v", anna["items"])
	}
	if counters := anna["counters"].(map[string]any); counters["Product Opened"] != 1.0 || counters["Product Claimed"] != 1.0 {
		t.Errorf("anna's events: %v", counters)
	}
	if line := s.must("GET", "/v1/items/"+can+"/timeline", nil); len(line["events"].([]any)) < 4 {
		t.Errorf("timeline: %v", line)
	}
	if series := s.must("GET", "/v1/items/"+can+"/series?reading=level", nil); len(series["points"].([]any)) != 1 {
		t.Errorf("series: %v", series)
	}
	if p := s.must("GET", "/v1/products/9506000134352", nil); p["id"] != "canister" {
		t.Errorf("product: %v", p)
	}
	if status, _ := s.call(http.MethodDelete, "/v1/people/userId:anna", nil); status != 202 {
		t.Errorf("erase: %d", status)
	}
	if x := s.must("GET", "/v1/items/"+can, nil); x["owner"] != nil {
		t.Errorf("an erased person still owns: %v", x["owner"])
	}
}

// TestWhatSomebodyGotIsOnTheirPageAtOnce: an item tells its owner by another way
// than their own events come.
func TestWhatSomebodyGotIsOnTheirPageAtOnce(t *testing.T) {
	t.Parallel()
	s := openProducts(t, t.TempDir(), nil)
	for i := range 20 {
		item, user := fmt.Sprintf("01_09506000134352_21_S%d", i), fmt.Sprintf("owner%d", i)
		s.send(map[string]any{"type": "track", "userId": user, "event": "Signed Up", "messageId": "up-" + user})
		s.must("POST", "/v1/devices", map[string]any{"item": item})
		s.must("POST", "/v1/items/"+item+"/claim", map[string]any{"person": map[string]any{"userId": user}})
		s.must("POST", "/v1/items/"+item+"/members", map[string]any{"person": map[string]any{"userId": "guest" + user}, "role": "guest"})
		for _, who := range []string{user, "guest" + user} {
			if items, _ := s.must("GET", "/v1/people/userId:"+who, nil)["items"].([]any); len(items) != 1 {
				t.Fatalf("items of %s: %v", who, items)
			}
		}
	}
}

func TestTwinsAreThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openProducts(t, dir, nil)
	token := s.must("POST", "/v1/devices", map[string]any{"item": can})["token"].(string)
	s.must("POST", "/v1/items/"+can+"/claim", map[string]any{"person": map[string]any{"userId": "anna"}})
	for i := range 20 {
		if status, out := s.callAs("Bearer "+token, "POST", "/v1/items/"+can+"/telemetry", map[string]any{"seq": i, "level": 1 - float64(i)/20}); status != 200 {
			t.Fatalf("%d %v", status, out)
		}
	}
	before := s.must("GET", "/v1/items/"+can, nil)
	s.end()
	s = open(t, dir, nil)
	after := s.must("GET", "/v1/items/"+can, nil)
	for query, want := range map[string]int{"": 1, "?state=low": 1, "?state=sold": 0, "?gtin=9506000134352&where=items.any(i,%20i.level%20%3C%200.2)": 1, "?where=items.any(i,%20i.level%20%3E%200.2)": 0} {
		if list := s.must("GET", "/v1/items"+query, nil); len(list["items"].([]any)) != want {
			t.Errorf("items%s: %v", query, list)
		}
	}
	for _, key := range []string{"state", "owner", "version", "firmware"} {
		if before[key] != after[key] {
			t.Errorf("%s was %v and is %v", key, before[key], after[key])
		}
	}
	if status, _ := s.callAs("Bearer "+token, "POST", "/v1/items/"+can+"/telemetry", map[string]any{"level": 0.9}); status != 200 {
		t.Errorf("the token is forgotten: %d", status)
	}
}
