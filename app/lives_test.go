package app_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
)

// worn are readings of a pump in the course of its life: the nearer the end, the hotter.
func worn(r *rand.Rand, left int) map[string]any {
	return map[string]any{"heat": 40 + 30*math.Exp(-float64(left)/15) + 0.5*r.NormFloat64(), "hum": r.NormFloat64()}
}

func TestHowLongAnItemLastsIsLearnedFromThoseThatEndedAndToldOfEachThatGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openProducts(t, dir, nil)
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": `
kind: product
id: pump
gtin: "09506000117843"
name: Pump
life: {readings: [heat, hum], ends: [Product Ended, Product Serviced], horizon: 60d}
---
kind: itemSegment
id: worn-out
when: items.any(i, i.product_id == "pump" && i.remaining_life < 20)
`})
	name := func(i int) string { return fmt.Sprintf("01_09506000117843_21_P%d", i) }
	r := rand.New(rand.NewPCG(3, 4))
	begin := time.Now().Add(-200 * 24 * time.Hour).UTC()
	at := func(d int) string { return begin.Add(time.Duration(d) * 24 * time.Hour).Format(time.RFC3339) }
	tell := func(item string, life, until int) {
		var list []map[string]any
		for d := range until {
			x := worn(r, life-d)
			x["at"] = at(d)
			list = append(list, x)
		}
		s.must("POST", "/v1/items/"+item+"/telemetry", list)
	}
	lasts := func(item string) map[string]any {
		t.Helper()
		f, _ := s.must("GET", "/v1/items/"+item, nil)["forecast"].(map[string]any)["remainingLife"].(map[string]any)
		return f
	}
	page := func() map[string]any {
		return s.must("GET", "/v1/lives", nil)["products"].([]any)[0].(map[string]any)
	}
	one := func(i, life int) {
		s.must("POST", "/v1/devices", map[string]any{"item": name(i)})
		tell(name(i), life, life)
		s.must("POST", "/v1/items/"+name(i)+"/events", map[string]any{"event": "Product Ended", "at": at(life)})
	}
	for i := range 4 {
		one(i, 60+r.IntN(60))
	}
	s.must("POST", "/v1/devices", map[string]any{"item": name(100)})
	tell(name(100), 100, 95)
	if status, body := s.call("POST", "/v1/lives/09506000117843/learn", nil); status != 409 || !strings.Contains(fmt.Sprint(body), "it takes 10 whole lives, there are 4") {
		t.Fatalf("too few lives: %d %v", status, body)
	}
	if f := lasts(name(100)); f["reason"] != "not enough data: it takes 10 whole lives, there are 4" || f["days"] != nil {
		t.Errorf("without a model: %v", f)
	}
	for i := 4; i < 40; i++ {
		one(i, 60+r.IntN(60))
	}
	learned := s.must("POST", "/v1/lives/09506000117843/learn", nil)
	if learned["lives"] != 40.0 || learned["rmse"].(float64) > learned["naiveRmse"].(float64)/2 || learned["made"] == nil || fmt.Sprint(learned) != fmt.Sprint(page()) {
		t.Errorf("learned: %v, page %v", learned, page())
	}
	t.Logf("days missed by on lives not seen: %.1f, always the mean: %.1f, intervals hold %.2f", learned["rmse"], learned["naiveRmse"], learned["coverage90"])
	f := lasts(name(100))
	if d, ok := f["days"].(float64); !ok || d < 0 || d > 15 || f["low"].(string) > f["at"].(string) || f["high"].(string) < f["at"].(string) {
		t.Errorf("near its end, 5 days truly: %v", f)
	}
	// The next reading tells the item, so that segments and its owner know.
	x := worn(r, 4)
	x["at"] = at(96)
	s.must("POST", "/v1/items/"+name(100)+"/telemetry", x)
	full := s.must("GET", "/v1/items/"+name(100), nil)
	if score := full["scores"].(map[string]any)["remaining_life"]; score == nil || score.(float64) > 15 {
		t.Errorf("its score: %v", full["scores"])
	}
	if in := fmt.Sprint(full["segments"]); !strings.Contains(in, "worn-out") {
		t.Errorf("it is in %s", in)
	}
	if m := full["moments"].(map[string]any); m["Product Service Due"] != 1.0 || m["Product Segment Entered"] != 1.0 {
		t.Errorf("moments: %v", m)
	}
	// A repaired one begins a new life, of which too little is known at first.
	s.must("POST", "/v1/items/"+name(100)+"/events", map[string]any{"event": "Product Serviced", "at": at(97)})
	if f := lasts(name(100)); !strings.Contains(fmt.Sprint(f["reason"]), "0 times, it takes 10") {
		t.Errorf("after the repair: %v", f)
	}
	// What the use by one owner told is not the next one's to see.
	s.must("POST", "/v1/items/import", map[string]any{"items": []any{map[string]any{"item": name(101), "owner": map[string]any{"userId": "ann"}, "ownedAt": at(0)}}})
	tell(name(101), 100, 50)
	if f := lasts(name(101)); f["days"] == nil {
		t.Errorf("under its first owner: %v", f)
	}
	s.must("POST", "/v1/items/"+name(101)+"/release", nil)
	if full := s.must("GET", "/v1/items/"+name(101), nil); len(full["scores"].(map[string]any)) != 0 {
		t.Errorf("scores are left: %v", full["scores"])
	}
	// All of it is there after a restart, and the server's log gives the same again.
	before := fmt.Sprint(lasts(name(5)), page())
	s.end()
	s = openProducts(t, dir, nil)
	if after := fmt.Sprint(lasts(name(5)), page()); !strings.HasPrefix(after, strings.Split(before, " tried")[0]) {
		t.Errorf("before the restart %s, after %s", before, after)
	}
}

// TestTheServersRemainingLivesOfTurbofansAreAsGoodAsTheEvaluations sends NASA's
// run-to-failure data set FD001 through the doors of a server, a day a cycle, and
// compares what it says of the cut lives with what then was.
func TestTheServersRemainingLivesOfTurbofansAreAsGoodAsTheEvaluations(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 33,727 cycles and learns five forests")
	}
	t.Parallel()
	read := func(name string) [][]float64 {
		data, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "cmapss", name))
		if err != nil {
			t.Skip("the turbofan lives are not beside the repository (../shared/data/cmapss)")
		}
		var out [][]float64
		for line := range strings.Lines(string(data)) {
			var row []float64
			for _, f := range strings.Fields(line) {
				x, err := strconv.ParseFloat(f, 64)
				if err != nil {
					t.Fatal(err)
				}
				row = append(row, x)
			}
			out = append(out, row)
		}
		return out
	}
	sensors := []int{2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21} // the others never move
	var names []string
	for _, n := range sensors {
		names = append(names, fmt.Sprintf("s%d", n))
	}
	config := t.TempDir()
	write(t, config, "products.yaml", "kind: product\nid: turbofan\ngtin: \"09506000117843\"\nname: Turbofan\nlife: {readings: ["+strings.Join(names, ", ")+"], horizon: 125d}\n")
	s := open(t, t.TempDir(), func(o *app.Options) { o.Config = config })
	begin := time.Now().Add(-400 * 24 * time.Hour).UnixMilli()
	send := func(kind string, rows [][]float64, ends bool) {
		units := map[int][]map[string]any{}
		for _, row := range rows {
			x := map[string]any{"at": begin + int64(row[1])*24*3600_000}
			for i, n := range sensors {
				x[names[i]] = row[4+n]
			}
			units[int(row[0])] = append(units[int(row[0])], x)
		}
		var wg sync.WaitGroup
		work := make(chan int)
		for range 4 {
			wg.Go(func() {
				for u := range work {
					item := fmt.Sprintf("01_09506000117843_21_%s%d", kind, u)
					for list := units[u]; len(list) > 0; list = list[min(len(list), 100):] {
						s.must("POST", "/v1/items/"+item+"/telemetry", list[:min(len(list), 100)])
					}
					if ends {
						s.must("POST", "/v1/items/"+item+"/events", map[string]any{"event": "Product Ended", "at": units[u][len(units[u])-1]["at"]})
					}
				}
			})
		}
		for u := range units {
			s.must("POST", "/v1/devices", map[string]any{"item": fmt.Sprintf("01_09506000117843_21_%s%d", kind, u)})
			work <- u
		}
		close(work)
		wg.Wait()
	}
	send("L", read("train_FD001.txt"), true)
	send("T", read("test_FD001.txt"), false)
	learned := s.must("POST", "/v1/lives/09506000117843/learn", nil)
	var squares, held float64
	truth := read("RUL_FD001.txt")
	for i, row := range truth {
		item := s.must("GET", fmt.Sprintf("/v1/items/01_09506000117843_21_T%d", i+1), nil)
		f := item["forecast"].(map[string]any)["remainingLife"].(map[string]any)
		days, ok := f["days"].(float64)
		if !ok {
			t.Fatal(f)
		}
		want := min(row[0], 125)
		at, _ := time.Parse(time.RFC3339, f["at"].(string))
		left := func(name string) float64 {
			x, _ := time.Parse(time.RFC3339, f[name].(string))
			return days + x.Sub(at).Hours()/24
		}
		squares += (days - want) * (days - want)
		if want >= left("low")-1e-3 && want <= left("high")+1e-3 {
			held++
		}
	}
	rmse, held := math.Sqrt(squares/float64(len(truth))), held/float64(len(truth))
	t.Logf("RMSE %.1f, intervals hold %.2f; by the model's own account %.1f and %.2f", rmse, held, learned["rmse"], learned["coverage90"])
	if rmse > 14.9 {
		t.Errorf("RMSE %.2f, want at most 14.9", rmse)
	}
	if held < 0.86 || held > 0.94 {
		t.Errorf("90 %% intervals hold %.2f", held)
	}
}
