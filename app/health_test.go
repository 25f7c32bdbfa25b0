package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
)

const healthConfig = `
kind: product
id: canister
gtin: "09506000134352"
name: Canister
replenish: {reading: level, capacity: 500, unit: g}
signals:
  - {reading: scale, above: 100, event: Product Needs Service, stage: needsService}
`

func TestAnItemForeseesRunningOutAndServiceAndNoticesWhatIsNotUsual(t *testing.T) {
	t.Parallel()
	config := t.TempDir()
	write(t, config, "products.yaml", healthConfig)
	s := open(t, t.TempDir(), func(o *app.Options) { o.Config = config })
	const item = "01_09506000134352_21_H1"
	s.must("POST", "/v1/devices", map[string]any{"item": item})
	r := rand.New(rand.NewPCG(1, 2))
	// Thirty days of readings, ten a day; the canister is filled up every ten days.
	begin := time.Now().Add(-30 * 24 * time.Hour)
	level, scale := 1.0, 0.0
	var at time.Time
	for i := range 300 {
		at = begin.Add(time.Duration(i) * 144 * time.Minute)
		level -= 0.008 * (0.5 + r.Float64())
		scale += 0.25 * r.Float64() * 2
		if level < 0.2 {
			level = 1
		}
		heat := 20 + r.NormFloat64()
		if i == 290 {
			heat = 80
		}
		status, body := s.call("POST", "/v1/items/"+item+"/telemetry", map[string]any{"at": at.Format(time.RFC3339), "seq": i, "level": level, "scale": scale, "heat": heat})
		if status >= 300 {
			t.Fatal(status, body)
		}
	}
	forecast := s.must("GET", "/v1/items/"+item, nil)["forecast"].(map[string]any)
	for kind, days := range map[string]float64{"runOut": level / 0.08, "service": (100 - scale) / 2.5} {
		f, ok := forecast[kind].(map[string]any)
		if !ok {
			t.Errorf("no %s in %v", kind, forecast)
			continue
		}
		when := func(name string) float64 {
			x, err := time.Parse(time.RFC3339, f[name].(string))
			if err != nil {
				t.Fatal(err)
			}
			return x.Sub(at).Hours() / 24
		}
		if got := when("at"); got < days*0.8-0.5 || got > days*1.25+0.5 || when("low") > got || when("high") < got {
			t.Errorf("%s in %.2f days (%.2f to %.2f), truly %.2f", kind, got, when("low"), when("high"), days)
		}
	}
	var due, soonest []any
	await(t, "the fleet knows the item", func() bool { // lists follow a commit behind
		fleet := s.must("GET", "/v1/fleet", nil)
		due, soonest = fleet["due"].([]any), fleet["soonest"].([]any)
		return len(due) == 2 && len(soonest) == 2
	})
	for i, kind := range []string{"runOut", "service"} {
		d := due[i].(map[string]any)
		if n := d["week"].(float64) + d["month"].(float64) + d["quarter"].(float64) + d["later"].(float64); d["kind"] != kind || d["gtin"] != "09506000134352" || n != 1 {
			t.Errorf("due: %v", d)
		}
		next := soonest[i].(map[string]any)
		if f := forecast[next["kind"].(string)].(map[string]any); next["item"] != item || next["at"] != f["at"] || next["low"] != f["low"] {
			t.Errorf("soonest %v, forecast %v", next, f)
		}
	}
	if soonest[0].(map[string]any)["at"].(string) > soonest[1].(map[string]any)["at"].(string) {
		t.Errorf("not the soonest first: %v", soonest)
	}
	odd, _ := forecast["anomalies"].([]any)
	if len(odd) != 1 || odd[0].(map[string]any)["reading"] != "heat" || odd[0].(map[string]any)["value"] != 80.0 {
		t.Errorf("anomalies: %v", odd)
	}
	moments := s.must("GET", "/v1/items/"+item, nil)["moments"].(map[string]any)
	if n, _ := moments["Product Anomaly"].(float64); n < 1 || n > 3 {
		t.Errorf("moments: %v", moments)
	}
	if moments["Product Runs Out Soon"] != 3.0 && moments["Product Runs Out Soon"] != 4.0 || moments["Product Service Due"] != 1.0 {
		t.Errorf("each filling runs out once, service is due once: %v", moments)
	}
}

func TestABadFirmwareIsOneInsightOfTheFleet(t *testing.T) {
	t.Parallel()
	config := t.TempDir()
	write(t, config, "products.yaml", healthConfig)
	dir := t.TempDir()
	s := open(t, dir, func(o *app.Options) { o.Config = config })
	for i := range 60 {
		item := fmt.Sprintf("01_09506000134352_21_F%d", i)
		s.must("POST", "/v1/devices", map[string]any{"item": item})
		firmware := []string{"1.0", "1.1", "2.0"}[i%3]
		events := []map[string]any{{"firmware": firmware}}
		if status, body := s.call("POST", "/v1/items/"+item+"/telemetry", events[0]); status >= 300 {
			t.Fatal(status, body)
		}
		if firmware == "2.0" && i%2 == 0 || i%20 == 0 {
			if status, body := s.call("POST", "/v1/items/"+item+"/events", map[string]any{"event": "Product Fault"}); status >= 300 {
				t.Fatal(status, body)
			}
		}
	}
	s.end() // lists show what is committed
	s = open(t, dir, func(o *app.Options) { o.Config = config })
	status, report := s.call("GET", "/v1/fleet?gtin=09506000134352", nil)
	if status != http.StatusOK {
		t.Fatal(status, report)
	}
	insights := 0
	for _, g := range report["groups"].([]any) {
		if x := g.(map[string]any); x["insight"] == true {
			insights++
			if x["firmware"] != "2.0" {
				t.Errorf("%v", x)
			}
		}
	}
	if insights != 1 {
		t.Errorf("%d insights in %v", insights, report)
	}
}
