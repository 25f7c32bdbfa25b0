package fleet

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/sim"
)

func northbean(t testing.TB) (*sim.World, []sim.Home, int64) {
	t.Helper()
	w, _, err := sim.Northbean()
	if err != nil {
		t.Fatal(err)
	}
	w.Shoppers, w.Fleet.Households = 600, 12
	end := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	homes := w.Homes(end)
	if len(homes) < 5 {
		t.Fatalf("only %d homes have connected things", len(homes))
	}
	return w, homes, end.UnixMilli()
}

func TestThePastOfThingsIsTheSameEveryTimeAndInOrder(t *testing.T) {
	t.Parallel()
	w, homes, end := northbean(t)
	tell := func() string {
		var all []any
		for _, x := range things(w, homes, end, "A") {
			last := int64(0)
			for _, p := range x.past(end-20*day, end, 4*hour) {
				if p.at < last-minute || p.at >= end || p.at < x.sold {
					t.Fatalf("%s tells of %d after %d", x.item, p.at, last)
				}
				last = max(last, p.at)
				all = append(all, x.item, p.channel, p.body)
			}
			if x.made >= x.sold || x.owned < x.sold {
				t.Errorf("%s is made %d, sold %d, owned %d", x.item, x.made, x.sold, x.owned)
			}
		}
		b, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if d := cmp.Diff(tell(), tell()); d != "" {
		t.Error(d)
	}
}

func TestACanisterIsFullAfterAPurchaseAndEmptiesUntilTheNext(t *testing.T) {
	t.Parallel()
	w, homes, end := northbean(t)
	refills := 0
	for _, x := range things(w, homes, end, "A") {
		if x.machine != nil {
			continue
		}
		for i, s := range x.home.Supplies {
			before, after := x.level(s.At-1, x.stock(s.At-1)), x.level(s.At, x.stock(s.At))
			if after < before || i > 0 && after <= 0 {
				t.Errorf("%s: a purchase takes it from %.2f to %.2f", x.item, before, after)
			}
			if later := x.level(s.At+day, x.stock(s.At)); later > after {
				t.Errorf("%s: it fills by itself, %.2f to %.2f", x.item, after, later)
			}
			refills++
		}
		if got := x.level(x.home.Supplies[0].Until+1, x.home.Supplies[0].Until); got != 0 {
			t.Errorf("%s holds %.2f after its stock ran out", x.item, got)
		}
	}
	if refills == 0 {
		t.Error("nobody bought anything")
	}
}

func TestABadFirmwareIsHotAndFaulty(t *testing.T) {
	t.Parallel()
	w, homes, end := northbean(t)
	temperature, faults, days := map[string][]float64{}, map[string]int{}, map[string]int{}
	for _, x := range things(w, homes, end, "A") {
		if x.machine == nil {
			continue
		}
		for at := end - 40*day; at < end; at += day {
			v := x.firmware(at).Version
			temperature[v] = append(temperature[v], x.reading(at, 0)["temperature"].(float64))
			days[v]++
			if x.fault(at) != "" {
				faults[v]++
			}
		}
	}
	mean := func(list []float64) (m float64) {
		for _, v := range list {
			m += v / float64(len(list))
		}
		return m
	}
	good, bad := mean(temperature["2.3.1"]), mean(temperature["2.4.0"])
	if bad < good+1 || float64(faults["2.4.0"])/float64(days["2.4.0"]) < 3*float64(faults["2.3.1"])/float64(days["2.3.1"]) {
		t.Errorf("temperatures %.1f and %.1f, faults %v in %v days", good, bad, faults, days)
	}
}
