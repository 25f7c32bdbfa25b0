package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/predict"
)

const replenishConfig = `kind: product
id: beans
gtin: "09506000134369"
name: Beans
---
kind: product
id: canister
gtin: "09506000134352"
name: Canister
replenish: {reading: level, capacity: 500, unit: g, serves: "09506000134369"}
`

func TestASensorAndPurchasesTogetherTellWhenSomethingRunsOut(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	s.apply(replenishConfig)
	r := rand.New(rand.NewPCG(3, 3))
	now := time.Now()
	n := 0
	buy := func(user string, days float64) map[string]any {
		n++
		return map[string]any{
			"type": "track", "event": "Order Completed", "userId": user, "messageId": fmt.Sprint("o-", n), "timestamp": now.Add(-time.Duration(days * 24 * float64(time.Hour))).UTC().Format(time.RFC3339),
			"properties": map[string]any{"revenue": 9, "product_id": "beans", "quantity": 1},
		}
	}
	var orders []map[string]any
	for i := range 60 {
		pace := 14 + 20*r.Float64()
		for day := 200.0; day > 2; day -= pace * (.7 + .6*r.Float64()) {
			orders = append(orders, buy(fmt.Sprint("u", i), day))
		}
	}
	for _, day := range []float64{104, 82, 55, 30, 8} { // anna takes 24 days or so
		orders = append(orders, buy("anna", day))
	}
	s.send(orders...)
	if status, body := s.call("POST", "/v1/models/tastes/fit", nil); status != http.StatusOK {
		t.Fatal(status, body)
	}
	const item = "01_09506000134352_21_R1"
	s.must("POST", "/v1/devices", map[string]any{"item": item})
	s.must("POST", "/v1/items/"+item+"/claim", map[string]any{"person": map[string]any{"userId": "anna"}})
	// The canister, filled a week ago, is used up at a tenth a day.
	level := 1.0
	for i := range 29 {
		at := now.Add(-7*24*time.Hour + time.Duration(i)*6*time.Hour)
		level -= .025 * (.4 + 1.2*r.Float64())
		if status, body := s.call("POST", "/v1/items/"+item+"/telemetry", map[string]any{"at": at.Format(time.RFC3339), "seq": i, "level": level}); status >= 300 {
			t.Fatal(status, body)
		}
	}
	refill := func() (out predict.Refill) {
		t.Helper()
		scores := s.must("GET", "/v1/people/userId:anna", nil)["scores"].(map[string]any)
		list, _ := scores["replenishment"].([]any)
		if len(list) != 1 {
			t.Fatalf("anna needs %v", list)
		}
		x := list[0].(map[string]any)
		out = predict.Refill{Product: x["product"].(string), Days: x["days"].(float64), Low: x["low"].(float64), High: x["high"].(float64)}
		for _, o := range x["sources"].([]any) {
			o := o.(map[string]any)
			out.Sources = append(out.Sources, predict.RefillSource{Source: o["source"].(string), Days: o["days"].(float64), Low: o["low"].(float64), High: o["high"].(float64)})
		}
		return out
	}
	got := refill()
	if got.Product != "beans" || len(got.Sources) != 2 {
		t.Fatalf("%+v", got)
	}
	a, b := got.Sources[0], got.Sources[1]
	if a.Source != "purchases" || b.Source != "sensor" || !(b.Days < a.Days && b.Days < got.Days && got.Days < a.Days) {
		t.Errorf("%+v does not lie between its sources", got)
	}
	if got.High/got.Low >= min(a.High/a.Low, b.High/b.Low) || !(got.Low < got.Days && got.Days < got.High) {
		t.Errorf("%+v is less sure than one of its sources", got)
	}
	if truly := level / .1; b.Days < truly*.7 || b.Days > truly*1.4 {
		t.Errorf("the sensor says %.1f days, truly %.1f", b.Days, truly)
	}
	// The same on the item.
	runOut := s.must("GET", "/v1/items/"+item, nil)["forecast"].(map[string]any)["runOut"].(map[string]any)
	at, err := time.Parse(time.RFC3339, runOut["at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if days := at.Sub(now).Hours() / 24; days < got.Days*.75-.5 || days > got.Days*1.25+.5 || len(runOut["sources"].([]any)) != 2 {
		t.Errorf("the item says %.2f days, the owner's score %.2f: %v", days, got.Days, runOut)
	}
	s.apply(fmt.Sprintf("kind: segment\nid: soon\nwhen: scores.replenishment.beans < %g\n", got.Days+1))
	if s.segmentsOf("anna") != "soon" {
		t.Errorf("anna is in %q", s.segmentsOf("anna"))
	}
	// An item given away tells its former owner nothing.
	s.must("POST", "/v1/items/"+item+"/release", nil)
	if got := refill(); len(got.Sources) != 1 || got.Sources[0].Source != "purchases" || got.Days != got.Sources[0].Days {
		t.Errorf("without the canister: %+v", got)
	}
}
