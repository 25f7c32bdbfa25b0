package app_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/sim"
	"github.com/rapport-engine/rapport/sim/fleet"
	"github.com/rapport-engine/rapport/test/port"
	"github.com/rapport-engine/rapport/twin/tap"
)

// TestTheThingsOfTheDemoWorldSpeakForThemselves furnishes a few homes and lets
// their machines and canisters live for a moment, by MQTT and by HTTP.
func TestTheThingsOfTheDemoWorldSpeakForThemselves(t *testing.T) {
	t.Parallel()
	products, err := os.ReadFile("../sim/config/products.yaml")
	if err != nil {
		t.Fatal(err)
	}
	keys := &tap.Keys{Meta: tagKeys.Meta, File: tagKeys.File, Tamper: -1}
	for _, way := range []string{"MQTT", "HTTP"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			addr := "off"
			if way == "MQTT" {
				addr = port.Reserve(t)
			}
			s := open(t, t.TempDir(), func(o *app.Options) {
				o.MQTT.Listen = addr
				o.Getenv = func(name string) string {
					return map[string]string{"TAG_META": "01" + strings.Repeat("00", 15), "TAG_FILE": "02" + strings.Repeat("00", 15)}[name]
				}
			})
			s.must("POST", "/v1/config/apply", map[string]any{"yaml": string(products) + tagConfig})
			w, _, err := sim.Northbean()
			if err != nil {
				t.Fatal(err)
			}
			w.Shoppers, w.Days, w.Fleet.Households, w.Fleet.Days, w.Fleet.Unclaimed = 400, 60, 4, 6, 0
			o := fleet.Options{World: w, End: time.Now(), URL: s.url, Token: adminToken, Tags: keys, Pause: 30 * time.Millisecond}
			if way == "MQTT" {
				o.MQTT = addr
			}
			var state []byte
			o.Save = func(b []byte) error { state = b; return nil }
			f, err := fleet.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Furnish(t.Context()); err != nil {
				t.Fatal(err)
			}
			items := func() (machines, canisters []map[string]any) {
				t.Helper()
				for _, x := range s.must("GET", "/v1/items?limit=500", nil)["items"].([]any) {
					switch x := x.(map[string]any); x["gtin"] {
					case "":
					case "09506000205090":
						canisters = append(canisters, x)
					default:
						machines = append(machines, x)
					}
				}
				return machines, canisters
			}
			var machines, canisters []map[string]any
			await(t, "the list has every thing", func() bool { // lists follow in a moment
				machines, canisters = items()
				return len(machines)+len(canisters) >= f.Len()
			})
			if len(machines) != 4 || len(canisters) != 4 || f.Len() != 8 {
				t.Fatalf("%d machines, %d canisters, %d things", len(machines), len(canisters), f.Len())
			}
			for _, x := range append(machines, canisters...) {
				full := s.must("GET", "/v1/items/"+x["id"].(string), nil)
				if full["owner"] == nil || full["firmware"] == "" || len(full["provenance"].([]any)) < 5 || len(full["telemetry"].(map[string]any)["latest"].(map[string]any)) < 2 {
					t.Errorf("%v: owner %v, firmware %v, %d steps, telemetry %v", full["id"], full["owner"], full["firmware"], len(full["provenance"].([]any)), full["telemetry"])
				}
			}

			// In the present they go on where the past ended.
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- f.Live(ctx) }()
			one := machines[0]["id"].(string)
			command := s.must("POST", "/v1/items/"+one+"/commands", map[string]any{"name": "descale", "timeout": "1h"})
			await(t, "its command is answered and one of them tapped", func() bool {
				x := s.must("GET", "/v1/items/"+one, nil)
				answered := way == "HTTP" // it has nowhere to hear of it
				for _, c := range x["commands"].([]any) {
					c := c.(map[string]any)
					answered = answered || c["id"] == command["id"] && c["state"] == "done"
				}
				tapped := false
				m, c := items()
				for _, x := range append(m, c...) {
					tapped = tapped || x["taps"] != 0.0
				}
				return answered && tapped && f.Sent() > 40
			})
			cancel()
			if err := <-ended; err != nil && ctx.Err() == nil {
				t.Error(err)
			}

			// A second life knows what the first did, and tells its past only once.
			o.State = state
			if f, err = fleet.Open(o); err != nil {
				t.Fatal(err)
			}
			before := fmt.Sprint(s.must("GET", "/v1/items/"+one, nil)["readings"])
			if err := f.Furnish(t.Context()); err != nil {
				t.Fatal(err)
			}
			if after := fmt.Sprint(s.must("GET", "/v1/items/"+one, nil)["readings"]); after != before {
				t.Errorf("its past counts twice: %s, then %s", before, after)
			}
			if err := f.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			await(t, "nothing is left", func() bool {
				m, c := items()
				return len(m)+len(c) == 0
			})
			if status, _ := s.call("GET", "/v1/items/"+one, nil); status != 404 {
				t.Errorf("a forgotten item: %d", status)
			}
		})
	}
}
